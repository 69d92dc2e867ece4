package machine

import (
	"slices"

	"github.com/heddle/heddle"
)

// Graph is a flow made ready to run. It is immutable and may serve many states.
type Graph struct {
	flow    *heddle.Flow
	index   map[string]int // step name -> position in flow.Steps
	edges   []edge
	out     [][]int // by step: its outgoing edges
	in      []int   // by step: how many edges lead to it
	parent  []int   // by step: its group, or -1
	members [][]int // by step: the members of a group
	entries [][]int // by step: the members that open with their group
	starts  []int
	finals  []int             // finally steps that no other leads to
	needy   int               // how many steps may turn out not to be able to run
	final   []bool            // by step: it, or the group around it, is a finally step
	asked   []map[string]bool // by step: its outputs that others ask for; nil: none
	causes  bool              // some step asks for what led to it
	asks    bool              // it has a concurrency key, or steps with pools
}

type edge struct {
	from, to int // to is -1 when there is no such step
	target   string
	on       outcomeSet
}

type outcomeSet uint8

func setOf(outcomes []heddle.Outcome) outcomeSet {
	if len(outcomes) == 0 {
		return bit(heddle.Success)
	}
	var set outcomeSet
	for _, o := range outcomes {
		set |= bit(o)
	}
	return set
}

func bit(o heddle.Outcome) outcomeSet {
	return 1 << slices.Index(heddle.Outcomes(), o)
}

func (s outcomeSet) has(o heddle.Outcome) bool { return s&bit(o) != 0 }

// Compile checks a flow and makes it ready to run. All faults that it finds are
// defects of the document's parser or of a caller who built the flow: its error
// is of [heddle.CodeInvalid] and names the step.
func Compile(flow *heddle.Flow) (*Graph, error) {
	n := len(flow.Steps)
	g := &Graph{
		flow: flow, index: make(map[string]int, n), out: make([][]int, n), in: make([]int, n),
		parent: make([]int, n), members: make([][]int, n), entries: make([][]int, n),
		final: make([]bool, n),
	}
	for i := range flow.Steps {
		name := flow.Steps[i].Name
		if _, twice := g.index[name]; twice || name == "" {
			return nil, invalid("step %q: the name is empty or taken", name)
		}
		g.index[name] = i
		if s := g.step(i); s.Broken != "" || len(s.NeedsEnv)+len(s.NeedsContext) > 0 {
			g.needy++
		}
	}
	if err := g.checkTurns(); err != nil {
		return nil, err
	}
	if err := g.linkGroups(); err != nil {
		return nil, err
	}
	if err := g.linkEdges(); err != nil {
		return nil, err
	}
	if err := g.linkEntries(); err != nil {
		return nil, err
	}
	if err := g.linkSources(); err != nil {
		return nil, err
	}
	return g, g.checkAcyclic()
}

