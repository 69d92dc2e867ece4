package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
	"github.com/heddle/heddle/internal/store/storetest"
)

// mount mounts a small file system in memory for the test, or skips it.
func mount(t *testing.T, size string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("cannot mount a file system here, which takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", dir, err)
		}
	})
	return dir
}

func TestReadOnlyDirectory(t *testing.T) {
	t.Parallel()
	for name, used := range map[string]bool{"empty": false, "with a database": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := mount(t, "4m")
			if used {
				s := open(t, dir)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			pollReadOnly(t, dir)
			_, err := Open(t.Context(), Options{Dir: dir})
			wantFault(t, err, dir, "writable")
			if errors.Is(err, store.ErrTemporary) {
				t.Fatalf("%v is temporary", err)
			}
		})
	}
}

// pollReadOnly remounts, and tries for a while: a child that another test is just starting may
// hold files of the store until it has executed its program.
func pollReadOnly(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
		if err == nil {
			return
		}
		if !errors.Is(err, syscall.EBUSY) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := mount(t, "3m")
	s := open(t, dir)
	filler := filepath.Join(dir, "filler")
	fill(t, filler)
	change := func(i int) heddle.Change {
		return storetest.Create(t, heddle.RunID(fmt.Sprintf("r%04d", i)), strings.Repeat("n", 2000), storetest.Rows)
	}
	committed := 0
	var err error
	for ; err == nil && committed < 5000; committed++ {
		var answers []store.Answer
		if answers, err = s.Apply(t.Context(), []heddle.Change{change(committed)}); err == nil && answers[0] != store.Committed {
			t.Fatalf("change %d: %s", committed, answers[0])
		}
	}
	committed--
	wantFault(t, err, s.path, "no space is left")
	if !errors.Is(err, store.ErrTemporary) {
		t.Fatalf("%v is not temporary", err)
	}
	if _, err := s.Apply(t.Context(), []heddle.Change{change(committed)}); !errors.Is(err, store.ErrTemporary) {
		t.Fatalf("applied again on a full disk: %v, want a temporary fault", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	storetest.Commit(t, s, change(committed))
	for i := range committed + 1 {
		if snap, err := s.Load(t.Context(), change(i).Run.ID); err != nil || len(snap.Visits) != 2 {
			t.Fatalf("run %d of %d is lost: %v", i, committed, err)
		}
	}
}

// fill writes a file until the disk is nearly full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	info, err := f.Stat()
	if err == nil {
		err = f.Truncate(info.Size() - 200<<10)
	}
	if err != nil {
		t.Fatal(err)
	}
}
