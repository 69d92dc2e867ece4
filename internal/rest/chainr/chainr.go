// Package chainr answers /api and /api/runs as chainr's scheduler does: the same
// requests, bodies, statuses and forms of errors. It knows runs of pipelines only.
//
// What differs: the list is bounded and paged, requests need a key where keys are
// used, and pipelines that could never run are refused at once, with 400.
package chainr

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/rest/auth"
	"github.com/heddle/heddle/internal/scope"
)

// defaultLimit and maxLimit bound a list, whose original had every run ever made.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// Options says what to serve.
type Options struct {
	// Runs is the service, for all organizations.
	Runs heddle.Runs
	// Choose names the executor for a flow; asked is always "".
	Choose func(ctx context.Context, asked string, flow *heddle.Flow) (name string, notes []string, err error)
	// SecretsDir is what paths in pipelines are relative to; "": they must be absolute.
	SecretsDir string
	// MaxBody bounds the body of a request, in bytes.
	MaxBody int64
	Log     *slog.Logger
}

type handler struct {
	Options
	mu    sync.Mutex
	ended map[heddle.RunID]item // runs that have ended never change
}

// maxEnded bounds the ended runs that are remembered.
const maxEnded = 10_000

// New returns the handler of /api and everything below it.
func New(o Options) http.Handler { return &handler{Options: o, ended: map[heddle.RunID]item{}} }

// The bodies, in chainr's order of keys.
type (
	metadata struct {
		SelfLink string `json:"selfLink"`
		UID      string `json:"uid,omitempty"`
	}
	job struct {
		Name   string `json:"name"`
		Status string `json:"status"`
	}
	item struct {
		Metadata metadata `json:"metadata"`
		Status   string   `json:"status"`
		Jobs     []job    `json:"jobs"`
	}
	run struct {
		Kind string `json:"kind"`
		item
	}
	listMetadata struct {
		SelfLink string `json:"selfLink"`
		Next     string `json:"next,omitempty"` // ours: where the list goes on
	}
	list struct {
		Kind     string       `json:"kind"`
		Metadata listMetadata `json:"metadata"`
		Items    []item       `json:"items"`
	}
	failure struct {
		Kind  string `json:"kind"`
		Error string `json:"error"`
	}
)

const (
	selfLink   = "/api/runs"
	resources  = `{"kind":"APIResourceList","metadata":{"selfLink":"/api"},"resources":{"runs":{"url":"/api/runs","description":"Runs of pipelines"}}}`
	notFound   = "Resource not found"
	notAllowed = "Method not allowed"
)

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	who, ok := auth.From(r.Context())
	if !ok {
		w.Header().Set("WWW-Authenticate", "Bearer")
		fail(w, http.StatusUnauthorized, "a valid key is needed, in the header Authorization or X-Rego-Api-Key")
		return
	}
	path := r.URL.Path
	uid, below := strings.CutPrefix(path, selfLink+"/")
	switch {
	case path == "/api" && r.Method != http.MethodGet:
		w.Header().Set("Allow", "GET")
		fail(w, http.StatusMethodNotAllowed, notAllowed)
	case path == "/api":
		write(w, http.StatusOK, json.RawMessage(resources))
	case path != selfLink && !below:
		fail(w, http.StatusNotFound, notFound)
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		w.Header().Set("Allow", "GET, POST")
		fail(w, http.StatusMethodNotAllowed, notAllowed)
	case r.Method == http.MethodPost && !who.Role.May(heddle.RoleOperator):
		fail(w, http.StatusForbidden, "the key may only read")
	case r.Method == http.MethodPost:
		h.submit(w, r, scope.Runs(who.Organization, h.Runs))
	case below:
		h.get(w, r, scope.Runs(who.Organization, h.Runs), uid)
	default:
		h.list(w, r, scope.Runs(who.Organization, h.Runs))
	}
}

func (h *handler) get(w http.ResponseWriter, r *http.Request, runs heddle.Runs, uid string) {
	d, err := runs.Get(r.Context(), heddle.RunID(uid))
	if heddle.CodeOf(err) == heddle.CodeNotFound || err == nil && d.Run.Kind != heddle.KindPipeline {
		fail(w, http.StatusNotFound, "run "+uid+" was not found")
		return
	}
	if err != nil {
		h.broken(w, r, err)
		return
	}
	write(w, http.StatusOK, run{Kind: "Run", item: itemOf(&d)})
}

