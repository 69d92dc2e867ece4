package machine

import (
	"strings"
	"testing"

	diff "github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

// left is the exit of a program that left a text in its message file.
func left(code int, text string) heddle.Exit {
	return heddle.Exit{Reason: heddle.Exited, Code: code, Termination: text}
}

// giver is a step whose program can put something out.
func giver(name string) heddle.Step {
	return with(node(name), func(s *heddle.Step) { s.Work.Message = &heddle.MessageFile{Env: "HEDDLE_OUTPUT"} })
}

// taker is a step with a variable GIVEN.
func taker(name string, from heddle.Source) heddle.Step {
	return with(node(name), func(s *heddle.Step) { s.Work.From = map[string]heddle.Source{"GIVEN": from} })
}

func TestWhatAProgramPutsOut(t *testing.T) {
	t.Parallel()
	printed := func(text string) heddle.Exit { return resultLine(text) }
	for name, tc := range map[string]struct {
		exit    heddle.Exit
		plain   bool // the step has no message file
		kind    heddle.Kind
		want    string
		outcome heddle.Outcome
		message string
	}{
		"lines": {
			exit: left(0, "# comment\n\nversion=1.2=3\r\nempty=\n  # x\n_a-b= c "),
			want: `{"_a-b":" c ","empty":"","version":"1.2=3"}`, outcome: heddle.Success,
		},
		"the last of two lines":        {exit: left(0, "a=1\na=2"), want: `{"a":"2"}`, outcome: heddle.Success},
		"an object":                    {exit: left(0, "\n {\"a\": [1, 2.50], \"b\": null}\n"), want: `{"a":[1,2.50],"b":null}`, outcome: heddle.Success},
		"a printed line":               {exit: printed(`{"a":{"b":1}}`), want: `{"a":{"b":1}}`, outcome: heddle.Success},
		"nothing":                      {exit: left(0, ""), outcome: heddle.Success},
		"of one that fails":            {exit: left(3, "a=1"), want: `{"a":"1"}`, outcome: heddle.Failure, message: "exit code 3"},
		"malformed, of one that fails": {exit: left(3, "a"), outcome: heddle.Failure, message: "exit code 3"},
		"malformed line":               {exit: left(0, "a=1\nb c=2\n"), outcome: heddle.Failure, message: `malformed output: line 2 of the file is not name=value: "b c=2"`},
		"malformed object":             {exit: left(0, "{a: 1}"), outcome: heddle.Failure, message: "malformed output: the text of the file is not a JSON object: invalid character 'a' looking for beginning of object key string"},
		"a name that is none":          {exit: left(0, `{"a.b": 1}`), outcome: heddle.Failure, message: `malformed output: the text of the file has the name "a.b": letters, digits, _ and - can be in a name, a letter or _ first`},
		"malformed printed line":       {exit: printed(`xyz`), outcome: heddle.Failure, message: "malformed output: the line KOG:xyz is not a JSON object: invalid character 'x' looking for beginning of value"},
		"a printed null":               {exit: printed(`null`), outcome: heddle.Failure, message: "malformed output: the line KOG:null is not a JSON object: it is null"},
		"as much as may have been cut": {exit: left(0, "a="+strings.Repeat("x", 4094)), outcome: heddle.Failure, message: "malformed output: the file has 4096 bytes or more; what is too long for it can be printed, as a line KOG:{...}"},
		"a file that is not all there": {
			exit: heddle.Exit{Reason: heddle.Exited, Termination: "a=1", TerminationFault: "it has 4096 bytes or more"}, outcome: heddle.Failure,
			message: "malformed output: the file cannot be read as a whole: it has 4096 bytes or more; what is too long for it can be printed, as a line KOG:{...}",
		},
		"any line, when nobody asks":      {exit: printed(`xyz`), plain: true, outcome: heddle.Success},
		"an event chain keeps the text":   {exit: left(0, "a=<1>\n"), kind: heddle.KindChain, want: `{"message":"a=<1>\n"}`, outcome: heddle.Success},
		"an event chain without any text": {exit: left(1, ""), kind: heddle.KindChain, outcome: heddle.Failure, message: "exit code 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flow := &heddle.Flow{Kind: tc.kind, Name: "f", Start: []string{"a"}, Steps: []heddle.Step{giver("a")}}
			if tc.plain {
				flow.Steps[0].Work.Message = nil
			}
			p := play(t, flow, newRun(flow), world{exit: func(heddle.Visit, int, string) heddle.Exit { return tc.exit }})
			v := p.of("a")[0]
			if v.Outcome != tc.outcome || v.Message != tc.message || string(v.Output) != tc.want {
				t.Errorf("%s %q %s", v.Outcome, v.Message, v.Output)
			}
		})
	}
	exit := heddle.Exit{Result: []byte(`{"a":"line","b":1}`), ResultSize: 18, Termination: "a=file"}
	named, fault := readOutputs(&exit)
	if fault != "" || string(named["a"]) != `"file"` || string(named["b"]) != "1" {
		t.Errorf("the file does not win over the line: %s %v", fault, named)
	}
	exit = heddle.Exit{Result: []byte("{"), ResultSize: heddle.MaxResult + 1}
	if _, fault := readOutputs(&exit); !strings.Contains(fault, "1048577 bytes") {
		t.Errorf("a line that is too long: %q", fault)
	}
}

