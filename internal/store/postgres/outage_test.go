package postgres

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
	"github.com/heddle/heddle/internal/store/storetest"
)

// eventually tries until something holds, and returns how long that took.
func eventually(t *testing.T, what string, within time.Duration, holds func() bool) time.Duration {
	t.Helper()
	begun := time.Now()
	for !holds() {
		if time.Since(begun) > within {
			t.Fatalf("%s: not within %v", what, within)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(begun)
}

// insist applies changes until that brings an answer, as an engine does.
func insist(t *testing.T, s *Store, changes []heddle.Change, want ...store.Answer) {
	t.Helper()
	var answers []store.Answer
	eventually(t, "an answer", 10*time.Second, func() bool {
		var err error
		answers, err = s.Apply(t.Context(), changes)
		if err != nil && !errors.Is(err, store.ErrTemporary) {
			t.Fatalf("not temporary: %v", err)
		}
		return err == nil
	})
	if diff := cmp.Diff(want, answers); diff != "" {
		t.Fatalf("answers (-want +got):\n%s", diff)
	}
}

func TestTakeOver(t *testing.T) {
	t.Parallel()
	where := schema(t, "")
	p, proxied := through(t, where)
	old, heir := open(t, proxied), open(t, where)
	taken, spared := storetest.Create(t, "taken", "n"), storetest.Create(t, "spared", "n")
	storetest.Commit(t, old, taken, spared)

	p.cut()
	lost := time.Now()
	var claimed []heddle.RunID
	eventually(t, "a claim", 5*time.Second, func() bool {
		var err error
		if claimed, err = heir.Claim(t.Context(), []heddle.RunID{"taken"}); err != nil {
			t.Fatal(err)
		}
		return len(claimed) > 0
	})
	if took := time.Since(lost); took < leaseTTL-renewEvery-500*time.Millisecond {
		t.Fatalf("taken over %v after the last sign of life, within the lease", took)
	}
	current := storetest.Next(taken, storetest.Rows)
	current.Epoch = 2
	storetest.Commit(t, heir, current)

	p.restore()
	stale := storetest.Next(taken)
	stale.ID = "stale"
	// What nobody has claimed is still the old owner's.
	insist(t, old, []heddle.Change{stale, storetest.Next(spared)}, store.Fenced, store.Committed)
	eventually(t, "the lease is back", 5*time.Second, func() bool {
		orphans, err := heir.Orphaned(t.Context())
		return err == nil && len(orphans) == 0
	})
	select {
	case <-old.Lapsed():
	case <-time.After(5 * time.Second):
		t.Error("never told that the lease had run out")
	}
	if ids, err := old.Lost(t.Context(), []heddle.RunID{"taken", "spared", "not there"}); err != nil || !slices.Equal(ids, []heddle.RunID{"taken"}) {
		t.Errorf("lost are %v, error %v; want taken", ids, err)
	}
}

func TestOutage(t *testing.T) {
	t.Parallel()
	where := schema(t, "")
	p, proxied := through(t, where)
	s, other := open(t, proxied), open(t, where)
	run := storetest.Create(t, "r", "n")
	storetest.Commit(t, s, run)

	const outage = 10 * time.Second
	p.cut()
	restored := time.AfterFunc(outage, p.restore)
	defer restored.Stop()
	if err := other.RequestCancel(t.Context(), "r", "while nobody listens"); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	insist(t, s, []heddle.Change{storetest.Next(run)}, store.Committed)
	if took := time.Since(begun); took < outage-time.Second || took > outage+2*time.Second {
		t.Errorf("the change was committed after %v, the outage lasted %v", took, outage)
	}
	select {
	case id := <-s.Wake():
		if id != "r" {
			t.Errorf("woken for %q, want r", id)
		}
	case <-time.After(5 * time.Second):
		t.Error("never woken for a request that was left during the outage")
	}
	if ids, err := other.Claim(t.Context(), nil); err != nil || len(ids) > 0 {
		t.Errorf("claimed %v, error %v; want none, the session is back", ids, err)
	}
}

func TestLostAnswer(t *testing.T) {
	t.Parallel()
	where := schema(t, "")
	p, proxied := through(t, where)
	s, other := open(t, proxied), open(t, where)
	create := storetest.Create(t, "r", "n")
	storetest.Commit(t, s, create)
	slice := []heddle.Change{storetest.Next(create, storetest.Rows), storetest.Next(storetest.Next(create)), storetest.Create(t, "new", "n")}

	p.silence()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := s.Apply(ctx, slice); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want the deadline of the caller", err)
	}
	eventually(t, "the commit", 5*time.Second, func() bool {
		snap, err := other.Load(t.Context(), "r")
		return err == nil && snap.Seq == 3
	})
	p.cut()
	p.restore()
	insist(t, s, slice, store.Committed, store.Committed, store.Committed)
	if snap, err := s.Load(t.Context(), "r"); err != nil || snap.Seq != 3 {
		t.Fatalf("sequence number %d, error %v; want 3", snap.Seq, err)
	}
}

func TestCloseWhileTheServerIsSilent(t *testing.T) {
	t.Parallel()
	p, proxied := through(t, schema(t, ""))
	s := open(t, proxied)
	p.silence()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := s.Runs(t.Context(), heddle.RunFilter{})
		if heddle.CodeOf(err) != heddle.CodeStore || errors.Is(err, store.ErrTemporary) {
			t.Errorf("a call that Close interrupts: %v, want a lasting store error", err)
		}
	})
	eventually(t, "the call is under way", 5*time.Second, func() bool { return s.pool.Stat().AcquiredConns()+int32(s.pool.Stat().ConstructingConns()) > 0 })
	begun := time.Now()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if took := time.Since(begun); took > 5*time.Second {
		t.Fatalf("closing took %v", took)
	}
}

func TestDroppedDatabase(t *testing.T) {
	t.Parallel()
	where, drop := database(t)
	s := open(t, where)
	create := storetest.Create(t, "r", "n")
	storetest.Commit(t, s, create)
	drop()
	var err error
	eventually(t, "a lasting error", 5*time.Second, func() bool {
		_, err = s.Apply(t.Context(), []heddle.Change{storetest.Next(create)})
		if err == nil {
			t.Fatal("committed to a database that is gone")
		}
		return !errors.Is(err, store.ErrTemporary)
	})
	wantFault(t, err, "does not exist: create it")
	_, err = s.Load(t.Context(), "r")
	wantFault(t, err, "does not exist: create it")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCancelledContext(t *testing.T) {
	t.Parallel()
	s := open(t, schema(t, ""))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Apply(ctx, []heddle.Change{storetest.Create(t, "r", "r")})
	if heddle.CodeOf(err) != heddle.CodeStore || !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrTemporary) {
		t.Fatalf("got %v, want a store error for a cancelled context", err)
	}
}

func TestRenewingKeepsTheConnection(t *testing.T) {
	t.Parallel()
	where := schema(t, "")
	var log bytes.Buffer // read when the store is closed
	s, err := Open(t.Context(), Options{URL: where, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	expires := func() (at time.Time) {
		conn, err := pgx.Connect(t.Context(), where)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if err := conn.QueryRow(t.Context(), `SELECT expires FROM sessions WHERE id = $1`, s.Session()).Scan(&at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	first := expires()
	eventually(t, "two renewals", 5*time.Second, func() bool { return expires().Sub(first) > 3*renewEvery/2 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if log.Len() > 0 {
		t.Fatalf("something went wrong behind the scenes: %s", log.String())
	}
}
