package machine

import (
	"strings"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

// script is a world in which the attempts of each step end by the words given,
// one after the other, and well when there are no words left.
func script(t *testing.T, words map[string]string) world {
	t.Helper()
	left := map[string][]string{}
	for step, list := range words {
		left[step] = strings.Fields(list)
	}
	return world{exit: func(v heddle.Visit, _ int, told string) heddle.Exit {
		t.Helper()
		if told != "" {
			return heddle.Exit{Reason: heddle.Stopped, Code: 143}
		}
		word := "ok"
		if list := left[v.Step]; len(list) > 0 {
			word, left[v.Step] = list[0], list[1:]
		}
		switch word {
		case "ok":
			return heddle.Exit{Reason: heddle.Exited}
		case "fail":
			return heddle.Exit{Reason: heddle.Exited, Code: 3}
		case "abort":
			return resultLine(`{"result":"abort","rc":15}`)
		case "timeout":
			return heddle.Exit{Reason: heddle.TimedOut}
		case "lost":
			return heddle.Exit{Reason: heddle.Lost}
		case "broken":
			return heddle.Exit{Reason: heddle.Broken}
		case "refused":
			return heddle.Exit{Reason: heddle.Refused}
		}
		t.Fatalf("a script has no word %q", word)
		return heddle.Exit{}
	}}
}

func resultLine(text string) heddle.Exit {
	return heddle.Exit{Reason: heddle.Exited, Result: []byte(text), ResultSize: int64(len(text))}
}

// state is a step of a state machine.
func state(name string) heddle.Step {
	return heddle.Step{Name: name, Work: &heddle.Work{}}
}

// node is a step of a DAG.
func node(name string) heddle.Step {
	return heddle.Step{Name: name, Gate: heddle.GateAll, Work: &heddle.Work{}}
}

func with(s heddle.Step, change func(*heddle.Step)) heddle.Step {
	change(&s)
	return s
}

func edge1(from, to string, on ...heddle.Outcome) heddle.Edge {
	return heddle.Edge{From: from, To: to, On: on}
}

// bad is what a pipeline takes for a failure.
func bad() []heddle.Outcome {
	return []heddle.Outcome{heddle.Failure, heddle.Abort, heddle.Timeout}
}

func flowOf(steps []heddle.Step, edges []heddle.Edge, start ...string) *heddle.Flow {
	return &heddle.Flow{Name: "test", Steps: steps, Edges: edges, Start: start}
}

func (p *player) outcomes() map[string]string {
	got := map[string]string{}
	visits, _ := p.rows()
	for _, v := range visits {
		got[v.Step] = strings.TrimSpace(got[v.Step] + " " + string(v.Outcome))
	}
	return got
}

// wants compares a run that has ended with what it should have come to.
func (p *player) wants(t *testing.T, outcome heddle.Outcome, message string, outcomes map[string]string) {
	t.Helper()
	if p.run.Outcome != outcome || p.run.Message != message {
		t.Errorf("after restarts at %v: verdict %s, %q; want %s, %q", p.w.crashes, p.run.Outcome, p.run.Message, outcome, message)
	}
	if d := diff.Diff(outcomes, p.outcomes()); d != "" {
		t.Errorf("after restarts at %v: %s", p.w.crashes, d)
	}
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	readme := flowOf(
		[]heddle.Step{node("first"), node("second"), node("error"), node("success")},
		[]heddle.Edge{edge1("first", "second"), edge1("first", "error", bad()...), edge1("second", "success")}, "first")
	joined := flowOf(
		[]heddle.Step{node("a"), node("b"), node("c")},
		[]heddle.Edge{edge1("a", "c"), edge1("b", "c", bad()...)}, "a", "b")
	loop := flowOf(
		[]heddle.Step{state("work"), state("notify"), state("finalize")},
		[]heddle.Edge{
			edge1("work", "finalize", heddle.Success), edge1("work", "notify", heddle.Failure),
			edge1("notify", "work", heddle.Timeout), edge1("notify", "finalize", heddle.Success),
		}, "work")
	tests := map[string]struct {
		flow         *heddle.Flow
		script       map[string]string
		want         heddle.Outcome
		wantMessage  string
		wantOutcomes map[string]string
	}{
		"chainr: the example of the readme succeeds and skips its error job": {
			flow: readme, want: heddle.Success,
			wantOutcomes: map[string]string{"first": "success", "second": "success", "success": "success", "error": "skipped"},
		},
		"chainr: a failure handler that succeeds does not rescue the run": {
			flow: readme, script: map[string]string{"first": "fail"}, want: heddle.Failure, wantMessage: "exit code 3",
			wantOutcomes: map[string]string{"first": "failure", "second": "skipped", "success": "skipped", "error": "success"},
		},
		"chainr: a timeout meets a dependency on failure": {
			flow: readme, script: map[string]string{"first": "timeout"}, want: heddle.Timeout,
			wantMessage:  `step "first" ran out of its duration of 0s`,
			wantOutcomes: map[string]string{"first": "timeout", "second": "skipped", "success": "skipped", "error": "success"},
		},
		"chainr: what could not be run meets a dependency on failure": {
			flow: readme, script: map[string]string{"first": "refused"}, want: heddle.Failure, wantMessage: "the attempt was refused",
			wantOutcomes: map[string]string{"first": "failure", "second": "skipped", "success": "skipped", "error": "success"},
		},
		"chainr: all dependencies must be met": {
			flow: joined, script: map[string]string{"b": "fail"}, want: heddle.Failure, wantMessage: "exit code 3",
			wantOutcomes: map[string]string{"a": "success", "b": "failure", "c": "success"},
		},
		"chainr: one that is not met skips the job": {
			flow: joined, want: heddle.Success, wantOutcomes: map[string]string{"a": "success", "b": "success", "c": "skipped"},
		},
		"chainr: skipping propagates, also along dependencies on failure": {
			flow: flowOf([]heddle.Step{node("a"), node("b"), node("c"), node("d")},
				[]heddle.Edge{edge1("a", "b", bad()...), edge1("b", "c"), edge1("b", "d", bad()...)}, "a"),
			want: heddle.Success, wantOutcomes: map[string]string{"a": "success", "b": "skipped", "c": "skipped", "d": "skipped"},
		},
		"chainr: two entries on one job, with and without failure, are never met": {
			flow: flowOf([]heddle.Step{node("a"), node("b")}, []heddle.Edge{edge1("a", "b"), edge1("a", "b", bad()...)}, "a"),
			want: heddle.Success, wantOutcomes: map[string]string{"a": "success", "b": "skipped"},
		},
		"chainr: a failed job does not stop unrelated ones": {
			flow:   flowOf([]heddle.Step{node("a"), node("b"), node("c")}, []heddle.Edge{edge1("b", "c")}, "a", "b"),
			script: map[string]string{"a": "fail"}, want: heddle.Failure, wantMessage: "exit code 3",
			wantOutcomes: map[string]string{"a": "failure", "b": "success", "c": "success"},
		},
		"chainr: no jobs is a success": {flow: flowOf(nil, nil), want: heddle.Success, wantOutcomes: map[string]string{}},
		"of several failures in a DAG the first in the document counts": {
			flow:   flowOf([]heddle.Step{node("late"), node("early")}, []heddle.Edge{edge1("early", "late")}, "early"),
			script: map[string]string{"late": "timeout", "early": "ok"}, want: heddle.Timeout,
			wantMessage:  `step "late" ran out of its duration of 0s`,
			wantOutcomes: map[string]string{"late": "timeout", "early": "success"},
		},
		"kog: an unhandled failure fails the job": {
			flow:   flowOf([]heddle.Step{state("work")}, nil, "work"),
			script: map[string]string{"work": "fail"}, want: heddle.Failure, wantMessage: "exit code 3",
			wantOutcomes: map[string]string{"work": "failure"},
		},
		"kog: a handled failure is a failure still": {
			flow: loop, script: map[string]string{"work": "fail"}, want: heddle.Failure, wantMessage: "exit code 3",
			wantOutcomes: map[string]string{"work": "failure", "notify": "success", "finalize": "success"},
		},
		"kog: a step that is repeated until it succeeds is a success; a handler that failed on the way is not": {
			flow: loop, script: map[string]string{"work": "fail fail", "notify": "timeout"}, want: heddle.Failure, wantMessage: "exit code 3",
			wantOutcomes: map[string]string{"work": "failure failure", "notify": "timeout success", "finalize": "success"},
		},
		"kog: a self loop until success is a success": {
			flow:   flowOf([]heddle.Step{state("work")}, []heddle.Edge{edge1("work", "work", heddle.Failure)}, "work"),
			script: map[string]string{"work": "fail fail"}, want: heddle.Success,
			wantOutcomes: map[string]string{"work": "failure failure success"},
		},
		"kog: the order of first starts decides, not that of the document": {
			flow: flowOf([]heddle.Step{state("b"), state("a")},
				[]heddle.Edge{edge1("a", "b", heddle.Failure)}, "a"),
			script: map[string]string{"a": "fail", "b": "timeout"}, want: heddle.Failure, wantMessage: "exit code 3",
			wantOutcomes: map[string]string{"a": "failure", "b": "timeout"},
		},
		"a failure that is tolerated does not count": {
			flow: flowOf([]heddle.Step{with(node("a"), func(s *heddle.Step) { s.Tolerate = true }), node("b")},
				[]heddle.Edge{edge1("a", "b", bad()...)}, "a"),
			script: map[string]string{"a": "fail"}, want: heddle.Success,
			wantOutcomes: map[string]string{"a": "failure", "b": "success"},
		},
		"a finally step that fails counts": {
			flow:   flowOf([]heddle.Step{node("a"), with(node("z"), func(s *heddle.Step) { s.Finally = true })}, nil, "a"),
			script: map[string]string{"z": "fail"}, want: heddle.Failure, wantMessage: "exit code 3",
			wantOutcomes: map[string]string{"a": "success", "z": "failure"},
		},
		"a step that is no start step and that nothing leads to never runs": {
			flow: flowOf([]heddle.Step{node("a"), node("b"), node("c")}, []heddle.Edge{edge1("b", "c")}, "a"),
			want: heddle.Success, wantOutcomes: map[string]string{"a": "success"},
		},
		"a step of gate any that nothing leads to opens once, so that what waits for another outcome of it is skipped": {
			flow: flowOf([]heddle.Step{state("a"), node("b"), node("c")}, []heddle.Edge{edge1("a", "b", heddle.Failure), edge1("b", "c")}, "a"),
			want: heddle.Success, wantOutcomes: map[string]string{"a": "success", "b": "skipped", "c": "skipped"},
		},
		"arriving twice along one edge does not stand for arriving along another": {
			flow: flowOf([]heddle.Step{state("a"), node("before b"), node("b"), node("join")},
				[]heddle.Edge{edge1("a", "a", heddle.Failure), edge1("a", "join", heddle.Failure), edge1("before b", "b"), edge1("b", "join", heddle.Failure)},
				"a", "before b"),
			script: map[string]string{"a": "fail fail"}, want: heddle.Success,
			wantOutcomes: map[string]string{"a": "failure failure success", "before b": "success", "b": "success", "join": "skipped"},
		},
		"a group has the verdict over its members, and leads on by it": {
			flow: flowOf(
				[]heddle.Step{
					{Name: "g", Gate: heddle.GateAll},
					with(node("x"), func(s *heddle.Step) { s.Group = "g" }), with(node("y"), func(s *heddle.Step) { s.Group = "g" }),
					node("after"), node("rescue"),
				},
				[]heddle.Edge{edge1("x", "y", bad()...), edge1("g", "after"), edge1("g", "rescue", heddle.Failure)}, "g"),
			script: map[string]string{"x": "fail"}, want: heddle.Failure, wantMessage: "exit code 3",
			wantOutcomes: map[string]string{"g": "failure", "x": "failure", "y": "success", "after": "skipped", "rescue": "success"},
		},
		"a group without members is a success": {
			flow: flowOf([]heddle.Step{{Name: "g"}, node("after")}, []heddle.Edge{edge1("g", "after")}, "g"),
			want: heddle.Success, wantOutcomes: map[string]string{"g": "success", "after": "success"},
		},
		"a matrix fails as the first of its indexes that does": {
			flow: flowOf(
				[]heddle.Step{
					{Name: "g", Matrix: &heddle.Matrix{Env: make([]map[string]string, 3)}},
					with(node("x"), func(s *heddle.Step) { s.Group = "g" }),
				}, nil, "g"),
			script: map[string]string{"x": "ok timeout fail"}, want: heddle.Timeout, wantMessage: `step "x" ran out of its duration of 0s`,
			wantOutcomes: map[string]string{"g": "timeout", "x": "success timeout failure"},
		},
		"a matrix with fail-fast stops and skips the rest": {
			flow: flowOf(
				[]heddle.Step{
					{Name: "g", Matrix: &heddle.Matrix{Env: make([]map[string]string, 4), Limit: 2, FailFast: true}},
					with(node("x"), func(s *heddle.Step) { s.Group = "g" }),
				}, nil, "g"),
			script: map[string]string{"x": "fail"}, want: heddle.Failure, wantMessage: "exit code 3",
			wantOutcomes: map[string]string{"g": "failure", "x": "failure skipped skipped skipped"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, crashes := range [][]int{nil, {1, 2, 3, 4, 5, 6}} {
				w := script(t, tc.script)
				w.crashes = crashes
				play(t, tc.flow, newRun(tc.flow), w).wants(t, tc.want, tc.wantMessage, tc.wantOutcomes)
			}
		})
	}
}

// TestVerdictMessage: a successful job has the message of its last step, by number.
func TestVerdictMessage(t *testing.T) {
	t.Parallel()
	line := func(s *heddle.Step) { s.Result = heddle.ResultLine }
	flow := flowOf([]heddle.Step{with(state("a"), line), with(state("b"), line)}, []heddle.Edge{edge1("a", "b")}, "a")
	p := play(t, flow, newRun(flow), world{exit: func(v heddle.Visit, _ int, _ string) heddle.Exit {
		return resultLine(`{"result":"success","message":"` + v.Step + ` is done"}`)
	}})
	if p.run.Outcome != heddle.Success || p.run.Message != "b is done" {
		t.Errorf("verdict %s, %q", p.run.Outcome, p.run.Message)
	}
}

// TestLatestGoesByNumber: of visits of one step that are open at once the one
// opened last counts, whichever ends first, and its message is the run's.
func TestLatestGoesByNumber(t *testing.T) {
	t.Parallel()
	line := func(s *heddle.Step) { s.Result = heddle.ResultLine }
	flow := flowOf([]heddle.Step{state("a"), with(state("b"), line)}, []heddle.Edge{edge1("a", "b"), edge1("a", "b")}, "a")
	for _, crashes := range [][]int{nil, {2}, {3}} {
		for last := range 2 {
			p := play(t, flow, newRun(flow), world{
				crashes: crashes,
				roll: func(question string, n int) int {
					if strings.HasPrefix(question, "choice") {
						return min(last, n-1)
					}
					return n - 1
				},
				exit: func(v heddle.Visit, _ int, _ string) heddle.Exit {
					if v.Step == "b" && v.Nth == 1 {
						return resultLine(`{"result":"failure","message":"the first"}`)
					}
					return resultLine(`{"result":"success","message":"the last"}`)
				},
			})
			p.wants(t, heddle.Success, "the last", map[string]string{"a": "success", "b": "failure success"})
		}
	}
}

func TestRetries(t *testing.T) {
	t.Parallel()
	seconds := func(limit int) heddle.Retry { return heddle.Retry{Limit: limit, Delay: time.Second} }
	tests := map[string]struct {
		step                     heddle.Step
		script                   string
		want                     heddle.Outcome
		wantAttempts, wantBroken int
		wantAfter                time.Duration // from the first attempt to the last, at least
	}{
		"no retry":                          {script: "fail ok", want: heddle.Failure, wantAttempts: 1},
		"one of two retries is enough":      {step: heddle.Step{Retry: seconds(2)}, script: "fail ok", want: heddle.Success, wantAttempts: 2, wantAfter: time.Second},
		"retries are used up":               {step: heddle.Step{Retry: seconds(2)}, script: "fail fail fail ok", want: heddle.Failure, wantAttempts: 3, wantAfter: 3 * time.Second},
		"a timeout is tried again":          {step: heddle.Step{Retry: seconds(1)}, script: "timeout ok", want: heddle.Success, wantAttempts: 2, wantAfter: time.Second},
		"an abort is not":                   {step: heddle.Step{Retry: seconds(1), Result: heddle.ResultLine}, script: "abort", want: heddle.Abort, wantAttempts: 1},
		"what cannot be started is not":     {step: heddle.Step{Retry: seconds(1)}, script: "refused", want: heddle.Failure, wantAttempts: 1},
		"the infrastructure has two":        {script: "lost broken ok", want: heddle.Success, wantAttempts: 3, wantBroken: 2},
		"and not more":                      {script: "lost broken lost ok", want: heddle.Failure, wantAttempts: 3, wantBroken: 2},
		"or none":                           {step: heddle.Step{InfraRetries: -1}, script: "lost ok", want: heddle.Failure, wantAttempts: 1},
		"or as many as it is given":         {step: heddle.Step{InfraRetries: 1}, script: "lost lost ok", want: heddle.Failure, wantAttempts: 2, wantBroken: 1},
		"the two budgets are apart":         {step: heddle.Step{Retry: seconds(1)}, script: "lost fail broken ok", want: heddle.Success, wantAttempts: 4, wantBroken: 2, wantAfter: time.Second},
		"what was lost may be an abort":     {step: heddle.Step{InfraRetries: -1, Unstartable: heddle.Abort}, script: "lost", want: heddle.Abort, wantAttempts: 1},
		"a broken attempt uses up no retry": {step: heddle.Step{Retry: seconds(1)}, script: "broken fail fail", want: heddle.Failure, wantAttempts: 3, wantBroken: 1, wantAfter: time.Second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.step.Name, tc.step.Work = "x", &heddle.Work{}
			flow := flowOf([]heddle.Step{tc.step}, nil, "x")
			p := play(t, flow, newRun(flow), script(t, map[string]string{"x": tc.script}))
			v := p.of("x")[0]
			if v.Outcome != tc.want || v.Attempts != tc.wantAttempts || v.Broken != tc.wantBroken || len(p.of("x")) != 1 {
				t.Errorf("got %+v", v)
			}
			_, tries := p.rows()
			after := tries[len(tries)-1].Created.Sub(tries[0].Created)
			if after < tc.wantAfter || after > tc.wantAfter+time.Second/2 {
				t.Errorf("the last attempt is made %v after the first, want %v", after, tc.wantAfter)
			}
		})
	}
}

