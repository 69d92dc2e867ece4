package rest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/rest"
	"github.com/heddle/heddle/internal/rest/auth"
)

// readme is the pipeline of chainr's README, with commands that this machine has.
const readme = `{"kind":"Pipeline","jobs":{
	"first":{"image":"busybox","run":"exit 0"},
	"second":{"image":"busybox","run":"exit 0","dependsOn":[{"job":"first"}]},
	"success":{"image":"busybox","run":"exit 0","dependsOn":[{"job":"second"}]},
	"error":{"image":"busybox","run":"exit 0","dependsOn":[{"job":"second","conditions":{"failure":true}}]}}}`

// chainrRun is a run as chainr's users decode it.
type chainrRun struct {
	Kind     string
	Metadata struct{ SelfLink, UID string }
	Status   string
	Jobs     []struct{ Name, Status string }
}

func (b *bench) waitForChainr(uid string) (run chainrRun) {
	b.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		b.as(http.StatusOK, &run, "GET", "/api/runs/"+uid, nil)
		if run.Status != "PENDING" && run.Status != "RUNNING" {
			return run
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("run %s has not ended: %+v", uid, run)
		}
	}
}

func TestChainrsRequests(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	const notFound, notAllowed = `{"kind":"Error","error":"Resource not found"}`, `{"kind":"Error","error":"Method not allowed"}`
	for name, tc := range map[string]struct {
		method, path, body string
		want               int
		wantBody           string
		wantAllow          string
	}{
		"the probe":                   {method: "POST", path: "/", want: 200},
		"the resources":               {method: "GET", path: "/api", want: 200, wantBody: `{"kind":"APIResourceList","metadata":{"selfLink":"/api"},"resources":{"runs":{"url":"/api/runs","description":"Runs of pipelines"}}}`},
		"the resources otherwise":     {method: "POST", path: "/api", want: 405, wantBody: notAllowed, wantAllow: "GET"},
		"a slash too many":            {method: "GET", path: "/api/", want: 404, wantBody: notFound},
		"another path":                {method: "GET", path: "/api/jobs", want: 404, wantBody: notFound},
		"an empty uid":                {method: "GET", path: "/api/runs/", want: 404, wantBody: `{"kind":"Error","error":"run  was not found"}`},
		"no such run":                 {method: "GET", path: "/api/runs/x", want: 404, wantBody: `{"kind":"Error","error":"run x was not found"}`},
		"the tail is the uid":         {method: "GET", path: "/api/runs/x/y", want: 404, wantBody: `{"kind":"Error","error":"run x/y was not found"}`},
		"a change of the list":        {method: "PUT", path: "/api/runs", want: 405, wantBody: notAllowed, wantAllow: "GET, POST"},
		"a deletion":                  {method: "DELETE", path: "/api/runs/x", want: 405, wantBody: notAllowed, wantAllow: "GET, POST"},
		"options":                     {method: "OPTIONS", path: "/api/runs", want: 405, wantBody: notAllowed, wantAllow: "GET, POST"},
		"two slashes":                 {method: "GET", path: "/api//runs", want: 307},
		"an empty body":               {method: "POST", path: "/api/runs", want: 400, wantBody: `{"kind":"Error","error":"unexpected end of JSON input"}`},
		"text after the document":     {method: "POST", path: "/api/runs", body: `{} x`, want: 400, wantBody: `{"kind":"Error","error":"invalid character 'x' after top-level value"}`},
		"several faults, by pointers": {method: "POST", path: "/api/runs", body: `{"kind":"Pipeline","jobs":{"a":{"image":"x","run":"y","z":1,"dependsOn":[{"job":"b"}]}}}`, want: 400},
		"another kind":                {method: "POST", path: "/api/runs", body: `{"workflows":{},"actions":{}}`, want: 400},
		"a page without end":          {method: "GET", path: "/api/runs?limit=0", want: 400, wantBody: `{"kind":"Error","error":"limit: a number from 1 to 1000 is needed"}`},
	} {
		r := b.ask(tc.method, tc.path, tc.body)
		if r.code != tc.want || tc.wantBody != "" && r.body != tc.wantBody || r.header.Get("Allow") != tc.wantAllow {
			t.Errorf("%s: %d %q, Allow %q; want %d %q, %q", name, r.code, r.body, r.header.Get("Allow"), tc.want, tc.wantBody, tc.wantAllow)
		}
		if kind := r.header.Get("Content-Type"); r.code >= 400 && kind != "application/json" {
			t.Errorf("%s: answered as %q", name, kind)
		}
	}
	r := b.ask("POST", "/api/runs", `{"kind":"Pipeline","jobs":{"a":{"image":"x","run":"y","z":1,"dependsOn":[{"job":"b"}]}}}`)
	for _, want := range []string{"/jobs/a/z: ", "/jobs/a/dependsOn/0/job: ", ", /jobs"} {
		if !strings.Contains(r.body, want) {
			t.Errorf("the faults %s lack %q", r.body, want)
		}
	}
}

