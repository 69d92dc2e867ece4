package rest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/rest"
)

// described returns the operations of the API's description, as METHOD /path.
func described(b *bench) []string {
	var api struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	b.as(http.StatusOK, &api, "GET", "/api/v2/openapi.json", nil)
	var all []string
	for path, methods := range api.Paths {
		for method := range methods {
			all = append(all, strings.ToUpper(method)+" "+path)
		}
	}
	return all
}

// bodies are what operations are sent that want something.
func bodies() map[string]string {
	return map[string]string{
		"POST /api/v2/runs":      `{"document":"kind: Pipeline\njobs: {}"}`,
		"POST /api/v2/validate":  `{"document":"kind: Pipeline\njobs: {}"}`,
		"POST /api/v2/runs/bulk": `{"action":"cancel","all":true}`,
	}
}

func TestAnotherOrganizationSeesNothing(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, b *bench) {
		own := b.makeKey(heddle.NewKey{Organization: "own", Role: heddle.RoleAdmin})
		foreign := b.makeKey(heddle.NewKey{Organization: "foreign", Role: heddle.RoleAdmin})
		b.key = own
		run := b.submit(pipeline("sleep 30"))
		paths := []string{"GET /api/runs/{id}"}
		for _, operation := range described(b) {
			if strings.Contains(operation, "{id}") {
				paths = append(paths, operation)
			}
		}
		if len(paths) < 7 {
			t.Fatalf("only %v are described", paths)
		}
		b.key = foreign
		for _, operation := range paths {
			method, path, _ := strings.Cut(operation, " ")
			of := func(id string) reply {
				r := b.ask(method, strings.Replace(path, "{id}", id, 1), bodies()[operation])
				r.body = strings.ReplaceAll(r.body, id, "ID")
				return r
			}
			got, missing := of(string(run.ID)), of("i-am-not-there")
			if got.code != http.StatusNotFound || got.code != missing.code || got.body != missing.body {
				t.Errorf("%s: %d %s; of a run that does not exist %d %s", operation, got.code, got.body, missing.code, missing.body)
			}
		}
		for _, path := range []string{"/api/v2/runs", "/api/v2/runs?id=" + string(run.ID), "/api/v2/runs?label=k=v", "/api/runs"} {
			if r := b.as(http.StatusOK, nil, "GET", path, nil); strings.Contains(r.body, string(run.ID)) {
				t.Errorf("%s shows the run: %s", path, r.body)
			}
		}
		for _, action := range []string{`"cancel","all":true`, `"cancel","filter":{"ids":["` + string(run.ID) + `"]}`} {
			if r := b.as(http.StatusOK, nil, "POST", "/api/v2/runs/bulk", `{"action":`+action+`}`); !strings.Contains(r.body, `"count":0`) {
				t.Errorf("%s is about runs of others: %s", action, r.body)
			}
		}
		b.key = own
		var d heddle.RunDetail
		b.as(http.StatusOK, &d, "GET", "/api/v2/runs/"+string(run.ID), nil)
		if d.Run.State == heddle.RunEnded || d.Run.Stop != "" {
			t.Errorf("the run was stopped: %+v", d.Run)
		}
		b.as(http.StatusAccepted, nil, "POST", "/api/v2/runs/"+string(run.ID)+"/cancel", nil)
		b.waitForEnd(run.ID)
	})
}

