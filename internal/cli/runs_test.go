package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

var base = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)

// past fills a console with two ended runs and one that is interrupted.
func past(t *testing.T) *console {
	t.Helper()
	c := newConsole(t)
	c.Now = func() time.Time { return base.Add(2 * time.Hour) }
	run := func(id heddle.RunID, state heddle.RunState, o heddle.Outcome) heddle.Run {
		return heddle.Run{ID: id, Kind: heddle.KindJob, Name: "job " + string(id), State: state, Outcome: o, Message: "mess\x1b[31mage",
			Executor: "process", Created: base, Started: base, Labels: map[string]string{"b": "2", "a": "1"}}
	}
	flow := &heddle.Flow{Steps: []heddle.Step{{Name: "one"}, {Name: "two"}}}
	ended := run("abc1", heddle.RunEnded, heddle.Failure)
	ended.Ended = base.Add(3 * time.Second)
	c.fake.runs = []heddle.RunDetail{
		{Run: run("abd3", heddle.RunRunning, ""), Flow: flow},
		{Run: ended, Flow: flow, Visits: []heddle.Visit{
			{No: 1, Step: "one", Nth: 1, State: heddle.VisitSettled, Outcome: heddle.Success, Opened: base, Settled: base.Add(time.Second), Attempts: 2},
			{No: 2, Step: "two", Nth: 1, State: heddle.VisitSettled, Outcome: heddle.Failure, Code: 4, Message: "bad", Opened: base, Settled: base.Add(2 * time.Second), Attempts: 1},
		}, Attempts: []heddle.Attempt{
			{ID: "abc1-1-1", Visit: 1, No: 1, Status: heddle.StatusAppError, ExitCode: 9, Created: base, Message: "first"},
			{ID: "abc1-1-2", Visit: 1, No: 2, Status: heddle.StatusSuccess, Created: base},
			{ID: "abc1-2-1", Visit: 2, No: 1, Status: heddle.StatusAppError, ExitCode: 4, Created: base},
		}},
		{Run: run("zzz9", heddle.RunEnded, heddle.Success), Flow: flow},
	}
	c.fake.orphans = []heddle.RunID{"abd3"}
	c.fake.lines = map[heddle.RunID][]heddle.LogLine{"abc1": {
		{Time: base, Visit: 1, Try: 1, Stream: "stdout", Text: "first"}, {Time: base, Visit: 2, Try: 1, Stream: "stderr", Text: "second"},
	}}
	return c
}

func TestRunsOutput(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args []string
		want string
	}{
		"list": {args: []string{"list"}, want: `ID    NAME      KIND  STATE    CREATED  TOOK    MESSAGE
abd3  job abd3  Job   running  2h ago   2h00m   message
abc1  job abc1  Job   failure  2h ago   3.0s    message
zzz9  job zzz9  Job   success  2h ago   2h00m   message
`},
		"show": {args: []string{"show", "ABC"}, want: `Run:       abc1
Name:      job abc1
Kind:      Job
State:     failure
Message:   message
Executor:  process
Labels:    a=1 b=2
Created:   ` + base.Local().Format(time.DateTime) + ` (2h ago)
Took:      3.0s

NO  STEP     STATE    CODE  STARTED  TOOK  MESSAGE
1   one      success  0     2h ago   1.0s
      try 1  failure  9     2h ago         first
      try 2  success  0     2h ago
2   two      failure  4     2h ago   2.0s  bad
`},
		"logs":                 {args: []string{"logs", "abc1"}, want: "one | first\ntwo | second\n"},
		"logs of one step":     {args: []string{"logs", "abc1", "--step", "two", "--timestamps"}, want: base.Local().Format(time.RFC3339) + " second\n"},
		"logs as JSON, a line": {args: []string{"logs", "abc1", "--step", "one", "-o", "json"}, want: `{"time":"2026-05-06T07:08:09Z","visit":1,"attempt":1,"stream":"stdout","text":"first","step":"one"}` + "\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := past(t)
			if code := c.run(t, append([]string{"runs"}, tc.args...)...); code != 0 {
				t.Errorf("exit code %d: %s", code, c.err.String())
			}
			got := c.out.String()
			if diff := cmp.Diff(strings.Fields(tc.want), strings.Fields(got)); diff != "" || strings.Count(got, "\n") != strings.Count(tc.want, "\n") {
				t.Errorf("%s\n%s", diff, got)
			}
		})
	}
}

