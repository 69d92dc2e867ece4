package janitor

import (
	"context"
	"log/slog"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// Retention is how much is kept of what has ended; 0 of anything: no bound. Failed
// runs are kept twice as long as others, as far as Runs and Bytes allow.
type Retention struct {
	Age   time.Duration // since their end
	Runs  int
	Bytes int64 // of database and logs, about
}

// Logs is what the janitor needs of where logs are kept.
type Logs interface {
	Runs() ([]heddle.RunID, error)
	Size(run heddle.RunID) (int64, error)
	Remove(run heddle.RunID) error
}

// Options configures a [Janitor].
type Options struct {
	Store store.Pruner
	Logs  Logs
	Log   *slog.Logger
}

// Janitor deletes runs.
type Janitor struct {
	store store.Pruner
	logs  Logs
	log   *slog.Logger
}

// New makes a janitor.
func New(o Options) *Janitor {
	j := &Janitor{store: o.Store, logs: o.Logs, log: o.Log}
	if j.log == nil {
		j.log = slog.New(slog.DiscardHandler)
	}
	return j
}

// batch is how many runs are deleted before the janitor looks whether its time is up.
const batch = 100

// Keep deletes what is beyond the retention, the oldest first, until nothing is or
// ctx is done, and returns how many runs that were. It begins when a limit is passed
// by a hundredth, so that not each new run costs a deletion. Sizes are looked at only
// if measure is set, which takes a look at each log.
func (j *Janitor) Keep(ctx context.Context, r Retention, now time.Time, measure bool) (int, error) {
	usage, err := j.store.Usage(ctx)
	if err != nil {
		return 0, err
	}
	l := Limits{Age: r.Age + r.Age/100, SpareFailed: true}
	if r.Runs > 0 && usage.Ended > r.Runs+r.Runs/100 {
		l.Excess = usage.Ended - r.Runs
	}
	each := int64(0) // what a run takes of the database
	if r.Bytes > 0 && measure {
		total, err := j.total(ctx, usage)
		if err != nil {
			return 0, err
		}
		l.ExcessBytes = max(0, total-r.Bytes)
		each = usage.Bytes / int64(max(1, usage.Ended))
	}
	deleted := 0
	for ctx.Err() == nil {
		oldest, err := j.oldest(ctx, l.ExcessBytes > 0, each)
		if err != nil {
			return deleted, err
		}
		if len(Choose(oldest, l, now)) == 0 {
			break
		}
		l.Age = r.Age
		victims := Choose(oldest, l, now)
		victims = victims[:min(len(victims), batch)]
		n, err := j.deleteAll(ctx, victims)
		deleted += n
		if err != nil || n == 0 {
			return deleted, err
		}
		for _, v := range victims {
			l.ExcessBytes = max(0, l.ExcessBytes-v.Bytes)
		}
		l.Excess = max(0, l.Excess-n)
	}
	return deleted, nil
}

// total is how many bytes there are. If the time does not suffice to look at all
// logs, it is told from those that were.
func (j *Janitor) total(ctx context.Context, usage store.Usage) (int64, error) {
	ids, err := j.logs.Runs()
	if err != nil {
		return 0, err
	}
	if deadline, ok := ctx.Deadline(); ok { // the rest is for what is to be done about it
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	var sum int64
	for i, id := range ids {
		if i > 0 && ctx.Err() != nil {
			sum = sum / int64(i) * int64(len(ids))
			break
		}
		size, err := j.logs.Size(id)
		if err != nil {
			return 0, err
		}
		sum += size
	}
	return usage.Bytes + sum, nil
}

// oldest returns the oldest runs of those that ended well and of the others, enough
// of both for a batch.
func (j *Janitor) oldest(ctx context.Context, sizes bool, each int64) ([]Candidate, error) {
	var candidates []Candidate
	for _, outcomes := range [][]heddle.Outcome{
		{heddle.Success, heddle.Skipped}, {heddle.Failure, heddle.Abort, heddle.Timeout},
	} {
		found, err := j.store.Prunable(ctx, store.PruneQuery{Outcomes: outcomes, Limit: batch})
		if err != nil {
			return nil, err
		}
		for _, p := range found {
			c := Candidate{ID: p.ID, Failed: !p.Outcome.Good(), Ended: p.Ended}
			if sizes {
				if c.Bytes, err = j.logs.Size(p.ID); err != nil {
					return nil, err
				}
				c.Bytes += each
			}
			candidates = append(candidates, c)
		}
	}
	return candidates, nil
}

func (j *Janitor) deleteAll(ctx context.Context, victims []Candidate) (int, error) {
	ids := make([]heddle.RunID, len(victims))
	for i, v := range victims {
		ids[i] = v.ID
	}
	gone, err := j.Delete(ctx, ids)
	return len(gone), err
}

// Delete deletes runs with their logs and returns the IDs of those that are gone.
// What may not be deleted is left alone. The logs go first: should it be interrupted,
// the runs are still there to be deleted again.
func (j *Janitor) Delete(ctx context.Context, ids []heddle.RunID) ([]heddle.RunID, error) {
	found, err := j.store.Prunable(ctx, store.PruneQuery{IDs: ids})
	if err != nil {
		return nil, err
	}
	free := make([]heddle.RunID, len(found))
	for i, p := range found {
		free[i] = p.ID
		if err := j.logs.Remove(p.ID); err != nil {
			return nil, err
		}
	}
	if len(free) == 0 {
		return nil, nil
	}
	gone, err := j.store.Delete(ctx, free)
	if len(gone) > 0 {
		j.log.Debug("deleted runs", "count", len(gone), "oldest", gone[0])
	}
	return gone, err
}

// Measure fills in how many bytes the deletion of each run frees, and returns how
// many there are in all.
func (j *Janitor) Measure(ctx context.Context, runs []Candidate) (total int64, err error) {
	usage, err := j.store.Usage(ctx)
	if err != nil {
		return 0, err
	}
	each := usage.Bytes / int64(max(1, usage.Ended))
	for i := range runs {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		if runs[i].Bytes, err = j.logs.Size(runs[i].ID); err != nil {
			return 0, err
		}
		runs[i].Bytes += each
		total += runs[i].Bytes
	}
	return total, nil
}
