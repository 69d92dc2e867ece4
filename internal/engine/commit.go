package engine

import (
	"context"
	"errors"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// commit is a change on its way to the store.
type commit struct {
	change heddle.Change
	answer chan committed
}

type committed struct {
	answer store.Answer
	err    error
}

// commitLoop is the one committer: changes that come while a flush is under way
// share the next one.
func (e *Engine) commitLoop() {
	var batch []*commit
	for {
		batch = batch[:0]
		select {
		case c := <-e.commits:
			batch = append(batch, c)
		case <-e.ctx.Done():
			return
		}
	fill:
		for len(batch) < e.opts.Batch {
			select {
			case c := <-e.commits:
				batch = append(batch, c)
			default:
				break fill
			}
		}
		e.apply(batch)
	}
}

// apply commits a batch. A fault that may pass is waited out; any other, or too
// long a wait, ends the engine: nothing is lost, the runs can be resumed.
func (e *Engine) apply(batch []*commit) {
	changes := make([]heddle.Change, len(batch))
	for i, c := range batch {
		changes[i] = c.change
	}
	begun, delay := time.Now(), 20*time.Millisecond
	for {
		asked := time.Now()
		answers, err := e.opts.Store.Apply(e.ctx, changes)
		if err == nil {
			if e.opts.Observer != nil {
				e.opts.Observer.Flushed(len(changes), time.Since(asked))
			}
			for i, c := range batch {
				c.answer <- committed{answer: answers[i]}
			}
			return
		}
		if !errors.Is(err, store.ErrTemporary) || time.Since(begun) > e.opts.Patience {
			e.fail(err)
		} else {
			e.log.Warn("the store does not accept writes; trying again", "error", err, "in", delay)
		}
		select {
		case <-time.After(delay):
			delay = min(2*delay, 2*time.Second)
		case <-e.ctx.Done():
			for _, c := range batch {
				c.answer <- committed{err: context.Cause(e.ctx)}
			}
			return
		}
	}
}

// commit has a change committed and waits for the answer.
func (e *Engine) commit(change heddle.Change) (store.Answer, error) {
	c := &commit{change: change, answer: make(chan committed, 1)}
	select {
	case e.commits <- c:
	case <-e.ctx.Done():
		return "", context.Cause(e.ctx)
	}
	select {
	case done := <-c.answer:
		return done.answer, done.err
	case <-e.ctx.Done():
		return "", context.Cause(e.ctx)
	}
}
