package machine

import (
	"strings"
	"testing"
	"time"

	"github.com/heddle/heddle"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	line := func(text string, code int) heddle.Exit {
		return heddle.Exit{Reason: heddle.Exited, Code: code, Result: []byte(text), ResultSize: int64(len(text))}
	}
	type verdict struct {
		outcome heddle.Outcome
		status  heddle.Status
		code    int
		message string
		output  string
		infra   bool
	}
	malformed := func(code int, message string) verdict {
		return verdict{outcome: heddle.Failure, status: heddle.StatusAppError, code: code, message: "malformed result: " + message}
	}
	unrun := func(outcome heddle.Outcome, message string, infra bool) verdict {
		return verdict{outcome: outcome, status: heddle.StatusProcError, code: 125, message: message, infra: infra}
	}
	const plain, kog = heddle.ResultExitCode, heddle.ResultLine
	tests := map[string]struct {
		result heddle.ResultFrom
		abort  bool // what cannot be started is an abort
		exit   heddle.Exit
		want   verdict
	}{
		"exit code 0": {result: plain, exit: heddle.Exit{Reason: heddle.Exited}, want: verdict{outcome: heddle.Success, status: heddle.StatusSuccess}},
		"the default is the exit code": {
			exit: heddle.Exit{Reason: heddle.Exited, Code: 7},
			want: verdict{outcome: heddle.Failure, status: heddle.StatusAppError, code: 7, message: "exit code 7"},
		},
		"a signal": {
			result: plain, exit: heddle.Exit{Reason: heddle.Exited, Code: 139, Signal: "SIGSEGV"},
			want: verdict{outcome: heddle.Failure, status: heddle.StatusAppError, code: 139, message: "ended by signal SIGSEGV"},
		},
		"the executor's word": {
			result: plain, exit: heddle.Exit{Reason: heddle.Exited, Code: 137, Message: "out of memory"},
			want: verdict{outcome: heddle.Failure, status: heddle.StatusAppError, code: 137, message: "out of memory"},
		},
		"a result line says nothing where the exit code counts": {
			result: plain, exit: line(`{"result":"failure"}`, 0), want: verdict{outcome: heddle.Success, status: heddle.StatusSuccess},
		},
		"out of time, whatever was printed before": {
			result: kog, exit: heddle.Exit{Reason: heddle.TimedOut, Code: 137, Result: []byte(`{"result":"success","context":{"a":1}}`), ResultSize: 38},
			want: verdict{outcome: heddle.Timeout, status: heddle.StatusTimeout, code: 124, message: `step "build" ran out of its duration of 1m30s`},
		},
		"stopped": {
			exit: heddle.Exit{Reason: heddle.Stopped, Message: "interrupted"},
			want: verdict{outcome: heddle.Abort, status: heddle.StatusAborted, code: 130, message: "interrupted"},
		},
		"stopped without a word": {
			exit: heddle.Exit{Reason: heddle.Stopped},
			want: verdict{outcome: heddle.Abort, status: heddle.StatusAborted, code: 130, message: "stopped on request"},
		},
		"refused in a job file":    {abort: true, exit: heddle.Exit{Reason: heddle.Refused, Message: "no image"}, want: unrun(heddle.Abort, "no image", false)},
		"refused elsewhere":        {exit: heddle.Exit{Reason: heddle.Refused}, want: unrun(heddle.Failure, "the attempt was refused", false)},
		"lost in a job file":       {abort: true, exit: heddle.Exit{Reason: heddle.Lost}, want: unrun(heddle.Abort, "the attempt was lost", true)},
		"lost elsewhere":           {exit: heddle.Exit{Reason: heddle.Lost}, want: unrun(heddle.Failure, "the attempt was lost", true)},
		"broken in a job file":     {abort: true, exit: heddle.Exit{Reason: heddle.Broken}, want: unrun(heddle.Abort, "the attempt was broken", true)},
		"broken with a result yet": {exit: heddle.Exit{Reason: heddle.Broken, Message: "evicted", Result: []byte(`{"result":"success"}`), ResultSize: 20}, want: unrun(heddle.Failure, "evicted", true)},
		"a valid line": {
			result: kog, exit: line(`{"result":"success","rc":5,"message":"done","context":{"a":1}}`, 0),
			want: verdict{outcome: heddle.Success, status: heddle.StatusSuccess, code: 5, message: "done", output: `{"a":1}`},
		},
		"the line is the contract, not the exit code": {
			result: kog, exit: line(`{"result":"success"}`, 9), want: verdict{outcome: heddle.Success, status: heddle.StatusSuccess},
		},
		"not success with exit code 0": {
			result: kog, exit: line(`{"result":"failure","message":"no"}`, 0),
			want: verdict{outcome: heddle.Failure, status: heddle.StatusAppError, code: 1, message: "no"},
		},
		"an abort that says its code": {
			result: kog, exit: line(`{"result":"abort","rc":15,"message":"no"}`, 0),
			want: verdict{outcome: heddle.Abort, status: heddle.StatusAborted, code: 15, message: "no"},
		},
		"a timeout that the action tells, in any letter case": {
			result: kog, exit: line(`{"result":"TimeOut","message":"no"}`, 0),
			want: verdict{outcome: heddle.Timeout, status: heddle.StatusTimeout, code: 1, message: "no"},
		},
		"null counts as missing": {
			result: kog, exit: line(` {"result":"success","rc":null,"message":null,"context":null} `, 0),
			want: verdict{outcome: heddle.Success, status: heddle.StatusSuccess},
		},
		"unknown fields are ignored": {result: kog, exit: line(`{"result":"success","x":[1]}`, 0), want: verdict{outcome: heddle.Success, status: heddle.StatusSuccess}},
		"no line": {
			result: kog, exit: heddle.Exit{Reason: heddle.Exited},
			want: verdict{outcome: heddle.Failure, status: heddle.StatusAppError, code: 1, message: "no result line was printed"},
		},
		"no line and an exit code": {
			result: kog, exit: heddle.Exit{Reason: heddle.Exited, Code: 4},
			want: verdict{outcome: heddle.Failure, status: heddle.StatusAppError, code: 4, message: "no result line was printed (exit code 4)"},
		},
		"not JSON, and an exit code":          {result: kog, exit: line(`success`, 3), want: malformed(3, "invalid character")},
		"an empty line":                       {result: kog, exit: line(` `, 0), want: malformed(1, "unexpected end")},
		"the sample line without its brace":   {result: kog, exit: line(`{"result":"success","rc":0`, 0), want: malformed(1, "unexpected end")},
		"a brace too many":                    {result: kog, exit: line(`{"result":"success"}}`, 0), want: malformed(1, "invalid character")},
		"text after the object":               {result: kog, exit: line(`{"result":"success"} done`, 0), want: malformed(1, "invalid character")},
		"an array":                            {result: kog, exit: line(`["success"]`, 0), want: malformed(1, "")},
		"null":                                {result: kog, exit: line(`null`, 0), want: malformed(1, "it has no result")},
		"no result":                           {result: kog, exit: line(`{"rc":0}`, 0), want: malformed(1, "it has no result")},
		"an unknown result":                   {result: kog, exit: line(`{"result":"okay"}`, 0), want: malformed(1, `unknown result "okay"`)},
		"skipped is not for programs":         {result: kog, exit: line(`{"result":"skipped"}`, 0), want: malformed(1, `unknown result "skipped"`)},
		"a context that is no object":         {result: kog, exit: line(`{"result":"success","context":[]}`, 0), want: malformed(1, "its context is not an object")},
		"a code that is no number":            {result: kog, exit: line(`{"result":"success","rc":"0"}`, 0), want: malformed(1, "")},
		"a line longer than what may be kept": {result: kog, exit: heddle.Exit{Reason: heddle.Exited, Result: []byte("{"), ResultSize: heddle.MaxResult + 1}, want: malformed(1, "the line has 1048577 bytes")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			step := &heddle.Step{Name: "build", Result: tc.result, Timeout: 90 * time.Second}
			if tc.abort {
				step.Unstartable = heddle.Abort
			}
			j := judge(step, &tc.exit)
			got := verdict{outcome: j.outcome, status: j.status, code: j.code, message: j.message, output: string(j.output), infra: j.infra}
			// Some messages end in the words of the JSON decoder or of the program.
			if strings.HasPrefix(got.message, tc.want.message) && tc.want.message != "" {
				got.message = tc.want.message
			}
			if got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

// TestMalformedResultIsClipped: at most 200 characters of it are shown.
func TestMalformedResultIsClipped(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"long": strings.Repeat("x", 5000), "many bytes a character": strings.Repeat("é", 5000), "not UTF-8": strings.Repeat("\xff", 5000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exit := resultLine(text)
			got := judge(&heddle.Step{Result: heddle.ResultLine}, &exit).message
			if len([]rune(got)) > 300 || !strings.HasSuffix(got, "...") || strings.ToValidUTF8(got, "") != got {
				t.Errorf("message %q", got)
			}
		})
	}
}

func TestSuccessWithAnotherExitCodeWarns(t *testing.T) {
	t.Parallel()
	flow := flowOf([]heddle.Step{with(state("a"), func(s *heddle.Step) { s.Result = heddle.ResultLine })}, nil, "a")
	p := play(t, flow, newRun(flow), world{exit: func(heddle.Visit, int, string) heddle.Exit {
		exit := resultLine(`{"result":"success","message":"fine"}`)
		exit.Code = 9
		return exit
	}})
	a := p.tries["run1-1-1"]
	if a.Message != "the result line says success, the program ended with exit code 9" || a.ExitCode != 9 || a.Status != heddle.StatusSuccess {
		t.Errorf("attempt %+v", a)
	}
	if v := p.of("a")[0]; v.Code != 0 || v.Message != "fine" {
		t.Errorf("visit %+v", v)
	}
}

// TestRouting: what a target that cannot be gone to makes of the step before it.
func TestRouting(t *testing.T) {
	t.Parallel()
	limited := func(n int) func(*heddle.Step) { return func(s *heddle.Step) { s.MaxVisits = n } }
	tests := map[string]struct {
		flow         *heddle.Flow
		script       map[string]string
		want         heddle.Outcome
		wantMessage  string
		wantOutcomes map[string]string
	}{
		"no target ends the run": {
			flow: flowOf([]heddle.Step{state("a"), state("b")}, []heddle.Edge{edge1("a", "b", heddle.Failure)}, "a"),
			want: heddle.Success, wantOutcomes: map[string]string{"a": "success"},
		},
		"a missing target turns a success into an abort, and its abort edge is not followed": {
			flow: flowOf([]heddle.Step{state("a"), state("b")},
				[]heddle.Edge{edge1("a", "ghost"), edge1("a", "b", heddle.Abort)}, "a"),
			want: heddle.Abort, wantMessage: `step "a" leads to "ghost" on success, and there is no such step`,
			wantOutcomes: map[string]string{"a": "abort"},
		},
		"a missing target of another outcome does not matter": {
			flow: flowOf([]heddle.Step{state("a"), state("b")},
				[]heddle.Edge{edge1("a", "ghost", heddle.Failure), edge1("a", "b")}, "a"),
			want: heddle.Success, wantOutcomes: map[string]string{"a": "success", "b": "success"},
		},
		"the arrival beyond the limit aborts the step that it comes from": {
			flow:   flowOf([]heddle.Step{with(state("a"), limited(3))}, []heddle.Edge{edge1("a", "a", heddle.Failure)}, "a"),
			script: map[string]string{"a": "fail fail fail fail"},
			want:   heddle.Abort, wantMessage: `step "a" has had the 3 visits that it may have`,
			wantOutcomes: map[string]string{"a": "failure failure abort"},
		},
		"skipping leads on within the limit": {
			flow: flowOf([]heddle.Step{node("a"), node("b"), with(state("c"), limited(1))},
				[]heddle.Edge{edge1("a", "b", heddle.Failure), edge1("b", "c", heddle.Skipped), edge1("c", "c")}, "a"),
			want: heddle.Abort, wantMessage: `step "c" has had the 1 visits that it may have`,
			wantOutcomes: map[string]string{"a": "success", "b": "skipped", "c": "abort"},
		},
		"and beyond it aborts the step that is skipped": {
			flow: flowOf([]heddle.Step{node("a"), node("b"), with(state("c"), limited(1))},
				[]heddle.Edge{edge1("a", "b", heddle.Failure), edge1("b", "c", heddle.Skipped)}, "a", "c"),
			want: heddle.Abort, wantMessage: `step "c" has had the 1 visits that it may have`,
			wantOutcomes: map[string]string{"a": "success", "b": "abort", "c": "success"},
		},
		"two arrivals at once count as two": {
			flow: flowOf([]heddle.Step{state("a"), with(state("b"), limited(1))}, []heddle.Edge{edge1("a", "b"), edge1("a", "b")}, "a"),
			want: heddle.Abort, wantMessage: `step "b" has had the 1 visits that it may have`,
			wantOutcomes: map[string]string{"a": "abort"},
		},
		"a start counts before its turn": {
			flow: flowOf([]heddle.Step{with(state("a"), func(s *heddle.Step) { s.Broken = "no action" }), with(state("b"), limited(1))},
				[]heddle.Edge{edge1("a", "b", heddle.Abort)}, "a", "b"),
			want: heddle.Abort, wantMessage: `step "b" has had the 1 visits that it may have`,
			wantOutcomes: map[string]string{"a": "abort", "b": "success"},
		},
		"a step whose action is undefined aborts when it is reached, and leads on": {
			flow: flowOf([]heddle.Step{state("a"), with(state("b"), func(s *heddle.Step) { s.Broken, s.Work = "action \"x\" is not defined", nil }), state("c")},
				[]heddle.Edge{edge1("a", "b"), edge1("b", "c", heddle.Abort)}, "a"),
			want: heddle.Abort, wantMessage: `action "x" is not defined`,
			wantOutcomes: map[string]string{"a": "success", "b": "abort", "c": "success"},
		},
		"steps that cannot run and lead to each other do not go round for ever": {
			flow: flowOf([]heddle.Step{
				with(state("a"), func(s *heddle.Step) { s.Broken = "no action" }),
				with(state("b"), func(s *heddle.Step) { s.NeedsEnv = []string{"X"} }),
			}, []heddle.Edge{edge1("a", "b", heddle.Abort), edge1("b", "a", heddle.Abort)}, "a"),
			want: heddle.Abort, wantMessage: "no action; it leads back to itself without anything being run",
			wantOutcomes: map[string]string{"a": "abort abort", "b": "abort"},
		},
		"a step that cannot run may be come back to once something has run": {
			flow: flowOf([]heddle.Step{
				with(state("a"), func(s *heddle.Step) { s.Broken = "no action" }), with(state("b"), limited(3)),
			}, []heddle.Edge{edge1("a", "b", heddle.Abort), edge1("b", "a")}, "a"),
			want: heddle.Abort, wantMessage: `step "b" has had the 3 visits that it may have`,
			wantOutcomes: map[string]string{"a": "abort abort abort abort", "b": "success success success"},
		},
		"an arrival at a busy key is dropped": {
			flow: flowOf([]heddle.Step{state("a"), with(state("b"), func(s *heddle.Step) { s.Key = "k" })},
				[]heddle.Edge{edge1("a", "b")}, "a", "b"),
			want: heddle.Success, wantOutcomes: map[string]string{"a": "success", "b": "success skipped"},
		},
		"what is dropped and may come round again leads to nothing, not even on skipped": {
			flow: flowOf([]heddle.Step{
				state("a"), with(state("b"), func(s *heddle.Step) { s.Key = "k" }), state("c"), node("join"),
			}, []heddle.Edge{edge1("a", "b"), edge1("b", "join", heddle.Skipped), edge1("c", "join")}, "a", "b", "c"),
			want: heddle.Success, wantOutcomes: map[string]string{"a": "success", "b": "success skipped", "c": "success"},
		},
		"or waits": {
			flow: flowOf([]heddle.Step{state("a"), with(state("b"), func(s *heddle.Step) { s.Key, s.Busy = "k", heddle.BusyQueue })},
				[]heddle.Edge{edge1("a", "b")}, "a", "b"),
			want: heddle.Success, wantOutcomes: map[string]string{"a": "success", "b": "success success"},
		},
		"what is dropped and can have no other arrival is skipped for good": {
			flow: flowOf([]heddle.Step{
				with(node("a"), func(s *heddle.Step) { s.Key = "k" }), with(node("b"), func(s *heddle.Step) { s.Key = "k" }), node("c"),
			}, []heddle.Edge{edge1("b", "c")}, "a", "b"),
			want: heddle.Success, wantOutcomes: map[string]string{"a": "success", "b": "skipped", "c": "skipped"},
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
