package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/engine"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/executor/executortest"
	"github.com/heddle/heddle/internal/store"
	"github.com/heddle/heddle/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is an engine on a real store and a fake executor, which can be started
// again on what the last one left behind.
type bench struct {
	t     *testing.T
	dir   string
	world *executortest.World
	opts  engine.Options
	alter func(*faultyStore) // nil: nothing, before the engine starts
	// opening is called when the executor called slow is opened, which fails.
	opening func(context.Context)
	wrap    func(executor.Executor) executor.Executor // nil: it is used as it is

	*engine.Engine
	store *faultyStore
	live  atomic.Int64 // attempts that the executor was told to start and have not ended
	most  atomic.Int64
}

// faultyStore fails writes on demand.
type faultyStore struct {
	*sqlite.Store
	mu     sync.Mutex
	faults []error
	load   func(store.Snapshot, error) (store.Snapshot, error) // nil: as it is
	wake   chan heddle.RunID                                   // nil: the store's own
	claims []heddle.RunID                                      // what Claim answers, once
	lapsed chan struct{}                                       // see [store.Lapser]
	lost   []heddle.RunID                                      // what Lost answers
}

func (s *faultyStore) Load(ctx context.Context, id heddle.RunID) (store.Snapshot, error) {
	snap, err := s.Store.Load(ctx, id)
	if s.load != nil {
		return s.load(snap, err)
	}
	return snap, err
}

func (s *faultyStore) Wake() <-chan heddle.RunID {
	if s.wake != nil {
		return s.wake
	}
	return s.Store.Wake()
}

func (s *faultyStore) Claim(ctx context.Context, ids []heddle.RunID) ([]heddle.RunID, error) {
	if claims := s.claims; claims != nil {
		s.claims = nil
		return claims, nil
	}
	return s.Store.Claim(ctx, ids)
}

func (s *faultyStore) Lapsed() <-chan struct{} { return s.lapsed }

func (s *faultyStore) Lost(context.Context, []heddle.RunID) ([]heddle.RunID, error) {
	return s.lost, nil
}

func (s *faultyStore) fail(errs ...error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, errs...)
}

func (s *faultyStore) Apply(ctx context.Context, changes []heddle.Change) ([]store.Answer, error) {
	s.mu.Lock()
	var fault error
	if len(s.faults) > 0 {
		fault, s.faults = s.faults[0], s.faults[1:]
	}
	s.mu.Unlock()
	if errors.Is(fault, errAnswerLost) {
		if _, err := s.Store.Apply(ctx, changes); err != nil {
			return nil, err
		}
	}
	if fault != nil {
		return nil, fault
	}
	return s.Store.Apply(ctx, changes)
}

var errAnswerLost = fmt.Errorf("the answer was lost: %w", store.ErrTemporary)

// countingExecutor counts how many attempts are open at once.
type countingExecutor struct {
	executor.Executor
	b *bench
}

func (x countingExecutor) Start(ctx context.Context, spec executor.Spec) error {
	n := x.b.live.Add(1)
	for {
		most := x.b.most.Load()
		if n <= most || x.b.most.CompareAndSwap(most, n) {
			break
		}
	}
	return x.Executor.Start(ctx, spec)
}

func newBench(t *testing.T, opts engine.Options) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), world: executortest.NewWorld(), opts: opts}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *bench) start() {
	b.t.Helper()
	st, err := sqlite.Open(context.Background(), sqlite.Options{Dir: b.dir})
	if err != nil {
		b.t.Fatal(err)
	}
	b.store = &faultyStore{Store: st, lapsed: make(chan struct{})}
	if b.alter != nil {
		b.alter(b.store)
	}
	o := b.opts
	o.Store, o.History, o.Turns, o.Pools, o.Log = b.store, st, b.store, b.store, slog.New(slog.DiscardHandler)
	o.Open = func(ctx context.Context, name string, sink executor.Sink) (executor.Executor, error) {
		if name == "slow" {
			b.opening(ctx)
		}
		if name != "fake" {
			return nil, heddle.Errorf(heddle.CodeUnavailable, "no executor %q", name)
		}
		var x executor.Executor = countingExecutor{b.world.Executor(func(r executor.Report) {
			if r.Exit != nil {
				b.live.Add(-1)
			}
			sink(r)
		}), b}
		if b.wrap != nil {
			x = b.wrap(x)
		}
		return x, nil
	}
	b.Engine = engine.Start(context.Background(), o)
}

