// Package storetest holds the suite that every store passes, and helpers to build
// the rows for it.
package storetest

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// Store is the whole port.
type Store interface {
	store.Store
	store.History
	store.Outbox
	store.Turns
	heddle.Pools
}

// Epoch is the instant that built rows count from.
func Epoch() time.Time { return time.Date(2026, 11, 21, 7, 39, 0, 123456789, time.UTC) }

// Flow returns a flow of one step with this name.
func Flow(name string) *heddle.Flow {
	return &heddle.Flow{Kind: heddle.KindJob, Name: name, Start: []string{"a"},
		Steps: []heddle.Step{{Name: "a", Work: &heddle.Work{Image: "busybox:1.36", Command: []string{"true"}}}}}
}

// Create returns the change that creates a run of [Flow] with the flow's name,
// altered by edit functions.
func Create(t testing.TB, id heddle.RunID, name string, edit ...func(*heddle.Change)) heddle.Change {
	t.Helper()
	flow := Flow(name)
	c := heddle.Change{ID: "create-" + string(id), Flow: flow, Run: heddle.Run{ID: id, Kind: flow.Kind, Name: name, Executor: "process", Organization: heddle.DefaultOrganization,
		State: heddle.RunPending, Created: Epoch()}}
	for _, f := range edit {
		f(&c)
	}
	hash, err := c.Flow.Hash()
	if err != nil {
		t.Fatal(err)
	}
	c.Run.FlowHash = hash
	return c
}

// Next returns a change that follows c, with the run as c leaves it.
func Next(c heddle.Change, edit ...func(*heddle.Change)) heddle.Change {
	seq := c.Seq + 1
	next := heddle.Change{ID: fmt.Sprintf("%s-%d", c.Run.ID, seq), Run: c.Run, Epoch: max(c.Epoch, 1), Seq: seq}
	for _, f := range edit {
		f(&next)
	}
	return next
}

// Ended ends the run of a change.
func Ended(outcome heddle.Outcome) func(*heddle.Change) {
	return func(c *heddle.Change) {
		c.Run.State, c.Run.Outcome, c.Run.Ended = heddle.RunEnded, outcome, c.Run.Created.Add(time.Second)
	}
}

// Rows gives a change a visit that has settled, one that is open, and their attempts.
func Rows(c *heddle.Change) {
	at := Epoch()
	c.Run.Visits = 2
	c.Visits = []heddle.Visit{
		{No: 1, Step: "a", Index: 3, Nth: 1, State: heddle.VisitSettled, Outcome: heddle.Failure, Code: 7, Message: "exit code 7",
			Attempts: 2, Broken: 1, Opened: at, Settled: at.Add(time.Minute), Output: json.RawMessage(`{"k":"v"}`)},
		{No: 2, Step: "b", Nth: 2, Cause: 1, State: heddle.VisitBackoff, Opened: at.Add(time.Minute), Due: at.Add(time.Hour)},
	}
	c.Attempts = []heddle.Attempt{
		{ID: heddle.NewAttemptID(c.Run.ID, 1, 1), Visit: 1, No: 1, Status: heddle.StatusProcError, Place: "host:/dir", Message: "gone",
			Created: at, Infra: true},
		{ID: heddle.NewAttemptID(c.Run.ID, 1, 2), Visit: 1, No: 2, Status: heddle.StatusAppError, Place: "host:/dir", Stop: "cancelled",
			ExitCode: 7, Message: "exit code 7", Created: at, Started: at.Add(time.Second), Ended: at.Add(time.Minute)},
	}
}

// Notice returns a notice of a run.
func Notice(run heddle.RunID, id string, created time.Time) heddle.Notice {
	return heddle.Notice{ID: id, Run: run, Target: "http://127.0.0.1:1/hook", Event: heddle.NoticeStepStarted,
		Body: json.RawMessage(`{"step":"a"}`), Created: created, Due: created}
}

// Commit applies changes and fails the test unless all are committed.
func Commit(t testing.TB, s store.Store, changes ...heddle.Change) {
	t.Helper()
	Apply(t, s, changes, repeat(store.Committed, len(changes))...)
}

// Apply applies changes and fails the test unless these are the answers.
func Apply(t testing.TB, s store.Store, changes []heddle.Change, want ...store.Answer) {
	t.Helper()
	got, err := s.Apply(t.Context(), changes)
	if err != nil {
		t.Fatalf("applying %d changes: %v", len(changes), err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("answers (-want +got):\n%s", diff)
	}
}

func repeat(a store.Answer, n int) []store.Answer {
	answers := make([]store.Answer, n)
	for i := range answers {
		answers[i] = a
	}
	return answers
}

func load(t testing.TB, s store.Store, id heddle.RunID) store.Snapshot {
	t.Helper()
	snap, err := s.Load(t.Context(), id)
	if err != nil {
		t.Fatalf("loading %s: %v", id, err)
	}
	return snap
}

func wantCode(t testing.TB, err error, want heddle.Code) {
	t.Helper()
	if heddle.CodeOf(err) != want {
		t.Fatalf("got error %v with code %q, want code %q", err, heddle.CodeOf(err), want)
	}
}

func wantIDs(t testing.TB, what string, got []heddle.RunID, err error, want ...heddle.RunID) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}