func TestNothingWithoutAKey(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	operations := described(b)
	viewer := b.makeKey(heddle.NewKey{Role: heddle.RoleViewer})
	operator := b.makeKey(heddle.NewKey{})
	readers := map[string]bool{"POST /api/v2/validate": true}
	for _, operation := range operations {
		method, path, _ := strings.Cut(operation, " ")
		path = strings.Replace(path, "{id}", "i-am-not-there", 1)
		for _, key := range []string{"", "heddle_wrong_wrong_wrong"} {
			b.key = key
			r := b.ask(method, path, bodies()[operation])
			if r.code != http.StatusUnauthorized || r.header.Get("Content-Type") != "application/problem+json" || r.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s with key %q: %d %s", operation, key, r.code, r.body)
			}
		}
		b.key = viewer
		want := method != "GET" && !readers[operation]
		if r := b.ask(method, path, bodies()[operation]); (r.code == http.StatusForbidden) != want {
			t.Errorf("%s with the key of a viewer: %d %s", operation, r.code, r.body)
		}
	}
	b.key = operator
	b.as(http.StatusForbidden, nil, "POST", "/api/v2/runs/bulk", `{"action":"prune","all":true}`)
	b.as(http.StatusOK, nil, "POST", "/api/v2/runs/bulk", bodies()["POST /api/v2/runs/bulk"])
	b.key = ""
	b.as(http.StatusUnauthorized, nil, "GET", "/metrics", nil)
	b.as(http.StatusOK, nil, "GET", "/livez", nil)
	b.as(http.StatusOK, nil, "GET", "/readyz", nil)
	b.as(http.StatusOK, nil, "GET", "/api/v2/runs", nil, "X-Rego-Api-Key", operator)
	if r := b.as(http.StatusUnauthorized, nil, "GET", "/api/runs", nil); !strings.HasPrefix(r.body, `{"kind":"Error","error":`) {
		t.Errorf("chainr's route answers %s", r.body)
	}
}

func TestWithoutKeysPagesOfOthersStayOut(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	document := `{"kind":"Pipeline","jobs":{}}`
	for name, tc := range map[string]struct {
		method, path string
		header       []string
		want         int
	}{
		"a program":                        {method: "POST", path: "/api/runs", want: http.StatusAccepted},
		"a page of this server":            {method: "POST", path: "/api/runs", header: []string{"Sec-Fetch-Site", "same-origin", "Origin", b.url}, want: http.StatusAccepted},
		"a page of another site":           {method: "POST", path: "/api/runs", header: []string{"Sec-Fetch-Site", "cross-site"}, want: http.StatusForbidden},
		"one of an old browser":            {method: "POST", path: "/api/v2/runs/bulk", header: []string{"Origin", "https://evil.example"}, want: http.StatusForbidden},
		"a site whose name points here":    {method: "GET", path: "/api/v2/runs", header: []string{"Host", "evil.example:4004"}, want: http.StatusForbidden},
		"this machine by another spelling": {method: "GET", path: "/api/v2/runs", header: []string{"Host", "[::1]:4004"}, want: http.StatusOK},
	} {
		if r := b.ask(tc.method, tc.path, document, tc.header...); r.code != tc.want {
			t.Errorf("%s: %d %s, want %d", name, r.code, r.body, tc.want)
		}
	}
}

