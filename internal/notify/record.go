package notify

import (
	"context"

	"github.com/heddle/heddle"
)

// resultOf returns the result of a run, made when there is none; the oldest one
// is forgotten when there are too many. The caller holds mu.
func (n *Notifier) resultOf(run heddle.RunID) *result {
	if r := n.results[run]; r != nil {
		return r
	}
	if len(n.order) >= keepResults {
		delete(n.results, n.order[0])
		n.order = n.order[1:]
	}
	r := &result{}
	n.results[run] = r
	n.order = append(n.order, run)
	return r
}

// settle notes that a notice is done with: delivered, or given up with err.
func (n *Notifier) settle(notice heddle.Notice, err error) {
	n.mu.Lock()
	r := n.resultOf(notice.Run)
	r.waiting = max(0, r.waiting-1)
	if err != nil {
		r.failed, r.err = true, err.Error()
	}
	n.delivered = append(n.delivered, notice)
	n.settled[noticeKey{notice.Run, notice.ID}] = true
	n.mu.Unlock()
	n.poke()
}

// postpone notes the error of a try that will be followed by another.
func (n *Notifier) postpone(notice heddle.Notice, err error) {
	n.mu.Lock()
	n.resultOf(notice.Run).err = err.Error()
	n.postponed = append(n.postponed, notice)
	n.mu.Unlock()
	n.poke()
}

func (n *Notifier) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// record tells the outbox what became of notices, many at a time, until the
// notifier ends; the rest is for [Notifier.Drain] to tell.
func (n *Notifier) record() {
	defer close(n.recorder)
	for {
		select {
		case <-n.wake:
		case <-n.ctx.Done():
			return
		}
		if sleep(n.ctx, linger) != nil {
			return
		}
		n.flush()
	}
}

// flush writes to the outbox. What cannot be written is dropped from memory: a
// notice that stays in the outbox is told once more, which is allowed.
func (n *Notifier) flush() {
	n.mu.Lock()
	delivered, postponed := n.delivered, n.postponed
	n.delivered, n.postponed = nil, nil
	n.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.WithoutCancel(n.ctx), DefaultDrain)
	defer cancel()
	// Put off first: the same notice may have been delivered since.
	if len(postponed) > 0 {
		if err := n.opts.Outbox.Postponed(ctx, postponed); err != nil {
			n.opts.Log.Warn("notices that were put off could not be recorded", "count", len(postponed), "error", err)
		}
	}
	if len(delivered) == 0 {
		return
	}
	if err := n.opts.Outbox.Delivered(ctx, delivered); err != nil {
		n.opts.Log.Warn("delivered notices could not be removed and may be told again", "count", len(delivered), "error", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.recorded = make(map[noticeKey]bool, len(delivered))
	for _, notice := range delivered {
		key := noticeKey{notice.Run, notice.ID}
		delete(n.settled, key)
		n.recorded[key] = true
	}
}
