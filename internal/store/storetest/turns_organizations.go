package storetest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// linesApart has two organizations, one of them the default, use the same names.
func linesApart(t *testing.T, open func() Store) {
	s := open()
	const odd = "o'\x00key" // together with a name it is no third one's
	of := func(c heddle.Change) heddle.Change { c.Run.Organization = odd; return c }
	theirs := of(keyed(t, "theirs"))
	Commit(t, s, keyed(t, "ours"), theirs, of(keyed(t, "theirs-2")), of(keyed(t, "theirs-3")))
	for _, id := range []heddle.RunID{"ours", "theirs"} {
		wantTurn(t, s, id, key(), store.Granted)
	}
	if r := wantTurn(t, s, "theirs-2", key(heddle.ConcurrenceReject), store.Denied); r.Other != "theirs" {
		t.Errorf("denied because of %q", r.Other)
	}
	wantTurn(t, s, "theirs-3", key(heddle.ConcurrenceCancelOld), store.Waits)
	woken(t, s, "theirs")
	if snap := load(t, s, "ours"); snap.Cancels != 0 {
		t.Error("a run was cancelled for one of another organization")
	}
	Commit(t, s, Next(theirs, Ended(heddle.Abort), releases(0)))
	granted(t, s, store.Turn{Run: "theirs-3"})

	setPool(t, s, 1)
	wantTurn(t, s, commitPooled(t, s, of(pooled(t, "p1", 1))), places(1, 1), store.Waits)
	wantPools := func(organization string, want ...heddle.Pool) {
		t.Helper()
		got, err := s.Pools(t.Context(), organization)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("pools of %q (-want +got), error %v:\n%s", organization, err, diff)
		}
	}
	wantPools(odd)
	wantPool(t, s, heddle.Pool{Name: "pool", Size: 1})
	if err := s.SetPool(t.Context(), odd, "pool", 2); err != nil {
		t.Fatal(err)
	}
	granted(t, s, store.Turn{Run: "p1", Visit: 1, Attempt: 1})
	wantTurn(t, s, commitPooled(t, s, pooled(t, "p2", 1)), places(1, 1), store.Granted)
	wantTurn(t, s, commitPooled(t, s, pooled(t, "p3", 1)), places(1, 1), store.Waits)
	d, err := s.Run(t.Context(), "p3")
	want := []heddle.Line{{Visit: 1, Name: "pool", Weight: 1, Size: 1, Holders: []heddle.Holder{{Run: "p2", Weight: 1}}}}
	if diff := cmp.Diff(want, d.Lines); diff != "" || err != nil {
		t.Errorf("lines (-want +got), error %v:\n%s", err, diff)
	}
	wantPools(odd, heddle.Pool{Name: "pool", Size: 2, Taken: 1})
	wantCode(t, s.DeletePool(t.Context(), "a third", "pool"), heddle.CodeNotFound)
	if err := s.Regrant(t.Context()); err != nil {
		t.Error(err)
	}
	wantPool(t, s, heddle.Pool{Name: "pool", Size: 1, Taken: 1, Waiting: 1})
}

func commitPooled(t *testing.T, s Store, c heddle.Change) heddle.RunID {
	t.Helper()
	Commit(t, s, c)
	return c.Run.ID
}