func TestVariablesFromOutputs(t *testing.T) {
	t.Parallel()
	flow := &heddle.Flow{
		Kind: heddle.KindPipeline, Name: "f", Start: []string{"a", "m"},
		Steps: []heddle.Step{
			giver("a"), with(node("m"), func(s *heddle.Step) {
				s.Work, s.Tolerate = nil, true
				s.Matrix = &heddle.Matrix{Env: []map[string]string{{}, {}, {}}}
			}),
			with(giver("m[]"), func(s *heddle.Step) { s.Group = "m" }),
			taker("b", heddle.Source{Output: "a.v"}), taker("c", heddle.Source{Output: "m.v"}),
			taker("d", heddle.Source{Output: "a.w"}), taker("e", heddle.Source{Output: "a.none"}),
			taker("f", heddle.Source{Output: "m.none"}), taker("g", heddle.Source{Output: "b.v"}),
			taker("h", heddle.Source{Output: "a.nul"}), taker("i", heddle.Source{Output: "a.long"}),
			taker("j", heddle.Source{Output: "e.v"}),
		},
	}
	for _, s := range flow.Steps[3:] {
		from, _, _ := strings.Cut(s.Work.From["GIVEN"].Output, ".")
		flow.Edges = append(flow.Edges, edge1(from, s.Name, heddle.Outcomes()...))
	}
	exit := func(v heddle.Visit, _ int, _ string) heddle.Exit {
		switch {
		case v.Step == "a":
			return resultLine(`{"v":"<1>","w":{"x":[1, 2]},"nul":"a\u0000b","long":"` + strings.Repeat("x", 128<<10) + `"}`)
		case v.Step == "m[]" && v.Index == 1:
			return left(1, "other=1")
		case v.Step == "m[]":
			return left(0, "v="+string(rune('a'+v.Index)))
		}
		return heddle.Exit{Reason: heddle.Exited}
	}
	want := map[string]string{
		"b": "<1>", "c": `["a",null,"c"]`, "d": `{"x":[1,2]}`,
		"e": `variable GIVEN: step "a" has ended with success and put out no "none", but long, nul, v, w`,
		"f": `variable GIVEN: none of the matrix "m" has put out "none"`,
		"g": `variable GIVEN: step "b" has ended with success and put out no "v", nor anything else`,
		"h": "variable GIVEN: the output holds the character 0, which a variable cannot",
		"i": "variable GIVEN: the output has 131072 bytes, more than a variable can",
		"j": `variable GIVEN: step "e" has ended with failure and put out no "v", nor anything else`,
	}
	for _, crashes := range [][]int{nil, {3, 6, 8, 11}} {
		p := play(t, flow, newRun(flow), world{exit: exit, crashes: crashes})
		got := map[string]string{}
		for _, start := range p.starts {
			if name := start.Step.Name; len(start.Step.Work.From) > 0 {
				got[name] = start.Env["GIVEN"] + start.Refuse
			}
		}
		if d := diff.Diff(want, got); d != "" {
			t.Errorf("crashes %v: -want +got\n%s", crashes, d)
		}
		a := p.tries[heddle.NewAttemptID("run1", p.of("e")[0].No, 1)]
		if a.Status != heddle.StatusProcError || a.Message != want["e"] {
			t.Errorf("the attempt without its output: %+v", a)
		}
	}
}