// stop ends the engine as a crash would, but for the goroutines: what was open
// stays open.
func (b *bench) stop() {
	if b.Engine == nil {
		return
	}
	b.Engine.Stop()
	b.Engine = nil
	if err := b.store.Close(); err != nil {
		b.t.Error(err)
	}
}

func (b *bench) restart() {
	b.stop()
	b.start()
}

func (b *bench) submit(flow *heddle.Flow, in heddle.Input) heddle.Run {
	b.t.Helper()
	run, err := b.Submit(context.Background(), heddle.Submission{Flow: flow, Executor: "fake", Input: in})
	if err != nil {
		b.t.Fatal(err)
	}
	return run
}

// until waits for a state of the run.
func (b *bench) until(id heddle.RunID, is func(heddle.RunDetail) bool) heddle.RunDetail {
	b.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		d, err := b.Get(context.Background(), id)
		if err != nil {
			b.t.Fatal(err)
		}
		if is(d) {
			return d
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("run %s does not get there: %+v", id, d)
		}
		pause()
	}
}

func pause() { <-time.After(2 * time.Millisecond) }

func ended(d heddle.RunDetail) bool { return d.Run.State == heddle.RunEnded }

func running(d heddle.RunDetail) bool {
	return len(d.Attempts) > 0 && d.Attempts[len(d.Attempts)-1].Status == heddle.StatusRunning
}

// flow makes a chain of steps from their scripts, each with gate all.
func flow(scripts ...[]string) *heddle.Flow {
	f := &heddle.Flow{Kind: heddle.KindPipeline, Name: "test", Start: []string{"s0"}}
	for i, script := range scripts {
		name := fmt.Sprintf("s%d", i)
		f.Steps = append(f.Steps, heddle.Step{Name: name, Gate: heddle.GateAll, Work: &heddle.Work{Command: script}})
		if i > 0 {
			f.Edges = append(f.Edges, heddle.Edge{From: fmt.Sprintf("s%d", i-1), To: name})
		}
	}
	return f
}

func outcomes(d heddle.RunDetail) map[string]heddle.Outcome {
	got := map[string]heddle.Outcome{}
	for _, v := range d.Visits {
		got[v.Step] = v.Outcome
	}
	return got
}

// checkOnce looks whether every attempt that was made was started once, and every
// one that was started is known.
func (b *bench) checkOnce(d heddle.RunDetail) {
	b.t.Helper()
	starts := b.world.Starts()
	for _, a := range d.Attempts {
		if n := starts[a.ID]; n != 1 {
			b.t.Errorf("attempt %s was started %d times", a.ID, n)
		}
		delete(starts, a.ID)
	}
	for id := range starts {
		b.t.Errorf("attempt %s was started and is not in the store", id)
	}
}

