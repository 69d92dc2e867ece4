package cli

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const goodScenario = "scenarios:\n  - {name: it works, steps: {start: {message: m}}, expect: {verdict: success}}\n"

func TestTest(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{
		"job.yaml": job, "other.yml": job, "alone.yaml": job,
		"job.test.yaml":  "document: job.yaml\n" + goodScenario,
		"other.test.yml": "document: none.yaml\n" + goodScenario,
		"bare.yaml":      goodScenario,
		"bad.yaml":       "document: job.yaml\nscenarios:\n  - {name: it fails, expect: {verdict: failure, path: [start, start]}}\n",
		"fault.yaml":     "document: job.yaml\nscenarios:\n  - {name: a, steps: {stort: failure}, expect: {verdict: success}}\n",
	})
	tests := map[string]struct {
		args     string
		stdin    string
		code     int
		out, err string
	}{
		"a file of scenarios":                            {args: "D/job.test.yaml", out: "ok    D/job.test.yaml: it works\n1 scenario passed, 0 failed\n"},
		"a document with scenarios beside it":            {args: "D/job.yaml", out: "ok    D/job.test.yaml: it works\n1 scenario passed, 0 failed\n"},
		"both count once":                                {args: "D/job.yaml D/job.test.yaml", out: "ok    D/job.test.yaml: it works\n1 scenario passed, 0 failed\n"},
		"the document of the command line wins":          {args: "D/other.yml", out: "ok    D/other.test.yml: it works\n1 scenario passed, 0 failed\n"},
		"scenarios by flag":                              {args: "D/alone.yaml -f D/bare.yaml", out: "ok    D/bare.yaml: it works\n1 scenario passed, 0 failed\n"},
		"scenarios by flag that name their document":     {args: "-f D/job.test.yaml", out: "ok    D/job.test.yaml: it works\n1 scenario passed, 0 failed\n"},
		"scenarios from standard input":                  {args: "D/job.yaml -f -", stdin: goodScenario, out: "ok    stdin: it works\n1 scenario passed, 0 failed\n"},
		"without a flag too":                             {args: "-", stdin: "document: D/job.yaml\n" + goodScenario, out: "ok    stdin: it works\n1 scenario passed, 0 failed\n"},
		"one that fails":                                 {args: "D/bad.yaml", code: 1, out: "FAIL  D/bad.yaml: it fails\n      verdict\n        expected  failure\n        got       success\n      path\n        expected  start, start\n        got       start\n0 scenarios passed, 1 failed\n"},
		"a directory, with a document that is not there": {args: "D", code: exitTrouble, out: "ok    D/job.test.yaml: it works\n1 scenario passed, 0 failed\n", err: "none.yaml: there is no such file"},
		"a fault":                              {args: "D/fault.yaml D/job.yaml", code: exitTrouble, out: "ok    D/job.test.yaml: it works\n1 scenario passed, 0 failed\n", err: `D/fault.yaml:3:30: scenarios[0].steps.stort: the document has no step "stort"; did you mean "start"?`},
		"no scenarios beside the document":     {args: "D/alone.yaml", code: exitTrouble, out: "0 scenarios passed, 0 failed\n", err: "there is no alone.test.yaml beside it"},
		"scenarios without a document":         {args: "D/bare.yaml", code: exitTrouble, out: "0 scenarios passed, 0 failed\n", err: "do not say which document they are for"},
		"a document on standard input":         {args: "-", stdin: job, code: exitTrouble, out: "0 scenarios passed, 0 failed\n", err: "what standard input holds are no scenarios"},
		"nothing":                              {code: exitTrouble, err: "a document or a file of scenarios is needed"},
		"two documents for the same scenarios": {args: "a b -f c", code: exitTrouble, err: "one document at most"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			here := strings.NewReplacer("D/", dir+"/", "D ", dir+" ")
			c := newConsole(t)
			c.In = strings.NewReader(here.Replace(tc.stdin))
			args := strings.Fields("test " + strings.TrimSpace(here.Replace(tc.args+" ")))
			if code := c.run(t, args...); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			if diff := cmp.Diff(here.Replace(tc.out), c.out.String()); diff != "" {
				t.Errorf("output: -want +got\n%s", diff)
			}
			if want := here.Replace(tc.err); !strings.Contains(c.err.String(), want) || want == "" && c.err.Len() > 0 {
				t.Errorf("told %q, want %q", c.err.String(), want)
			}
		})
	}
}

func TestTestAsJSON(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"job.yaml": job, "job.test.yaml": goodScenario})
	c := newConsole(t)
	if code := c.run(t, "test", filepath.Join(dir, "job.yaml"), "-o", "json"); code != 0 {
		t.Errorf("exit code %d: %s", code, c.err.String())
	}
	var got testReport
	if err := json.Unmarshal(c.out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Passed != 1 || got.Failed != 0 || len(got.Files) != 1 || got.Files[0].Document != filepath.Join(dir, "job.yaml") || !got.Files[0].Scenarios[0].Passed {
		t.Errorf("got %+v", got)
	}
}
