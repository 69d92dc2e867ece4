// Package engine runs flows: it feeds events to the state machine, has the store
// commit what the machine decides, and only then does what that implies (start,
// stop, tell). The events of one run are handled one at a time by its actor; runs
// are concurrent. Nothing polls: executors, timers and the store's wake-ups push.
package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/machine"
	"github.com/heddle/heddle/internal/secret"
	"github.com/heddle/heddle/internal/store"
)

// Options configures an [Engine].
type Options struct {
	Store   store.Store
	History store.History
	Turns   store.Turns  // the store's
	Pools   heddle.Pools // the store's
	// Open makes the executor of that name when the first run needs it; its reports
	// go to the sink.
	Open func(ctx context.Context, name string, sink executor.Sink) (executor.Executor, error)
	// Ambient is the environment from which runs that ask for it get variables, in
	// the form of os.Environ.
	Ambient []string
	// Secrets are where the variables of steps are looked up that come from files and
	// the environment.
	Secrets secret.Places
	// Check says whether the executor of a submission, which is complete, can run its
	// flow, before a run is accepted. Nil: each can run each.
	Check func(sub *heddle.Submission) error
	// CheckOrphan says why a run whose engine is gone is not to be adopted here, but left
	// to others. Nil: each is adopted that can be seen.
	CheckOrphan func(d *heddle.RunDetail) error
	// Notices is given what is to be told to others once that is committed; nil: nobody.
	Notices func([]heddle.Notice)
	// Ended is told of each run of a definition that has ended, once that is
	// committed; nil: nobody is. It must not block.
	Ended func(heddle.Run)
	// Observer is told what the engine does; nil: nobody is.
	Observer Observer
	// Parallel bounds the attempts that are open at once. Default: twice the number
	// of processors, at least 4.
	Parallel int
	// Grace is how long a program that is stopped gets before it is ended by
	// force. Default: 10 s.
	Grace time.Duration
	// Patience is how long a store that refuses writes for a reason that may pass
	// is tried again before the engine gives up. Default: 30 s.
	Patience time.Duration
	// ReleaseAgain is the pause after which what an executor could not release is
	// released again. Default: 30 s.
	ReleaseAgain time.Duration
	// Batch bounds how many changes share one flush. Default: 256.
	Batch int
	Log   *slog.Logger
}

// Observer is told what the engine does. Its methods are called on the way of every
// change, from many goroutines, and have to be quick.
type Observer interface {
	// Committed tells of a change that is durable.
	Committed(c *heddle.Change)
	// Flushed tells how long the store took to commit so many changes.
	Flushed(changes int, took time.Duration)
}

