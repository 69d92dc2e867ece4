package storetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// Exercise runs the suite. open opens the data that dir names, and makes it the
// first time; opening it again gives another session on the same data. The suite
// closes what it opens; open may close it again at the test's end.
func Exercise(t *testing.T, open func(t *testing.T, dir string) Store) {
	tests := map[string]func(*testing.T, func() Store){
		"a change comes back as it went in":               roundTrip,
		"names may hold anything":                         oddNames,
		"a change is committed once":                      idempotent,
		"a slice whose answer was lost may be repeated":   repeatedSlice,
		"a change at the wrong place is a conflict":       conflict,
		"a bad change does not stop those of other runs":  badAmongGood,
		"an ID can be created once":                       createTwice,
		"what is not there is not found":                  notFound,
		"a large output is refused by name and size":      largeOutput,
		"flows are shared by their hash":                  sharedFlow,
		"a closed session's open runs are orphans":        orphans,
		"claiming raises the epoch and fences":            fencing,
		"two who claim at once share nothing":             claimRace,
		"named runs are claimed only where free":          claimNamed,
		"notices of ended orphans pass on":                claimNotices,
		"a request to cancel wakes its own session":       cancelSelf,
		"a request to cancel wakes the owner elsewhere":   cancelOther,
		"requests stand until somebody claims the run":    cancelOrphan,
		"a cancel needs an open run":                      cancelErrors,
		"lists are filtered":                              filters,
		"a listed run is whole":                           listedWhole,
		"lists are paged without gaps while runs come in": paging,
		"statuses of attempts are read by ID":             attemptStatus,
		"notices come in order until delivered":           outbox,
		"many sessions and readers at once":               hammer,
		"runs that may be deleted are found":              prunable,
		"runs are deleted with all that is theirs":        deletion,
		"many runs are deleted while others write":        deleteMany,
		"lists are of one organization":                   organizations,
		"keys are found by their hash":                    keys,
	}
	maps.Copy(tests, turnTests())
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			test(t, func() Store {
				s := open(t, dir)
				t.Cleanup(func() { _ = s.Close() })
				return s
			})
		})
	}
}

func roundTrip(t *testing.T, open func() Store) {
	s := open()
	create := Create(t, "run-1", "round", func(c *heddle.Change) {
		c.Run.Parent, c.Run.Labels = "run-0", map[string]string{"team": "a", "empty": ""}
		c.Run.Input = heddle.Input{CorrelationID: "c", Context: json.RawMessage(`{"big":"` + strings.Repeat("x", 1<<12) + `"}`),
			Env: map[string]string{"A": "1"}, Ambient: &heddle.Ambient{Ignore: []string{"SECRET*"}}, Volumes: []string{"/a:/b"}, Notify: []string{"console"}}
		Rows(c)
	})
	Commit(t, s, create)
	want := store.Snapshot{Run: create.Run, Flow: create.Flow, Epoch: 1, Seq: 1, Visits: create.Visits, Attempts: create.Attempts}
	if diff := cmp.Diff(want, load(t, s, "run-1")); diff != "" {
		t.Fatalf("created (-want +got):\n%s", diff)
	}

	next := Next(create, Ended(heddle.Timeout), func(c *heddle.Change) {
		c.Run.Message, c.Run.Stop, c.Run.Visits = "out of time", heddle.Timeout, 12
		c.Run.Started, c.Run.Deadline = Epoch().Add(1), time.Date(2262, 1, 1, 0, 0, 0, -1, time.UTC)
		c.Visits = []heddle.Visit{{No: 2, Step: "b", Nth: 2, Cause: 1, State: heddle.VisitSettled, Outcome: heddle.Skipped, Opened: Epoch()},
			{No: 12, Step: "c", Nth: 1, State: heddle.VisitReady, Opened: Epoch()}}
		c.Attempts = []heddle.Attempt{{ID: heddle.NewAttemptID("run-1", 1, 2), Visit: 1, No: 2, Status: heddle.StatusSuccess, Created: Epoch()}}
	})
	Commit(t, s, next)
	want = store.Snapshot{Run: next.Run, Flow: create.Flow, Epoch: 1, Seq: 2,
		Visits:   []heddle.Visit{create.Visits[0], next.Visits[0], next.Visits[1]},
		Attempts: []heddle.Attempt{create.Attempts[0], next.Attempts[0]}}
	if diff := cmp.Diff(want, load(t, s, "run-1")); diff != "" {
		t.Fatalf("changed (-want +got):\n%s", diff)
	}
	detail, err := open().Run(t.Context(), "run-1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(heddle.RunDetail{Run: want.Run, Flow: want.Flow, Visits: want.Visits, Attempts: want.Attempts}, detail); diff != "" {
		t.Fatalf("read elsewhere (-want +got):\n%s", diff)
	}
}

