package engine_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/engine"
)

// retry submits a retry of a run.
func (b *bench) retry(id heddle.RunID, with *heddle.Flow) heddle.Run {
	b.t.Helper()
	run, err := b.Submit(context.Background(), heddle.Submission{Flow: with, Retry: &heddle.RunRetry{Run: id}})
	if err != nil {
		b.t.Fatal(err)
	}
	return run
}

func TestARetryTakesOverWhatEndedWell(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	sub := heddle.Submission{Flow: flow(nil, []string{"exit", "3"}, nil), Executor: "fake", Labels: map[string]string{"team": "red"},
		Input: heddle.Input{CorrelationID: "c1", Env: map[string]string{"A": "1"}}}
	first, err := b.Submit(context.Background(), sub)
	if err != nil {
		t.Fatal(err)
	}
	if d := b.until(first.ID, ended); d.Run.Outcome != heddle.Failure {
		t.Fatalf("the first run ended with %s", d.Run.Outcome)
	}
	fixed := flow(nil, nil, nil)
	d := b.until(b.retry(first.ID, fixed).ID, ended)
	if d.Run.Outcome != heddle.Success || d.Run.Parent != first.ID || d.Run.Executor != "fake" {
		t.Errorf("the retry is %+v", d.Run)
	}
	want := sub.Input
	want.Retry = &heddle.RunRetry{Run: first.ID, Mode: heddle.RetryFailed}
	if diff := cmp.Diff(want, d.Run.Input); diff != "" {
		t.Errorf("input (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(sub.Labels, d.Run.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if len(d.Attempts) != 2 || !d.Run.TakenOver(&d.Visits[0]) || d.Run.TakenOver(&d.Visits[1]) {
		t.Errorf("visits %+v, attempts %+v: want the first step taken over and two attempts", d.Visits, d.Attempts)
	}
}

func TestARetrySurvivesARestart(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	first := b.submit(flow(nil, []string{"exit", "3"}, nil), heddle.Input{})
	b.until(first.ID, ended)
	run := b.retry(first.ID, flow(nil, []string{"run", "100ms"}, nil))
	b.until(run.ID, running)
	b.restart()
	if taken, err := b.Resume(context.Background()); err != nil || len(taken) != 1 {
		t.Fatalf("took %v: %v", taken, err)
	}
	d := b.until(run.ID, ended)
	want := map[string]heddle.Outcome{"s0": heddle.Success, "s1": heddle.Success, "s2": heddle.Success}
	if diff := cmp.Diff(want, outcomes(d)); diff != "" || d.Run.Outcome != heddle.Success {
		t.Errorf("verdict %s, steps (-want +got):\n%s", d.Run.Outcome, diff)
	}
	starts := b.world.Starts()
	for _, id := range []heddle.AttemptID{heddle.NewAttemptID(run.ID, 2, 1), heddle.NewAttemptID(run.ID, 3, 1)} {
		if starts[id] != 1 {
			t.Errorf("attempt %s was started %d times: %v", id, starts[id], starts)
		}
	}
	if len(starts) != 4 {
		t.Errorf("started %v, want two attempts of each run", starts)
	}
}

func TestARetryThatLosesTheAnswerIsCommittedOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	first := b.submit(flow(nil, []string{"exit", "3"}), heddle.Input{})
	b.until(first.ID, ended)
	b.store.fail(errAnswerLost)
	d := b.until(b.retry(first.ID, flow(nil, nil)).ID, ended)
	if d.Run.Outcome != heddle.Success || len(d.Visits) != 2 || len(d.Attempts) != 1 {
		t.Errorf("verdict %s, visits %+v, attempts %+v", d.Run.Outcome, d.Visits, d.Attempts)
	}
}

func TestRetryRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	well := b.submit(flow(nil), heddle.Input{})
	b.until(well.ID, ended)
	open := b.submit(flow([]string{"run", "1h"}), heddle.Input{})
	b.until(open.ID, running)
	for name, tc := range map[string]struct {
		retry heddle.RunRetry
		want  heddle.Code
	}{
		"a run that there is not":   {heddle.RunRetry{Run: "missing"}, heddle.CodeNotFound},
		"a run that has not ended":  {heddle.RunRetry{Run: open.ID}, heddle.CodeConflict},
		"a run that ended well":     {heddle.RunRetry{Run: well.ID}, heddle.CodeConflict},
		"a step that there is not":  {heddle.RunRetry{Run: well.ID, Mode: heddle.RetryFrom, Step: "x"}, heddle.CodeInvalid},
		"a mode that nobody knows":  {heddle.RunRetry{Run: well.ID, Mode: "x"}, heddle.CodeInvalid},
		"a step without being from": {heddle.RunRetry{Run: well.ID, Mode: heddle.RetryFrom}, heddle.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := b.Submit(context.Background(), heddle.Submission{Retry: &tc.retry}); heddle.CodeOf(err) != tc.want {
				t.Errorf("error %v, want code %s", err, tc.want)
			}
		})
	}
	if err := b.Cancel(context.Background(), open.ID, ""); err != nil {
		t.Fatal(err)
	}
	b.until(open.ID, ended)
}
