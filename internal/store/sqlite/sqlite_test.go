package sqlite

import (
	"bufio"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle/internal/store/storetest"
)

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir})
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
	storetest.Exercise(t, func(t *testing.T, dir string) storetest.Store { return open(t, dir) })
}

// TestApplyForEver is the process that TestKill kills: it applies changes for ever,
// and prints which were answered.
func TestApplyForEver(t *testing.T) {
	dir := os.Getenv("HEDDLE_TEST_APPLY_IN")
	if dir == "" {
		t.Skip("runs as a child of TestKill")
	}
	s := open(t, dir)
	c := storetest.Create(t, "r", "r")
	for {
		storetest.Commit(t, s, c)
		fmt.Println(c.Seq + 1)
		c = storetest.Next(c, storetest.Rows)
		c.Visits[0].No = int(c.Seq)
	}
}

func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestApplyForEver$")
	child.Env = append(os.Environ(), "HEDDLE_TEST_APPLY_IN="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var answered int64
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if answered, err = strconv.ParseInt(lines.Text(), 10, 64); err != nil {
			t.Fatal(err)
		}
		if answered == 300 {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait() // it was killed
	s := open(t, dir)
	ids, err := s.Claim(t.Context(), nil)
	if err != nil || len(ids) != 1 {
		t.Fatalf("claimed %v, error %v; want the one run", ids, err)
	}
	snap, err := s.Load(t.Context(), "r")
	if err != nil {
		t.Fatal(err)
	}
	// One more may have been committed than was answered.
	if answered < 300 || snap.Seq < answered || snap.Seq > answered+1 {
		t.Fatalf("sequence number %d, answered up to %d", snap.Seq, answered)
	}
	if got := snap.Visits[len(snap.Visits)-1].No; int64(got) != snap.Seq-1 {
		t.Fatalf("the last visit is %d, the sequence number %d: a change was torn", got, snap.Seq)
	}
	left, err := filepath.Glob(filepath.Join(dir, "engines", "*"))
	if err != nil || len(left) != 2 {
		t.Fatalf("engines has %v, error %v; want the two files of the living session", left, err)
	}
}

func TestMigrateTwice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// Several at once, on a directory that is not there yet.
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s, err := Open(t.Context(), Options{Dir: filepath.Join(dir, "a?b#c%20d")})
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s := open(t, filepath.Join(dir, "a?b#c%20d"))
	var versions int
	if err := s.read.QueryRow(`SELECT count(*) FROM goose_db_version WHERE version_id = ?`, newest).Scan(&versions); err != nil || versions != 1 {
		t.Fatalf("version %d was applied %d times, error %v", newest, versions, err)
	}
	entries, err := migrations.ReadDir("migrations")
	if err != nil || !strings.HasPrefix(entries[len(entries)-1].Name(), fmt.Sprintf("%04d_", newest)) {
		t.Fatalf("migrations %v, error %v; newest says %d", entries, err, newest)
	}
}

func TestPragmasReachEveryConnection(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	first, err := s.read.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := s.read.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	for name, want := range map[string]string{"foreign_keys": "1", "journal_mode": "wal", "busy_timeout": "5000"} {
		for i, conn := range []*sql.Conn{first, second, s.conn} {
			var got string
			if err := conn.QueryRowContext(t.Context(), `PRAGMA `+name).Scan(&got); err != nil || got != want {
				t.Errorf("connection %d: %s is %q, error %v; want %q", i, name, got, err, want)
			}
		}
	}
	var synchronous int
	if err := s.conn.QueryRowContext(t.Context(), `PRAGMA synchronous`).Scan(&synchronous); err != nil || synchronous != 2 {
		t.Errorf("synchronous is %d, error %v; want 2, full", synchronous, err)
	}
	if _, err := first.ExecContext(t.Context(), `DELETE FROM runs`); err == nil {
		t.Error("a connection for reading writes")
	}
}

func TestSweepSparesTheLiving(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	live, s := open(t, dir), open(t, dir)
	for _, name := range []string{"dead.lock", "dead.wake", "lonely.wake"} {
		if err := os.WriteFile(filepath.Join(dir, "engines", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Claim(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, id := range []string{live.Session(), s.Session()} {
		want = append(want, id+lockSuffix, id+wakeSuffix)
	}
	slices.Sort(want)
	entries, err := os.ReadDir(filepath.Join(dir, "engines"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
}
