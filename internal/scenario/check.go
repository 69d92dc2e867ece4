package scenario

import (
	"strings"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
)

// names is what a scenario can call the steps of a flow.
type names struct {
	steps map[string]*heddle.Step
	// member is the step that runs in place of a matrix, by the matrix' name.
	member map[string]string
	known  []string
}

func newNames(flow *heddle.Flow) *names {
	n := &names{steps: map[string]*heddle.Step{}, member: map[string]string{}}
	for i := range flow.Steps {
		step := &flow.Steps[i]
		n.steps[step.Name] = step
		if step.Group == "" {
			n.known = append(n.known, step.Name)
			continue
		}
		if group := n.steps[step.Group]; group != nil && group.Matrix != nil {
			n.member[step.Group] = step.Name
		}
	}
	return n
}

// running is the step whose programs a name stands for.
func (n *names) running(name string) string {
	if member := n.member[name]; member != "" {
		return member
	}
	return name
}

// check faults what a scenario asks of steps that the flow does not have, and
// outcomes that they cannot have.
func (f *File) check(s *scenario, flow *heddle.Flow) {
	n := newNames(flow)
	known := func(at *doc.Node, step string) bool {
		if n.steps[step] == nil {
			f.d.Faults.Errorf(at, "the document has no step %q%s", step, doc.DidYouMean(step, n.known))
			return false
		}
		return true
	}
	for _, script := range s.scripts {
		if !known(script.at, script.step) {
			continue
		}
		step := n.steps[n.running(script.step)]
		for i := range script.outcomes {
			o := &script.outcomes[i]
			if why := impossible(step, o, flow.Context != nil); why != "" {
				f.d.Faults.Errorf(o.at, "step %q %s", script.step, why)
			}
		}
	}
	if s.cancelAt != nil {
		known(s.cancelAt, s.cancelAt.Text)
	}
	for _, at := range s.expect.path {
		known(at, at.Text)
	}
	for _, entries := range [][]entry{s.expect.steps, s.expect.visits, s.expect.attempts} {
		for _, e := range entries {
			known(e.at, e.step)
		}
	}
	if flow.Context == nil {
		for _, at := range []*doc.Node{s.context, s.expect.context} {
			if at != nil {
				f.d.Faults.Errorf(at, "a %s has no context", strings.ToLower(string(flow.Kind)))
			}
		}
	}
}

// impossible says why a step's program cannot end so; "" if it can.
func impossible(step *heddle.Step, o *outcome, handsOn bool) string {
	line := step.Result == heddle.ResultLine
	switch {
	case step.Work == nil:
		return "is a group: its members have outcomes of their own"
	case step.Broken != "":
		return "cannot run: " + step.Broken
	case o.context != nil && !handsOn:
		return "hands no context on"
	case o.context != nil && !line:
		return "adds nothing to the context: its program is judged by its exit code (result: exit-code)"
	case o.context != nil && ranOut(step, o):
		return "adds nothing to the context when it runs out of its time"
	case o.outputs != nil && (line || step.Work.Message == nil):
		return "puts nothing out: no job asks for its outputs, and its program does not name HEDDLE_OUTPUT"
	case o.outputs != nil && o.is != heddle.Success && o.is != heddle.Failure:
		return "puts nothing out when it does not come to its end"
	case line:
		return ""
	case o.is == heddle.Timeout && step.Timeout == 0:
		return "has no longest time that it could run out of"
	case o.is == heddle.Abort && step.Unstartable != heddle.Abort:
		return "cannot end as an abort: its program is judged by its exit code"
	case o.code != nil && (o.is == heddle.Success) != (*o.code == 0):
		return "is judged by its exit code, which does not fit the outcome"
	}
	return ""
}

// ranOut reports whether the attempt runs out of its step's time, rather than
// that its program says timeout.
func ranOut(step *heddle.Step, o *outcome) bool {
	if step.Timeout == 0 {
		return false
	}
	return o.takes > step.Timeout || o.is == heddle.Timeout && o.message == "" && o.code == nil && o.context == nil
}
