package diagram

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

// machine is a state machine with a loop, a target that does not exist, a step
// that is never reached and one that cannot run.
func machine() *heddle.Flow {
	work := &heddle.Work{}
	return &heddle.Flow{
		Kind: heddle.KindJob, Name: "abort test", Workflow: "run", Start: []string{"start"},
		Steps: []heddle.Step{
			{Name: "start", Action: "auto", Work: work},
			{Name: "build", Action: "build", Work: work},
			{Name: "notify", Action: "auto", Work: work, Broken: "why"},
			{Name: "stray", Work: work},
		},
		Edges: []heddle.Edge{
			{From: "start", To: "build"},
			{From: "start", To: "notify", On: []heddle.Outcome{heddle.Failure, heddle.Abort}},
			{From: "build", To: "start", On: []heddle.Outcome{heddle.Failure}},
			{From: "build", To: "build", On: []heddle.Outcome{heddle.Timeout}},
			{From: "build", To: "gone", On: []heddle.Outcome{heddle.Abort}},
			{From: "stray", To: "stray"},
		},
	}
}

// pipeline is a DAG with a group in a group and a finally step.
func pipeline() *heddle.Flow {
	work := &heddle.Work{}
	return &heddle.Flow{
		Kind: heddle.KindPipeline, Name: "p", Start: []string{"a", "b"},
		Steps: []heddle.Step{
			{Name: "a", Gate: heddle.GateAll, Work: work},
			{Name: "b", Gate: heddle.GateAll, Work: work, Tolerate: true},
			{Name: "g", Gate: heddle.GateAll},
			{Name: "m", Gate: heddle.GateAll, Group: "g", Matrix: &heddle.Matrix{Env: make([]map[string]string, 3), Limit: 2}},
			{Name: "x", Gate: heddle.GateAll, Group: "m", Work: work},
			{Name: "y", Gate: heddle.GateAll, Group: "g", Work: work},
			{Name: "end", Work: work, Finally: true},
		},
		Edges: []heddle.Edge{{From: "a", To: "g"}, {From: "b", To: "g"}, {From: "m", To: "y"}},
	}
}

func check(t *testing.T, got, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	check(t, Text(machine(), map[string]string{"build": "running"}), `
abort test / run
* start (auto)
      success -> build
      failure, abort -> notify
  build (running)
      failure -> start (loop)
      timeout -> build (loop)
      abort -> gone (no such step)
  notify (auto; cannot run)
  stray (never reached)
      success -> stray
`)
	check(t, Text(pipeline(), nil), `
p
* a
      success -> g
* b (tolerated)
      success -> g
  g (waits for all)
      m (matrix of 3, 2 at a time)
          success -> y
          x
      y
  end (finally)
`)
}

func TestDot(t *testing.T) {
	t.Parallel()
	check(t, Dot(machine(), map[string]string{"build": "success"}), `
digraph flow {
  label="abort test";
  node [shape=box, style="rounded,filled", fillcolor="#ffffff"];
  s0 [label="start\nauto", peripheries=2];
  s1 [label="build\nsuccess", fillcolor="#c8e6c9"];
  s2 [label="notify\nauto\ncannot run"];
  s3 [label="stray\nnever reached"];
  s0 -> s1 [label="success"];
  s0 -> s2 [label="failure, abort"];
  s1 -> s0 [label="failure"];
  s1 -> s1 [label="timeout"];
  missing0 [label="gone\nno such step", style=dashed, color=red];
  s1 -> missing0 [label="abort"];
  s3 -> s3 [label="success"];
}
`)
	check(t, Dot(pipeline(), nil), `
digraph flow {
  label="p";
  node [shape=box, style="rounded,filled", fillcolor="#ffffff"];
  s0 [label="a", peripheries=2];
  s1 [label="b\ntolerated", peripheries=2];
  subgraph cluster_s2 {
    label="g";
    s2 [label="g\nwaits for all"];
    subgraph cluster_s3 {
      label="m";
      s3 [label="m\nmatrix of 3, 2 at a time"];
      s4 [label="x"];
    }
    s5 [label="y"];
  }
  s6 [label="end\nfinally"];
  s0 -> s2 [label="success"];
  s1 -> s2 [label="success"];
  s3 -> s5 [label="success"];
}
`)
}

