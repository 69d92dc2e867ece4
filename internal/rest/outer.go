package rest

import (
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/rest/auth"
)

// outer is around everything: it names requests, finds out who makes them, bounds
// them, catches panics, and writes the access log.
type outer struct {
	opts  Options
	next  http.Handler
	cross *http.CrossOriginProtection
	pace  pace
}

func newOuter(o Options, next http.Handler) *outer {
	return &outer{opts: o, next: next, cross: http.NewCrossOriginProtection()}
}

// requestIDs are those of callers that are taken over.
var requestIDs = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// ServeHTTP implements [http.Handler].
func (o *outer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	id := r.Header.Get("X-Request-Id")
	if !requestIDs.MatchString(id) {
		id = rand.Text()[:16]
	}
	w.Header().Set("X-Request-Id", id)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	answer := &answer{ResponseWriter: w}
	ctx := r.Context()
	who, ok := o.opts.Identify(r)
	if ok {
		ctx = auth.With(ctx, who)
	}
	r = r.WithContext(ctx)
	r.Body = http.MaxBytesReader(answer, r.Body, MaxBody+1024)
	defer func() {
		failed := recover()
		if failed != nil && failed != any(http.ErrAbortHandler) {
			o.opts.Log.Error("a request made the server panic", "request_id", id, "method", r.Method, "panic", failed, "stack", string(debug.Stack()))
			failed = http.ErrAbortHandler // cuts an answer that has begun
			if answer.status == 0 {
				failed = nil
				writeProblem(answer, problemOf(heddle.Errorf(heddle.CodeInternal, "panic")))
			}
		}
		o.log(r, answer, id, who, time.Since(begun))
		if failed != nil {
			panic(failed)
		}
	}()
	if p := o.foreign(r, who); p != nil {
		writeProblem(answer, p)
		return
	}
	o.next.ServeHTTP(answer, r)
}

// foreign refuses what pages of other sites have browsers send: nobody who looks at
// such a page means to have anything run here. Where everybody is let in, that is all
// that keeps those pages out, also those whose name is made to point here.
func (o *outer) foreign(r *http.Request, who auth.Identity) *problem {
	if err := o.cross.Check(r); err != nil {
		return refused(http.StatusForbidden, "a page of another site has sent this: "+err.Error())
	}
	if who.Open && !loopbackName(r.Host) {
		return refused(http.StatusForbidden, "without keys this server answers as localhost only: make one with 'heddle keys create'")
	}
	return nil
}

func loopbackName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// log writes the line of a request after it, and counts it.
func (o *outer) log(r *http.Request, a *answer, id string, who auth.Identity, took time.Duration) {
	route, method := r.Pattern, r.Method
	if _, path, ok := strings.Cut(route, " "); ok {
		route = path
	}
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		method = "other" // callers may make up any
	}
	status := a.status
	if status == 0 {
		status = http.StatusOK
	}
	o.opts.Answered(route, method, status, took)
	write, left := o.pace.step(time.Now())
	if !write {
		return
	}
	if left > 0 {
		o.opts.Log.Info("requests left out of this log, as they came too fast", "requests", left)
	}
	level := slog.LevelInfo
	if status >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	path := r.URL.Path
	if len(path) > 200 {
		path = path[:200]
	}
	o.opts.Log.Log(r.Context(), level, "request", "request_id", id, "method", method, "path", path, "status", status,
		"ms", took.Milliseconds(), "bytes", a.bytes, "key", who.KeyID)
}

// pace bounds the access log to so many lines a second.
type pace struct {
	mu     sync.Mutex
	second int64
	lines  int
	left   int
}

const linesPerSecond = 200

// step reports whether a line may be written, and how many were left out before it.
func (p *pace) step(now time.Time) (write bool, left int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := now.Unix(); s != p.second {
		p.second, p.lines = s, 0
	}
	if p.lines++; p.lines > linesPerSecond {
		p.left++
		return false, 0
	}
	left, p.left = p.left, 0
	return true, left
}

// answer notes what is answered.
type answer struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader implements [http.ResponseWriter].
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(p)
	a.bytes += int64(n)
	return n, err
}

// Unwrap is for [http.ResponseController].
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
