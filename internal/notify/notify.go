// Package notify delivers notices: it tells consoles, URLs and people what runs do, from
// notices that the store has committed, so that none is lost with the process and
// none tells of something that did not happen. Delivery is at least once.
//
// The notices of one run for one target are delivered one after another, in
// order; different lanes (run and target) do not wait for each other. A delivery
// that fails is tried again with growing delays, and the notice is given up after
// [DefaultTries] tries, or at once when the server says that the request itself
// is at fault. (kog, from which the notices come, tries once.) Nothing here
// fails or delays a run.
package notify

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// The limits of delivery.
const (
	// DefaultTries is how often a notice is tried before it is given up.
	DefaultTries = 8
	// DefaultDrain bounds [Notifier.Drain] unless its context ends sooner.
	DefaultDrain = 5 * time.Second
	// postLimit bounds one HTTP request (kog).
	postLimit = 10 * time.Second
	// perTarget bounds the requests to one URL that are open at once.
	perTarget = 8
	// linger is how long delivered notices are gathered before they are removed
	// from the outbox together.
	linger = 100 * time.Millisecond
	// keepResults is of how many runs the result is remembered.
	keepResults = 1000
)

// Options say what a [Notifier] works with.
type Options struct {
	Outbox store.Outbox
	// Console takes the lines for the target "console". Default: they are dropped.
	Console io.Writer
	// HTTP posts to URLs. Default: a client that follows no redirects.
	HTTP *http.Client
	// Log takes what went wrong. Default: nothing is logged.
	Log *slog.Logger
	// Lookup finds variables that targets name. Default: there are none.
	Lookup func(name string) (string, bool)
	// Flow returns the flow of a run, whose document is sent to URLs.
	Flow func(ctx context.Context, run heddle.RunID) (*heddle.Flow, error)
	// Tries is how often a notice is tried. Default: [DefaultTries].
	Tries int
	// Backoff is the delay after the n-th failed try, from 1. Default: 0.5 s,
	// doubling, at most 30 s.
	Backoff func(n int) time.Duration
}

// Notifier delivers notices until it is drained. All methods may be called concurrently.
type Notifier struct {
	opts Options
	ctx  context.Context // of all deliveries
	stop context.CancelFunc

	console sync.Mutex
	wake    chan struct{} // something was delivered or put off

	mu        sync.Mutex
	closed    bool
	lanes     map[laneKey]*lane
	targets   map[string]*target
	results   map[heddle.RunID]*result
	order     []heddle.RunID // of results, oldest first
	delivered []heddle.Notice
	postponed []heddle.Notice
	// settled are the notices that are done with and may still be in the outbox;
	// recorded those removed from it last, which a reader may have read just before.
	settled, recorded map[noticeKey]bool

	idle *sync.Cond // signalled when a lane ends

	recorder chan struct{} // closed when the recorder has ended
}

type noticeKey struct {
	run heddle.RunID
	id  string
}

type laneKey struct {
	run    heddle.RunID
	target string
}

// lane holds the undelivered notices of one run for one target, in order.
type lane struct{ queue []heddle.Notice }

// target bounds the requests to one target; lanes counts who uses it.
type target struct {
	slots chan struct{}
	lanes int
}

// result is what became of a run's notices.
type result struct {
	waiting int
	failed  bool
	err     string
}

