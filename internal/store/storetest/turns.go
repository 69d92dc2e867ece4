package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// turnTests are the part of the suite about keys and pools.
func turnTests() map[string]func(*testing.T, func() Store) {
	return map[string]func(*testing.T, func() Store){
		"a key is one run's at a time, in the order of asking":  keyInOrder,
		"the places of a pool go to those who asked first":      poolInOrder,
		"what is given back comes with a change that counts":    releaseCounts,
		"a run whose session is over keeps what it has":         orphanHolds,
		"who cannot go on is passed over until it is claimed":   orphanWaits,
		"sessions wait for each other":                          twoSessions,
		"a run that takes over a key has the others cancelled":  supersedes,
		"a run that is not to wait for a key is told whose":     denies,
		"what is not wanted any more is not noted":              unwanted,
		"pools are made, changed and deleted":                   pools,
		"who waits knows for whom":                              waitingLines,
		"runs that may be deleted hold nothing":                 deleteHolds,
		"never do two hold a key, nor more a pool than it has":  turnHammer,
		"a key and a pool of one name have nothing in common":   sameName,
		"organizations neither block nor see each other":        linesApart,
		"a line is looked at again when no word came":           regrants,
		"a pool that is too small or gone holds up nobody else": tooSmall,
	}
}

// pooled is a run with visits 1 to n that are ready.
func pooled(t testing.TB, id heddle.RunID, n int) heddle.Change {
	return Create(t, id, "n", func(c *heddle.Change) {
		c.Flow.Steps[0].Pool = "pool"
		c.Run.State, c.Run.Visits = heddle.RunRunning, n
		for no := 1; no <= n; no++ {
			c.Visits = append(c.Visits, heddle.Visit{No: no, Step: "a", Nth: no, State: heddle.VisitReady, Opened: Epoch()})
		}
	})
}

// keyed is a run that waits for a key.
func keyed(t testing.TB, id heddle.RunID) heddle.Change {
	return Create(t, id, "n", func(c *heddle.Change) { c.Flow.Concurrency = &heddle.Concurrency{Key: "key"} })
}

func key(busy ...heddle.Concurrence) store.Ask {
	a := store.Ask{Name: "key", Weight: 1}
	for _, b := range busy {
		a.Busy = b
	}
	return a
}

func places(visit, weight int) store.Ask {
	return store.Ask{Visit: visit, Attempt: 1, Name: "pool", Weight: weight}
}

// releases ends a run, or what follows from its change, and gives back.
func releases(visits ...int) func(*heddle.Change) {
	return func(c *heddle.Change) { c.Releases = visits }
}

func wantTurns(t testing.TB, s Store, run heddle.RunID, epoch int64, asks []store.Ask, want ...store.State) []store.Reply {
	t.Helper()
	replies, err := s.Ask(t.Context(), run, epoch, asks)
	if err != nil {
		t.Fatalf("run %s asks: %v", run, err)
	}
	var got []store.State
	for _, r := range replies {
		got = append(got, r.Turn)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("run %s asks (-want +got):\n%s", run, diff)
	}
	return replies
}

func wantTurn(t testing.TB, s Store, run heddle.RunID, ask store.Ask, want store.State) store.Reply {
	t.Helper()
	return wantTurns(t, s, run, 1, []store.Ask{ask}, want)[0]
}

// granted waits until a session has been told of these turns.
func granted(t testing.TB, s Store, turns ...store.Turn) {
	t.Helper()
	missing := map[store.Turn]bool{}
	for _, turn := range turns {
		missing[turn] = true
	}
	timeout := time.After(patience)
	for len(missing) > 0 {
		select {
		case turn := <-s.Granted():
			delete(missing, turn)
		case <-timeout:
			t.Fatalf("never told of %v", missing)
		}
	}
}