func (h *handler) list(w http.ResponseWriter, r *http.Request, runs heddle.Runs) {
	query := r.URL.Query()
	limit, err := strconv.Atoi(cmp.Or(query.Get("limit"), strconv.Itoa(defaultLimit)))
	if err != nil || limit < 1 || limit > maxLimit {
		fail(w, http.StatusBadRequest, "limit: a number from 1 to "+strconv.Itoa(maxLimit)+" is needed")
		return
	}
	page, err := runs.List(r.Context(), heddle.RunFilter{Kinds: []heddle.Kind{heddle.KindPipeline}, Limit: limit, After: query.Get("after")})
	if err != nil {
		h.broken(w, r, err)
		return
	}
	l := list{Kind: "RunList", Metadata: listMetadata{SelfLink: selfLink}, Items: []item{}}
	if page.Next != "" {
		l.Metadata.Next = selfLink + "?limit=" + strconv.Itoa(limit) + "&after=" + page.Next
	}
	for i := range page.Runs {
		one, err := h.itemOf(r.Context(), runs, &page.Runs[i])
		if heddle.CodeOf(err) == heddle.CodeNotFound {
			continue // deleted in between
		}
		if err != nil {
			h.broken(w, r, err)
			return
		}
		l.Items = append(l.Items, one)
	}
	write(w, http.StatusOK, l)
}

// itemOf returns a listed run with its jobs.
func (h *handler) itemOf(ctx context.Context, runs heddle.Runs, r *heddle.Run) (item, error) {
	h.mu.Lock()
	known, ok := h.ended[r.ID]
	h.mu.Unlock()
	if ok && r.State == heddle.RunEnded {
		return known, nil
	}
	d, err := runs.Get(ctx, r.ID)
	if err != nil {
		return item{}, err
	}
	one := itemOf(&d)
	if d.Run.State == heddle.RunEnded {
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.ended) >= maxEnded {
			clear(h.ended)
		}
		h.ended[r.ID] = one
	}
	return one, nil
}

func (h *handler) submit(w http.ResponseWriter, r *http.Request, runs heddle.Runs) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.MaxBody))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		fail(w, http.StatusRequestEntityTooLarge, "the pipeline is larger than "+strconv.FormatInt(h.MaxBody, 10)+" bytes")
		return
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "reading the request: "+err.Error())
		return
	}
	flow, err := parse(data, h.SecretsDir)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	executor, _, err := h.Choose(r.Context(), "", flow)
	if err != nil {
		h.broken(w, r, err)
		return
	}
	accepted, err := runs.Submit(r.Context(), heddle.Submission{Flow: flow, Executor: executor})
	if err != nil {
		h.broken(w, r, err)
		return
	}
	w.Header().Set("Location", selfLink+"/"+string(accepted.ID))
	write(w, http.StatusAccepted, run{Kind: "Run", item: itemOf(&heddle.RunDetail{Run: accepted, Flow: flow})})
}

// parse reads a pipeline in JSON, with chainr's forms of faults: the decoder's own
// text, or a JSON pointer and the reason for each fault.
func parse(data []byte, dir string) (*heddle.Flow, error) {
	var any json.RawMessage
	if err := json.Unmarshal(data, &any); err != nil {
		return nil, err
	}
	parsed, err := manifest.Parse("pipeline", data, manifest.Options{Dir: dir})
	var faults doc.Error
	if errors.As(err, &faults) {
		var texts []string
		for _, f := range faults {
			if f.Severity == doc.SeverityError {
				texts = append(texts, pointer(f.Path)+": "+f.Message)
			}
		}
		return nil, errors.New(strings.Join(texts, ", "))
	}
	if err != nil {
		return nil, err
	}
	if parsed.Flow.Kind != heddle.KindPipeline {
		return nil, errors.New(`/kind: a document of kind Pipeline is needed: other kinds go to /api/v2/runs`)
	}
	return parsed.Flow, nil
}

// pointer makes a JSON pointer of the path of a fault.
func pointer(path string) string {
	path = strings.NewReplacer("~", "~0", "/", "~1", ".", "/", "[", "/", "]", "").Replace(path)
	return "/" + strings.TrimPrefix(path, "/")
}

// broken answers with an error of ours.
func (h *handler) broken(w http.ResponseWriter, r *http.Request, err error) {
	switch heddle.CodeOf(err) {
	case heddle.CodeInvalid:
		fail(w, http.StatusBadRequest, err.Error())
	case heddle.CodeUnavailable, heddle.CodeStore:
		fail(w, http.StatusServiceUnavailable, err.Error())
	default:
		h.Log.ErrorContext(r.Context(), "a request failed", "path", r.URL.Path, "error", err)
		fail(w, http.StatusInternalServerError, "something went wrong in the server; its log says what")
	}
}

func fail(w http.ResponseWriter, code int, text string) {
	write(w, code, failure{Kind: "Error", Error: text})
}

func write(w http.ResponseWriter, code int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		code, data = http.StatusInternalServerError, []byte(`{"kind":"Error","error":"the answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(data) // who asked is gone
}
