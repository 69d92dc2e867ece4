package engine_test

import (
	"context"
	"strings"
	"testing"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/engine"
	"github.com/heddle/heddle/internal/executor/executortest"
)

// beside is a second engine, with an executor of its own, on the store of the first.
func (b *bench) beside() *bench {
	b.t.Helper()
	other := &bench{t: b.t, dir: b.dir, world: executortest.NewWorld(), opts: b.opts}
	other.start()
	b.t.Cleanup(other.stop)
	return other
}

func keyed(f *heddle.Flow, busy heddle.Concurrence) *heddle.Flow {
	f.Concurrency = &heddle.Concurrency{Key: "deploy", Busy: busy}
	return f
}

func pooled(f *heddle.Flow, weight int) *heddle.Flow {
	f.Steps[0].Pool, f.Steps[0].Weight = "licences", weight
	return f
}

func pending(d heddle.RunDetail) bool { return d.Run.State == heddle.RunPending }

func waitsFor(reason, text string) func(heddle.RunDetail) bool {
	return func(d heddle.RunDetail) bool {
		return len(d.Waiting) == 1 && d.Waiting[0].Reason == reason && strings.Contains(d.Waiting[0].Message, text)
	}
}

func (b *bench) cancel(id heddle.RunID) {
	b.t.Helper()
	if err := b.Cancel(context.Background(), id, "enough"); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) pool(size int) {
	b.t.Helper()
	if err := b.store.SetPool(context.Background(), heddle.DefaultOrganization, "licences", size); err != nil {
		b.t.Fatal(err)
	}
}

// free fails the test unless nobody has or waits for anything any more.
func (b *bench) free() {
	b.t.Helper()
	pools, err := b.store.Pools(context.Background(), heddle.DefaultOrganization)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, p := range pools {
		if p.Taken+p.Waiting > 0 {
			b.t.Errorf("of the pool %s %d places are taken, %d wait", p.Name, p.Taken, p.Waiting)
		}
	}
	run := b.submit(keyed(flow(nil), heddle.ConcurrenceReject), heddle.Input{})
	if d := b.until(run.ID, ended); d.Run.Outcome != heddle.Success {
		b.t.Errorf("the key is not free: %s", d.Run.Message)
	}
}

func TestARunWaitsForTheKeyOfAnothersRun(t *testing.T) {
	t.Parallel()
	one := newBench(t, engine.Options{})
	two := one.beside()
	first := one.submit(keyed(flow([]string{"run", "1h"}), ""), heddle.Input{})
	one.until(first.ID, running)
	second, third := two.submit(keyed(flow(nil), ""), heddle.Input{}), heddle.Run{}
	two.until(second.ID, waitsFor(heddle.WaitRuns, "run "+string(first.ID)+` has the concurrency key "deploy"; it is the next in line`))
	third = one.submit(keyed(flow(nil), ""), heddle.Input{})
	one.until(third.ID, waitsFor(heddle.WaitRuns, "; it is number 2 in line"))
	fourth := two.submit(keyed(flow(nil), ""), heddle.Input{})
	two.until(fourth.ID, waitsFor(heddle.WaitRuns, "; it is number 3 in line"))
	two.cancel(third.ID)
	if d := one.until(third.ID, ended); d.Run.Outcome != heddle.Abort || !d.Run.Started.IsZero() {
		t.Errorf("cancelled in line: %s, started %v", d.Run.Outcome, d.Run.Started)
	}
	for _, b := range []*bench{one, two} {
		if stats := b.Stats(); stats.Causeless != 0 {
			t.Errorf("%d of %v runs have nothing that will wake them", stats.Causeless, stats.Runs)
		}
	}
	one.cancel(first.ID)
	over := one.until(first.ID, ended)
	d := two.until(second.ID, ended)
	if d.Run.Outcome != heddle.Success || d.Run.Started.Before(over.Run.Ended) {
		t.Errorf("%s; it began at %v, the other ended at %v", d.Run.Outcome, d.Run.Started, over.Run.Ended)
	}
	if d := two.until(fourth.ID, ended); d.Run.Outcome != heddle.Success {
		t.Errorf("the last in line: %s", d.Run.Outcome)
	}
	one.free()
}