func TestAStepThatWasSkippedHasNoOutput(t *testing.T) {
	t.Parallel()
	flow := &heddle.Flow{
		Kind: heddle.KindPipeline, Name: "f", Start: []string{"a"},
		Steps: []heddle.Step{node("a"), giver("b"), taker("c", heddle.Source{Output: "b.v"})},
		Edges: []heddle.Edge{edge1("a", "b", heddle.Failure), edge1("b", "c", heddle.Skipped)},
	}
	p := play(t, flow, newRun(flow), script(t, nil))
	if v := p.of("c")[0]; v.Message != `variable GIVEN: step "b", whose output "v" it needs, was skipped` || p.run.Outcome != heddle.Failure {
		t.Errorf("%+v", v)
	}
}

func TestARetryTakesOutputsOver(t *testing.T) {
	t.Parallel()
	flow := &heddle.Flow{
		Kind: heddle.KindPipeline, Name: "f", Start: []string{"a"},
		Steps: []heddle.Step{giver("a"), taker("b", heddle.Source{Output: "a.v"})},
		Edges: []heddle.Edge{edge1("a", "b")},
	}
	ends := func(code int) world {
		return world{exit: func(v heddle.Visit, _ int, _ string) heddle.Exit {
			if v.Step == "a" {
				return left(0, "v=1")
			}
			return left(code, "")
		}}
	}
	p := play(t, flow, newRun(flow), ends(1))
	visits, tries := p.rows()
	old := &heddle.RunDetail{Run: p.run, Flow: flow, Visits: visits, Attempts: tries}
	for _, mode := range []heddle.RetryMode{heddle.RetryFailed, heddle.RetryOnly} {
		r := heddle.RunRetry{Mode: mode}
		if mode == heddle.RetryOnly {
			r.Step = "b"
		}
		plan, err := PlanRetry(nil, old, r)
		if err != nil {
			t.Fatal(err)
		}
		run := newRun(flow)
		run.Input.Retry = &plan.RunRetry
		again := newPlayer(t, flow, run, ends(0))
		again.do(Begin{Retry: &plan})
		again.crash()
		again.play()
		if len(again.starts) != 1 {
			t.Errorf("%s: %d attempts are started", mode, len(again.starts))
		}
		for _, start := range again.starts {
			if start.Env["GIVEN"] != "1" || again.run.Outcome != heddle.Success {
				t.Errorf("%s: %q, %s", mode, start.Env["GIVEN"]+start.Refuse, again.run.Outcome)
			}
		}
	}
}

func TestAWorkWithoutSourcesIsTheSameAfterItWasStored(t *testing.T) {
	t.Parallel()
	if !sameWork(&heddle.Work{From: map[string]heddle.Source{}}, &heddle.Work{}) {
		t.Error("an empty map of sources makes a difference")
	}
	if sameWork(&heddle.Work{From: map[string]heddle.Source{"A": {Env: "A"}}}, &heddle.Work{}) {
		t.Error("a source makes none")
	}
}

