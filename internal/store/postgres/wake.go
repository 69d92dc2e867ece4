package postgres

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/heddle/heddle"
)

// recheck is when requests are looked for again after that failed.
const recheck = time.Second

// waker tells the owner of runs about requests that others leave in their rows.
type waker struct {
	out   chan heddle.RunID
	kicks chan struct{}
	done  chan struct{}
	ended chan struct{}

	log      *slog.Logger
	requests func(context.Context) (map[heddle.RunID]int, error)
}

// newWaker starts to deliver. requests counts the requests of each run; it is
// called after each kick.
func newWaker(log *slog.Logger, requests func(context.Context) (map[heddle.RunID]int, error)) *waker {
	w := &waker{
		out: make(chan heddle.RunID, 16), kicks: make(chan struct{}, 1), done: make(chan struct{}), ended: make(chan struct{}),
		log: log, requests: requests,
	}
	go w.run()
	return w
}

// kick has the requests looked for.
func (w *waker) kick() {
	select {
	case w.kicks <- struct{}{}:
	default:
	}
}

// stop ends the waker. Nothing is delivered afterwards.
func (w *waker) stop() {
	close(w.done)
	<-w.ended
}

func (w *waker) run() {
	defer close(w.ended)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-w.done
		cancel()
	}()
	again := time.NewTimer(recheck)
	again.Stop()
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
		case <-w.kicks:
		case <-again.C:
		}
		counts, err := w.requests(ctx)
		if err != nil {
			if ctx.Err() == nil {
				w.log.Warn("looking for requests", "error", err)
			}
			again.Reset(recheck)
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
