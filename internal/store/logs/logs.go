// Package logs keeps what programs print in a directory: one file per attempt,
// named <run>/<visit>-<attempt>.log, in the format of container logs (CRI): a
// line each of time, stream, F for a whole line or P for a part of one, and text.
//
//	2026-11-21T07:39:00.123456789Z stdout F text
package logs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/heddle/heddle"
)

// Dir is a log store in a directory, which is made when something is written.
type Dir struct{ path string }

// Open returns the log store in the directory at path.
func Open(path string) *Dir { return &Dir{path: path} }

// Create returns a writer that appends to an attempt's file, and makes that with
// the first write. What is written must be whole lines of the format. An ID that
// is not one is [heddle.CodeInvalid].
func (d *Dir) Create(id heddle.AttemptID) (io.WriteCloser, error) {
	path, err := d.file(id)
	if err != nil {
		return nil, err
	}
	return &writer{path: path}, nil
}

// Recreate is [Dir.Create] for who writes all of an attempt's output anew.
func (d *Dir) Recreate(id heddle.AttemptID) (io.WriteCloser, error) {
	path, err := d.file(id)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, heddle.Errorf(heddle.CodeStore, "emptying the log of attempt %s: %w", id, err)
	}
	return &writer{path: path}, nil
}

// Remove deletes everything kept of a run.
func (d *Dir) Remove(run heddle.RunID) error {
	dir, err := d.run(run)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return heddle.Errorf(heddle.CodeStore, "removing the logs of run %s: %w", run, err)
	}
	return nil
}

// tailSizes are how many bytes from its end [Dir.Last] reads of a file: the second
// only if the last line may begin before the first.
func tailSizes() []int64 { return []int64{64 << 10, 2 * maxLine} }

// Last returns the last line that an attempt has written; false when there is none.
func (d *Dir) Last(id heddle.AttemptID) (heddle.LogLine, bool) {
	path, err := d.file(id)
	if err != nil {
		return heddle.LogLine{}, false
	}
	f, err := os.Open(path)
	if err != nil {
		return heddle.LogLine{}, false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return heddle.LogLine{}, false
	}
	_, visit, try, _ := id.Split()
	for _, size := range tailSizes() {
		start := max(0, info.Size()-size)
		from := bufio.NewReader(io.NewSectionReader(f, start, info.Size()-start))
		if start > 0 {
			// Where it begins is most likely amid a line.
			_, _ = from.ReadString('\n')
		}
		var last heddle.LogLine
		seen := map[string]int{} // lines of each stream
		tail := file{joiner: joiner{visit: visit, try: try}}
		err := tail.lines(from, true, func(line heddle.LogLine) bool {
			last = line
			seen[line.Stream]++
			return true
		})
		if err != nil {
			return heddle.LogLine{}, false
		}
		// The first of its stream may lack parts that stand before the tail.
		if start == 0 || seen[last.Stream] > 1 || size > maxLine && len(seen) > 0 {
			return last, len(seen) > 0
		}
	}
	return heddle.LogLine{}, false
}

// run returns the folder of a run, whose ID may come from anywhere.
func (d *Dir) run(id heddle.RunID) (string, error) {
	if !id.Valid() {
		return "", heddle.Errorf(heddle.CodeInvalid, "%q is not the ID of a run", id)
	}
	return filepath.Join(d.path, string(id)), nil
}

func (d *Dir) file(id heddle.AttemptID) (string, error) {
	run, visit, try, ok := id.Split()
	if !ok {
		return "", heddle.Errorf(heddle.CodeInvalid, "%q is not the ID of an attempt", id)
	}
	return filepath.Join(d.path, string(run), fileName(visit, try)), nil
}

func fileName(visit, try int) string { return fmt.Sprintf("%d-%d.log", visit, try) }

// parseName is the inverse of fileName.
func parseName(name string) (visit, try int, ok bool) {
	head, tail, ok := strings.Cut(strings.TrimSuffix(name, ".log"), "-")
	visit, err1 := strconv.Atoi(head)
	try, err2 := strconv.Atoi(tail)
	return visit, try, ok && err1 == nil && err2 == nil && fileName(visit, try) == name
}

// writer makes its file with the first write.
type writer struct {
	path string

	mu     sync.Mutex
	file   *os.File
	closed bool
}

// Write appends to the file.
func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, fmt.Errorf("writing %s: %w", w.path, fs.ErrClosed)
	}
	if w.file == nil {
		if err := w.open(); err != nil {
			return 0, heddle.Errorf(heddle.CodeStore, "opening the log %s: %w", w.path, err)
		}
	}
	return w.file.Write(p)
}

// open opens the file, and ends a line that a crash has left torn.
func (w *writer) open() error {
	if err := os.MkdirAll(filepath.Dir(w.path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(w.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		last := []byte{'\n'}
		if _, err = f.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			_, err = f.Write([]byte{'\n'})
		}
		if err != nil {
			return errors.Join(err, f.Close())
		}
	}
	w.file = f
	return nil
}

// Close closes the file, if there is one. It may be called twice.
func (w *writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.file == nil {
		w.closed = true
		return nil
	}
	w.closed = true
	return w.file.Close()
}
