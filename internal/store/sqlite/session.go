package sqlite

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

const (
	lockSuffix = ".lock"
	wakeSuffix = ".wake"
)

// session is this process's place in the folder of engines. Its lock ends with the
// process, however that ends. A session without a lock file is over as well.
type session struct {
	dir  string
	id   string
	lock *flock.Flock
}

// newSession takes the lock of a new random name.
func newSession(dir string) (*session, error) {
	for {
		s := &session{dir: dir, id: strings.ToLower(rand.Text()[:20])}
		s.lock = flock.New(s.file(lockSuffix))
		locked, err := s.lock.TryLock()
		if err != nil {
			return nil, err
		}
		// Somebody who sweeps may have taken the file for a dead session's in the
		// instant between its making and its locking.
		if locked && s.holdsFile() {
			return s, os.WriteFile(s.file(wakeSuffix), []byte{0}, 0o600)
		}
		if err := s.lock.Unlock(); err != nil {
			return nil, err
		}
	}
}

func (s *session) file(suffix string) string { return filepath.Join(s.dir, s.id+suffix) }

// holdsFile reports whether the locked file is the one that others find by name.
func (s *session) holdsFile() bool {
	held, err1 := s.lock.Stat()
	found, err2 := os.Stat(s.lock.Path())
	return err1 == nil && err2 == nil && os.SameFile(held, found)
}

// end removes the session's files and lets the lock go.
func (s *session) end() error {
	return errors.Join(remove(s.file(wakeSuffix)), remove(s.file(lockSuffix)), s.lock.Unlock())
}

// alive reports whether another session is. Looking takes a shared lock, so that
// those who look do not take each other for the session.
func (s *session) alive(id string) (bool, error) {
	if id == s.id {
		return true, nil
	}
	lock := flock.New(filepath.Join(s.dir, id+lockSuffix), flock.SetFlag(os.O_RDONLY))
	free, err := lock.TryRLock()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return !free, lock.Unlock()
}

// sweep removes what dead sessions left in the folder.
func (s *session) sweep() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		name := entry.Name()
		id, isLock := strings.CutSuffix(name, lockSuffix)
		if !isLock {
			// The lock goes last, so a wake file without one is a leftover.
			id, isWake := strings.CutSuffix(name, wakeSuffix)
			if _, err := os.Stat(filepath.Join(s.dir, id+lockSuffix)); isWake && errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, remove(filepath.Join(s.dir, name)))
			}
			continue
		}
		if id == s.id {
			continue
		}
		lock := flock.New(filepath.Join(s.dir, name), flock.SetFlag(os.O_RDONLY))
		free, err := lock.TryRLock()
		if err != nil || !free {
			continue
		}
		// Removed while it is held: a session that is just starting under this name
		// cannot lock it now, and takes another.
		errs = append(errs, remove(filepath.Join(s.dir, id+wakeSuffix)), remove(lock.Path()), lock.Unlock())
	}
	return errors.Join(errs...)
}

// remove is os.Remove that does not mind a file that is gone.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
