package machine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/heddle/heddle"
)

// maxMessage is the size at which an executor cuts what a program leaves in its
// message file, in bytes: a text of that size may have been longer.
const maxMessage = 4096

var outputName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// putOut gives a judgement the output of a step in a flow that hands no context on:
// in an event chain the text that the program left, in others its named outputs. A
// step has one if its work has a message file.
func (s *State) putOut(step *heddle.Step, exit *heddle.Exit, j judgement) (judgement, error) {
	j.output = nil
	if step.Work.Message == nil || step.Result == heddle.ResultLine {
		return j, nil
	}
	var err error
	if s.g.flow.Kind == heddle.KindChain {
		if exit.Termination != "" {
			j.output, err = encode(map[string]string{"message": exit.Termination})
		}
		return j, err
	}
	named, fault := readOutputs(exit)
	if fault == "" && len(named) > 0 {
		if j.output, err = encode(named); len(j.output) > heddle.MaxOutput {
			fault = fmt.Sprintf("the outputs have %d bytes together, more than the %d that are allowed", len(j.output), heddle.MaxOutput)
		}
	}
	switch {
	case fault == "":
	case j.outcome == heddle.Success:
		return judgement{outcome: heddle.Failure, status: heddle.StatusAppError, code: 1, message: "malformed output: " + fault}, nil
	default:
		j.output = nil // it has failed for another reason already
	}
	return j, err
}

// readOutputs reads the named outputs of a program: those of its last result line,
// and over them those of its message file.
func readOutputs(exit *heddle.Exit) (named map[string]json.RawMessage, fault string) {
	named = map[string]json.RawMessage{}
	if exit.ResultSize > heddle.MaxResult {
		return nil, fmt.Sprintf("the line KOG:... has %d bytes, more than the %d that are allowed", exit.ResultSize, heddle.MaxResult)
	}
	if exit.ResultSize > 0 {
		if fault := readObject(named, exit.Result); fault != "" {
			return nil, fmt.Sprintf("the line KOG:%s %s", clip(exit.Result, 80), fault)
		}
	}
	const printed = "; what is too long for it can be printed, as a line KOG:{...}"
	text := strings.TrimLeft(exit.Termination, " \t\r\n")
	switch {
	case exit.TerminationFault != "":
		return nil, "the file cannot be read as a whole: " + exit.TerminationFault + printed
	case len(exit.Termination) >= maxMessage: // somebody who does not know may have cut it
		return nil, fmt.Sprintf("the file has %d bytes or more%s", maxMessage, printed)
	case strings.HasPrefix(text, "{"):
		if fault := readObject(named, []byte(text)); fault != "" {
			return nil, "the text of the file " + fault
		}
		return named, ""
	}
	no := 0
	for line := range strings.Lines(exit.Termination) {
		no++
		line = strings.TrimRight(line, "\r\n")
		if bare := strings.TrimSpace(line); bare == "" || bare[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || !outputName.MatchString(name) {
			return nil, fmt.Sprintf("line %d of the file is not name=value: %q", no, clip([]byte(line), 80))
		}
		data, err := encode(value)
		if err != nil {
			return nil, err.Error()
		}
		named[name] = data
	}
	return named, ""
}

// readObject adds the fields of a JSON object to the outputs.
func readObject(named map[string]json.RawMessage, text []byte) (fault string) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		return "is not a JSON object: " + err.Error()
	}
	if object == nil {
		return "is not a JSON object: it is null"
	}
	for name, value := range object {
		if !outputName.MatchString(name) {
			return fmt.Sprintf("has the name %q: letters, digits, _ and - can be in a name, a letter or _ first", name)
		}
		named[name] = value
	}
	return ""
}

// linkSources checks where variables come from, and notes which outputs of which
// steps others ask for.
func (g *Graph) linkSources() error {
	g.asked = make([]map[string]bool, len(g.flow.Steps))
	for i := range g.flow.Steps {
		step := g.step(i)
		if step.Work == nil {
			continue
		}
		for name, source := range step.Work.From {
			if _, twice := step.Work.Env[name]; twice {
				return invalid("step %q: the variable %s has a value and a source", step.Name, name)
			}
			if why := g.linkSource(source); why != "" {
				return invalid("step %q: the variable %s %s", step.Name, name, why)
			}
		}
	}
	return nil
}

// linkSource says what is wrong with a source; "" for nothing.
func (g *Graph) linkSource(source heddle.Source) (why string) {
	switch none := (heddle.Source{}); source {
	case none:
	case heddle.Source{Output: source.Output}:
		of, output, ok := g.output(source.Output)
		if !ok {
			return fmt.Sprintf("asks for the output %q, and that is none of a step with work or of a matrix", source.Output)
		}
		if g.asked[of] == nil {
			g.asked[of] = map[string]bool{}
		}
		g.asked[of][output] = true
		return ""
	case heddle.Source{Cause: heddle.CauseName}, heddle.Source{Cause: heddle.CauseMessage}:
		g.causes = true
		return ""
	case heddle.Source{File: source.File}, heddle.Source{Env: source.Env}, heddle.Source{Secret: source.Secret}:
		return ""
	}
	return "has not one source"
}