func keyInOrder(t *testing.T, open func() Store) {
	s := open()
	a, b, c := keyed(t, "a"), keyed(t, "b"), keyed(t, "c")
	Commit(t, s, b, a, c)
	wantTurn(t, s, "c", key(), store.Waits) // it came last, whoever asks first
	wantTurn(t, s, "a", key(), store.Waits)
	wantTurn(t, s, "b", key(), store.Granted)
	Commit(t, s, Next(b, Ended(heddle.Success), releases(0)))
	granted(t, s, store.Turn{Run: "a"})
	wantTurn(t, s, "c", key(), store.Waits)
	Commit(t, s, Next(a, Ended(heddle.Failure), releases(0)))
	granted(t, s, store.Turn{Run: "c"})
	wantTurn(t, s, "c", key(), store.Granted)
}

func poolInOrder(t *testing.T, open func() Store) {
	s := open()
	setPool(t, s, 3)
	r := pooled(t, "r", 4)
	Commit(t, s, r)
	wantTurns(t, s, "r", 1, []store.Ask{places(1, 2), places(2, 2), places(3, 1)}, store.Granted, store.Waits, store.Waits)
	wantPool(t, s, heddle.Pool{Name: "pool", Size: 3, Taken: 2, Waiting: 2})
	Commit(t, s, Next(r, releases(1)))
	granted(t, s, store.Turn{Run: "r", Visit: 2, Attempt: 1}, store.Turn{Run: "r", Visit: 3, Attempt: 1})
	wantPool(t, s, heddle.Pool{Name: "pool", Size: 3, Taken: 3})
	// Who waits may leave the line as well.
	wantTurn(t, s, "r", places(4, 1), store.Waits)
	Commit(t, s, Next(Next(r), releases(4, 2)))
	wantPool(t, s, heddle.Pool{Name: "pool", Size: 3, Taken: 1})
}

func releaseCounts(t *testing.T, open func() Store) {
	s := open()
	setPool(t, s, 1)
	r := pooled(t, "r", 2)
	Commit(t, s, r)
	wantTurns(t, s, "r", 1, []store.Ask{places(1, 1), places(2, 1)}, store.Granted, store.Waits)
	stale := Next(Next(r), releases(1))
	Apply(t, s, []heddle.Change{stale}, store.Conflict)
	wantTurn(t, s, "r", places(2, 1), store.Waits)
	// In a slice whose answer was lost, and which is applied again, nothing is given
	// back that was taken since.
	again := Next(r, func(c *heddle.Change) {
		v := r.Visits[0]
		v.Attempts = 1
		c.Visits, c.Releases = []heddle.Visit{v}, []int{1}
	})
	Commit(t, s, again)
	granted(t, s, store.Turn{Run: "r", Visit: 2, Attempt: 1})
	Commit(t, s, Next(again, releases(2)))
	second := places(1, 1)
	second.Attempt = 2
	wantTurn(t, s, "r", second, store.Granted)
	Apply(t, s, []heddle.Change{again}, store.Conflict)
	last := Next(again, releases(2))
	Commit(t, s, last)
	wantTurn(t, s, "r", second, store.Granted)
	wantPool(t, s, heddle.Pool{Name: "pool", Size: 1, Taken: 1})
}

func orphanHolds(t *testing.T, open func() Store) {
	dead, s := open(), open()
	Commit(t, dead, keyed(t, "held"))
	wantTurn(t, dead, "held", key(), store.Granted)
	Commit(t, s, keyed(t, "waits"))
	closeStore(t, dead)
	wantTurn(t, s, "waits", key(), store.Waits)
	d, err := s.Run(t.Context(), "waits")
	if err != nil {
		t.Fatal(err)
	}
	want := []heddle.Line{{Name: "key", Weight: 1, Size: 1, Holders: []heddle.Holder{{Run: "held", Weight: 1, Orphan: true}}}}
	if diff := cmp.Diff(want, d.Lines); diff != "" {
		t.Fatalf("lines (-want +got):\n%s", diff)
	}
	ids, err := s.Claim(t.Context(), []heddle.RunID{"held"})
	wantIDs(t, "claimed", ids, err, "held")
	wantTurns(t, s, "held", 2, []store.Ask{key()}, store.Granted)
	end := Next(keyed(t, "held"), Ended(heddle.Abort), releases(0))
	end.Epoch = 2
	Commit(t, s, end)
	granted(t, s, store.Turn{Run: "waits"})
}