func TestBadRequestsAreToldWhatIsWrong(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	for name, tc := range map[string]struct {
		method, path, body string
		want               int
		wantText           string
	}{
		"no JSON":                   {body: "{", want: 400, wantText: "unexpected"},
		"nothing":                   {body: "", want: 400, wantText: "body"},
		"an unknown key":            {body: `{"document":"x","documnt":1}`, want: 422, wantText: "documnt"},
		"no document":               {body: `{}`, want: 422, wantText: "document"},
		"an unknown kind":           {body: `{"document":{"kind":"Nope"}}`, want: 400, wantText: `"line":1`},
		"a fault with its place":    {body: `{"document":"kind: Pipeline\njobs:\n  a: {image: x}\n"}`, want: 400, wantText: `document:3:`},
		"another executor":          {body: `{"document":"kind: Pipeline\njobs: {}","executor":"docker"}`, want: 400, wantText: "this server runs everything on process"},
		"contexts of a pipeline":    {body: `{"document":"kind: Pipeline\njobs: {}","contexts":[{}]}`, want: 400, wantText: "hands no context on"},
		"a param that is a list":    {body: `{"document":"kind: Pipeline\njobs: {}","params":{"a":[]}}`, want: 400, wantText: "params.a"},
		"a body over the bound":     {body: `{"document":"` + strings.Repeat("x", rest.MaxBody) + `"}`, want: 413, wantText: "too large"},
		"the same for chainr":       {path: "/api/runs", body: `"` + strings.Repeat("x", rest.MaxBody) + `"`, want: 413, wantText: `"kind":"Error"`},
		"a place in no list":        {method: "GET", path: "/api/v2/runs?after=x", want: 400, wantText: "next value of a page"},
		"a page without end":        {method: "GET", path: "/api/v2/runs?limit=1001", want: 422, wantText: "limit"},
		"a state that is none":      {method: "GET", path: "/api/v2/runs?state=lost", want: 422, wantText: "state"},
		"a label that is none":      {method: "GET", path: "/api/v2/runs?label=x", want: 400, wantText: "KEY=VALUE"},
		"not the form of a run":     {method: "GET", path: "/api/v2/runs/A%2F..%2Fb", want: 404, wantText: "there is no run"},
		"bulk without a word":       {path: "/api/v2/runs/bulk", body: `{"action":"prune"}`, want: 400, wantText: "say which runs"},
		"bulk with too many words":  {path: "/api/v2/runs/bulk", body: `{"action":"prune","all":true,"filter":{"name":"x"}}`, want: 400, wantText: "say which runs"},
		"no such route":             {method: "GET", path: "/api/v2/nope", want: 404, wantText: "openapi.json"},
		"a route by another method": {method: "PUT", path: "/api/v2/runs", want: 404, wantText: "there is no PUT"},
	} {
		if tc.method == "" {
			tc.method = "POST"
		}
		if tc.path == "" {
			tc.path = "/api/v2/runs"
		}
		r := b.ask(tc.method, tc.path, tc.body)
		if r.code != tc.want || !strings.Contains(r.body, tc.wantText) {
			t.Errorf("%s: %d %.300s, want %d with %q", name, r.code, r.body, tc.want, tc.wantText)
		}
		if kind := r.header.Get("Content-Type"); kind != "application/problem+json" && !strings.HasPrefix(tc.path, "/api/runs") {
			t.Errorf("%s: answered as %s", name, kind)
		}
	}
}

func TestAPanicIsAnAnswerAndALine(t *testing.T) {
	t.Parallel()
	b := newBench(t, "", func(o *rest.Options) {
		o.Rego = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a defect") })
	})
	r := b.as(http.StatusInternalServerError, nil, "GET", "/ping", nil, "X-Request-Id", "name-of-it")
	if strings.Contains(r.body, "defect") || r.header.Get("X-Request-Id") != "name-of-it" {
		t.Errorf("answered %v %s", r.header, r.body)
	}
	if log := b.log.String(); !strings.Contains(log, "request_id=name-of-it") || !strings.Contains(log, "a defect") {
		t.Errorf("the log has not what happened: %s", log)
	}
	b.as(http.StatusOK, nil, "GET", "/livez", nil)
}

func TestTheAccessLogIsOfConstantSize(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	for range 1000 {
		b.as(http.StatusOK, nil, "GET", "/api/v2/runs", nil)
	}
	b.ask("GET", "/"+strings.Repeat("x", 10_000), nil)
	log := b.log.String()
	if len(log) > 1<<20 || strings.Contains(log, strings.Repeat("x", 300)) {
		t.Errorf("1,000 requests wrote %d bytes", len(log))
	}
	if !strings.Contains(log, "status=200") || !strings.Contains(log, "path=/api/v2/runs") {
		t.Errorf("the log does not tell of requests: %.500s", log)
	}
	metrics := b.as(http.StatusOK, nil, "GET", "/metrics", nil).body
	for _, want := range []string{`heddle_http_requests_total{code="200",method="GET",route="/api/v2/runs"} 1000`, "heddle_runs_stalled 0", "heddle_runs_queued 0"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

func TestThePageNeedsNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	b.makeKey(heddle.NewKey{})
	for path, kind := range map[string]string{"/api/v2/docs": "text/html", "/api/v2/docs.js": "text/javascript"} {
		r := b.as(http.StatusOK, nil, "GET", path, nil)
		if strings.Contains(r.body, "//cdn") || strings.Contains(r.body, "https:") || !strings.HasPrefix(r.header.Get("Content-Type"), kind) ||
			!strings.Contains(r.header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %v\n%s", path, r.header, r.body)
		}
	}
}
