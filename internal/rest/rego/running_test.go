package rego_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/schedule"
)

func TestABurstRunsEachDefinitionOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	other := schedule.New(schedule.Options{Store: b.store, Recheck: 20 * time.Millisecond}) // as a second server has it
	other.Use(b.engine)
	other.Start(t.Context())
	defer other.Stop()
	const n = 40
	ids := make([]string, n)
	var posts sync.WaitGroup
	for i := range ids {
		posts.Go(func() { ids[i] = b.create(fmt.Sprintf(`{"image":"x","name":"n%d","cmd":["true"]}`, i)) })
	}
	posts.Wait()
	for _, id := range ids {
		b.eventually("all have run", func() bool { return b.definition(id).LatestStatus == "SUCCESS" })
	}
	for _, id := range ids {
		if d := b.definition(id); d.ExecutionsCounter != 1 || d.Enabled {
			t.Errorf("definition %+v", d)
		}
		if list := b.history(id); len(list) != 1 || list[0].StatusCode != heddle.StatusSuccess {
			t.Errorf("executions %+v", list)
		}
	}
	if got := b.do("GET", "/api/v1/execution?limit=1000", ""); strings.Count(got.Body, `"task_definition_id"`) != n {
		t.Errorf("there are %d executions", strings.Count(got.Body, `"task_definition_id"`))
	}
}

func TestAbortsLast(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const n = 8
	var ids, runs []string
	for range n {
		// It ends only when it is killed, a while after the abort.
		ids = append(ids, b.create(`{"image":"x","cmd":["sh","-c","trap '' TERM; while :; do sleep 0.05; done"],"metadata":{"backoffLimit":0}}`))
	}
	for _, id := range ids {
		runs = append(runs, b.untilStatus(id, heddle.StatusRunning).ID)
		if d := b.definition(id); d.LatestStatus != "RUNNING" {
			t.Errorf("definition %+v", d)
		}
	}
	var aborts sync.WaitGroup
	for i, run := range runs {
		aborts.Go(func() {
			if got := b.do("POST", "/api/v1/execution/"+run+"/abort", ""); got.Body != `{"message":"aborted"}` {
				t.Errorf("abort: %+v", got)
			}
			// What was answered can be seen.
			if list := b.history(ids[i]); len(list) != 1 || list[0].StatusCode != heddle.StatusAborted {
				t.Errorf("after the abort: %+v", list)
			}
		})
	}
	aborts.Wait()
	for i, run := range runs {
		b.eventually("it has ended", func() bool {
			d, err := b.engine.Get(t.Context(), heddle.RunID(run))
			return err == nil && d.Run.State == heddle.RunEnded
		})
		if list := b.history(ids[i]); len(list) != 1 || list[0].StatusCode != heddle.StatusAborted || list[0].Status != "ABORTED" {
			t.Errorf("after its end: %+v", list)
		}
		b.eventually("the definition knows", func() bool { return b.definition(ids[i]).LatestStatus == "ABORTED" })
		b.want(b.do("POST", "/api/v1/execution/"+run+"/abort", ""), answer{Code: 404}) // it has ended
	}
}

func TestStatusesTellWhatHappened(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(b *bench) { b.timeout = 500 * time.Millisecond })
	for name, tc := range map[string]struct {
		body string
		want heddle.Status
	}{
		"ends well":           {`{"image":"x","cmd":["true"]}`, heddle.StatusSuccess},
		"fails":               {`{"image":"x","cmd":["sh","-c","exit 3"],"metadata":{"backoffLimit":0}}`, heddle.StatusAppError},
		"cannot be run":       {`{"image":"x","cmd":["/no/such/program"],"metadata":{"backoffLimit":0}}`, heddle.StatusProcError},
		"runs out of time":    {`{"image":"x","cmd":["sleep","60"]}`, heddle.StatusTimeout},
		"out of its own time": {`{"image":"x","cmd":["sleep","60"],"metadata":{"activeDeadlineSeconds":1}}`, heddle.StatusTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			id := b.create(tc.body)
			b.untilStatus(id, tc.want)
			b.eventually("the definition knows", func() bool { return b.definition(id).LatestStatus == tc.want.String() })
		})
	}
}

func TestAFailureThatIsTriedAgainIsNotFinal(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.create(`{"image":"x","cmd":["sh","-c","exit 3"],"metadata":{"backoffLimit":1}}`)
	b.eventually("it waits to be tried again", func() bool {
		list := b.history(id)
		if len(list) == 1 && list[0].StatusCode >= 400 {
			t.Fatalf("a verdict before the last try: %+v", list)
		}
		if len(list) == 0 {
			return false
		}
		d, err := b.engine.Get(t.Context(), heddle.RunID(list[0].ID))
		return err == nil && len(d.Visits) == 1 && d.Visits[0].State == heddle.VisitBackoff && list[0].Status == "PENDING"
	})
}

func TestLogsCanBeRead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.create(`{"image":"x","cmd":["sh","-c","echo one; echo two; sleep 0.3; echo three"]}`)
	var run string
	b.eventually("it is there", func() bool {
		list := b.history(id)
		if len(list) == 1 {
			run = list[0].ID
		}
		return run != ""
	})
	got := b.do("GET", "/api/v1/execution/"+run+"/logs?follow=true", "")
	b.want(got, answer{200, textType, "one\ntwo\nthree\n"})
	b.untilStatus(id, heddle.StatusSuccess)
	b.want(b.do("GET", "/api/v1/execution/"+run+"/logs", ""), answer{200, textType, "one\ntwo\nthree\n"})
}

