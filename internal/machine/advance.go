package machine

import (
	"container/heap"
	"fmt"
	"time"

	"github.com/heddle/heddle"
)

// work is what is left to do of one event; it is empty between events.
type work struct {
	fires  []fire
	groups []int // groups that may have lost their last open member
}

// fire is an edge that a settled visit sends an arrival along, or not.
type fire struct {
	edge    int
	outcome heddle.Outcome
	origin
}

// origin is what led to the opening of a visit.
type origin struct {
	cause int // visit number; 0: the start of the run
	fold  *fold
	lead  *lead
	idle  int // visits just before it, in a row, that could not run
}

// Advance applies an event that happened at now. An error has
// [ErrInvalidTransition] in its chain, or tells of a defect; after the former the
// state is as it was, and what is reported twice (an end, say) is no error.
func (s *State) Advance(e Event, now time.Time) error {
	var err error
	switch e := e.(type) {
	case Begin:
		err = s.begin(e.Retry, now)
	case Granted:
		err = s.granted(e, now)
	case Denied:
		err = s.denied(e.Other, now)
	case Place:
		err = s.place(e.At, now)
	case Acknowledged:
		s.acknowledge(e.Attempt)
	case Running:
		s.running(e.Attempt, e.Started)
	case Ended:
		err = s.ended(e.Attempt, &e.Exit, now)
	case Cancel:
		err = s.cancel(e, now)
	case Tick:
		err = s.tick(now)
	}
	if err != nil {
		return err
	}
	return s.finish(now)
}

// finish follows what the event set off until nothing is left to do.
func (s *State) finish(now time.Time) error {
	for {
		if n := len(s.work.fires); n > 0 {
			f := s.work.fires[0]
			s.work.fires = s.work.fires[1:]
			if err := s.arrive(f, now); err != nil {
				return err
			}
			continue
		}
		if n := len(s.work.groups); n > 0 {
			g := s.work.groups[n-1]
			s.work.groups = s.work.groups[:n-1]
			if err := s.closeGroup(g, now); err != nil {
				return err
			}
			continue
		}
		s.work.fires = nil
		return s.checkEnd(now)
	}
}

func (s *State) begin(retry *heddle.RetryPlan, now time.Time) error {
	if s.run.State != heddle.RunPending {
		return fmt.Errorf("begin in state %s: %w", s.run.State, ErrInvalidTransition)
	}
	if s.g.flow.Concurrency != nil && !s.keyed {
		s.awaitKey(retry)
		return nil
	}
	start, err := s.startFold()
	if err != nil {
		return err
	}
	s.run.State, s.run.Started = heddle.RunRunning, now
	if d := s.g.flow.Deadline; d > 0 && s.run.Deadline.IsZero() {
		s.run.Deadline = now.Add(d)
	}
	s.out.changed, s.out.urgent = true, true
	if retry != nil {
		return s.takeOver(retry.Visits, start, now)
	}
	for _, i := range s.g.starts {
		s.steps[i].coming++ // known to those that settle before its turn
	}
	for _, i := range s.g.starts {
		s.steps[i].coming--
		if err := s.openStep(i, 0, origin{fold: start, lead: s.startLead()}, now); err != nil {
			return err
		}
	}
	return nil
}

// startFold is the context that the start steps see; nil when there is none.
func (s *State) startFold() (*fold, error) {
	if s.g.flow.Context == nil {
		return nil, nil
	}
	base, err := decodeObject(s.g.flow.Context)
	if err != nil {
		return nil, err
	}
	given, err := decodeObject(s.run.Input.Context)
	if err != nil {
		return nil, err
	}
	return &fold{data: heddle.MergeContext(base, given)}, nil
}

func (s *State) place(at string, now time.Time) error {
	if !s.Ready() {
		return fmt.Errorf("place with no visit ready: %w", ErrInvalidTransition)
	}
	v := s.live[s.ready[0]]
	if err := s.move(v, "place"); err != nil {
		return err
	}
	s.ready = s.ready[1:]
	v.Attempts++
	v.Due = time.Time{}
	status, err := next(AttemptTransitions(), heddle.StatusReady, "place")
	if err != nil {
		return err
	}
	v.attempt = &heddle.Attempt{
		ID: heddle.NewAttemptID(s.run.ID, v.No, v.Attempts), Visit: v.No, No: v.Attempts,
		Status: status, Place: at, Created: now,
	}
	s.open++
	s.out.visit(&v.Visit)
	s.out.attempt(v.attempt, true)
	start, err := s.startEffect(v)
	if err != nil {
		return err
	}
	s.out.effect(start)
	return nil
}

func (s *State) startEffect(v *visit) (Start, error) {
	e := Start{Attempt: *v.attempt, Visit: v.Visit, Step: s.g.step(v.step)}
	e.Env, e.From = s.env(v)
	e.Refuse = s.fetch(v, e.Env, e.From)
	if v.fold == nil {
		return e, nil
	}
	text, err := v.fold.text(&s.run, e.Step)
	if err != nil {
		return Start{}, err
	}
	e.Context = text
	contextEnv(e.Env, e.From, text)
	return e, nil
}

// find returns the open attempt with this ID, or nil: it is over, or never was.
func (s *State) find(id heddle.AttemptID) *visit {
	_, no, _, ok := id.Split()
	if !ok {
		return nil
	}
	if v := s.live[no]; v != nil && v.attempt != nil && v.attempt.ID == id {
		return v
	}
	return nil
}

