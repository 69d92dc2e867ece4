package janitor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

func now() time.Time { return time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC) }

const day = 24 * time.Hour

// candidates makes runs of words such as "a5" (a ended well five days ago), "b5f"
// (failed); each frees ten bytes.
func candidates(words string) []Candidate {
	var runs []Candidate
	for _, word := range strings.Fields(words) {
		text, failed := strings.CutSuffix(word, "f")
		var days int
		if _, err := fmt.Sscanf(text[1:], "%d", &days); err != nil {
			panic(err)
		}
		runs = append(runs, Candidate{ID: heddle.RunID(text[:1]), Failed: failed, Ended: now().Add(-time.Duration(days) * day), Bytes: 10})
	}
	return runs
}

func TestChoose(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		runs   string
		limits Limits
		want   string
	}{
		"no limit":                                   {runs: "a900 b1"},
		"no runs":                                    {limits: Limits{Age: day, Excess: 3, ExcessBytes: 1}},
		"what is older than the age":                 {runs: "a1 b5 c9 d4", limits: Limits{Age: 4 * day}, want: "c b"},
		"failed ones count in full":                  {runs: "a5 b5f", limits: Limits{Age: 4 * day}, want: "a b"},
		"failed ones are kept twice as long":         {runs: "a5 b7f c9f", limits: Limits{Age: 4 * day, SpareFailed: true}, want: "a c"},
		"the oldest of too many":                     {runs: "a1 b3 c2", limits: Limits{Excess: 2}, want: "b c"},
		"the oldest of too many, failed ones spared": {runs: "a1 b3f c2", limits: Limits{Excess: 1, SpareFailed: true}, want: "c"},
		"more too many than there are":               {runs: "a1 b3", limits: Limits{Excess: 9}, want: "b a"},
		"until there is room":                        {runs: "a1 b3 c2", limits: Limits{ExcessBytes: 11}, want: "b c"},
		"any limit is enough":                        {runs: "a9 b8 c3 d2 e1", limits: Limits{Age: 5 * day, Excess: 1, ExcessBytes: 21}, want: "a b c"},
		"runs of the same age, by ID":                {runs: "b1 a1", limits: Limits{Excess: 1}, want: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, c := range Choose(candidates(tc.runs), tc.limits, now()) {
				got = append(got, string(c.ID))
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("chose %v, want %s", got, tc.want)
			}
		})
	}
}

// fake is a store and its logs: one day of age for each run, each ended when it was
// made, with a log of a thousand bytes.
type fake struct {
	runs    []store.Prunable // oldest first
	logs    map[heddle.RunID]bool
	fault   error
	deletes int
	broken  string // what was done in the wrong order
}

func newFake(n int, failed func(i int) bool) *fake {
	f := &fake{logs: map[heddle.RunID]bool{}}
	for i := range n {
		p := store.Prunable{ID: heddle.RunID(fmt.Sprintf("r%04d", i)), Outcome: heddle.Success, Created: now().Add(-time.Duration(n-i) * day)}
		if failed(i) {
			p.Outcome = heddle.Failure
		}
		p.Ended = p.Created
		f.runs = append(f.runs, p)
		f.logs[p.ID] = true
	}
	return f
}

func none(int) bool { return false }

func (f *fake) Prunable(_ context.Context, q store.PruneQuery) ([]store.Prunable, error) {
	var found []store.Prunable
	for _, p := range f.runs {
		if (len(q.IDs) == 0 || slices.Contains(q.IDs, p.ID)) && (len(q.Outcomes) == 0 || slices.Contains(q.Outcomes, p.Outcome)) &&
			(q.Limit == 0 || len(found) < q.Limit) {
			found = append(found, p)
		}
	}
	return found, nil
}

func (f *fake) Delete(_ context.Context, ids []heddle.RunID) ([]heddle.RunID, error) {
	if f.fault != nil {
		return nil, f.fault
	}
	f.deletes++
	for _, id := range ids {
		if f.logs[id] {
			f.broken = string(id) + " went before its log"
		}
	}
	f.runs = slices.DeleteFunc(f.runs, func(p store.Prunable) bool { return slices.Contains(ids, p.ID) })
	return ids, nil
}

