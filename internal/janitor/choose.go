// Package janitor decides which runs have been kept long enough, and deletes them
// with their logs. Which ones is a pure choice; the rest is a small loop.
package janitor

import (
	"cmp"
	"slices"
	"time"

	"github.com/heddle/heddle"
)

// Candidate is a run that may be deleted.
type Candidate struct {
	ID     heddle.RunID
	Failed bool
	Ended  time.Time
	Bytes  int64 // that its deletion frees
}

// Limits say how much is too much. What is 0 says nothing.
type Limits struct {
	// Age is how long ago a run may have ended.
	Age time.Duration
	// Excess is how many runs, and ExcessBytes how many bytes, there are too many.
	Excess      int
	ExcessBytes int64
	// SpareFailed has failed runs count as half as old as they are, so that they
	// are kept twice as long.
	SpareFailed bool
}

// Choose returns the runs to be deleted, those that are the oldest for these limits
// first. A run goes when any limit wants it to.
func Choose(runs []Candidate, l Limits, now time.Time) []Candidate {
	age := func(c *Candidate) time.Duration {
		if c.Failed && l.SpareFailed {
			return now.Sub(c.Ended) / 2
		}
		return now.Sub(c.Ended)
	}
	runs = slices.Clone(runs)
	slices.SortFunc(runs, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(age(&b), age(&a)), cmp.Compare(a.ID, b.ID))
	})
	n, bytes := 0, l.ExcessBytes
	for n < len(runs) && (l.Age > 0 && age(&runs[n]) > l.Age || n < l.Excess || bytes > 0) {
		bytes -= runs[n].Bytes
		n++
	}
	return runs[:n]
}
