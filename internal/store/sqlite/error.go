package sqlite

import (
	"errors"
	"io/fs"
	"syscall"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// fault turns an error met while doing something with the file or folder at path
// into one that people can act on. It goes by codes, never by text.
func fault(doing, path string, err error) error {
	var known *heddle.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	var sq *driver.Error
	if errors.As(err, &sq) {
		return sqliteFault(doing, path, sq.Code(), err)
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return full(doing, path, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return readOnly(doing, path, err)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return heddle.Errorf(heddle.CodeStore, "%s: %s stands where a folder is needed: choose another data directory or move it away: %w", doing, path, err)
	}
	return heddle.Errorf(heddle.CodeStore, "%s: %s: %w", doing, path, err)
}

func sqliteFault(doing, path string, code int, err error) error {
	switch code & 0xff {
	case codes.SQLITE_FULL:
		return full(doing, path, err)
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED:
		return heddle.Errorf(heddle.CodeStore, "%s: the database %s is locked by another program: end what holds it, or try again: %w",
			doing, path, store.Temporary(err))
	case codes.SQLITE_CORRUPT:
		return heddle.Errorf(heddle.CodeStore, "%s: the database %s is corrupt: stop heddle, keep a copy, and restore a backup or recover it with sqlite3 .recover: %w",
			doing, path, err)
	case codes.SQLITE_NOTADB:
		return heddle.Errorf(heddle.CodeStore, "%s: %s is not a database: choose another data directory or move the file away: %w", doing, path, err)
	case codes.SQLITE_READONLY, codes.SQLITE_PERM, codes.SQLITE_AUTH, codes.SQLITE_CANTOPEN:
		return readOnly(doing, path, err)
	case codes.SQLITE_IOERR:
		// The memory map beside the log cannot grow: SQLite has no code of its own
		// for a disk that is full at that point.
		if code == codes.SQLITE_IOERR_SHMSIZE {
			return full(doing, path, err)
		}
		return heddle.Errorf(heddle.CodeStore, "%s: the disk that holds %s fails: look at the system's log: %w", doing, path, err)
	}
	return heddle.Errorf(heddle.CodeStore, "%s: %s: %w", doing, path, err)
}

func full(doing, path string, err error) error {
	return heddle.Errorf(heddle.CodeStore, "%s: no space is left for %s: free some on its disk, and work goes on by itself: %w",
		doing, path, store.Temporary(err))
}

func readOnly(doing, path string, err error) error {
	return heddle.Errorf(heddle.CodeStore, "%s: %s cannot be opened for writing: make it and its folder writable for this user, or choose another data directory: %w",
		doing, path, err)
}