func (f *fake) Usage(context.Context) (store.Usage, error) {
	return store.Usage{Ended: len(f.runs), Bytes: int64(24 * len(f.runs))}, nil
}

func (f *fake) Runs() (ids []heddle.RunID, err error) {
	for _, p := range f.runs {
		ids = append(ids, p.ID)
	}
	return ids, nil
}
func (f *fake) Size(heddle.RunID) (int64, error) { return 1000, nil }
func (f *fake) Remove(run heddle.RunID) error    { f.logs[run] = false; return nil }
func (f *fake) janitor() *Janitor                { return New(Options{Store: f, Logs: f}) }

func (f *fake) count(failed bool) (n, oldest int) {
	for _, p := range f.runs {
		if !p.Outcome.Good() == failed {
			n++
			oldest = max(oldest, int(now().Sub(p.Ended)/day))
		}
	}
	return n, oldest
}

func TestKeep(t *testing.T) {
	t.Parallel()
	odd := func(i int) bool { return i%2 == 1 }
	for name, tc := range map[string]struct {
		runs             int
		failed           func(int) bool
		r                Retention
		unmeasured       bool
		well, failedLeft int
	}{
		"nothing is bounded":                     {runs: 1000, failed: none, well: 1000},
		"by age":                                 {runs: 1000, failed: none, r: Retention{Age: 300 * day}, well: 300},
		"by age, failed ones twice as long":      {runs: 1000, failed: odd, r: Retention{Age: 300 * day}, well: 150, failedLeft: 300},
		"by number":                              {runs: 1000, failed: none, r: Retention{Runs: 350}, well: 350},
		"by number, failed ones among them":      {runs: 400, failed: odd, r: Retention{Runs: 300}, well: 100, failedLeft: 200},
		"a hundredth too many is not too many":   {runs: 1010, failed: none, r: Retention{Runs: 1000}, well: 1010},
		"more than a hundredth is":               {runs: 1011, failed: none, r: Retention{Runs: 1000}, well: 1000},
		"a hundredth too old is not too old":     {runs: 303, failed: none, r: Retention{Age: 300 * day}, well: 303},
		"by size":                                {runs: 500, failed: none, r: Retention{Bytes: 1024 * 200}, well: 200},
		"sizes are left alone unless looked for": {runs: 500, failed: none, r: Retention{Bytes: 1024 * 200}, unmeasured: true, well: 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(tc.runs, tc.failed)
			n, err := f.janitor().Keep(t.Context(), tc.r, now(), !tc.unmeasured)
			if err != nil || n != tc.runs-len(f.runs) || f.broken != "" {
				t.Fatalf("told %d deletions, error %v, %s; there were %d", n, err, f.broken, tc.runs-len(f.runs))
			}
			well, _ := f.count(false)
			failed, _ := f.count(true)
			if diff := cmp.Diff([]int{tc.well, tc.failedLeft}, []int{well, failed}); diff != "" {
				t.Errorf("left, well and failed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestKeepStopsInTime(t *testing.T) {
	t.Parallel()
	f := newFake(1000, none)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := f.janitor().Keep(ctx, Retention{Runs: 1}, now(), true); n != 0 || err != nil {
		t.Errorf("deleted %d runs without time, error %v", n, err)
	}
	f.fault = errors.New("full")
	if _, err := f.janitor().Keep(t.Context(), Retention{Runs: 1}, now(), true); !errors.Is(err, f.fault) {
		t.Errorf("error %v, want that of the store", err)
	}
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	f := newFake(4, none)
	runs := []Candidate{{ID: "r0000"}, {ID: "r0001"}}
	total, err := f.janitor().Measure(t.Context(), runs)
	if err != nil || total != 2048 || runs[1].Bytes != 1024 {
		t.Errorf("measured %d, error %v, runs %v; want 2 of 1024 bytes", total, err, runs)
	}
}
