package machine

import (
	"fmt"
	"time"

	"github.com/heddle/heddle"
)

// notify writes the notices of a step that is about to run.
func (s *State) notify(v *visit, now time.Time) error {
	if !s.tells(heddle.NoticeStepStarted) {
		return nil
	}
	step := s.g.step(v.step)
	body := heddle.NoticeBody{
		Task: s.run.Name, Workflow: s.g.flow.Workflow, Step: step.Name, Action: step.Action,
		Status: string(heddle.RunRunning), CorrelationID: s.run.Input.CorrelationID,
	}
	if v.fold != nil {
		text, err := v.fold.text(&s.run, step)
		if err != nil {
			return err
		}
		body.Context = text
	}
	return s.tell(heddle.NoticeStepStarted, fmt.Sprintf("%09d", v.No), body, now)
}

// notifyEnded writes the notices of a run that has its outcome.
func (s *State) notifyEnded(now time.Time) error {
	if !s.tells(heddle.NoticeRunEnded) {
		return nil
	}
	body := heddle.NoticeBody{
		Task: s.run.Name, Workflow: s.g.flow.Workflow, CorrelationID: s.run.Input.CorrelationID,
		Status: string(s.run.Outcome), Message: s.run.Message,
	}
	if !s.run.Started.IsZero() {
		body.Seconds = now.Sub(s.run.Started).Seconds()
	}
	return s.tell(heddle.NoticeRunEnded, "end", body, now)
}

// tells reports whether anybody is told of such an event.
func (s *State) tells(event string) bool {
	for _, target := range s.run.Input.Notify {
		if heddle.NoticeEvent(target) == event {
			return true
		}
	}
	return false
}

func (s *State) tell(event, id string, body heddle.NoticeBody, now time.Time) error {
	text, err := encode(body)
	if err != nil {
		return err
	}
	for at, target := range s.run.Input.Notify {
		if heddle.NoticeEvent(target) == event {
			s.out.notices = append(s.out.notices, heddle.Notice{
				ID: fmt.Sprintf("%s-%02d", id, at), Run: s.run.ID, Target: target,
				Event: event, Body: text, Created: now, Due: now,
			})
		}
	}
	return nil
}
