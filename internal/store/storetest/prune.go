package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// prunerOf returns what a store can do that deletes runs, or skips the test.
func prunerOf(t *testing.T, s Store) store.Pruner {
	t.Helper()
	p, ok := s.(store.Pruner)
	if !ok {
		t.Skip("the store deletes nothing")
	}
	return p
}

// pruneSet stores runs of all sorts, and returns the sessions: of the runs called
// gone-… the owner is closed.
func pruneSet(t *testing.T, open func() Store) (s, other Store) {
	t.Helper()
	gone := open()
	s, other = open(), open()
	prunerOf(t, s)
	at := func(minute int) func(*heddle.Change) {
		return func(c *heddle.Change) { c.Run.Created = Epoch().Add(time.Duration(minute) * time.Minute) }
	}
	notice := func(c *heddle.Change) { c.Notices = []heddle.Notice{Notice(c.Run.ID, "1.0", Epoch())} }
	labels := func(c *heddle.Change) { c.Run.Labels = map[string]string{"k": "v"} }
	add := func(s Store, id heddle.RunID, name string, outcome heddle.Outcome, edit ...func(*heddle.Change)) {
		c := Create(t, id, name, append(edit, Rows)...)
		Commit(t, s, c)
		if outcome != "" {
			Commit(t, s, Next(c, Ended(outcome)))
		}
	}
	add(gone, "gone-old", "one", heddle.Success, at(1), labels)
	add(gone, "gone-noticed", "one", heddle.Failure, at(2), notice)
	add(gone, "gone-open", "one", "", at(3))
	add(s, "own", "two", heddle.Abort, at(0))
	add(s, "own-noticed", "two", heddle.Success, at(5), notice)
	add(s, "own-open", "two", "", at(6))
	add(other, "other", "three", heddle.Success, at(7))
	closeStore(t, gone)
	return s, other
}

func prunable(t *testing.T, open func() Store) {
	s, other := pruneSet(t, open)
	for name, test := range map[string]struct {
		s    Store
		q    store.PruneQuery
		want []heddle.RunID
	}{
		"oldest first":            {s: s, want: []heddle.RunID{"own", "gone-old", "gone-noticed"}},
		"at another session":      {s: other, want: []heddle.RunID{"gone-old", "gone-noticed", "other"}},
		"by outcome":              {s: s, q: store.PruneQuery{Outcomes: []heddle.Outcome{heddle.Failure, heddle.Abort}}, want: []heddle.RunID{"own", "gone-noticed"}},
		"by ID":                   {s: s, q: store.PruneQuery{IDs: []heddle.RunID{"gone-old", "gone-open", "other", "missing"}}, want: []heddle.RunID{"gone-old"}},
		"a few":                   {s: s, q: store.PruneQuery{Limit: 2}, want: []heddle.RunID{"own", "gone-old"}},
		"a few, past what cannot": {s: other, q: store.PruneQuery{Limit: 1, Outcomes: []heddle.Outcome{heddle.Abort, heddle.Failure}}, want: []heddle.RunID{"gone-noticed"}},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := prunerOf(t, test.s).Prunable(t.Context(), test.q)
			var ids []heddle.RunID
			for _, p := range found {
				ids = append(ids, p.ID)
				run := load(t, s, p.ID).Run
				if diff := cmp.Diff(store.Prunable{ID: run.ID, Outcome: run.Outcome, Created: run.Created, Ended: run.Ended}, p); diff != "" {
					t.Errorf("(-stored +got):\n%s", diff)
				}
			}
			wantIDs(t, fmt.Sprintf("%+v", test.q), ids, err, test.want...)
		})
	}
}

func deletion(t *testing.T, open func() Store) {
	s, _ := pruneSet(t, open)
	p := prunerOf(t, s)
	before, err := p.Usage(t.Context())
	if err != nil || before.Ended != 5 || before.Bytes <= 0 {
		t.Fatalf("usage %+v, error %v; want 5 ended runs of some bytes", before, err)
	}
	all := []heddle.RunID{"gone-noticed", "gone-old", "gone-open", "missing", "other", "own", "own-noticed", "own-open"}
	deleted, err := p.Delete(t.Context(), all)
	slices.Sort(deleted)
	wantIDs(t, "deleted", deleted, err, "gone-noticed", "gone-old", "own")
	for _, id := range deleted {
		_, err := s.Load(t.Context(), id)
		wantCode(t, err, heddle.CodeNotFound)
	}
	fresh := open()
	for _, id := range []heddle.RunID{"gone-open", "own-noticed", "own-open", "other"} {
		if snap := load(t, fresh, id); len(snap.Visits) != 2 || len(snap.Attempts) != 2 || snap.Flow == nil {
			t.Errorf("something of run %s is gone: %+v", id, snap)
		}
	}
	notices, err := s.Pending(t.Context(), all)
	if err != nil || len(notices) != 1 || notices[0].Run != "own-noticed" {
		t.Errorf("notices %v, error %v; want that of the run that is left", notices, err)
	}
	wantList(t, s, heddle.RunFilter{Labels: map[string]string{"k": "v"}})
	statuses, err := s.AttemptStatus(t.Context(), []heddle.AttemptID{"gone-old-1-1"})
	if err != nil || len(statuses) > 0 {
		t.Errorf("statuses %v, error %v; want none", statuses, err)
	}
	if after, err := p.Usage(t.Context()); err != nil || after.Ended != 2 {
		t.Errorf("usage %+v, error %v; want 2 ended runs", after, err)
	}
	if deleted, err = p.Delete(t.Context(), all); err != nil || len(deleted) > 0 {
		t.Errorf("deleted again: %v, error %v", deleted, err)
	}
	// An ID and a flow may come again.
	Commit(t, s, Create(t, "gone-old", "one", Rows))
	load(t, open(), "gone-old")
}

// deleteMany deletes more runs than fit in a piece while others write.
func deleteMany(t *testing.T, open func() Store) {
	s, writer := open(), open()
	p := prunerOf(t, s)
	const count = 1200
	var ids []heddle.RunID
	var changes []heddle.Change
	for i := range count {
		c := Create(t, heddle.RunID(fmt.Sprintf("r%04d", i)), fmt.Sprint("flow ", i%7), Rows)
		c.Run.State, c.Run.Outcome, c.Run.Ended = heddle.RunEnded, heddle.Success, Epoch()
		ids, changes = append(ids, c.Run.ID), append(changes, c)
	}
	Commit(t, s, changes...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		deleted, err := p.Delete(t.Context(), ids)
		if err != nil || len(deleted) != count {
			t.Errorf("deleted %d of %d, error %v", len(deleted), count, err)
		}
	}()
	for i := 0; ; i++ {
		Commit(t, writer, Create(t, heddle.RunID(fmt.Sprint("w", i)), fmt.Sprint("flow ", i%7)))
		select {
		case <-done:
		default:
			continue
		}
		fresh := open()
		for j := range i + 1 {
			if load(t, fresh, heddle.RunID(fmt.Sprint("w", j))).Flow == nil {
				t.Fatalf("run w%d has lost its flow", j)
			}
		}
		return
	}
}
