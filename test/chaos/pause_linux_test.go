package chaos_test

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/heddle/heddle"
)

const pausedLength = 6

// TestPausedEngine stops an engine in the middle of a run for longer than its lease,
// has another one take over, and lets the first go on: it must not start anything
// again, nor spoil the verdict.
func TestPausedEngine(t *testing.T) {
	t.Parallel()
	for where, st := range map[string]stage{
		"PostgreSQL, process":    {parts{"postgres", "process"}, 1, "HEDDLE_TEST_POSTGRES_URL"},
		"PostgreSQL, Docker":     {parts{"postgres", "docker"}, 1, "HEDDLE_TEST_DOCKER_HOST"},
		"PostgreSQL, Kubernetes": {parts{"postgres", "kubernetes"}, 1, kubeconfigVar},
	} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			stage{needs: "HEDDLE_TEST_POSTGRES_URL"}.skipUnlessThere(t)
			st.skipUnlessThere(t)
			w := newWorld(t, st.parts, slowChain)
			first, _, firstErr := w.engine(0)
			ended := w.begin(first)
			defer func() {
				_ = first.Process.Kill()
				<-ended
			}()
			w.pollSteps(2)
			if err := first.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			second, verdict, secondErr := w.engine(0)
			over := w.begin(second)
			w.pollSteps(4)
			if err := first.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			if err := <-over; err != nil {
				t.Fatalf("the engine that took over: %v\n%s\nthe one that was stopped:\n%s", err, secondErr, firstErr)
			}
			if got := strings.TrimSpace(verdict.String()); got != "success" {
				t.Errorf("verdict %q, want success\n%s", got, w.history())
			}
			for step, attempts := range w.did() {
				if len(attempts) != 1 {
					t.Errorf("step %s ran as %v", step, attempts)
				}
			}
			if n := len(w.did()); n != pausedLength {
				t.Errorf("%d steps ran, want %d", n, pausedLength)
			}
			w.nothingLeft()
		})
	}
}

// slowChain is long enough for an engine to be stopped in it, and another to go on.
func slowChain(effects string) heddle.Flow {
	flow := heddle.Flow{Kind: heddle.KindPipeline, Name: "slow", Start: []string{"s0"}}
	for i := range pausedLength {
		flow.Steps = append(flow.Steps, shell(effects, fmt.Sprintf("s%d", i), "sleep 1"))
		if i > 0 {
			flow.Edges = append(flow.Edges, heddle.Edge{From: fmt.Sprintf("s%d", i-1), To: fmt.Sprintf("s%d", i)})
		}
	}
	return flow
}

// begin starts an engine; its end is sent.
func (w *world) begin(cmd *exec.Cmd) <-chan error {
	w.t.Helper()
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return ended
}

// pollSteps waits until so many steps have begun.
func (w *world) pollSteps(n int) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); len(w.did()) < n; pollPause() {
		if time.Now().After(deadline) {
			w.t.Fatalf("%d of %d steps have begun after a minute\n%s", len(w.did()), n, w.history())
		}
	}
}
