package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest"
)

const job = `name: release
params: {target: {enum: [test, live], required: true}}
context: {app: {name: a}}
actions:
  build: {image: i, requirements: {env: [TOKEN]}}
  try: {image: i, retries: {limit: 2, delay: 1m}}
  plain: {image: i, result: exit-code}
workflows:
  run:
    start: {action: build, success: try, failure: tell, duration: 10m}
    try: {action: try, success: again}
    again: {action: plain, failure: again, success: tell}
    tell: {action: plain}
  other:
    start: {action: plain, duration: 1m}
`

const graph = `kind: Pipeline
concurrency: c
deadline: 1h
jobs:
  build: {image: i, run: x, pool: {name: p, weight: 2}}
  test:
    image: i
    run: x
    retries: 1
    dependsOn: [{job: build}]
    matrix: {values: {V: [1, 2, 3]}, limit: 1, failFast: true}
  deploy: {image: i, run: x, dependsOn: [{job: test}]}
  page: {image: i, run: x, timeout: 5m, dependsOn: [{job: test, conditions: {failure: true}}]}
  clean: {image: i, run: x, finally: true}
`

const handing = `kind: Pipeline
jobs:
  build: {image: i, run: x}
  test: {image: i, run: x, dependsOn: [{job: build}], env: {V: {fromOutput: build.v}, T: {fromFile: /no/such}}}
`

