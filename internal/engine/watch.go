package engine

import (
	"context"
	"slices"
	"sync"

	"github.com/heddle/heddle"
)

// watchers tells those who watch a run of what was committed.
type watchers struct {
	mu    sync.Mutex
	byRun map[heddle.RunID][]*watcher
}

func newWatchers() *watchers { return &watchers{byRun: map[heddle.RunID][]*watcher{}} }

// watcher gathers updates until its reader takes them.
type watcher struct {
	mu      sync.Mutex
	pending *heddle.RunUpdate
	merged  bool // pending is of several, and has slices of its own
	over    bool
	wake    chan struct{}
}

func (w *watcher) add(u heddle.RunUpdate) {
	w.mu.Lock()
	if w.pending == nil {
		w.pending, w.merged = &u, false
	} else {
		if !w.merged { // the slices are other watchers' too
			w.pending.Visits, w.pending.Attempts = slices.Clone(w.pending.Visits), slices.Clone(w.pending.Attempts)
			w.merged = true
		}
		w.pending.Run = u.Run
		w.pending.Visits = append(w.pending.Visits, u.Visits...)
		w.pending.Attempts = append(w.pending.Attempts, u.Attempts...)
	}
	w.mu.Unlock()
	w.nudge()
}

func (w *watcher) end() {
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
	w.nudge()
}

func (w *watcher) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watcher) take() (u *heddle.RunUpdate, over bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u, w.pending = w.pending, nil
	return u, w.over
}

func (ws *watchers) add(id heddle.RunID) *watcher {
	w := &watcher{wake: make(chan struct{}, 1)}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.byRun[id] = append(ws.byRun[id], w)
	return w
}

func (ws *watchers) remove(id heddle.RunID, w *watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	list := ws.byRun[id]
	for i, other := range list {
		if other == w {
			ws.byRun[id] = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if len(ws.byRun[id]) == 0 {
		delete(ws.byRun, id)
	}
}

func (ws *watchers) of(id heddle.RunID) []*watcher {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return ws.byRun[id]
}

func (ws *watchers) publish(u heddle.RunUpdate) {
	for _, w := range ws.of(u.Run.ID) {
		w.add(u)
	}
}

func (ws *watchers) end(id heddle.RunID) {
	for _, w := range ws.of(id) {
		w.end()
	}
}

func (ws *watchers) closeAll() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, list := range ws.byRun {
		for _, w := range list {
			w.end()
		}
	}
}

// Watch implements [heddle.Runs] for the runs that this engine has in hand. Of
// others it sends the state now, and closes.
func (e *Engine) Watch(ctx context.Context, id heddle.RunID) (<-chan heddle.RunUpdate, error) {
	w := e.watch.add(id)
	detail, err := e.opts.History.Run(ctx, id)
	if err != nil {
		e.watch.remove(id, w)
		return nil, err
	}
	if e.actor(id) == nil {
		w.end()
	}
	updates := make(chan heddle.RunUpdate)
	go func() {
		defer close(updates)
		defer e.watch.remove(id, w)
		forward(ctx, w, updates, heddle.RunUpdate{Run: detail.Run, Visits: detail.Visits, Attempts: detail.Attempts})
	}()
	return updates, nil
}

func forward(ctx context.Context, w *watcher, updates chan<- heddle.RunUpdate, first heddle.RunUpdate) {
	next := &first
	for {
		if next != nil {
			select {
			case updates <- *next:
			case <-ctx.Done():
				return
			}
		}
		var over bool
		if next, over = w.take(); next != nil {
			continue
		}
		if over {
			return
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return
		}
	}
}