// TestBackoffsEndInOrder: of several the one that is due first is tried first.
func TestBackoffsEndInOrder(t *testing.T) {
	t.Parallel()
	delayed := func(d time.Duration) func(*heddle.Step) {
		return func(s *heddle.Step) { s.Retry = heddle.Retry{Limit: 1, Delay: d} }
	}
	flow := flowOf([]heddle.Step{with(state("a"), delayed(3*time.Second)), with(state("b"), delayed(time.Second)), with(state("c"), delayed(2*time.Second))},
		nil, "a", "b", "c")
	p := play(t, flow, newRun(flow), script(t, map[string]string{"a": "fail", "b": "fail", "c": "fail"}))
	a, b, c := p.tries["run1-1-2"].Created, p.tries["run1-2-2"].Created, p.tries["run1-3-2"].Created
	if !b.Before(c) || !c.Before(a) || p.run.Outcome != heddle.Success {
		t.Errorf("tried again: a %v, b %v, c %v; verdict %s", a, b, c, p.run.Outcome)
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		retry heddle.Retry
		want  []time.Duration
	}{
		"none":              {want: []time.Duration{0, 0, 0}},
		"doubles":           {retry: heddle.Retry{Delay: time.Second}, want: []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}},
		"by another factor": {retry: heddle.Retry{Delay: time.Second, Factor: 1.5}, want: []time.Duration{time.Second, 1500 * time.Millisecond, 2250 * time.Millisecond}},
		"stays":             {retry: heddle.Retry{Delay: time.Second, Factor: 1}, want: []time.Duration{time.Second, time.Second, time.Second}},
		"up to a bound":     {retry: heddle.Retry{Delay: 2 * time.Second, MaxDelay: 3 * time.Second}, want: []time.Duration{2 * time.Second, 3 * time.Second, 3 * time.Second}},
		"a bound below it":  {retry: heddle.Retry{Delay: 2 * time.Second, MaxDelay: time.Second}, want: []time.Duration{time.Second, time.Second}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, want := range tc.want {
				if got := backoff(tc.retry, i+1); got != want {
					t.Errorf("after attempt %d: %v, want %v", i+1, got, want)
				}
			}
			if got := backoff(tc.retry, 1_000_000); got < 0 || got > 24*time.Hour {
				t.Errorf("after a million attempts: %v", got)
			}
		})
	}
}
