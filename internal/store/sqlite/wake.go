package sqlite

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/heddle/heddle"
)

// recheck is when requests are looked for again after that failed, and how often
// they are looked for where files cannot be watched.
const recheck = time.Second

// waker tells the owner of runs about requests that others leave in their rows.
type waker struct {
	out   chan heddle.RunID
	kicks chan struct{}
	done  chan struct{}
	ended chan struct{}

	log      *slog.Logger
	requests func(context.Context) (map[heddle.RunID]int, error)
	watcher  *fsnotify.Watcher
}

// newWaker starts to watch the session's wake file. requests counts the requests
// of each run.
func newWaker(log *slog.Logger, s *session, requests func(context.Context) (map[heddle.RunID]int, error)) *waker {
	w := &waker{
		out: make(chan heddle.RunID, 16), kicks: make(chan struct{}, 1), done: make(chan struct{}), ended: make(chan struct{}),
		log: log, requests: requests,
	}
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		if err = watcher.Add(s.file(wakeSuffix)); err != nil {
			_ = watcher.Close()
		}
	}
	if err != nil {
		log.Warn("cannot watch for requests of other processes: looking every second", "error", err)
		watcher = &fsnotify.Watcher{}
	}
	w.watcher = watcher
	go w.run(err == nil)
	return w
}

// kick has the requests looked for.
func (w *waker) kick() {
	select {
	case w.kicks <- struct{}{}:
	default:
	}
}

// stop ends the watch. Nothing is delivered afterwards.
func (w *waker) stop() {
	close(w.done)
	<-w.ended
}

func (w *waker) run(watching bool) {
	defer close(w.ended)
	if watching {
		defer w.watcher.Close()
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-w.done
		cancel()
	}()
	again := time.NewTimer(recheck)
	if watching {
		again.Stop()
	}
	told := map[heddle.RunID]int{} // requests delivered
	var queue []heddle.RunID
	for {
		var out chan heddle.RunID
		var next heddle.RunID
		if len(queue) > 0 {
			out, next = w.out, queue[0]
		}
		select {
		case out <- next:
			queue = queue[1:]
			continue
		case <-w.done:
			return
		case <-w.watcher.Events:
		case err := <-w.watcher.Errors: // an overflow, say: an event may be lost
			w.log.Debug("watching for requests", "error", err)
		case <-w.kicks:
		case <-again.C:
		}
		counts, err := w.requests(ctx)
		if err != nil {
			w.log.Warn("looking for requests", "error", err)
		}
		if err != nil || !watching {
			again.Reset(recheck)
		}
		if err != nil {
			continue
		}
		for _, id := range slices.Sorted(maps.Keys(counts)) {
			if counts[id] > told[id] && !slices.Contains(queue, id) {
				queue = append(queue, id)
			}
		}
		told = counts
	}
}