func TestRunsToTheirVerdict(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		flow *heddle.Flow
		want heddle.Outcome
		each map[string]heddle.Outcome
	}{
		"a chain that succeeds": {
			flow: flow(nil, nil, nil), want: heddle.Success,
			each: map[string]heddle.Outcome{"s0": heddle.Success, "s1": heddle.Success, "s2": heddle.Success},
		},
		"a failure skips what depends on it": {
			flow: flow(nil, []string{"exit", "3"}, nil), want: heddle.Failure,
			each: map[string]heddle.Outcome{"s0": heddle.Success, "s1": heddle.Failure, "s2": heddle.Skipped},
		},
		"what cannot be started fails": {
			flow: flow([]string{"refuse", "no such program"}), want: heddle.Failure,
			each: map[string]heddle.Outcome{"s0": heddle.Failure},
		},
		"a flow without steps succeeds": {
			flow: &heddle.Flow{Kind: heddle.KindPipeline, Name: "empty"}, want: heddle.Success,
			each: map[string]heddle.Outcome{},
		},
		"what the infrastructure keeps breaking fails": {
			flow: flow([]string{"infra"}), want: heddle.Failure,
			each: map[string]heddle.Outcome{"s0": heddle.Failure},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, engine.Options{})
			d := b.until(b.submit(tc.flow, heddle.Input{}).ID, ended)
			if d.Run.Outcome != tc.want {
				t.Errorf("verdict %s, want %s", d.Run.Outcome, tc.want)
			}
			if diff := cmp.Diff(tc.each, outcomes(d)); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if causeless := b.Stats().Causeless; causeless != 0 {
				t.Errorf("%d runs have nothing that will wake them", causeless)
			}
		})
	}
}

func TestWatchTellsEveryCommittedState(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	run := b.submit(flow([]string{"run", "30ms"}, nil), heddle.Input{})
	updates, err := b.Watch(t.Context(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	var last heddle.RunUpdate
	seen := map[int]heddle.VisitState{}
	for u := range updates {
		last = u
		for _, v := range u.Visits {
			if seen[v.No] == heddle.VisitSettled && v.State != heddle.VisitSettled {
				t.Errorf("visit %d went from settled to %s", v.No, v.State)
			}
			seen[v.No] = v.State
		}
	}
	if last.Run.State != heddle.RunEnded || last.Run.Outcome != heddle.Success {
		t.Errorf("the last update is %+v", last.Run)
	}
	want := map[int]heddle.VisitState{1: heddle.VisitSettled, 2: heddle.VisitSettled}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("visits (-want +got):\n%s", diff)
	}
}

func TestCancelStopsAndFinallyRuns(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	f := flow([]string{"run", "1h"}, nil)
	f.Steps = append(f.Steps, heddle.Step{Name: "last", Gate: heddle.GateAll, Finally: true, Work: &heddle.Work{}})
	run := b.submit(f, heddle.Input{})
	b.until(run.ID, running)
	if err := b.Cancel(context.Background(), run.ID, "enough"); err != nil {
		t.Fatal(err)
	}
	d := b.until(run.ID, ended)
	if d.Run.Outcome != heddle.Abort {
		t.Errorf("verdict %s, want abort", d.Run.Outcome)
	}
	if diff := cmp.Diff(map[string]heddle.Outcome{"s0": heddle.Abort, "last": heddle.Success}, outcomes(d)); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if err := b.Cancel(context.Background(), run.ID, ""); heddle.CodeOf(err) != heddle.CodeConflict {
		t.Errorf("cancelling a run that has ended: %v", err)
	}
}

func TestCancelReachesARunOfAnotherEngine(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	run := b.submit(flow([]string{"run", "1h"}), heddle.Input{})
	b.until(run.ID, running)
	other := &bench{t: t, dir: b.dir, world: executortest.NewWorld()}
	other.start()
	defer other.stop()
	if taken, err := other.Resume(context.Background()); err != nil || len(taken) != 0 {
		t.Errorf("a second engine took %v of the first's runs: %v", taken, err)
	}
	if err := other.Cancel(context.Background(), run.ID, "from elsewhere"); err != nil {
		t.Fatal(err)
	}
	if d := b.until(run.ID, ended); d.Run.Outcome != heddle.Abort {
		t.Errorf("verdict %s, want abort", d.Run.Outcome)
	}
}

func TestResumeGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	run := b.submit(flow(nil, []string{"run", "100ms"}, nil, []string{"exit", "1"}), heddle.Input{})
	b.until(run.ID, func(d heddle.RunDetail) bool { return len(d.Visits) == 2 })
	b.restart()
	taken, err := b.Resume(context.Background())
	if err != nil || len(taken) != 1 {
		t.Fatalf("took %v: %v", taken, err)
	}
	d := b.until(run.ID, ended)
	if d.Run.Outcome != heddle.Failure {
		t.Errorf("verdict %s, want failure", d.Run.Outcome)
	}
	b.checkOnce(d)
}

