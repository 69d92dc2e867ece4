package cli

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/app"
)

// parsed is what the bulk commands make of their command lines.
type parsed struct {
	Runs   []string
	Filter heddle.RunFilter
	All    bool
	DryRun bool
	Retry  heddle.RunRetry
	Limits app.PruneLimits
}

func TestBulkCommandLines(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	failed := heddle.RunRetry{Mode: heddle.RetryFailed}
	for name, tc := range map[string]struct {
		args string
		want parsed
		err  string
	}{
		"retry of what failed":         {args: "retry a b", want: parsed{Runs: []string{"a", "b"}, Retry: failed}},
		"retry, failed by name":        {args: "retry a --failed", want: parsed{Runs: []string{"a"}, Retry: failed}},
		"retry from a step":            {args: "retry a --from s", want: parsed{Runs: []string{"a"}, Retry: heddle.RunRetry{Mode: heddle.RetryFrom, Step: "s"}}},
		"retry of a step":              {args: "retry a --only s --dry-run", want: parsed{Runs: []string{"a"}, DryRun: true, Retry: heddle.RunRetry{Mode: heddle.RetryOnly, Step: "s"}}},
		"retry of all":                 {args: "retry --all", want: parsed{All: true, Retry: failed}},
		"retry in two ways":            {args: "retry a --failed --from s", err: "exclude each other"},
		"retry of nothing":             {args: "retry", err: "needs to be told which runs"},
		"all and an ID":                {args: "retry a --all", err: "--all goes with neither"},
		"all and a filter":             {args: "cancel --all --name x", err: "--all goes with neither"},
		"an ID and a filter":           {args: "cancel a --kind pipeline", want: parsed{Runs: []string{"a"}, Filter: heddle.RunFilter{Kinds: []heddle.Kind{heddle.KindPipeline}}}},
		"every filter":                 {args: "cancel --state running,pending --outcome failure --name x --label a=b --since 1w --until 2d", want: parsed{Filter: heddle.RunFilter{States: []heddle.RunState{heddle.RunRunning, heddle.RunPending}, Outcomes: []heddle.Outcome{heddle.Failure}, Name: "x", Labels: map[string]string{"a": "b"}, Since: noon.AddDate(0, 0, -7), Until: noon.AddDate(0, 0, -2)}}},
		"a time that is none":          {args: "cancel --until soon", err: "--until"},
		"prune by limits":              {args: "prune --older-than 2w --keep 3 --max-bytes 1KiB", want: parsed{Limits: app.PruneLimits{OlderThan: 14 * 24 * time.Hour, Keep: 3, MaxBytes: 1024}}},
		"prune by name, and a limit":   {args: "prune --name x --keep 3", want: parsed{Filter: heddle.RunFilter{Name: "x"}, Limits: app.PruneLimits{Keep: 3}}},
		"prune keeps one at the least": {args: "prune --keep 0", err: "--keep"},
		"prune with a strange size":    {args: "prune --max-bytes much", err: "--max-bytes"},
		"prune of nothing":             {args: "prune", err: "needs to be told which runs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConsole(t)
			c.Now = func() time.Time { return noon }
			var got parsed
			take := func(s *selection) {
				got.Runs, got.Filter, got.All, got.DryRun = s.Runs, s.Filter, s.All, s.DryRun
			}
			root := &cobra.Command{Use: "heddle", SilenceErrors: true, SilenceUsage: true}
			root.AddCommand(
				newRunsRetry(c.factory, func(_ context.Context, o *runsRetryOptions) error {
					take(&o.selection)
					got.Retry = o.Retry
					return nil
				}),
				newRunsCancel(c.factory, func(_ context.Context, o *runsCancelOptions) error {
					take(&o.selection)
					return nil
				}),
				newRunsPrune(c.factory, func(_ context.Context, o *runsPruneOptions) error {
					take(&o.selection)
					got.Limits = o.Limits
					return nil
				}))
			root.SetArgs(strings.Fields(tc.args))
			err := root.Execute()
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("error %v, want %q in it", err, tc.err)
				}
				return
			}
			if len(got.Runs) == 0 {
				got.Runs = nil
			}
			if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
				t.Fatalf("error %v, (-want +got):\n%s", err, diff)
			}
		})
	}
}

// ended adds runs that have ended to the fake, newest first.
func (c *console) ended(ids ...heddle.RunID) {
	for _, id := range ids {
		c.fake.runs = append(c.fake.runs, heddle.RunDetail{
			Run:    heddle.Run{ID: id, Name: "n", State: heddle.RunEnded, Outcome: heddle.Failure, Created: time.Now()},
			Flow:   &heddle.Flow{Name: "n", Start: []string{"a"}, Steps: []heddle.Step{{Name: "a", Work: &heddle.Work{}}}},
			Visits: []heddle.Visit{{No: 1, Nth: 1, Step: "a", State: heddle.VisitSettled, Outcome: heddle.Failure}},
		})
	}
}

func TestBulkDryRuns(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args    []string
		wantOut string
	}{
		"a retry tells its plan":       {args: []string{"retry", "r1", "--dry-run"}, wantOut: "a     runs  failure"},
		"retries tell how many":        {args: []string{"retry", "--name", "n", "--dry-run"}, wantOut: "12 runs would be retried; the first 10 are:"},
		"a cancel of what has ended":   {args: []string{"cancel", "--all", "--dry-run"}, wantOut: "0 runs would be cancelled\n"},
		"the count for programs":       {args: []string{"retry", "--name", "n", "--dry-run", "-o", "json"}, wantOut: "\"count\": 12,"},
		"the plan is for programs too": {args: []string{"retry", "r1", "--dry-run", "-o", "json"}, wantOut: "\"plan\": \"runs\""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConsole(t)
			c.ended("r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "ra", "rb", "rc")
			if code := c.run(t, append([]string{"runs"}, tc.args...)...); code != 0 || !strings.Contains(c.out.String(), tc.wantOut) {
				t.Errorf("exit code %d, standard output %q, standard error %q; want %q", code, c.out.String(), c.err.String(), tc.wantOut)
			}
			if len(c.fake.submitted)+len(c.fake.cancels) > 0 {
				t.Error("something was done")
			}
		})
	}
}

func TestBulkCancelCounts(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.ended("old")
	for _, id := range []heddle.RunID{"x1", "x2"} {
		c.fake.runs = append(c.fake.runs, heddle.RunDetail{Run: heddle.Run{ID: id, State: heddle.RunRunning, Created: time.Now()}, Flow: &heddle.Flow{}})
	}
	c.fake.orphans = []heddle.RunID{"x2"}
	if code := c.run(t, "runs", "cancel", "--all"); code != 0 {
		t.Fatalf("exit code %d: %s", code, c.err.String())
	}
	if !strings.Contains(c.err.String(), "heddle: 2 runs cancelled\n") || !cmp.Equal(c.fake.resumed, []heddle.RunID{"x2"}) {
		t.Errorf("told %q, resumed %v", c.err.String(), c.fake.resumed)
	}
}
