package executortest

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// World is an outside world for a scripted fake: what runs in it survives the
// executors that are opened on it. The command of an attempt is its script, made
// of these words in any combination:
//
//	exit N          ends with that code (default 0)
//	run D           runs that long, such as 10s (default: not at all)
//	print TEXT      prints a line to standard output
//	result JSON     prints a result line
//	message TEXT    leaves a message, if there is a file for it
//	ignore-stop     does not end before the grace of a stop is over
//	refuse MESSAGE  can never be started
//	infra           is ended by the infrastructure, with reason broken
//	vanish          is gone when it has run: nothing is reported, and who asks finds it lost
//
// It works in a testing/synctest bubble, has no goroutine while nothing happens,
// and keeps little of attempts that are released.
type World struct {
	mu       sync.Mutex
	attempts map[heddle.AttemptID]*fakeAttempt
	starts   map[heddle.AttemptID]int
	shared   map[heddle.RunID]bool
	fail     func(executor.Spec) error
	lose     func(executor.Spec) error
}

// NewWorld returns an empty world.
func NewWorld() *World {
	return &World{attempts: map[heddle.AttemptID]*fakeAttempt{}, starts: map[heddle.AttemptID]int{}, shared: map[heddle.RunID]bool{}}
}

// FailStart has f asked at each Start of a new attempt: an error is returned, and
// nothing is started. Nil asks nobody. f must not use the world.
func (w *World) FailStart(f func(executor.Spec) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = f
}

// LoseStart has f asked after each Start that started something: an error is
// returned as if the acknowledgement were lost. Nil asks nobody. f must not use
// the world.
func (w *World) LoseStart(f func(executor.Spec) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lose = f
}

// Starts returns how often each attempt was really started: more than once would
// be a defect.
func (w *World) Starts() map[heddle.AttemptID]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.starts)
}

// Running returns the attempts that run, in the order of their IDs.
func (w *World) Running() []heddle.AttemptID {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []heddle.AttemptID
	for id, a := range w.attempts {
		if a.exit == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Log returns what an attempt that is not released has printed, in the CRI log format.
func (w *World) Log(id heddle.AttemptID) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a := w.attempts[id]; a != nil {
		return a.log.String()
	}
	return ""
}

// Executor opens an executor on the world.
func (w *World) Executor(sink executor.Sink) executor.Executor {
	f := &fake{world: w, sink: sink}
	f.idle = sync.NewCond(&f.mu)
	return f
}

// fakeAttempt is an attempt in a world; the world's lock guards it.
type fakeAttempt struct {
	spec     executor.Spec
	script   script
	started  time.Time
	exit     *heddle.Exit // nil: it runs
	timer    *time.Timer  // what happens next to it: its end by itself or for want of time
	stopping *heddle.Exit // how it ends when the grace is over
	log      bytes.Buffer
	capture  *executor.Capture // nil: it prints nothing
	mask     *executor.Masker
	watchers []*fake
}

// script is a command, read.
type script struct {
	code                      int
	run                       time.Duration
	prints                    []string
	ignoreStop, infra, vanish bool
	refuse, message           string
}

// parse reads a command; a word that it does not know is a refusal.
func parse(words []string) script {
	var s script
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		switch word {
		case "ignore-stop":
			s.ignoreStop = true
			continue
		case "infra":
			s.infra = true
			continue
		case "vanish":
			s.vanish = true
			continue
		}
		if len(words) == 0 {
			return script{refuse: "the fake executor cannot read " + strconv.Quote(word)}
		}
		var err error
		switch arg := words[0]; word {
		case "exit":
			s.code, err = strconv.Atoi(arg)
		case "run":
			s.run, err = time.ParseDuration(arg)
		case "print":
			s.prints = append(s.prints, arg+"\n")
		case "result":
			s.prints = append(s.prints, "KOG:"+arg+"\n")
		case "message":
			s.message = arg
		case "refuse":
			s.refuse = arg
		default:
			s.refuse = "the fake executor does not know " + strconv.Quote(word)
		}
		if err != nil {
			s.refuse = "the fake executor cannot read " + strconv.Quote(word+" "+words[0])
		}
		words = words[1:]
	}
	return s
}