func (s *State) acknowledge(id heddle.AttemptID) {
	v := s.find(id)
	if v == nil {
		return
	}
	if to, err := next(AttemptTransitions(), v.attempt.Status, "acknowledge"); err == nil {
		v.attempt.Status = to
		s.out.attempt(v.attempt, false)
	}
}

func (s *State) running(id heddle.AttemptID, started time.Time) {
	v := s.find(id)
	if v == nil {
		return
	}
	if to, err := next(AttemptTransitions(), v.attempt.Status, "run"); err == nil {
		v.attempt.Status, v.attempt.Started = to, started
		s.out.attempt(v.attempt, false)
	}
}

func (s *State) ended(id heddle.AttemptID, exit *heddle.Exit, now time.Time) error {
	v := s.find(id)
	if v == nil {
		// Over already, and told again: the executor may still hold it.
		s.out.effect(Release{Attempt: id})
		return nil
	}
	step, a := s.g.step(v.step), v.attempt
	if exit.Reason == heddle.Stopped && a.Stop != "" {
		exit.Message = "stopped: " + a.Stop
	}
	j := judge(step, exit)
	var err error
	if v.fold == nil {
		j, err = s.putOut(step, exit, j)
	} else {
		j.output, err = returned(j.output)
	}
	if err != nil {
		return err
	}
	a.Status, a.ExitCode, a.Message, a.Infra = j.status, exit.Code, j.message, j.infra
	a.Ended = exit.Ended
	if a.Ended.IsZero() {
		a.Ended = now
	}
	if !exit.Started.IsZero() {
		a.Started = exit.Started
	}
	s.open--
	v.attempt = nil
	s.giveBack(v)
	s.out.attempt(a, true)
	s.out.effect(Release{Attempt: id})
	switch {
	case exit.Reason == heddle.Stopped && s.failing(v):
		return s.settle(v, judgement{outcome: heddle.Skipped, message: "stopped: another of the matrix failed"}, now)
	case s.stopping(v) || a.Stop != "":
	case j.infra && v.Broken < infraBudget(step):
		v.Broken++
		return s.again(v, 0, now)
	case !j.infra && retryable(j) && v.Attempts-v.Broken <= step.Retry.Limit:
		return s.again(v, backoff(step.Retry, v.Attempts-v.Broken), now)
	}
	if step.Result == heddle.ResultLine && j.outcome == heddle.Success && exit.Code != 0 {
		a.Message = fmt.Sprintf("the result line says success, the program ended with exit code %d", exit.Code)
		s.out.attempt(a, true)
	}
	if len(j.output) > heddle.MaxOutput {
		j = judgement{
			outcome: heddle.Failure, code: max(exit.Code, 1),
			message: fmt.Sprintf("the context that it returned has %d bytes, more than the %d that are allowed", len(j.output), heddle.MaxOutput),
		}
	}
	return s.settle(v, j, now)
}

// retryable: the program failed or ran out of time. One that says abort means it,
// and what could not be started will not start the next time.
func retryable(j judgement) bool {
	return j.status == heddle.StatusAppError || j.status == heddle.StatusTimeout
}

func infraBudget(step *heddle.Step) int {
	if step.InfraRetries == 0 {
		return heddle.DefaultInfraRetries
	}
	return step.InfraRetries
}

// backoff is the delay after the n-th failed attempt.
func backoff(r heddle.Retry, n int) time.Duration {
	factor := r.Factor
	if factor == 0 {
		factor = 2
	}
	delay := float64(r.Delay)
	for range n - 1 {
		delay *= factor
		if r.MaxDelay > 0 && delay > float64(r.MaxDelay) || delay > float64(24*time.Hour) {
			break
		}
	}
	if r.MaxDelay > 0 {
		delay = min(delay, float64(r.MaxDelay))
	}
	return time.Duration(min(delay, float64(24*time.Hour)))
}

// again makes a visit ready for its next attempt, at once or after a delay.
func (s *State) again(v *visit, delay time.Duration, now time.Time) error {
	if delay > 0 {
		v.Due = now.Add(delay)
		heap.Push(&s.timers, timer{due: v.Due, visit: v.No})
		if err := s.move(v, "pause"); err != nil {
			return err
		}
	} else {
		if err := s.move(v, "retry"); err != nil {
			return err
		}
		s.queue(v)
	}
	s.out.visit(&v.Visit)
	return nil
}

func (s *State) tick(now time.Time) error {
	for len(s.timers) > 0 && !s.timers[0].due.After(now) {
		at := heap.Pop(&s.timers).(timer)
		v := s.live[at.visit]
		if v == nil || v.State != heddle.VisitBackoff || !v.Due.Equal(at.due) {
			continue
		}
		if err := s.move(v, "wake"); err != nil {
			return err
		}
		s.queue(v)
		s.out.visit(&v.Visit)
	}
	if d := s.run.Deadline; !d.IsZero() && !d.After(now) && s.run.Stop == "" && s.run.State == heddle.RunRunning {
		return s.stop(heddle.Timeout, fmt.Sprintf("the run's deadline of %s has passed", d.UTC().Format(time.RFC3339)), now)
	}
	return nil
}
