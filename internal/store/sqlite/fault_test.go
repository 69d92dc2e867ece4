package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
	"github.com/heddle/heddle/internal/store/storetest"
)

// wantFault fails the test unless err is of the store, names path and says what to do.
func wantFault(t *testing.T, err error, path, advice string) {
	t.Helper()
	if heddle.CodeOf(err) != heddle.CodeStore {
		t.Fatalf("got %v with code %q, want code %q", err, heddle.CodeOf(err), heddle.CodeStore)
	}
	for _, part := range []string{path, advice} {
		if !strings.Contains(err.Error(), part) {
			t.Fatalf("%q does not contain %q", err, part)
		}
	}
}

// files reads every file in a directory tree.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	if err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all[path] = string(data)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func execute(t *testing.T, path, text string) {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(path, nil))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), text)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// made returns a data directory with a closed store with one run.
func made(t *testing.T) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	s := open(t, dir)
	storetest.Commit(t, s, storetest.Create(t, "r", "r", storetest.Rows))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, filepath.Join(dir, "heddle.db")
}

func TestNewerSchemaIsRefusedUntouched(t *testing.T) {
	t.Parallel()
	const newer = `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`
	for name, left := range map[string]bool{"closed in order": false, "with the version still in the log of a killed process": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, path := made(t)
			if left {
				// What a killed process leaves: a copy of the files of one that has them open.
				s := open(t, dir)
				if _, err := s.conn.ExecContext(t.Context(), newer); err != nil {
					t.Fatal(err)
				}
				to := t.TempDir()
				for from, data := range files(t, dir) {
					if filepath.Dir(from) == dir && !strings.HasSuffix(from, "-shm") {
						if err := os.WriteFile(filepath.Join(to, filepath.Base(from)), []byte(data), 0o600); err != nil {
							t.Fatal(err)
						}
					}
				}
				dir, path = to, filepath.Join(to, "heddle.db")
			} else {
				execute(t, path, newer)
			}
			before := files(t, dir)
			_, err := Open(t.Context(), Options{Dir: dir})
			wantFault(t, err, path, "version 999")
			after := files(t, dir)
			delete(after, path+"-shm") // an index over the log, made by whoever reads it
			if !maps.Equal(before, after) {
				for file, data := range after {
					if before[file] != data {
						t.Errorf("%s has changed from %d to %d bytes", file, len(before[file]), len(data))
					}
				}
				t.Fatal("the data directory was touched")
			}
		})
	}
}

func TestFaultsOfTheFile(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil  func(data []byte) []byte
		advice string
	}{
		"not a database": {spoil: func([]byte) []byte { return bytes.Repeat([]byte("hello "), 2000) }, advice: "is not a database"},
		"corrupt":        {spoil: func(data []byte) []byte { copy(data[100:], bytes.Repeat([]byte{0xff}, len(data)-100)); return data }, advice: "is corrupt"},
		"cut short":      {spoil: func(data []byte) []byte { return data[:len(data)/2] }, advice: "is corrupt"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, path := made(t)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, test.spoil(data), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(t.Context(), Options{Dir: dir})
			if err == nil {
				defer s.Close()
				_, err = s.Runs(t.Context(), heddle.RunFilter{})
			}
			wantFault(t, err, path, test.advice)
			if errors.Is(err, store.ErrTemporary) {
				t.Fatalf("%v is temporary", err)
			}
		})
	}
}

func TestFileInThePlaceOfTheDirectory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Options{Dir: path})
	wantFault(t, err, path, "stands where a folder is needed")
	_, err = Open(t.Context(), Options{Dir: filepath.Join(path, "below")})
	wantFault(t, err, path, "stands where a folder is needed")
}

func TestLockedDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, other := open(t, dir), open(t, dir)
	if _, err := other.writes.begin.ExecContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.conn.ExecContext(t.Context(), `PRAGMA busy_timeout = 20`); err != nil {
		t.Fatal(err)
	}
	change := storetest.Create(t, "r", "r")
	_, err := s.Apply(t.Context(), []heddle.Change{change})
	wantFault(t, err, s.path, "locked by another program")
	if !errors.Is(err, store.ErrTemporary) {
		t.Fatalf("%v is not temporary", err)
	}
	if _, err := other.writes.rollback.ExecContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	storetest.Commit(t, s, change)
}

func TestCancelledContext(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Apply(ctx, []heddle.Change{storetest.Create(t, "r", "r")})
	if heddle.CodeOf(err) != heddle.CodeStore || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want a store error for a cancelled context", err)
	}
}
