package cli

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const planned = `name: planned
params:
  target: {enum: [test, live], required: true}
  count: {type: integer, default: 2}
  note: {}
context: {app: {name: a}}
actions:
  a:
    image: "app:${{ params.target }}"
    env: {OWN: x}
    requirements: {env: [OWN, FLAG, FILE, HERE, GONE], context_paths: [app.name, given, run_id, gone]}
  b: {image: other, output: {context: {made: 1}}}
  c: {image: other, requirements: {context_paths: [made, unmade]}}
workflows:
  run:
    start: {action: a, success: b}
    b: {action: b, success: c}
    c: {action: c}
    never: {action: a}
`

func TestPlan(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"job.yaml": planned, "env": "FILE=1\nFLAG=2\n", "context.json": `{"given": 1, "gone": null}`})
	c := newConsole(t, "HERE=1", "GONE=1")
	args := strings.Fields("plan --env FLAG=1 --import-current-env --ignore-env GO* --executor process -o json")
	args = append(args, "-f", filepath.Join(dir, "job.yaml"), "--env-file", filepath.Join(dir, "env"), "--context", filepath.Join(dir, "context.json"))
	if code := c.run(t, args...); code != exitTrouble {
		t.Errorf("exit code %d", code)
	}
	wantTold := `heddle: missing: a value for the param target
heddle: missing: the variable GONE (for start)
heddle: missing: the context path gone (for start)
`
	if diff := cmp.Diff(wantTold, c.err.String()); diff != "" {
		t.Errorf("told: -want +got\n%s", diff)
	}
	var got plan
	if err := json.Unmarshal(c.out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	two, start := "2", []string{"start"}
	want := plan{
		File: filepath.Join(dir, "job.yaml"), Kind: "Job", Name: "planned", Workflow: "run", Executor: "process", Why: "asked for", Start: start,
		Images: []planImage{{Image: "app:test", Steps: start}, {Image: "other:latest", Steps: []string{"b", "c"}}},
		Params: []planParam{
			{Name: "target", Type: "string", Source: "missing"}, {Name: "count", Type: "integer", Value: &two, Source: "default"},
			{Name: "note", Type: "string", Source: "none"},
		},
		Variables: []planNeed{
			{Name: "OWN", Steps: start, Source: "the document"}, {Name: "FLAG", Steps: start, Source: "--env"}, {Name: "FILE", Steps: start, Source: "--env-file"},
			{Name: "HERE", Steps: start, Source: "--import-current-env"}, {Name: "GONE", Steps: start, Source: "missing"},
		},
		Sources: []planNeed{},
		Context: []planNeed{
			{Name: "app.name", Steps: start, Source: "the document"}, {Name: "given", Steps: start, Source: "--context"},
			{Name: "run_id", Steps: start, Source: "every context"}, {Name: "gone", Steps: start, Source: "missing"},
			{Name: "made", Steps: []string{"c"}, Source: "output of step b"}, {Name: "unmade", Steps: []string{"c"}, Source: "a step before, which does not declare it"},
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(plan{}, "Warnings", "Missing", "Graph")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if len(got.Missing) != 3 || len(got.Warnings) == 0 || !strings.Contains(got.Graph, "* start (a)\n      success -> b\n") {
		t.Errorf("got %+v", got)
	}
}

func TestPlanTellsWhichSecretsAreMissing(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"token": "s3cret\n", "p.yaml": `kind: Pipeline
env: {TOKEN: {fromFile: token}, GONE: {fromFile: gone}, GIVEN: {fromEnv: NO_SUCH}}
jobs:
  a: {image: i, run: x, env: {E: {fromEnv: HERE}, F: {fromEnv: NOT_HERE}, K: {fromSecret: n/k}}}
  b: {image: i, run: x, env: {V: {fromOutput: a.v}}, dependsOn: [{job: a}]}
`})
	c := newConsole(t, "HERE=s3cret")
	if code := c.run(t, "plan", "--executor", "process", "--env", "GIVEN=1", "-o", "json", "-f", filepath.Join(dir, "p.yaml")); code != exitTrouble {
		t.Errorf("exit code %d", code)
	}
	var got plan
	if err := json.Unmarshal(c.out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	a, both := []string{"a"}, []string{"a", "b"}
	want := []planNeed{
		{Name: "E", Steps: a, Source: "variable HERE of heddle"}, {Name: "F", Steps: a, Source: "missing"},
		{Name: "GONE", Steps: both, Source: "missing"}, {Name: "K", Steps: a, Source: "Kubernetes Secret n/k"},
		{Name: "TOKEN", Steps: both, Source: "file " + filepath.Join(dir, "token")}, {Name: "V", Steps: []string{"b"}, Source: "output a.v"},
	}
	if diff := cmp.Diff(want, got.Sources); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	wantTold := `heddle: missing: variable F: the variable NOT_HERE (fromEnv) is not set in the environment of heddle: set it where heddle is started (for a)
heddle: missing: variable GONE: the file ` + filepath.Join(dir, "gone") + ` (fromFile) is not there: make it, or name another (for a, b)
heddle: missing: step "a": the variable K comes from a Kubernetes Secret (fromSecret: n/k), which the process executor cannot read: give it a value with --env, or use fromFile or fromEnv
`
	if diff := cmp.Diff(wantTold, c.err.String()); diff != "" {
		t.Errorf("told: -want +got\n%s", diff)
	}
	if strings.Contains(c.out.String(), "s3cret") {
		t.Error("the plan shows a secret")
	}
}

func TestPlanOfADocumentThatLacksNothing(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"job.yaml": job})
	c := newConsole(t)
	if code := c.run(t, "plan", "-f", filepath.Join(dir, "job.yaml")); code != 0 || c.err.Len() > 0 {
		t.Errorf("exit code %d, told %q", code, c.err.String())
	}
	want := `Document:  Job "the job"
Start:     start
Executor:  process (no step names an image)

the job / run
* start (a)
`
	if diff := cmp.Diff(want, c.out.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestPlanTellsTheFaultsOfTheDocumentAsItIs(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"job.yaml": strings.Replace(planned, "success: b", "duration: soon", 1)})
	c := newConsole(t)
	if code := c.run(t, "plan", "-f", filepath.Join(dir, "job.yaml")); code != exitTrouble || c.out.Len() > 0 {
		t.Errorf("exit code %d, %q", code, c.out.String())
	}
	for _, want := range []string{"job.yaml:3:11: params.target: the param needs a value", "workflows.run.start.duration: must be a duration"} {
		if !strings.Contains(c.err.String(), want) {
			t.Errorf("%q lacks %q", c.err.String(), want)
		}
	}
}

