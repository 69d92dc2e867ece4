package rest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/app"
	"github.com/heddle/heddle/internal/manifest"
)

// onEachStore runs a test on a server of each store.
func onEachStore(t *testing.T, test func(t *testing.T, b *bench)) {
	for name, database := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newBench(t, database(t)))
		})
	}
}

func TestARunFromItsDocumentToItsEnd(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, b *bench) {
		body := map[string]any{"document": pipeline("echo one; echo two >&2; env"), "env": map[string]string{"GIVEN": "x"}}
		var first, again struct {
			Run heddle.Run `json:"run"`
		}
		r := b.as(http.StatusAccepted, &first, "POST", "/api/v2/runs", body, "Idempotency-Key", "once")
		path := "/api/v2/runs/" + string(first.Run.ID)
		if r.header.Get("Location") != path || first.Run.Organization != heddle.DefaultOrganization || first.Run.Executor != app.Process {
			t.Errorf("at %s: %+v", r.header.Get("Location"), first.Run)
		}
		r = b.as(http.StatusAccepted, &again, "POST", "/api/v2/runs", body, "Idempotency-Key", "once")
		if again.Run.ID != first.Run.ID || r.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("repeated: run %s, want %s", again.Run.ID, first.Run.ID)
		}
		b.as(http.StatusConflict, nil, "POST", "/api/v2/runs", map[string]any{"document": pipeline("echo other")}, "Idempotency-Key", "once")

		lines := b.as(http.StatusOK, nil, "GET", path+"/logs?follow=true", nil).body
		if !strings.Contains(lines, "one\n") || !strings.Contains(lines, "GIVEN=x\n") || strings.Contains(lines, "SERVER_SECRET") {
			t.Errorf("logs:\n%s", lines)
		}
		if d := b.waitForEnd(first.Run.ID); d.Run.Outcome != heddle.Success || len(d.Visits) != 1 || len(d.Attempts) != 1 || d.Flow == nil {
			t.Errorf("the run is %+v", d)
		}
		line, _, _ := strings.Cut(b.as(http.StatusOK, nil, "GET", path+"/logs", nil, "Accept", "application/x-ndjson").body, "\n")
		var decoded heddle.LogLine
		stream := map[string]string{"one": "stdout", "two": "stderr"} // whichever comes first
		if err := json.Unmarshal([]byte(line), &decoded); err != nil || decoded.Stream == "" || decoded.Stream != stream[decoded.Text] {
			t.Errorf("the first line is %s, error %v", line, err)
		}
		if events := b.as(http.StatusOK, nil, "GET", path+"/logs?visit=1&attempt=1", nil, "Accept", "text/event-stream").body; !strings.HasSuffix(events, "event: end\ndata: {}\n\n") {
			t.Errorf("events of lines:\n%s", events)
		}
		tag := b.as(http.StatusOK, nil, "GET", path, nil).header.Get("ETag")
		if r := b.ask("GET", path, nil, "If-None-Match", tag); r.code != http.StatusNotModified || r.body != "" {
			t.Errorf("unchanged: status %d, body %q", r.code, r.body)
		}
		for format, want := range map[string]string{"text": "a", "dot": "digraph", "mermaid": "flowchart"} {
			if r := b.as(http.StatusOK, nil, "GET", path+"/graph?format="+format, nil); !strings.Contains(r.body, want) {
				t.Errorf("graph as %s: %s", format, r.body)
			}
		}
		b.as(http.StatusConflict, nil, "POST", path+"/cancel", nil)
	})
}

func TestEventsGoOnToTheEndOfTheRun(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, b *bench) {
		run := b.submit(pipeline("sleep 30"))
		done := make(chan reply)
		go func() { done <- b.ask("GET", "/api/v2/runs/"+string(run.ID)+"/events", nil) }()
		b.as(http.StatusAccepted, nil, "POST", "/api/v2/runs/"+string(run.ID)+"/cancel", map[string]string{"reason": "seen enough"})
		events := strings.Split(strings.TrimSpace((<-done).body), "\n\n")
		if last := events[len(events)-1]; last != "event: end\ndata: {}" {
			t.Errorf("the last event is %q", last)
		}
		if d := b.waitForEnd(run.ID); d.Run.Outcome != heddle.Abort || !strings.Contains(d.Run.Message, "seen enough") {
			t.Errorf("ended as %s: %s", d.Run.Outcome, d.Run.Message)
		}
	})
}