// New starts a notifier. [Notifier.Drain] ends it.
func New(o Options) *Notifier {
	if o.Console == nil {
		o.Console = io.Discard
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Lookup == nil {
		o.Lookup = func(string) (string, bool) { return "", false }
	}
	if o.Tries <= 0 {
		o.Tries = DefaultTries
	}
	if o.Backoff == nil {
		o.Backoff = func(n int) time.Duration { return min(30*time.Second, time.Second/2<<min(n-1, 10)) }
	}
	ctx, stop := context.WithCancel(context.Background())
	n := &Notifier{
		opts: o, ctx: ctx, stop: stop,
		wake:     make(chan struct{}, 1),
		recorder: make(chan struct{}),
		lanes:    make(map[laneKey]*lane),
		targets:  make(map[string]*target),
		results:  make(map[heddle.RunID]*result),
		settled:  make(map[noticeKey]bool),
	}
	n.idle = sync.NewCond(&n.mu)
	go n.record()
	return n
}

// Tell takes notices that have been committed and returns at once. Notices that
// are waiting, or were told and are only still in the outbox, are left out. After [Notifier.Drain] it does nothing: the
// notices stay in the outbox.
func (n *Notifier) Tell(notices []heddle.Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	for _, notice := range notices {
		if known := (noticeKey{notice.Run, notice.ID}); n.settled[known] || n.recorded[known] {
			continue
		}
		key := laneKey{notice.Run, notice.Target}
		l, running := n.lanes[key]
		if !running {
			l = &lane{}
			n.lanes[key] = l
		}
		if l.has(notice.ID) {
			continue
		}
		l.queue = append(l.queue, notice)
		n.resultOf(notice.Run).waiting++
		if !running {
			go n.run(key, l, n.join(notice.Target))
		}
	}
}

// Recover tells what an earlier process left undelivered: the notices of the
// given runs, or of all runs of the store's session when none is given.
func (n *Notifier) Recover(ctx context.Context, runs ...heddle.RunID) error {
	notices, err := n.opts.Outbox.Pending(ctx, runs)
	if err != nil {
		return heddle.Errorf(heddle.CodeOf(err), "reading undelivered notices: %w", err)
	}
	n.Tell(notices)
	return nil
}

// Drain waits until every notice is delivered or given up, at most until ctx is
// done or [DefaultDrain] has passed, and ends the notifier. What is undelivered
// then stays in the outbox, and the error counts it. It may be called again.
func (n *Notifier) Drain(ctx context.Context) error {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, DefaultDrain)
	defer cancel()
	defer context.AfterFunc(bounded, n.stop)()

	n.mu.Lock()
	for len(n.lanes) > 0 {
		n.idle.Wait()
	}
	left := 0
	for _, r := range n.results {
		left += r.waiting
	}
	n.mu.Unlock()
	n.stop()
	<-n.recorder
	n.flush()
	if left > 0 {
		return heddle.Errorf(heddle.CodeUnavailable, "%d notices are not delivered yet: they are kept, and `heddle runs resume` tries again", left)
	}
	return nil
}

// Result returns what kog calls notify_status and notify_message of a run: ""
// without notices; success when all were delivered; else failure, with the last
// error. Call it after [Notifier.Drain], or it may speak of notices on their way.
// The newest thousand runs are remembered.
func (n *Notifier) Result(run heddle.RunID) (status, message string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.results[run]
	switch {
	case r == nil:
		return "", ""
	case !r.failed && r.waiting == 0:
		return string(heddle.Success), ""
	case r.err == "":
		return string(heddle.Failure), "not delivered in time"
	default:
		return string(heddle.Failure), r.err
	}
}

// run delivers a lane's notices until there are none left.
func (n *Notifier) run(key laneKey, l *lane, t *target) {
	for {
		n.mu.Lock()
		if len(l.queue) == 0 || n.ctx.Err() != nil {
			n.leave(key)
			n.mu.Unlock()
			return
		}
		notice := l.queue[0]
		n.mu.Unlock()

		// An error means that the notifier has ended: the notice stays.
		if n.deliver(t, notice) != nil {
			continue
		}
		n.mu.Lock()
		l.queue = l.queue[1:]
		n.mu.Unlock()
	}
}

// deliver tries one notice until it is delivered or given up, and returns an
// error only if the notifier ended before either.
func (n *Notifier) deliver(t *target, notice heddle.Notice) error {
	if err := sleep(n.ctx, time.Until(notice.Due)); err != nil {
		return err
	}
	for {
		select {
		case t.slots <- struct{}{}:
		case <-n.ctx.Done():
			return n.ctx.Err()
		}
		err := n.send(n.ctx, notice)
		<-t.slots
		if err != nil && n.ctx.Err() != nil {
			return n.ctx.Err()
		}
		if err == nil {
			n.settle(notice, nil)
			return nil
		}
		notice.Tries++
		var final *rejected
		if notice.Tries >= n.opts.Tries || errors.As(err, &final) {
			n.opts.Log.Warn("notice given up", "run_id", notice.Run, "tries", notice.Tries, "error", err)
			n.settle(notice, err)
			return nil
		}
		delay := n.opts.Backoff(notice.Tries)
		notice.Due = time.Now().Add(delay)
		n.opts.Log.Debug("notice not delivered, trying again", "run_id", notice.Run, "tries", notice.Tries, "error", err)
		n.postpone(notice, err)
		if err := sleep(n.ctx, delay); err != nil {
			return err
		}
	}
}

// sleep waits for d, or returns an error when ctx is done first.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// join returns the target of that name for one more lane. The caller holds mu.
func (n *Notifier) join(name string) *target {
	t := n.targets[name]
	if t == nil {
		t = &target{slots: make(chan struct{}, perTarget)}
		n.targets[name] = t
	}
	t.lanes++
	return t
}

// leave removes a lane that has ended. The caller holds mu.
func (n *Notifier) leave(key laneKey) {
	delete(n.lanes, key)
	if t := n.targets[key.target]; t.lanes == 1 {
		delete(n.targets, key.target)
	} else {
		t.lanes--
	}
	n.idle.Broadcast()
}

func (l *lane) has(id string) bool {
	for _, notice := range l.queue {
		if notice.ID == id {
			return true
		}
	}
	return false
}
