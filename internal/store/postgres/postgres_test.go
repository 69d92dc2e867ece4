package postgres

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
	"github.com/heddle/heddle/internal/store/storetest"
)

// server returns the URL of the test bed's database, or skips the test.
func server(t testing.TB) *url.URL {
	t.Helper()
	text := os.Getenv("HEDDLE_TEST_POSTGRES_URL")
	if text == "" {
		t.Skip("left out: a PostgreSQL server: test/testbed/setup.sh starts one, and test/testbed/env.sh prints its HEDDLE_TEST_POSTGRES_URL")
	}
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// execute runs statements on a connection of its own.
func execute(t testing.TB, where string, statements ...string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // it serves cleaning up as well
	conn, err := pgx.Connect(ctx, where)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// unique makes a name for something in the server of the test that calls it; the
// tests of two checkouts may run at once.
func unique(t testing.TB, dir string) string {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(here + "\n" + t.Name() + "\n" + dir))
	return "t_" + hex.EncodeToString(sum[:8])
}

// schema returns the URL of an empty schema that is dropped when the test is over.
func schema(t testing.TB, dir string) string {
	t.Helper()
	u, name := server(t), unique(t, dir)
	execute(t, u.String(), "DROP SCHEMA IF EXISTS "+name+" CASCADE", "CREATE SCHEMA "+name)
	t.Cleanup(func() { execute(t, u.String(), "DROP SCHEMA "+name+" CASCADE") })
	query := u.Query()
	query.Set("search_path", name)
	u.RawQuery = query.Encode()
	return u.String()
}

// database returns the URL of an empty database that is dropped when the test is
// over, and a function that drops it before.
func database(t testing.TB) (text string, drop func()) {
	t.Helper()
	u, name := server(t), unique(t, "")
	execute(t, u.String(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)", "CREATE DATABASE "+name+" STRATEGY file_copy")
	drop = func() { execute(t, server(t).String(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") }
	t.Cleanup(drop)
	u.Path = "/" + name
	return u.String(), drop
}

func open(t testing.TB, where string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{URL: where})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	server(t)
	var mu sync.Mutex
	schemas := map[string]string{} // by directory
	storetest.Exercise(t, func(t *testing.T, dir string) storetest.Store {
		mu.Lock()
		defer mu.Unlock()
		if schemas[dir] == "" {
			schemas[dir] = schema(t, dir)
		}
		return open(t, schemas[dir])
	})
}

func TestTextOfAnyBytes(t *testing.T) {
	t.Parallel()
	s := open(t, schema(t, ""))
	for name, odd := range map[string]string{
		"a zero byte":        "a\x00b",
		"not UTF-8":          "\xff\xfe caf\xe9",
		"a mark of our own":  mark + "00",
		"a mark at the end":  "x" + mark,
		"longer than a page": strings.Repeat("0123456789abcdef", 1<<10),
		"random":             string(randomBytes(9000)), // too long for an index, and not to be compressed
	} {
		id := heddle.RunID("r" + unique(t, name)[2:])
		create := storetest.Create(t, id, "n", storetest.Rows, func(c *heddle.Change) {
			c.ID = odd + string(id)
			c.Run.Message, c.Run.Executor, c.Run.Labels = odd, odd, map[string]string{odd: odd, "k" + odd: "v"}
			c.Visits[0].Step, c.Visits[0].Message, c.Visits[0].Output = odd, odd, []byte("{\"k\":\"\\u0000"+strings.ToValidUTF8(odd, "\xff")+"\"}")
			c.Attempts[0].Place, c.Attempts[0].Stop, c.Attempts[0].Message = odd, odd, odd
			c.Notices = []heddle.Notice{storetest.Notice(id, "1.0", storetest.Epoch())}
			c.Notices[0].Target, c.Notices[0].Body = odd, []byte{0, 0xff}
		})
		create.Run.Name = odd // the flow's own name is JSON, which holds no such bytes
		storetest.Commit(t, s, create)
		storetest.Commit(t, s, create) // its own ID is known again
		snap, err := s.Load(t.Context(), id)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := store.Snapshot{Run: create.Run, Flow: create.Flow, Epoch: 1, Seq: 1, Visits: create.Visits, Attempts: create.Attempts}
		if diff := cmp.Diff(want, snap); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", name, diff)
		}
		notices, err := s.Pending(t.Context(), []heddle.RunID{id})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(create.Notices, notices); diff != "" {
			t.Fatalf("%s: notices (-want +got):\n%s", name, diff)
		}
		for _, f := range []heddle.RunFilter{{Name: odd}, {Labels: map[string]string{odd: odd}}, {Name: odd, Labels: map[string]string{"k" + odd: "v"}}} {
			page, err := s.Runs(t.Context(), f)
			if err != nil || len(page.Runs) != 1 || page.Runs[0].ID != id {
				t.Fatalf("%s: found %v, error %v; want the run", name, page.Runs, err)
			}
		}
	}
	if _, err := s.Load(t.Context(), "a\x00b"); heddle.CodeOf(err) != heddle.CodeNotFound {
		t.Fatalf("loading an impossible ID: %v", err)
	}
}

// TestGrowingTablesAreNotReadWhole: plans are made while the tables are empty, and
// kept while they grow.
func TestGrowingTablesAreNotReadWhole(t *testing.T) {
	t.Parallel()
	where := schema(t, "")
	if err := open(t, where).Close(); err != nil {
		t.Fatal(err)
	}
	// The server adds a connection's counts up when that ends, and making an index
	// counts as well.
	counts := func(want int) (scans int) {
		var rows int
		eventually(t, "the counts", 10*time.Second, func() bool {
			conn, err := pgx.Connect(t.Context(), where)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(t.Context())
			if err := conn.QueryRow(t.Context(), `SELECT sum(seq_scan), sum(n_tup_ins) FROM pg_stat_user_tables
				WHERE schemaname = current_schema() AND relname IN ('runs', 'visits', 'attempts', 'labels')`).Scan(&scans, &rows); err != nil {
				t.Fatal(err)
			}
			return rows == want
		})
		return scans
	}
	before := counts(0)

	s := open(t, where)
	const runs = 20
	var ids []heddle.RunID
	var ends []heddle.Change
	for i := range runs {
		create := storetest.Create(t, heddle.RunID(fmt.Sprint("r", i)), "n", storetest.Rows,
			func(c *heddle.Change) { c.Run.Labels = map[string]string{"k": "v"} })
		storetest.Commit(t, s, create)
		next := storetest.Next(create, storetest.Rows)
		storetest.Commit(t, s, next)
		ids, ends = append(ids, create.Run.ID), append(ends, storetest.Next(next, storetest.Ended(heddle.Success)))
		if _, err := s.Load(t.Context(), create.Run.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Claim(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		for _, f := range []heddle.RunFilter{{}, {Name: "n"}, {Labels: create.Run.Labels}, {States: []heddle.RunState{heddle.RunRunning}}} {
			if _, err := s.Runs(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
	}
	storetest.Commit(t, s, ends...)
	if _, err := s.Prunable(t.Context(), store.PruneQuery{}); err != nil {
		t.Fatal(err)
	}
	if gone, err := s.Delete(t.Context(), ids); err != nil || len(gone) != runs {
		t.Fatalf("deleted %v, error %v; want all runs", gone, err)
	}
	if _, err := s.Usage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if after := counts(runs * (1 + 2 + 2 + 1)); after != before {
		t.Fatalf("tables were read whole %d times", after-before)
	}
}

func randomBytes(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.Read(data)
	return data
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	where := schema(t, "")
	first, err := open(t, where).Identity(t.Context())
	if err != nil || len(first) != 16 {
		t.Fatalf("identity %q, error %v", first, err)
	}
	if again, err := open(t, where).Identity(t.Context()); again != first || err != nil {
		t.Errorf("a second session sees %q, error %v; want %q", again, err, first)
	}
	if other, err := open(t, schema(t, "other")).Identity(t.Context()); other == first || err != nil {
		t.Errorf("another store has %q too, error %v", other, err)
	}
}