func TestPlanWithoutAnExecutor(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"job.yaml": strings.Replace(job, "command:", "image: alpine, command:", 1)})
	c := newConsole(t, "DOCKER_HOST=unix://"+filepath.Join(dir, "none.sock"))
	if code := c.run(t, "plan", "-f", filepath.Join(dir, "job.yaml")); code != exitTrouble {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(c.out.String(), "Executor:  cannot tell: ") || c.err.String() != "heddle: missing: an executor\n" {
		t.Errorf("%q, %q", c.out.String(), c.err.String())
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	for _, kind := range schemaKinds() {
		c := newConsole(t)
		if code := c.run(t, "schema", kind.Kind); code != 0 || !json.Valid(c.out.Bytes()) || !strings.Contains(c.out.String(), `"urn:heddle:schema:`+kind.Kind+`"`) {
			t.Errorf("%s: exit code %d, %q", kind.Kind, code, c.out.String())
		}
		c = newConsole(t)
		if code := c.run(t, "schema"); code != 0 || !strings.Contains(c.out.String(), kind.Kind+" ") {
			t.Errorf("exit code %d, %q", code, c.out.String())
		}
	}
	c := newConsole(t)
	if code := c.run(t, "schema", "pipelin"); code != exitTrouble || !strings.Contains(c.err.String(), `did you mean "pipeline"?`) {
		t.Errorf("exit code %d, %q", code, c.err.String())
	}
}
