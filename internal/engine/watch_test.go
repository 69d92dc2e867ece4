package engine

import (
	"runtime"
	"testing"

	"github.com/heddle/heddle"
)

// TestMergingCostsWhatIsAdded: a reader that does not read must not slow the run
// down, the more so the longer it does not.
func TestMergingCostsWhatIsAdded(t *testing.T) {
	const updates, most = 4000, 64 << 20
	w := &watcher{wake: make(chan struct{}, 1)}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for no := range updates {
		w.add(heddle.RunUpdate{Visits: []heddle.Visit{{No: no}}, Attempts: []heddle.Attempt{{No: no}}})
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > most {
		t.Errorf("merging %d updates takes %d bytes of memory, at most %d may be", updates, got, most)
	}
	if u, _ := w.take(); len(u.Visits) != updates || u.Visits[updates-1].No != updates-1 {
		t.Errorf("%d visits are left of %d", len(u.Visits), updates)
	}
}
