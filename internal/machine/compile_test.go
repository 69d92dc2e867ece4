package machine

import (
	"strings"
	"testing"

	"github.com/heddle/heddle"
)

func TestCompileFaults(t *testing.T) {
	t.Parallel()
	in := func(group string) func(*heddle.Step) { return func(s *heddle.Step) { s.Group = group } }
	group := func(name string) heddle.Step { return heddle.Step{Name: name, Gate: heddle.GateAll} }
	final := func(s *heddle.Step) { s.Finally = true }
	matrix := func(s *heddle.Step) { s.Matrix = &heddle.Matrix{Env: make([]map[string]string, 2)} }
	tests := map[string]struct {
		steps []heddle.Step
		edges []heddle.Edge
		start []string
		want  string // part of the message: the step, and what is wrong with it
	}{
		"a name that is empty":           {steps: []heddle.Step{state("")}, want: `step "": the name is empty or taken`},
		"a name that is taken":           {steps: []heddle.Step{state("a"), state("a")}, want: `step "a": the name is empty or taken`},
		"a group that does not exist":    {steps: []heddle.Step{with(node("a"), in("g"))}, want: `step "a": "g" is not a group`},
		"a group that has work":          {steps: []heddle.Step{state("g"), with(node("a"), in("g"))}, want: `step "a": "g" is not a group`},
		"a finally step in a group":      {steps: []heddle.Step{group("g"), with(with(node("a"), in("g")), final)}, want: `step "a": "g" is not a group`},
		"a group in itself":              {steps: []heddle.Step{with(group("g"), in("h")), with(group("h"), in("g"))}, want: `step "g": its group is a member of itself`},
		"a matrix of nothing":            {steps: []heddle.Step{with(group("g"), matrix)}, want: `step "g": a matrix needs exactly one member`},
		"a matrix of two":                {steps: []heddle.Step{with(group("g"), matrix), with(node("a"), in("g")), with(node("b"), in("g"))}, want: `step "g": a matrix needs exactly one member`},
		"a matrix of a group":            {steps: []heddle.Step{with(group("g"), matrix), with(group("h"), in("g"))}, want: `step "g": a matrix needs exactly one member with work`},
		"a matrix on a step with work":   {steps: []heddle.Step{with(node("a"), matrix)}, want: `step "a": a matrix needs exactly one member`},
		"an edge from nowhere":           {steps: []heddle.Step{state("a")}, edges: []heddle.Edge{edge1("x", "a")}, want: `edge from "x" to "a": there is no step "x"`},
		"an edge on an unknown outcome":  {steps: []heddle.Step{state("a")}, edges: []heddle.Edge{edge1("a", "a", "okay")}, want: `edge from "a" to "a": "okay" is not an outcome`},
		"an edge into finally":           {steps: []heddle.Step{node("a"), with(node("f"), final)}, edges: []heddle.Edge{edge1("a", "f")}, want: `edge from "a" to "f": finally steps and others`},
		"an edge out of finally":         {steps: []heddle.Step{node("a"), with(node("f"), final)}, edges: []heddle.Edge{edge1("f", "a")}, want: `edge from "f" to "a": finally steps and others`},
		"an edge into a group":           {steps: []heddle.Step{group("g"), with(node("a"), in("g")), node("b")}, edges: []heddle.Edge{edge1("b", "a")}, want: `edge from "b" to "a": it crosses the border of a group`},
		"an edge out of a group":         {steps: []heddle.Step{group("g"), with(node("a"), in("g")), node("b")}, edges: []heddle.Edge{edge1("a", "b")}, want: `edge from "a" to "b": it crosses the border of a group`},
		"an edge to a group of gate any": {steps: []heddle.Step{state("a"), {Name: "g"}}, edges: []heddle.Edge{edge1("a", "g")}, want: `step "g": a group that steps lead to has gate all`},
		"an unknown start":               {steps: []heddle.Step{state("a")}, start: []string{"b"}, want: `start step "b" does not exist`},
		"a start twice":                  {steps: []heddle.Step{state("a")}, start: []string{"a", "a"}, want: `step "a" is a start step twice`},
		"a start in a group":             {steps: []heddle.Step{group("g"), with(node("a"), in("g"))}, start: []string{"a"}, want: `step "a" cannot be a start step`},
		"a start that is finally":        {steps: []heddle.Step{with(node("a"), final)}, start: []string{"a"}, want: `step "a" cannot be a start step`},
		"a start that waits":             {steps: []heddle.Step{node("a"), node("b")}, edges: []heddle.Edge{edge1("a", "b")}, start: []string{"b"}, want: `step "b" cannot be a start step`},
		"a step that waits for itself":   {steps: []heddle.Step{node("a")}, edges: []heddle.Edge{edge1("a", "a")}, want: `step "a": it waits for itself`},
		"two that wait for each other":   {steps: []heddle.Step{node("x"), node("a"), node("b")}, edges: []heddle.Edge{edge1("x", "a"), edge1("a", "b"), edge1("b", "a")}, start: []string{"x"}, want: `step "a": it waits for itself`},
		"a fault of routing beside a gate": {
			steps: []heddle.Step{state("a"), node("b")}, edges: []heddle.Edge{edge1("a", "ghost"), edge1("a", "b", heddle.Abort)}, start: []string{"a"},
			want: `step "a": it leads to a step that does not exist`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Compile(flowOf(tc.steps, tc.edges, tc.start...))
			if heddle.CodeOf(err) != heddle.CodeInvalid || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestCompileAllows(t *testing.T) {
	t.Parallel()
	tests := map[string]*heddle.Flow{
		"no steps":                         flowOf(nil, nil),
		"a loop of gate any":               flowOf([]heddle.Step{state("a"), state("b")}, []heddle.Edge{edge1("a", "b"), edge1("b", "a")}, "a"),
		"a loop through one of gate all":   flowOf([]heddle.Step{node("a"), state("b")}, []heddle.Edge{edge1("a", "b"), edge1("b", "a")}, "b"),
		"an edge to a step that is not":    flowOf([]heddle.Step{state("a")}, []heddle.Edge{edge1("a", "ghost")}, "a"),
		"a start of gate any led back to":  flowOf([]heddle.Step{state("a")}, []heddle.Edge{edge1("a", "a", heddle.Failure)}, "a"),
		"a limit of visits with gate all":  flowOf([]heddle.Step{node("a"), with(node("b"), func(s *heddle.Step) { s.MaxVisits = 1 })}, []heddle.Edge{edge1("a", "b")}, "a"),
		"a group inside a group":           flowOf([]heddle.Step{{Name: "g"}, {Name: "h", Group: "g", Gate: heddle.GateAll}, with(node("a"), func(s *heddle.Step) { s.Group = "h" })}, nil, "g"),
		"a broken step without work":       flowOf([]heddle.Step{{Name: "a", Broken: "no action"}}, nil, "a"),
		"a finally step that leads to one": flowOf([]heddle.Step{with(node("f"), func(s *heddle.Step) { s.Finally = true }), with(node("g"), func(s *heddle.Step) { s.Finally = true })}, []heddle.Edge{edge1("f", "g")}),
	}
	for name, flow := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, err := Compile(flow)
			if err != nil || g.Flow() != flow {
				t.Errorf("graph %v, error %v", g, err)
			}
		})
	}
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	flow := flowOf([]heddle.Step{state("a")}, []heddle.Edge{edge1("a", "a")}, "a")
	flow.Context = []byte(`{}`)
	tests := map[string]struct {
		visits []heddle.Visit
		want   string
	}{
		"a step that the flow does not have": {visits: []heddle.Visit{{No: 1, Step: "b", Nth: 1}}, want: `visit 1 is of step "b", which its flow does not have`},
		"a path with a hole":                 {visits: []heddle.Visit{{No: 3, Step: "a", Nth: 3, Cause: 2, State: heddle.VisitReady}}, want: "the path to visit 3 is broken at visit 2"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := newRun(flow)
			run.State, run.Visits = heddle.RunRunning, len(tc.visits)
			if _, _, err := Restore(compile(t, flow), run, tc.visits, nil, nil); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

func TestBeginRefusesAContextThatIsNone(t *testing.T) {
	t.Parallel()
	for name, context := range map[string]string{"not JSON": `{`, "not an object": `[1]`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flow := flowOf([]heddle.Step{state("a")}, nil, "a")
			flow.Context = []byte(`{}`)
			run := newRun(flow)
			run.Input.Context = []byte(context)
			s := New(compile(t, flow), run, nil)
			if err := s.Advance(Begin{}, epoch()); err == nil || s.Run().State != heddle.RunPending {
				t.Errorf("error %v, state %s", err, s.Run().State)
			}
		})
	}
}
