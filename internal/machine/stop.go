package machine

import (
	"fmt"
	"time"

	"github.com/heddle/heddle"
)

// cancel stops the run's steps, or at the second request its finally steps. It
// looks at the number of requests, so that hearing of them again changes nothing.
func (s *State) cancel(e Cancel, now time.Time) error {
	if s.run.State == heddle.RunEnded || e.Count < 1 {
		return nil
	}
	reason := "the run was cancelled"
	if e.Reason != "" {
		reason += ": " + e.Reason
	}
	final := s.run.State == heddle.RunFinally
	if s.run.Stop == "" && !final {
		if err := s.stop(heddle.Abort, reason, now); err != nil {
			return err
		}
	}
	if e.Count < 2 && !(final && s.run.Stop == "") || s.forced {
		return nil
	}
	s.forced = true
	if s.run.Stop == "" {
		s.run.Stop, s.run.Message = heddle.Abort, reason
	}
	if final {
		s.run.State = heddle.RunStopping // with finally steps open, it tells Restore that they are stopped
		s.out.changed, s.out.urgent = true, true
	}
	return s.stopVisits(reason, now)
}

// stop settles the run's outcome before its end and stops its open steps.
func (s *State) stop(outcome heddle.Outcome, message string, now time.Time) error {
	s.run.Stop, s.run.Message = outcome, message
	s.run.State = heddle.RunStopping
	s.out.changed, s.out.urgent = true, true
	return s.stopVisits(message, now)
}

// stopVisits stops every open visit that a stopped run may not keep.
func (s *State) stopVisits(reason string, now time.Time) error {
	for _, v := range s.liveSorted() {
		switch {
		case !s.stopping(v):
		case v.attempt != nil:
			s.tellStop(v, reason)
		case s.g.isGroup(v.step):
			// Its members are stopped; it settles with the last of them.
		default:
			if err := s.settle(v, judgement{outcome: heddle.Abort, code: codeStopped, message: reason}, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// stopping reports whether a visit belongs to what has been stopped, and so
// neither goes on nor leads to anything.
func (s *State) stopping(v *visit) bool {
	return s.run.Stop != "" && (s.forced || !s.g.final[v.step])
}

func (s *State) tellStop(v *visit, reason string) {
	if v.attempt.Stop != "" {
		return
	}
	v.attempt.Stop = reason
	s.out.attempt(v.attempt, true)
	s.out.effect(Stop{Attempt: v.attempt.ID, Reason: reason})
}

// checkEnd opens the finally steps when nothing else is live, and ends the run
// when they are done.
func (s *State) checkEnd(now time.Time) error {
	for {
		switch s.run.State {
		case heddle.RunRunning, heddle.RunStopping:
			if s.liveMain > 0 || s.liveFinal > 0 {
				return nil
			}
			begun := !s.run.Started.IsZero()
			s.run.State = heddle.RunFinally
			s.out.changed, s.out.urgent = true, true
			if !begun || s.forced {
				continue
			}
			start, err := s.startFold()
			if err != nil {
				return err
			}
			for _, i := range s.g.finals {
				if err := s.openStep(i, 0, origin{fold: start, lead: s.startLead()}, now); err != nil {
					return err
				}
			}
			return s.finish(now)
		case heddle.RunFinally:
			if s.liveFinal > 0 {
				return nil
			}
			return s.end(now)
		case heddle.RunPending, heddle.RunEnded:
			return nil
		}
		return fmt.Errorf("run %s has the unknown state %q", s.run.ID, s.run.State)
	}
}

func (s *State) end(now time.Time) error {
	s.run.State, s.run.Ended = heddle.RunEnded, now
	s.run.Outcome = s.run.Stop
	if s.run.Stop == "" {
		s.run.Outcome, s.run.Message = s.verdict()
	}
	s.out.changed, s.out.urgent = true, true
	if s.g.asks {
		s.out.release(0)
	}
	s.dropPlan(now)
	clear(s.asking)
	return s.notifyEnded(now)
}