func TestWhatLedToAVisit(t *testing.T) {
	t.Parallel()
	both := func(name string) heddle.Step {
		return with(state(name), func(s *heddle.Step) {
			s.Work.Message = &heddle.MessageFile{Path: "/m"}
			s.Work.From = map[string]heddle.Source{"BY": {Cause: heddle.CauseName}, "SAID": {Cause: heddle.CauseMessage}}
		})
	}
	flow := &heddle.Flow{
		Kind: heddle.KindChain, Name: "f", Initiator: "cron", Data: "nightly", Start: []string{"a"},
		Steps: []heddle.Step{both("a"), both("b"), with(both("last"), func(s *heddle.Step) { s.Finally, s.Gate = true, heddle.GateAll })},
		Edges: []heddle.Edge{edge1("a", "b"), edge1("b", "a", heddle.Failure)},
	}
	exit := func(v heddle.Visit, _ int, _ string) heddle.Exit {
		code := 0
		if v.Step == "b" && v.Nth == 1 {
			code = 1
		}
		if v.Step == "a" && v.Nth == 2 {
			return left(code, "")
		}
		return left(code, v.Step+" is done")
	}
	want := map[heddle.AttemptID]string{
		"run1-1-1": "cron nightly", "run1-2-1": "a a is done", "run1-3-1": "b b is done", "run1-4-1": "a ", "run1-5-1": "cron nightly",
	}
	for _, crashes := range [][]int{nil, {1, 2, 3, 4, 5, 6}} {
		p := play(t, flow, newRun(flow), world{exit: exit, crashes: crashes})
		got := map[heddle.AttemptID]string{}
		for id, start := range p.starts {
			got[id] = start.Env["BY"] + " " + start.Env["SAID"]
		}
		if d := diff.Diff(want, got); d != "" {
			t.Errorf("crashes %v: -want +got\n%s", crashes, d)
		}
	}
}

func TestAValueCoversASource(t *testing.T) {
	t.Parallel()
	step := with(node("m[]"), func(s *heddle.Step) {
		s.Group = "m"
		s.Work.Env = map[string]string{"PLAIN": "1"}
		s.NeedsEnv = []string{"FILE"}
		s.Work.From = map[string]heddle.Source{
			"FILE": {File: "/f"}, "MATRIX": {File: "/f"}, "AMBIENT": {Env: "X"}, "GIVEN": {Secret: "n/k"}, "SECRET": {Secret: "n/k"},
		}
	})
	flow := &heddle.Flow{
		Kind: heddle.KindPipeline, Name: "f", Start: []string{"m"},
		Steps: []heddle.Step{with(node("m"), func(s *heddle.Step) {
			s.Work, s.Matrix = nil, &heddle.Matrix{Env: []map[string]string{{"MATRIX": "m"}}}
		}), step},
	}
	run := newRun(flow)
	run.Input.Env = map[string]string{"GIVEN": "g"}
	s := New(compile(t, flow), run, map[string]string{"AMBIENT": "a"})
	for _, e := range []Event{Begin{}, Place{At: "here"}} {
		if err := s.Advance(e, epoch()); err != nil {
			t.Fatal(err)
		}
	}
	_, effects, _ := s.Take()
	start := effects[0].(Start)
	if d := diff.Diff(map[string]string{"PLAIN": "1", "MATRIX": "m", "AMBIENT": "a", "GIVEN": "g"}, start.Env); d != "" {
		t.Error(d)
	}
	if d := diff.Diff(map[string]heddle.Source{"FILE": {File: "/f"}, "SECRET": {Secret: "n/k"}}, start.From); d != "" {
		t.Error(d)
	}
}

func TestCompileChecksSources(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		source heddle.Source
		env    map[string]string
		want   string
	}{
		"no such step":       {source: heddle.Source{Output: "x.v"}, want: `the output "x.v"`},
		"no name":            {source: heddle.Source{Output: "a"}, want: `the output "a"`},
		"two sources":        {source: heddle.Source{File: "/f", Env: "X"}, want: "not one source"},
		"none":               {source: heddle.Source{}, want: "not one source"},
		"an unknown cause":   {source: heddle.Source{Cause: "x"}, want: "not one source"},
		"a value beside it":  {source: heddle.Source{File: "/f"}, env: map[string]string{"GIVEN": ""}, want: "a value and a source"},
		"of another step":    {source: heddle.Source{Output: "a.v"}},
		"of the environment": {source: heddle.Source{Env: "X"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := taker("b", tc.source)
			b.Work.Env = tc.env
			_, err := Compile(&heddle.Flow{Steps: []heddle.Step{node("a"), b}})
			if (err != nil) != (tc.want != "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v", err)
			}
		})
	}
}
