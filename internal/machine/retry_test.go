package machine

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	diff "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/heddle/heddle"
)

// scripted says how the attempts of steps end: "s" success, "f" failure, by step and
// index as in "build" or "test 2". What it does not name succeeds.
func scripted(ends map[string]string) world {
	return world{exit: func(v heddle.Visit, _ int, told string) heddle.Exit {
		if told != "" {
			return heddle.Exit{Reason: heddle.Stopped, Code: 143}
		}
		end, ok := ends[fmt.Sprint(v.Step, " ", v.Index)]
		if !ok {
			end = ends[v.Step]
		}
		at := min(v.Nth, len(end)) - 1
		if at >= 0 && end[at] == 'f' {
			return heddle.Exit{Reason: heddle.Exited, Code: 1}
		}
		return heddle.Exit{Reason: heddle.Exited}
	}}
}

// graph makes a flow from lines: "a b -> c" has c wait for a and b; ">any" in the
// place of "->" has each of them open it; "a! -> c" is for the failure of a.
func graph(kind heddle.Kind, gate heddle.Gate, lines ...string) *heddle.Flow {
	f := &heddle.Flow{Kind: kind, Name: "g", Context: []byte(`{}`)}
	step := func(name string) {
		if !slices.ContainsFunc(f.Steps, func(s heddle.Step) bool { return s.Name == name }) {
			f.Steps = append(f.Steps, heddle.Step{Name: name, Gate: gate, Work: &heddle.Work{Command: []string{name}}})
		}
	}
	for _, line := range lines {
		from, to, leads := strings.Cut(line, " -> ")
		for _, name := range strings.Fields(from) {
			bare, failed := strings.CutSuffix(name, "!")
			step(bare)
			if !leads {
				f.Start = append(f.Start, bare)
				continue
			}
			step(to)
			on := []heddle.Outcome{heddle.Success}
			if failed {
				on = []heddle.Outcome{heddle.Failure}
			}
			f.Edges = append(f.Edges, heddle.Edge{From: bare, To: to, On: on})
		}
	}
	return f
}

func dagOf(lines ...string) *heddle.Flow {
	return graph(heddle.KindPipeline, heddle.GateAll, lines...)
}
func loopOf(lines ...string) *heddle.Flow { return graph(heddle.KindJob, heddle.GateAny, lines...) }

// edited returns a copy of the flow with some steps' commands changed.
func edited(f *heddle.Flow, names ...string) *heddle.Flow {
	out := *f
	out.Steps = slices.Clone(f.Steps)
	for i := range out.Steps {
		if slices.Contains(names, out.Steps[i].Name) {
			out.Steps[i].Work = &heddle.Work{Command: []string{"edited"}}
		}
	}
	return &out
}

// matrix turns a step into a matrix of n entries around a member called like it with [].
func matrix(f *heddle.Flow, name string, n int, failFast bool) *heddle.Flow {
	for i := range f.Steps {
		if f.Steps[i].Name != name {
			continue
		}
		member := f.Steps[i]
		member.Name, member.Group = name+"[]", name
		f.Steps[i].Work, f.Steps[i].Matrix = nil, &heddle.Matrix{FailFast: failFast}
		for at := range n {
			f.Steps[i].Matrix.Env = append(f.Steps[i].Matrix.Env, map[string]string{"I": fmt.Sprint(at)})
		}
		f.Steps = slices.Insert(f.Steps, i+1, member)
		return f
	}
	panic("no step " + name)
}

func finally(f *heddle.Flow, name string) *heddle.Flow {
	f.Steps = append(f.Steps, heddle.Step{Name: name, Finally: true, Gate: heddle.GateAll, Work: &heddle.Work{}})
	return f
}

func (p *player) detail() *heddle.RunDetail {
	visits, attempts := p.rows()
	return &heddle.RunDetail{Run: p.run, Flow: p.g.flow, Visits: visits, Attempts: attempts}
}

// retried plays the retry that a plan describes.
func retried(t tester, flow *heddle.Flow, plan *heddle.RetryPlan, w world) *player {
	t.Helper()
	run := newRun(flow)
	run.Input.Retry = &plan.RunRetry
	p := newPlayer(t, flow, run, w)
	p.begun = true
	p.do(Begin{Retry: plan})
	p.play()
	return p
}

