package engine_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/engine"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/store"
	"github.com/heddle/heddle/internal/store/sqlite"
)

// forgetful knows only what it has started or adopted: as the port allows, it
// ignores a stop of anything else.
type forgetful struct {
	executor.Executor
	adopting chan struct{} // Adopt waits until it is closed
	mu       sync.Mutex
	known    map[heddle.AttemptID]bool
}

func (x *forgetful) Adopt(ctx context.Context, adoptions []executor.Adoption) error {
	<-x.adopting
	x.mu.Lock()
	for _, a := range adoptions {
		x.known[a.Attempt.ID] = true
	}
	x.mu.Unlock()
	return x.Executor.Adopt(ctx, adoptions)
}

func (x *forgetful) Stop(ctx context.Context, id heddle.AttemptID, reason string, grace time.Duration) error {
	x.mu.Lock()
	known := x.known[id]
	x.mu.Unlock()
	if !known {
		return nil
	}
	return x.Executor.Stop(ctx, id, reason, grace)
}

func TestAStopWaitsForTheAdoption(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	run := b.submit(flow([]string{"run", "1h"}), heddle.Input{})
	b.until(run.ID, running)
	b.stop()
	adopting := make(chan struct{})
	b.wrap = func(x executor.Executor) executor.Executor {
		return &forgetful{Executor: x, adopting: adopting, known: map[heddle.AttemptID]bool{}}
	}
	b.start()
	if _, err := b.Resume(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := b.Cancel(context.Background(), run.ID, ""); err != nil {
		t.Fatal(err)
	}
	b.until(run.ID, func(d heddle.RunDetail) bool { return d.Attempts[0].Stop != "" })
	close(adopting)
	if d := b.until(run.ID, ended); d.Run.Outcome != heddle.Abort {
		t.Errorf("verdict %s, want abort", d.Run.Outcome)
	}
}

// slow does not answer a start for as long as it may.
type slow struct{ executor.Executor }

func (x slow) Start(ctx context.Context, _ executor.Spec) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func TestACancelDoesNotWaitForAStartThatIsNotAnswered(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{Grace: 10 * time.Millisecond})
	b.stop()
	b.wrap = func(x executor.Executor) executor.Executor { return slow{x} }
	b.start()
	run := b.submit(flow([]string{"run", "1h"}), heddle.Input{})
	if err := b.Cancel(context.Background(), run.ID, "enough"); err != nil {
		t.Fatal(err)
	}
	if d := b.until(run.ID, ended); d.Run.Outcome != heddle.Abort {
		t.Errorf("verdict %s, want abort", d.Run.Outcome)
	}
}

func TestACancelDuringAResumeIsHeard(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	run := b.submit(flow([]string{"run", "1h"}), heddle.Input{})
	b.until(run.ID, running)
	b.stop()
	b.alter = func(s *faultyStore) {
		s.wake = make(chan heddle.RunID)
		var once sync.Once
		s.load = func(snap store.Snapshot, err error) (store.Snapshot, error) {
			once.Do(func() { // what was read is out of date by now
				if err := s.Store.RequestCancel(context.Background(), run.ID, "meanwhile"); err != nil {
					t.Error(err)
				}
				s.wake <- run.ID
				s.wake <- "another" // taken once the engine is done with the first
			})
			return snap, err
		}
	}
	b.start()
	if _, err := b.Resume(context.Background()); err != nil {
		t.Fatal(err)
	}
	if d := b.until(run.ID, ended); d.Run.Outcome != heddle.Abort {
		t.Errorf("verdict %s, want abort", d.Run.Outcome)
	}
}

