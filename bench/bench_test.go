package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// onEachStore runs a benchmark on SQLite and, where there is a server, PostgreSQL.
func onEachStore(b *testing.B, run func(b *testing.B, store string)) {
	for _, store := range []string{"sqlite", "postgres"} {
		b.Run(store, func(b *testing.B) { run(b, store) })
	}
}

// bareLoop is the baseline: fork, exec and wait for a program, append a line to a
// file, fsync. It returns the seconds for one turn.
func bareLoop(b *testing.B, n int, program ...string) float64 {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "journal"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	begun := time.Now()
	for range n {
		if err := exec.Command(program[0], program[1:]...).Run(); err != nil {
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
	onEachStore(b, func(b *testing.B, store string) {
		before := bareLoop(b, 200, "true")
		t1 := measure(b, fresh(b, store), "chain", 1).Seconds
		t100 := measure(b, fresh(b, store), "chain", 100).Seconds
		t500 := measure(b, fresh(b, store), "chain", 500).Seconds
		bare := (before + bareLoop(b, 200, "true")) / 2
		b.ReportMetric(bare*1e3, "bare-ms/step")
		b.ReportMetric((t500-t1)/499*1e3, "ms/step")
		b.ReportMetric((t500-t1)/499/bare, "ratio-to-bare")
		b.ReportMetric(((t500-t100)/400)/((t100-t1)/99), "flatness")
	})
}

// BenchmarkFanOut is a fan-out of 1,000, per step beside a chain of 500.
func BenchmarkFanOut(b *testing.B) {
	onEachStore(b, func(b *testing.B, store string) { wide(b, store, "fan") })
}

// BenchmarkMatrix is a matrix of 1,000 followed by one step, per step beside a
// chain of 500.
func BenchmarkMatrix(b *testing.B) {
	onEachStore(b, func(b *testing.B, store string) { wide(b, store, "matrix") })
}

func wide(b *testing.B, store, scenario string) {
	b.Helper()
	const n = 1000
	chain := measure(b, fresh(b, store), "chain", 500).Seconds / 500
	f := measure(b, fresh(b, store), scenario, n)
	b.ReportMetric(f.Seconds/n*1e3, "ms/step")
	b.ReportMetric(f.Seconds/n/chain, "ratio-to-chain")
	b.ReportMetric(f.PeakMB, "engine-MB")
	b.ReportMetric(f.SuperMB, "supervisor-MB")
}

// BenchmarkLongRun is one run of 100,000 steps on the fake executor, per step
// beside one of 1,000.
func BenchmarkLongRun(b *testing.B) {
	const n = 100_000
	onEachStore(b, func(b *testing.B, store string) {
		short := measure(b, fresh(b, store), "fake", 1000).Seconds / 1000
		f := measure(b, fresh(b, store), "fake", n)
		b.ReportMetric(f.Seconds/n*1e6, "us/step")
		b.ReportMetric(f.Seconds/n/short, "ratio-to-1000")
		b.ReportMetric(f.PeakMB, "MB")
	})
}

// BenchmarkOneStepRuns is how many one-step process runs finish in a second, 64
// clients, beside the bare loop.
func BenchmarkOneStepRuns(b *testing.B) {
	const n = 2000
	onEachStore(b, func(b *testing.B, store string) {
		bare := bareLoop(b, 300, "true")
		f := measure(b, fresh(b, store), "singles", n)
		b.ReportMetric(n/f.Seconds, "runs/s")
		b.ReportMetric(f.Seconds/n/bare, "ratio-to-bare")
	})
}

// BenchmarkRecovery is how long it takes to take up 1,000 open process runs.
func BenchmarkRecovery(b *testing.B) {
	const n = 1000
	onEachStore(b, func(b *testing.B, store string) {
		at := fresh(b, store)
		measure(b, at, "prepare", n)
		b.ReportMetric(measure(b, at, "recover", n).Seconds, "s")
	})
}

// BenchmarkGroupCommit is one-step runs on the fake executor with changes sharing
// flushes, beside the same with a flush for each.
func BenchmarkGroupCommit(b *testing.B) {
	const n = 5000
	onEachStore(b, func(b *testing.B, store string) {
		on := measure(b, fresh(b, store), "grouped", n).Seconds
		off := measure(b, fresh(b, store), "ungrouped", n).Seconds
		b.ReportMetric(n/on, "runs/s")
		b.ReportMetric(n/off, "runs/s-ungrouped")
		b.ReportMetric(off/on, "ratio")
	})
}

// BenchmarkDocker is no-op steps in containers, one after the other and many at
// once, beside `docker run` in a loop. HEDDLE_TEST_DOCKER_HOST names the engine.
func BenchmarkDocker(b *testing.B) {
	host := os.Getenv("HEDDLE_TEST_DOCKER_HOST")
	if host == "" {
		b.Skip("HEDDLE_TEST_DOCKER_HOST is not set")
	}
	b.Setenv("DOCKER_HOST", host)
	const n = 20
	docker := []string{"docker", "run", "--rm", "--network", "none", "busybox:1.36", "true"}
	bareLoop(b, 1, docker...) // pulls the image
	before := bareLoop(b, n, docker...)
	chain := measure(b, fresh(b, "sqlite"), "docker-chain", n).Seconds / n
	wide := measure(b, fresh(b, "sqlite"), "docker-fan", n).Seconds / (n + 2)
	bare := (before + bareLoop(b, n, docker...)) / 2
	b.ReportMetric(bare*1e3, "bare-ms/step")
	b.ReportMetric(chain*1e3, "ms/step")
	b.ReportMetric(chain/bare, "ratio-to-bare")
	b.ReportMetric(wide/bare, "ratio-to-bare-at-once")
}
