package logs

import (
	"errors"
	"io/fs"
	"os"

	"github.com/heddle/heddle"
)

// Runs returns the IDs of the runs of which something is kept.
func (d *Dir) Runs() ([]heddle.RunID, error) {
	entries, err := os.ReadDir(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeStore, "listing the logs in %s: %w", d.path, err)
	}
	var ids []heddle.RunID
	for _, entry := range entries {
		if id := heddle.RunID(entry.Name()); entry.IsDir() && id.Valid() {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Size returns how many bytes are kept of a run.
func (d *Dir) Size(run heddle.RunID) (int64, error) {
	dir, err := d.run(run)
	if err != nil {
		return 0, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, heddle.Errorf(heddle.CodeStore, "measuring the logs of run %s: %w", run, err)
	}
	var size int64
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil { // else it has just been removed
			size += info.Size()
		}
	}
	return size, nil
}