func oddNames(t *testing.T, open func() Store) {
	s := open()
	odd := `x'); DROP TABLE runs; --"%_\?$1` + "\n\tçà ä 雪 🧵 \u202e"
	create := Create(t, "odd", odd, func(c *heddle.Change) {
		c.ID = odd
		c.Run.Message, c.Run.Executor, c.Run.Labels = odd, odd, map[string]string{odd: odd}
		c.Visits = []heddle.Visit{{No: 1, Step: odd, Nth: 1, State: heddle.VisitReady, Message: odd, Opened: Epoch()}}
		c.Notices = []heddle.Notice{Notice(c.Run.ID, odd, Epoch())}
		c.Notices[0].Target = odd
	})
	Commit(t, s, create, Create(t, "plain", "x"))
	snap := load(t, s, "odd")
	if diff := cmp.Diff(create.Run, snap.Run); diff != "" {
		t.Fatalf("run (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(create.Visits, snap.Visits); diff != "" {
		t.Fatalf("visits (-want +got):\n%s", diff)
	}
	for _, f := range []heddle.RunFilter{{Name: odd}, {Labels: map[string]string{odd: odd}}} {
		wantList(t, s, f, "odd")
	}
	wantList(t, s, heddle.RunFilter{Name: "%"})
	notices, err := s.Pending(t.Context(), []heddle.RunID{"odd"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(create.Notices, notices); diff != "" {
		t.Fatalf("notices (-want +got):\n%s", diff)
	}
	if err := s.RequestCancel(t.Context(), "odd", odd); err != nil {
		t.Fatal(err)
	}
	if got := load(t, s, "odd").CancelReason; got != odd {
		t.Fatalf("reason %q, want %q", got, odd)
	}
}

func idempotent(t *testing.T, open func() Store) {
	s := open()
	create := Create(t, "r", "r", func(c *heddle.Change) { c.Notices = []heddle.Notice{Notice("r", "1.0", Epoch())} })
	Commit(t, s, create)
	if err := s.Delivered(t.Context(), create.Notices); err != nil {
		t.Fatal(err)
	}
	Commit(t, s, create)
	if got := load(t, s, "r").Seq; got != 1 {
		t.Fatalf("sequence number %d after creating twice, want 1", got)
	}
	next := Next(create, Rows)
	Commit(t, s, next)
	Commit(t, s, next)
	if got := load(t, s, "r").Seq; got != 2 {
		t.Fatalf("sequence number %d after changing twice, want 2", got)
	}
	if notices, err := s.Pending(t.Context(), nil); err != nil || len(notices) > 0 {
		t.Fatalf("notices %v, error %v: want none, as they were delivered", notices, err)
	}
}

func repeatedSlice(t *testing.T, open func() Store) {
	s := open()
	create := Create(t, "r", "r")
	second := Next(create)
	third := Next(second, Rows)
	slice := []heddle.Change{create, Create(t, "other", "o"), second, third}
	Commit(t, s, slice...)
	Commit(t, s, slice...)
	if got := load(t, s, "r").Seq; got != 3 {
		t.Fatalf("sequence number %d, want 3", got)
	}
	other := third
	other.ID = "somebody-else"
	Apply(t, s, []heddle.Change{second, other}, store.Conflict, store.Conflict)
}

func conflict(t *testing.T, open func() Store) {
	s := open()
	create := Create(t, "r", "r")
	next := Next(create)
	Commit(t, s, create, next)
	for _, seq := range []int64{0, 1, 3} {
		late := next
		late.ID, late.Seq = "late", seq
		Rows(&late)
		Apply(t, s, []heddle.Change{late}, store.Conflict)
	}
	Apply(t, s, []heddle.Change{{ID: "x", Run: heddle.Run{ID: "missing"}, Epoch: 1, Seq: 1}}, store.Conflict)
	if snap := load(t, s, "r"); snap.Seq != 2 || len(snap.Visits)+len(snap.Attempts) > 0 {
		t.Fatalf("something of a conflicting change was written: %+v", snap)
	}
}

func badAmongGood(t *testing.T, open func() Store) {
	s := open()
	a, b := Create(t, "a", "n"), Create(t, "b", "n")
	Commit(t, s, a, b)
	bad := Next(a)
	bad.Seq = 9
	after := Next(a)
	after.ID = "after"
	Apply(t, s, []heddle.Change{bad, Next(b), after, Create(t, "c", "n")}, store.Conflict, store.Committed, store.Conflict, store.Committed)
	if a, b := load(t, s, "a").Seq, load(t, s, "b").Seq; a != 1 || b != 2 {
		t.Fatalf("sequence numbers %d and %d, want 1 and 2", a, b)
	}
	load(t, s, "c")
	Commit(t, s)
}

func createTwice(t *testing.T, open func() Store) {
	s, other := open(), open()
	first := Create(t, "r", "first")
	second := Create(t, "r", "second", Rows, func(c *heddle.Change) { c.ID = "another" })
	Apply(t, s, []heddle.Change{first, second}, store.Committed, store.Conflict)
	Apply(t, other, []heddle.Change{second}, store.Conflict)
	if snap := load(t, other, "r"); snap.Run.Name != "first" || len(snap.Visits) > 0 {
		t.Fatalf("the second run got through: %+v", snap)
	}
}

func notFound(t *testing.T, open func() Store) {
	s := open()
	_, err := s.Load(t.Context(), "missing")
	wantCode(t, err, heddle.CodeNotFound)
	_, err = s.Run(t.Context(), "missing")
	wantCode(t, err, heddle.CodeNotFound)
	wantList(t, s, heddle.RunFilter{})
	ids, err := s.Orphaned(t.Context())
	wantIDs(t, "orphans", ids, err)
	ids, err = s.Claim(t.Context(), nil)
	wantIDs(t, "claimed", ids, err)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = s.Apply(t.Context(), []heddle.Change{Create(t, "r", "r")})
	wantCode(t, err, heddle.CodeStore)
	_, err = s.Load(t.Context(), "r")
	wantCode(t, err, heddle.CodeStore)
	if err := s.Close(); err != nil {
		t.Fatalf("closing again: %v", err)
	}
}

func largeOutput(t *testing.T, open func() Store) {
	s := open()
	with := func(size int) heddle.Change {
		return Create(t, "r", "r", func(c *heddle.Change) {
			output := json.RawMessage(`"` + strings.Repeat("x", size-2) + `"`)
			c.Visits = []heddle.Visit{{No: 1, Step: "greedy", Nth: 1, State: heddle.VisitSettled, Opened: Epoch(), Output: output}}
		})
	}
	_, err := s.Apply(t.Context(), []heddle.Change{with(store.MaxOutput + 1)})
	wantCode(t, err, heddle.CodeInvalid)
	if !strings.Contains(err.Error(), "greedy") || !strings.Contains(err.Error(), strconv.Itoa(store.MaxOutput+1)) {
		t.Fatalf("%q does not name the step and the size", err)
	}
	if errors.Is(err, store.ErrTemporary) {
		t.Fatalf("%q is temporary", err)
	}
	fits := with(store.MaxOutput)
	Commit(t, s, fits)
	if got := load(t, s, "r").Visits; len(got) != 1 || !bytes.Equal(got[0].Output, fits.Visits[0].Output) {
		t.Fatal("an output of the largest size did not come back")
	}
}

func sharedFlow(t *testing.T, open func() Store) {
	s := open()
	Commit(t, s, Create(t, "a", "same"), Create(t, "b", "same"), Create(t, "c", "different"))
	fresh := open()
	for id, name := range map[heddle.RunID]string{"a": "same", "b": "same", "c": "different"} {
		if diff := cmp.Diff(Flow(name), load(t, fresh, id).Flow); diff != "" {
			t.Fatalf("flow of %s (-want +got):\n%s", id, diff)
		}
	}
}
