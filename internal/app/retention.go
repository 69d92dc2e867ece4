package app

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/janitor"
	"github.com/heddle/heddle/internal/store"
	"github.com/heddle/heddle/internal/store/logs"
)

// Retention is how much is kept of runs that have ended; 0 of anything: all.
type Retention = janitor.Retention

// The bounds of what is deleted when an [App] is closed.
const (
	// tidyTime is about how long that may take.
	tidyTime = 250 * time.Millisecond
	// measureEvery is how often the sizes of logs are looked at.
	measureEvery = time.Hour
)

// newJanitor makes the janitor of a store; false if the store deletes nothing.
func newJanitor(st backend, dataDir string, log *slog.Logger) (*janitor.Janitor, bool) {
	pruner, ok := st.(store.Pruner)
	if !ok {
		return nil, false
	}
	return janitor.New(janitor.Options{Store: pruner, Logs: logs.Open(logDir(dataDir)), Log: log}), true
}

// tidy deletes what is beyond the retention, for a short while: the next to close
// goes on with what is left.
func (o Options) tidy(ctx context.Context, st backend) {
	j, ok := newJanitor(st, o.DataDir, o.Log)
	if !ok || o.Retention == (Retention{}) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tidyTime)
	defer cancel()
	if _, err := j.Keep(ctx, o.Retention, time.Now(), o.Retention.Bytes > 0 && o.measureNow()); err != nil && ctx.Err() == nil && o.Log != nil {
		o.Log.Warn("deleting old runs", "error", err)
	}
}

// measureNow reports whether it is time to look at sizes again, and notes that they
// are looked at.
func (o Options) measureNow() bool {
	path := filepath.Join(o.DataDir, "measured")
	info, err := os.Stat(path)
	if err == nil && time.Since(info.ModTime()) < measureEvery {
		return false
	}
	if errors.Is(err, fs.ErrNotExist) {
		return os.WriteFile(path, nil, 0o600) == nil
	}
	now := time.Now()
	return os.Chtimes(path, now, now) == nil
}

// PruneLimits say which of several runs are deleted: those that any limit wants to
// go or, without one, all.
type PruneLimits struct {
	OlderThan time.Duration // since the end
	Keep      int           // of them, the newest
	MaxBytes  int64         // that they may take, about
}

// PlanPrune returns the runs among those given that are to be deleted, oldest first,
// and how many of them cannot be: who owns them is still there.
func (r *Reader) PlanPrune(ctx context.Context, runs []heddle.Run, l PruneLimits, now time.Time) (victims []heddle.Run, held int, err error) {
	pruner, ok := r.store.(store.Pruner)
	if !ok {
		return nil, 0, errNoPruner()
	}
	byID := make(map[heddle.RunID]heddle.Run, len(runs))
	var candidates []janitor.Candidate
	for piece := range slices.Chunk(runs, 1000) {
		var ids []heddle.RunID
		for _, run := range piece {
			byID[run.ID] = run
			ids = append(ids, run.ID)
		}
		found, err := pruner.Prunable(ctx, store.PruneQuery{IDs: ids})
		if err != nil {
			return nil, 0, err
		}
		for _, p := range found {
			candidates = append(candidates, janitor.Candidate{ID: p.ID, Failed: !p.Outcome.Good(), Ended: p.Ended})
		}
	}
	limits := janitor.Limits{Age: l.OlderThan, Excess: len(candidates)}
	if l != (PruneLimits{}) {
		limits.Excess = 0
	}
	if l.Keep > 0 {
		limits.Excess = max(0, len(runs)-l.Keep)
	}
	if l.MaxBytes > 0 {
		j, _ := newJanitor(r.store, r.dir, nil)
		total, err := j.Measure(ctx, candidates)
		if err != nil {
			return nil, 0, err
		}
		limits.ExcessBytes = max(0, total-l.MaxBytes)
	}
	for _, c := range janitor.Choose(candidates, limits, now) {
		victims = append(victims, byID[c.ID])
	}
	return victims, len(byID) - len(candidates), nil
}

// Prune deletes runs that have ended, with their logs, and returns the IDs of those
// that are gone. What may not be deleted is left alone.
func (r *Reader) Prune(ctx context.Context, ids []heddle.RunID) ([]heddle.RunID, error) {
	j, ok := newJanitor(r.store, r.dir, nil)
	if !ok {
		return nil, errNoPruner()
	}
	return j.Delete(ctx, ids)
}

func errNoPruner() error {
	return heddle.Errorf(heddle.CodeUnavailable, "this store cannot delete runs yet")
}
