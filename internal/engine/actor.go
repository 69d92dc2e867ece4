package engine

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/machine"
	"github.com/heddle/heddle/internal/store"
)

// lazy is how long news that need no flush of their own (an attempt was
// acknowledged, runs) wait for a change to ride with.
const lazy = 50 * time.Millisecond

// actor handles the events of one run, one after the other.
type actor struct {
	e     *Engine
	id    heddle.RunID
	state *machine.State
	exec  *opened
	epoch int64
	seq   int64

	create    *heddle.Flow // set until the run is stored
	created   chan error   // told once, when the run is stored or cannot be
	recovered []machine.Effect

	mu      sync.Mutex
	mail    []machine.Event
	granted int // places set aside for it
	wake    chan struct{}

	held      int // places that it holds
	starts    map[heddle.AttemptID]*starting
	inLine    bool      // the engine knows that it waits for what others have
	due       time.Time // when news that were held back must be committed; zero: there are none
	causeless atomic.Bool
	at        atomic.Pointer[heddle.RunState] // as committed

	evict   sync.Once
	evicted chan struct{} // closed when its run was claimed anew
	gone    chan struct{} // closed when it has left
}

func (e *Engine) newActor(state *machine.State, exec *opened) *actor {
	return &actor{
		e: e, id: state.Run().ID, state: state, exec: exec,
		wake: make(chan struct{}, 1), starts: map[heddle.AttemptID]*starting{},
		evicted: make(chan struct{}), gone: make(chan struct{}),
	}
}

// ambient returns the variables of the engine's environment that a run asks for.
func (e *Engine) ambient(want *heddle.Ambient) map[string]string {
	if want == nil {
		return nil
	}
	env := map[string]string{}
	for _, entry := range e.opts.Ambient {
		if name, value, ok := strings.Cut(entry, "="); ok && name != "" && want.Keeps(name) {
			env[name] = value
		}
	}
	return env
}

// post adds events to the mailbox.
func (a *actor) post(events ...machine.Event) {
	a.mu.Lock()
	a.mail = append(a.mail, events...)
	a.mu.Unlock()
	a.nudge()
}

// grant tells the actor that a place has been set aside for it.
func (a *actor) grant() {
	a.mu.Lock()
	a.granted++
	a.mu.Unlock()
	a.nudge()
}

func (a *actor) nudge() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *actor) read() []machine.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	events := a.mail
	a.mail = nil
	return events
}

// loop is the actor's life: until its run has ended, belongs to another, or the
// engine stops.
func (a *actor) loop() {
	defer a.leave()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	a.do(a.recovered)
	a.recovered = nil
	for {
		for _, event := range a.read() {
			if err := a.state.Advance(event, time.Now().UTC()); err != nil {
				a.e.log.Error("an event was refused", "run_id", a.id, "error", err)
			}
		}
		a.place()
		if !a.flush() {
			return
		}
		if a.state.Run().State == heddle.RunEnded {
			return
		}
		a.e.lines.note(&a.inLine, a.state.Waits())
		timer.Reset(a.untilNext())
		select {
		case <-a.wake:
		case <-timer.C:
			a.post(machine.Tick{})
		case <-a.evicted:
			return
		case <-a.e.ctx.Done():
			a.tellCreated(a.e.ctx.Err())
			return
		}
	}
}

// untilNext is how long the actor may sleep.
func (a *actor) untilNext() time.Duration {
	next := a.state.NextTick()
	a.causeless.Store(next.IsZero() && a.state.Open() == 0 && !a.state.Ready() && !a.state.Waits())
	if !a.due.IsZero() && (next.IsZero() || a.due.Before(next)) {
		next = a.due
	}
	if next.IsZero() {
		return time.Hour
	}
	return max(0, time.Until(next))
}

// place deploys what is ready, as far as there are places.
func (a *actor) place() {
	for ; a.held > a.state.Open(); a.held-- {
		a.e.places.give()
	}
	for a.state.Ready() {
		if !a.takePlace() {
			return
		}
		if err := a.state.Advance(machine.Place{At: a.exec.Place()}, time.Now().UTC()); err != nil {
			a.e.log.Error("a visit could not be placed", "run_id", a.id, "error", err)
			a.e.places.give()
			return
		}
		a.held++
	}
	for a.takeGranted() {
		a.e.places.give()
	}
}

