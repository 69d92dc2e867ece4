// Package schedule is the front door by the clock: it makes runs of definitions when
// their ticks are due, or when runs of others have ended, and is the service for
// definitions.
//
// One loop sleeps until the earliest tick. Several servers may have one each: the
// run of a tick has an ID that is made of the definition and the tick, so it exists
// once whoever makes it, and a definition is moved on only from the version that was
// seen. A crash between the two makes the run be asked for again, which finds it.
//
// The end of a run stays noted in its row until all that follows from it (the
// definition's latest status and failures, runs of definitions that follow it) is
// stored; runs that follow have IDs made of both. So no end is lost or counted twice.
package schedule

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// Store is what a scheduler needs of one.
type Store interface {
	store.Definitions
	store.Ticks
	// Run returns a run whole; or [heddle.CodeNotFound].
	Run(ctx context.Context, id heddle.RunID) (heddle.RunDetail, error)
	// Runs returns a page of the runs that match, newest first.
	Runs(ctx context.Context, f heddle.RunFilter) (heddle.RunPage, error)
}

// Options configures a [Scheduler].
type Options struct {
	Store Store
	// Prepare chooses the executor of a run, given what its definition asks for, and
	// makes the flow, which is the run's own, fit for it. Errors of [heddle.CodeInvalid]
	// are the definition's fault. Nil: the executor is what the definition says.
	Prepare func(ctx context.Context, asked string, flow *heddle.Flow) (executor string, err error)
	// Check says why a definition is not to be stored; nil: each is.
	Check func(d *heddle.Definition) error
	// Recheck bounds how long what other processes change in the store goes unseen.
	// Default: 1 s.
	Recheck time.Duration
	Log     *slog.Logger
}

// Scheduler implements [heddle.Definitions], and handles ticks once it is started.
type Scheduler struct {
	opts  Options
	store Store
	log   *slog.Logger
	kick  chan struct{}

	mu     sync.Mutex
	runs   heddle.Runs // nil until there is one
	cancel context.CancelFunc
	ended  chan struct{}
}

var _ heddle.Definitions = (*Scheduler)(nil)

// New makes a scheduler, which needs to be told of the runs with [Scheduler.Use].
func New(o Options) *Scheduler {
	if o.Recheck <= 0 {
		o.Recheck = time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Prepare == nil {
		o.Prepare = func(_ context.Context, asked string, _ *heddle.Flow) (string, error) { return asked, nil }
	}
	if o.Check == nil {
		o.Check = func(*heddle.Definition) error { return nil }
	}
	return &Scheduler{opts: o, store: o.Store, log: o.Log, kick: make(chan struct{}, 1)}
}

// Use sets the service that makes and cancels runs. It comes after New because an
// engine tells the scheduler of runs that have ended.
func (s *Scheduler) Use(runs heddle.Runs) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs = runs
}

// Start starts to handle ticks and ends, until [Scheduler.Stop]. It is called once.
func (s *Scheduler) Start(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel, s.ended = cancel, make(chan struct{})
	go s.loop(ctx, s.ended)
}

// Stop ends the loop and waits for it. What it was about is done by the next that
// is started.
func (s *Scheduler) Stop() {
	s.mu.Lock()
	cancel, ended := s.cancel, s.ended
	s.mu.Unlock()
	if cancel != nil {
		cancel()
		<-ended
	}
}

// Kick has the loop look at once: a run of a definition has ended, or a definition
// has been changed. It never blocks.
func (s *Scheduler) Kick() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

func (s *Scheduler) service() (heddle.Runs, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs == nil {
		return nil, heddle.Errorf(heddle.CodeUnavailable, "no engine is open here")
	}
	return s.runs, nil
}

func (s *Scheduler) loop(ctx context.Context, ended chan<- struct{}) {
	defer close(ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.kick:
		case <-timer.C:
		}
		next, err := s.pass(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("the schedule cannot go on; trying again", "error", err, "in", s.opts.Recheck)
		}
		wait := s.opts.Recheck
		if !next.IsZero() {
			wait = min(wait, max(0, time.Until(next)))
		}
		timer.Reset(wait)
	}
}

// batch bounds how many ends and ticks are handled at once. The runs of its ticks are
// asked for at the same time, so that they share flushes of the store.
const batch = 256

// pass handles all that there is to do by now, and returns when there is more.
func (s *Scheduler) pass(ctx context.Context) (next time.Time, err error) {
	for more := true; more; {
		if more, err = s.ends(ctx); err != nil {
			return time.Time{}, err
		}
	}
	for {
		due, next, err := s.store.DueDefinitions(ctx, time.Now(), batch)
		if err != nil || len(due) == 0 {
			return next, err
		}
		// What is moved may be due again, or next: that is for another look to say.
		if err := s.ticks(ctx, due); err != nil {
			return time.Time{}, err
		}
	}
}