// checkTurns looks at what the flow shares with other runs.
func (g *Graph) checkTurns() error {
	if c := g.flow.Concurrency; c != nil {
		g.asks = true
		if len(c.Key) == 0 || len(c.Key) > heddle.MaxTurnName {
			return invalid("concurrency key %q: it has 1 to %d bytes", c.Key, heddle.MaxTurnName)
		}
		if c.Busy != "" && !slices.Contains(heddle.Concurrences(), c.Busy) {
			return invalid("concurrency key %q: %q says nothing about runs that find it taken", c.Key, c.Busy)
		}
	}
	for i := range g.flow.Steps {
		s := g.step(i)
		if s.Pool == "" {
			continue
		}
		g.asks = true
		if g.isGroup(i) || s.Weight < 0 || len(s.Pool) > heddle.MaxTurnName {
			return invalid("step %q: only steps with work take places in a pool, 1 at least; its name has at most %d bytes", s.Name, heddle.MaxTurnName)
		}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return heddle.Errorf(heddle.CodeInvalid, format, args...)
}

// Flow returns the flow that the graph was made from.
func (g *Graph) Flow() *heddle.Flow { return g.flow }

func (g *Graph) step(i int) *heddle.Step { return &g.flow.Steps[i] }

// isGroup reports whether step i is a group: no work, and not for want of an action.
func (g *Graph) isGroup(i int) bool {
	s := g.step(i)
	return s.Work == nil && s.Broken == ""
}

func (g *Graph) linkGroups() error {
	for i := range g.flow.Steps {
		s := g.step(i)
		g.parent[i] = -1
		if s.Group == "" {
			continue
		}
		p, ok := g.index[s.Group]
		if !ok || !g.isGroup(p) || s.Finally {
			return invalid("step %q: %q is not a group that it can be a member of", s.Name, s.Group)
		}
		g.parent[i] = p
		g.members[p] = append(g.members[p], i)
	}
	for i := range g.flow.Steps {
		top := i
		for depth := 0; g.parent[top] >= 0; depth++ {
			if top = g.parent[top]; depth > len(g.flow.Steps) {
				return invalid("step %q: its group is a member of itself", g.step(i).Name)
			}
		}
		g.final[i] = g.step(top).Finally
		if m := g.step(i).Matrix; m != nil && (len(g.members[i]) != 1 || g.isGroup(g.members[i][0])) {
			return invalid("step %q: a matrix needs exactly one member with work", g.step(i).Name)
		}
	}
	return nil
}

func (g *Graph) linkEdges() error {
	for _, e := range g.flow.Edges {
		from, ok := g.index[e.From]
		if !ok {
			return invalid("edge from %q to %q: there is no step %q", e.From, e.To, e.From)
		}
		to, ok := g.index[e.To]
		for _, o := range e.On {
			if !o.Valid() {
				return invalid("edge from %q to %q: %q is not an outcome", e.From, e.To, o)
			}
		}
		if !ok {
			to = -1
		} else if err := g.checkEdge(from, to); err != nil {
			return err
		}
		g.out[from] = append(g.out[from], len(g.edges))
		g.edges = append(g.edges, edge{from: from, to: to, target: e.To, on: setOf(e.On)})
		if to >= 0 {
			g.in[to]++
		}
	}
	return g.checkRouting()
}

// checkRouting keeps faults of routing, which change an outcome after the fact,
// away from steps that wait for the outcomes of several: which of them have
// arrived must follow from the outcomes alone.
func (g *Graph) checkRouting() error {
	for from, out := range g.out {
		risky, waits := false, false
		for _, ei := range out {
			to := g.edges[ei].to
			risky = risky || to < 0 || g.limited(to)
			waits = waits || to >= 0 && g.gatesAll(to)
		}
		if risky && waits {
			return invalid("step %q: it leads to a step that does not exist or has a limit of visits, and so cannot lead to one with gate all", g.step(from).Name)
		}
	}
	return nil
}

func (g *Graph) checkEdge(from, to int) error {
	a, b := g.step(from), g.step(to)
	switch {
	case a.Finally != b.Finally:
		return invalid("edge from %q to %q: finally steps and others cannot lead to each other", a.Name, b.Name)
	case a.Group != b.Group:
		return invalid("edge from %q to %q: it crosses the border of a group", a.Name, b.Name)
	case g.isGroup(to) && b.GateOf() != heddle.GateAll:
		return invalid("step %q: a group that steps lead to has gate all", b.Name)
	}
	return nil
}

func (g *Graph) linkEntries() error {
	for _, name := range g.flow.Start {
		i, ok := g.index[name]
		if !ok {
			return invalid("start step %q does not exist", name)
		}
		if s := g.step(i); s.Group != "" || s.Finally || g.in[i] > 0 && s.GateOf() == heddle.GateAll {
			return invalid("step %q cannot be a start step", name)
		}
		if slices.Contains(g.starts, i) {
			return invalid("step %q is a start step twice", name)
		}
		g.starts = append(g.starts, i)
	}
	for i := range g.flow.Steps {
		if g.in[i] > 0 {
			continue
		}
		if p := g.parent[i]; p >= 0 {
			g.entries[p] = append(g.entries[p], i)
		} else if g.step(i).Finally {
			g.finals = append(g.finals, i)
		}
	}
	return nil
}

// checkAcyclic looks for a cycle among the edges into steps with gate all.
func (g *Graph) checkAcyclic() error {
	waits := make([]int, len(g.flow.Steps))
	var free []int
	for _, e := range g.edges {
		if e.to >= 0 && g.gatesAll(e.to) {
			waits[e.to]++
		}
	}
	for i, n := range waits {
		if n == 0 {
			free = append(free, i)
		}
	}
	for done := 0; done < len(free); done++ {
		for _, ei := range g.out[free[done]] {
			to := g.edges[ei].to
			if to < 0 || !g.gatesAll(to) {
				continue
			}
			if waits[to]--; waits[to] == 0 {
				free = append(free, to)
			}
		}
	}
	for i, n := range waits {
		if n > 0 {
			return invalid("step %q: it waits for itself", g.step(i).Name)
		}
	}
	return nil
}

func (g *Graph) gatesAll(i int) bool { return g.step(i).GateOf() == heddle.GateAll }

// once reports whether a step opens once at most: nothing can come round to it.
func (g *Graph) once(i int) bool { return g.gatesAll(i) || g.in[i] == 0 }

// limited reports whether arrivals at a step are counted; with gate all it opens once.
func (g *Graph) limited(i int) bool { return g.step(i).MaxVisits > 0 && !g.gatesAll(i) }
