package jobfile

import (
	"math"
	"slices"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
)

// step is a step as the document has it.
type step struct {
	name      string
	node      *doc.Node
	action    string
	targets   []target // in the order of [outcomes]
	timeout   time.Duration
	retry     *heddle.Retry
	maxVisits int
}

// target is where an outcome leads.
type target struct {
	on   heddle.Outcome
	to   string
	node *doc.Node
}

// outcomes lists the outcomes that a step can name a target for.
func outcomes() []heddle.Outcome {
	return []heddle.Outcome{heddle.Success, heddle.Failure, heddle.Abort, heddle.Timeout}
}

// readSteps reads a workflow. Keys of a step that kog does not have: retries, see
// readRetry; max_visits, how often the step may be opened in one run, no bound
// when absent or 0.
func (r *reader) readSteps(n *doc.Node) []step {
	var steps []step
	for _, f := range r.d.Object(n).Fields() {
		if f.Key == "" {
			r.d.Faults.Errorf(f.Value, "a step needs a name")
		}
		o := r.d.Object(f.Value)
		s := step{
			name:      f.Key,
			node:      f.Value,
			action:    o.String("action", ""),
			timeout:   o.Duration("duration"),
			retry:     r.readRetry(o),
			maxVisits: o.Int("max_visits"),
		}
		for _, on := range outcomes() {
			if to := o.String(string(on), ""); to != "" {
				s.targets = append(s.targets, target{on: on, to: to, node: o.Get(string(on))})
			}
		}
		o.Rest()
		steps = append(steps, s)
	}
	return steps
}

// readRetry reads the key retries of a step or an action: the number of attempts
// after the first that failed or timed out, or a map of limit (that number), delay
// (a duration, before the second attempt), factor (by which the delay grows, at
// least 1, default 2) and max_delay. Nil when there is none; a step's own wins
// over its action's.
func (r *reader) readRetry(o *doc.Object) *heddle.Retry {
	n := o.Get("retries")
	if n == nil {
		return nil
	}
	if n.Kind != doc.Map {
		return &heddle.Retry{Limit: o.Int("retries")}
	}
	m := r.d.Object(n)
	retry := &heddle.Retry{
		Limit:    m.Int("limit"),
		Delay:    m.Duration("delay"),
		Factor:   m.Float("factor", 0),
		MaxDelay: m.Duration("max_delay"),
	}
	if factor := m.Get("factor"); factor != nil && (retry.Factor < 1 || math.IsInf(retry.Factor, 1)) {
		r.d.Faults.Errorf(factor, "must be at least 1, is %s", factor.Text)
	}
	m.Rest()
	return retry
}

// edges returns one edge per target, with all the outcomes that lead there.
func (s *step) edges(successOnly bool) []heddle.Edge {
	var edges []heddle.Edge
	for _, t := range s.targets {
		if successOnly && t.on != heddle.Success {
			continue
		}
		i := slices.IndexFunc(edges, func(e heddle.Edge) bool { return e.To == t.to })
		if i < 0 {
			edges = append(edges, heddle.Edge{From: s.name, To: t.to, On: []heddle.Outcome{t.on}})
			continue
		}
		edges[i].On = append(edges[i].On, t.on)
	}
	return edges
}

// step makes the vocabulary's step. One that cannot run has empty work: without
// work it would be a group.
func (r *reader) step(s step) heddle.Step {
	out := heddle.Step{
		Name:        s.name,
		Gate:        heddle.GateAny,
		Work:        &heddle.Work{},
		Action:      s.action,
		Broken:      r.broken(s),
		Result:      heddle.ResultLine,
		Unstartable: heddle.Abort,
		Timeout:     s.timeout,
		MaxVisits:   s.maxVisits,
	}
	a := r.actions[s.action]
	if a != nil {
		work := a.work
		out.Work = &work
		out.NeedsEnv, out.NeedsContext = a.needsEnv, a.needsContext
		out.Result = a.result
		out.Pool, out.Weight = a.pool, a.weight
	}
	switch {
	case s.retry != nil:
		out.Retry = *s.retry
	case a != nil && a.retry != nil:
		out.Retry = *a.retry
	}
	return out
}

// broken says why a step cannot run; "" when it can.
func (r *reader) broken(s step) string {
	a := r.actions[s.action]
	switch {
	case s.action == "":
		return "step " + quote(s.name) + " has no action"
	case a == nil:
		return "step " + quote(s.name) + " uses the action " + quote(s.action) + ", which is not defined"
	case a.work.Image == "" && len(a.work.Command)+len(a.work.Entrypoint) == 0:
		return "the action " + quote(s.action) + " of step " + quote(s.name) + " has no image"
	}
	return ""
}
