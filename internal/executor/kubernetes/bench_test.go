package kubernetes

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// bench is an executor under test, with what it has reported, on a way to the cluster
// that can be cut.
type bench struct {
	*testing.T
	*kit
	exec *Executor
	logs memLogs
	wire wire

	mu      sync.Mutex
	reports map[heddle.AttemptID][]executor.Report
	news    chan struct{}
}

func newBench(t *testing.T, change ...func(*Options)) *bench {
	t.Helper()
	b := &bench{T: t, kit: newKit(t), reports: map[heddle.AttemptID][]executor.Report{}, news: make(chan struct{})}
	b.open(change...)
	t.Cleanup(func() { _ = b.exec.Close() })
	return b
}

func (b *bench) open(change ...func(*Options)) {
	b.Helper()
	opts := b.options()
	opts.Sink, opts.Logs = b.sink, b.logs.create
	for _, c := range change {
		c(&opts)
	}
	opts = opts.withDefaults()
	cluster, err := Find(opts.Env, opts.Context, opts.Namespace)
	if err != nil {
		b.Fatal(err)
	}
	b.wire.into(cluster.config)
	if b.exec, err = open(b.Context(), opts, cluster); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) sink(r executor.Report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reports[r.Attempt] = append(b.reports[r.Attempt], r)
	close(b.news)
	b.news = make(chan struct{})
}

func (b *bench) spec(script string) executor.Spec {
	return executor.Spec{
		Attempt: heddle.NewAttemptID(heddle.RunID("t-"+strings.ToLower(rand.Text())), 1, 1), Place: b.exec.Place(), Step: "step", Grace: time.Second,
		Work: heddle.Work{Image: busybox, Command: []string{"sh", "-c", script}},
	}
}

func (b *bench) start(spec executor.Spec) heddle.AttemptID {
	b.Helper()
	if err := b.exec.Start(b.Context(), spec); err != nil {
		b.Fatalf("starting: %v", err)
	}
	return spec.Attempt
}

// await waits for a report that will do.
func (b *bench) await(id heddle.AttemptID, what string, will func(executor.Report) bool) executor.Report {
	b.Helper()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		b.mu.Lock()
		reports, news := b.reports[id], b.news
		b.mu.Unlock()
		for _, r := range reports {
			if will(r) {
				return r
			}
		}
		select {
		case <-news:
		case <-timer.C:
			b.Fatalf("waited in vain for %s to %s; reports: %+v", id, what, reports)
		}
	}
}

func (b *bench) runs(id heddle.AttemptID) {
	b.Helper()
	b.await(id, "run", func(r executor.Report) bool { return r.Exit == nil })
}

func (b *bench) exit(id heddle.AttemptID) heddle.Exit {
	b.Helper()
	return *b.await(id, "end", func(r executor.Report) bool { return r.Exit != nil }).Exit
}

func (b *bench) want(exit heddle.Exit, reason heddle.ExitReason, words string) {
	b.Helper()
	if exit.Reason != reason || !strings.Contains(exit.Message, words) {
		b.Errorf("got %s with code %d (%s), want %s with %q", exit.Reason, exit.Code, exit.Message, reason, words)
	}
}

// eventually waits for what nobody reports.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(wait); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// wire is the way to the cluster: it can be cut, and counts what goes over it.
type wire struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
	calls []string
}

func (w *wire) into(config *rest.Config) {
	var dialer net.Dialer
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.cut {
			return nil, errors.New("the wire is cut")
		}
		conn, err := dialer.DialContext(ctx, network, address)
		if err == nil {
			w.conns = append(w.conns, conn)
		}
		return conn, err
	}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return counting{w, next} })
}

func (w *wire) setCut(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	for _, conn := range w.conns {
		_ = conn.Close()
	}
	w.conns = nil
}

// take returns the calls since it was last asked, watches aside.
func (w *wire) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := w.calls
	w.calls = nil
	return calls
}

type counting struct {
	wire *wire
	next http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Query().Get("watch") == "" {
		c.wire.mu.Lock()
		c.wire.calls = append(c.wire.calls, r.Method+" "+r.URL.Path)
		c.wire.mu.Unlock()
	}
	return c.next.RoundTrip(r)
}