// ran lists what a run did itself: steps, with their index where that is not 0.
func (p *player) ran() string {
	var names []string
	visits, _ := p.rows()
	for _, v := range visits {
		if v.Attempts == 0 || p.g.isGroup(p.g.index[v.Step]) {
			continue
		}
		name := v.Step
		if v.Index > 0 {
			name += fmt.Sprint(" ", v.Index)
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

func TestRetry(t *testing.T) {
	t.Parallel()
	diamond := func() *heddle.Flow { return dagOf("a", "a -> b", "a -> c", "b c -> d") }
	loop := func() *heddle.Flow { return loopOf("a", "a -> b", "b! -> fix", "fix -> b", "b -> c") }
	for name, tc := range map[string]struct {
		flow    *heddle.Flow
		first   map[string]string // how steps end in the run that is retried
		cancels []int
		retry   heddle.RunRetry
		with    *heddle.Flow
		then    map[string]string // and in the retry
		wantRan string
		want    heddle.Outcome
		wantErr string
		code    heddle.Code
	}{
		"a DAG takes over what ended well":                     {flow: diamond(), first: map[string]string{"b": "f"}, wantRan: "b, d"},
		"a DAG that fails again":                               {flow: diamond(), first: map[string]string{"b": "f"}, then: map[string]string{"b": "f"}, wantRan: "b", want: heddle.Failure},
		"what depends on the failed part is done over":         {flow: dagOf("a", "a! -> b", "b -> c"), first: map[string]string{"a": "f"}, wantRan: "a"},
		"a tolerated failure is taken over":                    {flow: tolerate(diamond(), "c", heddle.Failure), first: map[string]string{"b": "f", "c": "f"}, wantRan: "b, d"},
		"from a step of a DAG":                                 {flow: diamond(), retry: heddle.RunRetry{Mode: "from", Step: "b"}, wantRan: "b, d"},
		"from the start of a DAG":                              {flow: diamond(), retry: heddle.RunRetry{Mode: "from", Step: "a"}, wantRan: "a, b, c, d"},
		"from a step leaves other failures as they are":        {flow: diamond(), first: map[string]string{"b": "f", "c": "f"}, retry: heddle.RunRetry{Mode: "from", Step: "c"}, wantRan: "c", want: heddle.Failure},
		"only a step of a DAG":                                 {flow: diamond(), retry: heddle.RunRetry{Mode: "only", Step: "b"}, wantRan: "b"},
		"only a step, where what waits for it never ran":       {flow: diamond(), first: map[string]string{"b": "f"}, retry: heddle.RunRetry{Mode: "only", Step: "b"}, wantRan: "b"},
		"only a step, which fails":                             {flow: finally(diamond(), "z"), retry: heddle.RunRetry{Mode: "only", Step: "a"}, then: map[string]string{"a": "f"}, wantRan: "a", want: heddle.Failure},
		"only a finally step":                                  {flow: finally(diamond(), "z"), first: map[string]string{"z": "f"}, retry: heddle.RunRetry{Mode: "only", Step: "z"}, wantRan: "z"},
		"finally steps run again":                              {flow: finally(diamond(), "z"), first: map[string]string{"b": "f"}, wantRan: "b, d, z"},
		"only the finally step failed":                         {flow: finally(diamond(), "z"), first: map[string]string{"z": "f"}, wantRan: "z"},
		"of a matrix the failed entries":                       {flow: matrix(diamond(), "b", 4, false), first: map[string]string{"b[] 1": "f", "b[] 3": "f"}, wantRan: "b[] 1, b[] 3, d"},
		"of a matrix with fail-fast what it kept from running": {flow: matrix(diamond(), "b", 3, true), first: map[string]string{"b[] 0": "f"}, wantRan: "b[], b[] 1, b[] 2, d"},
		"a whole matrix after what it waits for":               {flow: matrix(dagOf("a", "a -> b"), "b", 2, false), first: map[string]string{"a": "f"}, wantRan: "a, b[], b[] 1"},
		"only a matrix":                                        {flow: matrix(diamond(), "b", 2, false), retry: heddle.RunRetry{Mode: "only", Step: "b"}, wantRan: "b[], b[] 1"},
		"from a matrix":                                        {flow: matrix(diamond(), "b", 2, false), retry: heddle.RunRetry{Mode: "from", Step: "b"}, wantRan: "b[], b[] 1, d"},
		"a cancelled DAG goes on":                              {flow: diamond(), cancels: []int{2}, wantRan: "b, c, d"},
		"a run cancelled before it began runs whole":           {flow: diamond(), cancels: []int{0}, wantRan: "a, b, c, d"},
		"an edited step of a DAG is done over":                 {flow: diamond(), first: map[string]string{"b": "f"}, with: edited(diamond(), "c"), wantRan: "b, c, d"},
		"a new step of a DAG runs":                             {flow: dagOf("a", "a -> b"), first: map[string]string{"b": "f"}, with: dagOf("a", "a -> n", "n -> b"), wantRan: "n, b"},
		"from a new step of a DAG":                             {flow: dagOf("a", "a -> b"), retry: heddle.RunRetry{Mode: "from", Step: "n"}, with: dagOf("a", "a -> n", "n -> b"), wantRan: "n, b"},
		"a step that is gone from a DAG":                       {flow: dagOf("a", "a -> b", "a -> c"), first: map[string]string{"b": "f"}, with: dagOf("a", "a -> c"), wantRan: ""},
		"an edited entry of a matrix":                          {flow: matrix(dagOf("b", "x"), "b", 2, false), first: map[string]string{"x": "f"}, with: matrix(dagOf("b", "x"), "b", 3, false), wantRan: "x, b[] 2"},
		"from a step, and one before it differs":               {flow: diamond(), retry: heddle.RunRetry{Mode: "from", Step: "d"}, with: edited(diamond(), "b"), wantErr: `"b"`, code: heddle.CodeInvalid},
		"from a step, and one before it is gone":               {flow: diamond(), retry: heddle.RunRetry{Mode: "from", Step: "d"}, with: dagOf("a", "a -> c", "c -> d"), wantErr: `"b"`, code: heddle.CodeInvalid},
		"a state machine goes on at the verdict's step":        {flow: loop(), first: map[string]string{"b": "ff", "fix": "sf"}, wantRan: "b, c"},
		"a handled failure that ends well is retried there":    {flow: loopOf("a", "a! -> b"), first: map[string]string{"a": "f"}, wantRan: "a"},
		"a state machine that fails another way":               {flow: loop(), first: map[string]string{"a": "f"}, then: map[string]string{"b": "f", "fix": "f"}, wantRan: "a, b, fix", want: heddle.Failure},
		"a step of the path that failed before still counts":   {flow: loopOf("a", "a! -> b", "b! -> c"), first: map[string]string{"a": "f", "b": "f"}, retry: heddle.RunRetry{Mode: "from", Step: "b"}, wantRan: "b", want: heddle.Failure},
		"branches of a state machine":                          {flow: loopOf("a", "a -> x", "a -> y", "y -> z"), first: map[string]string{"x": "f", "y": "f"}, wantRan: "x, y, z"},
		"from a state's latest visit":                          {flow: loop(), first: map[string]string{"b": "fs"}, retry: heddle.RunRetry{Mode: "from", Step: "b"}, wantRan: "b, c"},
		"only a state":                                         {flow: loop(), first: map[string]string{"b": "fs"}, retry: heddle.RunRetry{Mode: "only", Step: "b"}, wantRan: "b"},
		"a cancelled state machine goes on":                    {flow: loop(), cancels: []int{2}, wantRan: "b, c"},
		"an edited state that is gone on from":                 {flow: loop(), first: map[string]string{"c": "f"}, with: edited(loop(), "c"), wantRan: "c"},
		"an edited state that was passed":                      {flow: loop(), first: map[string]string{"c": "f"}, with: edited(loop(), "a"), wantErr: `"a"`, code: heddle.CodeInvalid},
		"a run that ended well":                                {flow: diamond(), wantErr: "ended well", code: heddle.CodeConflict},
		"a step that did not run":                              {flow: diamond(), first: map[string]string{"b": "f"}, retry: heddle.RunRetry{Mode: "from", Step: "d"}, wantErr: `"d" did not run`, code: heddle.CodeConflict},
		"a step that there is not":                             {flow: diamond(), retry: heddle.RunRetry{Mode: "only", Step: "q"}, wantErr: `no step "q"`, code: heddle.CodeInvalid},
		"a member of a matrix":                                 {flow: matrix(diamond(), "b", 2, false), retry: heddle.RunRetry{Mode: "only", Step: "b[]"}, wantErr: `part of "b"`, code: heddle.CodeInvalid},
		"a document of another kind":                           {flow: diamond(), retry: heddle.RunRetry{Mode: "from", Step: "a"}, with: loop(), wantErr: "is a Job", code: heddle.CodeInvalid},
		"failed and a step":                                    {flow: diamond(), first: map[string]string{"b": "f"}, retry: heddle.RunRetry{Step: "b"}, wantErr: "names no step", code: heddle.CodeInvalid},
		"a mode that there is not":                             {flow: diamond(), retry: heddle.RunRetry{Mode: "all"}, wantErr: `"all"`, code: heddle.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := scripted(tc.first)
			w.cancels = tc.cancels
			old := play(t, tc.flow, newRun(tc.flow), w)
			plan, err := PlanRetry(tc.with, old.detail(), tc.retry)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) || heddle.CodeOf(err) != tc.code {
					t.Fatalf("error %v with code %q, want %q with code %q", err, heddle.CodeOf(err), tc.wantErr, tc.code)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			flow := tc.with
			if flow == nil {
				flow = tc.flow
			}
			p := retried(t, flow, &plan, scripted(tc.then))
			if got := p.ran(); got != tc.wantRan {
				t.Errorf("ran %q, want %q", got, tc.wantRan)
			}
			if want := max(tc.want, ""); p.run.Outcome != want && (want != "" || p.run.Outcome != heddle.Success) {
				t.Errorf("outcome %s, want %s", p.run.Outcome, want)
			}
		})
	}
}

// tolerate has a step's failure not count, and wanted by those that wait for it.
func tolerate(f *heddle.Flow, name string, on heddle.Outcome) *heddle.Flow {
	for i := range f.Steps {
		f.Steps[i].Tolerate = f.Steps[i].Tolerate || f.Steps[i].Name == name
	}
	for i := range f.Edges {
		if f.Edges[i].From == name {
			f.Edges[i].On = append(f.Edges[i].On, on)
		}
	}
	return f
}

func TestRetryNeedsAnEndedRun(t *testing.T) {
	t.Parallel()
	flow := dagOf("a")
	p := newPlayer(t, flow, newRun(flow), scripted(nil))
	p.do(Begin{})
	if _, err := PlanRetry(nil, p.detail(), heddle.RunRetry{}); heddle.CodeOf(err) != heddle.CodeConflict {
		t.Fatalf("error %v, want code %s", err, heddle.CodeConflict)
	}
}

func TestRetryPlanIsTold(t *testing.T) {
	t.Parallel()
	flow := finally(matrix(dagOf("a", "a -> b", "a -> c", "b c -> d", "d -> e"), "b", 3, false), "z")
	old := play(t, flow, newRun(flow), scripted(map[string]string{"b[] 1": "f"}))
	for name, tc := range map[string]struct {
		retry heddle.RunRetry
		want  []heddle.RetryStep
	}{
		"what failed": {want: []heddle.RetryStep{
			{Step: "a", Plan: heddle.FateTaken, Before: heddle.Success, Taken: 1},
			{Step: "b", Plan: heddle.FateRuns, Before: heddle.Failure},
			{Step: "b[]", Plan: heddle.FateRuns, Before: heddle.Failure, Taken: 2, Redone: []int{1}},
			{Step: "c", Plan: heddle.FateTaken, Before: heddle.Success, Taken: 1},
			{Step: "d", Plan: heddle.FateMay, Before: heddle.Skipped},
			{Step: "e", Plan: heddle.FateMay, Before: heddle.Skipped},
			{Step: "z", Plan: heddle.FateRuns, Before: heddle.Success},
		}},
		"only a step": {retry: heddle.RunRetry{Mode: heddle.RetryOnly, Step: "c"}, want: []heddle.RetryStep{
			{Step: "a", Plan: heddle.FateTaken, Before: heddle.Success, Taken: 1},
			{Step: "b", Plan: heddle.FateTaken, Before: heddle.Failure, Taken: 1},
			{Step: "b[]", Plan: heddle.FateTaken, Before: heddle.Failure, Taken: 3},
			{Step: "c", Plan: heddle.FateRuns, Before: heddle.Success},
			{Step: "d", Plan: heddle.FateTaken, Before: heddle.Skipped, Taken: 1},
			{Step: "e", Plan: heddle.FateTaken, Before: heddle.Skipped, Taken: 1},
			{Step: "z", Plan: heddle.FateTaken, Before: heddle.Success, Taken: 1},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan, err := PlanRetry(nil, old.detail(), tc.retry)
			if err != nil {
				t.Fatal(err)
			}
			if d := diff.Diff(tc.want, plan.Steps); d != "" {
				t.Fatalf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestRetryKeepsTheInput: a state machine's step gets the context that it had.
func TestRetryKeepsTheInput(t *testing.T) {
	t.Parallel()
	flow := loopOf("a", "a -> b", "b! -> c", "c -> b")
	for i := range flow.Steps {
		flow.Steps[i].Result = heddle.ResultLine
	}
	end := func(outcome string) func(heddle.Visit, int, string) heddle.Exit {
		return func(v heddle.Visit, _ int, _ string) heddle.Exit {
			line := fmt.Sprintf(`{"result":"success","context":{%q:"%d"}}`, v.Step, v.Nth)
			if v.Step == "b" && v.Nth < 3 {
				line = fmt.Sprintf(`{"result":%q,"message":"no"}`, outcome)
			}
			if v.Step == "c" && v.Nth == 2 {
				line = `{"result":"abort"}`
			}
			return heddle.Exit{Reason: heddle.Exited, Result: []byte(line), ResultSize: int64(len(line))}
		}
	}
	old := play(t, flow, newRun(flow), world{exit: end("failure")})
	if old.run.Outcome != heddle.Failure || len(old.visits) != 5 {
		t.Fatalf("the run to retry ended with %s after %d visits", old.run.Outcome, len(old.visits))
	}
	plan, err := PlanRetry(nil, old.detail(), heddle.RunRetry{})
	if err != nil {
		t.Fatal(err)
	}
	p := retried(t, flow, &plan, world{exit: end("success")})
	if d := diff.Diff(string(old.starts["run1-4-1"].Context), string(p.starts["run1-4-1"].Context)); d != "" {
		t.Fatalf("the context of the step that is done over (-then +now): %s", d)
	}
	if p.run.Outcome != heddle.Success {
		t.Fatalf("the retry ended with %s", p.run.Outcome)
	}
}

// TestRetryIsAsAFullRun: what a retried DAG comes to is what a whole new run comes
// to in which the steps that were taken over end as they did, and the others as in
// the retry. It goes through restarts as well.
func TestRetryIsAsAFullRun(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		d := drawn{T: rt, plain: true}
		flow := d.dag(false)
		w := d.world()
		w.enough = 0
		old := play(rt, flow, newRun(flow), w)
		plan, err := PlanRetry(nil, old.detail(), heddle.RunRetry{})
		if old.run.Outcome == heddle.Success {
			if heddle.CodeOf(err) != heddle.CodeConflict {
				rt.Fatalf("planning to retry a run that ended well: %v", err)
			}
			return
		}
		if err != nil {
			rt.Fatalf("planning: %v", err)
		}
		next, was := d.world(), w.exit
		then := next.exit
		next.enough = 0
		took := map[string]bool{}
		for _, v := range plan.Visits {
			took[fmt.Sprint(v.Step, v.Index)] = v.State == heddle.VisitSettled
		}
		next.exit = func(v heddle.Visit, n int, told string) heddle.Exit {
			if took[fmt.Sprint(v.Step, v.Index)] {
				return was(v, n, told)
			}
			return then(v, n, told)
		}
		whole := play(rt, flow, newRun(flow), next)
		if d.often(50, "crash") {
			next.crashes = []int{d.number(0, 10, "crash at"), d.number(0, 30, "crash again at")}
		}
		part := retried(rt, flow, &plan, next)
		ends := func(p *player) map[string]heddle.Outcome {
			got := map[string]heddle.Outcome{"": p.run.Outcome}
			for _, v := range p.visits {
				got[fmt.Sprint(v.Step, " ", v.Index)] = v.Outcome
			}
			return got
		}
		if d := diff.Diff(ends(whole), ends(part)); d != "" {
			rt.Fatalf("a retry (+) comes to something else than a whole run (-): %s", d)
		}
	})
}

// TestRetryOfAnything plays retries of all modes of flows of all shapes, with
// cancels and restarts; the player holds them to its invariants.
func TestRetryOfAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		d := drawn{T: rt}
		flow := d.any()
		old := play(rt, flow, newRun(flow), d.world())
		r := heddle.RunRetry{Mode: []heddle.RetryMode{heddle.RetryFailed, heddle.RetryFrom, heddle.RetryOnly}[d.number(0, 2, "mode")]}
		if r.Mode != heddle.RetryFailed {
			r.Step = flow.Steps[d.number(0, len(flow.Steps)-1, "step")].Name
		}
		plan, err := PlanRetry(nil, old.detail(), r)
		if code := heddle.CodeOf(err); code == heddle.CodeConflict || code == heddle.CodeInvalid {
			return
		} else if err != nil {
			rt.Fatalf("planning: %v", err)
		}
		w := d.world()
		if d.often(50, "crash") {
			w.crashes = []int{d.number(1, 10, "crash at"), d.number(0, 30, "crash again at")}
		}
		p := retried(rt, flow, &plan, w)
		for _, v := range plan.Visits {
			if v.State == heddle.VisitSettled {
				if d := diff.Diff(v, p.visits[v.No]); d != "" {
					rt.Fatalf("a visit that was taken over changed: %s", d)
				}
			}
		}
		if r.Mode == heddle.RetryOnly {
			for _, v := range p.visits {
				if v.No > len(plan.Visits) && p.g.parent[p.g.index[v.Step]] < 0 {
					rt.Fatalf("only %q was to be done over, and %q opened", r.Step, v.Step)
				}
			}
		}
	})
}
