package kubernetes

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/executor/executortest"
	"github.com/heddle/heddle/internal/kube"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, bare := range map[string]bool{"Jobs": false, "bare Pods": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if bare && os.Getenv("HEDDLE_TEST_ALL") == "" {
				t.Skip("HEDDLE_TEST_ALL is not set: it is the same cases over again")
			}
			h := &harness{kit: newKit(t), logs: &memLogs{}, bare: bare, open: map[*testing.T]int{}}
			inShell := func(script string) (heddle.Work, bool) {
				return heddle.Work{Image: busybox, Command: []string{"sh", "-c", script}}, true
			}
			executortest.Exercise(t, executortest.Harness{
				Open: h.Open, Shell: inShell, Log: h.Log,
				Unknown: heddle.Work{Image: busybox, Command: []string{"heddle-no-such-program"}},
				Environment: []string{
					"PATH", "HOME", "HOSTNAME", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBERNETES_SERVICE_PORT_HTTPS",
					"KUBERNETES_PORT", "KUBERNETES_PORT_443_TCP", "KUBERNETES_PORT_443_TCP_PROTO", "KUBERNETES_PORT_443_TCP_PORT", "KUBERNETES_PORT_443_TCP_ADDR",
				},
				Burst: 8, Patience: wait, MixedStreams: true, MessagePath: true,
				// A shell that is the first process of its container cannot be killed from within.
				Signals: false,
				// A kubelet that stops a container does not look up until that is done.
				FirstGrace: true,
			})
		})
	}
}

// harness keeps the logs; what is printed while no executor of the case is open is
// with the cluster.
type harness struct {
	*kit
	logs *memLogs
	bare bool

	open map[*testing.T]int // under the lock of logs
}

type counted struct {
	*Executor
	closing func()
}

func (c counted) Close() error {
	c.closing()
	return c.Executor.Close()
}

func (h *harness) Open(t *testing.T, sink executor.Sink) executor.Executor {
	t.Helper()
	opts := h.options()
	opts.Sink, opts.Logs, opts.Bare = sink, h.logs.create, h.bare
	e, err := Open(context.Background(), opts)
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	h.count(t, 1)
	closed := false
	return counted{e, func() {
		if !closed {
			closed = true
			h.count(t, -1)
		}
	}}
}

func (h *harness) count(t *testing.T, n int) int {
	h.logs.mu.Lock()
	defer h.logs.mu.Unlock()
	h.open[t] += n
	return h.open[t]
}

func (h *harness) Log(t *testing.T, id heddle.AttemptID) string {
	t.Helper()
	if h.count(t, 0) > 0 {
		return h.logs.text(id)
	}
	list, err := h.api.list(t.Context(), pods(), h.namespace, kube.Selector(storeID, id))
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for _, pod := range list.(*corev1.PodList).Items {
		stream, err := h.api.output(t.Context(), h.namespace, pod.Name, &corev1.PodLogOptions{Timestamps: true})
		if err != nil {
			continue // it has not started yet
		}
		text, err := io.ReadAll(stream)
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.Close()
		for line := range strings.Lines(string(text)) {
			lines.WriteString(strings.Replace(line, " ", " stdout F ", 1))
		}
	}
	return lines.String()
}
