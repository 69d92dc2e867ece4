package store

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/heddle/heddle"
)

// Recheck is when requests are looked for again after that failed.
const Recheck = time.Second

// News is what others may have left for a session.
type News struct {
	Cancels map[heddle.RunID]int // requests to cancel, by run
	Granted []Turn               // all turns that runs of the session have
}

// Waker tells the owner of runs about what others leave for it in the store.
type Waker struct {
	cancels chan heddle.RunID
	granted chan Turn
	kicks   chan struct{}
	done    chan struct{}
	ended   chan struct{}

	log  *slog.Logger
	news func(context.Context) (News, error)
}

// NewWaker starts to deliver. news is called after each kick.
func NewWaker(log *slog.Logger, news func(context.Context) (News, error)) *Waker {
	w := &Waker{
		cancels: make(chan heddle.RunID, 16), granted: make(chan Turn, 16),
		kicks: make(chan struct{}, 1), done: make(chan struct{}), ended: make(chan struct{}),
		log: log, news: news,
	}
	go w.run()
	return w
}

// Cancels delivers the IDs of runs that were sent a request, again for each further one.
func (w *Waker) Cancels() <-chan heddle.RunID { return w.cancels }

// Granted delivers the turns that runs of the session have been granted.
func (w *Waker) Granted() <-chan Turn { return w.granted }

// Kick has the news looked for.
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
	var cancels backlog[heddle.RunID]
	var granted backlog[Turn]
	for {
		nextCancel, outCancels := cancels.first(w.cancels)
		nextTurn, outGranted := granted.first(w.granted)
		select {
		case outCancels <- nextCancel:
			cancels.queue = cancels.queue[1:]
			continue
		case outGranted <- nextTurn:
			granted.queue = granted.queue[1:]
			continue
		case <-w.done:
			return
		case <-w.kicks:
		case <-again.C:
		}
		news, err := w.news(ctx)
		if err != nil {
			if ctx.Err() == nil {
				w.log.Warn("looking for requests", "error", err)
			}
			again.Reset(Recheck)
			continue
		}
		cancels.add(news.Cancels)
		turns := make(map[Turn]int, len(news.Granted))
		for _, turn := range news.Granted {
			turns[turn] = 1
		}
		granted.add(turns)
	}
}

// backlog is what is to be told, and how often each thing has been.
type backlog[K comparable] struct {
	told  map[K]int
	queue []K
}

// first returns what is to be told next and where; a nil channel if there is nothing.
func (b *backlog[K]) first(out chan K) (K, chan K) {
	if len(b.queue) == 0 {
		var none K
		return none, nil
	}
	return b.queue[0], out
}

// add queues what has more to tell of than was told.
func (b *backlog[K]) add(counts map[K]int) {
	for key, n := range counts {
		if n > b.told[key] && !slices.Contains(b.queue, key) {
			b.queue = append(b.queue, key)
		}
	}
	b.told = counts
}
