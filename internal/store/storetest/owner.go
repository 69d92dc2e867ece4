package storetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// patience bounds how long the suite waits for what has to happen by itself.
const patience = 20 * time.Second

func orphans(t *testing.T, open func() Store) {
	s, other := open(), open()
	if s.Session() == "" || s.Session() == other.Session() {
		t.Fatalf("sessions %q and %q", s.Session(), other.Session())
	}
	young := Create(t, "a-young", "n", func(c *heddle.Change) { c.Run.Created = Epoch().Add(time.Hour) })
	old, done := Create(t, "b-old", "n"), Create(t, "c-done", "n")
	Commit(t, s, young, old, done, Next(done, Ended(heddle.Success)))
	ids, err := other.Orphaned(t.Context())
	wantIDs(t, "orphans of a live session", ids, err)
	ids, err = other.Claim(t.Context(), nil)
	wantIDs(t, "claimed of a live session", ids, err)
	closeStore(t, s)
	ids, err = other.Orphaned(t.Context())
	wantIDs(t, "orphans", ids, err, "b-old", "a-young")
	ids, err = other.Claim(t.Context(), nil)
	slices.Sort(ids)
	wantIDs(t, "claimed", ids, err, "a-young", "b-old")
	ids, err = other.Orphaned(t.Context())
	wantIDs(t, "orphans after they were claimed", ids, err)
}

func fencing(t *testing.T, open func() Store) {
	first := open()
	create := Create(t, "r", "r")
	Commit(t, first, create)
	closeStore(t, first)
	second := open()
	ids, err := second.Claim(t.Context(), nil)
	wantIDs(t, "claimed", ids, err, "r")
	if got := load(t, second, "r").Epoch; got != 2 {
		t.Fatalf("epoch %d, want 2", got)
	}
	stale := Next(create, Rows)
	Apply(t, second, []heddle.Change{stale}, store.Fenced)
	current := stale
	current.Epoch, current.ID = 2, "current"
	third := open()
	Apply(t, third, []heddle.Change{current}, store.Fenced)
	if snap := load(t, third, "r"); snap.Seq != 1 || len(snap.Visits) > 0 {
		t.Fatalf("something of a fenced change was written: %+v", snap)
	}
	Commit(t, second, current)
	// The answer of the old owner's last change may have been lost: it was committed.
	closeStore(t, second)
	ids, err = third.Claim(t.Context(), nil)
	wantIDs(t, "claimed again", ids, err, "r")
	Commit(t, third, current)
}