func orphanWaits(t *testing.T, open func() Store) {
	dead, s := open(), open()
	has := keyed(t, "has")
	Commit(t, s, has)
	Commit(t, dead, keyed(t, "first"))
	Commit(t, s, keyed(t, "behind"), keyed(t, "last"))
	wantTurn(t, s, "has", key(), store.Granted)
	wantTurn(t, dead, "first", key(), store.Waits)
	wantTurn(t, s, "behind", key(), store.Waits)
	wantTurn(t, s, "last", key(), store.Waits)
	closeStore(t, dead)
	Commit(t, s, Next(has, Ended(heddle.Success), releases(0)))
	granted(t, s, store.Turn{Run: "behind"})
	// Claimed, it is before those who came later.
	ids, err := s.Claim(t.Context(), []heddle.RunID{"first"})
	wantIDs(t, "claimed", ids, err, "first")
	Commit(t, s, Next(keyed(t, "behind"), Ended(heddle.Success), releases(0)))
	granted(t, s, store.Turn{Run: "first"})
	wantTurn(t, s, "last", key(), store.Waits)
}

func twoSessions(t *testing.T, open func() Store) {
	one, two := open(), open()
	setPool(t, one, 2)
	a, b := pooled(t, "a", 2), pooled(t, "b", 2)
	Commit(t, one, a)
	Commit(t, two, b)
	wantTurns(t, one, "a", 1, []store.Ask{places(1, 1), places(2, 1)}, store.Granted, store.Granted)
	wantTurns(t, two, "b", 1, []store.Ask{places(1, 2)}, store.Waits)
	Commit(t, one, Next(a, releases(1)))
	wantTurn(t, two, "b", places(1, 2), store.Waits)
	Commit(t, one, Next(Next(a), releases(2)))
	granted(t, two, store.Turn{Run: "b", Visit: 1, Attempt: 1})
	wantTurns(t, one, "a", 1, []store.Ask{{Visit: 1, Attempt: 1, Name: "pool", Weight: 1}}, store.Waits)
	setPool(t, one, 3) // by one session, for the other
	granted(t, one, store.Turn{Run: "a", Visit: 1, Attempt: 1})
}

func supersedes(t *testing.T, open func() Store) {
	s, other := open(), open()
	old := keyed(t, "old")
	Commit(t, s, old, keyed(t, "earlier"))
	wantTurn(t, s, "old", key(), store.Granted)
	wantTurn(t, s, "earlier", key(), store.Waits)
	Commit(t, other, keyed(t, "new"), keyed(t, "newer"))
	for range 2 { // asking again changes nothing
		wantTurn(t, other, "new", key(heddle.ConcurrenceCancelOld), store.Waits)
	}
	woken(t, s, "old", "earlier")
	wantTurn(t, other, "newer", key(heddle.ConcurrenceCancelOld), store.Waits)
	woken(t, other, "new")
	for id, want := range map[heddle.RunID]int{"old": 1, "earlier": 1, "new": 1, "newer": 0} {
		if snap := load(t, s, id); snap.Cancels != want {
			t.Errorf("run %s has %d cancels, want %d", id, snap.Cancels, want)
		}
	}
	// Those who are to end are not let in before they do.
	Commit(t, s, Next(old, Ended(heddle.Abort), releases(0)))
	granted(t, other, store.Turn{Run: "newer"})
	wantTurn(t, s, "earlier", key(), store.Waits)
}

func denies(t *testing.T, open func() Store) {
	s := open()
	has := keyed(t, "has")
	Commit(t, s, has, keyed(t, "no"), keyed(t, "yes"))
	wantTurn(t, s, "has", key(heddle.ConcurrenceReject), store.Granted)
	if r := wantTurn(t, s, "no", key(heddle.ConcurrenceReject), store.Denied); r.Other != "has" {
		t.Fatalf("denied because of %q", r.Other)
	}
	wantTurn(t, s, "has", key(heddle.ConcurrenceReject), store.Granted)
	Commit(t, s, Next(has, Ended(heddle.Success), releases(0)))
	wantTurn(t, s, "yes", key(heddle.ConcurrenceReject), store.Granted)
}

