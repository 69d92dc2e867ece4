package pipeline

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/machine"
	"github.com/heddle/heddle/internal/manifest/doc"
)

func program(image, run string) *heddle.Work {
	return &heddle.Work{Image: image, Entrypoint: []string{"sh", "-c", run}}
}

func TestTheFlowOfAPipelineOfChainr(t *testing.T) {
	t.Parallel()
	text := `{"kind": "Pipeline", "jobs": {
		"z": {"image": "busybox", "run": ""},
		"b": {"run": "echo $HOME", "image": "r.io/x:1", "dependsOn": []},
		"a": {"image": "busybox", "run": "x", "dependsOn": [{"job": "z"}, {"job": "b", "conditions": {"failure": true}}, {"job": "z", "conditions": {}}]}}}`
	got := decode(t, text, Options{Name: "file"}).Flow
	step := func(name string, work *heddle.Work) heddle.Step {
		return heddle.Step{Name: name, Gate: heddle.GateAll, Work: work, Result: heddle.ResultExitCode}
	}
	success := []heddle.Outcome{heddle.Success}
	want := &heddle.Flow{
		Kind: heddle.KindPipeline, Name: "file", Start: []string{"z", "b"},
		Steps: []heddle.Step{step("z", program("busybox", "")), step("b", program("r.io/x:1", "echo $HOME")), step("a", program("busybox", "x"))},
		Edges: []heddle.Edge{
			{From: "z", To: "a", On: success},
			{From: "b", To: "a", On: []heddle.Outcome{heddle.Failure, heddle.Abort, heddle.Timeout}},
			{From: "z", To: "a", On: success},
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(heddle.Flow{}, "Source")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if !json.Valid(got.Source) || !strings.HasPrefix(string(got.Source), `{"kind":"Pipeline","jobs":{"z":{"image":"busybox","run":""},"b":`) {
		t.Errorf("source: %s", got.Source)
	}
	empty := decode(t, "kind: Pipeline\njobs: {}\n", Options{}).Flow
	if empty.Name != "pipeline" || empty.Start == nil || len(empty.Steps) != 0 {
		t.Errorf("without jobs: %+v", empty)
	}
}

func TestTheKeysThatHeddleAdds(t *testing.T) {
	t.Parallel()
	text := `
kind: Pipeline
name: own
deadline: 1h
maxParallel: 4
env: {A: common, B: 1.10, WHO: "${{ params.who }}"}
params:
  who: {default: world}
jobs:
  plain:
    image: "i:${{ params.who }}"
    run: echo ${{ params.who }}
    env: {A: own}
    timeout: 90
    retries: {limit: 2, delay: 1s, factor: 1.5, maxDelay: 1m}
    tolerate: true
    workdir: /tmp/${{ params.who }}
  last:
    image: i
    run: x
    finally: true
    retries: 3
  grid:
    image: i
    run: x
    timeout: 5s
    tolerate: true
    env: {C: "3"}
    matrix:
      values: {OS: [linux, "${{ params.who }}"], GO: [1.25, 1.26]}
      exclude: [{OS: linux, GO: 1.25}]
      include: [{OS: plan9, CGO: false}]
      limit: 2
      failFast: true
    dependsOn: [{job: plain}]
`
	r := decode(t, text, Options{Name: "file", Params: map[string]string{"who": "moon"}})
	work := func(image, run, dir string, env map[string]string) *heddle.Work {
		w := program(image, run)
		w.Env, w.Dir = env, dir
		return w
	}
	all := heddle.GateAll
	want := &heddle.Flow{
		Kind: heddle.KindPipeline, Name: "own", Deadline: time.Hour, MaxParallel: 4, Start: []string{"plain"},
		Steps: []heddle.Step{
			{Name: "plain", Gate: all, Work: work("i:moon", "echo moon", "/tmp/moon", map[string]string{"A": "own", "B": "1.10", "WHO": "moon"}),
				Timeout: 90 * time.Second, Retry: heddle.Retry{Limit: 2, Delay: time.Second, Factor: 1.5, MaxDelay: time.Minute},
				Tolerate: true, Result: heddle.ResultExitCode},
			{Name: "last", Gate: all, Work: work("i", "x", "", map[string]string{"A": "common", "B": "1.10", "WHO": "moon"}),
				Retry: heddle.Retry{Limit: 3}, Finally: true, Result: heddle.ResultExitCode},
			{Name: "grid", Gate: all, Tolerate: true, Matrix: &heddle.Matrix{Limit: 2, FailFast: true, Env: []map[string]string{
				{"OS": "linux", "GO": "1.26"}, {"OS": "moon", "GO": "1.25"}, {"OS": "moon", "GO": "1.26"}, {"OS": "plan9", "CGO": "false"},
			}}},
			{Name: "grid[]", Group: "grid", Gate: all, Timeout: 5 * time.Second, Result: heddle.ResultExitCode,
				Work: work("i", "x", "", map[string]string{"A": "common", "B": "1.10", "WHO": "moon", "C": "3"})},
		},
		Edges: []heddle.Edge{{From: "plain", To: "grid", On: []heddle.Outcome{heddle.Success, heddle.Failure, heddle.Abort, heddle.Timeout}}},
	}
	if diff := cmp.Diff(want, r.Flow, cmpopts.IgnoreFields(heddle.Flow{}, "Source")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if len(r.Params) != 1 || len(r.Warnings) != 0 {
		t.Errorf("params %v, warnings %v", r.Params, r.Warnings)
	}
}

// TestFaults begins with what chainr refuses too, and goes on with what it takes
// and fails later, or never.
func TestFaults(t *testing.T) {
	t.Parallel()
	job := func(rest string) string { return "kind: Pipeline\njobs:\n  a:\n    image: i\n    run: x\n" + rest }
	tests := map[string]struct {
		text string
		want []string
	}{
		"nothing":                  {text: "{}", want: []string{"1:1: a pipeline needs the key kind with the value Pipeline", "1:1: a pipeline needs the key jobs: a map of job names to jobs"}},
		"no jobs":                  {text: "kind: Pipeline", want: []string{"1:1: a pipeline needs the key jobs: a map of job names to jobs"}},
		"no kind":                  {text: "jobs: {}", want: []string{"1:1: a pipeline needs the key kind with the value Pipeline"}},
		"another kind":             {text: "kind: Run\njobs: {}", want: []string{`1:7: kind: must be Pipeline, is "Run"`}},
		"kind of another type":     {text: "kind: 1\njobs: {}", want: []string{`1:7: kind: must be a string, is 1: quotes make it one`}},
		"kind null":                {text: "kind: ~\njobs: {}", want: []string{`1:7: kind: must have a value, is empty`}},
		"jobs null":                {text: "kind: Pipeline\njobs:\n", want: []string{`2:6: jobs: must have a value, is empty`}},
		"jobs a list":              {text: "kind: Pipeline\njobs: []\n", want: []string{`2:7: jobs: must be a map, is a list`}},
		"a job that is null":       {text: "kind: Pipeline\njobs: {a: ~}\n", want: []string{`2:11: jobs.a: must be a map, is empty`}},
		"a job that is a word":     {text: "kind: Pipeline\njobs: {a: x}\n", want: []string{`2:11: jobs.a: must be a map, is the text "x"`}},
		"no image, no run":         {text: "kind: Pipeline\njobs: {a: {}}\n", want: []string{"2:11: jobs.a: a job needs the key image", "2:11: jobs.a: a job needs the key run"}},
		"image and run null":       {text: "kind: Pipeline\njobs: {a: {image: ~, run: ~}}\n", want: []string{"2:19: jobs.a.image: must have a value, is empty", "2:27: jobs.a.run: must have a value, is empty"}},
		"image and run no strings": {text: "kind: Pipeline\njobs: {a: {image: 5, run: [x]}}\n", want: []string{"2:19: jobs.a.image: must be a string, is 5: quotes make it one", "2:27: jobs.a.run: must be a string, is a list"}},
		"run a boolean":            {text: "kind: Pipeline\njobs: {a: {image: i, run: true}}\n", want: []string{"2:27: jobs.a.run: must be a string, is true: quotes make it one"}},
		"dependsOn null":           {text: job("    dependsOn:\n"), want: []string{"6:15: jobs.a.dependsOn: must have a value, is empty"}},
		"dependsOn a map":          {text: job("    dependsOn: {job: a}\n"), want: []string{"6:16: jobs.a.dependsOn: must be a list, is a map"}},
		"dependsOn with words":     {text: job("    dependsOn: [a, ~]\n"), want: []string{`6:17: jobs.a.dependsOn[0]: must be a map, is the text "a"`, `6:20: jobs.a.dependsOn[1]: must be a map, is empty`}},
		"an entry without job":     {text: job("    dependsOn: [{}]\n"), want: []string{"6:17: jobs.a.dependsOn[0]: an entry of dependsOn needs the key job"}},
		"an entry's job a number":  {text: job("    dependsOn: [{job: 1}]\n"), want: []string{"6:23: jobs.a.dependsOn[0].job: must be a string, is 1: quotes make it one"}},
		"conditions null":          {text: job("  b: {image: i, run: x, dependsOn: [{job: a, conditions: ~}]}\n"), want: []string{"6:58: jobs.b.dependsOn[0].conditions: must have a value, is empty"}},
		"conditions a list":        {text: job("  b: {image: i, run: x, dependsOn: [{job: a, conditions: [failure]}]}\n"), want: []string{"6:58: jobs.b.dependsOn[0].conditions: must be a map, is a list"}},
		"failure null":             {text: job("  b: {image: i, run: x, dependsOn: [{job: a, conditions: {failure: ~}}]}\n"), want: []string{"6:68: jobs.b.dependsOn[0].conditions.failure: must have a value, is empty"}},
		"failure a string":         {text: job("  b: {image: i, run: x, dependsOn: [{job: a, conditions: {failure: 'true'}}]}\n"), want: []string{`6:68: jobs.b.dependsOn[0].conditions.failure: must be true or false, is the text "true"`}},
		"unknown keys everywhere": {text: "kind: Pipeline\njob: 1\nparams: {p: {typ: string}}\njobs:\n  a:\n    image: i\n    run: x\n    dependOn: []\n    retries: {limt: 1}\n    matrix: {value: {}, include: [{A: 1}]}\n" +
			"  b: {image: i, run: x, dependsOn: [{job: a, condition: {}, conditions: {failures: true}}]}\n", want: []string{
			`2:1: job: the key is not known; did you mean "jobs"?`,
			`3:14: params.p.typ: the key is not known; did you mean "type"?`,
			`8:5: jobs.a.dependOn: the key is not known; did you mean "dependsOn"?`,
			`9:15: jobs.a.retries.limt: the key is not known; did you mean "limit"?`,
			`10:14: jobs.a.matrix.value: the key is not known; did you mean "values"?`,
			`11:46: jobs.b.dependsOn[0].condition: the key is not known; did you mean "conditions"?`,
			`11:74: jobs.b.dependsOn[0].conditions.failures: the key is not known; did you mean "failure"?`}},

		"an empty image":         {text: "kind: Pipeline\njobs: {a: {image: ' ', run: x}}\n", want: []string{"2:19: jobs.a.image: a job needs an image, such as busybox:1.36: this is empty"}},
		"an unknown dependency":  {text: job("  build2:\n    image: i\n    run: x\n    dependsOn: [{job: bulid2}, {job: zzz}]\n"), want: []string{`9:23: jobs.build2.dependsOn[0].job: there is no job "bulid2"; did you mean "build2"?`, `9:38: jobs.build2.dependsOn[1].job: there is no job "zzz"`}},
		"itself":                 {text: job("    dependsOn: [{job: a}]\n"), want: []string{"6:23: jobs.a.dependsOn[0].job: the jobs depend on each other in a circle: a -> a"}},
		"a circle of two":        {text: job("    dependsOn: [{job: b}]\n  b: {image: i, run: x, dependsOn: [{job: a, conditions: {failure: true}}]}\n"), want: []string{"7:43: jobs.b.dependsOn[0].job: the jobs depend on each other in a circle: a -> b -> a"}},
		"a circle after a chain": {text: jobs("a dependsOn: [{job: b}]", "b dependsOn: [{job: c}]", "c dependsOn: [{job: d}]", "d dependsOn: [{job: b}, {job: d}]"), want: []string{"6:54: jobs.d.dependsOn[0].job: the jobs depend on each other in a circle: b -> c -> d -> b", "6:64: jobs.d.dependsOn[1].job: the jobs depend on each other in a circle: d -> d"}},
		"names that no job can have": {text: "kind: Pipeline\njobs:\n  .a: {image: i, run: x}\n  a b: {image: i, run: x}\n  'm[]': {image: i, run: x}\n  " + strings.Repeat("x", 64) + ": {image: i, run: x}\n", want: []string{
			`3:7: jobs.".a": ".a" cannot be the name of a job: at most 63 letters, digits, dots, dashes and underscores can, a letter or digit first`,
			`4:8: jobs."a b": "a b" cannot be the name of a job: at most 63 letters, digits, dots, dashes and underscores can, a letter or digit first`,
			`5:10: jobs."m[]": "m[]" cannot be the name of a job: at most 63 letters, digits, dots, dashes and underscores can, a letter or digit first`,
			`6:69: jobs.` + strings.Repeat("x", 64) + `: "` + strings.Repeat("x", 64) + `" cannot be the name of a job: at most 63 letters, digits, dots, dashes and underscores can, a letter or digit first`}},
		"the character 0": {text: "kind: Pipeline\njobs: {a: {image: i, run: \"a\\0\", env: {A: \"\\0\"}, workdir: \"\\0\"}}\n", want: []string{
			"2:27: jobs.a.run: the text cannot hold the character 0", "2:43: jobs.a.env.A: the text cannot hold the character 0", "2:59: jobs.a.workdir: the text cannot hold the character 0"}},
		"names of variables": {text: "kind: Pipeline\nenv: {1A: x, A: [x]}\njobs: {a: {image: i, run: x, env: {'A B': ''}, matrix: {values: {'': [1]}, include: [{A=: 1}]}}}\n", want: []string{
			`2:11: env.1A: "1A" cannot be the name of a variable: letters, digits, _, . and - can, a letter or _ first`,
			`2:17: env.A: must be a single value, is a list`,
			`3:43: jobs.a.env."A B": "A B" cannot be the name of a variable: letters, digits, _, . and - can, a letter or _ first`,
			`3:70: jobs.a.matrix.values."": "" cannot be the name of a variable: letters, digits, _, . and - can, a letter or _ first`,
			`3:91: jobs.a.matrix.include[0]."A=": "A=" cannot be the name of a variable: letters, digits, _, . and - can, a letter or _ first`}},
		"numbers and durations": {text: "kind: Pipeline\ndeadline: -1\nmaxParallel: x\njobs: {a: {image: i, run: x, timeout: soon, retries: {factor: 0.5}}, b: {image: i, run: x, retries: -1, tolerate: 1, finally: 'no'}}\n", want: []string{
			"2:11: deadline: a duration cannot be negative, is -1", `3:14: maxParallel: must be a whole number from 0 to 2147483647, is the text "x"`,
			`4:39: jobs.a.timeout: must be a duration such as 90s, 1h30m or a number of seconds, is the text "soon"`,
			"4:63: jobs.a.retries.factor: must be at least 1, is 0.5", "4:101: jobs.b.retries: must be a whole number from 0 to 2147483647, is -1",
			"4:115: jobs.b.tolerate: must be true or false, is 1", `4:127: jobs.b.finally: must be true or false, is the text "no"`}},
		"finally and others": {text: jobs("a dependsOn: [{job: f}]", "f finally: true, dependsOn: [{job: b}]", "b"), want: []string{
			`3:54: jobs.a.dependsOn[0].job: "f" is a finally job: only finally jobs can depend on it`,
			`4:69: jobs.f.dependsOn[0].job: a finally job can depend on finally jobs only, and "b" is none`}},
		"a param that is not declared": {text: job("    env: {A: '${{ params.who }}'}\nparams: {whom: {}}\n"), want: []string{`6:14: jobs.a.env.A: the param "who" is not declared; did you mean "whom"?`}},
		"image empty by a param":       {text: "kind: Pipeline\nparams: {p: {}}\njobs: {a: {image: '${{ params.p }}', run: x}}\n", want: []string{"3:19: jobs.a.image: a job needs an image, such as busybox:1.36: this is empty"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkFaults(t, tc.text, tc.want)
		})
	}
}

func checkFaults(t *testing.T, text string, want []string) {
	t.Helper()
	d, err := doc.Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Decode(d, Options{})
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff("f:"+strings.Join(want, "\nf:"), err.Error()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if heddle.CodeOf(err) != heddle.CodeInvalid {
		t.Errorf("code %s", heddle.CodeOf(err))
	}
}

func TestFaultsOfMatrices(t *testing.T) {
	t.Parallel()
	list := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("1,", n), ",") + "]" }
	var far []string // 999 to the power of 26, which no integer holds
	for name := 'A'; name <= 'Z'; name++ {
		far = append(far, string(name)+": "+list(999))
	}
	tests := map[string]struct{ matrix, want string }{
		"a list":                  {matrix: "[1]", want: "jobs.m.matrix: must be a map, is a list"},
		"empty":                   {matrix: "{}", want: "jobs.m.matrix: the matrix has no combination: it needs values, or entries in include"},
		"a word for values":       {matrix: "{values: {A: x}}", want: `jobs.m.matrix.values.A: must be a list, is the text "x"`},
		"no list of values":       {matrix: "{values: {A: ~}}", want: "jobs.m.matrix.values.A: must be a list, is empty"},
		"a list without values":   {matrix: "{values: {A: [1], B: []}}", want: "jobs.m.matrix.values.B: must hold a value at least: without one there are no combinations"},
		"a map as value":          {matrix: "{values: {A: [{}]}}", want: "jobs.m.matrix.values.A[0]: must be a single value, is a map"},
		"all excluded":            {matrix: "{values: {A: [1]}, exclude: [{A: 1}]}", want: "jobs.m.matrix: the matrix has no combination: it needs values, or entries in include"},
		"an exclude of nothing":   {matrix: "{values: {A: [1]}, exclude: [{}]}", want: "jobs.m.matrix.exclude[0]: an entry without values would exclude every combination"},
		"an unknown name":         {matrix: "{values: {ARCH: [1]}, exclude: [{ACRH: 1}]}", want: `jobs.m.matrix.exclude[0].ACRH: the matrix has no values for "ACRH"; did you mean "ARCH"?`},
		"an include that is none": {matrix: "{include: [x]}", want: `jobs.m.matrix.include[0]: must be a map, is the text "x"`},
		"too many":                {matrix: "{values: {A: " + list(100) + ", B: " + list(100) + "}, include: [{}]}", want: "jobs.m.matrix: a matrix can have at most 10000 combinations"},
		"far too many":            {matrix: "{values: {" + strings.Join(far, ", ") + "}}", want: "jobs.m.matrix: a matrix can have at most 10000 combinations"},
		"too many to exclude":     {matrix: "{values: {A: [1, 2]}, exclude: [" + strings.Repeat("{A: 1}, ", 1001) + "]}", want: "jobs.m.matrix.exclude: can have at most 1000 entries"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := doc.Parse("f", []byte(jobs("m matrix: "+tc.matrix)))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Decode(d, Options{})
			if err == nil || !strings.Contains(err.Error(), ": "+tc.want) || strings.Count(err.Error(), "\n") > 0 {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestAFullMatrix(t *testing.T) {
	t.Parallel()
	list := strings.TrimSuffix(strings.Repeat("x,", 100), ",")
	text := "matrix: {values: {A: [" + list + "], B: [" + list + "]}}"
	f := decode(t, jobs("m "+text), Options{}).Flow
	if n := len(f.Steps[0].Matrix.Env); n != 10_000 {
		t.Errorf("%d combinations", n)
	}
	var many []string
	for i := range 11 {
		many = append(many, fmt.Sprintf("m%d %s", i, text))
	}
	d, err := doc.Parse("f", []byte(jobs(many...)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = Decode(d, Options{}); err == nil || !strings.Contains(err.Error(), "jobs.m10.matrix: the matrices of all jobs can have at most 100000 combinations together") {
		t.Errorf("got %v", err)
	}
}

func TestVariablesAreBounded(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 256<<10)
	for name, text := range map[string]string{
		"env of all jobs": strings.Replace(chain(200, func(int) int { return -1 }), "{", `{"env": {"A": "`+big+`"}, `, 1),
		"a matrix":        jobs("m matrix: {values: {A: [" + big + "], B: [" + strings.Repeat("1, ", 200) + "]}}"),
	} {
		d, err := doc.Parse("f", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Decode(d, Options{})
		if err == nil || strings.Count(err.Error(), "the variables of all jobs and of their matrices have more than 33554432 bytes") != 1 {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestEntriesThatCannotBeMetTogetherAreWarnedOf(t *testing.T) {
	t.Parallel()
	r := decode(t, jobs("a", "b dependsOn: [{job: a}, {job: a, conditions: {failure: true}}, {job: a}]", "c dependsOn: [{job: a}, {job: a, conditions: {always: true}}]"), Options{})
	want := `f:4:64: warning: jobs.b.dependsOn[1].job: no outcome of "a" meets all the entries for it: the job "b" is always skipped`
	if len(r.Warnings) != 1 || r.Warnings[0].String() != want {
		t.Errorf("got %v, want %s", r.Warnings, want)
	}
}

// chain makes n jobs, the i-th of which depends on the one that needs gives, if
// there is such a one.
func chain(n int, needs func(i int) int) string {
	var b strings.Builder
	b.WriteString(`{"kind": "Pipeline", "jobs": {`)
	for i := range n {
		if i > 0 {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, `"j%d": {"image": "busybox", "run": "true"`, i)
		if to := needs(i); to >= 0 && to < n {
			fmt.Fprintf(&b, `, "dependsOn": [{"job": "j%d"}]`, to)
		}
		b.WriteString("}")
	}
	return b.String() + "}}"
}

func TestLargePipelines(t *testing.T) {
	t.Parallel()
	const n = 10_000
	const limit = 5 * time.Second // looking at each path would take for ever
	dense := make([]string, 200)
	for i := range dense {
		needs := make([]string, i)
		for k := range needs {
			needs[k] = fmt.Sprintf("{job: j%d}", k)
		}
		dense[i] = fmt.Sprintf("j%d dependsOn: [%s]", i, strings.Join(needs, ", "))
	}
	layers := make([]string, 0, 3*1000) // chainr looks at each of 3^1000 paths
	for i := range 1000 {
		for range 3 {
			needs := fmt.Sprintf("dependsOn: [{job: j%d}, {job: j%d}, {job: j%d}]", 3*i-3, 3*i-2, 3*i-1)
			if i == 0 {
				needs = ""
			}
			layers = append(layers, strings.TrimSpace(fmt.Sprintf("j%d %s", len(layers), needs)))
		}
	}
	tests := map[string]struct{ text, want string }{
		"a chain":                  {text: chain(n, func(i int) int { return i - 1 })},
		"a chain written from end": {text: chain(n, func(i int) int { return i + 1 })},
		"a circle":                 {text: chain(n, func(i int) int { return (i + n - 1) % n }), want: "in a circle: j0 -> j9999 -> j9998 -> j9997 -> j9996 -> j9995 -> j9994 -> j9993 -> j9992 -> j9991 -> (9980 more) -> j10 -> j9 -> j8 -> j7 -> j6 -> j5 -> j4 -> j3 -> j2 -> j1 -> j0"},
		"all on all before":        {text: jobs(dense...)},
		"layers":                   {text: jobs(layers...)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var r *Result
			var err error
			took := time.Hour
			for try := 0; try < 3 && took > limit; try++ { // the machine may be busy
				d, parseErr := doc.Parse("f", []byte(tc.text))
				if parseErr != nil {
					t.Fatal(parseErr)
				}
				start := time.Now()
				r, err = Decode(d, Options{})
				took = time.Since(start)
			}
			if took > limit {
				t.Errorf("decoding took %v", took)
			}
			if tc.want != "" {
				if err == nil || !strings.HasSuffix(err.Error(), tc.want) {
					t.Errorf("got %v, want %s", err, tc.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := machine.Compile(r.Flow); err != nil {
				t.Error(err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(jobs("a", "b dependsOn: [{job: a, conditions: {failure: true}}, {job: a}]", "c finally: true"))
	f.Add(jobs("a matrix: {values: {A: [1, 2], B: [x]}, exclude: [{A: 1, B: x}], include: [{C: '${{ params.p }}'}], limit: 1, failFast: true}, retries: {limit: 1, factor: 2}", "b finally: true, matrix: {include: [{}]}") + "params: {p: {type: integer}}\nenv: {A: ~}\n")
	f.Add(jobs("a dependsOn: [{job: b}]", "b dependsOn: [{job: a}, {job: b}, ~, {}, {job: c}]"))
	f.Add(`{"kind": "Pipeline", "jobs": {"a": {"image": "", "run": null, "dependsOn": null, "matrix": {"values": {"A": []}}}}, "x": 1}`)
	f.Add("kind: Pipeline\njobs: {a: &x {image: i, run: x, dependsOn: [{job: b}]}, b: {<<: *x, dependsOn: []}}\n")
	f.Fuzz(func(t *testing.T, text string) {
		o := Options{Name: "n", Params: map[string]string{"p": "1"}}
		d, err := doc.Parse("f", []byte(text))
		if err != nil {
			return
		}
		r, err := Decode(d, o)
		if err != nil {
			if heddle.CodeOf(err) != heddle.CodeInvalid || !strings.HasPrefix(err.Error(), "f:") {
				t.Fatalf("error of the wrong form: %v", err)
			}
			return
		}
		if _, err := machine.Compile(r.Flow); err != nil {
			t.Fatalf("the flow cannot run: %v", err)
		}
		again, err := doc.Parse("f", r.Flow.Source)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := Decode(again, o)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r.Flow, twice.Flow); diff != "" {
			t.Fatalf("the flow is another when read from its own source:\n%s", diff)
		}
	})
}
