package postgres

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
	"github.com/heddle/heddle/internal/store/storetest"
)

func ended(t testing.TB, id heddle.RunID, flow string) heddle.Change {
	return storetest.Create(t, id, flow, storetest.Rows, storetest.Ended(heddle.Success))
}

// unusedFlows counts the flows that no run has, and all.
func unusedFlows(t testing.TB, s *Store) (unused, all int) {
	t.Helper()
	if err := s.pool.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE NOT EXISTS (SELECT FROM runs WHERE flow = hash)), count(*) FROM flows`).Scan(&unused, &all); err != nil {
		t.Fatal(err)
	}
	return unused, all
}

// TestFlowsComeAndGo: runs of the same few flows are made and deleted at once, so
// that flows go while others are about to use them.
func TestFlowsComeAndGo(t *testing.T) {
	t.Parallel()
	where := schema(t, "")
	var wg sync.WaitGroup
	for worker := range 4 {
		s := open(t, where)
		wg.Go(func() {
			for i := range 60 {
				var ids []heddle.RunID
				var changes []heddle.Change
				for j := range 3 {
					id := heddle.RunID(fmt.Sprintf("w%d-%d-%d", worker, i, j))
					ids, changes = append(ids, id), append(changes, ended(t, id, fmt.Sprint("flow ", (i+j)%2)))
				}
				if _, err := s.Apply(t.Context(), changes); err != nil {
					t.Error(err)
					return
				}
				if snap, err := s.Load(t.Context(), ids[0]); err != nil || snap.Flow == nil {
					t.Errorf("loading a run just made: %v", err)
				}
				var has bool
				if err := s.pool.QueryRow(t.Context(), `SELECT count(*) > 0 FROM runs JOIN flows ON hash = flow WHERE id = $1`, string(ids[0])).Scan(&has); err != nil || !has {
					t.Errorf("a run has no flow, error %v", err)
				}
				gone, err := s.Delete(t.Context(), ids)
				if err != nil || len(gone) != len(ids) {
					t.Errorf("deleted %v of %v, error %v", gone, ids, err)
				}
			}
		})
	}
	wg.Wait()
	s := open(t, where)
	if unused, all := unusedFlows(t, s); unused > 0 {
		t.Errorf("%d of %d flows are left over", unused, all)
	}
}

// TestDeleteTogether: of sessions that delete the same runs each run is deleted by one.
func TestDeleteTogether(t *testing.T) {
	t.Parallel()
	where := schema(t, "")
	maker := open(t, where)
	var ids []heddle.RunID
	var changes []heddle.Change
	for i := range 600 {
		ids = append(ids, heddle.RunID(fmt.Sprintf("r%03d", i)))
		changes = append(changes, ended(t, ids[i], fmt.Sprint("flow ", i/3)))
	}
	storetest.Commit(t, maker, changes...)
	if err := maker.Close(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all []heddle.RunID
	var wg sync.WaitGroup
	for i := range 3 {
		s := open(t, where)
		mine := slices.Clone(ids)
		if i == 1 {
			slices.Reverse(mine)
		}
		wg.Go(func() {
			for piece := range slices.Chunk(mine, 70) {
				gone, err := s.Delete(t.Context(), piece)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				all = append(all, gone...)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(all)
	if diff := cmp.Diff(ids, all); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}
	if _, flows := unusedFlows(t, open(t, where)); flows > 0 {
		t.Errorf("%d flows are left over", flows)
	}
}

// TestDeletionLeavesWhatIsHeld: neither a run that is being claimed nor a flow that
// is being used is waited for.
func TestDeletionLeavesWhatIsHeld(t *testing.T) {
	t.Parallel()
	where := schema(t, "")
	s := open(t, where)
	storetest.Commit(t, s, ended(t, "held", "one"), ended(t, "free", "two"))
	tx, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	for _, lock := range []string{`SELECT FROM runs WHERE id = 'held' FOR UPDATE`, `SELECT f.* FROM flows f JOIN runs ON flow = hash WHERE id = 'free' FOR KEY SHARE OF f`} {
		if _, err := tx.Exec(t.Context(), lock); err != nil {
			t.Fatal(err)
		}
	}
	gone, err := s.Delete(t.Context(), []heddle.RunID{"held", "free"})
	if diff := cmp.Diff([]heddle.RunID{"free"}, gone); err != nil || diff != "" {
		t.Fatalf("error %v, deleted (-want +got):\n%s", err, diff)
	}
	if _, flows := unusedFlows(t, s); flows != 2 {
		t.Errorf("%d flows, want both", flows)
	}
}

func TestDeletionGoesInPieces(t *testing.T) {
	t.Parallel()
	s := open(t, schema(t, ""))
	var changes []heddle.Change
	var ids []heddle.RunID
	for i, visits := range []int{maxDeleteVisits + 1, 1, maxDeleteVisits - 1, 1} {
		ids = append(ids, heddle.RunID(fmt.Sprint("r", i)))
		c := ended(t, ids[i], "n")
		c.Run.Visits = visits
		changes = append(changes, c)
	}
	storetest.Commit(t, s, changes...)
	storetest.Commit(t, s, storetest.Create(t, "open", "n"))
	pieces, err := s.pieces(t.Context(), append(ids, "open"))
	if diff := cmp.Diff([][]string{{"r0"}, {"r1", "r2"}, {"r3"}}, pieces); err != nil || diff != "" {
		t.Fatalf("error %v, pieces (-want +got):\n%s", err, diff)
	}
}

// TestUsageFallsWithDeletion: files of the database do not get smaller by themselves.
func TestUsageFallsWithDeletion(t *testing.T) {
	t.Parallel()
	s := open(t, schema(t, ""))
	usage := func() store.Usage {
		u, err := s.Usage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	const size, runs = 1 << 16, 60
	var ids []heddle.RunID
	for i := range runs {
		c := ended(t, heddle.RunID(fmt.Sprint("r", i)), "n")
		c.Visits[0].Output = randomBytes(size)
		storetest.Commit(t, s, c)
		ids = append(ids, c.Run.ID)
	}
	full := usage()
	if full.Ended != runs || full.Bytes < runs*size || full.Bytes > 2*runs*size {
		t.Errorf("usage %+v, want %d runs of %d bytes and a little more", full, runs, size)
	}
	if _, err := s.Delete(t.Context(), ids[:runs/2]); err != nil {
		t.Fatal(err)
	}
	if half := usage(); half.Ended != runs/2 || half.Bytes > full.Bytes*6/10 || half.Bytes < full.Bytes*4/10 {
		t.Errorf("usage %+v after half of %+v was deleted", half, full)
	}
}