func TestNoTickIsLostOrDoubledByACrash(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	// Between the run and the move of its definition.
	b.store.breakAt("move", errFault)
	after := b.create(`{"image":"x","cmd":["true"]}`)
	b.eventually("the run is made", func() bool { return len(b.history(after)) == 1 })
	if d := b.definition(after); !d.Enabled || d.ExecutionsCounter != 0 {
		t.Fatalf("it was moved all the same: %+v", d)
	}
	b.restart()
	// Before the run: an engine that is gone takes none.
	b.engine.Stop()
	before := b.create(`{"image":"x","cmd":["true"]}`)
	b.restart()
	for _, id := range []string{after, before} {
		b.eventually("it is done with", func() bool { d := b.definition(id); return !d.Enabled && d.LatestStatus == "SUCCESS" })
		if d := b.definition(id); d.ExecutionsCounter != 1 {
			t.Errorf("definition %+v", d)
		}
		if list := b.history(id); len(list) != 1 {
			t.Errorf("executions %+v", list)
		}
	}
}

func TestAnotherDefinitionFollowsOnceWhateverCrashes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.create(`{"image":"x","cmd":["sh","-c","exit 1"],"metadata":{"backoffLimit":0},"schedule":{"at":"2200-01-01T00:00:00Z"}}`)
	second := b.create(`{"image":"x","cmd":["true"],"schedule":{"after":{"definition":"` + first + `","on":["failure"]}}}`)
	never := b.create(`{"image":"x","cmd":["true"],"schedule":{"after":{"definition":"` + first + `"}}}`)
	queued := b.create(`{"image":"x","cmd":["true"],"schedule":{"after":{"definition":"` + first + `","on":["failure"]},"overlap":"queue"}}`)
	b.store.breakAt("move", errFault)
	run, err := b.engine.Submit(t.Context(), submission(b, first))
	if err != nil {
		t.Fatal(err)
	}
	b.eventually("the run that follows is made", func() bool { return len(b.history(second)) == 1 })
	b.restart()
	b.eventually("all is done with", func() bool {
		return b.definition(second).LatestStatus == "SUCCESS" && b.definition(queued).LatestStatus == "SUCCESS"
	})
	for id, want := range map[string]int{first: 1, second: 1, never: 0, queued: 1} {
		if n := len(b.history(id)); n != want {
			t.Errorf("%d executions, want %d: %+v", n, want, b.definition(id))
		}
	}
	b.eventually("the end is done with", func() bool {
		left, err := b.store.EndedRuns(t.Context(), 10)
		return err == nil && len(left) == 0
	})
	if _, err := b.engine.Get(t.Context(), run.ID); err != nil {
		t.Error(err)
	}
}

// submission is a run of a definition that its own schedule did not make.
func submission(b *bench, definition string) heddle.Submission {
	d, err := b.store.Definition(b.t.Context(), definition)
	if err != nil {
		b.t.Fatal(err)
	}
	return heddle.Submission{Flow: d.Flow, Executor: d.Executor, Organization: d.Organization, Definition: d.ID}
}

func TestOverlappingRuns(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	make := func(overlap string) string {
		return b.create(`{"image":"x","cmd":["sleep","2"],"schedule":{"every":1,"overlap":"` + overlap + `"}}`)
	}
	skip, queue, replace := make("skip"), make("queue"), make("replace")
	b.eventually("the first are replaced", func() bool { return len(b.history(replace)) >= 3 })
	b.eventually("others wait for the end", func() bool { return len(b.history(queue)) >= 2 && len(b.history(skip)) >= 2 })
	for _, id := range []string{skip, queue} {
		list := b.history(id)
		for _, run := range list[1:] {
			if run.StatusCode != heddle.StatusSuccess {
				t.Errorf("two at once: %+v", list)
			}
		}
	}
	for _, run := range b.history(replace)[1:] {
		if run.StatusCode != heddle.StatusAborted {
			t.Errorf("not replaced: %+v", run)
		}
	}
	for _, id := range []string{skip, queue, replace} {
		b.do("DELETE", "/api/v1/task/"+id, "")
	}
}

func TestFailuresInARowPause(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.create(`{"image":"x","cmd":["false"],"metadata":{"backoffLimit":0},"schedule":{"cron":"* * * * * * *","pauseAfter":2}}`)
	b.eventually("it is paused", func() bool { return !b.definition(id).Enabled })
	d, err := b.store.Definition(t.Context(), id)
	if err != nil || d.Failures != 2 || d.Reason != "paused after 2 failures in a row" {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestFaultsOfTheStoreAreTold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.create(`{"image":"x","cmd":["true"],"schedule":{"at":"2200-01-01T00:00:00Z"}}`)
	for _, method := range []string{"add", "replace", "move"} {
		b.store.breakAt(method, errFault)
	}
	want := answer{http.StatusInternalServerError, jsonType, `{"error":"the request could not be handled: the server's log says why"}`}
	b.want(b.do("POST", "/api/v1/task", `{"image":"x"}`), want)
	b.want(b.do("PUT", "/api/v1/task", `{"id":"`+id+`","image":"x"}`), want)
	b.want(b.do("DELETE", "/api/v1/task/"+id, ""), want)
	b.want(b.do("POST", "/api/v1/task/"+id+"/rerun", ""), want)
}