func (a *actor) takePlace() bool { return a.takeGranted() || a.e.places.take(a) }

func (a *actor) takeGranted() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.granted == 0 {
		return false
	}
	a.granted--
	return true
}

// flush commits what was decided and does what it implies; false: the actor's
// work is over.
func (a *actor) flush() bool {
	if a.holdBack() {
		return true
	}
	change, effects, ok := a.state.Take()
	if !ok {
		a.do(effects)
		return true
	}
	a.due = time.Time{}
	change.ID = string(a.id) + "-" + strconv.FormatInt(a.seq, 10) + "-" + a.e.opts.Store.Session()
	change.Epoch, change.Seq, change.Flow = a.epoch, a.seq, a.create
	answer, err := a.e.commit(change)
	if err != nil {
		a.tellCreated(err)
		return false
	}
	if answer != store.Committed {
		a.lost(answer)
		return false
	}
	if a.create != nil {
		a.epoch, a.create = 1, nil
	}
	a.seq++
	a.tellCreated(nil)
	a.do(effects)
	if change.Run.State == heddle.RunEnded && a.state.Flow().Shared {
		a.exec.unshare(a.id)
	}
	if len(change.Notices) > 0 && a.e.opts.Notices != nil {
		a.e.opts.Notices(change.Notices)
	}
	if state, was := change.Run.State, a.at.Load(); was == nil || *was != state {
		a.at.Store(&state)
	}
	if a.e.opts.Observer != nil {
		a.e.opts.Observer.Committed(&change)
	}
	a.e.watch.publish(heddle.RunUpdate{Run: change.Run, Visits: change.Visits, Attempts: change.Attempts})
	return true
}

// holdBack reports whether what has changed may wait for a change to ride with.
func (a *actor) holdBack() bool {
	if a.create != nil || a.state.Urgent() || !a.state.Changed() {
		return false
	}
	now := time.Now()
	if a.due.IsZero() {
		a.due = now.Add(lazy)
	}
	return now.Before(a.due)
}

func (a *actor) lost(answer store.Answer) {
	if a.create != nil {
		a.tellCreated(heddle.Errorf(heddle.CodeConflict, "run %s exists", a.id))
		return
	}
	a.e.log.Warn("the run belongs to another engine now", "run_id", a.id, "answer", answer)
}

func (a *actor) tellCreated(err error) {
	if a.created != nil {
		a.created <- err
		a.created = nil
	}
}

// leave takes the actor out of everything.
func (a *actor) leave() {
	a.e.forget(a)
	a.e.lines.note(&a.inLine, false)
	a.e.places.leave(a)
	for ; a.held > 0; a.held-- {
		a.e.places.give()
	}
	for a.takeGranted() {
		a.e.places.give()
	}
	a.e.watch.end(a.id)
	close(a.gone)
}

// spec resolves what an executor needs to run an attempt.
func (a *actor) spec(start machine.Start) executor.Spec {
	run := a.state.Run()
	work := *start.Step.Work
	work.Env, work.From = start.Env, start.From
	work.Env["HEDDLE_RUN"], work.Env["HEDDLE_STEP"] = string(run.ID), start.Step.Name
	work.Env["HEDDLE_ATTEMPT"] = string(start.Attempt.ID)
	spec := executor.Spec{
		Attempt: start.Attempt.ID, Place: start.Attempt.Place, Step: start.Step.Name, Work: work,
		Timeout: start.Step.Timeout, Grace: a.e.opts.Grace, Volumes: run.Input.Volumes,
		Labels: map[string]string{"heddle.dev/run": string(run.ID), "heddle.dev/step": start.Step.Name},
	}
	if a.state.Flow().Shared {
		spec.Shared = run.ID
	}
	if start.Context != nil && start.Env["KOG_CONTEXT"] == "" {
		spec.Files = []executor.File{{Env: "KOG_CONTEXT_FILE", Name: "context.json", Data: start.Context}}
	}
	return spec
}