func claimRace(t *testing.T, open func() Store) {
	const runs = 50
	s := open()
	var changes []heddle.Change
	for i := range runs {
		changes = append(changes, Create(t, heddle.RunID(fmt.Sprintf("r%02d", i)), "n"))
	}
	Commit(t, s, changes...)
	claimers := []Store{open(), open(), open()}
	closeStore(t, s)
	claimed := make([][]heddle.RunID, len(claimers))
	var wg sync.WaitGroup
	for i, c := range claimers {
		wg.Go(func() {
			// Looking for orphans at the same time must not hide any from who claims.
			if _, err := c.Orphaned(t.Context()); err != nil {
				t.Error(err)
			}
			var err error
			if claimed[i], err = c.Claim(t.Context(), nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	owner := map[heddle.RunID]int{}
	for i, ids := range claimed {
		for _, id := range ids {
			if was, ok := owner[id]; ok {
				t.Errorf("%s was claimed by %d and %d", id, was, i)
			}
			owner[id] = i
		}
	}
	if len(owner) != runs {
		t.Fatalf("%d of %d runs were claimed", len(owner), runs)
	}
	for id, i := range owner {
		c := Next(Create(t, id, "n"))
		c.Epoch = 2
		Commit(t, claimers[i], c)
	}
}

func claimNamed(t *testing.T, open func() Store) {
	dead, live, s := open(), open(), open()
	done := Create(t, "done", "n")
	Commit(t, dead, Create(t, "free", "n"), Create(t, "free-too", "n"), done, Next(done, Ended(heddle.Success)))
	Commit(t, live, Create(t, "taken", "n"))
	Commit(t, s, Create(t, "mine", "n"))
	closeStore(t, dead)
	ids, err := s.Claim(t.Context(), []heddle.RunID{"free", "done", "taken", "mine", "missing"})
	wantIDs(t, "claimed", ids, err, "free")
	ids, err = s.Orphaned(t.Context())
	wantIDs(t, "orphans left", ids, err, "free-too")
	if got := load(t, s, "mine").Epoch; got != 1 {
		t.Fatalf("epoch %d of the session's own run, want 1", got)
	}
	ids, err = live.Claim(t.Context(), nil)
	wantIDs(t, "claimed of the rest", ids, err, "free-too")
}

func claimNotices(t *testing.T, open func() Store) {
	dead, s := open(), open()
	create := Create(t, "r", "r", func(c *heddle.Change) { c.Notices = []heddle.Notice{Notice("r", "1.0", Epoch())} })
	Commit(t, dead, create, Next(create, Ended(heddle.Success)))
	closeStore(t, dead)
	ids, err := s.Claim(t.Context(), nil)
	wantIDs(t, "claimed", ids, err)
	notices, err := s.Pending(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(create.Notices, notices); diff != "" {
		t.Fatalf("notices (-want +got):\n%s", diff)
	}
}

func cancelSelf(t *testing.T, open func() Store) {
	s := open()
	Commit(t, s, Create(t, "a", "n"), Create(t, "b", "n"))
	cancel(t, s, "a", "first")
	woken(t, s, "a")
	cancel(t, s, "b", "b")
	woken(t, s, "b")
	cancel(t, s, "a", "second")
	woken(t, s, "a")
	if snap := load(t, s, "a"); snap.Cancels != 2 || snap.CancelReason != "second" {
		t.Fatalf("%d cancels for %q, want 2 for second", snap.Cancels, snap.CancelReason)
	}
}

func cancelOther(t *testing.T, open func() Store) {
	owner, other := open(), open()
	const runs = 40 // more than a channel holds while nobody listens
	var changes []heddle.Change
	var all []heddle.RunID
	for i := range runs {
		id := heddle.RunID(fmt.Sprintf("r%02d", i))
		all = append(all, id)
		changes = append(changes, Create(t, id, "n"))
	}
	Commit(t, owner, changes...)
	for _, id := range all {
		cancel(t, other, id, "because")
	}
	woken(t, owner, all...)
	cancel(t, other, all[7], "again")
	woken(t, owner, all[7])
	select {
	case id := <-other.Wake():
		t.Fatalf("the session that asked was woken for %s", id)
	default:
	}
}

func cancelOrphan(t *testing.T, open func() Store) {
	dead, s := open(), open()
	Commit(t, dead, Create(t, "r", "r"))
	closeStore(t, dead)
	cancel(t, s, "r", "orphan")
	ids, err := s.Claim(t.Context(), nil)
	wantIDs(t, "claimed", ids, err, "r")
	if snap := load(t, s, "r"); snap.Cancels != 1 || snap.CancelReason != "orphan" {
		t.Fatalf("%d cancels for %q, want 1 for orphan", snap.Cancels, snap.CancelReason)
	}
}

func cancelErrors(t *testing.T, open func() Store) {
	s := open()
	create := Create(t, "r", "r")
	Commit(t, s, create, Next(create, Ended(heddle.Success)))
	wantCode(t, s.RequestCancel(t.Context(), "r", "late"), heddle.CodeConflict)
	wantCode(t, s.RequestCancel(t.Context(), "missing", "who"), heddle.CodeNotFound)
	if got := load(t, s, "r").Cancels; got != 0 {
		t.Fatalf("%d cancels, want 0", got)
	}
}

// hammer has sessions change, cancel, claim, list and load their own and each
// other's runs at once. The race detector and the sequence numbers are the judges.
func hammer(t *testing.T, open func() Store) {
	const sessions, runs, changes = 3, 4, 15
	var wg sync.WaitGroup
	stores := make([]Store, sessions)
	for i := range stores {
		stores[i] = open()
	}
	for i, s := range stores {
		for j := range runs {
			id := heddle.RunID(fmt.Sprintf("r-%d-%d", i, j))
			wg.Go(func() {
				c := Create(t, id, "n")
				for range changes {
					if answers, err := s.Apply(t.Context(), []heddle.Change{c}); err != nil || answers[0] != store.Committed {
						t.Errorf("change %d of %s: %v, %v", c.Seq, id, answers, err)
						return
					}
					c = Next(c, Rows)
				}
			})
			wg.Go(func() { look(t, stores[(i+1)%sessions], id) })
		}
	}
	wg.Wait()
	for i := range sessions {
		for j := range runs {
			if snap := load(t, stores[0], heddle.RunID(fmt.Sprintf("r-%d-%d", i, j))); snap.Seq != changes || snap.Epoch != 1 {
				t.Errorf("run %d of session %d: sequence number %d and epoch %d, want %d and 1", j, i, snap.Seq, snap.Epoch, changes)
			}
		}
	}
}

func look(t *testing.T, s Store, id heddle.RunID) {
	for range 5 {
		if _, err := s.Load(t.Context(), id); err != nil && heddle.CodeOf(err) != heddle.CodeNotFound {
			t.Error(err)
		}
		if err := s.RequestCancel(t.Context(), id, "x"); err != nil && heddle.CodeOf(err) != heddle.CodeNotFound {
			t.Error(err)
		}
		if _, err := s.Runs(t.Context(), heddle.RunFilter{}); err != nil {
			t.Error(err)
		}
		if ids, err := s.Claim(t.Context(), nil); err != nil || len(ids) > 0 {
			t.Errorf("claimed %v of live sessions, error %v", ids, err)
		}
	}
}

func closeStore(t *testing.T, s Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("closing: %v", err)
	}
}

func cancel(t *testing.T, s store.Store, id heddle.RunID, reason string) {
	t.Helper()
	if err := s.RequestCancel(t.Context(), id, reason); err != nil {
		t.Fatalf("requesting a cancel of %s: %v", id, err)
	}
}

// woken waits until a session has been woken for all these runs.
func woken(t *testing.T, s store.Store, ids ...heddle.RunID) {
	t.Helper()
	missing := map[heddle.RunID]bool{}
	for _, id := range ids {
		missing[id] = true
	}
	timeout := time.After(patience)
	for len(missing) > 0 {
		select {
		case id := <-s.Wake():
			delete(missing, id)
		case <-timeout:
			t.Fatalf("never woken for %v", missing)
		}
	}
}
