package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

func TestVariablesFromElsewhere(t *testing.T) {
	t.Parallel()
	text := `
kind: Pipeline
shared: true
params: {p: {default: vault}}
env: {COMMON: {fromFile: /c}, OVER: {fromEnv: A}, COVERED: plain}
jobs:
  a.b: {image: i, run: x}
  m: {image: i, run: x, matrix: {values: {X: [1]}}}
  n: {image: i, run: 'echo v=1 > "$HEDDLE_OUTPUT"'}
  c:
    image: i
    run: x
    env:
      FILE: {fromFile: "secrets/${{ params.p }}"}
      ENV: {fromEnv: TOKEN}
      SECRET: {fromSecret: name.space/the_Key}
      ONE: {fromOutput: a.b.version}
      ALL: {fromOutput: m.x-y}
      OVER: plain
      COVERED: {fromEnv: B}
    dependsOn: [{job: a.b}, {job: between}]
  between: {image: i, run: x, dependsOn: [{job: m}]}
  last: {image: i, run: x, finally: true, env: {V: {fromOutput: a.b.v}}}
`
	flow := decode(t, text, Options{Dir: "/docs"}).Flow
	if !flow.Shared {
		t.Error("the jobs share nothing")
	}
	asked, common := &heddle.MessageFile{Env: "HEDDLE_OUTPUT"}, map[string]heddle.Source{"COMMON": {File: "/c"}, "OVER": {Env: "A"}}
	plain := map[string]string{"COVERED": "plain"}
	type variables struct {
		Env     map[string]string
		From    map[string]heddle.Source
		Message *heddle.MessageFile
	}
	want := map[string]variables{
		"a.b": {plain, common, asked}, "m[]": {plain, common, asked}, "n": {plain, common, asked}, "between": {plain, common, nil},
		"c": {map[string]string{"OVER": "plain"}, map[string]heddle.Source{
			"COMMON": {File: "/c"}, "FILE": {File: "/docs/secrets/vault"}, "ENV": {Env: "TOKEN"}, "SECRET": {Secret: "name.space/the_Key"},
			"ONE": {Output: "a.b.version"}, "ALL": {Output: "m.x-y"}, "COVERED": {Env: "B"},
		}, nil},
		"last": {plain, map[string]heddle.Source{"COMMON": {File: "/c"}, "OVER": {Env: "A"}, "V": {Output: "a.b.v"}}, nil},
	}
	got := map[string]variables{}
	for _, s := range flow.Steps {
		if s.Work != nil {
			got[s.Name] = variables{s.Work.Env, s.Work.From, s.Work.Message}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestFaultsOfVariables(t *testing.T) {
	t.Parallel()
	const relative = `must be an absolute path, is "a/b": the document is no file of this machine that it could be relative to`
	for name, tc := range map[string]struct{ value, want string }{
		"no key":              {"{}", ": must have one key, one of fromFile, fromEnv, fromSecret and fromOutput; has 0"},
		"two keys":            {"{fromEnv: A, fromFile: /f}", ": must have one key, one of fromFile, fromEnv, fromSecret and fromOutput; has 2"},
		"an unknown key":      {"{formEnv: A}", `.formEnv: the key is not known; did you mean "fromEnv"?`},
		"a list":              {"[1]", ": must be a single value, is a list"},
		"no value":            {"{fromEnv: }", ".fromEnv: must have a value, is empty"},
		"an empty value":      {"{fromEnv: ''}", ".fromEnv: must have a value, is empty"},
		"a number":            {"{fromEnv: 1}", ".fromEnv: must be a string, is 1: quotes make it one"},
		"no name":             {"{fromEnv: A=1}", `.fromEnv: cannot be the name of a variable: "A=1"`},
		"a relative path":     {"{fromFile: a/b}", ".fromFile: " + relative},
		"a secret and no key": {"{fromSecret: name}", `.fromSecret: must be NAME/KEY of a Secret, is "name"`},
		"an output alone":     {"{fromOutput: a}", `.fromOutput: must be JOB.NAME, is "a"`},
		"an unknown job":      {"{fromOutput: aa.v}", `.fromOutput: there is no job "aa"`},
		"a misspelt job":      {"{fromOutput: longname2.v}", `.fromOutput: there is no job "longname2"; did you mean "longname"?`},
		"the job itself":      {"{fromOutput: b.v}", `.fromOutput: "b" is this job itself: what it puts out is there when it has ended`},
		"a job beside it":     {"{fromOutput: longname.v}", `.fromOutput: the job "b" does not wait for "longname": add {job: longname} to its dependsOn`},
		"a job after it":      {"{fromOutput: c.v}", `.fromOutput: the job "b" does not wait for "c": add {job: c} to its dependsOn`},
		"a finally job":       {"{fromOutput: f.v}", `.fromOutput: the job "b" does not wait for "f": add {job: f} to its dependsOn`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := "kind: Pipeline\njobs:\n  a: {image: i, run: x}\n  longname: {image: i, run: x}\n  c: {image: i, run: x, dependsOn: [{job: b}]}\n" +
				"  f: {image: i, run: x, finally: true}\n  b:\n    image: i\n    run: x\n    dependsOn: [{job: a}]\n    env:\n      V: " + tc.value + "\n"
			column := 10
			if strings.HasPrefix(tc.want, ".") {
				column++ // the key
			}
			if at := strings.Index(tc.value, ": "); column == 11 && at > 0 && !strings.Contains(tc.want, "not known") {
				column += at + 1
			}
			checkFaults(t, text, []string{fmt.Sprintf("12:%d: jobs.b.env.V%s", column, tc.want)})
		})
	}
	checkFaults(t, "kind: Pipeline\nenv: {V: {fromOutput: a.v}}\njobs: {a: {image: i, run: x}}\n",
		[]string{`2:11: env.V.fromOutput: the key is not known`})
	checkFaults(t, "kind: Pipeline\njobs: {a: 1, b: {image: i, run: x, env: {V: {fromOutput: a.v}}}}\n", []string{
		"2:11: jobs.a: must be a map, is 1",
		`2:58: jobs.b.env.V.fromOutput: the job "b" does not wait for "a": add {job: a} to its dependsOn`,
	})
}

func TestOutputsFromFarAwayAreCheckedWithinABound(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("kind: Pipeline\njobs:\n  j0: {image: i, run: x}\n")
	for i := range 3000 {
		fmt.Fprintf(&text, "  j%d: {image: i, run: x, dependsOn: [{job: j%d}], env: {V: {fromOutput: j0.v}}}\n", i+1, i)
	}
	checkFaults(t, text.String(), []string{fmt.Sprintf("%d:%d: jobs.j2000.env.V.fromOutput: so many jobs ask for outputs of jobs far before them that it cannot be checked", 2003, 78)})
}
