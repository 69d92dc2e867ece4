package docker

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/executor/executortest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	h := &harness{host: engine(t), dir: t.TempDir(), logs: &memLogs{}, open: map[*testing.T]int{}}
	inShell := func(script string) (heddle.Work, bool) {
		// The daemon keeps output as JSON: what is not UTF-8 does not come back.
		utf8 := !strings.Contains(script, `\377`)
		return heddle.Work{Image: busybox, Command: []string{"sh", "-c", script}, Network: "none"}, utf8
	}
	executortest.Exercise(t, executortest.Harness{
		Open: h.Open, Shell: inShell, Log: h.Log,
		Unknown:     heddle.Work{Image: busybox, Command: []string{"heddle-no-such-program"}, Network: "none"},
		Environment: []string{"PATH", "HOME", "HOSTNAME"},
		Burst:       20, Patience: patience, MessagePath: true, OtherStore: h.OtherStore,
		// A shell that is the first process of its container cannot be killed from
		// within; see TestEnds.
		Signals: false,
	})
}

// harness keeps the logs; what is printed while no executor of the case is open is
// with the daemon.
type harness struct {
	host string
	dir  string // "": message files go through the daemon
	logs *memLogs

	mu   sync.Mutex
	open map[*testing.T]int
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
	e, err := Open(context.Background(), Options{
		StoreID: storeID(), Dir: h.dir, Sink: sink, Logs: h.logs.create, Env: only(h.host),
	})
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	h.count(t, 1)
	return counted{e, sync.OnceFunc(func() { h.count(t, -1) })}
}

func (h *harness) OtherStore(t *testing.T, sink executor.Sink) executor.Executor {
	t.Helper()
	e, err := Open(context.Background(), Options{StoreID: "another-" + storeID(), Dir: h.dir, Sink: sink, Env: only(h.host)})
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	return e
}

func (h *harness) count(t *testing.T, n int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open[t] += n
	return h.open[t]
}

func (h *harness) Log(t *testing.T, id heddle.AttemptID) string {
	t.Helper()
	if h.count(t, 0) > 0 {
		return h.logs.text(id)
	}
	b := &bench{T: t, host: h.host}
	stream, err := b.cli().ContainerLogs(t.Context(), "heddle-"+string(id), client.ContainerLogsOptions{ShowStdout: true, Timestamps: true})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var stdout bytes.Buffer
	if _, err := stdcopy.StdCopy(&stdout, &stdout, stream); err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for line := range strings.Lines(stdout.String()) {
		lines.WriteString(strings.Replace(line, " ", " stdout F ", 1))
	}
	return lines.String()
}
