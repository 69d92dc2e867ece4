// Package rego answers rego's REST routes, in rego's formats: its paths, keys and
// their order, texts, content types and codes. What its users missed is there as
// well: single definitions and executions, their history, and logs.
package rego

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/rest/auth"
	"github.com/heddle/heddle/internal/scope"
)

// Options says what to serve.
type Options struct {
	Definitions heddle.Definitions
	Runs        heddle.Runs
	Logs        heddle.Logs
	// Flow reads a task definition, a JSON object with rego's keys. Errors of
	// [heddle.CodeInvalid] are the caller's fault.
	Flow func(document []byte) (*heddle.Flow, error)
	// Executor is what definitions run on.
	Executor string
	// Timeout ends executions whose definition says no other deadline, as rego's
	// TASK_TIMEOUT does, but counted from the start. Default: 300 s; negative: none.
	Timeout time.Duration
	// WriteTime is how long who reads logs may take for a line. Default: 30 s.
	WriteTime time.Duration
	// Stopping ends answers that go on for as long as an execution does. Nil: nothing does.
	Stopping context.Context
	Log      *slog.Logger
}

// maxBody bounds what is read of a request, in bytes.
const maxBody = 10 << 20

type handler struct {
	Options
	routes map[string][]route // by method
}

// route is a path; a segment that is * stands for any.
type route struct {
	path  []string
	role  heddle.Role // "": open to everybody
	serve func(*request)
}

// New returns the handler of /api/v1/, /ping and /swagger/. Who asks is found in the
// request's context, see [auth.From].
func New(o Options) http.Handler {
	if o.Timeout == 0 {
		o.Timeout = 300 * time.Second
	}
	if o.WriteTime == 0 {
		o.WriteTime = 30 * time.Second
	}
	if o.Stopping == nil {
		o.Stopping = context.Background()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h := &handler{Options: o, routes: map[string][]route{}}
	add := func(method, path string, role heddle.Role, serve func(*request)) {
		h.routes[method] = append(h.routes[method], route{path: strings.Split(path, "/"), role: role, serve: serve})
	}
	const read, write = heddle.RoleViewer, heddle.RoleOperator
	add("GET", "/ping", read, func(r *request) { r.object(map[string]any{"message": "pong"}) })
	add("GET", "/swagger", "", func(r *request) { http.Redirect(r.w, r.Request, "/swagger/index.html", http.StatusMovedPermanently) })
	add("GET", "/swagger/", "", func(r *request) { http.Redirect(r.w, r.Request, "/swagger/index.html", http.StatusMovedPermanently) })
	add("GET", "/swagger/index.html", "", func(r *request) { r.raw("text/html; charset=utf-8", page) })
	add("GET", "/swagger/doc.json", "", func(r *request) { r.raw("application/json; charset=utf-8", spec) })
	add("GET", "/api/v1/task", read, h.listDefinitions)
	add("POST", "/api/v1/task", write, h.createDefinition)
	add("PUT", "/api/v1/task", write, h.updateDefinition)
	add("GET", "/api/v1/task/count", read, h.countDefinitions)
	add("GET", "/api/v1/task/pending", read, h.pendingDefinitions) // as rego's Swagger has it
	add("GET", "/api/v1/tasks/pending", read, h.pendingDefinitions)
	add("GET", "/api/v1/task/*", read, h.getDefinition)
	add("DELETE", "/api/v1/task/*", write, h.deleteDefinition)
	add("POST", "/api/v1/task/*/rerun", write, h.rerun)
	add("GET", "/api/v1/task/*/latest", read, h.latest)
	add("GET", "/api/v1/task/*/history", read, h.history)
	add("GET", "/api/v1/execution", read, h.listExecutions)
	add("GET", "/api/v1/execution/*", read, h.getExecution)
	add("GET", "/api/v1/execution/*/logs", read, h.logs)
	add("POST", "/api/v1/execution/*/abort", write, h.abort)
	return h
}

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	defer func() {
		if fault := recover(); fault != nil {
			if fault == http.ErrAbortHandler { //nolint:errorlint // it is compared so by net/http as well
				panic(fault)
			}
			h.Log.Error("a request could not be handled", "path", req.URL.Path, "fault", fault)
			w.WriteHeader(http.StatusInternalServerError)
		}
	}()
	found, param := h.find(req.Method, req.URL.Path)
	if found == nil {
		h.notFound(w, req)
		return
	}
	r := &request{Request: req, w: w, h: h, param: param}
	if found.role == "" {
		found.serve(r)
		return
	}
	identity, ok := auth.From(req.Context())
	if !ok {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	r.organization = identity.Organization
	r.runs = scope.Runs(r.organization, h.Runs)
	if !identity.Role.May(found.role) {
		r.error(http.StatusForbidden, "the key has the role "+string(identity.Role)+", and this needs "+string(found.role))
		return
	}
	req.Body = http.MaxBytesReader(w, req.Body, maxBody)
	found.serve(r)
}

// find returns the route of a path, and what stands in its variable segment.
func (h *handler) find(method, path string) (*route, string) {
	segments := strings.Split(path, "/")
next:
	for i := range h.routes[method] {
		candidate := &h.routes[method][i]
		if len(candidate.path) != len(segments) {
			continue
		}
		param := ""
		for j, segment := range candidate.path {
			switch {
			case segment == "*" && segments[j] != "":
				param = segments[j]
			case segment != segments[j]:
				continue next
			}
		}
		return candidate, param
	}
	return nil, ""
}

// notFound leads from a path with a slash at its end to the one without; all else,
// methods that a path has not included, is not found.
func (h *handler) notFound(w http.ResponseWriter, req *http.Request) {
	if path, ok := strings.CutSuffix(req.URL.Path, "/"); ok {
		if found, _ := h.find(req.Method, path); found != nil {
			code := http.StatusTemporaryRedirect
			if req.Method == http.MethodGet {
				code = http.StatusMovedPermanently
			}
			to := *req.URL
			to.Path, to.RawPath, to.Host, to.Scheme = path, "", "", ""
			http.Redirect(w, req, to.String(), code)
			return
		}
	}
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write([]byte("404 page not found"))
}

// request is one request, and how it is answered.
type request struct {
	*http.Request
	w            http.ResponseWriter
	h            *handler
	param        string
	organization string
	runs         heddle.Runs // of the organization
}

// raw answers with a body.
func (r *request) raw(contentType string, body []byte) {
	r.w.Header().Set("Content-Type", contentType)
	_, _ = r.w.Write(body) // who does not listen any more needs no answer
}

const jsonType = "application/json; charset=utf-8"

// object answers with compact JSON.
func (r *request) object(value map[string]any) { r.status(http.StatusOK, value) }

func (r *request) status(code int, value map[string]any) {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err) // strings, numbers and maps can always be encoded
	}
	r.w.Header().Set("Content-Type", jsonType)
	r.w.WriteHeader(code)
	_, _ = r.w.Write(body)
}

