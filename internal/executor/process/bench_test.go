//go:build unix

package process

import (
	"os/exec"
	"testing"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// BenchmarkTrue is a program that does nothing, from start to reported end, one
// after another; release included. BenchmarkBareTrue is what it is measured against.
func BenchmarkTrue(b *testing.B) {
	dir := testDir(b)
	ended := make(chan heddle.AttemptID, 1)
	e := open(b, dir, time.Second, func(r executor.Report) {
		if r.Exit != nil {
			ended <- r.Attempt
		}
	})
	run := heddle.RunID(heddle.NewID(time.Now()))
	n := 0
	for b.Loop() {
		n++
		spec := executor.Spec{
			Attempt: heddle.NewAttemptID(run, n, 1), Place: e.Place(), Step: "true",
			Work: heddle.Work{Command: []string{"true"}},
		}
		if err := e.Start(b.Context(), spec); err != nil {
			b.Fatal(err)
		}
		if err := e.Release(b.Context(), []heddle.AttemptID{<-ended}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBareTrue(b *testing.B) {
	for b.Loop() {
		if err := exec.Command("true").Run(); err != nil {
			b.Fatal(err)
		}
	}
}
