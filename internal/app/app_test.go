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