// start begins an attempt.
func (w *World) start(spec executor.Spec, s script, f *fake) *fakeAttempt {
	a := &fakeAttempt{spec: spec, script: s, started: time.Now(), watchers: []*fake{f}}
	w.attempts[spec.Attempt] = a
	w.starts[spec.Attempt]++
	if spec.Shared != "" {
		w.shared[spec.Shared] = true
	}
	a.mask = executor.NewMasker(spec.Mask)
	f.report(executor.Report{Attempt: spec.Attempt, Started: a.started})
	if len(s.prints) > 0 {
		a.capture = executor.NewCapture(executor.CaptureOptions{Log: &a.log, Limit: spec.Log, Mask: a.mask})
		for _, text := range s.prints {
			_, _ = a.capture.Stdout().Write([]byte(text)) // never fails
		}
	}
	switch timeout := spec.Timeout; {
	case timeout > 0 && timeout < s.run:
		a.timer = time.AfterFunc(timeout, func() {
			w.stop(spec.Attempt, heddle.Exit{Reason: heddle.TimedOut, Message: "ran out of its time"}, spec.Grace)
		})
	case s.run > 0:
		a.timer = time.AfterFunc(s.run, func() { w.runs(spec.Attempt) })
	default:
		w.finish(a)
	}
	return a
}

// runs ends an attempt that has run as long as it wanted.
func (w *World) runs(id heddle.AttemptID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a := w.attempts[id]; a != nil && a.exit == nil && a.stopping == nil {
		w.finish(a)
	}
}

// finish ends an attempt in the way of its script. w.mu is held.
func (w *World) finish(a *fakeAttempt) {
	switch {
	case a.script.vanish:
		delete(w.attempts, a.spec.Attempt)
	case a.script.infra:
		a.end(heddle.Exit{Reason: heddle.Broken, Message: "the node is gone"})
	default:
		a.end(heddle.Exit{Reason: heddle.Exited, Code: a.script.code})
	}
}

// end tells how an attempt ended. The world's lock is held.
func (a *fakeAttempt) end(exit heddle.Exit) {
	exit.Started, exit.Ended = a.started, time.Now()
	if a.capture != nil {
		a.capture.Finish(&exit)
		a.capture = nil
	}
	if a.spec.Work.Message != nil {
		executor.SetTermination(&exit, []byte(a.script.message), a.mask)
	}
	if a.timer != nil {
		a.timer.Stop()
	}
	a.exit = &exit
	for _, f := range a.watchers {
		f.report(executor.Report{Attempt: a.spec.Attempt, Started: a.started, Exit: a.exit})
	}
	a.watchers = nil
}

// stop ends an attempt: at once, or if it ignores that, when grace is over.
func (w *World) stop(id heddle.AttemptID, exit heddle.Exit, grace time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.attempts[id]
	if a == nil || a.exit != nil {
		return
	}
	exit.Code, exit.Signal = 143, "SIGTERM"
	if !a.script.ignoreStop {
		a.end(exit)
		return
	}
	exit.Code, exit.Signal = 137, "SIGKILL"
	if a.stopping == nil {
		a.stopping = &exit
	}
	if a.timer != nil {
		a.timer.Stop()
	}
	if grace <= 0 {
		a.end(*a.stopping)
		return
	}
	a.timer = time.AfterFunc(grace, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if a.exit == nil {
			a.end(*a.stopping)
		}
	})
}

// fake is an executor on a world.
type fake struct {
	world *World
	sink  executor.Sink

	mu      sync.Mutex
	idle    *sync.Cond // no dispatcher is at work
	queue   []executor.Report
	working bool
	closed  bool
}

var (
	_ executor.Lister = (*fake)(nil)
	_ executor.Sharer = (*fake)(nil)
)

// report has a report passed on by the one dispatcher, which is there while there
// is something to pass on.
func (f *fake) report(r executor.Report) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.queue = append(f.queue, r)
	if !f.working {
		f.working = true
		go f.dispatch()
	}
}

func (f *fake) dispatch() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.queue) > 0 && !f.closed {
		reports := f.queue
		f.queue = nil
		for _, r := range reports {
			if f.closed {
				break
			}
			f.mu.Unlock()
			f.sink(r)
			f.mu.Lock()
		}
	}
	f.working = false
	f.idle.Broadcast()
}

