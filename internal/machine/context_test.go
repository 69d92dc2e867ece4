package machine

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	diff "github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

// TestContextMerge: what a step returns is laid over what it received.
func TestContextMerge(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		start, input, returned, want string
	}{
		"nothing returned":                {start: `{"a":1}`, want: `{"a":1}`},
		"null returned":                   {start: `{"a":1}`, returned: `null`, want: `{"a":1}`},
		"the input lies over the start":   {start: `{"a":1,"o":{"x":1}}`, input: `{"b":2,"o":{"y":2}}`, want: `{"a":1,"b":2,"o":{"x":1,"y":2}}`},
		"objects merge key by key":        {start: `{"o":{"x":1,"p":{"q":1}}}`, returned: `{"o":{"y":2,"p":{"r":2}}}`, want: `{"o":{"p":{"q":1,"r":2},"x":1,"y":2}}`},
		"arrays replace":                  {start: `{"l":[1,2,3]}`, returned: `{"l":[4]}`, want: `{"l":[4]}`},
		"an object replaces a string":     {start: `{"a":"s"}`, returned: `{"a":{"b":1}}`, want: `{"a":{"b":1}}`},
		"a string replaces an object":     {start: `{"a":{"b":1}}`, returned: `{"a":"s"}`, want: `{"a":"s"}`},
		"null stores null":                {start: `{"a":1,"o":{"x":1}}`, returned: `{"a":null,"o":{"x":null}}`, want: `{"a":null,"o":{"x":null}}`},
		"an object over null":             {start: `{"o":null}`, returned: `{"o":{"x":1}}`, want: `{"o":{"x":1}}`},
		"numbers keep their text":         {start: `{"a":1.10,"b":12345678901234567890}`, returned: `{"c":1e400,"d":-0.0}`, want: `{"a":1.10,"b":12345678901234567890,"c":1e400,"d":-0.0}`},
		"keys are sorted and compact":     {start: "{ \"z\": 1,\n \"a\": [ 1, 2 ] }", want: `{"a":[1,2],"z":1}`},
		"nothing is escaped for HTML":     {start: `{"a":"<&>"}`, returned: `{"b":"<é>"}`, want: `{"a":"<&>","b":"<é>"}`},
		"a null start is empty":           {start: `null`, returned: `{"a":1}`, want: `{"a":1}`},
		"the whole context with one more": {start: `{"a":{"b":[1]}}`, returned: `{"a":{"b":[1]},"c":2}`, want: `{"a":{"b":[1]},"c":2}`},
		"reserved keys are ignored": {
			start:    `{"a":1}`,
			returned: `{"task_name":"x","step_name":"x","action_name":"x","run_id":"x","correlation_id":"x","step_results":[],"b":2}`,
			want:     `{"a":1,"b":2}`,
		},
		"only reserved keys are nothing": {start: `{"a":1}`, returned: `{"run_id":"x"}`, want: `{"a":1}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flow := contextFlow(tc.start)
			run := newRun(flow)
			run.Input.Context = json.RawMessage(tc.input)
			p := play(t, flow, run, world{crashes: []int{1, 2}, exit: func(heddle.Visit, int, string) heddle.Exit {
				context := tc.returned
				if context == "" {
					context = "null"
				}
				return resultLine(`{"result":"success","message":"m","context":` + context + `}`)
			}})
			results := `"step_results":[{"action_name":"act","message":"m","rc":0,"result":"success","step_name":"a"}]`
			want := withReserved(tc.want, "b", results)
			got := p.starts["run1-2-1"]
			if d := diff.Diff(want, string(got.Context)); d != "" {
				t.Error(d)
			}
			if got.Env["KOG_CONTEXT"] != base64.StdEncoding.EncodeToString(got.Context) {
				t.Errorf("KOG_CONTEXT is %q", got.Env["KOG_CONTEXT"])
			}
			first := string(p.starts["run1-1-1"].Context)
			if strings.Contains(first, "step_results") || !strings.Contains(first, `"step_name":"a"`) {
				t.Errorf("the first step receives %s", first)
			}
		})
	}
}

func contextFlow(start string) *heddle.Flow {
	line := func(s *heddle.Step) { s.Result, s.Action = heddle.ResultLine, "act" }
	flow := flowOf([]heddle.Step{with(state("a"), line), with(state("b"), line)}, []heddle.Edge{edge1("a", "b")}, "a")
	flow.Context = json.RawMessage(start)
	return flow
}

// withReserved adds the reserved keys to an object, in sorted order.
func withReserved(object, step, results string) string {
	var all map[string]json.RawMessage
	both := strings.TrimSuffix(object, "}") + "," + strings.TrimPrefix(fmt.Sprintf(
		`{"task_name":"test","step_name":%q,"action_name":"act","run_id":"run1","correlation_id":"corr1",%s}`, step, results), "{")
	if err := json.Unmarshal([]byte(both), &all); err != nil {
		panic(err)
	}
	text, err := encode(all)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// TestStepResultsKeepTheLatest: the history holds the last 100, before a restart and after.
func TestStepResultsKeepTheLatest(t *testing.T) {
	t.Parallel()
	flow := contextFlow(`{}`)
	flow.Edges = []heddle.Edge{edge1("a", "a", heddle.Failure), edge1("a", "b")}
	p := play(t, flow, newRun(flow), world{crashes: []int{50, 100, 150}, exit: func(v heddle.Visit, _ int, _ string) heddle.Exit {
		if v.Nth < 150 {
			return resultLine(fmt.Sprintf(`{"result":"failure","rc":%d}`, v.Nth))
		}
		return resultLine(`{"result":"success"}`)
	}})
	var got struct {
		Results []stepResult `json:"step_results"`
	}
	if err := json.Unmarshal(p.starts["run1-151-1"].Context, &got); err != nil {
		t.Fatal(err)
	}
	if n := len(got.Results); n != 100 || got.Results[0].RC != 51 || got.Results[99].Result != heddle.Success {
		t.Errorf("%d results, from %+v to %+v", n, got.Results[0], got.Results[n-1])
	}
	if err := json.Unmarshal(p.starts["run1-3-1"].Context, &got); err != nil || len(got.Results) != 2 {
		t.Errorf("the third visit sees %+v, %v", got.Results, err)
	}
}

// TestContextVariable: one environment string holds 128 KiB, name and NUL included.
func TestContextVariable(t *testing.T) {
	t.Parallel()
	longest := (maxEnvString - len("KOG_CONTEXT=") - 1) / 4 * 3
	for name, tc := range map[string]struct {
		size int
		want bool
	}{
		"as long as may be": {size: longest, want: true},
		"a byte longer":     {size: longest + 1, want: false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := string(play1(t, contextFlow(`{"pad":""}`)).Context)
			flow := contextFlow(`{"pad":"` + strings.Repeat("x", tc.size-len(base)) + `"}`)
			flow.Steps[0].Work.Env = map[string]string{"KOG_CONTEXT": "forged"}
			start := play1(t, flow)
			got, set := start.Env["KOG_CONTEXT"]
			if len(start.Context) != tc.size || set != tc.want || set && len("KOG_CONTEXT=")+len(got)+1 > maxEnvString {
				t.Errorf("a context of %d bytes: variable set %v, want %v", len(start.Context), set, tc.want)
			}
		})
	}
}

// play1 returns the start of the first attempt.
func play1(t *testing.T, flow *heddle.Flow) Start {
	t.Helper()
	return play(t, flow, newRun(flow), script(t, nil)).starts["run1-1-1"]
}

func TestNoContextWhereTheFlowHasNone(t *testing.T) {
	t.Parallel()
	flow := contextFlow("")
	flow.Context = nil
	p := play(t, flow, newRun(flow), world{exit: func(heddle.Visit, int, string) heddle.Exit {
		return resultLine(`{"result":"success","context":{"a":1}}`)
	}})
	for id, start := range p.starts {
		if _, set := start.Env["KOG_CONTEXT"]; start.Context != nil || set {
			t.Errorf("attempt %s receives the context %s", id, start.Context)
		}
	}
	if v := p.of("a")[0]; v.Output != nil {
		t.Errorf("output %s", v.Output)
	}
}

func TestContextPassesSkippedSteps(t *testing.T) {
	t.Parallel()
	flow := flowOf([]heddle.Step{node("a"), node("b"), node("c")},
		[]heddle.Edge{edge1("a", "b", heddle.Failure), edge1("b", "c", heddle.Skipped)}, "a")
	flow.Context = json.RawMessage(`{"x":1}`)
	p := play(t, flow, newRun(flow), world{crashes: []int{2}, exit: script(t, nil).exit})
	if got := string(p.starts["run1-3-1"].Context); !strings.Contains(got, `"x":1`) || strings.Count(got, `"result"`) != 1 {
		t.Errorf("the step after the skipped one receives %s", got)
	}
}

func TestNeeds(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		env, paths []string
		context    string
		want       string // the message; "" is to run
	}{
		"nothing":                           {context: `{}`},
		"variables of step, input, matrix":  {env: []string{"OF_STEP", "OF_INPUT", "OF_AMBIENT"}, context: `{}`},
		"an empty variable exists":          {env: []string{"EMPTY"}, context: `{}`},
		"values that are empty exist":       {paths: []string{"s", "z", "f", "o", "l"}, context: `{"s":"","z":0,"f":false,"o":{},"l":[]}`},
		"paths into objects and arrays":     {paths: []string{"a.b.c", "l.1.x", "l.0"}, context: `{"a":{"b":{"c":1}},"l":[0,{"x":1}]}`},
		"reserved keys exist":               {paths: []string{"run_id", "task_name", "correlation_id"}, context: `{}`},
		"null is missing":                   {paths: []string{"a"}, context: `{"a":null}`, want: "context path a"},
		"past the end of an array":          {paths: []string{"l.1", "l.-1", "l.x"}, context: `{"l":[0]}`, want: "context path l.1, context path l.-1, context path l.x"},
		"through a string":                  {paths: []string{"a.b"}, context: `{"a":"b"}`, want: "context path a.b"},
		"all that is missing is named":      {env: []string{"X", "OF_STEP", "Y"}, paths: []string{"a", "p.q"}, context: `{"a":1}`, want: "variable X, variable Y, context path p.q"},
		"a history that does not exist yet": {paths: []string{"step_results"}, context: `{"step_results":[1]}`, want: "context path step_results"},
		"a flow without context":            {paths: []string{"a"}, want: "context path a"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flow := flowOf([]heddle.Step{with(state("a"), func(s *heddle.Step) {
				s.NeedsEnv, s.NeedsContext = tc.env, tc.paths
				s.Work.Env = map[string]string{"OF_STEP": "1", "EMPTY": ""}
			})}, nil, "a")
			flow.Context = json.RawMessage(tc.context)
			if tc.context == "" {
				flow.Context = nil
			}
			run := newRun(flow)
			run.Input.Env = map[string]string{"OF_INPUT": "1"}
			p := newPlayer(t, flow, run, script(t, nil))
			p.state = New(p.g, run, map[string]string{"OF_AMBIENT": "1"})
			p.play()
			v := p.of("a")[0]
			if tc.want == "" {
				if v.Outcome != heddle.Success {
					t.Errorf("visit %+v", v)
				}
				return
			}
			want := `step "a" requires what is missing: ` + tc.want
			if v.Outcome != heddle.Abort || v.Code != 126 || v.Message != want || len(p.starts) != 0 {
				t.Errorf("visit %+v, want %q", v, want)
			}
		})
	}
}

// TestEnvironment: lowest the step's own, then the matrix', the ambient, the run's.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	flow := flowOf([]heddle.Step{
		{Name: "g", Matrix: &heddle.Matrix{Env: []map[string]string{{"B": "matrix", "C": "matrix", "D": "matrix"}}}},
		with(node("x"), func(s *heddle.Step) {
			s.Group, s.Work.Env = "g", map[string]string{"A": "step", "B": "step", "C": "step", "D": "step"}
		}),
	}, nil, "g")
	run := newRun(flow)
	run.Input.Env = map[string]string{"D": "run"}
	p := newPlayer(t, flow, run, script(t, nil))
	p.state = New(p.g, run, map[string]string{"C": "ambient", "D": "ambient"})
	p.play()
	want := map[string]string{"A": "step", "B": "matrix", "C": "ambient", "D": "run"}
	if d := diff.Diff(want, p.starts["run1-2-1"].Env); d != "" {
		t.Error(d)
	}
	if got := flow.Steps[1].Work.Env["D"]; got != "step" {
		t.Errorf("the flow was changed: D is %q", got)
	}
}

func TestNotices(t *testing.T) {
	t.Parallel()
	flow := contextFlow(`{"x":1}`)
	flow.Workflow = "run"
	flow.Steps = append(flow.Steps, with(state("broken"), func(s *heddle.Step) { s.Broken = "no action" }))
	flow.Edges = append(flow.Edges, edge1("b", "broken"))
	run := newRun(flow)
	run.Input.Notify = []string{"console", "http://127.0.0.1/hook"}
	p := play(t, flow, run, world{exit: func(heddle.Visit, int, string) heddle.Exit { return resultLine(`{"result":"success"}`) }})
	var got []string
	for _, n := range p.notices {
		var body heddle.NoticeBody
		if err := json.Unmarshal(n.Body, &body); err != nil {
			t.Fatal(err)
		}
		if n.Run != "run1" || n.Event != heddle.NoticeStepStarted || !n.Due.Equal(n.Created) || body.Task != "test" ||
			body.Workflow != "run" || body.CorrelationID != "corr1" || body.Status != "running" ||
			!strings.Contains(string(body.Context), `"step_name":"`+body.Step+`"`) {
			t.Errorf("notice %+v, body %s", n, n.Body)
		}
		got = append(got, n.ID+" "+n.Target+" "+body.Step+" "+body.Action)
	}
	want := []string{
		"000000001-00 console a act", "000000001-01 http://127.0.0.1/hook a act",
		"000000002-00 console b act", "000000002-01 http://127.0.0.1/hook b act",
		"000000003-00 console broken ", "000000003-01 http://127.0.0.1/hook broken ",
	}
	if d := diff.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestNoticeOfTheEnd(t *testing.T) {
	t.Parallel()
	flow := contextFlow(`{"x":1}`)
	run := newRun(flow)
	run.Input.Notify = []string{"console", "ntfy://127.0.0.1/alerts"}
	p := play(t, flow, run, world{exit: func(v heddle.Visit, _ int, _ string) heddle.Exit {
		if v.Step == "b" {
			return resultLine(`{"result":"failure","message":"no luck"}`)
		}
		return resultLine(`{"result":"success"}`)
	}})
	var ends []heddle.Notice
	for _, n := range p.notices {
		if n.Event == heddle.NoticeRunEnded {
			ends = append(ends, n)
		} else if n.Target != "console" {
			t.Errorf("%s is told of %s", n.Target, n.Event)
		}
	}
	if len(ends) != 1 || ends[0].ID != "end-01" || ends[0].Target != "ntfy://127.0.0.1/alerts" {
		t.Fatalf("notices of the end: %+v", ends)
	}
	var body heddle.NoticeBody
	if err := json.Unmarshal(ends[0].Body, &body); err != nil {
		t.Fatal(err)
	}
	if body.Status != "failure" || body.Message != "no luck" || body.Task != "test" || body.Seconds <= 0 {
		t.Errorf("body %s", ends[0].Body)
	}
}