func TestListsAreFilteredAndPaged(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	var want []heddle.RunID
	for i := range 5 {
		run := b.submit(pipeline(fmt.Sprintf("exit %d", i%2)))
		b.waitForEnd(run.ID)
		want = append([]heddle.RunID{run.ID}, want...)
	}
	var got []heddle.RunID
	for path := "/api/v2/runs?limit=2"; path != ""; {
		var page heddle.RunPage
		b.as(http.StatusOK, &page, "GET", path, nil)
		for _, run := range page.Runs {
			got = append(got, run.ID)
		}
		if path = ""; page.Next != "" {
			path = "/api/v2/runs?limit=2&after=" + page.Next
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("pages hold %v, want %v", got, want)
	}
	for query, want := range map[string]int{
		"outcome=failure": 2, "outcome=failure,success": 5, "state=running": 0, "kind=Job": 0, "kind=Pipeline&name=p": 5, "name=q": 0,
		"label=k=v": 5, "label=k=v&label=k=w": 0, "label=k=w": 0, "since=2200-01-01T00:00:00Z": 0, "until=2200-01-01T00:00:00Z": 5, "id=" + string(want[0]): 1,
	} {
		var page heddle.RunPage
		if b.as(http.StatusOK, &page, "GET", "/api/v2/runs?"+query, nil); len(page.Runs) != want {
			t.Errorf("%s: %d runs, want %d", query, len(page.Runs), want)
		}
	}
}

func TestRetriesAndBulk(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, b *bench) {
		run := b.submit(pipeline("exit 1"))
		b.waitForEnd(run.ID)
		var dry struct {
			Plan heddle.RetryPlan `json:"plan"`
		}
		b.as(http.StatusOK, &dry, "POST", "/api/v2/runs/"+string(run.ID)+"/retry", `{"dryRun":true}`)
		if len(dry.Plan.Steps) != 1 || dry.Plan.Steps[0].Plan != heddle.FateRuns {
			t.Errorf("the plan is %+v", dry.Plan)
		}
		var retried struct {
			Run heddle.Run `json:"run"`
		}
		b.as(http.StatusAccepted, &retried, "POST", "/api/v2/runs/"+string(run.ID)+"/retry", nil)
		if d := b.waitForEnd(retried.Run.ID); d.Run.Parent != run.ID {
			t.Errorf("the parent is %q", d.Run.Parent)
		}
		type result struct {
			Count, Done int
			Runs        []heddle.RunID
		}
		for _, step := range []struct {
			body string
			want result
		}{
			{body: `{"action":"retry","filter":{"labels":["k=v"]},"dryRun":true}`, want: result{Count: 2}},
			{body: `{"action":"cancel","all":true}`, want: result{}},
			{body: `{"action":"retry","filter":{"ids":["` + string(run.ID) + `"]}}`, want: result{Count: 1, Done: 1}},
			{body: `{"action":"retry","filter":{"outcomes":["success"]}}`, want: result{}},
			{body: `{"action":"prune","filter":{"ids":["` + string(run.ID) + `"]}}`, want: result{Count: 1, Done: 1}},
		} {
			var got result
			b.as(http.StatusOK, &got, "POST", "/api/v2/runs/bulk", step.body)
			if got.Count != step.want.Count || got.Done != step.want.Done {
				t.Errorf("%s: %+v, want %+v", step.body, got, step.want)
			}
			if strings.Contains(step.body, `"retry","filter":{"ids"`) {
				b.waitForEnd(got.Runs[0])
			}
		}
		b.as(http.StatusNotFound, nil, "GET", "/api/v2/runs/"+string(run.ID), nil)
	})
}

func TestRunsOfOtherProcessesAreSeenFollowedAndTakenUp(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, b *bench) {
		other, err := app.Open(t.Context(), b.opts)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = other.Close(context.Background()) })
		submit := func(command string) heddle.RunID {
			document, _ := json.Marshal(pipeline(command))
			parsed, err := manifest.Parse("p", document, manifest.Options{})
			if err != nil {
				t.Fatal(err)
			}
			run, err := other.Runs().Submit(t.Context(), heddle.Submission{Flow: parsed.Flow, Executor: app.Process})
			if err != nil {
				t.Fatal(err)
			}
			return run.ID
		}
		seen := submit("sleep 0.3; echo seen")
		events := b.as(http.StatusOK, nil, "GET", "/api/v2/runs/"+string(seen)+"/events", nil).body
		if !strings.Contains(events, `"outcome":"success"`) || !strings.HasSuffix(events, "event: end\ndata: {}\n\n") {
			t.Errorf("events of another process:\n%s", events)
		}
		cancelled := submit("sleep 30")
		b.as(http.StatusAccepted, nil, "POST", "/api/v2/runs/"+string(cancelled)+"/cancel", nil)
		if d := b.waitForEnd(cancelled); d.Run.Outcome != heddle.Abort {
			t.Errorf("cancelled from here it ended as %s", d.Run.Outcome)
		}
		left := submit("sleep 0.5; echo left")
		if err := other.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := b.waitForEnd(left); d.Run.Outcome != heddle.Success || len(d.Attempts) != 1 {
			t.Errorf("taken up, it ended as %s after %d attempts", d.Run.Outcome, len(d.Attempts))
		}
	})
}

func TestAServerThatStopsMayCancelItsRuns(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	run := b.submit(pipeline("sleep 30"))
	if err := b.server.CancelAll(t.Context(), "the server was stopped"); err != nil {
		t.Fatal(err)
	}
	var d heddle.RunDetail
	b.as(http.StatusOK, &d, "GET", "/api/v2/runs/"+string(run.ID), nil)
	if d.Run.State != heddle.RunEnded || d.Run.Outcome != heddle.Abort {
		t.Errorf("the run is %s, %s", d.Run.State, d.Run.Outcome)
	}
}

func TestAServerThatStopsEndsWhatGoesOn(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	run := b.submit(pipeline("echo begun; sleep 30"))
	for _, path := range []string{"/events", "/logs?follow=true"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", b.url+"/api/v2/runs/"+string(run.ID)+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		first := make([]byte, 4)
		if _, err := io.ReadFull(answer.Body, first); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		defer func() {
			if rest, err := io.ReadAll(answer.Body); err != nil || strings.Contains(string(rest), "event: end") {
				t.Errorf("%s: goes on with %q, error %v", path, rest, err)
			}
		}()
	}
	b.stop()
	b.as(http.StatusServiceUnavailable, nil, "GET", "/readyz", nil)
	b.as(http.StatusAccepted, nil, "POST", "/api/v2/runs/"+string(run.ID)+"/cancel", nil)
}