// Place is the same for all worlds.
func (f *fake) Place() string { return "fake:world" }

func (f *fake) Start(ctx context.Context, spec executor.Spec) error {
	if err := f.ready(ctx); err != nil {
		return err
	}
	w := f.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if a := w.attempts[spec.Attempt]; a != nil {
		a.watch(f)
		return nil
	}
	if w.starts[spec.Attempt] > 0 {
		f.report(lost(spec.Attempt))
		return nil
	}
	if w.fail != nil {
		if err := w.fail(spec); err != nil {
			return err
		}
	}
	s := parse(slices.Concat(spec.Work.Entrypoint, spec.Work.Command))
	if s.refuse != "" {
		return executor.MaskError(&executor.Refusal{Message: s.refuse}, spec.Mask)
	}
	w.start(spec, s, f)
	if w.lose != nil {
		return w.lose(spec)
	}
	return nil
}

// watch tells f how the attempt stands, and from now on its end.
func (a *fakeAttempt) watch(f *fake) {
	if a.exit == nil && slices.Contains(a.watchers, f) {
		return
	}
	f.report(executor.Report{Attempt: a.spec.Attempt, Started: a.started, Exit: a.exit})
	if a.exit == nil {
		a.watchers = append(a.watchers, f)
	}
}

func lost(id heddle.AttemptID) executor.Report {
	exit := &heddle.Exit{Reason: heddle.Lost, Message: "the fake executor does not know it", Ended: time.Now()}
	return executor.Report{Attempt: id, Exit: exit}
}

func (f *fake) ready(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return heddle.Errorf(heddle.CodeUnavailable, "fake executor: %w", context.Cause(ctx))
	case f.closed:
		return heddle.Errorf(heddle.CodeUnavailable, "the fake executor is closed")
	}
	return nil
}

func (f *fake) Stop(ctx context.Context, id heddle.AttemptID, reason string, grace time.Duration) error {
	if err := f.ready(ctx); err != nil {
		return err
	}
	f.world.stop(id, heddle.Exit{Reason: heddle.Stopped, Message: reason}, grace)
	return nil
}

func (f *fake) Adopt(ctx context.Context, adoptions []executor.Adoption) error {
	if err := f.ready(ctx); err != nil {
		return err
	}
	f.world.mu.Lock()
	defer f.world.mu.Unlock()
	for _, adoption := range adoptions {
		attempt := adoption.Attempt
		if a := f.world.attempts[attempt.ID]; a != nil {
			a.watch(f)
		} else {
			f.report(lost(attempt.ID))
		}
	}
	return nil
}

func (f *fake) Release(ctx context.Context, ids []heddle.AttemptID) error {
	if err := f.ready(ctx); err != nil {
		return err
	}
	f.world.mu.Lock()
	defer f.world.mu.Unlock()
	for _, id := range ids {
		if a := f.world.attempts[id]; a != nil && a.exit != nil {
			delete(f.world.attempts, id)
		}
	}
	return nil
}

// Held returns the attempts of which the world knows, in the order of their IDs.
func (f *fake) Held(ctx context.Context) ([]heddle.AttemptID, error) {
	if err := f.ready(ctx); err != nil {
		return nil, err
	}
	f.world.mu.Lock()
	defer f.world.mu.Unlock()
	return slices.Sorted(maps.Keys(f.world.attempts)), nil
}

// Unshare forgets that runs share a directory.
func (f *fake) Unshare(ctx context.Context, runs []heddle.RunID) error {
	if err := f.ready(ctx); err != nil {
		return err
	}
	f.world.mu.Lock()
	defer f.world.mu.Unlock()
	for _, run := range runs {
		delete(f.world.shared, run)
	}
	return nil
}

// Shares returns the runs that share a directory, in the order of their IDs.
func (f *fake) Shares(ctx context.Context) ([]heddle.RunID, error) {
	if err := f.ready(ctx); err != nil {
		return nil, err
	}
	f.world.mu.Lock()
	defer f.world.mu.Unlock()
	return slices.Sorted(maps.Keys(f.world.shared)), nil
}

// Close waits for the dispatcher: no report comes afterwards.
func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed, f.queue = true, nil
	for f.working {
		f.idle.Wait()
	}
	return nil
}
