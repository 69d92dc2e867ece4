// Package chain reads Tasks and Ignitors (sirocco.cloud/v1alpha1), the manifests of
// orcaoperator: Tasks that start each other when they end, and Ignitors that start
// the first ones. A set of them, with one of its Ignitors, makes a flow.
package chain

import (
	"slices"
	"strings"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/orca"
)

const (
	group      = "sirocco.cloud"
	apiVersion = group + "/v1alpha1"
)

// DefaultMaxVisits is how often a Task may run in one play of its chain, unless that
// is said: Tasks that lead back to themselves have no other end.
const DefaultMaxVisits = 1000

// Options choose what a set of manifests leaves open.
type Options struct {
	// Ignite is the name of the Ignitor to play; "" is the only one.
	Ignite string
	// Any: of several Ignitors none needs to be chosen, and there may be none. The
	// flow begins with what any of them starts. It is for those who look at the set only.
	Any bool
	// MaxVisits bounds how often a Task may run; 0 means [DefaultMaxVisits].
	MaxVisits int
	// Name is the flow's when no Ignitor is chosen.
	Name string
}

// Result is what a set of manifests says.
type Result struct {
	Flow     *heddle.Flow
	Warnings []doc.Fault
}

// Is reports whether the document is of the API group of Tasks and Ignitors.
func Is(d *doc.Document) bool {
	v := d.Root.Get("apiVersion")
	return v != nil && strings.HasPrefix(v.Text, group+"/")
}

// set is what has been read of the manifests.
type set struct {
	tasks     []task
	ignitors  []ignitor
	namespace *doc.Node // the first that was given
}

// name is a name in a document, which a message can point at.
type name struct {
	d    *doc.Document
	node *doc.Node
}

func (n name) text() string { return n.node.Text }

// Decode makes the flow of a set of Tasks and Ignitors, one at least, that share a
// namespace or have none. Errors are of [heddle.CodeInvalid] and tell the faults of
// all documents. Names of Tasks and Ignitors that are not there are warnings: what
// waits for those is never started by them.
//
// Each Task is a step. One that runs is not started again, every outcome but success
// is a failure, and a Task sees in ORCA_INITIATOR and ORCA_DATA what started it.
func Decode(docs []*doc.Document, o Options) (*Result, error) {
	var s set
	for _, d := range docs {
		s.read(d)
	}
	s.checkNames()
	chosen := s.choose(docs, o)
	faults, err := doc.Join(docs...)
	if err != nil {
		return nil, err
	}
	f := s.flow(o, chosen)
	f.Source = source(docs)
	return &Result{Flow: f, Warnings: faults}, nil
}

// source is a Kubernetes list of the documents.
func source(docs []*doc.Document) []byte {
	text := []byte(`{"apiVersion":"v1","kind":"List","items":[`)
	for i, d := range docs {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, d.Root.JSON()...)
	}
	return append(text, "]}"...)
}

// checkNames faults names that two have, and warns of those that nobody has.
func (s *set) checkNames() {
	tasks, ignitors := map[string]name{}, map[string]name{}
	unique := func(known map[string]name, n name, kind string) {
		if first, twice := known[n.text()]; twice {
			n.d.Faults.Errorf(n.node, "there is another %s %q, in line %d of %s", kind, n.text(), first.node.Line, first.d.File)
			return
		}
		known[n.text()] = n
	}
	for _, t := range s.tasks {
		unique(tasks, t.name, "Task")
	}
	for _, i := range s.ignitors {
		unique(ignitors, i.name, "Ignitor")
	}
	warn := func(refs []name, known map[string]name, kind string) {
		for _, ref := range refs {
			if _, ok := known[ref.text()]; !ok {
				ref.d.Faults.Warnf(ref.node, "there is no %s %q here: it never starts this Task", kind, ref.text())
			}
		}
	}
	for _, t := range s.tasks {
		warn(t.onIgnition, ignitors, "Ignitor")
		warn(t.onSuccess, tasks, "Task")
		warn(t.onFailure, tasks, "Task")
	}
}

// choose finds the Ignitor to play; nil if there is none to be chosen.
func (s *set) choose(docs []*doc.Document, o Options) *ignitor {
	names := make([]string, len(s.ignitors))
	for i := range s.ignitors {
		names[i] = s.ignitors[i].name.text()
	}
	at := slices.Index(names, o.Ignite)
	if o.Ignite == "" && len(names) == 1 {
		at = 0
	}
	first := docs[0]
	if at < 0 {
		switch {
		case len(names) == 0 && (o.Ignite != "" || !o.Any):
			first.Faults.Errorf(first.Root, "there is no Ignitor to begin with; the Ignitors' manifests can be in other files")
		case o.Ignite != "":
			first.Faults.Errorf(first.Root, "there is no Ignitor %q%s; there are %s", o.Ignite, doc.DidYouMean(o.Ignite, names), strings.Join(names, ", "))
		case !o.Any:
			first.Faults.Errorf(first.Root, "there are several Ignitors, and one is to be chosen (--ignite NAME): %s", strings.Join(names, ", "))
		}
		return nil
	}
	chosen := &s.ignitors[at]
	if len(orca.Ignited(s.starts(), names[at], never)) == 0 {
		fault := chosen.name.d.Faults.Errorf
		if o.Any {
			fault = chosen.name.d.Faults.Warnf
		}
		fault(chosen.name.node, "no Task names the Ignitor %q in startOnIgnition: it starts nothing", names[at])
	}
	if !o.Any && !strings.EqualFold(chosen.scheduled, "NOW") {
		chosen.name.d.Faults.Warnf(chosen.name.node, "the Ignitor is scheduled (%s); here it is played at once, and once", chosen.scheduled)
	}
	return chosen
}

func never(string) bool { return false }

// starts is what the Tasks say about when they start.
func (s *set) starts() []orca.Task {
	list := make([]orca.Task, len(s.tasks))
	for i, t := range s.tasks {
		list[i] = orca.Task{Name: t.name.text(), OnIgnition: texts(t.onIgnition), OnSuccess: texts(t.onSuccess), OnFailure: texts(t.onFailure)}
	}
	return list
}

func texts(names []name) []string {
	var list []string
	for _, n := range names {
		list = append(list, n.text())
	}
	return list
}

func (s *set) flow(o Options, chosen *ignitor) *heddle.Flow {
	tasks := s.starts()
	f := &heddle.Flow{Kind: heddle.KindChain, Name: o.Name, Edges: orca.Edges(tasks), Start: []string{}}
	var ignitors []string
	if chosen != nil {
		f.Name, f.Initiator, f.Data = chosen.name.text(), chosen.name.text(), chosen.data
		ignitors = []string{f.Initiator}
	} else {
		for _, i := range s.ignitors {
			ignitors = append(ignitors, i.name.text())
		}
	}
	if f.Name == "" {
		f.Name = "tasks"
	}
	for _, i := range ignitors {
		f.Start = append(f.Start, orca.Ignited(tasks, i, func(name string) bool { return slices.Contains(f.Start, name) })...)
	}
	visits := o.MaxVisits
	if visits == 0 {
		visits = DefaultMaxVisits
	}
	for _, t := range s.tasks {
		f.Steps = append(f.Steps, heddle.Step{
			Name: t.name.text(), Gate: heddle.GateAny, Work: t.work, Result: heddle.ResultExitCode, Timeout: t.timeout,
			Key: t.name.text(), Busy: heddle.BusyDrop, MaxVisits: visits,
		})
	}
	return f
}
