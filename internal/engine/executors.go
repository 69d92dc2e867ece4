package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/machine"
)

// opened is an executor in use, with the lines of attempts to be released and of runs
// whose directories are to be deleted.
type opened struct {
	executor.Executor
	e *Engine

	mu       sync.Mutex
	line     []heddle.AttemptID
	over     []heddle.RunID
	draining chan struct{} // closed when both are empty; nil: they are
}

// executor returns the executor of that name, opening it at its first use. That may
// take long, and so holds up only who needs an executor that is not open yet.
func (e *Engine) executor(name string) (*opened, error) {
	if x, err := e.openedAs(name); x != nil || err != nil {
		return x, err
	}
	e.opening.Lock()
	defer e.opening.Unlock()
	if x, err := e.openedAs(name); x != nil || err != nil {
		return x, err
	}
	exec, err := e.opts.Open(e.ctx, name, e.report)
	if err != nil {
		return nil, err
	}
	x := &opened{Executor: exec, e: e}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopping {
		return nil, errors.Join(errStopped, x.Close())
	}
	e.executors[name] = x
	if lister, ok := exec.(executor.Lister); ok {
		e.tasks.Go(func() { x.sweep(lister) })
	}
	if sharer, ok := exec.(executor.Sharer); ok {
		e.tasks.Go(func() { x.sweepShares(sharer) })
	}
	return x, nil
}

// openedAs returns the executor of that name, nil if it is not open yet.
func (e *Engine) openedAs(name string) (*opened, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopping {
		return nil, errStopped
	}
	return e.executors[name], nil
}

// report is the sink of all executors.
func (e *Engine) report(r executor.Report) {
	run, _, _, ok := r.Attempt.Split()
	if !ok {
		e.log.Warn("an executor reported an attempt with a strange ID", "attempt", r.Attempt)
		return
	}
	a := e.actor(run)
	if a == nil {
		return // ended, or another's: whoever adopts it is told again
	}
	if r.Exit == nil {
		a.post(machine.Running{Attempt: r.Attempt, Started: r.Started})
		return
	}
	a.post(machine.Ended{Attempt: r.Attempt, Exit: *r.Exit})
}

// release lets go of attempts in the background, many at a time: it is not on the
// way from one step to the next.
func (x *opened) release(ids []heddle.AttemptID) {
	x.queue(ids, nil)
}

// unshare has the directories that runs had in common deleted, likewise.
func (x *opened) unshare(runs ...heddle.RunID) {
	if _, ok := x.Executor.(executor.Sharer); ok {
		x.queue(nil, runs)
	}
}

func (x *opened) queue(ids []heddle.AttemptID, over []heddle.RunID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.line, x.over = append(x.line, ids...), append(x.over, over...)
	if x.draining == nil {
		x.draining = make(chan struct{})
		x.e.tasks.Go(x.drain)
	}
}

// settle waits until what is to be released is, or the time is up: an engine that
// stops in good order leaves nothing behind.
func (x *opened) settle(limit <-chan struct{}) {
	x.mu.Lock()
	draining := x.draining
	x.mu.Unlock()
	if draining == nil {
		return
	}
	select {
	case <-draining:
	case <-limit:
	}
}

func (x *opened) drain() {
	for {
		x.mu.Lock()
		ids, over := x.line, x.over
		x.line, x.over = nil, nil
		if len(ids)+len(over) == 0 {
			close(x.draining)
			x.draining = nil
			x.mu.Unlock()
			return
		}
		x.mu.Unlock()
		if len(ids) > 0 {
			if err := x.Release(x.e.ctx, ids); err != nil {
				x.e.log.Debug("releasing attempts failed", "error", err, "again in", x.e.opts.ReleaseAgain)
				x.later(ids, nil)
			}
		}
		if sharer, ok := x.Executor.(executor.Sharer); ok && len(over) > 0 {
			if err := sharer.Unshare(x.e.ctx, over); err != nil {
				x.e.log.Debug("deleting the directories of runs failed", "error", err, "again in", x.e.opts.ReleaseAgain)
				x.later(nil, over)
			}
		}
	}
}