func (o Options) withDefaults() Options {
	if o.Parallel <= 0 {
		o.Parallel = max(4, 2*runtime.NumCPU())
	}
	if o.Grace <= 0 {
		o.Grace = 10 * time.Second
	}
	if o.Patience <= 0 {
		o.Patience = 30 * time.Second
	}
	if o.ReleaseAgain <= 0 {
		o.ReleaseAgain = 30 * time.Second
	}
	if o.Batch <= 0 {
		o.Batch = 256
	}
	if o.Check == nil {
		o.Check = func(*heddle.Submission) error { return nil }
	}
	if o.CheckOrphan == nil {
		o.CheckOrphan = func(*heddle.RunDetail) error { return nil }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Engine runs flows. It implements [heddle.Runs].
type Engine struct {
	opts    Options
	log     *slog.Logger
	ctx     context.Context
	fail    context.CancelCauseFunc
	tasks   sync.WaitGroup
	places  *places
	lines   *lines
	commits chan *commit
	watch   *watchers
	unseen  *unseen
	opening sync.Mutex // held while an executor is opened

	mu        sync.Mutex
	actors    map[heddle.RunID]*actor
	executors map[string]*opened
	graphs    map[string]*machine.Graph
	coming    map[heddle.RunID]bool // runs that are being taken up; true: a request was heard of meanwhile
	lastID    time.Time
	stopping  bool
}

var _ heddle.Runs = (*Engine)(nil)

// Start makes an engine and starts it. It runs until [Engine.Stop], or until the
// store fails it: see [Engine.Err].
func Start(ctx context.Context, opts Options) *Engine {
	opts = opts.withDefaults()
	ctx, fail := context.WithCancelCause(context.WithoutCancel(ctx))
	e := &Engine{
		opts: opts, log: opts.Log, ctx: ctx, fail: fail,
		places: newPlaces(opts.Parallel), lines: newLines(), commits: make(chan *commit, opts.Batch), watch: newWatchers(),
		actors: map[heddle.RunID]*actor{}, executors: map[string]*opened{}, graphs: map[string]*machine.Graph{},
		coming: map[heddle.RunID]bool{}, unseen: &unseen{when: map[heddle.RunID]time.Time{}},
	}
	e.tasks.Go(e.commitLoop)
	e.tasks.Go(e.wakeLoop)
	e.tasks.Go(e.turnLoop)
	if lapser, ok := opts.Store.(store.Lapser); ok {
		e.tasks.Go(func() { e.lapseLoop(lapser) })
	}
	return e
}

// errStopped is the cause of an orderly end.
var errStopped = heddle.Errorf(heddle.CodeUnavailable, "the engine has been stopped")

// releaseTime is how long a stop waits for what has ended to be released.
const releaseTime = 5 * time.Second

// Stop ends the engine and waits for it. Attempts go on running; their runs can be
// taken up again by whoever opens the store next.
func (e *Engine) Stop() {
	e.mu.Lock()
	e.stopping = true
	executors := e.executors
	e.executors = map[string]*opened{}
	e.mu.Unlock()
	limit, cancel := context.WithTimeout(e.ctx, releaseTime)
	defer cancel()
	for _, x := range executors {
		x.settle(limit.Done())
	}
	e.fail(errStopped)
	e.tasks.Wait()
	for name, x := range executors {
		if err := x.Close(); err != nil {
			e.log.Warn("closing an executor", "executor", name, "error", err)
		}
	}
	e.watch.closeAll()
}

// Err returns why the engine has ended by itself; nil while it runs and after an
// orderly stop.
func (e *Engine) Err() error {
	if cause := context.Cause(e.ctx); cause != nil && cause != error(errStopped) {
		return cause
	}
	return nil
}

// Done is closed when the engine has ended or is ending.
func (e *Engine) Done() <-chan struct{} { return e.ctx.Done() }

// Submit implements [heddle.Runs].
func (e *Engine) Submit(ctx context.Context, sub heddle.Submission) (heddle.Run, error) {
	begin, err := e.plan(ctx, &sub)
	if err != nil {
		return heddle.Run{}, err
	}
	if sub.Flow == nil {
		return heddle.Run{}, heddle.Errorf(heddle.CodeInvalid, "a submission needs a flow")
	}
	if sub.ID != "" && !sub.ID.Valid() {
		return heddle.Run{}, heddle.Errorf(heddle.CodeInvalid, "run ID %q: at most 40 lower-case letters, digits and dashes", sub.ID)
	}
	var object map[string]any
	if err := json.Unmarshal(sub.Input.Context, &object); len(sub.Input.Context) > 0 && err != nil {
		return heddle.Run{}, heddle.Errorf(heddle.CodeInvalid, "the context is not a JSON object: %w", err)
	}
	hash, graph, err := e.graph(sub.Flow)
	if err != nil {
		return heddle.Run{}, err
	}
	if err := e.opts.Check(&sub); err != nil {
		return heddle.Run{}, err
	}
	if err := e.checkPools(ctx, cmp.Or(sub.Organization, heddle.DefaultOrganization), sub.Flow); err != nil {
		return heddle.Run{}, err
	}
	exec, err := e.executor(sub.Executor)
	if err != nil {
		return heddle.Run{}, err
	}
	for {
		run := e.newRun(&sub, hash)
		a := e.newActor(machine.New(graph, run, e.ambient(run.Input.Ambient)), exec)
		created := make(chan error, 1)
		a.create, a.created = sub.Flow, created
		if err := e.launch(a, begin); err != nil {
			return heddle.Run{}, err
		}
		select {
		case err = <-created:
		case <-ctx.Done():
			return run, context.Cause(ctx)
		}
		if sub.ID == "" && heddle.CodeOf(err) == heddle.CodeConflict {
			continue // somebody made the same ID in the same nanosecond
		}
		return run, err
	}
}

func (e *Engine) newRun(sub *heddle.Submission, hash string) heddle.Run {
	run := heddle.Run{
		ID: sub.ID, Kind: sub.Flow.Kind, Name: sub.Flow.Name, FlowHash: hash, Parent: sub.Parent,
		Executor: sub.Executor, Organization: cmp.Or(sub.Organization, heddle.DefaultOrganization), Input: sub.Input, Labels: sub.Labels,
		Definition: sub.Definition, Due: sub.Due,
		State: heddle.RunPending, Created: time.Now().UTC(),
	}
	if run.Input.CorrelationID == "" {
		run.Input.CorrelationID = e.newID()
	}
	if run.ID == "" {
		run.ID = heddle.RunID(e.newID())
	}
	return run
}

// newID makes IDs that differ: the clock is moved on where it did not advance.
func (e *Engine) newID() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	if !now.After(e.lastID) {
		now = e.lastID.Add(time.Nanosecond)
	}
	e.lastID = now
	return heddle.NewID(now)
}

// maxGraphs bounds the compiled flows that are kept for the next run of the same.
const maxGraphs = 256

func (e *Engine) graph(flow *heddle.Flow) (hash string, g *machine.Graph, err error) {
	if hash, err = flow.Hash(); err != nil {
		return "", nil, heddle.Errorf(heddle.CodeInvalid, "%w", err)
	}
	e.mu.Lock()
	g = e.graphs[hash]
	e.mu.Unlock()
	if g != nil {
		return hash, g, nil
	}
	if g, err = machine.Compile(flow); err != nil {
		return "", nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.graphs) >= maxGraphs {
		clear(e.graphs)
	}
	e.graphs[hash] = g
	return hash, g, nil
}

// launch registers an actor and starts it with an event.
func (e *Engine) launch(a *actor, first ...machine.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopping || e.ctx.Err() != nil {
		return heddle.Errorf(heddle.CodeUnavailable, "the engine is stopping: %w", context.Cause(e.ctx))
	}
	if e.actors[a.id] != nil {
		return heddle.Errorf(heddle.CodeConflict, "run %s exists", a.id)
	}
	e.actors[a.id] = a
	a.held = a.state.Open()
	e.places.force(a.held)
	a.post(first...)
	e.tasks.Go(a.loop)
	if e.coming[a.id] {
		e.tasks.Go(func() { e.hear(a.id) })
	}
	return nil
}

func (e *Engine) actor(id heddle.RunID) *actor {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.actors[id]
}

func (e *Engine) forget(a *actor) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.actors[a.id] == a {
		delete(e.actors, a.id)
	}
}

