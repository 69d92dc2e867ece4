package scenario

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/machine"
)

// player is the engine, the executor and the clock of one run.
type player struct {
	s        *scenario
	names    *names
	state    *machine.State
	start    time.Time
	now      time.Time
	open     []*attempt // in order of start
	scripts  map[string]*script
	attempts map[string]int // made so far, by step
	visits   []heddle.Visit // by number, from 1
	cancel   string         // the step whose start cancels the run; "": none
	canceled bool
	endless  string // why the run was given up
}

// attempt is one that has been started.
type attempt struct {
	id   heddle.AttemptID
	ends time.Time
	exit heddle.Exit
}

func newPlayer(s *scenario, flow *heddle.Flow, correlation string) (*player, error) {
	graph, err := machine.Compile(flow)
	if err != nil {
		return nil, fmt.Errorf("making the flow of %q ready: %w", flow.Name, err)
	}
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	p := &player{s: s, names: newNames(flow), start: start, now: start,
		scripts: map[string]*script{}, attempts: map[string]int{}}
	run := heddle.Run{
		ID: "test", Kind: flow.Kind, Name: flow.Name, State: heddle.RunPending, Created: start,
		Input: heddle.Input{CorrelationID: cmp.Or(correlation, "test"), Env: map[string]string{}},
	}
	for _, name := range s.env {
		run.Input.Env[name] = ""
	}
	if s.context != nil {
		run.Input.Context = s.context.JSON()
	}
	for i := range s.scripts {
		p.scripts[p.names.running(s.scripts[i].step)] = &s.scripts[i]
	}
	if s.cancelAt != nil {
		p.cancel = p.names.running(s.cancelAt.Text)
	}
	p.state = machine.New(graph, run, nil)
	return p, nil
}

// play runs the scenario to its end, or until it has gone on for too long.
func (p *player) play() error {
	var event machine.Event = machine.Begin{}
	for {
		if err := p.do(event); err != nil {
			return err
		}
		if p.state.Run().State == heddle.RunEnded || p.endless != "" {
			return nil
		}
		if p.state.Ready() {
			event = machine.Place{At: "test"}
			continue
		}
		if event = p.wait(); event == nil {
			return heddle.Errorf(heddle.CodeInternal, "the run waits for nothing that could come")
		}
	}
}

// wait moves the clock on to what happens next; nil: nothing will.
func (p *player) wait() machine.Event {
	first := -1
	for i, a := range p.open {
		if first < 0 || a.ends.Before(p.open[first].ends) {
			first = i
		}
	}
	tick := p.state.NextTick()
	switch {
	case first < 0 && tick.IsZero():
		return nil
	case first < 0 || !tick.IsZero() && tick.Before(p.open[first].ends):
		p.now = later(p.now, tick)
		return machine.Tick{}
	}
	a := p.open[first]
	p.open = slices.Delete(p.open, first, first+1)
	p.now = later(p.now, a.ends)
	a.exit.Ended = p.now
	return machine.Ended{Attempt: a.id, Exit: a.exit}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// do gives the machine an event, and does what it says.
func (p *player) do(event machine.Event) error {
	if err := p.state.Advance(event, p.now); err != nil {
		return fmt.Errorf("playing a scenario: %w", err)
	}
	change, effects, _ := p.state.Take()
	for _, v := range change.Visits {
		p.visits = append(p.visits, make([]heddle.Visit, max(0, v.No-len(p.visits)))...)
		p.visits[v.No-1] = v
		if v.Nth > p.s.maxVisits {
			p.endless = fmt.Sprintf("step %q was to be visited more than %d times: it may never end (max_visits raises the bound)", v.Step, p.s.maxVisits)
		} else if v.Attempts > p.s.maxVisits {
			p.endless = fmt.Sprintf("step %q was to be tried more than %d times (max_visits raises the bound)", v.Step, p.s.maxVisits)
		}
	}
	cancel := false
	var granted []machine.Event
	for _, effect := range effects {
		switch e := effect.(type) {
		case machine.Start:
			p.begin(&e)
			cancel = cancel || e.Step.Name == p.cancel && !p.canceled
		case machine.Stop:
			p.stop(e.Attempt)
		case machine.Ask: // there are no other runs
			granted = append(granted, machine.Granted{Visit: e.Visit, Attempt: e.Attempt})
		}
	}
	for _, event := range granted {
		if err := p.do(event); err != nil {
			return err
		}
	}
	if cancel {
		p.canceled = true
		return p.do(machine.Cancel{Count: 1, Reason: "the scenario says so"})
	}
	return nil
}

// begin decides how an attempt will end.
func (p *player) begin(e *machine.Start) {
	name := e.Step.Name
	o := outcome{is: heddle.Success}
	if s := p.scripts[name]; s != nil {
		switch n := p.attempts[name]; {
		case s.all:
			o = s.outcomes[0]
		case n < len(s.outcomes):
			o = s.outcomes[n]
		}
	}
	p.attempts[name]++
	exit, takes := exitOf(e.Step, &o)
	if e.Refuse != "" {
		exit, takes = heddle.Exit{Reason: heddle.Refused, Message: e.Refuse}, 0
	}
	exit.Started = p.now
	p.open = append(p.open, &attempt{id: e.Attempt.ID, ends: p.now.Add(takes), exit: exit})
}

// stop ends an attempt at once.
func (p *player) stop(id heddle.AttemptID) {
	for _, a := range p.open {
		if a.id == id {
			a.ends, a.exit = p.now, heddle.Exit{Reason: heddle.Stopped, Started: a.exit.Started}
		}
	}
}

// exitOf is what an executor would report of such an end, and when.
func exitOf(step *heddle.Step, o *outcome) (heddle.Exit, time.Duration) {
	if ranOut(step, o) {
		return heddle.Exit{Reason: heddle.TimedOut}, step.Timeout
	}
	code := 0
	if o.is != heddle.Success {
		code = 1
	}
	if o.code != nil {
		code = *o.code
	}
	if step.Result == heddle.ResultLine {
		line := resultLine(o, code)
		return heddle.Exit{Reason: heddle.Exited, Result: line, ResultSize: int64(len(line))}, o.takes
	}
	exit := heddle.Exit{Reason: heddle.Exited, Code: code, Message: o.message}
	switch o.is {
	case heddle.Timeout:
		return heddle.Exit{Reason: heddle.TimedOut}, step.Timeout
	case heddle.Abort:
		exit.Reason = heddle.Refused
	case heddle.Success, heddle.Failure, heddle.Skipped:
	}
	if o.outputs != nil { // as a line, which may be longer than the file
		exit.Result = o.outputs.JSON()
		exit.ResultSize = int64(len(exit.Result))
	}
	return exit, o.takes
}

// resultLine is what the program would print after "KOG:".
func resultLine(o *outcome, code int) []byte {
	result := map[string]any{"result": o.is, "rc": code, "message": o.message}
	if o.context != nil {
		result["context"] = o.context.JSON()
	}
	line, err := json.Marshal(result)
	if err != nil { // its parts were read from a document, so they have a JSON form
		return nil
	}
	return line
}
