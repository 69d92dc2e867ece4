package scenario

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest"
	"github.com/heddle/heddle/internal/manifest/doc"
)

// Result is what became of a scenario.
type Result struct {
	Scenario string `json:"scenario"`
	Passed   bool   `json:"passed"`
	// Verdict and Message are the run's; "" when it was given up.
	Verdict heddle.Outcome `json:"verdict,omitempty"`
	Message string         `json:"message,omitempty"`
	// Path is the steps that ran, in the order of their visits.
	Path []string `json:"path"`
	// Took is how long the run would have taken, by the scenario's own clock, such as 1m30s.
	Took        string       `json:"took"`
	Differences []Difference `json:"differences,omitempty"`
}

// Difference is an expectation that was not met.
type Difference struct {
	What     string `json:"what"` // such as verdict or steps.build
	Expected string `json:"expected"`
	Got      string `json:"got"`
}

// Run plays all scenarios of the file on a document. Errors are of
// [heddle.CodeInvalid], with the faults of the document or of the scenarios.
func (f *File) Run(document manifest.File) ([]Result, error) {
	parsed := make([]*manifest.Result, len(f.scenarios))
	for i := range f.scenarios {
		s := &f.scenarios[i]
		o := manifest.Options{Workflow: s.workflow, Ignite: s.ignite, Params: s.params}
		if s.context != nil {
			o.Context = s.context.JSON()
		}
		var err error
		if parsed[i], err = manifest.ParseFiles([]manifest.File{document}, o); err != nil {
			return nil, f.unreadable(s, err)
		}
		f.check(s, parsed[i].Flow)
	}
	if err := f.d.Faults.Err(); err != nil {
		return nil, err
	}
	results := make([]Result, 0, len(f.scenarios))
	for i := range f.scenarios {
		p, err := newPlayer(&f.scenarios[i], parsed[i].Flow, parsed[i].CorrelationID)
		if err == nil {
			err = p.play()
		}
		if err != nil {
			return nil, err
		}
		r, err := p.result(parsed[i].Flow)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	return results, nil
}

// unreadable adds to the faults of a document which scenario they were found with:
// they may be those of the params that it gives.
func (f *File) unreadable(s *scenario, err error) error {
	faults, ok := errors.AsType[doc.Error](err)
	if !ok {
		return err
	}
	f.d.Faults.Errorf(s.at, "the document is at fault, with what this scenario gives it")
	return heddle.Errorf(heddle.CodeInvalid, "%w", append(slices.Clone(faults), f.d.Faults.All()...))
}

// result compares what happened with what the scenario expects.
func (p *player) result(flow *heddle.Flow) (Result, error) {
	run, e := p.state.Run(), &p.s.expect
	r := Result{Scenario: p.s.name, Verdict: run.Outcome, Message: run.Message, Took: p.now.Sub(p.start).Round(time.Millisecond).String(), Path: []string{}}
	differ := func(what, expected, got string) {
		r.Differences = append(r.Differences, Difference{What: what, Expected: expected, Got: got})
	}
	seen := p.look()
	r.Path = append(r.Path, seen.path...)
	switch {
	case p.endless != "":
		differ("verdict", string(e.verdict), "none: "+p.endless)
		return r, nil
	case e.verdict != run.Outcome:
		differ("verdict", string(e.verdict), strings.TrimSuffix(fmt.Sprintf("%s: %s", run.Outcome, run.Message), ": "))
	}
	if p.cancel != "" && !p.canceled {
		differ("cancel_at", p.s.cancelAt.Text+" to run", "a run in which it never did")
	}
	if want := texts(e.path); e.hasPath && !slices.Equal(want, r.Path) {
		differ("path", list(want), list(r.Path))
	}
	for _, step := range e.steps {
		if got := seen.state(step.step); got != step.word {
			differ("steps."+step.step, step.word, got)
		}
	}
	if e.context != nil {
		got, err := p.finalContext(flow)
		if err != nil {
			return r, err
		}
		compare("context", e.context, got, differ)
	}
	for _, step := range e.visits {
		if got := seen.visits[step.step]; got != step.count {
			differ("visits."+step.step, strconv.Itoa(step.count), strconv.Itoa(got))
		}
	}
	for _, step := range e.attempts {
		if got := p.attempts[p.names.running(step.step)]; got != step.count {
			differ("attempts."+step.step, strconv.Itoa(step.count), strconv.Itoa(got))
		}
	}
	r.Passed = len(r.Differences) == 0
	return r, nil
}

// sight is what a scenario can ask about the visits of a run.
type sight struct {
	path     []string
	outcomes map[string]heddle.Outcome // of the latest visit, skipped ones last
	visits   map[string]int            // not skipped
}

// look sums the visits up. Members of groups are seen as part of these.
func (p *player) look() sight {
	s := sight{outcomes: map[string]heddle.Outcome{}, visits: map[string]int{}}
	for _, v := range p.visits {
		if v.Outcome == heddle.Skipped {
			if s.outcomes[v.Step] == "" {
				s.outcomes[v.Step] = heddle.Skipped
			}
			continue
		}
		s.outcomes[v.Step] = v.Outcome
		s.visits[v.Step]++
		if p.names.steps[v.Step].Group == "" {
			s.path = append(s.path, v.Step)
		}
	}
	return s
}

func (s *sight) state(step string) string {
	if o := s.outcomes[step]; o != "" {
		return string(o)
	}
	return NotRun
}

// finalContext is what a step after the last one would be given.
func (p *player) finalContext(flow *heddle.Flow) (map[string]any, error) {
	var chain []int
	for no := len(p.visits); no > 0; no = p.visits[no-1].Cause {
		chain = append(chain, no)
	}
	merged := map[string]any{}
	layers := []json.RawMessage{flow.Context, p.state.Run().Input.Context}
	for _, no := range slices.Backward(chain) {
		layers = append(layers, p.visits[no-1].Output)
	}
	for _, layer := range layers {
		if len(layer) == 0 {
			continue
		}
		d, err := doc.Parse("context", layer)
		if err != nil {
			return nil, fmt.Errorf("reading the context that the steps made: %w", err)
		}
		if object, ok := d.Root.Value().(map[string]any); ok {
			merged = heddle.MergeContext(merged, object)
		}
	}
	return merged, nil
}

// compare finds where got lacks what is wanted of it: in maps what is not named
// does not matter.
func compare(what string, want *doc.Node, got any, differ func(what, expected, got string)) {
	object, isMap := got.(map[string]any)
	if want.Kind != doc.Map || !isMap {
		if !same(want.Value(), got) {
			differ(what, string(want.JSON()), shown(got))
		}
		return
	}
	for _, f := range want.Fields {
		below, ok := object[f.Key]
		if !ok {
			differ(what+"."+f.Key, string(f.Value.JSON()), "nothing")
			continue
		}
		compare(what+"."+f.Key, f.Value, below, differ)
	}
}

// same compares two values of JSON; numbers by what they are worth.
func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, same)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	case json.Number:
		b, ok := b.(json.Number)
		if a == b || !ok {
			return ok
		}
		x, errX := a.Float64()
		y, errY := b.Float64()
		return errX == nil && errY == nil && x == y
	}
	return a == b
}

func shown(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

func texts(nodes []*doc.Node) []string {
	list := make([]string, len(nodes))
	for i, n := range nodes {
		list[i] = n.Text
	}
	return list
}

func list(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}