func TestShowTellsTheReason(t *testing.T) {
	t.Parallel()
	c := past(t)
	c.fake.runs[1].Run.Message = "bad" // that of the second visit
	for i := range 7 {
		c.fake.lines["abc1"] = append(c.fake.lines["abc1"], heddle.LogLine{Visit: 2, Try: 1, Stream: "stdout", Text: fmt.Sprint("line ", i)})
	}
	c.fake.lines["abc1"] = append(c.fake.lines["abc1"], heddle.LogLine{Visit: 2, Try: 1, Stream: "stdout", Text: `KOG:{"result":"failure"}`})
	if code := c.run(t, "runs", "show", "abc1"); code != 0 {
		t.Errorf("exit code %d: %s", code, c.err.String())
	}
	got := c.out.String()
	for _, want := range []string{
		"\nState:     failure\nReason:    step two: bad\n",
		"\nLast output of step two:\n  line 2\n  line 3\n  line 4\n  line 5\n  line 6\nAll of it: heddle runs logs abc1 --step two\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

func TestRunsJSONIsTheRootTypes(t *testing.T) {
	t.Parallel()
	c := past(t)
	c.run(t, "runs", "list", "-o", "json")
	var page heddle.RunPage
	if err := json.Unmarshal(c.out.Bytes(), &page); err != nil || len(page.Runs) != 3 {
		t.Errorf("%v: %s", err, c.out.String())
	}
	c = past(t)
	c.run(t, "runs", "show", "abd3", "-o", "json")
	var detail heddle.RunDetail
	if err := json.Unmarshal(c.out.Bytes(), &detail); err != nil || detail.Run.ID != "abd3" || len(detail.Waiting) != 1 {
		t.Errorf("%v: %s", err, c.out.String())
	}
}

func TestRunsRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args []string
		want string
	}{
		"an ambiguous beginning":      {args: []string{"show", "ab"}, want: `more than one run begins with "ab": abd3 and abc1`},
		"a step that is not there":    {args: []string{"logs", "abc1", "--step", "none"}, want: `has no step "none"`},
		"cancelling what has ended":   {args: []string{"cancel", "abc1"}, want: "has ended already: failure"},
		"resuming what has ended":     {args: []string{"resume", "zzz"}, want: "has ended already: success"},
		"cancelling nothing":          {args: []string{"cancel"}, want: "needs to be told which runs"},
		"an unknown state":            {args: []string{"list", "--state", "odd"}, want: `--state: "odd" is none of pending running`},
		"a label without a value":     {args: []string{"list", "--label", "x"}, want: "--label"},
		"a time that is none":         {args: []string{"list", "--since", "soon"}, want: `--since: "soon" is no time`},
		"a limit out of bounds":       {args: []string{"list", "--limit", "1001"}, want: "not between 1 and 1000"},
		"an output that there is not": {args: []string{"list", "-o", "csv"}, want: `"csv" is none of table, json, yaml`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := past(t)
			if code := c.run(t, append([]string{"runs"}, tc.args...)...); code != exitTrouble || !strings.Contains(c.err.String(), tc.want) {
				t.Errorf("exit code %d, standard error %q, want %q in it", code, c.err.String(), tc.want)
			}
		})
	}
}

func TestRunsListFlags(t *testing.T) {
	t.Parallel()
	c := past(t)
	var got heddle.RunFilter
	cmd := newRunsList(c.factory, func(_ context.Context, o *runsListOptions) error { got = o.Filter; return nil })
	cmd.SetArgs(strings.Fields("--state running,ENDED --outcome failure --kind job --name n --label a=b --since 1h --limit 7 --after x"))
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	want := heddle.RunFilter{
		States: []heddle.RunState{heddle.RunRunning, heddle.RunEnded}, Outcomes: []heddle.Outcome{heddle.Failure}, Kinds: []heddle.Kind{heddle.KindJob},
		Name: "n", Labels: map[string]string{"a": "b"}, Since: base.Add(time.Hour), Limit: 7, After: "x",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCancelTakesUpWhatNobodyOwns(t *testing.T) {
	t.Parallel()
	c := past(t)
	if code := c.run(t, "runs", "cancel", "abd", "--reason", "enough"); code != 0 || c.out.String() != "abd3 abort\n" {
		t.Errorf("exit code %d, %q, %q", code, c.out.String(), c.err.String())
	}
	if diff := cmp.Diff([]string{"abd3: enough"}, c.fake.cancels); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]heddle.RunID{"abd3"}, c.fake.resumed); diff != "" || !c.fake.closed {
		t.Errorf("%s closed: %v", diff, c.fake.closed)
	}
}

func TestCancelLeavesTheRunToItsOwner(t *testing.T) {
	t.Parallel()
	c := past(t)
	c.fake.orphans, c.fake.ended = nil, make(chan struct{})
	if code := c.run(t, "runs", "cancel", "abd3"); code != 0 || c.out.String() != "abd3 abort\n" || len(c.fake.resumed) > 0 {
		t.Errorf("exit code %d, %q, %q, resumed %v", code, c.out.String(), c.err.String(), c.fake.resumed)
	}
}

