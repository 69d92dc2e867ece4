// Package diagram draws flows: as text for terminals, for Graphviz and as Mermaid
// flowcharts. Names may hold anything; each form quotes them in its own way.
package diagram

import (
	"fmt"
	"slices"
	"strings"

	"github.com/heddle/heddle"
)

// graph is a flow by position, which all three forms draw.
type graph struct {
	flow  *heddle.Flow
	index map[string]int
	// out holds the edges that lead from each step, in the flow's order. An edge
	// to a step that does not exist has to -1.
	out [][]edge
	// members holds the positions of each group's members, roots those of the
	// steps in no group.
	members [][]int
	roots   []int
	entry   []bool
	reached []bool
	sources []int // how many edges lead to each step
}

type edge struct {
	to    int
	name  string // of the target
	words string // the outcomes, joined by commas, or "always" and the like
	back  bool   // leads to a step that led here
}

func newGraph(f *heddle.Flow) *graph {
	n := len(f.Steps)
	g := &graph{flow: f, index: make(map[string]int, n), out: make([][]edge, n), members: make([][]int, n),
		entry: make([]bool, n), reached: make([]bool, n), sources: make([]int, n)}
	for i := range f.Steps {
		g.index[f.Steps[i].Name] = i
	}
	for i := range f.Steps {
		group, ok := g.index[f.Steps[i].Group]
		if f.Steps[i].Group == "" || !ok || g.within(group, i) {
			g.roots = append(g.roots, i)
			continue
		}
		g.members[group] = append(g.members[group], i)
	}
	for _, e := range f.Edges {
		from, ok := g.index[e.From]
		if !ok {
			continue
		}
		to, ok := g.index[e.To]
		if ok {
			g.sources[to]++
		} else {
			to = -1
		}
		g.out[from] = append(g.out[from], edge{to: to, name: e.To, words: words(e.On)})
	}
	for _, name := range f.Start {
		if i, ok := g.index[name]; ok {
			g.entry[i] = true
		}
	}
	g.walk()
	return g
}

// within reports whether the step at position i is the one at position inner or
// one of the groups around it: a flow with such a group is at fault, and drawing
// it must end all the same.
func (g *graph) within(inner, i int) bool {
	for range g.flow.Steps {
		if inner == i {
			return true
		}
		next, ok := g.index[g.flow.Steps[inner].Group]
		if !ok {
			return false
		}
		inner = next
	}
	return true
}

func words(on []heddle.Outcome) string {
	if len(on) == 0 {
		return string(heddle.Success)
	}
	list := make([]string, len(on))
	missing := heddle.Outcomes()
	for i, o := range on {
		list[i] = string(o)
		missing = slices.DeleteFunc(missing, func(m heddle.Outcome) bool { return m == o })
	}
	switch {
	case len(missing) == 0:
		return "always"
	case len(missing) == 1 && missing[0] == heddle.Skipped:
		return "unless skipped"
	}
	return strings.Join(list, ", ")
}

// walk goes depth first from the entries, marks what is reached and the edges
// that lead back. It keeps its own stack: flows may have 100,000 steps in a row.
func (g *graph) walk() {
	type place struct{ step, next int }
	onPath := make([]bool, len(g.out))
	for i := range g.out {
		if !g.entry[i] || g.reached[i] {
			continue
		}
		g.reached[i], onPath[i] = true, true
		for path := []place{{step: i}}; len(path) > 0; {
			p := &path[len(path)-1]
			if p.next == len(g.out[p.step]) {
				onPath[p.step] = false
				path = path[:len(path)-1]
				continue
			}
			e := &g.out[p.step][p.next]
			p.next++
			switch {
			case e.to < 0:
			case onPath[e.to]:
				e.back = true
			case !g.reached[e.to]:
				g.reached[e.to], onPath[e.to] = true, true
				path = append(path, place{step: e.to})
			}
		}
	}
}

// runs reports whether the step can run: it is reached, or is in a group that is,
// or runs at the end.
func (g *graph) runs(i int) bool {
	for range g.flow.Steps {
		s := &g.flow.Steps[i]
		if g.reached[i] || s.Finally {
			return true
		}
		group, ok := g.index[s.Group]
		if s.Group == "" || !ok {
			return false
		}
		i = group
	}
	return false
}

// notes are the remarks on a step that each form shows.
func (g *graph) notes(i int, states map[string]string) []string {
	s := &g.flow.Steps[i]
	var notes []string
	if state := states[s.Name]; state != "" {
		notes = append(notes, state)
	}
	if s.Action != "" && s.Action != s.Name {
		notes = append(notes, s.Action)
	}
	if m := s.Matrix; m != nil {
		note := fmt.Sprintf("matrix of %d", len(m.Env))
		if m.Limit > 0 {
			note += fmt.Sprintf(", %d at a time", m.Limit)
		}
		notes = append(notes, note)
	}
	if s.GateOf() == heddle.GateAll && g.sources[i] > 1 {
		notes = append(notes, "waits for all")
	}
	if s.Tolerate {
		notes = append(notes, "tolerated")
	}
	if s.Finally {
		notes = append(notes, "finally")
	}
	if s.Broken != "" {
		notes = append(notes, "cannot run")
	}
	if !g.runs(i) {
		notes = append(notes, "never reached")
	}
	return notes
}

// color is what a state is drawn in; "" for states without a colour.
func color(state string) string {
	switch state {
	case "success":
		return "#c8e6c9"
	case "failure":
		return "#ffcdd2"
	case "abort", "timeout":
		return "#ffe0b2"
	case "skipped":
		return "#eeeeee"
	case "running", "active":
		return "#bbdefb"
	}
	return ""
}