func TestMermaid(t *testing.T) {
	t.Parallel()
	check(t, Mermaid(machine(), map[string]string{"start": "failure"}), `
flowchart TD
  s0(["start<br/>failure<br/>auto"])
  s1["build"]
  s2["notify<br/>auto<br/>cannot run"]
  s3["stray<br/>never reached"]
  s0 -->|"success"| s1
  s0 -->|"failure, abort"| s2
  s1 -->|"failure"| s0
  s1 -->|"timeout"| s1
  missing0["gone<br/>no such step"]
  style missing0 stroke:#d32f2f,stroke-dasharray:4
  s1 -->|"abort"| missing0
  s3 -->|"success"| s3
  style s0 fill:#ffcdd2
`)
	check(t, Mermaid(pipeline(), nil), `
flowchart TD
  s0(["a"])
  s1(["b<br/>tolerated"])
  subgraph s2["g<br/>waits for all"]
    subgraph s3["m<br/>matrix of 3, 2 at a time"]
      s4["x"]
    end
    s5["y"]
  end
  s6["end<br/>finally"]
  s0 -->|"success"| s2
  s1 -->|"success"| s2
  s3 -->|"success"| s5
`)
}

func TestConditionsAndAMatrixAtTheStart(t *testing.T) {
	t.Parallel()
	work := &heddle.Work{}
	f := &heddle.Flow{
		Name: "p", Start: []string{"m"},
		Steps: []heddle.Step{
			{Name: "m", Gate: heddle.GateAll, Matrix: &heddle.Matrix{Env: make([]map[string]string, 2)}},
			{Name: "m[]", Gate: heddle.GateAll, Group: "m", Work: work},
			{Name: "z", Gate: heddle.GateAll, Work: work},
		},
		Edges: []heddle.Edge{{From: "m", To: "z", On: heddle.Outcomes()}, {From: "m", To: "z", On: heddle.Outcomes()[:4]},
			{From: "m", To: "z", On: heddle.Outcomes()[1:4]}},
	}
	check(t, Text(f, nil), `
p
* m (matrix of 2)
      always -> z
      unless skipped -> z
      failure, abort, timeout -> z
      m[]
  z (waits for all)
`)
	check(t, Mermaid(f, map[string]string{"m": "success"}), `
flowchart TD
  subgraph s0["m<br/>success<br/>matrix of 2"]
    s1["m[]"]
  end
  s2["z<br/>waits for all"]
  s0 -->|"always"| s2
  s0 -->|"unless skipped"| s2
  s0 -->|"failure, abort, timeout"| s2
  style s0 stroke-width:3px
  style s0 fill:#c8e6c9
`)
}

func TestAnyNameIsQuoted(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ name, text, dot, mermaid string }{
		"quotes and backslashes": {name: `a"b\`, text: `"a\"b\\"`, dot: `"a\"b\\"`, mermaid: `"a#34;b#92;"`},
		"markup":                 {name: "<b>#&`", text: "<b>#&`", dot: "\"<b>#&amp;`\"", mermaid: `"#60;b#62;#35;#38;#96;"`},
		"control characters":     {name: "\x1b[31m\n", text: `"\x1b[31m\n"`, dot: `" [31m\n"`, mermaid: `" [31m "`},
		"empty":                  {name: "", text: `""`, dot: `""`, mermaid: `" "`},
		"words and umlauts":      {name: "grüne end", text: "grüne end", dot: `"grüne end"`, mermaid: `"grüne end"`},
		"brackets":               {name: "a(b);", text: `"a(b);"`, dot: `"a(b);"`, mermaid: `"a(b)#59;"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, plain(tc.name), tc.text)
			check(t, dotQuote(tc.name), tc.dot)
			check(t, mermaidQuote(tc.name), tc.mermaid)
		})
	}
}

func TestFlowsAtFaultAndLargeOnesAreDrawn(t *testing.T) {
	t.Parallel()
	round := &heddle.Flow{Steps: []heddle.Step{{Name: "a", Group: "b"}, {Name: "b", Group: "a"}, {Name: "c", Group: "c"}, {Name: "d", Group: "none"}, {Name: "e", Group: "a"}},
		Start: []string{"nowhere"}, Edges: []heddle.Edge{{From: "nobody", To: "a"}}}
	for name, draw := range map[string]func(*heddle.Flow, map[string]string) string{"text": Text, "dot": Dot, "mermaid": Mermaid} {
		if got := draw(round, nil); strings.Count(got, "never reached") != 5 {
			t.Errorf("%s of a flow at fault:\n%s", name, got)
		}
	}
	long := &heddle.Flow{Name: "long", Start: []string{"s0"}}
	for i := range 20_000 {
		long.Steps = append(long.Steps, heddle.Step{Name: fmt.Sprintf("s%d", i), Work: &heddle.Work{}})
		long.Edges = append(long.Edges, heddle.Edge{From: fmt.Sprintf("s%d", i), To: fmt.Sprintf("s%d", (i+1)%20_000)})
	}
	if got := Text(long, nil); strings.Count(got, "(loop)") != 1 || strings.Contains(got, "never reached") {
		t.Error("the long flow is not one loop")
	}
}
