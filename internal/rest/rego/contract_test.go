package rego_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/rest/rego"
)

const none = "6f1c2a34-0000-4000-8000-000000000001" // an ID that nothing has

func TestRequestsAreAnsweredAsRegoDoes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	missing := answer{404, jsonType, `{"error":"record not found"}`}
	page := answer{404, "text/plain", "404 page not found"}
	for name, tc := range map[string]struct {
		method, path, body string
		key                string // default: one that may do all of this
		want               answer
		location           string
	}{
		"ping":                         {method: "GET", path: "/ping", want: answer{200, jsonType, `{"message":"pong"}`}},
		"no key":                       {method: "GET", path: "/ping", key: "wrong", want: answer{Code: 401}},
		"no key for a definition":      {method: "POST", path: "/api/v1/task", key: "wrong", body: "{", want: answer{Code: 401}},
		"no key for an abort":          {method: "POST", path: "/api/v1/execution/x/abort", key: "wrong", want: answer{Code: 401}},
		"a viewer changes nothing":     {method: "POST", path: "/api/v1/task", key: "acme/viewer", body: `{}`, want: answer{403, jsonType, `{"error":"the key has the role viewer, and this needs operator"}`}},
		"nothing there":                {method: "GET", path: "/api/v1/task", want: answer{200, jsonType, "[]"}},
		"nothing pending":              {method: "GET", path: "/api/v1/tasks/pending", want: answer{200, jsonType, "[]"}},
		"nothing counted":              {method: "GET", path: "/api/v1/task/count", want: answer{200, jsonType, `{"count":0}`}},
		"no executions":                {method: "GET", path: "/api/v1/execution", want: answer{200, jsonType, "[]"}},
		"no history":                   {method: "GET", path: "/api/v1/task/" + none + "/history", want: answer{200, jsonType, "[]"}},
		"a slash too many":             {method: "GET", path: "/api/v1/task/", want: answer{301, "text/html; charset=utf-8", "<a href=\"/api/v1/task\">Moved Permanently</a>.\n\n"}, location: "/api/v1/task"},
		"a slash too many in a post":   {method: "POST", path: "/api/v1/task/?a=b", want: answer{307, "", ""}, location: "/api/v1/task?a=b"},
		"an unknown path":              {method: "GET", path: "/api/v1/tasks", want: page},
		"a method that there is not":   {method: "PATCH", path: "/api/v1/task", want: page},
		"a method for another path":    {method: "GET", path: "/api/v1/task/" + none + "/rerun", want: page},
		"an unknown path without key":  {method: "GET", path: "/api/v1/nothing", key: "wrong", want: page},
		"an empty body":                {method: "POST", path: "/api/v1/task", want: answer{400, textType, `{"error":"EOF"}`}},
		"half a body":                  {method: "POST", path: "/api/v1/task", body: `{"image":`, want: answer{400, textType, `{"error":"unexpected EOF"}`}},
		"no JSON":                      {method: "POST", path: "/api/v1/task", body: `image=x`, want: answer{400, textType, `{"error":"invalid character 'i' looking for beginning of value"}`}},
		"no image":                     {method: "POST", path: "/api/v1/task", body: `{"name":"x"}`, want: answer{400, textType, `{"error":"Key: 'TaskDefinition.Image' Error:Field validation for 'Image' failed on the 'required' tag"}`}},
		"an interval that is a text":   {method: "POST", path: "/api/v1/task", body: `{"image":"x","execution_interval":"1"}`, want: answer{400, textType, `{"error":"json: cannot unmarshal string into Go struct field TaskDefinition.execution_interval of type int"}`}},
		"a command that is a text":     {method: "POST", path: "/api/v1/task", body: `{"image":"x","cmd":"ls"}`, want: answer{400, textType, `{"error":"json: cannot unmarshal string into Go struct field TaskDefinition.cmd of type []string"}`}},
		"an ID that is none":           {method: "POST", path: "/api/v1/task", body: `{"image":"x","id":"1"}`, want: answer{400, textType, `{"error":"invalid UUID length: 1"}`}},
		"metadata of no job":           {method: "POST", path: "/api/v1/task", body: `{"image":"x","metadata":[1]}`, want: answer{400, textType, `{"error":"body:1:25: metadata: must be a map: the fields of a Job's spec"}`}},
		"two times to run":             {method: "POST", path: "/api/v1/task", body: `{"image":"x","execution_interval":1,"schedule":{"cron":"* * * * *"}}`, want: answer{400, textType, `{"error":"execution_interval and schedule both say when: leave one out"}`}},
		"no cron expression":           {method: "POST", path: "/api/v1/task", body: `{"image":"x","schedule":{"cron":"0 0 30 2 *"}}`, want: answer{400, textType, `{"error":"schedule: no time matches the cron expression \"0 0 30 2 *\""}`}},
		"no other definition":          {method: "POST", path: "/api/v1/task", body: `{"image":"x","schedule":{"after":{"definition":"` + none + `"}}}`, want: answer{400, textType, `{"error":"schedule: after names \"` + none + `\", which is no other definition"}`}},
		"an update without ID":         {method: "PUT", path: "/api/v1/task", body: `{"image":"x"}`, want: missing},
		"an update of an unknown one":  {method: "PUT", path: "/api/v1/task", body: `{"image":"x","id":"` + none + `"}`, want: missing},
		"an update without image":      {method: "PUT", path: "/api/v1/task", body: `{"id":"` + none + `"}`, want: answer{400, textType, `{"error":"Key: 'TaskDefinition.Image' Error:Field validation for 'Image' failed on the 'required' tag"}`}},
		"an unknown one":               {method: "GET", path: "/api/v1/task/" + none, want: missing},
		"no UUID":                      {method: "GET", path: "/api/v1/task/1", want: answer{400, jsonType, `{"error":"invalid UUID length: 1"}`}},
		"no UUID, of the right length": {method: "GET", path: "/api/v1/task/" + strings.Repeat("x", 36), want: answer{400, jsonType, `{"error":"invalid UUID format"}`}},
		"delete an unknown one":        {method: "DELETE", path: "/api/v1/task/" + none, want: answer{200, jsonType, `{"message":"deleted"}`}},
		"delete no UUID":               {method: "DELETE", path: "/api/v1/task/1", want: answer{400, jsonType, `{"error":"invalid UUID length: 1"}`}},
		"rerun an unknown one":         {method: "POST", path: "/api/v1/task/" + none + "/rerun", want: missing},
		"rerun no UUID":                {method: "POST", path: "/api/v1/task/1/rerun", want: answer{400, jsonType, `{"error":"invalid UUID length: 1"}`}},
		"latest of an unknown one":     {method: "GET", path: "/api/v1/task/" + none + "/latest", want: missing},
		"an unknown execution":         {method: "GET", path: "/api/v1/execution/" + none, want: missing},
		"logs of an unknown execution": {method: "GET", path: "/api/v1/execution/" + none + "/logs", want: missing},
		"abort an unknown execution":   {method: "POST", path: "/api/v1/execution/" + none + "/abort", want: answer{Code: 404}},
		"abort no UUID":                {method: "POST", path: "/api/v1/execution/1/abort", want: answer{Code: 400}},
		"swagger":                      {method: "GET", path: "/swagger/", key: "wrong", want: answer{301, "text/html; charset=utf-8", "<a href=\"/swagger/index.html\">Moved Permanently</a>.\n\n"}, location: "/swagger/index.html"},
	} {
		t.Run(name, func(t *testing.T) {
			who := key
			if tc.key != "" {
				who = tc.key
			}
			got, header := b.send(who, tc.method, tc.path, tc.body)
			b.want(got, tc.want)
			if header.Get("Location") != tc.location {
				t.Errorf("location %q, want %q", header.Get("Location"), tc.location)
			}
		})
	}
	if got, _ := b.send("wrong", "HEAD", "/swagger/index.html", ""); got.Code != 404 {
		t.Errorf("HEAD is answered with %d", got.Code)
	}
	big := `{"image":"` + strings.Repeat("x", 11<<20) + `"}`
	if got := b.do("POST", "/api/v1/task", big); got.Code != 413 {
		t.Errorf("a body of 11 MB is answered with %d", got.Code)
	}
	for _, path := range []string{"/swagger/index.html", "/swagger/doc.json"} {
		if got, _ := b.send("wrong", "GET", path, ""); got.Code != 200 || len(got.Body) == 0 {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

// times replaces what differs from one run of the test to the next.
func times(text string) string {
	text = regexp.MustCompile(`"2\d\d\d-[^"]*Z"`).ReplaceAllString(text, `"TIME"`)
	return regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`).ReplaceAllString(text, "UUID")
}

func TestRowsLookAsRegosDo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	// Letters of keys do not matter, unknown keys and what follows the body neither.
	id := b.create(`{"Image":"ubuntu:latest","name":"n'); DROP TABLE definitions;--","CMD":["true"],"ttl_seconds_after_finished":5,
		"id":"` + none + `","enabled":false,"execution_counter":7,"latest_status":"SUCCESS","DeletedAt":"2024-01-01T00:00:00Z",
		"metadata":{"client_id":"x","backoffLimit":0}} trailing`)
	b.untilStatus(id, heddle.StatusSuccess)
	b.eventually("the definition knows", func() bool { return b.definition(id).LatestStatus == "SUCCESS" })
	definition := `{
    "ID": 0,
    "CreatedAt": "TIME",
    "UpdatedAt": "TIME",
    "DeletedAt": null,
    "id": "UUID",
    "organization_id": "acme",
    "image": "ubuntu:latest",
    "name": "n'); DROP TABLE definitions;--",
    "namespace": "default",
    "latest_status": "SUCCESS",
    "execution_interval": 0,
    "execution_counter": 1,
    "next_execution_time": "TIME",
    "enabled": false,
    "deleted": false,
    "cmd": [
        "true"
    ],
    "metadata": {
        "client_id": "x",
        "backoffLimit": 0
    }
}`
	execution := `{
    "ID": 0,
    "CreatedAt": "TIME",
    "UpdatedAt": "TIME",
    "DeletedAt": null,
    "id": "UUID",
    "organization_id": "acme",
    "task_definition_id": "UUID",
    "status_code": 500,
    "status": "SUCCESS",
    "image": "ubuntu:latest",
    "name": "n'); DROP TABLE definitions;--",
    "namespace": "default",
    "cmd": [
        "true"
    ],
    "metadata": {
        "client_id": "x",
        "backoffLimit": 0
    }
}`
	list := func(row string) string { return "[\n    " + strings.ReplaceAll(row, "\n", "\n    ") + "\n]" }
	run := b.history(id)[0].ID
	for path, want := range map[string]string{
		"/api/v1/task":                        list(definition),
		"/api/v1/task?limit=1":                list(definition),
		"/api/v1/task?limit=abc":              "[]",
		"/api/v1/task?offset=1":               "[]",
		"/api/v1/task/" + id:                  definition,
		"/api/v1/task/{" + id + "}":           definition,
		"/api/v1/task/" + strings.ToUpper(id): definition,
		"/api/v1/task/" + id + "/latest":      execution,
		"/api/v1/task/" + id + "/history":     list(execution),
		"/api/v1/task/count":                  `{"count":1}`,
		"/api/v1/execution":                   list(execution),
		"/api/v1/execution/" + run:            execution,
	} {
		got := b.do("GET", path, "")
		got.Body = times(got.Body)
		b.want(got, answer{200, jsonType, want})
	}
	// Whole objects can be sent back: nothing changes but what the server keeps.
	row := b.do("GET", "/api/v1/task/"+id, "")
	b.want(b.do("PUT", "/api/v1/task", row.Body), answer{200, jsonType, `{"message":"updated"}`})
	updated := regexp.MustCompile(`"UpdatedAt": "[^"]*"`)
	if after := b.do("GET", "/api/v1/task/"+id, ""); updated.ReplaceAllString(after.Body, "") != updated.ReplaceAllString(row.Body, "") {
		t.Errorf("before %s, after %s", row.Body, after.Body)
	}
	if n := len(b.history(id)); n != 1 {
		t.Errorf("%d executions", n)
	}
}

func TestWhatBelongsToOthersIsNotThere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.create(`{"image":"x","cmd":["sleep","600"]}`)
	run := b.untilStatus(id, heddle.StatusRunning).ID
	for _, tc := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/api/v1/task/" + id, "", 404},
		{"GET", "/api/v1/task/" + id + "/latest", "", 404},
		{"PUT", "/api/v1/task", `{"image":"y","id":"` + id + `"}`, 404},
		{"POST", "/api/v1/task/" + id + "/rerun", "", 404},
		{"GET", "/api/v1/execution/" + run, "", 404},
		{"GET", "/api/v1/execution/" + run + "/logs", "", 404},
		{"POST", "/api/v1/execution/" + run + "/abort", "", 404},
		{"POST", "/api/v1/task", `{"image":"y","schedule":{"after":{"definition":"` + id + `"}}}`, 400},
		{"DELETE", "/api/v1/task/" + id, "", 200}, // which says nothing
	} {
		if got, _ := b.send("other/admin", tc.method, tc.path, tc.body); got.Code != tc.want {
			t.Errorf("%s %s: %+v, want %d", tc.method, tc.path, got, tc.want)
		}
	}
	for path, want := range map[string]string{"/api/v1/task": "[]", "/api/v1/execution": "[]", "/api/v1/task/" + id + "/history": "[]", "/api/v1/task/count": `{"count":0}`} {
		if got, _ := b.send("other/admin", "GET", path, ""); got.Body != want {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if d := b.definition(id); d.LatestStatus != "RUNNING" || d.Image != "x" {
		t.Errorf("the definition was changed: %+v", d)
	}
	b.want(b.do("DELETE", "/api/v1/task/"+id, ""), answer{200, jsonType, `{"message":"deleted"}`})
	b.untilStatus(id, heddle.StatusAborted) // its executions can still be seen
	if got := b.do("GET", "/api/v1/task/"+id, ""); got.Code != 404 {
		t.Errorf("deleted: %+v", got)
	}
}

func TestUpdateKeepsWhatItDoesNotName(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.create(`{"image":"x","cmd":["true"],"execution_interval":3600}`)
	b.eventually("it has run", func() bool { return b.definition(id).LatestStatus == "SUCCESS" })
	before := b.definition(id)
	if before.NextExecutionTime.Before(time.Now().Add(59 * time.Minute)) {
		t.Fatalf("next at %v", before.NextExecutionTime)
	}
	b.want(b.do("PUT", "/api/v1/task", `{"id":"`+id+`","image":"y","execution_interval":3600,"cmd":["true"]}`), answer{200, jsonType, `{"message":"updated"}`})
	after := b.definition(id)
	if after.Image != "y" || !after.Enabled || after.ExecutionsCounter != 1 || after.Namespace != "default" ||
		!after.CreatedAt.Equal(before.CreatedAt) || !after.NextExecutionTime.Equal(before.NextExecutionTime) || after.LatestStatus != "SUCCESS" {
		t.Errorf("before %+v\nafter %+v", before, after)
	}
	// A next time in the past has it run at once; disabled, it does not run.
	past := time.Now().Add(-time.Millisecond).UTC()
	body := func(enabled bool, next time.Time) string {
		return fmt.Sprintf(`{"id":%q,"image":"y","execution_interval":3600,"cmd":["true"],"enabled":%v,"next_execution_time":%q}`, id, enabled, next.Format(time.RFC3339Nano))
	}
	b.do("PUT", "/api/v1/task", body(true, past))
	b.eventually("it runs again", func() bool { return b.definition(id).ExecutionsCounter == 2 })
	b.do("PUT", "/api/v1/task", body(false, time.Now()))
	if d := b.definition(id); d.Enabled {
		t.Errorf("it is enabled: %+v", d)
	}
	if got, _ := b.send(key, "PUT", "/api/v1/task", body(false, past), "If-Match", `"1"`); got.Code != 412 {
		t.Errorf("at an old version: %+v", got)
	}
	// The end of the second run, once it is noted, is a change as well.
	b.eventually("an update at the current version", func() bool {
		_, header := b.send(key, "GET", "/api/v1/task/"+id, "")
		got, _ := b.send(key, "PUT", "/api/v1/task", body(false, past), "If-Match", header.Get("ETag"))
		return got.Code == 200
	})
	// What was to run once runs once more when it is enabled.
	once := b.create(`{"image":"x","cmd":["true"]}`)
	b.eventually("it has run", func() bool { return !b.definition(once).Enabled })
	stale := fmt.Sprintf(`{"id":%q,"image":"x","cmd":["true"],"enabled":true,"execution_counter":0}`, once)
	b.do("PUT", "/api/v1/task", stale)
	if d := b.definition(once); d.Enabled {
		t.Errorf("a body from before its run has it run again: %+v", d)
	}
	b.do("PUT", "/api/v1/task", fmt.Sprintf(`{"id":%q,"image":"x","cmd":["true"],"enabled":true}`, once))
	b.eventually("it runs again", func() bool { return b.definition(once).ExecutionsCounter == 2 && !b.definition(once).Enabled })
	if n := len(b.history(once)); n != 2 {
		t.Errorf("%d executions", n)
	}
}

func TestListsArePaged(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var ids []string
	for i := range 12 {
		ids = append([]string{b.create(fmt.Sprintf(`{"image":"x","name":"n%d","schedule":{"at":"2200-01-01T00:00:00Z"}}`, i))}, ids...)
	}
	for query, want := range map[string][]string{
		"": ids, "?limit=5": ids[:5], "?offset=10": ids[10:], "?offset=3&limit=2": ids[3:5], "?offset=1&limit=100": ids[1:], "?limit=-1": nil,
	} {
		var got []string
		for _, d := range row[[]rego.TaskDefinition](b, "/api/v1/task"+query) {
			got = append(got, d.ID.String())
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: %v, want %v", query, got, want)
		}
	}
	for range 4 {
		b.want(b.do("POST", "/api/v1/task/"+ids[0]+"/rerun", ""), answer{200, jsonType, `{"message":"updated"}`})
	}
	all := b.history(ids[0])
	if len(all) != 4 || all[0].CreatedAt.Before(all[3].CreatedAt) {
		t.Fatalf("history %+v", all)
	}
	if page := row[[]rego.TaskExecution](b, "/api/v1/task/"+ids[0]+"/history?offset=1&limit=2"); len(page) != 2 || page[0].ID != all[1].ID {
		t.Errorf("a page of the history: %+v", page)
	}
	if row := b.definition(ids[0]); row.Enabled || row.ExecutionsCounter != 4 {
		t.Errorf("what was to run once has run: %+v", row)
	}
}

func FuzzRequests(f *testing.F) {
	for _, seed := range []string{`{"image":"x"}`, `{"image":"x","schedule":{"cron":"* * * * *","jitter":5}}`, `{"IMAGE":"\u0000","metadata":{"a":[{}]}}`,
		`{"image":"x","next_execution_time":"0001-01-02T00:00:00Z","execution_interval":-1}`, `[]`, `null`, "\xff", `{"image":"x","execution_interval":9223372036854775807}`} {
		f.Add(seed, "task", seed)
	}
	b := newBench(f)
	f.Add(`{}`, "task/\x00/latest", `{}`)
	f.Fuzz(func(t *testing.T, body, path, name string) {
		b.t = t
		defer func() { b.t = f }()
		named, err := json.Marshal(map[string]any{"image": "x", "name": name, "namespace": name, "schedule": map[string]any{"at": "2200-01-01T00:00:00Z"}})
		if err != nil {
			t.Skip()
		}
		for _, try := range []string{body, string(named)} {
			for _, method := range []string{"POST", "PUT"} {
				if got := b.do(method, "/api/v1/task", try); got.Code >= 500 {
					t.Fatalf("%s %q: %+v", method, try, got)
				}
			}
		}
		var segments []string
		for segment := range strings.SplitSeq(path, "/") {
			segments = append(segments, url.PathEscape(segment))
		}
		if got := b.do("GET", "/api/v1/"+strings.Join(segments, "/"), ""); got.Code >= 500 {
			t.Fatalf("%q: %+v", path, got)
		}
	})
}