// rows answers with what is shown indented: a row or a list of them.
func (r *request) rows(value any) {
	body, err := json.MarshalIndent(value, "", "    ")
	if err != nil {
		r.fail(err)
		return
	}
	r.raw(jsonType, body)
}

// error answers with a text.
func (r *request) error(code int, text string) { r.status(code, map[string]any{"error": text}) }

// malformed answers a body that cannot be understood. The content type is rego's.
func (r *request) malformed(err error) {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		r.error(http.StatusRequestEntityTooLarge, "the request has more than 10 MB")
		return
	}
	body, _ := json.Marshal(map[string]any{"error": err.Error()}) // a string can always be encoded
	r.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	r.w.WriteHeader(http.StatusBadRequest)
	_, _ = r.w.Write(body)
}

// statusOf is the answer to an error of a service, by what clients of rego know.
func statusOf(err error) int {
	switch heddle.CodeOf(err) {
	case heddle.CodeInvalid:
		return http.StatusBadRequest
	case heddle.CodeNotFound:
		return http.StatusNotFound
	case heddle.CodeConflict:
		return http.StatusConflict
	case heddle.CodeUnavailable:
		return http.StatusServiceUnavailable
	case heddle.CodeStore, heddle.CodeInternal:
	}
	return http.StatusInternalServerError
}

// fail answers an error of a service.
func (r *request) fail(err error) {
	code, text := statusOf(err), err.Error()
	switch code {
	case http.StatusNotFound:
		text = "record not found"
	case http.StatusInternalServerError:
		r.complain(err)
		text = "the request could not be handled: the server's log says why"
	}
	r.error(code, text)
}

func (r *request) complain(err error) {
	if r.Context().Err() == nil {
		r.h.Log.Error("a request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
}

// id reads the ID in the path, in any form that the uuid package accepts.
func (r *request) id() (string, error) {
	id, err := uuid.Parse(r.param)
	return id.String(), err
}
