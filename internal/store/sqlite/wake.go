package sqlite

import (
	"log/slog"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/heddle/heddle/internal/store"
)

// wakeWatch kicks a waker when the session's wake file is touched, or each second
// where files cannot be watched.
type wakeWatch struct {
	waker *store.Waker
	done  chan struct{}
	ended chan struct{}
}

func watchWakes(log *slog.Logger, s *session, waker *store.Waker) *wakeWatch {
	w := &wakeWatch{waker: waker, done: make(chan struct{}), ended: make(chan struct{})}
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		if err = watcher.Add(s.file(wakeSuffix)); err != nil {
			_ = watcher.Close()
		}
	}
	if err != nil {
		log.Warn("cannot watch for requests of other processes: looking every second", "error", err)
		go w.tick()
		return w
	}
	go w.follow(log, watcher)
	return w
}

func (w *wakeWatch) follow(log *slog.Logger, watcher *fsnotify.Watcher) {
	defer close(w.ended)
	defer watcher.Close()
	for {
		select {
		case <-w.done:
			return
		case <-watcher.Events:
		case err := <-watcher.Errors: // an overflow, say: an event may be lost
			log.Debug("watching for requests", "error", err)
		}
		w.waker.Kick()
	}
}

func (w *wakeWatch) tick() {
	defer close(w.ended)
	ticker := time.NewTicker(store.Recheck)
	defer ticker.Stop()
	for {
		select {
		case <-w.done:
			return
		case <-ticker.C:
			w.waker.Kick()
		}
	}
}

// stop ends the watch and the waker.
func (w *wakeWatch) stop() {
	close(w.done)
	<-w.ended
	w.waker.Stop()
}
