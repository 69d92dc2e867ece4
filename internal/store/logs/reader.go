package logs

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/heddle/heddle"
)

// sweep is how often a follower looks at all files although no event told it to.
const sweep = time.Second

// Ended returns a channel that is closed once the run has ended and no more will be
// written to its logs, or an error such as [heddle.CodeNotFound].
type Ended func(ctx context.Context, run heddle.RunID) (<-chan struct{}, error)

// Reader reads a log store; it implements [heddle.Logs].
type Reader struct {
	dir   *Dir
	ended Ended
}

var _ heddle.Logs = (*Reader)(nil)

// NewReader makes a reader that learns from ended how long to follow a run.
func NewReader(dir *Dir, ended Ended) *Reader { return &Reader{dir: dir, ended: ended} }

// Lines implements [heddle.Logs]. Attempts come one after another, by visit and
// number; when following, as they write. A run without logs has no lines.
func (r *Reader) Lines(ctx context.Context, q heddle.LogQuery) iter.Seq2[heddle.LogLine, error] {
	return func(yield func(heddle.LogLine, error) bool) {
		dir, err := r.dir.run(q.Run)
		if err != nil {
			yield(heddle.LogLine{}, err)
			return
		}
		f := &follower{dir: dir, visit: q.Visit, try: q.Try, files: map[string]*file{}}
		stopped := false
		lines := func(line heddle.LogLine) bool {
			if ctx.Err() != nil {
				return false
			}
			stopped = !yield(line, nil)
			return !stopped
		}
		if q.Follow {
			err = r.follow(ctx, q.Run, f, lines)
		} else {
			err = f.readAll(true, lines)
		}
		var known *heddle.Error
		switch {
		case err == nil, stopped, q.Follow && ctx.Err() != nil:
		case errors.As(err, &known):
			yield(heddle.LogLine{}, err)
		default:
			yield(heddle.LogLine{}, heddle.Errorf(heddle.CodeStore, "reading the logs of run %s: %w", q.Run, cmp.Or(ctx.Err(), err)))
		}
	}
}

// errStopped says that the caller wants no more lines.
var errStopped = errors.New("stopped")

// follow yields what is there and what comes, until the run has ended.
func (r *Reader) follow(ctx context.Context, run heddle.RunID, f *follower, yield func(heddle.LogLine) bool) error {
	ended, err := r.ended(ctx, run)
	if err != nil {
		return err
	}
	w := watch(f.dir)
	defer w.close()
	tick := time.NewTicker(sweep)
	defer tick.Stop()
	changed := "" // the file that an event was about; "" for any
	for {
		// Asked before reading, so that what was written before the end is read after it.
		over := false
		select {
		case <-ended:
			over = true
		default:
		}
		if over || changed == "" {
			w.enter()
			err = f.readAll(over, yield)
		} else {
			err = f.read(changed, false, yield)
		}
		if over || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ended:
		case <-tick.C:
			changed = ""
		case event := <-w.Events:
			changed = ""
			if filepath.Dir(event.Name) == f.dir {
				changed = filepath.Base(event.Name)
			}
		case <-w.Errors: // an overflow, say: events are lost
			changed = ""
		}
	}
}

// watcher watches a run's folder, and the one above for as long as that is missing.
type watcher struct {
	*fsnotify.Watcher
	dir     string
	working bool
	inside  bool
}

// watch never fails: without events the sweep finds everything, only later.
func watch(dir string) *watcher {
	w := &watcher{dir: dir}
	var err error
	if w.Watcher, err = fsnotify.NewWatcher(); err != nil {
		w.Watcher = &fsnotify.Watcher{} // has no events
		return w
	}
	w.working = true
	if w.enter(); !w.inside {
		_ = w.Add(filepath.Dir(dir))
		w.enter() // it may have come in between
	}
	return w
}

// enter watches the run's folder if it is there.
func (w *watcher) enter() {
	if !w.working || w.inside || w.Add(w.dir) != nil {
		return
	}
	w.inside = true
	_ = w.Remove(filepath.Dir(w.dir))
}

func (w *watcher) close() {
	if w.working {
		_ = w.Watcher.Close()
	}
}

// follower knows how far each file of a run has been read.
type follower struct {
	dir   string
	visit int // 0: all
	try   int // of the visit; 0: all
	files map[string]*file
}

type file struct {
	offset int64
	joiner joiner
}

// readAll reads on in every file, in order of visit and attempt. With last set, it
// yields lines as well whose end is missing.
func (f *follower) readAll(last bool, yield func(heddle.LogLine) bool) error {
	if f.visit != 0 && f.try != 0 {
		return f.read(fileName(f.visit, f.try), last, yield) // a run may have many others
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	type named struct {
		name       string
		visit, try int
	}
	var found []named
	for _, entry := range entries {
		if visit, try, ok := parseName(entry.Name()); ok {
			found = append(found, named{entry.Name(), visit, try})
		}
	}
	slices.SortFunc(found, func(a, b named) int { return cmp.Or(cmp.Compare(a.visit, b.visit), cmp.Compare(a.try, b.try)) })
	for _, n := range found {
		if err := f.read(n.name, last, yield); err != nil {
			return err
		}
	}
	return nil
}

// read reads on in one file; a name that is not a log's is ignored.
func (f *follower) read(name string, last bool, yield func(heddle.LogLine) bool) error {
	visit, try, ok := parseName(name)
	if !ok || f.visit != 0 && visit != f.visit || f.try != 0 && try != f.try {
		return nil
	}
	at := f.files[name]
	if at == nil {
		at = &file{joiner: joiner{visit: visit, try: try}}
		f.files[name] = at
	}
	opened, err := os.Open(filepath.Join(f.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed meanwhile
	}
	if err != nil {
		return err
	}
	defer opened.Close()
	if info, err := opened.Stat(); err == nil && info.Size() == at.offset && !last {
		return nil
	}
	if _, err := opened.Seek(at.offset, io.SeekStart); err != nil {
		return err
	}
	return at.lines(bufio.NewReaderSize(opened, 64<<10), last, yield)
}

// lines reads whole lines to the end of the file.
func (f *file) lines(from *bufio.Reader, last bool, yield func(heddle.LogLine) bool) error {
	for {
		line, err := from.ReadString('\n')
		if err == io.EOF {
			return f.end(line, last, yield)
		}
		if err != nil {
			return err
		}
		f.offset += int64(len(line))
		if !f.joiner.add(line[:len(line)-1], yield) {
			return errStopped
		}
	}
}

// end handles a line without an end, the last of a file.
func (f *file) end(line string, last bool, yield func(heddle.LogLine) bool) error {
	if !last {
		return nil // the rest is still being written
	}
	// Of a line that a crash has cut, what can be read counts.
	if _, _, _, _, ok := decode(line); ok && !f.joiner.add(line, yield) || !f.joiner.flush(yield) {
		return errStopped
	}
	return nil
}
