package docker

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// The images of the test bed.
const (
	busybox = "busybox:1.36"
	noShell = "noshell:1"
	oldEcho = "old-echo:1"
)

const patience = 60 * time.Second

// storeID is the store of all attempts of this test run.
func storeID() string { return fmt.Sprintf("test-%d", os.Getpid()) }

// TestMain fails the run when a test has left a container behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if host := os.Getenv("HEDDLE_TEST_DOCKER_HOST"); host != "" && code == 0 {
		code = leftBehind(host)
	}
	os.Exit(code)
}

func leftBehind(host string) int {
	e, err := Open(context.Background(), Options{StoreID: storeID(), Env: only(host), Sink: func(executor.Report) {}})
	if err != nil {
		fmt.Println("looking for what was left behind:", err)
		return 1
	}
	defer e.Close()
	held, err := e.Held(context.Background())
	if err != nil || len(held) > 0 {
		fmt.Println("containers that were left behind:", held, err)
		return 1
	}
	shares, err := e.Shares(context.Background())
	if err != nil || len(shares) > 0 {
		fmt.Println("volumes that were left behind:", shares, err)
		return 1
	}
	return 0
}

// only is an environment that leads to a daemon, and to no configuration.
func only(host string) func(string) string {
	return func(name string) string {
		if name == "DOCKER_HOST" {
			return host
		}
		return map[string]string{"DOCKER_CONFIG": "/nonexistent"}[name]
	}
}

// bench is an executor on the engine of the test bed, and what came of it.
type bench struct {
	*testing.T
	host string
	dir  string // the data directory; "": there is none
	exec *Executor
	logs *memLogs

	mu      sync.Mutex
	reports map[heddle.AttemptID][]executor.Report
	changed chan struct{}
}

// engine returns the address of the test bed's engine, or skips the test.
func engine(t *testing.T) string {
	t.Helper()
	host := os.Getenv("HEDDLE_TEST_DOCKER_HOST")
	if host == "" {
		t.Skip("HEDDLE_TEST_DOCKER_HOST is not set; test/testbed/setup.sh starts an engine")
	}
	return host
}

func newBench(t *testing.T, host string) *bench {
	t.Helper()
	return newBenchIn(t, host, "")
}

func newBenchIn(t *testing.T, host, dir string) *bench {
	t.Helper()
	b := &bench{
		T: t, host: host, dir: dir, logs: &memLogs{},
		reports: map[heddle.AttemptID][]executor.Report{}, changed: make(chan struct{}),
	}
	b.reopen()
	t.Cleanup(func() { b.exec.Close() })
	return b
}

// reopen opens the executor anew, as the next engine would.
func (b *bench) reopen() {
	b.Helper()
	if b.exec != nil {
		if err := b.exec.Close(); err != nil {
			b.Errorf("closing: %v", err)
		}
	}
	e, err := Open(context.Background(), Options{
		StoreID: storeID(), Dir: b.dir, Sink: b.sink, Logs: b.logs.create, Env: only(b.host),
		Log: slog.New(slog.NewTextHandler(b.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		b.Fatalf("opening: %v", err)
	}
	b.exec = e
}

func (b *bench) sink(r executor.Report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reports[r.Attempt] = append(b.reports[r.Attempt], r)
	close(b.changed)
	b.changed = make(chan struct{})
}

// spec is an attempt that runs a shell script in busybox.
func (b *bench) spec(script string) executor.Spec {
	id := heddle.NewAttemptID(heddle.RunID("t-"+strings.ToLower(rand.Text())), 1, 1)
	return executor.Spec{
		Attempt: id, Place: b.exec.Place(), Step: "step", Grace: 10 * time.Second,
		Work: heddle.Work{Image: busybox, Command: []string{"sh", "-c", script}, Network: "none"},
	}
}

// start starts an attempt, and removes it after the test.
func (b *bench) start(spec executor.Spec) heddle.AttemptID {
	b.Helper()
	b.Cleanup(func() {
		if err := b.exec.Release(context.Background(), []heddle.AttemptID{spec.Attempt}); err != nil {
			b.Errorf("releasing: %v", err)
		}
	})
	if err := b.exec.Start(b.Context(), spec); err != nil {
		b.Fatalf("starting: %v", err)
	}
	return spec.Attempt
}

// refused starts an attempt that is to be refused, and returns why it was.
func (b *bench) refused(spec executor.Spec) string {
	b.Helper()
	err := b.exec.Start(b.Context(), spec)
	message, refused := executor.Refused(err)
	if !refused {
		b.Errorf("got error %v, want a refusal", err)
		b.start(spec)
	}
	return message
}

func (b *bench) adopt(attempts ...heddle.Attempt) {
	b.Helper()
	var adoptions []executor.Adoption
	for _, a := range attempts {
		adoptions = append(adoptions, executor.Adoption{Attempt: a})
	}
	if err := b.exec.Adopt(b.Context(), adoptions); err != nil {
		b.Fatalf("adopting: %v", err)
	}
}

// exit waits for the end of an attempt.
func (b *bench) exit(id heddle.AttemptID) heddle.Exit {
	b.Helper()
	timeout := time.After(patience)
	for {
		b.mu.Lock()
		reports, changed := b.reports[id], b.changed
		b.mu.Unlock()
		for _, r := range reports {
			if r.Exit != nil {
				return *r.Exit
			}
		}
		select {
		case <-changed:
		case <-timeout:
			b.Fatalf("waited in vain for the end of %s; reports: %+v", id, reports)
		}
	}
}

func (b *bench) want(exit heddle.Exit, reason heddle.ExitReason, code int) {
	b.Helper()
	if exit.Reason != reason || exit.Code != code {
		b.Errorf("got %s with code %d (%s), want %s with code %d", exit.Reason, exit.Code, exit.Message, reason, code)
	}
}

// says waits until the attempt has printed the text.
func (b *bench) says(id heddle.AttemptID, text string) {
	b.Helper()
	eventually(b.T, "the text "+text, func() bool { return strings.Contains(b.logs.text(id), text) })
}

// eventually waits for what nobody reports.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// cli is a client of our own, to do what users do.
func (b *bench) cli() *client.Client {
	b.Helper()
	daemon, err := Find(only(b.host))
	if err != nil {
		b.Fatal(err)
	}
	cli, err := daemon.connect()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cli.Close() })
	return cli
}

// memLogs keeps logs in memory.
type memLogs struct {
	mu   sync.Mutex
	logs map[heddle.AttemptID]*memLog
}

type memLog struct {
	mu     sync.Mutex
	buf    bytes.Buffer
	closed bool
}

// create returns the log of an attempt, emptied.
func (m *memLogs) create(id heddle.AttemptID) (io.WriteCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.logs == nil {
		m.logs = map[heddle.AttemptID]*memLog{}
	}
	m.logs[id] = &memLog{}
	return m.logs[id], nil
}

func (m *memLogs) text(id heddle.AttemptID) string {
	m.mu.Lock()
	log := m.logs[id]
	m.mu.Unlock()
	if log == nil {
		return ""
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	return log.buf.String()
}

func (l *memLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, errors.New("closed")
	}
	return l.buf.Write(p)
}

func (l *memLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}