func TestResume(t *testing.T) {
	t.Parallel()
	c := past(t)
	c.fake.outcome = heddle.Timeout
	if code := c.run(t, "runs", "resume"); code != exitTimeout || !strings.Contains(c.out.String(), `"status":"timeout"`) {
		t.Errorf("exit code %d, %q, %q", code, c.out.String(), c.err.String())
	}
	c = past(t)
	c.fake.orphans = nil
	if code := c.run(t, "runs", "resume"); code != 0 || c.err.String() != "heddle: no run is interrupted\n" {
		t.Errorf("exit code %d, %q", code, c.err.String())
	}
}

func TestRunIDsAreCompleted(t *testing.T) {
	t.Parallel()
	c := past(t)
	c.run(t, "__complete", "runs", "show", "ab")
	if !strings.HasPrefix(c.out.String(), "abd3\tjob abd3, running, 2h ago\nabc1\tjob abc1, failure, 2h ago\n") {
		t.Errorf("%q", c.out.String())
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"good.yaml": job, "warn.yaml": strings.Replace(job, "{action: a}", "{action: b}", 1), "bad.yaml": "name: [x\n"})
	c := newConsole(t)
	if code := c.run(t, "validate", filepath.Join(dir, "good.yaml"), "-f", filepath.Join(dir, "warn.yaml")); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{`good.yaml: good: Job "the job", 1 step`, "warn.yaml:6:21: warning: "} {
		if !strings.Contains(c.out.String(), want) {
			t.Errorf("%q lacks %q", c.out.String(), want)
		}
	}
	c = newConsole(t)
	if code := c.run(t, "validate", "-o", "json", filepath.Join(dir, "bad.yaml"), filepath.Join(dir, "none.yaml")); code != exitTrouble {
		t.Errorf("exit code %d", code)
	}
	var got []validation
	if err := json.Unmarshal(c.out.Bytes(), &got); err != nil || len(got) != 2 || got[0].Valid || len(got[0].Faults) == 0 || got[1].Valid {
		t.Errorf("%v: %s", err, c.out.String())
	}
}

func TestGraph(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"job.yaml": job})
	for format, want := range map[string]string{"text": "start", "dot": "digraph", "mermaid": "flowchart"} {
		c := newConsole(t)
		if code := c.run(t, "graph", "-f", dir+"/job.yaml", "--format", format); code != 0 || !strings.Contains(c.out.String(), want) {
			t.Errorf("%s: exit code %d, %q, %q", format, code, c.out.String(), c.err.String())
		}
	}
	c := past(t)
	if code := c.run(t, "graph", "--run", "abc1"); code != 0 || !strings.Contains(c.out.String(), "failure") {
		t.Errorf("exit code %d, %q", code, c.out.String())
	}
	if code := c.run(t, "graph"); code != exitTrouble {
		t.Errorf("exit code %d without a document", code)
	}
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	c := past(t)
	if code := c.run(t, "doctor"); code != 0 || !strings.Contains(c.out.String(), "heddle runs resume") {
		t.Errorf("exit code %d, %q", code, c.out.String())
	}
	c = past(t)
	file := filepath.Join(files(t, map[string]string{"f": ""}), "f")
	if code := c.run(t, "doctor", "--data-dir", file, "-o", "json"); code != exitTrouble || !strings.Contains(c.out.String(), `"state": "fail"`) {
		t.Errorf("exit code %d, %q", code, c.out.String())
	}
}

func TestShowTellsOutputs(t *testing.T) {
	t.Parallel()
	d := heddle.RunDetail{
		Flow: &heddle.Flow{Steps: []heddle.Step{
			{Name: "a", Work: &heddle.Work{}}, {Name: "m", Matrix: &heddle.Matrix{}}, {Name: "m[]", Group: "m", Work: &heddle.Work{}},
		}},
		Visits: []heddle.Visit{
			{Step: "a", Nth: 1, Output: []byte(`{"v":"1.0","n":null,"list":[1]}`)}, {Step: "m", Nth: 1},
			{Step: "m[]", Index: 1, Nth: 1, Output: []byte(`{"v":"` + strings.Repeat("x", 100) + `"}`)},
		},
	}
	want := [][]string{{"a.list", "[1]"}, {"a.n", "null"}, {"a.v", "1.0"}, {"m[1].v", strings.Repeat("x", 79) + "…"}}
	if diff := cmp.Diff(want, outputRows(d)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	d.Flow.Context = []byte("{}")
	if rows := outputRows(d); rows != nil {
		t.Errorf("the changes of a context are shown: %v", rows)
	}
}
