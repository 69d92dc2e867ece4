package machine

import (
	"reflect"
	"slices"

	"github.com/heddle/heddle"
)

// PlanRetry says what a retry of a run takes over and what it does over. The flow is
// the one that the new run is to have; nil: the old one's. Of an edited flow, steps
// are matched by name: a retry of what failed does steps over that differ now, if all
// steps of the flow open once at most; in other cases a step that is to be taken over
// and differs is an error. What counts is what a step runs, its entry in a matrix,
// and what it waits for.
//
// Errors are of [heddle.CodeConflict] when the run has not ended or there is nothing
// to do over, of [heddle.CodeInvalid] when step or flow do not suit the run.
func PlanRetry(flow *heddle.Flow, old *heddle.RunDetail, r heddle.RunRetry) (heddle.RetryPlan, error) {
	r.Run = old.Run.ID
	if r.Mode == "" {
		r.Mode = heddle.RetryFailed
	}
	p, err := newPlanner(flow, old, r)
	if err != nil {
		return heddle.RetryPlan{}, err
	}
	roots, err := p.roots()
	if err != nil {
		return heddle.RetryPlan{}, err
	}
	p.sort(roots)
	if err := p.checkTaken(); err != nil {
		return heddle.RetryPlan{}, err
	}
	plan := heddle.RetryPlan{RunRetry: r, Visits: p.rows()}
	plan.Steps = p.fates(plan.Visits)
	return plan, nil
}

// fate is what becomes of an old visit.
type fate int

const (
	taken   fate = iota
	opened       // opened again in its place
	dropped      // comes again by itself, if what leads to it does
)

// planner plans a retry. Visits are named by their old numbers.
type planner struct {
	g          *Graph // of the new flow
	before     *Graph // of the old one; nil when they are the same
	old        *heddle.RunDetail
	retry      heddle.RunRetry
	visits     []heddle.Visit // of old, by number
	dag        bool           // every step opens once at most
	cut        map[int]bool   // visits that were told to stop when the run was
	fate       map[int]fate
	redone     []bool  // by step: it is done over
	into       [][]int // by step: the edges that lead to it
	intoBefore [][]int // the same of the old flow
}

func newPlanner(flow *heddle.Flow, old *heddle.RunDetail, r heddle.RunRetry) (*planner, error) {
	if old.Run.State != heddle.RunEnded {
		return nil, heddle.Errorf(heddle.CodeConflict, "run %s has not ended: only what has can be retried", old.Run.ID)
	}
	if old.Flow == nil {
		return nil, heddle.Errorf(heddle.CodeInternal, "run %s comes without its flow", old.Run.ID)
	}
	p := &planner{old: old, retry: r, visits: slices.Clone(old.Visits), cut: map[int]bool{}, fate: map[int]fate{}, dag: true}
	slices.SortFunc(p.visits, func(a, b heddle.Visit) int { return a.No - b.No })
	if flow == nil {
		flow = old.Flow
	}
	if flow.Kind != old.Flow.Kind {
		return nil, invalid("the document is a %s, and run %s was of a %s", flow.Kind, old.Run.ID, old.Flow.Kind)
	}
	var err error
	if p.g, err = Compile(flow); err != nil {
		return nil, err
	}
	if flow != old.Flow {
		if p.before, err = Compile(old.Flow); err != nil {
			return nil, err
		}
		p.intoBefore = p.before.into()
	}
	for i := range flow.Steps {
		p.dag = p.dag && p.g.once(i)
	}
	p.redone, p.into = make([]bool, len(flow.Steps)), p.g.into()
	for i := range old.Attempts {
		if a := &old.Attempts[i]; old.Run.Stop != "" && a.Stop != "" {
			p.cut[a.Visit] = true
		}
	}
	return p, nil
}

// roots returns the visits that the retry is about, or that it begins with. All are
// of steps outside groups.
func (p *planner) roots() (map[int]bool, error) {
	switch p.retry.Mode {
	case heddle.RetryFailed:
		return p.failedRoots()
	case heddle.RetryFrom, heddle.RetryOnly:
		return p.stepRoots()
	}
	return nil, invalid("there is no mode %q of retrying", p.retry.Mode)
}

func (p *planner) failedRoots() (map[int]bool, error) {
	if p.retry.Step != "" {
		return nil, invalid("a retry of what failed names no step")
	}
	if p.old.Run.Outcome.Good() {
		return nil, heddle.Errorf(heddle.CodeConflict, "run %s ended well, there is nothing to do over: choose a step to begin from", p.old.Run.ID)
	}
	roots := map[int]bool{}
	if p.dag {
		for i := range p.visits {
			at, ok := p.g.index[p.visits[i].Step]
			if !ok || p.g.parent[at] < 0 && !p.g.final[at] && (p.bad(&p.visits[i], at) || p.changed(at)) {
				roots[p.visits[i].No] = true
			}
		}
		return roots, nil
	}
	var chosen []*heddle.Visit
	for _, v := range p.verdictOrder() {
		if !slices.ContainsFunc(chosen, func(c *heddle.Visit) bool { return p.related(c, v) }) {
			chosen = append(chosen, v)
			roots[v.No] = true
		}
	}
	return roots, nil
}

// bad reports whether a visit is to be done over for how it ended.
func (p *planner) bad(v *heddle.Visit, at int) bool {
	if p.old.Run.Stop != "" && p.g.isGroup(at) && !p.complete(at) {
		return true
	}
	return !v.Outcome.Good() && !p.g.step(at).Tolerate
}