func unwanted(t *testing.T, open func() Store) {
	s, other := open(), open()
	setPool(t, s, 5)
	r, k, done := pooled(t, "r", 2), keyed(t, "k"), keyed(t, "done")
	Commit(t, s, r, k, done, Next(done, Ended(heddle.Abort), releases(0)))
	wantTurn(t, s, "done", key(), store.Unwanted)
	wantTurn(t, s, "missing", key(), store.Unwanted)
	wantTurns(t, s, "k", 2, []store.Ask{key()}, store.Unwanted)
	wantTurn(t, other, "k", key(), store.Unwanted)
	wantTurn(t, s, "r", key(), store.Unwanted) // it has begun
	second := places(1, 1)
	second.Attempt = 2
	Commit(t, s, Next(r, func(c *heddle.Change) {
		c.Visits = []heddle.Visit{{No: 2, Step: "a", Nth: 2, State: heddle.VisitSettled, Outcome: heddle.Abort, Opened: Epoch()}}
	}))
	wantTurns(t, s, "r", 1, []store.Ask{second, places(2, 1), places(3, 1), places(1, 1)},
		store.Unwanted, store.Unwanted, store.Unwanted, store.Granted)
	wantPool(t, s, heddle.Pool{Name: "pool", Size: 5, Taken: 1})
}

func pools(t *testing.T, open func() Store) {
	s, other := open(), open()
	for _, bad := range []heddle.Pool{{Name: "", Size: 1}, {Name: "x"}, {Name: "x", Size: -1}} {
		wantCode(t, s.SetPool(t.Context(), heddle.DefaultOrganization, bad.Name, bad.Size), heddle.CodeInvalid)
	}
	wantCode(t, s.DeletePool(t.Context(), heddle.DefaultOrganization, "pool"), heddle.CodeNotFound)
	odd := "p'\x00\xff\"雪"
	if err := s.SetPool(t.Context(), heddle.DefaultOrganization, odd, 7); err != nil {
		t.Fatal(err)
	}
	setPool(t, s, 2)
	r := pooled(t, "r", 3)
	Commit(t, s, r)
	wantTurns(t, s, "r", 1, []store.Ask{places(1, 1), places(2, 1), places(3, 1)}, store.Granted, store.Granted, store.Waits)
	setPool(t, other, 1)
	wantTurn(t, s, "r", places(2, 1), store.Granted)
	wantPool(t, other, heddle.Pool{Name: odd, Size: 7}, heddle.Pool{Name: "pool", Size: 1, Taken: 2, Waiting: 1})
	wantCode(t, other.DeletePool(t.Context(), heddle.DefaultOrganization, "pool"), heddle.CodeConflict)
	Commit(t, s, Next(r, releases(1)))
	wantTurn(t, s, "r", places(3, 1), store.Waits)
	setPool(t, other, 2)
	granted(t, s, store.Turn{Run: "r", Visit: 3, Attempt: 1})
	Commit(t, s, Next(Next(r), Ended(heddle.Success), releases(0)))
	if err := other.DeletePool(t.Context(), heddle.DefaultOrganization, "pool"); err != nil {
		t.Fatal(err)
	}
	wantPool(t, s, heddle.Pool{Name: odd, Size: 7})
}

