package sqlite

import (
	"fmt"
	"testing"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// BenchmarkApply measures a change with two visits and two attempts, in groups
// that share a flush.
func BenchmarkApply(b *testing.B) {
	for _, group := range []int{1, 100} {
		b.Run(fmt.Sprintf("group=%d", group), func(b *testing.B) {
			s := benchStore(b)
			flow := &heddle.Flow{Kind: heddle.KindJob, Name: "bench", Steps: []heddle.Step{{Name: "a"}}, Start: []string{"a"}}
			hash, err := flow.Hash()
			if err != nil {
				b.Fatal(err)
			}
			now := time.Now()
			runs := make([]heddle.Run, group)
			var creates []heddle.Change
			for i := range runs {
				runs[i] = heddle.Run{ID: heddle.RunID(fmt.Sprintf("00000000%04d", i)), Kind: flow.Kind, Name: flow.Name, FlowHash: hash,
					Executor: "process", State: heddle.RunRunning, Created: now, Started: now}
				creates = append(creates, heddle.Change{ID: fmt.Sprint("c", i), Run: runs[i], Flow: flow})
			}
			benchApply(b, s, creates)
			changes := make([]heddle.Change, group)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n++
				for i := range changes {
					changes[i] = benchChange(runs[i], n, now)
				}
				benchApply(b, s, changes)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n*group), "µs/change")
		})
	}
}

// benchChange settles visit n and opens the next.
func benchChange(r heddle.Run, n int, now time.Time) heddle.Change {
	r.Visits = n + 1
	visit := func(no int, state heddle.VisitState) heddle.Visit {
		return heddle.Visit{No: no, Step: "a", Nth: no, Cause: no - 1, State: state, Outcome: heddle.Success, Attempts: 1, Opened: now}
	}
	attempt := func(v int, status heddle.Status) heddle.Attempt {
		return heddle.Attempt{ID: heddle.NewAttemptID(r.ID, v, 1), Visit: v, No: 1, Status: status, Place: "host:/var/lib/heddle", Created: now, Started: now}
	}
	return heddle.Change{ID: fmt.Sprint(r.ID, "-", n), Run: r, Epoch: 1, Seq: int64(n),
		Visits:   []heddle.Visit{visit(n, heddle.VisitSettled), visit(n+1, heddle.VisitActive)},
		Attempts: []heddle.Attempt{attempt(n, heddle.StatusSuccess), attempt(n+1, heddle.StatusJobDeployed)}}
}

func benchStore(b *testing.B) *Store {
	b.Helper()
	s, err := Open(b.Context(), Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

func benchApply(b *testing.B, s *Store, changes []heddle.Change) {
	b.Helper()
	answers, err := s.Apply(b.Context(), changes)
	if err != nil {
		b.Fatal(err)
	}
	for i, answer := range answers {
		if answer != store.Committed {
			b.Fatalf("change %d of %d: %s", i, len(changes), answer)
		}
	}
}