func TestResumeHearsOfACancelInBetween(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	run := b.submit(flow([]string{"run", "1h"}, nil), heddle.Input{})
	b.until(run.ID, running)
	b.stop()
	st, err := sqlite.Open(context.Background(), sqlite.Options{Dir: b.dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(st.RequestCancel(context.Background(), run.ID, "while it was down"), st.Close()); err != nil {
		t.Fatal(err)
	}
	b.start()
	if _, err := b.Resume(context.Background()); err != nil {
		t.Fatal(err)
	}
	if d := b.until(run.ID, ended); d.Run.Outcome != heddle.Abort {
		t.Errorf("verdict %s, want abort", d.Run.Outcome)
	}
}

func TestALostAttemptGetsAnother(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	run := b.submit(flow([]string{"vanish"}), heddle.Input{})
	b.until(run.ID, func(d heddle.RunDetail) bool {
		return len(d.Attempts) == 1 && d.Attempts[0].Status >= heddle.StatusPending
	})
	for i := range heddle.DefaultInfraRetries {
		b.restart()
		if _, err := b.Resume(context.Background()); err != nil {
			t.Fatal(err)
		}
		b.until(run.ID, func(d heddle.RunDetail) bool {
			return len(d.Attempts) == i+2 && d.Attempts[i+1].Status >= heddle.StatusPending && d.Attempts[i].Infra
		})
	}
	b.restart()
	if _, err := b.Resume(context.Background()); err != nil {
		t.Fatal(err)
	}
	d := b.until(run.ID, ended)
	if got := len(d.Attempts); got != 1+heddle.DefaultInfraRetries {
		t.Errorf("%d attempts, want %d", got, 1+heddle.DefaultInfraRetries)
	}
	b.checkOnce(d)
}

func TestFaultsOfTheExecutorAreWaitedOut(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	var failed, lost atomic.Int64
	b.world.FailStart(func(executor.Spec) error {
		if failed.Add(1) == 1 {
			return errors.New("not there")
		}
		return nil
	})
	b.world.LoseStart(func(executor.Spec) error {
		if lost.Add(1) == 1 {
			return errors.New("the answer was lost")
		}
		return nil
	})
	d := b.until(b.submit(flow(nil, nil), heddle.Input{}).ID, ended)
	if d.Run.Outcome != heddle.Success {
		t.Errorf("verdict %s, want success", d.Run.Outcome)
	}
	b.checkOnce(d)
}

func TestFaultsOfTheStoreAreWaitedOut(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	full := fmt.Errorf("the disk is full: %w", store.ErrTemporary)
	b.store.fail(full, errAnswerLost, nil, errAnswerLost, full)
	d := b.until(b.submit(flow(nil, nil, nil), heddle.Input{}).ID, ended)
	if d.Run.Outcome != heddle.Success {
		t.Errorf("verdict %s, want success", d.Run.Outcome)
	}
	b.checkOnce(d)
}

func TestAStoreThatIsGoneEndsTheEngineAndLosesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	run := b.submit(flow([]string{"run", "50ms"}, nil), heddle.Input{})
	updates, err := b.Watch(context.Background(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	b.store.fail(errors.New("corrupt"))
	select {
	case <-b.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the engine goes on")
	}
	tooLong := time.After(10 * time.Second)
	for open := true; open; {
		select {
		case _, open = <-updates:
		case <-tooLong:
			t.Fatal("who watches the run is not told that there is nothing more to come")
		}
	}
	if b.Err() == nil {
		t.Error("the engine does not say why it ended")
	}
	if _, err := b.Submit(context.Background(), heddle.Submission{Flow: flow(nil), Executor: "fake"}); heddle.CodeOf(err) != heddle.CodeUnavailable {
		t.Errorf("submitting to it: %v", err)
	}
	b.restart()
	if _, err := b.Resume(context.Background()); err != nil {
		t.Fatal(err)
	}
	d := b.until(run.ID, ended)
	if d.Run.Outcome != heddle.Success {
		t.Errorf("verdict %s, want success", d.Run.Outcome)
	}
	b.checkOnce(d)
}

func TestParallelBoundsWhatIsOpenAndNobodyStarves(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{Parallel: 3})
	var runs []heddle.RunID
	for range 8 {
		f := flow([]string{"run", "5ms"}, []string{"run", "5ms"})
		f.Edges = nil
		f.Start = []string{"s0", "s1"}
		runs = append(runs, b.submit(f, heddle.Input{}).ID)
	}
	for _, id := range runs {
		if d := b.until(id, ended); d.Run.Outcome != heddle.Success {
			t.Errorf("run %s: %s", id, d.Run.Outcome)
		}
	}
	if most := b.most.Load(); most > 3 {
		t.Errorf("%d attempts were open at once, 3 may be", most)
	}
}

func TestSubmitRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	first := b.submit(flow(nil), heddle.Input{})
	for name, tc := range map[string]struct {
		sub  heddle.Submission
		want heddle.Code
	}{
		"no flow":                  {heddle.Submission{Executor: "fake"}, heddle.CodeInvalid},
		"a strange ID":             {heddle.Submission{Executor: "fake", Flow: flow(nil), ID: "../x"}, heddle.CodeInvalid},
		"a context that is a list": {heddle.Submission{Executor: "fake", Flow: flow(nil), Input: heddle.Input{Context: []byte("[1]")}}, heddle.CodeInvalid},
		"an ID that exists":        {heddle.Submission{Executor: "fake", Flow: flow(nil), ID: first.ID}, heddle.CodeConflict},
		"an unknown executor":      {heddle.Submission{Executor: "other", Flow: flow(nil)}, heddle.CodeUnavailable},
		"a flow that waits for itself": {heddle.Submission{Executor: "fake", Flow: &heddle.Flow{
			Steps: []heddle.Step{{Name: "a", Gate: heddle.GateAll, Work: &heddle.Work{}}},
			Edges: []heddle.Edge{{From: "a", To: "a"}},
		}}, heddle.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := b.Submit(context.Background(), tc.sub); heddle.CodeOf(err) != tc.want {
				t.Errorf("error %v, want code %s", err, tc.want)
			}
		})
	}
}

