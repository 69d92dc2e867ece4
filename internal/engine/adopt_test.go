package engine_test

import (
	"context"
	"slices"
	"testing"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/engine"
	"github.com/heddle/heddle/internal/executor"
)

// elsewhere is an executor of another place.
type elsewhere struct{ executor.Executor }

func (elsewhere) Place() string { return "fake:elsewhere" }

func TestOnlyRunsThatCanBeSeenAreAdopted(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	run := b.submit(flow([]string{"run", "1h"}), heddle.Input{})
	b.until(run.ID, running)
	wanting := b.submit(flow([]string{"run", "1h"}), heddle.Input{Ambient: &heddle.Ambient{}})
	b.until(wanting.ID, running)
	b.stop()

	b.wrap = func(x executor.Executor) executor.Executor { return elsewhere{x} }
	b.start()
	for range 2 { // the second time it is remembered
		if taken, err := b.Adopt(context.Background()); err != nil || len(taken) != 0 {
			t.Errorf("a run of another place was taken: %v, error %v", taken, err)
		}
	}
	b.stop()

	b.wrap = nil
	b.start()
	if taken, err := b.Adopt(context.Background()); err != nil || !slices.Equal(taken, []heddle.RunID{run.ID}) {
		t.Fatalf("taken %v, error %v; want %s", taken, err, run.ID)
	}
	if s := b.Stats(); s.Runs[heddle.RunPending] != 1 || s.Causeless != 0 {
		t.Errorf("stats %+v, want one run, of which nothing was committed yet", s)
	}
	if err := b.Cancel(context.Background(), run.ID, "enough"); err != nil {
		t.Fatal(err)
	}
	b.until(run.ID, ended)
}

func TestARunIsLeftToOthersThatIsNotForThisEngine(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{CheckOrphan: func(d *heddle.RunDetail) error {
		if len(d.Flow.Steps[0].Work.From) > 0 {
			return heddle.Errorf(heddle.CodeInvalid, "not here")
		}
		return nil
	}})
	held := flow([]string{"run", "1h"})
	held.Steps[0].Work.From = map[string]heddle.Source{"X": {Env: "X"}}
	b.until(b.submit(held, heddle.Input{Env: map[string]string{"X": "1"}}).ID, running)
	run := b.submit(flow([]string{"run", "1h"}), heddle.Input{})
	b.until(run.ID, running)
	b.stop()
	b.start()
	if taken, err := b.Adopt(context.Background()); err != nil || !slices.Equal(taken, []heddle.RunID{run.ID}) {
		t.Errorf("taken %v, error %v; want %s", taken, err, run.ID)
	}
	if err := b.Cancel(context.Background(), run.ID, "enough"); err != nil {
		t.Fatal(err)
	}
	b.until(run.ID, ended)
}

// A session that was cut off may claim back what others had claimed meanwhile.
func TestARunThatIsClaimedBackGetsANewActor(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	run := b.submit(flow([]string{"run", "1h"}, nil), heddle.Input{})
	b.until(run.ID, running)
	b.store.claims = []heddle.RunID{run.ID}
	taken, err := b.Resume(context.Background())
	if err != nil || len(taken) != 1 {
		t.Fatalf("taken %v, error %v", taken, err)
	}
	if !b.Owns(run.ID) || !slices.Equal(b.InHand(), taken) {
		t.Errorf("in hand are %v", b.InHand())
	}
	if err := b.Cancel(context.Background(), run.ID, "enough"); err != nil {
		t.Fatal(err)
	}
	b.checkOnce(b.until(run.ID, ended))
}

// A session whose lease ran out hears that others have claimed its runs.
func TestARunThatOthersHaveClaimedIsLetGo(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	lost := b.submit(flow([]string{"run", "1h"}), heddle.Input{})
	kept := b.submit(flow([]string{"run", "1h"}), heddle.Input{})
	b.until(lost.ID, running)
	b.until(kept.ID, running)
	updates, err := b.Watch(t.Context(), lost.ID)
	if err != nil {
		t.Fatal(err)
	}
	b.store.lost = []heddle.RunID{lost.ID}
	b.store.lapsed <- struct{}{}
	for range updates { // until those who watch are told that there is no more
	}
	if b.Owns(lost.ID) || !b.Owns(kept.ID) {
		t.Errorf("in hand are %v, want %s", b.InHand(), kept.ID)
	}
}