// later queues what could not be let go of once more, after a pause in which others
// are. An engine that stops does not wait for it: what is left behind is swept up when
// the executor is next opened.
func (x *opened) later(ids []heddle.AttemptID, over []heddle.RunID) {
	x.e.tasks.Go(func() {
		select {
		case <-time.After(x.e.opts.ReleaseAgain):
			x.queue(ids, over)
		case <-x.e.ctx.Done():
		}
	})
}

// sweepShares deletes the directories of runs that have ended, as far as the store
// knows them: others may belong to somebody else.
func (x *opened) sweepShares(sharer executor.Sharer) {
	runs, err := sharer.Shares(x.e.ctx)
	if err != nil {
		x.e.log.Debug("listing the directories of runs failed", "error", err)
		return
	}
	for ids := range slices.Chunk(runs, sweepBatch) {
		page, err := x.e.opts.History.Runs(x.e.ctx, heddle.RunFilter{
			IDs: ids, States: []heddle.RunState{heddle.RunEnded}, Limit: len(ids),
		})
		if err != nil {
			x.e.log.Debug("looking up the runs of directories failed", "error", err)
			return
		}
		for i := range page.Runs {
			x.unshare(page.Runs[i].ID)
		}
	}
}

// sweepBatch is how many leftovers are looked up at once.
const sweepBatch = 500

// sweep releases what a crash between a commit and its release left behind.
func (x *opened) sweep(lister executor.Lister) {
	held, err := lister.Held(x.e.ctx)
	if err != nil {
		x.e.log.Debug("listing what an executor holds failed", "error", err)
		return
	}
	for ids := range slices.Chunk(held, sweepBatch) {
		status, err := x.e.opts.History.AttemptStatus(x.e.ctx, ids)
		if err != nil {
			x.e.log.Debug("looking up what an executor holds failed", "error", err)
			return
		}
		var over []heddle.AttemptID
		for _, id := range ids {
			if status[id].Ended() {
				over = append(over, id)
			}
		}
		if len(over) > 0 {
			x.release(over)
		}
	}
}

// Resume takes up runs whose engine is gone: those named, or all. It returns the
// ones that it has in hand now; the others are owned, have ended or do not exist, or
// are in the error.
func (e *Engine) Resume(ctx context.Context, ids ...heddle.RunID) ([]heddle.RunID, error) {
	claimed, err := e.opts.Store.Claim(ctx, ids)
	if err != nil {
		return nil, err
	}
	const workers = 4
	faults := make([]error, len(claimed))
	line := make(chan int)
	var done sync.WaitGroup
	for range min(workers, len(claimed)) {
		done.Go(func() {
			for i := range line {
				faults[i] = e.resume(ctx, claimed[i])
			}
		})
	}
	for i := range claimed {
		line <- i
	}
	close(line)
	done.Wait()
	var taken []heddle.RunID
	for i, id := range claimed {
		if faults[i] == nil {
			taken = append(taken, id)
		} else {
			faults[i] = heddle.Errorf(heddle.CodeOf(faults[i]), "taking up run %s: %w", id, faults[i])
		}
	}
	return taken, errors.Join(faults...)
}

// resume takes up a run that is claimed. A request that is heard of while its rows
// are read finds no actor: the launch sees to it.
func (e *Engine) resume(ctx context.Context, id heddle.RunID) error {
	e.mu.Lock()
	e.coming[id] = false
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.coming, id)
	}()
	return e.takeUp(ctx, id)
}

func (e *Engine) takeUp(ctx context.Context, id heddle.RunID) error {
	e.evict(id)
	snap, err := e.opts.Store.Load(ctx, id)
	if err != nil {
		return err
	}
	_, graph, err := e.graph(snap.Flow)
	if err != nil {
		return err
	}
	exec, err := e.executor(snap.Run.Executor)
	if err != nil {
		return err
	}
	state, effects, err := machine.Restore(graph, snap.Run, snap.Visits, snap.Attempts, e.ambient(snap.Run.Input.Ambient))
	if err != nil {
		return err
	}
	a := e.newActor(state, exec)
	a.epoch, a.seq, a.recovered = snap.Epoch, snap.Seq, effects
	var first []machine.Event
	if snap.Run.State == heddle.RunPending {
		first = append(first, machine.Begin{})
	}
	if snap.Cancels > 0 {
		first = append(first, machine.Cancel{Count: snap.Cancels, Reason: snap.CancelReason})
	}
	return e.launch(a, append(first, machine.Tick{})...)
}
