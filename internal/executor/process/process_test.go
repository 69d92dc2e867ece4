//go:build unix

package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/executor/executortest"
)

// The test binary is its own supervisor: supervise <dir> <idle>.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "supervise" {
		if err := superviseTest(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func superviseTest(dir, idle string) error {
	d, err := time.ParseDuration(idle)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return Supervise(ctx, SuperviseOptions{
		Dir: dir, Idle: d, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Logs: func(id heddle.AttemptID) (io.WriteCloser, error) {
			return os.OpenFile(logPath(dir, id), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		},
	})
}

func logPath(dir string, id heddle.AttemptID) string { return filepath.Join(dir, string(id)+".log") }

func readLog(t testing.TB, dir string, id heddle.AttemptID) string {
	data, err := os.ReadFile(logPath(dir, id))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	return string(data)
}

// testDir returns a data directory whose supervisor is ended with the test.
func testDir(t testing.TB) string {
	dir := t.TempDir()
	t.Cleanup(func() {
		if pid := supervisorPID(t, dir); pid > 0 {
			endProcess(t, pid, syscall.SIGTERM)
		}
		if t.Failed() {
			data, err := os.ReadFile(paths{dir}.log())
			t.Logf("supervisor's log (%v):\n%s", err, data)
		}
	})
	return dir
}

func open(t testing.TB, dir string, idle time.Duration, sink executor.Sink) *Executor {
	return openFor(t, "store", dir, idle, sink)
}

func openFor(t testing.TB, store, dir string, idle time.Duration, sink executor.Sink) *Executor {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	e, err := Open(t.Context(), Options{
		Dir: dir, StoreID: store, Sink: sink, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		// Else the race detector makes each end of a supervisor take a second.
		Supervisor: []string{"env", "GORACE=atexit_sleep_ms=0", self, "supervise", dir, idle.String()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// supervisorPID asks the supervisor for its process; 0: there is none.
func supervisorPID(t testing.TB, dir string) int {
	t.Helper()
	path, err := paths{dir}.dialPath()
	if err != nil {
		return 0
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		return 0
	}
	defer conn.Close()
	if err := (&connection{Conn: conn}).send(&request{Hello: &hello{Protocol: protocol}}); err != nil {
		return 0
	}
	var answer reply
	if err := readMessage(newReader(conn), maxReply, &answer); err != nil {
		return 0
	}
	return answer.Hello.PID
}

// endProcess signals a process and waits until it is gone.
func endProcess(t testing.TB, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Errorf("kill %d: %v", pid, err)
	}
	poll(t, fmt.Sprintf("end of process %d", pid), func() bool {
		collect(pid)
		return syscall.Kill(pid, 0) != nil
	})
}

func poll(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestConformance(t *testing.T) {
	dir := testDir(t)
	t.Run("executor", func(t *testing.T) {
		executortest.Exercise(t, executortest.Harness{
			Open: func(t *testing.T, sink executor.Sink) executor.Executor {
				return open(t, dir, time.Second, sink)
			},
			OtherStore: func(t *testing.T, sink executor.Sink) executor.Executor {
				return openFor(t, "another", dir, time.Second, sink)
			},
			Shell: func(script string) (heddle.Work, bool) {
				return heddle.Work{Image: "ignored", Command: []string{"sh", "-c", script}}, true
			},
			Log:         func(t *testing.T, id heddle.AttemptID) string { return readLog(t, dir, id) },
			Environment: []string{"PATH", "HOME", "TMPDIR", "LANG", "HEDDLE_ATTEMPT", "HEDDLE_SUPERVISOR"},
			Signals:     true,
			Descendants: true,
		})
	})
}