func TestARunTakesTheKeyOver(t *testing.T) {
	t.Parallel()
	one := newBench(t, engine.Options{})
	two := one.beside()
	old := keyed(flow([]string{"run", "1h"}, []string{"run", "50ms"}), "")
	old.Steps[1].Finally, old.Edges = true, nil
	first := one.submit(old, heddle.Input{})
	one.until(first.ID, running)
	waiting := one.submit(keyed(flow(nil), ""), heddle.Input{})
	one.until(waiting.ID, waitsFor(heddle.WaitRuns, ""))
	newest := two.submit(keyed(flow(nil), heddle.ConcurrenceCancelOld), heddle.Input{})
	d := two.until(newest.ID, ended)
	was := one.until(first.ID, ended)
	if was.Run.Outcome != heddle.Abort || !strings.Contains(was.Run.Message, string(newest.ID)) || outcomes(was)["s1"] != heddle.Success {
		t.Errorf("the run before: %s %q, its finally step %s", was.Run.Outcome, was.Run.Message, outcomes(was)["s1"])
	}
	if d.Run.Outcome != heddle.Success || d.Run.Started.Before(was.Run.Ended) {
		t.Errorf("the newest: %s; it began at %v, the other ended at %v", d.Run.Outcome, d.Run.Started, was.Run.Ended)
	}
	if d := one.until(waiting.ID, ended); d.Run.Outcome != heddle.Abort {
		t.Errorf("the one that waited: %s", d.Run.Outcome)
	}
	one.free()
}

func TestARunIsRejected(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	first := b.submit(keyed(flow([]string{"run", "1h"}), ""), heddle.Input{})
	b.until(first.ID, running)
	d := b.until(b.submit(keyed(flow(nil), heddle.ConcurrenceReject), heddle.Input{}).ID, ended)
	want := "not started: run " + string(first.ID) + ` has the concurrency key "deploy"`
	if d.Run.Outcome != heddle.Abort || d.Run.Message != want || len(d.Visits) > 0 {
		t.Errorf("%s %q with %d visits, want abort %q", d.Run.Outcome, d.Run.Message, len(d.Visits), want)
	}
	b.cancel(first.ID)
	b.until(first.ID, ended)
	b.free()
}

func TestAKeyOutlivesItsEngine(t *testing.T) {
	t.Parallel()
	dead := newBench(t, engine.Options{})
	b := dead.beside()
	holder := dead.submit(keyed(flow([]string{"run", "1h"}), ""), heddle.Input{})
	dead.until(holder.ID, running)
	first := dead.submit(keyed(flow(nil), ""), heddle.Input{})
	dead.until(first.ID, waitsFor(heddle.WaitRuns, ""))
	run := b.submit(keyed(flow(nil), ""), heddle.Input{})
	b.until(run.ID, waitsFor(heddle.WaitRuns, "number 2 in line"))
	dead.stop()
	b.until(run.ID, waitsFor(heddle.WaitRuns, "heddle runs resume "+string(holder.ID)))
	b.cancel(holder.ID)
	b.world = dead.world // its attempts are to be seen
	b.restart()
	if _, err := b.Resume(context.Background(), holder.ID, run.ID); err != nil {
		t.Fatal(err)
	}
	// The one between them has nobody who would go on with it.
	if d := b.until(run.ID, ended); d.Run.Outcome != heddle.Success {
		t.Errorf("the run that waited: %s", d.Run.Outcome)
	}
	if d := b.until(first.ID, pending); d.Run.ID != first.ID {
		t.Errorf("%+v", d.Run)
	}
	if _, err := b.Resume(context.Background()); err != nil {
		t.Fatal(err)
	}
	if d := b.until(first.ID, ended); d.Run.Outcome != heddle.Success {
		t.Errorf("the first in line: %s", d.Run.Outcome)
	}
	b.free()
}

