package app

import (
	"context"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/keys"
	"github.com/heddle/heddle/internal/machine"
	"github.com/heddle/heddle/internal/store/logs"
)

// Reader reads a data directory without running anything.
type Reader struct {
	dir   string
	store backend
	logs  heddle.Logs
}

// OpenReader opens the data directory for reading, and for requests to cancel.
func OpenReader(ctx context.Context, o Options) (*Reader, error) {
	dir, err := realDir(o.DataDir)
	if err != nil {
		return nil, err
	}
	o.DataDir = dir
	st, _, err := openStore(ctx, o)
	if err != nil {
		return nil, err
	}
	r := &Reader{dir: dir, store: st}
	r.logs = logs.NewReader(logs.Open(logDir(dir)), ended(r))
	return r, nil
}

var _ heddle.Runs = (*Reader)(nil)

// Runs is the service for runs; it submits none.
func (r *Reader) Runs() heddle.Runs { return r }

// Logs is the service for what steps print.
func (r *Reader) Logs() heddle.Logs { return r.logs }

// Keys is the service for keys.
func (r *Reader) Keys() heddle.Keys { return keys.New(r.store, time.Now) }

// Pools is the service for pools.
func (r *Reader) Pools() heddle.Pools { return r.store }

// Close closes the store.
func (r *Reader) Close() error { return r.store.Close() }

// Submit refuses: there is no engine.
func (r *Reader) Submit(context.Context, heddle.Submission) (heddle.Run, error) {
	return heddle.Run{}, heddle.Errorf(heddle.CodeUnavailable, "no engine is open here")
}

// Get implements [heddle.Runs]. Of a run whose engine is gone it says so.
func (r *Reader) Get(ctx context.Context, id heddle.RunID) (heddle.RunDetail, error) {
	d, err := r.store.Run(ctx, id)
	if err != nil || d.Run.State == heddle.RunEnded {
		return d, err
	}
	d.Waiting = machine.Waits(&d)
	orphans, err := r.store.Orphaned(ctx)
	if err != nil {
		return d, err
	}
	for _, orphan := range orphans {
		if orphan == id {
			d.Waiting = append([]heddle.Waiting{{
				Reason:  heddle.WaitOwner,
				Message: "the process that ran it is gone; `heddle runs resume " + string(id) + "` takes it up again",
			}}, d.Waiting...)
		}
	}
	return d, nil
}

// List implements [heddle.Runs].
func (r *Reader) List(ctx context.Context, f heddle.RunFilter) (heddle.RunPage, error) {
	return r.store.Runs(ctx, f)
}

// Cancel implements [heddle.Runs]: it leaves the request to the run's owner.
func (r *Reader) Cancel(ctx context.Context, id heddle.RunID, reason string) error {
	return r.store.RequestCancel(ctx, id, reason)
}

// watchInterval is how often a reader looks at a run that another process owns:
// there is nothing here that could tell it of a change.
const watchInterval = 200 * time.Millisecond

// Watch implements [heddle.Runs] by looking at the store now and then.
func (r *Reader) Watch(ctx context.Context, id heddle.RunID) (<-chan heddle.RunUpdate, error) {
	d, err := r.store.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	updates := make(chan heddle.RunUpdate)
	go func() {
		defer close(updates)
		for {
			select {
			case updates <- heddle.RunUpdate{Run: d.Run, Visits: d.Visits, Attempts: d.Attempts}:
			case <-ctx.Done():
				return
			}
			if d.Run.State == heddle.RunEnded {
				return
			}
			select {
			case <-time.After(watchInterval):
			case <-ctx.Done():
				return
			}
			if d, err = r.store.Run(ctx, id); err != nil {
				return
			}
		}
	}()
	return updates, nil
}

// ended tells a reader of logs when a run has ended.
func ended(runs heddle.Runs) func(context.Context, heddle.RunID) (<-chan struct{}, error) {
	return func(ctx context.Context, id heddle.RunID) (<-chan struct{}, error) {
		updates, err := runs.Watch(ctx, id)
		if err != nil {
			return nil, err
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range updates {
			}
		}()
		return done, nil
	}
}