// output finds the step whose programs give an output that is called step.name.
func (g *Graph) output(ref string) (step int, name string, ok bool) {
	at := strings.LastIndexByte(ref, '.')
	if at < 0 {
		return 0, "", false
	}
	i, ok := g.index[ref[:at]]
	if !ok {
		return 0, "", false
	}
	if g.isGroup(i) {
		if g.step(i).Matrix == nil {
			return 0, "", false
		}
		i = g.members[i][0]
	}
	return i, ref[at+1:], true
}

// given is what is kept of the output of a visit for the steps that ask for it.
type given struct {
	values map[string]json.RawMessage // those that are asked for
	names  []string                   // of all, a few of many
}

// keepOutput returns what others ask for of a settled visit's output; nil: nothing.
func (s *State) keepOutput(v *visit) *given {
	asked := s.g.asked[v.step]
	if asked == nil {
		return nil
	}
	s.steps[v.step].arrays = nil
	var object map[string]json.RawMessage
	if len(v.Output) == 0 || json.Unmarshal(v.Output, &object) != nil {
		return nil
	}
	const few = 20
	g := &given{values: map[string]json.RawMessage{}, names: slices.Sorted(maps.Keys(object))}
	g.names = slices.Clone(g.names[:min(few, len(g.names))])
	for name := range asked {
		if value, ok := object[name]; ok {
			g.values[name] = bytes.Clone(value)
		}
	}
	return g
}

// resolve returns the value of an output as a variable has it; why says what is
// missing if there is none.
func (s *State) resolve(ref string) (value, why string) {
	i, name, _ := s.g.output(ref)
	st := &s.steps[i]
	if m := s.matrixOf(i); m != nil {
		return s.resolveMatrix(i, name, len(m.Env))
	}
	step := s.g.step(i).Name
	end, ran := st.latest[0]
	switch {
	case !ran && len(st.visits) > 0:
		return "", fmt.Sprintf("step %q, whose output %q it needs, was skipped", step, name)
	case !ran:
		return "", fmt.Sprintf("step %q, whose output %q it needs, has not run", step, name)
	case end.output == nil:
		return "", fmt.Sprintf("step %q has ended with %s and put out no %q, nor anything else", step, end.outcome, name)
	}
	data, ok := end.output.values[name]
	if !ok {
		return "", fmt.Sprintf("step %q has ended with %s and put out no %q, but %s", step, end.outcome, name, strings.Join(end.output.names, ", "))
	}
	var text string
	if json.Unmarshal(data, &text) == nil && data[0] == '"' {
		return text, ""
	}
	return string(data), ""
}

// resolveMatrix makes a JSON array of the outputs of a matrix, null for those that
// put out none. It is made once for all that ask for it.
func (s *State) resolveMatrix(i int, name string, size int) (value, why string) {
	st := &s.steps[i]
	if text, ok := st.arrays[name]; ok {
		return text, ""
	}
	array, some := make([]json.RawMessage, size), false
	for index := range array {
		array[index] = json.RawMessage("null")
		if end := st.latest[index]; end.output != nil {
			if data, ok := end.output.values[name]; ok {
				array[index], some = data, true
			}
		}
	}
	if !some {
		return "", fmt.Sprintf("none of the matrix %q has put out %q", s.g.step(i).Group, name)
	}
	data, err := encode(array)
	if err != nil {
		return "", err.Error()
	}
	if st.arrays == nil {
		st.arrays = map[string]string{}
	}
	st.arrays[name] = string(data)
	return string(data), ""
}

// lead is what led to a visit, as its program may be told it.
type lead struct{ name, message string }

// leadOf is the lead of the visits that a settled visit leads to; nil if nobody asks.
func (s *State) leadOf(v *heddle.Visit) *lead {
	if !s.g.causes {
		return nil
	}
	var output struct {
		Message string `json:"message"`
	}
	if len(v.Output) > 0 {
		_ = json.Unmarshal(v.Output, &output) // one without a text has none
	}
	return &lead{name: v.Step, message: output.Message}
}

// startLead is the lead of the visits that begin a run.
func (s *State) startLead() *lead {
	return &lead{name: s.g.flow.Initiator, message: s.g.flow.Data}
}

// leadTo finds the lead of a visit again from the rows: that of a group is its
// members' too.
func (s *State) leadTo(v *visit, byNo map[int]*heddle.Visit) *lead {
	if !s.g.causes {
		return nil
	}
	no, step := v.Cause, v.step
	for row := byNo[no]; row != nil; row = byNo[no] {
		p := s.g.parent[step]
		if p < 0 || row.Step != s.g.step(p).Name {
			return s.leadOf(row)
		}
		no, step = row.Cause, p
	}
	return s.startLead()
}