func TestARetryWaitsForItsKey(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	both := keyed(flow(nil, []string{"exit", "1"}), "")
	both.Start, both.Edges = []string{"s0", "s1"}, nil
	old := b.until(b.submit(both, heddle.Input{}).ID, ended)
	holder := b.submit(keyed(flow([]string{"run", "1h"}), ""), heddle.Input{})
	b.until(holder.ID, running)
	again := func() heddle.RunID {
		run, err := b.Submit(context.Background(), heddle.Submission{Retry: &heddle.RunRetry{Run: old.Run.ID}})
		if err != nil {
			t.Fatal(err)
		}
		if d := b.until(run.ID, waitsFor(heddle.WaitRuns, "")); len(d.Visits) != 2 || d.Visits[0].Outcome != heddle.Success {
			t.Fatalf("what is taken over is not stored: %+v", d.Visits)
		}
		return run.ID
	}
	first, second := again(), again()
	b.restart()
	if _, err := b.Resume(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.cancel(second)
	d := b.until(second, ended)
	if d.Run.Outcome != heddle.Abort || d.Visits[1].State != heddle.VisitSettled {
		t.Errorf("cancelled in line: %s, %+v", d.Run.Outcome, d.Visits)
	}
	b.cancel(holder.ID)
	d = b.until(first, ended)
	if d.Run.Outcome != heddle.Failure || len(d.Attempts) != 1 || d.Attempts[0].Visit != 2 || len(d.Visits) != 2 {
		t.Errorf("the retry: %s, %+v", d.Run.Outcome, d.Attempts)
	}
	b.free()
}

func TestAPoolIsSharedByEngines(t *testing.T) {
	t.Parallel()
	one := newBench(t, engine.Options{Parallel: 1})
	two := one.beside()
	one.pool(2)
	first := one.submit(pooled(flow([]string{"run", "1h"}), 2), heddle.Input{})
	one.until(first.ID, running)
	// A step that waits for its pool takes no place of the engine's, and holds up no other.
	side := pooled(flow(nil, nil), 1)
	side.Start, side.Edges = []string{"s0", "s1"}, nil
	second := two.submit(side, heddle.Input{})
	d := two.until(second.ID, func(d heddle.RunDetail) bool {
		return outcomes(d)["s1"] == heddle.Success && waitsFor(heddle.WaitPool, "")(d)
	})
	want := "the pool \"licences\" has 2 places, of which 2 are taken by " + string(first.ID) + ", and it needs 1; it is the next in line"
	if !waitsFor(heddle.WaitPool, want)(d) {
		t.Errorf("it waits with %+v, want %q", d.Waiting, want)
	}
	one.pool(3)
	if d := two.until(second.ID, ended); d.Run.Outcome != heddle.Success {
		t.Errorf("with more room: %s", d.Run.Outcome)
	}
	third := two.submit(pooled(flow([]string{"exit", "1"}), 3), heddle.Input{})
	two.until(third.ID, waitsFor(heddle.WaitPool, ""))
	one.pool(2)
	two.until(third.ID, waitsFor(heddle.WaitPool, "heddle pools set licences 3"))
	one.pool(3)
	one.cancel(first.ID)
	one.until(first.ID, ended)
	two.until(third.ID, ended)
	one.free()
}

func TestEachAttemptTakesItsPlacesAnew(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	b.pool(1)
	f := pooled(flow([]string{"exit", "1"}, nil), 1)
	f.Steps[0].Retry.Limit = 3
	var runs []heddle.RunID
	for range 5 {
		runs = append(runs, b.submit(f, heddle.Input{}).ID)
	}
	for _, id := range runs {
		if d := b.until(id, ended); d.Run.Outcome != heddle.Failure || len(d.Attempts) != 4 {
			t.Errorf("%s after %d attempts", d.Run.Outcome, len(d.Attempts))
		}
	}
	if most := b.most.Load(); most != 1 {
		t.Errorf("%d attempts were open at once in a pool of one place", most)
	}
	b.free()
}

func TestPoolsThatDoNotDo(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	for name, tc := range map[string]struct {
		size int
		want string
	}{
		"there is none": {0, `step "s0" needs the pool "licences", which does not exist: make it with 'heddle pools set licences SIZE'`},
		"too small":     {2, `step "s0" needs 3 places of the pool "licences", which has 2: give it more with 'heddle pools set licences 3', or lower the weight`},
	} {
		if tc.size > 0 {
			b.pool(tc.size)
		} else if err := b.store.DeletePool(context.Background(), heddle.DefaultOrganization, "licences"); heddle.CodeOf(err) != heddle.CodeNotFound && err != nil {
			t.Fatal(err)
		}
		_, err := b.Submit(context.Background(), heddle.Submission{Flow: pooled(flow(nil), 3), Executor: "fake"})
		if heddle.CodeOf(err) != heddle.CodeInvalid || err.Error() != tc.want {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
}
