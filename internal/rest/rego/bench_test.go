package rego_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/engine"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/executor/process"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/manifest/taskdef"
	"github.com/heddle/heddle/internal/rest/auth"
	"github.com/heddle/heddle/internal/rest/rego"
	"github.com/heddle/heddle/internal/schedule"
	"github.com/heddle/heddle/internal/store"
	"github.com/heddle/heddle/internal/store/logs"
	"github.com/heddle/heddle/internal/store/sqlite"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "supervise" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		err := process.Supervise(ctx, process.SuperviseOptions{Dir: os.Args[2], Logs: logs.Open(logDir(os.Args[2])).Create,
			Idle: 100 * time.Millisecond, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func logDir(dir string) string { return dir + "/logs" }

// faulty is a store in which things go wrong on demand.
type faulty struct {
	*sqlite.Store
	mu   sync.Mutex
	fail map[string]error // by method
}

var errFault = heddle.Errorf(heddle.CodeStore, "a fault")

func (s *faulty) breakAt(method string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail[method] = err
}

func (s *faulty) fault(method string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fail[method]
}

func (s *faulty) MoveDefinitions(ctx context.Context, moves []store.DefinitionMove) ([]bool, error) {
	if err := s.fault("move"); err != nil {
		return nil, err
	}
	return s.Store.MoveDefinitions(ctx, moves)
}

func (s *faulty) ReplaceDefinition(ctx context.Context, d heddle.Definition) (bool, error) {
	if err := s.fault("replace"); err != nil {
		return false, err
	}
	return s.Store.ReplaceDefinition(ctx, d)
}

func (s *faulty) AddDefinition(ctx context.Context, d heddle.Definition) error {
	if err := s.fault("add"); err != nil {
		return err
	}
	return s.Store.AddDefinition(ctx, d)
}

// dataDir is a directory that goes when the supervisor in it has gone.
func dataDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "heddle-rego-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for deadline := time.Now().Add(10 * time.Second); os.RemoveAll(dir) != nil; <-time.After(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("%s cannot be removed", dir)
				return
			}
		}
	})
	return dir
}

// bench is a server on a real engine, store and process executor.
type bench struct {
	t       testing.TB
	dir     string
	store   *faulty
	engine  *engine.Engine
	ticks   *schedule.Scheduler
	server  *httptest.Server
	timeout time.Duration
	grace   time.Duration
}

func newBench(t testing.TB, edit ...func(*bench)) *bench {
	t.Helper()
	b := &bench{t: t, dir: dataDir(t), grace: 200 * time.Millisecond}
	for _, f := range edit {
		f(b)
	}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *bench) start() {
	b.t.Helper()
	st, err := sqlite.Open(b.t.Context(), sqlite.Options{Dir: b.dir})
	if err != nil {
		b.t.Fatal(err)
	}
	b.store = &faulty{Store: st, fail: map[string]error{}}
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	b.ticks = schedule.New(schedule.Options{Store: b.store, Log: log, Recheck: 50 * time.Millisecond})
	b.engine = engine.Start(b.t.Context(), engine.Options{
		Store: st, History: st, Turns: st, Pools: st, Log: log, Grace: b.grace, Parallel: 64,
		Ended: func(heddle.Run) { b.ticks.Kick() },
		Open: func(ctx context.Context, name string, sink executor.Sink) (executor.Executor, error) {
			if name != "process" {
				return nil, heddle.Errorf(heddle.CodeUnavailable, "no executor %q", name)
			}
			return process.Open(ctx, process.Options{Dir: b.dir, Sink: sink, WorkDir: b.dir, Log: log,
				Supervisor: []string{"env", "GORACE=atexit_sleep_ms=0", self, "supervise", b.dir}})
		},
	})
	if _, err := b.engine.Resume(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	b.ticks.Use(b.engine)
	b.ticks.Start(b.t.Context())
	handler := rego.New(rego.Options{
		Definitions: b.ticks, Runs: b.engine, Logs: logs.NewReader(logs.Open(logDir(b.dir)), b.ended),
		Executor: "process", Timeout: b.timeout, Log: log,
		Flow: func(document []byte) (*heddle.Flow, error) {
			d, err := doc.Parse("body", document)
			if err != nil {
				return nil, err
			}
			r, err := taskdef.Decode(d, taskdef.Options{})
			if err != nil {
				return nil, err
			}
			return r.Flow, nil
		},
	})
	b.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		organization, role, ok := strings.Cut(r.Header.Get("X-Rego-Api-Key"), "/")
		if ok {
			r = r.WithContext(auth.With(r.Context(), auth.Identity{Organization: organization, Role: heddle.Role(role)}))
		}
		handler.ServeHTTP(w, r)
	}))
}

