package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkBareLoop is the baseline: fork, exec and wait for `true`, append a line
// to a file, fsync.
func BenchmarkBareLoop(b *testing.B) {
	b.ReportMetric(bareLoop(b, 300)*1e3, "ms/step")
}

func bareLoop(b *testing.B, n int) (seconds float64) {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "journal"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	begun := time.Now()
	for range n {
		if err := exec.Command("true").Run(); err != nil {
			b.Fatal(err)
		}
		if _, err := f.WriteString("done\n"); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(begun).Seconds() / float64(n)
}

// BenchmarkChain is the marginal cost of a no-op step in a chain, durable store
// and process executor, beside the bare loop before and after it.
func BenchmarkChain(b *testing.B) {
	before := bareLoop(b, 200)
	t1 := measure(b, b.TempDir(), "chain", 1).Seconds
	t100 := measure(b, b.TempDir(), "chain", 100).Seconds
	t500 := measure(b, b.TempDir(), "chain", 500).Seconds
	bare := (before + bareLoop(b, 200)) / 2
	b.ReportMetric(bare*1e3, "bare-ms/step")
	b.ReportMetric((t500-t1)/499*1e3, "ms/step")
	b.ReportMetric((t500-t1)/499/bare, "ratio-to-bare")
	b.ReportMetric(((t500-t100)/400)/((t100-t1)/99), "flatness")
}

// BenchmarkFanOut is a fan-out of 1,000, per step beside a chain of 500.
func BenchmarkFanOut(b *testing.B) {
	const n = 1000
	chain := measure(b, b.TempDir(), "chain", 500).Seconds / 500
	f := measure(b, b.TempDir(), "fan", n)
	b.ReportMetric(f.Seconds/n*1e3, "ms/step")
	b.ReportMetric(f.Seconds/n/chain, "ratio-to-chain")
	b.ReportMetric(f.PeakMB, "engine-MB")
	b.ReportMetric(f.SuperMB, "supervisor-MB")
}

// BenchmarkLongRun is one run of 100,000 steps on the fake executor, per step
// beside one of 1,000.
func BenchmarkLongRun(b *testing.B) {
	const n = 100_000
	short := measure(b, b.TempDir(), "fake", 1000).Seconds / 1000
	f := measure(b, b.TempDir(), "fake", n)
	b.ReportMetric(f.Seconds/n*1e6, "us/step")
	b.ReportMetric(f.Seconds/n/short, "ratio-to-1000")
	b.ReportMetric(f.PeakMB, "MB")
}

// BenchmarkOneStepRuns is how many one-step process runs finish in a second, 64
// clients, beside the bare loop.
func BenchmarkOneStepRuns(b *testing.B) {
	const n = 2000
	bare := bareLoop(b, 300)
	f := measure(b, b.TempDir(), "singles", n)
	b.ReportMetric(n/f.Seconds, "runs/s")
	b.ReportMetric(f.Seconds/n/bare, "ratio-to-bare")
}

// BenchmarkRecovery is how long it takes to take up 1,000 open process runs.
func BenchmarkRecovery(b *testing.B) {
	const n = 1000
	dir := b.TempDir()
	measure(b, dir, "prepare", n)
	b.ReportMetric(measure(b, dir, "recover", n).Seconds, "s")
}

// BenchmarkGroupCommit is one-step runs on the fake executor with changes sharing
// flushes, beside the same with a flush for each.
func BenchmarkGroupCommit(b *testing.B) {
	const n = 5000
	on := measure(b, b.TempDir(), "grouped", n).Seconds
	off := measure(b, b.TempDir(), "ungrouped", n).Seconds
	b.ReportMetric(n/on, "runs/s")
	b.ReportMetric(n/off, "runs/s-ungrouped")
	b.ReportMetric(off/on, "ratio")
}