// complete reports whether all members of a group have had their visits, which they
// have not where the run was stopped.
func (p *planner) complete(group int) bool {
	if !slices.ContainsFunc(p.visits, func(v heddle.Visit) bool { return v.Step == p.g.step(group).Name && v.Outcome != heddle.Skipped }) {
		return true // it never opened
	}
	want := 1
	if m := p.g.step(group).Matrix; m != nil {
		want = len(m.Env)
	}
	for _, member := range p.g.members[group] {
		have := 0
		for i := range p.visits {
			if p.visits[i].Step == p.g.step(member).Name {
				have++
			}
		}
		if have < want || p.g.isGroup(member) && !p.complete(member) {
			return false
		}
	}
	return true
}

// verdictOrder returns the visits that speak against the old run, the one that its
// verdict is from first: the latest of each step, if that did not end well.
func (p *planner) verdictOrder() []*heddle.Visit {
	first, latest := map[int]int{}, map[int]*heddle.Visit{}
	var steps []int
	for i := range p.visits {
		v := &p.visits[i]
		at, ok := p.g.index[v.Step]
		if !ok || p.g.parent[at] >= 0 || p.g.final[at] || p.g.step(at).Tolerate {
			continue
		}
		if _, known := first[at]; !known {
			first[at] = v.No
			steps = append(steps, at)
		}
		if v.Outcome != heddle.Skipped {
			latest[at] = v
		}
	}
	rank := func(at int) int {
		if p.g.gatesAll(at) {
			return at - len(p.redone) // those keep the order of the document, before all others
		}
		return first[at]
	}
	slices.SortFunc(steps, func(a, b int) int { return rank(a) - rank(b) })
	var against []*heddle.Visit
	for _, at := range steps {
		if v := latest[at]; v != nil && (p.cut[v.No] || p.bad(v, at)) {
			against = append(against, v)
		}
	}
	return against
}

// related reports whether one visit has led to the other.
func (p *planner) related(a, b *heddle.Visit) bool {
	if a.No > b.No {
		a, b = b, a
	}
	no := b.No
	for no > a.No {
		i, ok := slices.BinarySearchFunc(p.visits, no, func(v heddle.Visit, no int) int { return v.No - no })
		if !ok {
			return false
		}
		no = p.visits[i].Cause
	}
	return no == a.No
}

// stepRoots is the latest visit of the step that was named.
func (p *planner) stepRoots() (map[int]bool, error) {
	name := p.retry.Step
	at, ok := p.g.index[name]
	if !ok {
		return nil, invalid("the flow %q has no step %q", p.g.flow.Name, name)
	}
	if p.g.parent[at] >= 0 {
		return nil, invalid("step %q is a part of %q: name that", name, p.g.step(at).Group)
	}
	from := p.retry.Mode == heddle.RetryFrom
	if from && p.g.final[at] {
		return nil, nil // finally steps run anyway
	}
	for i := len(p.visits) - 1; i >= 0; i-- {
		if v := &p.visits[i]; v.Step == name && v.Outcome != heddle.Skipped {
			return map[int]bool{v.No: true}, nil
		}
	}
	if _, known := p.was(name); from && p.dag && !known {
		p.redone[at] = true // new in this document: it opens when its turn comes
		return nil, nil
	}
	return nil, heddle.Errorf(heddle.CodeConflict, "step %q did not run in run %s: choose one that did, from which it is reached", name, p.old.Run.ID)
}

// was returns a step's place in the old flow.
func (p *planner) was(name string) (int, bool) {
	g := p.before
	if g == nil {
		g = p.g
	}
	at, ok := g.index[name]
	return at, ok
}

// changed reports whether a step is not what it was, a member of a group included.
func (p *planner) changed(at int) bool {
	if p.before == nil {
		return false
	}
	was, ok := p.before.index[p.g.step(at).Name]
	if !ok || p.differs(at, was) {
		return true
	}
	now, then := p.g.step(at).Matrix, p.before.step(was).Matrix
	if (now == nil) != (then == nil) || now != nil && !reflect.DeepEqual(now.Env, then.Env) {
		return true
	}
	return len(p.g.members[at]) != len(p.before.members[was]) || slices.ContainsFunc(p.g.members[at], p.changed)
}

// differs compares a step itself with what it was.
func (p *planner) differs(at, was int) bool {
	a, b := p.g.step(at), p.before.step(was)
	if a.Group != b.Group || p.g.isGroup(at) != p.before.isGroup(was) || a.Result != b.Result ||
		(a.Broken == "") != (b.Broken == "") || !sameWork(a.Work, b.Work) {
		return true
	}
	return (p.g.gatesAll(at) || p.before.gatesAll(was) || p.dag) &&
		!reflect.DeepEqual(p.g.waitsFor(p.into[at]), p.before.waitsFor(p.intoBefore[was]))
}

func sameWork(a, b *heddle.Work) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, y := *a, *b
	for _, w := range []*heddle.Work{&x, &y} {
		w.Entrypoint, w.Command = append([]string{}, w.Entrypoint...), append([]string{}, w.Command...)
		if w.Env == nil {
			w.Env = map[string]string{}
		}
		if len(w.From) == 0 {
			w.From = nil
		}
	}
	return reflect.DeepEqual(x, y)
}

// into returns for each step the edges that lead to it.
func (g *Graph) into() [][]int {
	into := make([][]int, len(g.flow.Steps))
	for i := range g.edges {
		if to := g.edges[i].to; to >= 0 {
			into[to] = append(into[to], i)
		}
	}
	return into
}

// waitsFor returns the names of the steps that edges lead from, each with the
// outcomes that they want.
func (g *Graph) waitsFor(edges []int) map[string][]outcomeSet {
	from := map[string][]outcomeSet{}
	for _, ei := range edges {
		name := g.step(g.edges[ei].from).Name
		from[name] = append(from[name], g.edges[ei].on)
		slices.Sort(from[name])
	}
	return from
}