// ticks handles definitions that are due.
func (s *Scheduler) ticks(ctx context.Context, due []heddle.Definition) error {
	moves := make([]store.DefinitionMove, len(due))
	var group errgroup.Group
	for i := range due {
		group.Go(func() error {
			moved, err := s.tick(ctx, due[i])
			moves[i].Definition = moved
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	_, err := s.store.MoveDefinitions(ctx, moves) // what was changed meanwhile is still due
	return err
}

// tick makes the runs of a definition that is due, and returns it as it stands then.
func (s *Scheduler) tick(ctx context.Context, d heddle.Definition) (heddle.Definition, error) {
	live, err := s.live(ctx, &d)
	if err != nil {
		return d, err
	}
	now := time.Now().UTC()
	what, err := decide(d, live, now)
	if err != nil { // the schedule was checked when it was stored: this is a newer or older program
		d.Enabled, d.Wake, d.Reason = false, time.Time{}, err.Error()
		return d, nil
	}
	if len(what.launch) > 0 && !what.launch[0].Equal(d.Next) {
		// The tick's own run may be there, from before a crash.
		if _, err := s.store.Run(ctx, TickID(d.ID, d.Next)); err == nil {
			what.after.Counter++
		}
	}
	for _, id := range what.cancel {
		s.stop(ctx, id, "replaced by a newer run of its definition")
	}
	after := what.after
	for _, tick := range what.launch {
		err := s.launch(ctx, &after, TickID(d.ID, tick), tick)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return d, err
		case heddle.CodeOf(err) == heddle.CodeInvalid: // it never will
			fail(&after, err.Error())
		default:
			s.log.Warn("a run cannot be made; trying again", "definition", d.ID, "error", err, "in", retryAfter)
			d.Counter, d.LatestRun, d.LatestStatus = after.Counter, after.LatestRun, after.LatestStatus
			d.Next, d.Wake, d.Reason = tick, now.Add(retryAfter), err.Error()
			return d, nil
		}
	}
	return after, nil
}

// retryAfter is when a run that could not be made is asked for again.
const retryAfter = 5 * time.Second

// launch has a run made, and notes it in its definition. That it exists is as good.
func (s *Scheduler) launch(ctx context.Context, d *heddle.Definition, id heddle.RunID, due time.Time) error {
	runs, err := s.service()
	if err != nil {
		return err
	}
	executor, flow, err := s.prepare(ctx, d)
	if err != nil {
		return err
	}
	status := heddle.StatusJobDeployed
	_, err = runs.Submit(ctx, heddle.Submission{
		Flow: flow, ID: id, Executor: executor, Input: d.Input, Labels: d.Labels,
		Organization: d.Organization, Definition: d.ID, Due: due,
	})
	if heddle.CodeOf(err) == heddle.CodeConflict {
		if d.LatestRun == id {
			return nil // noted already
		}
		var detail heddle.RunDetail
		if detail, err = s.store.Run(ctx, id); err == nil {
			status = detail.Status()
		}
	}
	if err != nil {
		return err
	}
	d.Counter++
	d.LatestRun, d.LatestStatus = id, status
	return nil
}

// prepare returns what a run of a definition runs on, and its flow.
func (s *Scheduler) prepare(ctx context.Context, d *heddle.Definition) (executor string, flow *heddle.Flow, err error) {
	copied := *d.Flow
	copied.Steps = slices.Clone(d.Flow.Steps)
	executor, err = s.opts.Prepare(ctx, d.Executor, &copied)
	return executor, &copied, err
}

// live returns the runs of a definition that have not ended, if its schedule asks.
func (s *Scheduler) live(ctx context.Context, d *heddle.Definition) ([]heddle.RunID, error) {
	if d.Schedule.Overlap == "" || d.Schedule.Overlap == heddle.OverlapAllow {
		return nil, nil
	}
	return s.open(ctx, d.ID)
}

// open returns the runs of a definition that have not ended.
func (s *Scheduler) open(ctx context.Context, definition string) ([]heddle.RunID, error) {
	filter := heddle.RunFilter{Definition: definition, Limit: store.MaxPage,
		States: []heddle.RunState{heddle.RunPending, heddle.RunRunning, heddle.RunStopping, heddle.RunFinally}}
	var ids []heddle.RunID
	for {
		page, err := s.store.Runs(ctx, filter)
		if err != nil {
			return nil, err
		}
		for i := range page.Runs {
			ids = append(ids, page.Runs[i].ID)
		}
		if filter.After = page.Next; filter.After == "" {
			return ids, nil
		}
	}
}

// stop cancels a run unless it has ended.
func (s *Scheduler) stop(ctx context.Context, id heddle.RunID, reason string) {
	runs, err := s.service()
	if err == nil {
		err = runs.Cancel(ctx, id, reason)
	}
	if code := heddle.CodeOf(err); err != nil && code != heddle.CodeConflict && code != heddle.CodeNotFound {
		s.log.Warn("cancelling a run", "run_id", id, "error", err)
	}
}