// Get implements [heddle.Runs].
func (e *Engine) Get(ctx context.Context, id heddle.RunID) (heddle.RunDetail, error) {
	d, err := e.opts.History.Run(ctx, id)
	if err != nil {
		return d, err
	}
	d.Waiting = machine.Waits(&d)
	return d, nil
}

// List implements [heddle.Runs].
func (e *Engine) List(ctx context.Context, f heddle.RunFilter) (heddle.RunPage, error) {
	return e.opts.History.Runs(ctx, f)
}

// Cancel implements [heddle.Runs]. The request is durable: it reaches the run's
// owner, whoever that is or will be.
func (e *Engine) Cancel(ctx context.Context, id heddle.RunID, reason string) error {
	if err := e.opts.Store.RequestCancel(ctx, id, reason); err != nil {
		return err
	}
	// At once if the run is in hand here; the store's wake-up comes in any case.
	_ = e.readRequests(ctx, id)
	return nil
}

// wakeLoop hears of requests for runs of this engine.
func (e *Engine) wakeLoop() {
	for {
		select {
		case id, ok := <-e.opts.Store.Wake():
			if !ok {
				return
			}
			if e.readRequests(e.ctx, id) != nil {
				e.tasks.Go(func() { e.hear(id) })
			}
		case <-e.ctx.Done():
			return
		}
	}
}

func (e *Engine) hear(id heddle.RunID) {
	e.persist("reading a request", func(ctx context.Context) error { return e.readRequests(ctx, id) })
}

// readRequests tells a run's actor of the requests in the store.
func (e *Engine) readRequests(ctx context.Context, id heddle.RunID) error {
	e.mu.Lock()
	a := e.actors[id]
	if _, coming := e.coming[id]; coming {
		e.coming[id] = true
	}
	e.mu.Unlock()
	if a == nil {
		return nil
	}
	snap, err := e.opts.Store.Load(ctx, id)
	if err != nil {
		return err
	}
	if snap.Cancels > 0 {
		a.post(machine.Cancel{Count: snap.Cancels, Reason: snap.CancelReason})
	}
	return nil
}
