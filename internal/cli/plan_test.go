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