func waitingLines(t *testing.T, open func() Store) {
	s := open()
	setPool(t, s, 3)
	a, b := pooled(t, "a", 3), pooled(t, "b", 1)
	Commit(t, s, a, b)
	wantTurns(t, s, "a", 1, []store.Ask{places(1, 2), places(2, 2), places(3, 1)}, store.Granted, store.Waits, store.Waits)
	wantTurn(t, s, "b", places(1, 1), store.Waits)
	d, err := s.Run(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	want := []heddle.Line{{Visit: 1, Name: "pool", Weight: 1, Size: 3, Ahead: 2, Holders: []heddle.Holder{{Run: "a", Weight: 2}}}}
	if diff := cmp.Diff(want, d.Lines); diff != "" {
		t.Fatalf("lines (-want +got):\n%s", diff)
	}
	if d, err = s.Run(t.Context(), "a"); err != nil || len(d.Lines) != 2 || d.Lines[0].Visit != 2 || d.Lines[1].Ahead != 1 {
		t.Fatalf("lines of a: %+v, error %v", d.Lines, err)
	}
}

func deleteHolds(t *testing.T, open func() Store) {
	s := open()
	p := prunerOf(t, s)
	a, b := keyed(t, "a"), keyed(t, "b")
	Commit(t, s, a, b)
	wantTurn(t, s, "a", key(), store.Granted)
	wantTurn(t, s, "b", key(), store.Waits)
	gone, err := p.Delete(t.Context(), []heddle.RunID{"a", "b"})
	wantIDs(t, "deleted while open", gone, err)
	Commit(t, s, Next(a, Ended(heddle.Success), releases(0)))
	granted(t, s, store.Turn{Run: "b"})
	gone, err = p.Delete(t.Context(), []heddle.RunID{"a", "b"})
	wantIDs(t, "deleted", gone, err, "a")
	wantTurn(t, s, "b", key(), store.Granted)
}

func sameName(t *testing.T, open func() Store) {
	s := open()
	if err := s.SetPool(t.Context(), heddle.DefaultOrganization, "key", 1); err != nil {
		t.Fatal(err)
	}
	r := pooled(t, "r", 1)
	Commit(t, s, keyed(t, "k"), r)
	both := places(1, 1)
	both.Name = "key"
	wantTurn(t, s, "k", key(), store.Granted)
	wantTurn(t, s, "r", both, store.Granted)
	Commit(t, s, Next(r, Ended(heddle.Success), releases(0)))
	Commit(t, s, keyed(t, "other"))
	wantTurn(t, s, "other", key(), store.Waits)
}

// regrants: the holder's release goes by a run that cannot go on, which vanishes
// afterwards; only the look at the line tells.
func regrants(t *testing.T, open func() Store) {
	dead, s := open(), open()
	setPool(t, s, 2)
	a, b := pooled(t, "a", 1), pooled(t, "b", 1)
	Commit(t, dead, a)
	Commit(t, s, pooled(t, "has", 1), b)
	wantTurn(t, s, "has", places(1, 1), store.Granted)
	wantTurn(t, dead, "a", places(1, 2), store.Waits)
	wantTurn(t, s, "b", places(1, 1), store.Waits) // there is room, and somebody before it
	closeStore(t, dead)
	if err := s.Regrant(t.Context()); err != nil {
		t.Fatal(err)
	}
	granted(t, s, store.Turn{Run: "b", Visit: 1, Attempt: 1})
}

func tooSmall(t *testing.T, open func() Store) {
	s := open()
	setPool(t, s, 1)
	Commit(t, s, pooled(t, "r", 3))
	lost := places(3, 1)
	lost.Name = "no such pool"
	wantTurns(t, s, "r", 1, []store.Ask{places(1, 2), places(2, 1), lost}, store.Waits, store.Granted, store.Waits)
	setPool(t, s, 3)
	granted(t, s, store.Turn{Run: "r", Visit: 1, Attempt: 1})
	if err := s.SetPool(t.Context(), heddle.DefaultOrganization, lost.Name, 1); err != nil {
		t.Fatal(err)
	}
	granted(t, s, store.Turn{Run: "r", Visit: 3, Attempt: 1})
}

// turnHammer has runs of several sessions take a key, then places in a pool, and give
// both back, while others cancel and look.
func turnHammer(t *testing.T, open func() Store) {
	const sessions, runs, size = 3, 5, 2
	first := open()
	setPool(t, first, size)
	var key, taken atomic.Int64
	var wg sync.WaitGroup
	for i := range sessions {
		s := first
		if i > 0 {
			s = open()
		}
		told := newTeller(s)
		t.Cleanup(told.stop)
		for j := range runs {
			wg.Go(func() { hammerTurns(t, s, told, heddle.RunID(fmt.Sprintf("r-%d-%d", i, j)), &key, &taken, size) })
		}
	}
	wg.Wait()
	if key.Load() != 0 || taken.Load() != 0 {
		t.Fatalf("%d have the key, %d places are taken after all", key.Load(), taken.Load())
	}
	wantPool(t, first, heddle.Pool{Name: "pool", Size: size})
}

func hammerTurns(t *testing.T, s Store, told *teller, id heddle.RunID, holders, taken *atomic.Int64, size int64) {
	c := keyed(t, id)
	advance := func(edit ...func(*heddle.Change)) {
		if c.Flow == nil || len(edit) > 0 {
			c = Next(c, edit...)
		}
		if answers, err := s.Apply(t.Context(), []heddle.Change{c}); err != nil || answers[0] != store.Committed {
			t.Errorf("change %d of %s: %v, %v", c.Seq, id, answers, err)
		}
	}
	take := func(ask store.Ask) {
		replies, err := s.Ask(t.Context(), id, 1, []store.Ask{ask})
		if err != nil {
			t.Errorf("run %s asks: %v", id, err)
		} else if replies[0].Turn != store.Granted && !told.await(store.Turn{Run: id, Visit: ask.Visit, Attempt: ask.Attempt}) {
			t.Errorf("run %s never gets what it asked for with %+v", id, ask)
		}
	}
	advance()
	take(store.Ask{Name: "key", Weight: 1})
	if n := holders.Add(1); n > 1 {
		t.Errorf("%d runs have the key", n)
	}
	advance(func(c *heddle.Change) {
		c.Run.State, c.Run.Visits = heddle.RunRunning, 1
		c.Visits = []heddle.Visit{{No: 1, Step: "a", Nth: 1, State: heddle.VisitReady, Opened: Epoch()}}
	})
	holders.Add(-1)
	advance(releases(0))
	take(places(1, 1))
	if n := taken.Add(1); n > size {
		t.Errorf("%d places are taken", n)
	}
	if _, err := s.Run(t.Context(), id); err != nil {
		t.Error(err)
	}
	taken.Add(-1)
	advance(Ended(heddle.Success), releases(1, 0))
}

// teller hands what a session is told of to those who wait for it.
type teller struct {
	mu   sync.Mutex
	seen map[store.Turn]chan struct{}
	done chan struct{}
}

func newTeller(s Store) *teller {
	w := &teller{seen: map[store.Turn]chan struct{}{}, done: make(chan struct{})}
	go func() {
		for {
			select {
			case turn := <-s.Granted():
				if c := w.of(turn); !closed(c) {
					close(c)
				}
			case <-w.done:
				return
			}
		}
	}()
	return w
}

func (w *teller) of(turn store.Turn) chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen[turn] == nil {
		w.seen[turn] = make(chan struct{})
	}
	return w.seen[turn]
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (w *teller) await(turn store.Turn) bool {
	select {
	case <-w.of(turn):
		return true
	case <-time.After(patience):
		return false
	}
}

func (w *teller) stop() { close(w.done) }

func setPool(t testing.TB, s Store, size int) {
	t.Helper()
	if err := s.SetPool(t.Context(), heddle.DefaultOrganization, "pool", size); err != nil {
		t.Fatalf("setting a pool: %v", err)
	}
}

func wantPool(t testing.TB, s Store, want ...heddle.Pool) {
	t.Helper()
	got, err := s.Pools(t.Context(), heddle.DefaultOrganization)
	if err != nil {
		t.Fatal(err)
	}
	less := func(a, b heddle.Pool) bool { return a.Name < b.Name }
	if diff := cmp.Diff(want, got, cmpopts.SortSlices(less)); diff != "" {
		t.Fatalf("pools (-want +got):\n%s", diff)
	}
}