func (b *bench) ended(ctx context.Context, id heddle.RunID) (<-chan struct{}, error) {
	updates, err := b.engine.Watch(ctx, id)
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range updates {
		}
	}()
	return done, nil
}

// stop ends all as a crash would, but for the goroutines: what runs goes on.
func (b *bench) stop() {
	b.server.Close()
	b.ticks.Stop()
	b.engine.Stop()
	if err := b.store.Close(); err != nil {
		b.t.Error(err)
	}
}

func (b *bench) restart() {
	b.stop()
	b.start()
}

const key = "acme/operator"

// answer is what came back.
type answer struct {
	Code        int
	ContentType string
	Body        string
}

func (b *bench) send(key, method, path, body string, headers ...string) (answer, http.Header) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, b.server.URL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("X-Rego-Api-Key", key)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded") // curl -d
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{Code: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), Body: string(data)}, resp.Header
}

func (b *bench) do(method, path, body string) answer {
	b.t.Helper()
	got, _ := b.send(key, method, path, body)
	return got
}

func (b *bench) want(got, want answer) {
	b.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Fatalf("(-want +got):\n%s", diff)
	}
}

const (
	jsonType = "application/json; charset=utf-8"
	textType = "text/plain; charset=utf-8"
)

// create makes a definition and returns its ID.
func (b *bench) create(body string) string {
	b.t.Helper()
	got := b.do("POST", "/api/v1/task", body)
	var reply struct {
		ID      string `json:"definition_id"`
		Message string
	}
	if err := json.Unmarshal([]byte(got.Body), &reply); err != nil || got.Code != 200 || reply.Message != "created" {
		b.t.Fatalf("%s: %+v", body, got)
	}
	return reply.ID
}

// row reads a single row or a list of them.
func row[T any](b *bench, path string) T {
	b.t.Helper()
	got := b.do("GET", path, "")
	var value T
	d := json.NewDecoder(bytes.NewReader([]byte(got.Body)))
	if err := d.Decode(&value); err != nil || got.Code != 200 {
		b.t.Fatalf("GET %s: %+v: %v", path, got, err)
	}
	return value
}

func (b *bench) definition(id string) rego.TaskDefinition {
	b.t.Helper()
	return row[rego.TaskDefinition](b, "/api/v1/task/"+id)
}

func (b *bench) history(id string) []rego.TaskExecution {
	b.t.Helper()
	return row[[]rego.TaskExecution](b, "/api/v1/task/"+id+"/history?limit=1000")
}

// eventually waits until is says yes.
func (b *bench) eventually(what string, is func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("not in time: %s", what)
		}
	}
}

// untilStatus waits for the latest execution of a definition to have a status.
func (b *bench) untilStatus(id string, want heddle.Status) rego.TaskExecution {
	b.t.Helper()
	var got rego.TaskExecution
	b.eventually("definition "+id+" is "+want.String(), func() bool {
		list := b.history(id)
		if len(list) == 0 {
			return false
		}
		got = list[0]
		if got.StatusCode >= 400 && got.StatusCode != want {
			b.t.Fatalf("status %s, want %s", got.Status, want)
		}
		return got.StatusCode == want
	})
	return got
}
