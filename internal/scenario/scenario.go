// Package scenario tests documents without running anything. A scenario says how
// each step's program ends; the state machine that decides real runs plays that
// through in a time of its own, and what came of it is compared with what the
// scenario expects.
package scenario

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
)

// DefaultMaxVisits is how often a step may be visited in one scenario, and how
// often a visit may be tried, unless the scenario says otherwise.
const DefaultMaxVisits = 1000

// File is a file of scenarios.
type File struct {
	// Document is the name of the document that is tested, relative to the file; ""
	// when the file names none.
	Document  string
	scenarios []scenario
	d         *doc.Document
}

// scenario is one of a file. Nodes are kept of what only the document's flow can
// tell right from wrong.
type scenario struct {
	at        *doc.Node
	name      string
	workflow  string
	ignite    string
	params    map[string]string
	context   *doc.Node // nil when there is none
	env       []string
	scripts   []script
	cancelAt  *doc.Node // nil: never
	maxVisits int
	expect    expectation
}

// script is what the programs of a step do, one attempt after the other.
type script struct {
	step string
	at   *doc.Node
	// all: the one outcome is that of every attempt; else those beyond the list succeed.
	all      bool
	outcomes []outcome
}

// outcome is how one attempt ends.
type outcome struct {
	at      *doc.Node
	is      heddle.Outcome
	code    *int
	message string
	context *doc.Node // nil when there is none
	outputs *doc.Node // likewise
	takes   time.Duration
}

// expectation is what a scenario expects. What is nil is not looked at.
type expectation struct {
	verdict  heddle.Outcome
	path     []*doc.Node
	hasPath  bool
	steps    []entry
	context  *doc.Node
	visits   []entry
	attempts []entry
}

// entry is what is expected of a step.
type entry struct {
	step  string
	at    *doc.Node
	word  string
	count int
}

// NotRun stands in expectations for a step that was never opened.
const NotRun = "not run"

// Is reports whether the document looks like a file of scenarios.
func Is(d *doc.Document) bool { return d.Root.Get("scenarios") != nil }

// Parse reads a file of scenarios. Errors are of [heddle.CodeInvalid] and tell all
// faults at once, those aside that only show beside the document.
func Parse(name string, data []byte) (*File, error) {
	d, err := doc.Parse(name, data)
	if err != nil {
		return nil, fmt.Errorf("reading scenarios: %w", err)
	}
	return Decode(d)
}

// Decode is [Parse] for a document that has been read.
func Decode(d *doc.Document) (*File, error) {
	d.Strict = true
	f := &File{d: d}
	top := d.Object(d.Root)
	f.Document = top.StringOnly("document")
	items := top.List("scenarios")
	if len(items) == 0 {
		d.Faults.Errorf(orElse(d.Root.Get("scenarios"), d.Root), "there must be scenarios: a list with one at least")
	}
	names := map[string]bool{}
	for _, item := range items {
		s := f.readScenario(item)
		if names[s.name] && s.name != "" {
			d.Faults.Errorf(orElse(item.Get("name"), item), "there is another scenario called %q", s.name)
		}
		names[s.name] = true
		f.scenarios = append(f.scenarios, s)
	}
	top.Rest()
	if err := d.Faults.Err(); err != nil {
		return nil, err
	}
	return f, nil
}

func orElse(n, other *doc.Node) *doc.Node {
	if n == nil {
		return other
	}
	return n
}

func (f *File) readScenario(n *doc.Node) scenario {
	o := f.d.Object(n)
	s := scenario{
		at:        n,
		name:      o.String("name", ""),
		workflow:  o.String("workflow", ""),
		ignite:    o.String("ignite", ""),
		env:       o.Strings("env"),
		cancelAt:  o.Get("cancel_at"),
		maxVisits: o.Int("max_visits"),
	}
	if n.Kind == doc.Map && s.name == "" {
		f.d.Faults.Errorf(n, "a scenario needs a name")
	}
	if s.cancelAt != nil {
		o.StringOnly("cancel_at")
	}
	if s.maxVisits == 0 {
		s.maxVisits = DefaultMaxVisits
	}
	if fields := o.Object("params").Fields(); len(fields) > 0 {
		s.params = map[string]string{}
		for _, field := range fields {
			if text, ok := f.d.Text(field.Value); ok {
				s.params[field.Key] = text
			}
		}
	}
	if o.JSON("context") != nil {
		s.context = o.Get("context")
	}
	for _, field := range o.Object("steps").Fields() {
		s.scripts = append(s.scripts, f.readScript(field))
	}
	expect := o.Get("expect")
	if n.Kind == doc.Map && expect == nil {
		f.d.Faults.Errorf(n, "a scenario needs the key expect, with a verdict at least")
	}
	s.expect = f.readExpect(expect)
	o.Rest()
	return s
}

