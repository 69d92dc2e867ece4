package store

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/heddle/heddle"
)

// Recheck is when requests are looked for again after that failed.
const Recheck = time.Second

// Waker tells the owner of runs about requests that others leave in their rows.
type Waker struct {
	out   chan heddle.RunID
	kicks chan struct{}
	done  chan struct{}
	ended chan struct{}

	log      *slog.Logger
	requests func(context.Context) (map[heddle.RunID]int, error)
}

// NewWaker starts to deliver. requests counts the requests of each run; it is
// called after each kick.
func NewWaker(log *slog.Logger, requests func(context.Context) (map[heddle.RunID]int, error)) *Waker {
	w := &Waker{
		out: make(chan heddle.RunID, 16), kicks: make(chan struct{}, 1), done: make(chan struct{}), ended: make(chan struct{}),
		log: log, requests: requests,
	}
	go w.run()
	return w
}

// Out delivers the IDs of runs that were sent a request, again for each further one.
func (w *Waker) Out() <-chan heddle.RunID { return w.out }

// Kick has the requests looked for.
func (w *Waker) Kick() {
	select {
	case w.kicks <- struct{}{}:
	default:
	}
}

// Stop ends the waker. Nothing is delivered afterwards.
func (w *Waker) Stop() {
	close(w.done)
	<-w.ended
}

func (w *Waker) run() {
	defer close(w.ended)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-w.done
		cancel()
	}()
	again := time.NewTimer(Recheck)
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
			again.Reset(Recheck)
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
