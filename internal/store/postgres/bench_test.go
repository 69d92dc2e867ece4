package postgres

import (
	"fmt"
	"testing"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store/storetest"
)

// BenchmarkApply measures a change with two visits and two attempts, in groups
// that share a flush: the same that the other stores measure.
func BenchmarkApply(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprintf("group=%d", size), func(b *testing.B) {
			s := open(b, schema(b, ""))
			var changes []heddle.Change
			for i := range size {
				changes = append(changes, storetest.Create(b, heddle.RunID(fmt.Sprintf("00000000%04d", i)), "bench",
					func(c *heddle.Change) { c.Run.State = heddle.RunRunning }))
			}
			storetest.Commit(b, s, changes...)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n++
				for i := range changes {
					changes[i] = storetest.Next(changes[i], settleAndOpen)
				}
				storetest.Commit(b, s, changes...)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n*size), "µs/change")
		})
	}
}

// BenchmarkCreate measures runs that are accepted, with their first visit and attempt.
func BenchmarkCreate(b *testing.B) {
	for _, size := range []int{1, 64} {
		b.Run(fmt.Sprintf("group=%d", size), func(b *testing.B) {
			s := open(b, schema(b, ""))
			n := 0
			for b.Loop() {
				var changes []heddle.Change
				for range size {
					n++
					changes = append(changes, storetest.Create(b, heddle.RunID(fmt.Sprintf("%012d", n)), "bench", settleAndOpen))
				}
				storetest.Commit(b, s, changes...)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "µs/run")
		})
	}
}

// settleAndOpen settles a visit and opens the next.
func settleAndOpen(c *heddle.Change) {
	no := int(c.Seq) + 1
	c.Run.Visits = no
	at := storetest.Epoch().Add(time.Duration(no))
	visit := func(no int, state heddle.VisitState) heddle.Visit {
		return heddle.Visit{No: no, Step: "a", Nth: no, Cause: no - 1, State: state, Outcome: heddle.Success, Attempts: 1, Opened: at}
	}
	attempt := func(v int, status heddle.Status) heddle.Attempt {
		return heddle.Attempt{ID: heddle.NewAttemptID(c.Run.ID, v, 1), Visit: v, No: 1, Status: status, Place: "host:/var/lib/heddle", Created: at, Started: at}
	}
	c.Visits = []heddle.Visit{visit(no, heddle.VisitActive)}
	c.Attempts = []heddle.Attempt{attempt(no, heddle.StatusJobDeployed)}
	if no > 1 {
		c.Visits = append(c.Visits, visit(no-1, heddle.VisitSettled))
		c.Attempts = append(c.Attempts, attempt(no-1, heddle.StatusSuccess))
	}
}
