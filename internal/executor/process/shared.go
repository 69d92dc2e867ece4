package process

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/heddle/heddle"
)

func (e *Executor) sharedDir(run heddle.RunID) string {
	return filepath.Join(e.paths.shared(e.opts.StoreID), string(run))
}

// makeShared makes the directory of a run, unless it is there.
func (e *Executor) makeShared(run heddle.RunID) error {
	if e.opts.StoreID == "" || !run.Valid() {
		return heddle.Errorf(heddle.CodeInvalid, "sharing a directory in run %q needs a run's ID and a store", run)
	}
	if err := os.MkdirAll(e.sharedDir(run), 0o700); err != nil {
		return heddle.Errorf(heddle.CodeUnavailable, "making the shared directory of run %s: %w", run, err)
	}
	return nil
}

// Unshare deletes the shared directories of runs.
func (e *Executor) Unshare(_ context.Context, runs []heddle.RunID) error {
	var faults []error
	for _, run := range runs {
		if e.opts.StoreID == "" || !run.Valid() {
			continue
		}
		dir := e.sharedDir(run)
		err := os.RemoveAll(dir)
		if errors.Is(err, fs.ErrPermission) {
			makeWritable(dir)
			err = os.RemoveAll(dir)
		}
		if err != nil {
			faults = append(faults, heddle.Errorf(heddle.CodeUnavailable, "deleting the shared directory of run %s: %w", run, err))
		}
	}
	return errors.Join(faults...)
}

// makeWritable lets everything below dir be deleted: programs make directories that
// nobody may write to, such as Go's module cache.
func makeWritable(dir string) {
	// Whatever goes wrong, deleting says it again.
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
}

// Shares returns the runs that have a shared directory.
func (e *Executor) Shares(context.Context) ([]heddle.RunID, error) {
	if e.opts.StoreID == "" {
		return nil, nil
	}
	found, err := os.ReadDir(e.paths.shared(e.opts.StoreID))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, heddle.Errorf(heddle.CodeUnavailable, "listing shared directories: %w", err)
	}
	var runs []heddle.RunID
	for _, dir := range found {
		if run := heddle.RunID(dir.Name()); run.Valid() {
			runs = append(runs, run)
		}
	}
	return runs, nil
}
