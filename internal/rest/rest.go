// Package rest is the front door by HTTP: Heddle's own routes under /api/v2, and the
// place where those of the originals are mounted. What it serves it asks of the
// services in the root package, for the organization of the request's key only.
package rest

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/rest/auth"
	"github.com/heddle/heddle/internal/rest/chainr"
)

// MaxBody bounds the body of a request, in bytes.
const MaxBody = 10 << 20

// Options says what to serve.
type Options struct {
	// Identify finds out who makes a request; false: nobody who may.
	Identify func(*http.Request) (auth.Identity, bool)
	// Rego answers /api/v1/, /ping and /swagger/. It gets requests without an
	// identity as well, and refuses them in rego's way: with status 401 and no body.
	// Nil: there is no such thing.
	Rego http.Handler

	// Runs and Logs are the services, for all organizations.
	Runs heddle.Runs
	Logs heddle.Logs
	// Choose turns an executor that was asked for, such as auto, into one that can
	// run the flow, with remarks for the caller.
	Choose func(ctx context.Context, asked string, flow *heddle.Flow) (name string, notes []string, err error)
	// Executor is what is asked for where a request does not say. Unless it is auto,
	// requests may not ask for another.
	Executor string
	// SecretsDir is what paths in documents are relative to; "": they must be absolute.
	SecretsDir string
	// Prune deletes runs that have ended and returns those that are gone.
	Prune func(ctx context.Context, ids []heddle.RunID) ([]heddle.RunID, error)
	// Ready reports whether the store answers.
	Ready func(ctx context.Context) error
	// Metrics answers /metrics; nil: there is no such thing.
	Metrics http.Handler
	// Answered is told of each answer, with the pattern that its path matched.
	Answered func(route, method string, code int, took time.Duration)
	// Timeouts bound how slow callers may be.
	Timeouts Timeouts
	// Stopping ends answers that go on for as long as a run does. Nil: nothing does.
	Stopping context.Context
	Version  string
	Log      *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Stopping == nil {
		o.Stopping = context.Background()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Answered == nil {
		o.Answered = func(string, string, int, time.Duration) {}
	}
	if o.Executor == "" {
		o.Executor = "auto"
	}
	o.Timeouts = o.Timeouts.withDefaults()
	return o
}

// New returns the handler of everything.
func New(o Options) http.Handler {
	o = o.withDefaults()
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", welcome)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", o.ready)
	if o.Metrics != nil {
		mux.Handle("GET /metrics", allowed(heddle.RoleViewer, o.Metrics))
	}
	if o.Rego != nil {
		for _, path := range []string{"/api/v1/", "/ping", "/swagger/"} {
			mux.Handle(path, o.Rego)
		}
	}
	pipelines := chainr.New(chainr.Options{Runs: o.Runs, Choose: o.choose, SecretsDir: o.SecretsDir, MaxBody: MaxBody, Log: o.Log})
	for _, path := range []string{"/api", "/api/runs", "/api/runs/", "/api/"} {
		mux.Handle(path, pipelines)
	}
	mux.HandleFunc(base+"/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, problemOf(heddle.Errorf(heddle.CodeNotFound, "there is no %s %s: see %s/openapi.json", r.Method, r.URL.Path, base)))
	})
	mux.HandleFunc("GET "+base+"/docs", servePage("docs.html"))
	mux.HandleFunc("GET "+base+"/docs.js", servePage("docs.js"))
	newAPI(mux, o)
	return newOuter(o, mux)
}

// welcome answers / as rego does for GET and chainr for the rest: both use it to
// probe whether the server is alive.
func welcome(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.WriteHeader(http.StatusOK)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write([]byte(`{"message":"healthy"}`)) // who asked is gone
}

func (o *Options) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	switch err := o.Ready(ctx); {
	case o.Stopping.Err() != nil:
		text(w, http.StatusServiceUnavailable, "stopping\n")
	case err != nil:
		o.Log.Warn("not ready", "error", err)
		text(w, http.StatusServiceUnavailable, "the store does not answer\n")
	default:
		text(w, http.StatusOK, "ok\n")
	}
}

func text(w http.ResponseWriter, code int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(s)) // who asked is gone
}

// allowed lets requests through whose key has the role.
func allowed(role heddle.Role, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := refusal(r.Context(), role); p != nil {
			writeProblem(w, p)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// choose is Choose within what this server lets requests ask for.
func (o *Options) choose(ctx context.Context, asked string, flow *heddle.Flow) (string, []string, error) {
	if asked == "" {
		asked = o.Executor
	}
	if o.Executor != "auto" && asked != o.Executor {
		return "", nil, heddle.Errorf(heddle.CodeInvalid, "executor %q: this server runs everything on %s", strings.ToValidUTF8(asked, "?"), o.Executor)
	}
	return o.Choose(ctx, asked, flow)
}
