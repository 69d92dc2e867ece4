package engine

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/store"
)

// lookAgain is when a run that could not be seen from here is looked at once more.
const lookAgain = 30 * time.Second

// unseen remembers orphans that this engine must leave to others.
type unseen struct {
	mu   sync.Mutex
	when map[heddle.RunID]time.Time
}

// skip reports whether a run was looked at so lately that it is not worth it.
func (u *unseen) skip(id heddle.RunID, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	when, ok := u.when[id]
	return ok && now.Sub(when) < lookAgain
}

// keep replaces what is remembered: those that are no orphans any more are forgotten.
func (u *unseen) keep(orphans []heddle.RunID, blind []heddle.RunID, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id := range u.when {
		if !slices.Contains(orphans, id) {
			delete(u.when, id)
		}
	}
	for _, id := range blind {
		u.when[id] = now
	}
}

// Adopt takes up the runs whose engine is gone, as [Engine.Resume] does, but for
// those with an open attempt at a place that cannot be seen from here: another host,
// a Docker daemon or cluster that does not answer. These wait for who can see them.
// So do those that want an environment, if the engine has none to give, and those that
// [Options.CheckOrphan] names.
func (e *Engine) Adopt(ctx context.Context) ([]heddle.RunID, error) {
	orphans, err := e.opts.History.Orphaned(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var seen, blind []heddle.RunID
	closed := map[string]bool{} // executors that cannot be opened
	for _, id := range orphans {
		if e.unseen.skip(id, now) {
			continue
		}
		if why := e.blindTo(ctx, id, closed); why != "" {
			blind = append(blind, id)
			e.log.Warn("a run whose engine is gone cannot be taken up here", "run_id", id, "reason", why)
			continue
		}
		seen = append(seen, id)
	}
	e.unseen.keep(orphans, blind, now)
	if len(seen) == 0 {
		return nil, nil
	}
	return e.Resume(ctx, seen...)
}

// blindTo says why a run cannot be gone on with here; "": it can.
func (e *Engine) blindTo(ctx context.Context, id heddle.RunID, closed map[string]bool) string {
	const noExecutor = "its executor is not to be had"
	d, err := e.opts.History.Run(ctx, id)
	switch {
	case err != nil:
		return err.Error()
	case closed[d.Run.Executor]:
		return noExecutor
	case d.Run.Input.Ambient != nil && e.opts.Ambient == nil:
		return "it wants the environment of who goes on with it: 'heddle runs resume' does"
	}
	if err := e.opts.CheckOrphan(&d); err != nil {
		return err.Error() + "; 'heddle runs resume' goes on with it"
	}
	exec, err := e.executor(d.Run.Executor)
	if err != nil {
		closed[d.Run.Executor] = true
		e.log.Warn("opening an executor", "executor", d.Run.Executor, "error", err)
		return noExecutor
	}
	for i := range d.Attempts {
		a := &d.Attempts[i]
		if a.Status.Ended() || a.Place == "" {
			continue
		}
		seer, ok := exec.Executor.(executor.Seer)
		if ok && !seer.Sees(a.Place) || !ok && a.Place != exec.Place() {
			return "its place cannot be seen from here"
		}
	}
	return ""
}

// evict ends the actor of a run that this engine once owned, lost and has claimed
// again: what the actor knows is out of date, and its writes would be fenced.
func (e *Engine) evict(id heddle.RunID) {
	if a := e.actor(id); a != nil {
		e.dismiss(a)
	}
}

// dismiss ends an actor and waits until it has left.
func (e *Engine) dismiss(a *actor) {
	a.evict.Do(func() { close(a.evicted) })
	select {
	case <-a.gone:
	case <-e.ctx.Done():
	}
}

// lapseLoop ends the actors of runs that others have claimed because they took this
// engine for gone. Without it, one that has nothing to commit would never find out, and
// neither would those who watch its run.
func (e *Engine) lapseLoop(st store.Lapser) {
	for {
		select {
		case <-st.Lapsed():
			e.persist("looking for runs that others took up", func(ctx context.Context) error { return e.dropLost(ctx, st) })
		case <-e.ctx.Done():
			return
		}
	}
}

func (e *Engine) dropLost(ctx context.Context, st store.Lapser) error {
	e.mu.Lock()
	actors := maps.Clone(e.actors) // one that comes later has claimed its run since
	e.mu.Unlock()
	lost, err := st.Lost(ctx, slices.Collect(maps.Keys(actors)))
	for _, id := range lost {
		e.log.Warn("the run belongs to another engine now", "run_id", id)
		e.dismiss(actors[id])
	}
	return err
}

// Stats is what an engine is at.
type Stats struct {
	// Runs counts those in hand by their state.
	Runs map[heddle.RunState]int
	// Causeless counts those of them that have nothing that will wake them: a number
	// that must be 0.
	Causeless int
	// Waiting counts the runs that wait for a place.
	Waiting int
}

// Stats returns what the engine is at.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	actors := make([]*actor, 0, len(e.actors))
	for _, a := range e.actors {
		actors = append(actors, a)
	}
	e.mu.Unlock()
	s := Stats{Runs: map[heddle.RunState]int{}, Waiting: e.places.waiting()}
	for _, a := range actors {
		if a.causeless.Load() {
			s.Causeless++
		}
		state := heddle.RunPending
		if at := a.at.Load(); at != nil {
			state = *at
		}
		s.Runs[state]++
	}
	return s
}

// InHand returns the runs that the engine advances.
func (e *Engine) InHand() []heddle.RunID {
	e.mu.Lock()
	defer e.mu.Unlock()
	ids := make([]heddle.RunID, 0, len(e.actors))
	for id := range e.actors {
		ids = append(ids, id)
	}
	return ids
}

// Owns reports whether the engine has the run in hand.
func (e *Engine) Owns(id heddle.RunID) bool { return e.actor(id) != nil }
