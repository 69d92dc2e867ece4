// Package sqlite keeps runs in an SQLite database in a data directory. Several
// processes may have it open at once; each is a session that owns the runs it
// advances for as long as it holds its lock file.
//
// The directory holds heddle.db (with SQLite's own files beside it) and the folder
// engines, with two files per session: <session>.lock, whose lock tells that the
// session lives, and <session>.wake, which others write to when they have left a
// request for it.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// Options says what to open.
type Options struct {
	// Dir is the data directory; it is made when it does not exist.
	Dir string
	// Log gets what goes wrong behind the scenes. Nil: nothing is logged.
	Log *slog.Logger
}

// Store implements [store.Store], [store.History] and [store.Outbox].
type Store struct {
	path  string // of the database
	log   *slog.Logger
	read  *sql.DB
	flows *store.FlowCache
	reads readStatements

	session *session
	wake    *wakeWatch

	mu     sync.Mutex // held by whoever writes
	write  *sql.DB
	conn   *sql.Conn // the only one that writes
	writes writeStatements
	closed bool
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.History = (*Store)(nil)
	_ store.Outbox  = (*Store)(nil)
	_ store.Turns   = (*Store)(nil)
	_ heddle.Pools  = (*Store)(nil)
)

// readers bounds the connections that read at once.
const readers = 4

// Open opens the database in a data directory, makes or migrates it where needed,
// and starts a session. Errors are of [heddle.CodeStore]; a database of a newer
// schema version is refused before anything is written.
func Open(ctx context.Context, o Options) (*Store, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fault("finding the data directory", o.Dir, err)
	}
	s := &Store{path: filepath.Join(dir, "heddle.db"), log: o.Log, flows: store.NewFlowCache()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	engines := filepath.Join(dir, "engines")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault("making the data directory", dir, err)
	}
	needed, err := checkVersion(ctx, s.path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(engines, 0o700); err != nil {
		return nil, fault("making the data directory", engines, err)
	}
	if err := s.connect(ctx, needed); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if s.session, err = newSession(engines); err != nil {
		return nil, errors.Join(fault("starting a session", engines, err), s.Close())
	}
	s.wake = watchWakes(s.log, s.session, store.NewWaker(s.log, s.news))
	return s, nil
}

// connect opens the connections and prepares the statements.
func (s *Store) connect(ctx context.Context, needed bool) error {
	query := url.Values{"_busy_timeout": {"5000"}, "_foreign_keys": {"1"}, "_txlock": {"immediate"},
		"_journal_mode": {"WAL"}, "_synchronous": {"FULL"}, "_error_rc": {"1"}}
	if err := create(s.path); err != nil {
		return fault("opening", s.path, err)
	}
	var err error
	if s.write, err = sql.Open("sqlite", dsn(s.path, query)); err != nil {
		return fault("opening", s.path, err)
	}
	s.write.SetMaxOpenConns(1)
	if needed {
		if err := migrate(ctx, s.path, s.write); err != nil {
			return err
		}
	}
	if s.conn, err = s.write.Conn(ctx); err != nil {
		return fault("opening", s.path, err)
	}
	if err := s.writes.prepare(ctx, s.conn); err != nil {
		return fault("opening", s.path, err)
	}
	query = url.Values{"_busy_timeout": {"5000"}, "_foreign_keys": {"1"}, "_query_only": {"1"}, "_error_rc": {"1"}}
	if s.read, err = sql.Open("sqlite", dsn(s.path, query)); err != nil {
		return fault("opening", s.path, err)
	}
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	if err := s.reads.prepare(ctx, s.read); err != nil {
		return fault("opening", s.path, err)
	}
	return nil
}

// create makes the file, which holds what users put into their documents, for this
// user only; SQLite gives the files beside it the same mode. A file that is there is
// not opened: closing it again would end the locks that this process may have on it.
func create(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return file.Close()
}

// Session names this session, as it stands in the owner column.
func (s *Store) Session() string { return s.session.id }

// Wake delivers the IDs of runs of this session that were sent a request to cancel.
func (s *Store) Wake() <-chan heddle.RunID { return s.wake.waker.Cancels() }

// Close ends the session: its runs are orphans until somebody claims them. It may
// be called twice.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.wake != nil {
		s.wake.stop()
	}
	// Statements go first: SQLite keeps a connection with any of them half open.
	errs := []error{closeAll(s.writes.all), closeAll(s.reads.all)}
	if s.read != nil {
		errs = append(errs, s.read.Close())
	}
	if s.conn != nil {
		errs = append(errs, s.conn.Close())
	}
	if s.write != nil {
		errs = append(errs, s.write.Close())
	}
	// Last: as long as something may be written, others must see the session alive.
	if s.session != nil {
		errs = append(errs, s.session.end())
	}
	return fault("closing", s.path, errors.Join(errs...))
}

func closeAll(statements []*sql.Stmt) error {
	var errs []error
	for _, stmt := range statements {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(errs...)
}

// tx does something in one transaction on the writing connection. Statements run
// without the caller's cancellation, which the driver would watch with a goroutine
// for each of them; a transaction is short.
func (s *Store) tx(ctx context.Context, doing string, do func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return fault(doing, s.path, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return heddle.Errorf(heddle.CodeStore, "%s: %s is closed", doing, s.path)
	}
	ctx = context.WithoutCancel(ctx)
	if _, err := s.writes.begin.ExecContext(ctx); err != nil {
		return fault(doing, s.path, err)
	}
	err := do(ctx)
	if err == nil {
		_, err = s.writes.commit.ExecContext(ctx)
	}
	if err != nil {
		// SQLite has rolled back by itself after some faults; then this fails, and
		// nothing is open either way.
		_, _ = s.writes.rollback.ExecContext(ctx)
		return fault(doing, s.path, err)
	}
	return nil
}
