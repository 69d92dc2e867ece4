package machine

import (
	"fmt"
	"time"

	"github.com/heddle/heddle"
)

// This file is about what a run shares with others: its concurrency key, and places
// in pools. Both are the store's to grant. The asking is an effect, so that what asks
// is committed; what is given back stands in the change that has no more need of it.

// awaitKey has the run stay as it is until it is granted its key. What a retry takes
// over is committed at once: the other run may be deleted meanwhile.
func (s *State) awaitKey(retry *heddle.RetryPlan) {
	if s.asking[0] {
		return
	}
	if retry != nil {
		s.plan, s.run.Visits = retry, len(retry.Visits)
		for _, row := range retry.Visits {
			if row.State != heddle.VisitSettled {
				row.State = heddle.VisitQueued
			}
			s.out.visit(&row)
		}
	}
	if !s.stored {
		s.out.changed, s.out.urgent = true, true
	}
	c := s.g.flow.Concurrency
	s.asking[0] = true
	s.out.effect(Ask{Name: c.Key, Weight: 1, Busy: c.Busy})
}

// planOf is the plan of a retry that has not begun, from the rows that awaitKey left;
// nil for other runs.
func planOf(run *heddle.Run, visits []heddle.Visit) *heddle.RetryPlan {
	if run.Input.Retry == nil || len(visits) == 0 {
		return nil
	}
	plan := &heddle.RetryPlan{RunRetry: *run.Input.Retry}
	for _, row := range visits {
		if row.State == heddle.VisitQueued {
			row.State = ""
		}
		plan.Visits = append(plan.Visits, row)
	}
	return plan
}

// dropPlan settles what a retry was to do that has ended before it began.
func (s *State) dropPlan(now time.Time) {
	if s.plan == nil || !s.run.Started.IsZero() {
		return
	}
	for _, row := range s.plan.Visits {
		if row.State == heddle.VisitSettled {
			continue
		}
		row.State, row.Outcome, row.Code, row.Message = heddle.VisitSettled, heddle.Abort, codeStopped, s.run.Message
		row.Opened, row.Settled = now, now
		s.out.visit(&row)
	}
}

// queue lets a visit that is ready wait for a place at the executor or, before that,
// for its places in a pool.
func (s *State) queue(v *visit) {
	step := s.g.step(v.step)
	if step.Pool == "" {
		s.ready = append(s.ready, v.No)
		return
	}
	v.turn = true
	s.asking[v.No] = true
	s.out.effect(Ask{Visit: v.No, Attempt: v.Attempts + 1, Name: step.Pool, Weight: step.Places()})
}

// Waits reports whether something was asked of the store that is not granted yet.
func (s *State) Waits() bool { return len(s.asking) > 0 }

func (s *State) granted(e Granted, now time.Time) error {
	if !s.asking[e.Visit] {
		return nil // heard before, or not wanted any more
	}
	if e.Visit == 0 {
		delete(s.asking, 0)
		s.keyed = true
		return s.begin(s.plan, now)
	}
	if v := s.live[e.Visit]; v != nil && v.State == heddle.VisitReady && v.Attempts+1 == e.Attempt {
		delete(s.asking, e.Visit)
		s.ready = append(s.ready, v.No)
	}
	return nil
}

func (s *State) denied(other heddle.RunID, now time.Time) error {
	if !s.asking[0] {
		return nil
	}
	message := fmt.Sprintf("not started: run %s has the concurrency key %q", other, s.g.flow.Concurrency.Key)
	return s.stop(heddle.Abort, message, now)
}

// giveBack returns what a visit has of a pool, or its place in the line for it.
func (s *State) giveBack(v *visit) {
	if !v.turn {
		return
	}
	v.turn = false
	delete(s.asking, v.No)
	s.out.release(v.No)
}