func (f *File) readScript(field doc.Field) script {
	s := script{step: field.Key, at: field.Value}
	if field.Value.Kind != doc.List {
		s.all = true
		s.outcomes = []outcome{f.readOutcome(field.Value)}
		return s
	}
	for _, item := range field.Value.Items {
		s.outcomes = append(s.outcomes, f.readOutcome(item))
	}
	return s
}

// readOutcome reads an outcome: its name, or a map that may say more.
func (f *File) readOutcome(n *doc.Node) outcome {
	out := outcome{at: n, is: heddle.Success}
	if n.Kind != doc.Map {
		if text, ok := f.d.Text(n); ok {
			out.is = f.oneOf(n, text, programOutcomes())
		}
		return out
	}
	o := f.d.Object(n)
	out.message = o.String("message", "")
	out.takes = o.Duration("takes")
	if at := o.Get("outcome"); at != nil {
		out.is = f.oneOf(at, o.String("outcome", ""), programOutcomes())
	}
	if at := o.Get("code"); at != nil {
		code := o.Int("code")
		if code > 255 {
			f.d.Faults.Errorf(at, "an exit code is at most 255, is %d", code)
		}
		out.code = &code
	}
	if o.JSON("context") != nil {
		out.context = o.Get("context")
	}
	if o.JSON("outputs") != nil {
		out.outputs = o.Get("outputs")
	}
	o.Rest()
	return out
}

// programOutcomes are those that a program can end with.
func programOutcomes() []heddle.Outcome {
	return []heddle.Outcome{heddle.Success, heddle.Failure, heddle.Abort, heddle.Timeout}
}

func (f *File) oneOf(n *doc.Node, text string, allowed []heddle.Outcome) heddle.Outcome {
	if slices.Contains(allowed, heddle.Outcome(text)) {
		return heddle.Outcome(text)
	}
	words := make([]string, len(allowed))
	for i, o := range allowed {
		words[i] = string(o)
	}
	f.d.Faults.Errorf(n, "must be one of %s, is %q%s", strings.Join(words, ", "), text, doc.DidYouMean(text, words))
	return ""
}

func (f *File) readExpect(n *doc.Node) expectation {
	o := f.d.Object(n)
	e := expectation{path: o.List("path"), hasPath: o.Get("path") != nil}
	for _, item := range e.path {
		f.d.Text(item)
	}
	switch at := o.Get("verdict"); {
	case at != nil:
		e.verdict = f.oneOf(at, o.String("verdict", ""), programOutcomes())
	case n != nil && n.Kind == doc.Map:
		f.d.Faults.Errorf(n, "an expectation needs a verdict")
	}
	for _, field := range o.Object("steps").Fields() {
		if text, ok := f.d.Text(field.Value); ok {
			word := f.oneOf(field.Value, text, append(heddle.Outcomes(), NotRun))
			e.steps = append(e.steps, entry{step: field.Key, at: field.Value, word: string(word)})
		}
	}
	if o.JSON("context") != nil {
		e.context = o.Get("context")
	}
	e.visits = f.readCounts(o.Object("visits"))
	e.attempts = f.readCounts(o.Object("attempts"))
	o.Rest()
	return e
}

func (f *File) readCounts(o *doc.Object) []entry {
	var entries []entry
	for _, field := range o.Fields() {
		entries = append(entries, entry{step: field.Key, at: field.Value, count: o.Int(field.Key)})
	}
	return entries
}