func TestACancelSurvivesAStoreThatCannotBeRead(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	b.stop()
	var failing atomic.Bool
	b.alter = func(s *faultyStore) {
		s.load = func(snap store.Snapshot, err error) (store.Snapshot, error) {
			if failing.CompareAndSwap(true, false) {
				return store.Snapshot{}, errors.New("the connection is gone")
			}
			return snap, err
		}
	}
	b.start()
	run := b.submit(flow([]string{"run", "1h"}), heddle.Input{})
	b.until(run.ID, running)
	failing.Store(true)
	other, err := sqlite.Open(context.Background(), sqlite.Options{Dir: b.dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(other.RequestCancel(context.Background(), run.ID, ""), other.Close()); err != nil {
		t.Fatal(err)
	}
	if d := b.until(run.ID, ended); d.Run.Outcome != heddle.Abort {
		t.Errorf("verdict %s, want abort", d.Run.Outcome)
	}
}

func TestOnlyRunsThatAreInHandAreResumed(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{Parallel: 2})
	var runs []heddle.RunID
	for range 2 {
		run := b.submit(flow([]string{"run", "1h"}), heddle.Input{})
		b.until(run.ID, running)
		runs = append(runs, run.ID)
	}
	b.stop()
	broken := errors.New("cannot be read")
	b.alter = func(s *faultyStore) {
		s.load = func(snap store.Snapshot, err error) (store.Snapshot, error) {
			if snap.Run.ID == runs[0] {
				return store.Snapshot{}, broken
			}
			return snap, err
		}
	}
	b.start()
	taken, err := b.Resume(context.Background())
	if !errors.Is(err, broken) || len(taken) != 1 || taken[0] != runs[1] {
		t.Errorf("took %v: %v, want %s and the fault of the other", taken, err, runs[1])
	}
}

func TestAnExecutorThatOpensSlowlyHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	run := b.submit(flow([]string{"run", "30ms"}, nil), heddle.Input{})
	opening := make(chan struct{})
	b.opening = func(ctx context.Context) {
		close(opening)
		<-ctx.Done()
	}
	submitted := make(chan error, 1)
	go func() {
		_, err := b.Engine.Submit(context.Background(), heddle.Submission{Flow: flow(nil), Executor: "slow"})
		submitted <- err
	}()
	<-opening
	if d := b.until(run.ID, ended); d.Run.Outcome != heddle.Success {
		t.Errorf("verdict %s, want success", d.Run.Outcome)
	}
	b.stop()
	if err := <-submitted; heddle.CodeOf(err) != heddle.CodeUnavailable {
		t.Errorf("submitting: %v", err)
	}
}

func TestWhoWatchesSlowlyMissesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	const steps = 50
	run := b.submit(flow(append([][]string{{"run", "30ms"}}, make([][]string, steps)...)...), heddle.Input{})
	updates, err := b.Watch(context.Background(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	b.until(run.ID, ended) // nobody has read until now
	seen := map[int]heddle.VisitState{}
	for u := range updates {
		for _, v := range u.Visits {
			seen[v.No] = v.State
		}
	}
	for no := 1; no <= steps+1; no++ {
		if seen[no] != heddle.VisitSettled {
			t.Errorf("visit %d was last seen %q", no, seen[no])
		}
	}
}

// reluctant fails its first releases.
type reluctant struct {
	executor.Executor
	fails    atomic.Int64
	released chan heddle.AttemptID
}

func (x *reluctant) Release(ctx context.Context, ids []heddle.AttemptID) error {
	if x.fails.Add(-1) >= 0 {
		return errors.New("the cluster is away")
	}
	if err := x.Executor.Release(ctx, ids); err != nil {
		return err
	}
	for _, id := range ids {
		x.released <- id
	}
	return nil
}

func TestAReleaseThatFailsIsRepeated(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{ReleaseAgain: 20 * time.Millisecond})
	b.stop()
	x := &reluctant{released: make(chan heddle.AttemptID, 10)}
	x.fails.Store(2)
	b.wrap = func(inner executor.Executor) executor.Executor {
		x.Executor = inner
		return x
	}
	b.start()
	run := b.submit(flow(nil), heddle.Input{})
	d := b.until(run.ID, ended)
	select {
	case id := <-x.released:
		if id != d.Attempts[0].ID {
			t.Errorf("%s was released, want %s", id, d.Attempts[0].ID)
		}
	case <-time.After(10 * time.Second):
		t.Error("the release is not repeated")
	}
}

func TestAReleaseThatFailsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{ReleaseAgain: time.Hour})
	b.stop()
	x := &reluctant{released: make(chan heddle.AttemptID, 10)}
	x.fails.Store(1)
	b.wrap = func(inner executor.Executor) executor.Executor {
		x.Executor = inner
		return x
	}
	b.start()
	run := b.submit(flow(nil, []string{"run", "100ms"}), heddle.Input{}) // so that they are not released together
	d := b.until(run.ID, ended)
	select {
	case id := <-x.released:
		if id != d.Attempts[1].ID {
			t.Errorf("%s was released, want %s", id, d.Attempts[1].ID)
		}
	case <-time.After(10 * time.Second):
		t.Error("the second attempt is not released")
	}
	before := time.Now()
	b.stop()
	if took := time.Since(before); took > 4*time.Second {
		t.Errorf("the engine waited %v for a release that is to be repeated later", took)
	}
}
