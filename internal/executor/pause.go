package executor

import (
	"context"
	"time"
)

// maxPause is the longest wait between two tries.
const maxPause = 5 * time.Second

// Pause is the wait between tries to reach what runs attempts; it doubles with each,
// up to five seconds.
type Pause struct{ next time.Duration }

// NewPause returns a Pause that begins with first; 0: with 50 ms.
func NewPause(first time.Duration) *Pause {
	if first <= 0 {
		first = 50 * time.Millisecond
	}
	return &Pause{first}
}

// Wait waits, at most until wake; false when ctx is done.
func (p *Pause) Wait(ctx context.Context, wake <-chan struct{}) bool {
	timer := time.NewTimer(p.next)
	defer timer.Stop()
	p.next = min(2*p.next, maxPause)
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