func TestChainrsRuns(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	var accepted chainrRun
	b.as(http.StatusAccepted, &accepted, "POST", "/api/runs", readme, "Content-Type", "text/plain")
	if accepted.Kind != "Run" || accepted.Status != "PENDING" || accepted.Metadata.SelfLink != "/api/runs/"+accepted.Metadata.UID || len(accepted.Jobs) != 4 {
		t.Errorf("accepted as %+v", accepted)
	}
	run := b.waitForChainr(accepted.Metadata.UID)
	got := map[string]string{"": run.Status}
	for _, job := range run.Jobs {
		got[job.Name] = job.Status
	}
	want := map[string]string{"": "SUCCESSFUL", "first": "SUCCESSFUL", "second": "SUCCESSFUL", "success": "SUCCESSFUL", "error": "SKIPPED"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ended (-want +got):\n%s", diff)
	}
	b.as(http.StatusAccepted, &accepted, "POST", "/api/runs/anything", `{"kind":"Pipeline","jobs":{"a":{"image":"x","run":"exit 3"}}}`)
	if run := b.waitForChainr(accepted.Metadata.UID); run.Status != "FAILED" || run.Jobs[0].Status != "FAILED" {
		t.Errorf("a job that fails: %+v", run)
	}
	b.as(http.StatusAccepted, &accepted, "POST", "/api/runs", `{"kind":"Pipeline","jobs":{}}`)
	if run := b.waitForChainr(accepted.Metadata.UID); run.Status != "SUCCESSFUL" || run.Jobs == nil {
		t.Errorf("no jobs: %+v", run)
	}
	b.as(http.StatusAccepted, &accepted, "POST", "/api/runs", `{"kind":"Pipeline","jobs":{"a":{"image":"x","run":"sleep 30"}}}`)
	b.as(http.StatusAccepted, nil, "POST", "/api/v2/runs/"+accepted.Metadata.UID+"/cancel", nil)
	if run := b.waitForChainr(accepted.Metadata.UID); run.Status != "CANCELED" {
		t.Errorf("cancelled: %+v", run)
	}
	for range 2 { // the second time from memory
		var list struct {
			Kind     string
			Metadata struct{ SelfLink, Next string }
			Items    []chainrRun
		}
		b.as(http.StatusOK, &list, "GET", "/api/runs?limit=3", nil)
		if list.Kind != "RunList" || len(list.Items) != 3 || list.Items[0].Metadata.UID != accepted.Metadata.UID || list.Items[0].Status != "CANCELED" || list.Items[0].Kind != "" {
			t.Errorf("the list is %+v", list)
		}
		b.as(http.StatusOK, &list, "GET", list.Metadata.Next, nil)
		if len(list.Items) != 1 || list.Items[0].Status != "SUCCESSFUL" {
			t.Errorf("it goes on with %+v", list.Items)
		}
	}
}

// refusing takes no runs: what is fuzzed must not be run.
type refusing struct{ heddle.Runs }

func (refusing) Submit(context.Context, heddle.Submission) (heddle.Run, error) {
	return heddle.Run{}, heddle.Errorf(heddle.CodeUnavailable, "nothing is run here")
}

func FuzzPost(f *testing.F) {
	document, _ := json.Marshal(map[string]string{"document": "kind: Pipeline\njobs: {a: {image: x, run: y}}"})
	for _, seed := range []string{readme, string(document), `{"document":{"workflows":{}}}`, `{"action":"prune","filter":{}}`, "", "{", `"\ud800"`, `{"document":null}`} {
		f.Add(seed)
	}
	handler := rest.New(rest.Options{
		Runs: refusing{},
		Identify: func(*http.Request) (auth.Identity, bool) {
			return auth.Identity{Organization: "o", Role: heddle.RoleAdmin}, true
		},
		Choose: func(context.Context, string, *heddle.Flow) (string, []string, error) { return "none", nil, nil },
	})
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"/api/v2/runs", "/api/v2/validate", "/api/runs"} {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", path, strings.NewReader(body)))
			if w.Code == http.StatusInternalServerError || w.Code < 200 {
				t.Errorf("%s answers %q with %d %s", path, body, w.Code, w.Body)
			}
		}
	})
}