func TestNoticesComeAfterTheirCommitAndTheAmbientIsNotStored(t *testing.T) {
	t.Parallel()
	told := make(chan heddle.Notice, 8)
	b := newBench(t, engine.Options{
		Ambient: []string{"SECRET=hush", "KEEP=yes"},
		Notices: func(ns []heddle.Notice) {
			for _, n := range ns {
				told <- n
			}
		},
	})
	f := flow(nil)
	f.Steps[0].NeedsEnv = []string{"KEEP"}
	run := b.submit(f, heddle.Input{Notify: []string{"console"}, Ambient: &heddle.Ambient{Ignore: []string{"SEC*"}}})
	if d := b.until(run.ID, ended); d.Run.Outcome != heddle.Success {
		t.Errorf("verdict %s: %s", d.Run.Outcome, d.Run.Message)
	}
	n := <-told
	pending, err := b.store.Pending(context.Background(), []heddle.RunID{run.ID})
	if err != nil || len(pending) != 1 || pending[0].ID != n.ID {
		t.Errorf("in the outbox: %v, %v", pending, err)
	}
	f.Steps[0].NeedsEnv = []string{"SECRET"}
	run = b.submit(f, heddle.Input{Ambient: &heddle.Ambient{Ignore: []string{"SEC*"}}})
	if d := b.until(run.ID, ended); d.Run.Outcome != heddle.Abort {
		t.Errorf("a step that needs an ignored variable: %s", d.Run.Outcome)
	}
}
