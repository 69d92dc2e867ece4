package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/app"
	"github.com/heddle/heddle/internal/rest"
	"github.com/heddle/heddle/internal/rest/auth"
)

// TestMain is the supervisor's main as well: the process executor starts it from here.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "supervise" {
		if err := app.Supervise(context.Background(), os.Args[3], slog.New(slog.DiscardHandler)); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// stores names the stores that the suite runs on, each with what makes the URL of an
// empty database; "" is the one in the data directory.
func stores() map[string]func(t *testing.T) string {
	return map[string]func(t *testing.T) string{
		"sqlite": func(*testing.T) string { return "" },
		"postgres": func(t *testing.T) string {
			where := os.Getenv("HEDDLE_TEST_POSTGRES_URL")
			if where == "" {
				t.Skip("HEDDLE_TEST_POSTGRES_URL names no server")
			}
			u, err := url.Parse(where)
			if err != nil {
				t.Fatal(err)
			}
			schema := "rest_" + heddle.NewID(time.Now())
			ctx := context.Background() // it serves cleaning up as well
			conn, err := pgx.Connect(ctx, where)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Exec(ctx, "CREATE SCHEMA "+schema); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if _, err := conn.Exec(ctx, "DROP SCHEMA "+schema+" CASCADE"); err != nil {
					t.Error(err)
				}
				_ = conn.Close(ctx)
			})
			query := u.Query()
			query.Set("search_path", schema)
			u.RawQuery = query.Encode()
			return u.String()
		},
	}
}

// bench is a server with a real engine, a real store and the process executor.
type bench struct {
	t      *testing.T
	opts   app.Options
	server *app.Server
	url    string
	key    string // sent with requests
	stop   func() // what a server does first when it stops
	log    *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

func newBench(t *testing.T, dbURL string, alter ...func(*rest.Options)) *bench {
	t.Helper()
	dir, err := os.MkdirTemp("", "hd") // not below the test's own: the supervisor stays for some seconds
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, log: &lockedBuffer{}}
	log := slog.New(slog.NewTextHandler(b.log, nil))
	b.opts = app.Options{DataDir: filepath.Join(dir, "d"), WorkDir: dir, DBURL: dbURL, Log: log,
		Environ:    []string{"PATH=" + os.Getenv("PATH"), "SERVER_SECRET=1", "HEDDLE_KEY=1", "HEDDLE_SECRET_OFFERED=yes"},
		SecretsDir: filepath.Join(dir, "secrets")}
	if b.server, err = app.OpenServer(context.Background(), b.opts, "1.2.3"); err != nil {
		t.Fatal(err)
	}
	stopping, stop := context.WithCancel(context.Background())
	s := b.server
	o := rest.Options{
		Identify: auth.Identify(s.Keys(), true, log), Runs: s.Runs(), Logs: s.Logs(), Choose: s.Choose, Executor: app.Process, SecretsDir: s.SecretsDir(),
		Prune: s.Prune, Ready: s.Ready, Metrics: s.Metrics(), Answered: s.Answered, Stopping: stopping, Version: "1.2.3", Log: log,
	}
	for _, f := range alter {
		f(&o)
	}
	web := httptest.NewServer(rest.New(o))
	b.url, b.stop = web.URL, stop
	t.Cleanup(func() {
		stop()
		web.Close()
		if err := b.server.Close(context.Background()); err != nil {
			t.Error(err)
		}
		_ = os.RemoveAll(dir)
	})
	return b
}

// makeKey makes a key and returns its secret.
func (b *bench) makeKey(k heddle.NewKey) string {
	b.t.Helper()
	_, secret, err := b.server.Keys().CreateKey(b.t.Context(), k)
	if err != nil {
		b.t.Fatal(err)
	}
	return secret
}

// reply is an answer, read to its end.
type reply struct {
	code   int
	header http.Header
	body   string
}

// ask sends a request. body is text, or anything else to be sent as JSON; header holds
// names and values by turns.
func (b *bench) ask(method, path string, body any, header ...string) reply {
	b.t.Helper()
	var reader io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(body)
	default:
		data, err := json.Marshal(body)
		if err != nil {
			b.t.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, reader)
	if err != nil {
		b.t.Fatal(err)
	}
	if b.key != "" {
		r.Header.Set("Authorization", "Bearer "+b.key)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if r.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return reply{code: answer.StatusCode, header: answer.Header, body: string(data)}
}

// as is ask that wants a status, and decodes the answer into to unless that is nil.
func (b *bench) as(want int, to any, method, path string, body any, header ...string) reply {
	b.t.Helper()
	r := b.ask(method, path, body, header...)
	if r.code != want {
		b.t.Fatalf("%s %s: status %d, want %d: %s", method, path, r.code, want, r.body)
	}
	if to != nil {
		if err := json.Unmarshal([]byte(r.body), to); err != nil {
			b.t.Fatalf("%s %s: %v in %s", method, path, err, r.body)
		}
	}
	return r
}

// pipeline is a document of one job that runs a command of the shell.
func pipeline(run string) map[string]any {
	return map[string]any{"kind": "Pipeline", "name": "p", "jobs": map[string]any{"a": map[string]any{"image": "busybox", "run": run}}}
}

// submit submits a document and returns the run.
func (b *bench) submit(document any) heddle.Run {
	b.t.Helper()
	var out struct {
		Run heddle.Run `json:"run"`
	}
	b.as(http.StatusAccepted, &out, "POST", "/api/v2/runs", map[string]any{"document": document, "labels": map[string]string{"k": "v"}})
	return out.Run
}

// waitForEnd returns a run once it has ended.
func (b *bench) waitForEnd(id heddle.RunID) heddle.RunDetail {
	b.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		var d heddle.RunDetail
		b.as(http.StatusOK, &d, "GET", "/api/v2/runs/"+string(id), nil)
		if d.Run.State == heddle.RunEnded {
			return d
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("run %s has not ended: %+v", id, d)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
