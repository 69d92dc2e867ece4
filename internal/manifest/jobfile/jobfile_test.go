package jobfile

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/manifest/params"
)

func parseOK(t *testing.T, text string, o Options) *Result {
	t.Helper()
	r, err := Parse("job.yaml", []byte(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func printed(faults []doc.Fault) []string {
	var lines []string
	for _, f := range faults {
		lines = append(lines, strings.ReplaceAll(f.String(), "warning: ", ""))
	}
	return lines
}

func TestTheJobWithEverythingOfKog(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/abort-test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r := parseOK(t, string(text), Options{})
	got := *r.Flow
	got.Source = nil
	image := "quay.io/f5-pwe/auto-result:1.0.1"
	step := func(name, action string, work heddle.Work) heddle.Step {
		return heddle.Step{Name: name, Action: action, Work: &work, Gate: heddle.GateAny, Result: heddle.ResultLine, Unstartable: heddle.Abort}
	}
	start := step("start", "auto-success", heddle.Work{Image: image})
	start.Timeout = 30 * time.Minute
	build := step("build", "auto-abort", heddle.Work{Image: image,
		Env: map[string]string{"RESULT": "abort", "RESULT_CODE": "15", "MESSAGE": "stopped on purpose"}})
	build.Timeout = 90 * time.Minute
	build.NeedsEnv = []string{"TEST"}
	build.NeedsContext = []string{"build.product.version", "build.host"}
	finalize := step("finalize", "auto-remediatesuccess", heddle.Work{})
	finalize.Broken = `step "finalize" uses the action "auto-remediatesuccess", which is not defined`
	bad := []heddle.Outcome{heddle.Failure, heddle.Abort, heddle.Timeout}
	want := heddle.Flow{
		Kind: heddle.KindJob, Name: "abort test", Workflow: "run", Start: []string{"start"},
		Steps: []heddle.Step{start, build, step("notify", "auto-success", heddle.Work{Image: image}), finalize},
		Edges: []heddle.Edge{
			{From: "start", To: "build", On: []heddle.Outcome{heddle.Success}},
			{From: "start", To: "notify", On: bad},
			{From: "build", To: "finalize", On: []heddle.Outcome{heddle.Success}},
			{From: "build", To: "notify", On: bad[:2]},
			{From: "build", To: "build", On: bad[2:]},
			{From: "notify", To: "finalize", On: append([]heddle.Outcome{heddle.Success}, bad...)},
		},
		Context: json.RawMessage(`{"build":{"product":{"name":"heddle"}}}`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	wantWarnings := []string{
		`job.yaml:33:15: workflows.run.finalize.action: step "finalize" uses the action "auto-remediatesuccess", which is not defined: reaching it is an abort`,
		`job.yaml:60:11: actions.auto-abort.requirements.context_paths[0]: step "build" needs build.product.version, which neither the context nor an action before it provides`,
	}
	if diff := cmp.Diff(wantWarnings, printed(r.Warnings)); diff != "" {
		t.Errorf("warnings: -want +got\n%s", diff)
	}

	other := parseOK(t, string(text), Options{Workflow: "remediate"})
	if f := other.Flow; f.Workflow != "remediate" || len(f.Steps) != 2 || f.Steps[0].Timeout != 90*time.Second {
		t.Errorf("the other workflow: %+v", f)
	}
	late := parseOK(t, string(text), Options{Step: "notify"})
	if diff := cmp.Diff([]string{"notify"}, late.Flow.Start); diff != "" {
		t.Errorf("the other start: %s", diff)
	}
	spared := parseOK(t, string(text), Options{Context: json.RawMessage(`{"build":{"product":{"version":1}}}`)})
	if len(spared.Warnings) != 1 {
		t.Errorf("with the path given: %v", printed(spared.Warnings))
	}
}

// job returns a job file with one step and one action, each with more lines.
func job(top, step, action string) string {
	indent := func(lines, by string) string {
		return strings.ReplaceAll(strings.TrimSuffix(lines, "\n")+"\n", "\n", "\n"+by)
	}
	return "name: j\n" + top + "workflows:\n  run:\n    start:\n      action: a\n      " + indent(step, "      ") +
		"\nactions:\n  a:\n    " + indent(action, "    ") + "\n"
}

func TestWhatAStepBecomes(t *testing.T) {
	t.Parallel()
	line := func(s heddle.Step) heddle.Step {
		s.Name, s.Action, s.Gate, s.Unstartable = "start", "a", heddle.GateAny, heddle.Abort
		if s.Result == "" {
			s.Result = heddle.ResultLine
		}
		return s
	}
	image := &heddle.Work{Image: "i:latest"}
	tests := map[string]struct {
		top, step, action string
		want              heddle.Step
	}{
		"version keeps its text":               {action: "image: i\nversion: 1.10", want: line(heddle.Step{Work: &heddle.Work{Image: "i:1.10"}})},
		"version defaults to latest":           {action: "image: i", want: line(heddle.Step{Work: image})},
		"digest":                               {action: "image: r:5000/i\nversion: 'sha256:ab'", want: line(heddle.Step{Work: &heddle.Work{Image: "r:5000/i@sha256:ab"}})},
		"registry with a port is no tag":       {action: "image: r:5000/i", want: line(heddle.Step{Work: &heddle.Work{Image: "r:5000/i:latest"}})},
		"image with a tag":                     {action: "image: busybox:1.36", want: line(heddle.Step{Work: &heddle.Work{Image: "busybox:1.36"}})},
		"image with a digest":                  {action: "image: b@sha256:ab", want: line(heddle.Step{Work: &heddle.Work{Image: "b@sha256:ab"}})},
		"env keeps the text of scalars":        {action: "image: i\nenv: {A: 1.10, B: true, C: yes, D: '', E: , F: 0x1F, G: null}", want: line(heddle.Step{Work: &heddle.Work{Image: "i:latest", Env: map[string]string{"A": "1.10", "B": "true", "C": "yes", "D": "", "E": "", "F": "0x1F", "G": ""}}})},
		"command as a list":                    {action: "command: [echo, 1.10, true]", want: line(heddle.Step{Work: &heddle.Work{Command: []string{"echo", "1.10", "true"}}})},
		"command as one string":                {action: "command: echo hi; exit 3", want: line(heddle.Step{Work: &heddle.Work{Command: []string{"sh", "-c", "echo hi; exit 3"}}})},
		"entrypoint as one string":             {action: "entrypoint: env", want: line(heddle.Step{Work: &heddle.Work{Entrypoint: []string{"sh", "-c", "env"}}})},
		"a list with an empty item":            {action: "command: [echo, '']", want: line(heddle.Step{Work: &heddle.Work{Command: []string{"echo", ""}}})},
		"no image and nothing to run":          {action: "env: {A: b}", want: line(heddle.Step{Work: &heddle.Work{Env: map[string]string{"A": "b"}}, Broken: `the action "a" of step "start" has no image`})},
		"result by exit code":                  {action: "image: i\nresult: exit-code", want: line(heddle.Step{Work: image, Result: heddle.ResultExitCode})},
		"duration in Go's form":                {step: "duration: 1h30m", action: "image: i", want: line(heddle.Step{Work: image, Timeout: 90 * time.Minute})},
		"duration in seconds":                  {step: "duration: 1.5", action: "image: i", want: line(heddle.Step{Work: image, Timeout: 1500 * time.Millisecond})},
		"duration 0 is no limit":               {step: "duration: 0", action: "image: i", want: line(heddle.Step{Work: image})},
		"retries as a number":                  {step: "retries: 3", action: "image: i", want: line(heddle.Step{Work: image, Retry: heddle.Retry{Limit: 3}})},
		"retries of the action":                {action: "image: i\nretries: {limit: 2, delay: 1s, factor: 1.5, max_delay: 1m}", want: line(heddle.Step{Work: image, Retry: heddle.Retry{Limit: 2, Delay: time.Second, Factor: 1.5, MaxDelay: time.Minute}})},
		"retries of the step win":              {step: "retries: 0", action: "image: i\nretries: 2", want: line(heddle.Step{Work: image})},
		"max_visits":                           {step: "max_visits: 7", action: "image: i", want: line(heddle.Step{Work: image, MaxVisits: 7})},
		"requirements":                         {action: "image: i\nrequirements: {env: [A], context_paths: [task_name]}", want: line(heddle.Step{Work: image, NeedsEnv: []string{"A"}, NeedsContext: []string{"task_name"}})},
		"without params a reference is a text": {action: "image: i\nenv: {A: '${{ params.x }}'}", want: line(heddle.Step{Work: &heddle.Work{Image: "i:latest", Env: map[string]string{"A": "${{ params.x }}"}}})},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := parseOK(t, job(tc.top, tc.step, tc.action), Options{})
			if diff := cmp.Diff([]heddle.Step{tc.want}, r.Flow.Steps); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestTheFlowAsAWhole(t *testing.T) {
	t.Parallel()
	text := "{\"name\": \"j\", \"current_workflow\": \"yes\", \"current_step\": \"on\", \"correlation_id\": \"c1\",\n\t\"deadline\": \"2m\", \"status\": [\"ignored\"],\n" +
		`"stop_on_failure": true, "actions": {"a": {"image": "i"}}, "context": {"n": 1.50, "x": null},` +
		`"workflows": {"other": {"start": {"action": "a"}}, "yes": {"z": {"action": "a"}, "on": {"action": "a", "success": "no", "failure": "z", "abort": ""}, "no": {"action": "a", "timeout": "z"}}}}`
	r := parseOK(t, text, Options{})
	f := r.Flow
	if r.CorrelationID != "c1" || f.Deadline != 2*time.Minute || f.Workflow != "yes" {
		t.Errorf("got %+v", r)
	}
	if diff := cmp.Diff(`{"correlation_id":"c1","n":1.50,"x":null}`, string(f.Context)); diff != "" {
		t.Errorf("context: %s", diff)
	}
	wantEdges := []heddle.Edge{{From: "on", To: "no", On: []heddle.Outcome{heddle.Success}}}
	if diff := cmp.Diff(wantEdges, f.Edges); diff != "" {
		t.Errorf("stop_on_failure keeps only success: -want +got\n%s", diff)
	}
	var order []string
	for _, s := range f.Steps {
		order = append(order, s.Name)
	}
	if diff := cmp.Diff([]string{"z", "on", "no"}, order); diff != "" {
		t.Errorf("order: %s", diff)
	}
	if len(r.Warnings) != 0 {
		t.Errorf("warnings: %v", printed(r.Warnings))
	}
	if !json.Valid(f.Source) || !strings.Contains(string(f.Source), `"stop_on_failure":true`) {
		t.Errorf("source: %s", f.Source)
	}
	if c := parseOK(t, job("", "", "image: i"), Options{}).Flow.Context; string(c) != "{}" {
		t.Errorf("context of a job without one: %s", c)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	ok := "image: i"
	tests := map[string]struct {
		text    string
		options Options
		want    []string
	}{
		"nothing there": {text: "{}", want: []string{"1:1: a job needs a name", "1:1: a job needs workflows: a map of workflow names to maps of steps"}},
		"a misspelt key beside the error": {text: "name: j\nworkflow: {run: {start: {}}}\n", want: []string{
			"1:1: a job needs workflows: a map of workflow names to maps of steps", `2:1: warning: workflow: the key is not known and is ignored; did you mean "workflows"?`}},
		"name empty":             {text: strings.Replace(job("", "", ok), "name: j", "name: ''", 1), want: []string{"1:7: name: a job needs a name"}},
		"workflows empty":        {text: "name: j\nworkflows: {}\n", want: []string{"2:12: workflows: a job needs workflows: a map of workflow names to maps of steps"}},
		"workflows a list":       {text: "name: j\nworkflows: [run]\n", want: []string{"2:12: workflows: must be a map, is a list", "2:12: workflows: a job needs workflows: a map of workflow names to maps of steps"}},
		"no such workflow":       {text: job("current_workflow: rum\n", "", ok), want: []string{`2:19: current_workflow: there is no workflow "rum"; did you mean "run"?`}},
		"no such step":           {text: job("current_step: begin\n", "", ok), want: []string{`2:15: current_step: the workflow "run" has no step "begin" to begin with`}},
		"no such step by option": {text: job("", "", ok), options: Options{Step: "stat"}, want: []string{`1:1: the workflow "run" has no step "stat" to begin with; did you mean "start"?`}},
		"a step that is a word":  {text: "name: j\nworkflows: {run: {start: a}}\n", want: []string{`2:26: workflows.run.start: must be a map, is the text "a"`}},
		"negative duration":      {text: job("", "duration: -5s", ok), want: []string{`6:17: workflows.run.start.duration: a duration cannot be negative, is the text "-5s"`}},
		"duration of words":      {text: job("", "duration: soon", ok), want: []string{`6:17: workflows.run.start.duration: must be a duration such as 90s, 1h30m or a number of seconds, is the text "soon"`}},
		"a word for a boolean":   {text: job("stop_on_failure: yes\n", "", ok), want: []string{`2:18: stop_on_failure: must be true or false, is the text "yes"`}},
		"context a list":         {text: job("context: [1]\n", "", ok), want: []string{"2:10: context: must be a map, is a list"}},
		"several at once": {text: job("deadline: x\n", "success: [a]\nretries: -1\nmax_visits: many", "image: {a: b}\nresult: maybe\nenv: [A]\nrequirements: {env: A}\nretries: {factor: 0.5}"), want: []string{
			`2:11: deadline: must be a duration such as 90s, 1h30m or a number of seconds, is the text "x"`,
			"7:16: workflows.run.start.success: must be a single value, is a list",
			"8:16: workflows.run.start.retries: must be a whole number from 0 to 2147483647, is -1",
			`9:19: workflows.run.start.max_visits: must be a whole number from 0 to 2147483647, is the text "many"`,
			"13:12: actions.a.image: must be a single value, is a map",
			`14:13: actions.a.result: must be line or exit-code, is "maybe"`,
			"15:10: actions.a.env: must be a map, is a list",
			`16:25: actions.a.requirements.env: must be a list, is the text "A"`,
			"17:23: actions.a.retries.factor: must be at least 1, is 0.5"}},
		"a fault in another workflow":         {text: "name: j\nworkflows:\n  run: {start: {}}\n  other: {x: {duration: -1}}\n", want: []string{"4:25: workflows.other.x.duration: a duration cannot be negative, is -1"}},
		"a name that is no variable":          {text: job("", "", "image: i\nenv: {'A=B': c}"), want: []string{`11:18: actions.a.env."A=B": "A=B" cannot be the name of a variable`}},
		"a key twice":                         {text: job("", "action: b", ok), want: []string{"6:7: workflows.run.start.action: the key stands in line 5 already"}},
		"a param's value without declaration": {text: job("", "", ok), options: Options{Params: map[string]string{"x": "1"}}, want: []string{`1:1: a value is given for the param "x", but the job declares no params`}},
		"faults of params": {text: job("params:\n  count: {type: integer, default: 1.5}\n  level: {enum: [low, high]}\n  must: {required: true}\n  odd.name: {}\n  t: {type: date}\n", "", "image: i\nenv: {A: '${{ params.cuont }}'}"),
			options: Options{Params: map[string]string{"level": "mid", "leve": "low"}}, want: []string{
				`3:3: params: a value is given for the param "leve", which the job does not declare; did you mean "level"?`,
				`3:35: params.count.default: must be a whole number, is "1.5"`,
				`4:10: params.level: the value given must be one of low, high, is "mid"`,
				"5:9: params.must: the param needs a value",
				`6:13: params."odd.name": "odd.name" cannot be the name of a param: letters, digits, _ and - can`,
				`7:13: params.t.type: must be one of string, integer, number, boolean, is "date"`,
				`17:14: actions.a.env.A: the param "cuont" is not declared; did you mean "count"?`}},
		"params beside a context of that key": {text: job("params: {a: {}}\ncontext: {params: 1}\n", "", ok), want: []string{"3:19: context.params: must be a map: the job's params are put there"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("f", []byte(tc.text), tc.options)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff("f:"+strings.Join(tc.want, "\nf:"), err.Error()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if heddle.CodeOf(err) != heddle.CodeInvalid {
				t.Errorf("code %s", heddle.CodeOf(err))
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	actions := "actions:\n  a: {image: i}\n  gives: {image: i, output: {context: {x: {y: nil}, list: [nil], any: nil}}}\n" +
		"  wants: {image: i, requirements: {context_paths: [x.y]}}\n  deep: {image: i, requirements: {context_paths: [any.thing, list.0, x.z]}}\n"
	run := func(steps string) string {
		return "name: j\nworkflows: {run: {" + steps + "}}\n" + actions
	}
	tests := map[string]struct {
		text string
		want []string
	}{
		"nothing to say":                                    {text: run("start: {action: gives, success: b}, b: {action: wants}")},
		"a step without action":                             {text: run("start: {}"), want: []string{`2:26: workflows.run.start: step "start" has no action: reaching it is an abort`}},
		"an undefined action":                               {text: run("start: {action: give}"), want: []string{`2:35: workflows.run.start.action: step "start" uses the action "give", which is not defined: reaching it is an abort; did you mean "gives"?`}},
		"a missing target":                                  {text: run("start: {action: a, failure: stat}"), want: []string{`2:47: workflows.run.start.failure: there is no step "stat" in this workflow: leading there is an abort; did you mean "start"?`}},
		"a step never reached":                              {text: run("start: {action: a, success: start}, b: {action: a, success: start}"), want: []string{`2:58: workflows.run.b: nothing leads from "start" to this step: it never runs`}},
		"provided only later":                               {text: run("start: {action: wants, success: b}, b: {action: gives}"), want: []string{`6:52: actions.wants.requirements.context_paths[0]: step "start" needs x.y, which neither the context nor an action before it provides`}},
		"provided round a loop":                             {text: run("start: {action: wants, failure: b}, b: {action: gives, success: start}")},
		"provided two steps ago":                            {text: run("start: {action: gives, success: b}, b: {action: a, success: c}, c: {action: wants}")},
		"placeholders may be anything, absent keys may not": {text: run("start: {action: gives, success: b}, b: {action: deep}"), want: []string{`7:70: actions.deep.requirements.context_paths[2]: step "b" needs x.z, which neither the context nor an action before it provides`}},
		"null in the context is missing":                    {text: run("start: {action: wants}") + "context: {x: {y: null}}\n", want: []string{`6:52: actions.wants.requirements.context_paths[0]: step "start" needs x.y, which neither the context nor an action before it provides`}},
		"empty in the context is there":                     {text: run("start: {action: wants}") + "context: {x: {y: ''}}\n"},
		"unknown keys": {text: run("start: {action: a, sucess: start, note: x}"), want: []string{
			`2:38: workflows.run.start.sucess: the key is not known and is ignored; did you mean "success"?`, `2:53: workflows.run.start.note: the key is not known and is ignored`}},
		"context as a variable": {text: job("", "", "image: i\nenv: {KOG_CONTEXT: x}"), want: []string{"11:24: actions.a.env.KOG_CONTEXT: the variable is always set to the context: this value is not used"}},
		"two tags":              {text: job("", "", "image: i:1\nversion: 2"), want: []string{"11:14: actions.a.version: the image i:1 carries a version already: 2 beside it makes no valid reference"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := printed(parseOK(t, tc.text, Options{}).Warnings)
			for i := range got {
				got[i] = strings.TrimPrefix(got[i], "job.yaml:")
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestDanglingTargetsStayInTheFlow(t *testing.T) {
	t.Parallel()
	r := parseOK(t, job("", "failure: gone\nabort: gone", "image: i"), Options{})
	want := []heddle.Edge{{From: "start", To: "gone", On: []heddle.Outcome{heddle.Failure, heddle.Abort}}}
	if diff := cmp.Diff(want, r.Flow.Edges); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestParams(t *testing.T) {
	t.Parallel()
	text := job(`params:
  tag: {default: 1.10, description: of the image}
  count: {type: integer, required: true}
  rate: {type: number, default: 0.50}
  dry: {type: boolean, default: true}
  level: {enum: [low, high], default: low}
  note: {}
context: {params: {own: 1}}
`, "", `image: i${{params.note}}
version: ${{ params.tag }}
env: {COUNT: 'n=${{ params.count }}/${{ params.count }}', OTHER: '${{ secrets.x }}'}
command: [echo, '${{ params.level }}']
entrypoint: echo ${{ params.dry }}`)
	r := parseOK(t, text, Options{Params: map[string]string{"count": "-3", "level": "high"}})
	want := &heddle.Work{Image: "i:1.10", Env: map[string]string{"COUNT": "n=-3/-3", "OTHER": "${{ secrets.x }}"},
		Command: []string{"echo", "high"}, Entrypoint: []string{"sh", "-c", "echo true"}}
	if diff := cmp.Diff(want, r.Flow.Steps[0].Work); diff != "" {
		t.Errorf("work: -want +got\n%s", diff)
	}
	wantContext := `{"params":{"count":-3,"dry":true,"level":"high","own":1,"rate":0.50,"tag":"1.10"}}`
	if diff := cmp.Diff(wantContext, string(r.Flow.Context)); diff != "" {
		t.Errorf("context: -want +got\n%s", diff)
	}
	tag := "1.10"
	if diff := cmp.Diff(params.Param{Name: "tag", Type: "string", Description: "of the image", Default: &tag}, r.Params[0]); diff != "" {
		t.Errorf("declaration: -want +got\n%s", diff)
	}
}

func FuzzParse(f *testing.F) {
	text, err := os.ReadFile("testdata/abort-test.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Add(job("params: {p: {type: integer}}\ncontext: {params: 1}\n", "retries: {limit: 1}", "command: ['${{ params.p }}']\nrequirements: {context_paths: [a, ~, [b]]}"))
	f.Add("name: j\nworkflows: {run: {start: ~, '': {success: [x]}}}\nactions: {a: ~, b: [c]}\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse("f", []byte(text), Options{Params: map[string]string{"p": "1"}})
		if err != nil {
			return
		}
		if !json.Valid(r.Flow.Context) || len(r.Flow.Steps) == 0 || len(r.Flow.Start) != 1 {
			t.Fatalf("got %+v", r.Flow)
		}
	})
}
