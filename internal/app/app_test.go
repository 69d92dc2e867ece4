package app

import (
	"os"
	"path/filepath"
	"testing"
)

func TestADataDirectoryHasOnePath(t *testing.T) {
	t.Parallel()
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(base, "link")
	if err := os.Symlink(filepath.Join(base, "disk"), link); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	if err := os.Mkdir(filepath.Join(base, "disk"), 0o700); err != nil {
		t.Fatal(err)
	}
	direct, err := realDir(filepath.Join(base, "disk", "data")) // is not there yet
	if err != nil {
		t.Fatal(err)
	}
	linked, err := realDir(filepath.Join(link, "data"))
	if err != nil || linked != direct {
		t.Errorf("by the link it is %s (%v), else %s", linked, err, direct)
	}
}

func TestTheIdentityOfAStoreStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ids := make(chan string, 8)
	for range cap(ids) {
		go func() {
			id, err := identityOf(dir)
			if err != nil {
				t.Error(err)
			}
			ids <- id
		}()
	}
	first := <-ids
	for range cap(ids) - 1 {
		if id := <-ids; id != first || id == "" {
			t.Errorf("identities %q and %q", first, id)
		}
	}
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if id, err := identityOf(moved); id != first || err != nil {
		t.Errorf("after a move: %q, %v; before %q", id, err, first)
	}
	if left, err := os.ReadDir(moved); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
