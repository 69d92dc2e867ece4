package jobfile

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/heddle/heddle/internal/manifest/doc"
)

// check warns of what will not work when it is reached. It is called when there
// are no errors.
func (r *reader) check() {
	names := make([]string, 0, len(r.actions))
	for name := range r.actions {
		names = append(names, name)
	}
	slices.Sort(names)
	for i := range r.workflows {
		w := &r.workflows[i]
		steps := w.names()
		known := make(map[string]bool, len(steps))
		for _, s := range steps {
			known[s] = true
		}
		for _, s := range w.steps {
			if why := r.broken(s); why != "" {
				at, near := s.node, doc.Hint{}
				if s.action != "" && r.actions[s.action] == nil {
					at, near = s.node.Get("action"), doc.DidYouMean(s.action, names)
				}
				r.d.Faults.Warnf(at, "%s: reaching it is an abort%s", why, near)
			}
			for _, t := range s.targets {
				if !known[t.to] {
					r.d.Faults.Warnf(t.node, "there is no step %q in this workflow: leading there is an abort%s", t.to, doc.DidYouMean(t.to, steps))
				}
			}
		}
	}
	r.checkReach(r.chosen())
}

// maxChecked bounds the workflows whose context paths are checked, in steps: the
// check takes the square of that.
const maxChecked = 2000

// checkReach warns of steps that nothing leads to, and of context paths that
// nothing on the way to a step provides.
func (r *reader) checkReach(w *workflow) {
	g := newGraph(w)
	reached := g.from(g.index[r.start])
	given := map[string]any{}
	if len(r.options.Context) > 0 {
		_ = json.Unmarshal(r.options.Context, &given) // a bad one is for who submits it to tell
	}
	for i, s := range w.steps {
		if !reached[i] {
			r.d.Faults.Warnf(s.node, "nothing leads from %q to this step: it never runs", r.start)
			continue
		}
		a := r.actions[s.action]
		if a == nil || len(a.needsContext) == 0 || len(w.steps) > maxChecked {
			continue
		}
		before := g.before(i)
		for k, path := range a.needsContext {
			n := r.need(s.name, path, given)
			if n.Source == SourceUnknown {
				r.provided(&n, w, before, reached)
			}
			if n.Source == SourceUnknown || n.Source == SourceUndeclared {
				r.d.Faults.Warnf(a.pathNodes[k], "step %q needs %s, which neither the context nor an action before it provides", s.name, path)
			}
			if len(r.needs) < maxNeeds {
				r.needs = append(r.needs, n)
			}
		}
	}
}

// maxNeeds bounds how many needs are kept: steps that share an action multiply them.
const maxNeeds = 10_000

// Need is a context path that a step requires, and what provides it.
type Need struct {
	Step, Path string
	Source     Source
	// Output is the step that declares the path, of [SourceOutput].
	Output string
}

// Source says where a context path comes from.
type Source string

// The sources.
const (
	SourceUnknown    Source = ""           // nothing provides it
	SourceGiven      Source = "given"      // the context of the submission
	SourceDocument   Source = "document"   // the document's own context
	SourceAlways     Source = "always"     // it is in every context, or gets there in time
	SourceOutput     Source = "output"     // a step that may run before declares it as output
	SourceUndeclared Source = "undeclared" // steps may run before, and none declares it
)

func (r *reader) need(step, path string, given map[string]any) Need {
	n := Need{Step: step, Path: path}
	switch {
	case inValue(given, path):
		n.Source = SourceGiven
	case inValue(r.context, path):
		n.Source = SourceDocument
	case reserved(path):
		n.Source = SourceAlways
	}
	return n
}

// provided looks for the need in what the steps before declare.
func (r *reader) provided(n *Need, w *workflow, before, reached []bool) {
	for i, s := range w.steps {
		if !before[i] || !reached[i] {
			continue
		}
		n.Source = SourceUndeclared
		if a := r.actions[s.action]; a != nil && inShape(a.output, n.Path) {
			n.Source, n.Output = SourceOutput, s.name
			return
		}
	}
}

// reserved reports whether the path begins with a key that every context has, or
// gets in time.
func reserved(path string) bool {
	first, _, _ := strings.Cut(path, ".")
	return slices.Contains([]string{"task_name", "step_name", "action_name", "run_id", "correlation_id", "step_results",
		"log_formatter", "log_level", "remote_logger", "remote_logger_addr"}, first)
}

// inValue looks a dotted path up: keys of objects, decimal indexes of arrays. A
// null counts as missing.
func inValue(v any, path string) bool {
	for part := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(in) {
				return false
			}
			v = in[i]
		default:
			return false
		}
	}
	return v != nil
}

// inShape looks a path up in a declared shape. Its leaves are placeholders, which
// may stand for anything.
func inShape(n *doc.Node, path string) bool {
	for part := range strings.SplitSeq(path, ".") {
		if n == nil {
			return false
		}
		if n.Kind != doc.Map {
			return true
		}
		n = n.Get(part)
	}
	return n != nil
}

// graph is a workflow's steps by position. All targets count, also those that
// stop_on_failure leaves out of the flow: that is for a while, the faults are not.
type graph struct {
	index      map[string]int
	next, prev [][]int
}

func newGraph(w *workflow) *graph {
	g := &graph{index: map[string]int{}, next: make([][]int, len(w.steps)), prev: make([][]int, len(w.steps))}
	for i, s := range w.steps {
		g.index[s.name] = i
	}
	for i, s := range w.steps {
		for _, t := range s.targets {
			if j, ok := g.index[t.to]; ok {
				g.next[i] = append(g.next[i], j)
				g.prev[j] = append(g.prev[j], i)
			}
		}
	}
	return g
}

// from marks a step and what can be reached from it.
func (g *graph) from(start int) []bool {
	seen := make([]bool, len(g.next))
	seen[start] = true
	spread(seen, []int{start}, g.next)
	return seen
}

// before marks the steps that can have run when a step opens: those that lead to
// it, and itself only if it is on a loop.
func (g *graph) before(i int) []bool {
	seen := make([]bool, len(g.prev))
	for _, p := range g.prev[i] {
		seen[p] = true
	}
	spread(seen, slices.Clone(g.prev[i]), g.prev)
	return seen
}

func spread(seen []bool, queue []int, edges [][]int) {
	for len(queue) > 0 {
		i := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, j := range edges[i] {
			if !seen[j] {
				seen[j] = true
				queue = append(queue, j)
			}
		}
	}
}