// play runs one scenario, given without its name.
func play(t *testing.T, document, text string) Result {
	t.Helper()
	f, err := Parse("s.yaml", []byte("scenarios:\n  - name: s\n    "+strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	results, err := f.Run(manifest.File{Name: "d.yaml", Data: []byte(document)})
	if err != nil {
		t.Fatal(err)
	}
	return results[0]
}

const given = "params: {target: test}\nenv: [TOKEN]\n"

func TestScenarios(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		document, text string
		want           Result
	}{
		"all succeed unless told otherwise": {
			document: job, text: given + `expect: {verdict: success, path: [start, try, again, tell], context: {params: {target: test}}, attempts: {try: 1}}`,
			want: Result{Passed: true, Verdict: heddle.Success, Path: []string{"start", "try", "again", "tell"}, Took: "0s"},
		},
		"a variable that is not there": {
			document: job, text: "params: {target: test}\nexpect: {verdict: abort, steps: {start: abort, try: not run}}",
			want: Result{Passed: true, Verdict: heddle.Abort, Message: `step "start" requires what is missing: variable TOKEN`, Path: []string{"start"}, Took: "0s"},
		},
		"retries with their back-off, and visits": {
			document: job, text: given + `
steps:
  try: [failure, failure, {context: {app: {n: 3.0}, other: [1]}, message: done}]
  again: [failure, {outcome: failure, code: 7}]
expect:
  verdict: success
  path: [start, try, again, again, again, tell]
  visits: {try: 1, again: 3, tell: 1}
  attempts: {try: 3}
  context: {app: {name: a, n: 3}}`,
			want: Result{Passed: true, Verdict: heddle.Success, Path: []string{"start", "try", "again", "again", "again", "tell"}, Took: "3m0s"},
		},
		"a timeout takes its time": {
			document: job, text: given + "workflow: other\nsteps: {start: timeout}\nexpect: {verdict: timeout}",
			want: Result{Passed: true, Verdict: heddle.Timeout, Message: `step "start" ran out of its duration of 1m0s`, Path: []string{"start"}, Took: "1m0s"},
		},
		"and so does an attempt that takes too long": {
			document: job, text: given + "steps: {start: {takes: 11m}}\nexpect: {verdict: timeout, path: [start]}",
			want: Result{Passed: true, Verdict: heddle.Timeout, Message: `step "start" ran out of its duration of 10m0s`, Path: []string{"start"}, Took: "10m0s"},
		},
		"what differs is told": {
			document: job, text: given + `
steps: {start: {outcome: failure, message: it broke, context: {app: {name: b}}}}
expect:
  verdict: success
  path: [start, try]
  steps: {start: success, try: skipped, tell: success}
  context: {app: {name: a, n: 1}}
  visits: {tell: 2}
  attempts: {start: 3}`,
			want: Result{
				Verdict: heddle.Failure, Message: "it broke", Path: []string{"start", "tell"}, Took: "0s", Differences: []Difference{
					{What: "verdict", Expected: "success", Got: "failure: it broke"},
					{What: "path", Expected: "start, try", Got: "start, tell"},
					{What: "steps.start", Expected: "success", Got: "failure"},
					{What: "steps.try", Expected: "skipped", Got: "not run"},
					{What: "context.app.name", Expected: `"a"`, Got: `"b"`},
					{What: "context.app.n", Expected: "1", Got: "nothing"},
					{What: "visits.tell", Expected: "2", Got: "1"},
					{What: "attempts.start", Expected: "3", Got: "1"},
				},
			},
		},
		"a loop without end is given up": {
			document: job, text: given + "max_visits: 5\nsteps: {again: failure}\nexpect: {verdict: success}",
			want: Result{Path: []string{"start", "try", "again", "again", "again", "again", "again", "again"}, Took: "0s", Differences: []Difference{
				{What: "verdict", Expected: "success", Got: `none: step "again" was to be visited more than 5 times: it may never end (max_visits raises the bound)`},
			}},
		},
		"a cancel while a step runs": {
			document: job, text: given + "cancel_at: try\nexpect: {verdict: abort, steps: {try: abort, again: not run}}",
			want: Result{Passed: true, Verdict: heddle.Abort, Message: "the run was cancelled: the scenario says so", Path: []string{"start", "try"}, Took: "0s"},
		},
		"a cancel that never comes": {
			document: job, text: given + "cancel_at: try\nsteps: {start: {outcome: failure, message: broke}}\nexpect: {verdict: failure}",
			want: Result{Verdict: heddle.Failure, Message: "broke", Path: []string{"start", "tell"}, Took: "0s", Differences: []Difference{
				{What: "cancel_at", Expected: "try to run", Got: "a run in which it never did"},
			}},
		},
		"a graph, its skipped jobs and finally": {
			document: graph, text: "expect: {verdict: success, path: [build, test, deploy, clean], steps: {page: skipped, test: success}, attempts: {test: 3}}",
			want: Result{Passed: true, Verdict: heddle.Success, Path: []string{"build", "test", "deploy", "clean"}, Took: "0s"},
		},
		"a matrix takes the outcomes in order": {
			document: graph, text: "steps: {test: [success, failure, failure], page: timeout}\nexpect: {verdict: failure, path: [build, test, page, clean], steps: {deploy: skipped, page: timeout}, attempts: {test: 3}}",
			want: Result{Passed: true, Verdict: heddle.Failure, Message: "exit code 1", Path: []string{"build", "test", "page", "clean"}, Took: "5m0s"},
		},
		"what takes less time ends first": {
			document: strings.Replace(graph, "limit: 1, ", "", 1), text: "steps: {test: [{takes: 2m}, {outcome: failure, takes: 1m}, {takes: 3m}, failure]}\nexpect: {verdict: failure, attempts: {test: 4}}",
			want: Result{Passed: true, Verdict: heddle.Failure, Message: "exit code 1", Path: []string{"build", "test", "page", "clean"}, Took: "1m0s"},
		},
		"the deadline of the run": {
			document: graph, text: "steps: {build: {takes: 2h}}\nexpect: {verdict: timeout, steps: {clean: success}}",
			want: Result{Passed: true, Verdict: heddle.Timeout, Message: "the run's deadline of 2000-01-01T01:00:00Z has passed", Path: []string{"build", "clean"}, Took: "1h0m0s"},
		},
		"outputs that are asked for": {
			document: handing, text: "steps: {build: {outputs: {v: 1}}}\nexpect: {verdict: success}",
			want: Result{Passed: true, Verdict: heddle.Success, Path: []string{"build", "test"}, Took: "0s"},
		},
		"an output that is missing": {
			document: handing, text: "steps: {build: {outputs: {w: 1}}}\nexpect: {verdict: failure, steps: {test: failure}}",
			want: Result{Passed: true, Verdict: heddle.Failure, Message: `variable V: step "build" has ended with success and put out no "v", but w`, Path: []string{"build", "test"}, Took: "0s"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.want.Scenario = "s"
			if diff := cmp.Diff(tc.want, play(t, tc.document, tc.text)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestFaultsOfScenarios(t *testing.T) {
	t.Parallel()
	one := func(rest string) string {
		return "scenarios:\n  - name: s\n    params: {target: test}\n" + rest + "\n    expect: {verdict: success}\n"
	}
	tests := map[string]struct {
		document, text string
		want           []string
	}{
		"nothing":        {text: "{}", want: []string{"s.yaml:1:1: there must be scenarios: a list with one at least"}},
		"not a document": {text: "[", want: []string{"reading scenarios: s.yaml:1:"}},
		"keys that nobody knows, at every level": {text: one("    step: {}\n    steps: {start: {outcom: success}}") + "scenario: x\n", want: []string{
			`s.yaml:4:5: scenarios[0].step: the key is not known; did you mean "steps"?`,
			`s.yaml:5:21: scenarios[0].steps.start.outcom: the key is not known; did you mean "outcome"?`,
			`s.yaml:7:1: scenario: the key is not known; did you mean "scenarios"?`,
		}},
		"what is needed": {text: "scenarios:\n  - {}\n  - {name: a, expect: {}}\n  - {name: a, expect: {verdict: success}}\n", want: []string{
			"s.yaml:2:5: scenarios[0]: a scenario needs a name",
			"s.yaml:2:5: scenarios[0]: a scenario needs the key expect, with a verdict at least",
			"s.yaml:3:23: scenarios[1].expect: an expectation needs a verdict",
			`s.yaml:4:12: scenarios[2].name: there is another scenario called "a"`,
		}},
		"values": {text: "scenarios:\n  - name: a\n    steps: {start: sucess, try: [{code: 256}]}\n    expect: {verdict: skipped, steps: {start: never}, visits: {start: x}}\n", want: []string{
			`s.yaml:3:20: scenarios[0].steps.start: must be one of success, failure, abort, timeout, is "sucess"; did you mean "success"?`,
			"s.yaml:3:41: scenarios[0].steps.try[0].code: an exit code is at most 255, is 256",
			`s.yaml:4:23: scenarios[0].expect.verdict: must be one of success, failure, abort, timeout, is "skipped"`,
			`s.yaml:4:47: scenarios[0].expect.steps.start: must be one of success, failure, abort, timeout, skipped, not run, is "never"`,
			`s.yaml:4:71: scenarios[0].expect.visits.start: must be a whole number from 0 to 2147483647, is the text "x"`,
		}},
		"steps that the document does not have": {
			text: "scenarios:\n  - name: a\n    params: {target: test}\n    steps: {stort: failure}\n    cancel_at: trx\n    expect: {verdict: success, path: [start, tel], steps: {x: success}, visits: {y: 1}, attempts: {z: 1}}\n", want: []string{
				`s.yaml:4:20: scenarios[0].steps.stort: the document has no step "stort"; did you mean "start"?`,
				`s.yaml:5:16: scenarios[0].cancel_at: the document has no step "trx"; did you mean "try"?`,
				`s.yaml:6:46: scenarios[0].expect.path[1]: the document has no step "tel"; did you mean "tell"?`,
				`s.yaml:6:63: scenarios[0].expect.steps.x: the document has no step "x"`,
				`s.yaml:6:85: scenarios[0].expect.visits.y: the document has no step "y"`,
				`s.yaml:6:103: scenarios[0].expect.attempts.z: the document has no step "z"`,
			},
		},
		"outcomes that cannot be": {text: one("    steps: {tell: [timeout, {context: {a: 1}}, {outcome: success, code: 3}], start: {takes: 1h, context: {a: 1}}}"), want: []string{
			`s.yaml:4:20: scenarios[0].steps.tell[0]: step "tell" has no longest time that it could run out of`,
			`s.yaml:4:29: scenarios[0].steps.tell[1]: step "tell" adds nothing to the context: its program is judged by its exit code (result: exit-code)`,
			`s.yaml:4:48: scenarios[0].steps.tell[2]: step "tell" is judged by its exit code, which does not fit the outcome`,
			`s.yaml:4:85: scenarios[0].steps.start: step "start" adds nothing to the context when it runs out of its time`,
		}},
		"or not in a pipeline": {document: graph, text: "scenarios:\n  - name: a\n    context: {a: 1}\n    steps: {build: [abort, {context: {}}]}\n    expect: {verdict: success, context: {}}\n", want: []string{
			`s.yaml:3:14: scenarios[0].context: a pipeline has no context`,
			`s.yaml:4:21: scenarios[0].steps.build[0]: step "build" cannot end as an abort: its program is judged by its exit code`,
			`s.yaml:4:28: scenarios[0].steps.build[1]: step "build" hands no context on`,
			`s.yaml:5:41: scenarios[0].expect.context: a pipeline has no context`,
		}},
		"outputs that are none": {document: handing, text: one("    steps: {build: {outputs: 1}}"), want: []string{
			"s.yaml:4:30: scenarios[0].steps.build.outputs: must be a map, is 1",
		}},
		"outputs that nobody asks for": {document: handing, text: "scenarios:\n  - name: s\n    steps: {test: {outputs: {v: 1}}}\n    expect: {verdict: success}\n", want: []string{
			`s.yaml:3:19: scenarios[0].steps.test: step "test" puts nothing out: no job asks for its outputs, and its program does not name HEDDLE_OUTPUT`,
		}},
		"a document at fault with the scenario's params": {text: strings.Replace(one(""), "target: test", "target: prod", 1), want: []string{
			`d.yaml:2:18: params.target: the value given must be one of test, live, is "prod"`,
			`s.yaml:2:5: scenarios[0]: the document is at fault, with what this scenario gives it`,
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.document == "" {
				tc.document = job
			}
			f, err := Parse("s.yaml", []byte(tc.text))
			if err == nil {
				_, err = f.Run(manifest.File{Name: "d.yaml", Data: []byte(tc.document)})
			}
			if heddle.CodeOf(err) != heddle.CodeInvalid {
				t.Fatalf("got %v", err)
			}
			got := strings.Split(err.Error(), "\n")
			if strings.HasPrefix(got[0], tc.want[0]) {
				got[0] = tc.want[0]
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestTheExamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../examples/*.test.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Parse(file, data)
		if err != nil {
			t.Error(err)
			continue
		}
		document, err := os.ReadFile(filepath.Join(filepath.Dir(file), f.Document))
		if err != nil {
			t.Fatal(err)
		}
		results, err := f.Run(manifest.File{Name: f.Document, Data: document})
		if err != nil {
			t.Error(err)
		}
		for _, r := range results {
			if !r.Passed {
				t.Errorf("%s: %s: %+v", file, r.Scenario, r.Differences)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"scenarios: [~, 1, [], {expect: []}]", "scenarios: {}", "scenarios: [{name: a, steps: [], expect: {path: [[x], ~], steps: {a: []}}}]",
		"scenarios: [{name: a, steps: {start: [], try: ~}, cancel_at: [x], context: [], env: {}, expect: {verdict: [], context: 1}}]",
		"scenarios: [{name: a, params: {target: test}, steps: {start: [[x]]}, max_visits: 2, expect: {verdict: success, context: {a: {b: [1]}}}}]",
		"scenarios: [{name: a, params: {target: test}, env: [TOKEN, ~], cancel_at: try, steps: {start: {takes: 1h}, again: failure}, max_visits: 9, expect: {verdict: success}}]",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse("s.yaml", []byte(text))
		if err != nil {
			if heddle.CodeOf(err) != heddle.CodeInvalid {
				t.Fatal(err)
			}
			return
		}
		for _, document := range []string{job, graph} {
			if _, err := file.Run(manifest.File{Name: "d.yaml", Data: []byte(document)}); err != nil && heddle.CodeOf(err) != heddle.CodeInvalid {
				t.Fatalf("%v\n%s", err, text)
			}
		}
	})
}
