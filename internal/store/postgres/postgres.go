// Package postgres keeps runs in a PostgreSQL database, version 13 or newer, that
// several servers may share. Each open store is a session: a row in the table
// sessions that says, by the database's clock, how long the session lives unless
// it says so again. Runs whose owner has no such row any more may be claimed.
//
// What keeps an old owner from writing is not its lease but the epoch of each run:
// every write demands the owner and the epoch that it knows, and a claim changes
// both in the same row. So a session that was cut off, or paused, for longer than
// its lease needs no clock of its own to know that it is fenced: of the runs that
// somebody has claimed its next write is refused, and of the others it still is
// the owner and goes on, with its lease renewed under the same name.
//
// Next to the pool of connections a session keeps one for its lease and for LISTEN,
// so a pooler in between has to pool by session, not by transaction.
package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// Options says what to open.
type Options struct {
	// URL names the database: postgres://user:password@host:port/database, with
	// the parameters of libpq and of pgxpool (such as pool_max_conns, default 8) in
	// its query. The tables are in the first schema of search_path.
	URL string
	// Log gets what goes wrong behind the scenes. Nil: nothing is logged.
	Log *slog.Logger
}

// Store implements [store.Store], [store.History], [store.Outbox] and [store.Pruner].
type Store struct {
	where     string // the database, for messages
	log       *slog.Logger
	session   string
	pool      *pgxpool.Pool
	flows     *flowCache
	lease     *keeper
	wake      *store.Waker
	applyText string

	closing context.Context // done when Close is called
	close   context.CancelFunc
	once    sync.Once
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.History = (*Store)(nil)
	_ store.Outbox  = (*Store)(nil)
	_ store.Turns   = (*Store)(nil)
	_ heddle.Pools  = (*Store)(nil)
)

// patience bounds a call to the store, so that a server that has vanished without a
// word is a temporary fault and not a wait without end.
const patience = 15 * time.Second

// Open connects to a database, makes or migrates its tables where needed, and
// starts a session. Errors are of [heddle.CodeStore], or of [heddle.CodeInvalid]
// for a URL that cannot be understood; a database of a newer schema version is
// refused before anything is written.
func Open(ctx context.Context, o Options) (*Store, error) {
	config, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	s := &Store{where: place(config.ConnConfig), log: o.Log, session: strings.ToLower(rand.Text()[:20]),
		flows: newFlowCache(), applyText: applyStatement()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.closing, s.close = context.WithCancel(context.Background())
	opening, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.prepare(ctx, opening, config.ConnConfig); err != nil {
		s.close()
		return nil, err
	}
	s.lease = newKeeper(config.ConnConfig, s.session, s.log)
	if err := s.lease.connect(opening); err != nil {
		s.close()
		return nil, s.fault(ctx, "starting a session", err)
	}
	if s.pool, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), config); err != nil {
		s.close()
		s.lease.end()
		return nil, s.fault(ctx, "connecting", err)
	}
	s.wake = store.NewWaker(s.log, s.news)
	s.lease.start(s.wake.Kick)
	return s, nil
}

// Identity tells the attempts of this store from those of others on the same
// executor: sixteen hexadecimal digits, made up with the tables.
func (s *Store) Identity(ctx context.Context) (id string, err error) {
	if err := s.pool.QueryRow(ctx, `SELECT identity FROM store`).Scan(&id); err != nil {
		return "", s.fault(ctx, "reading the identity of the store", err)
	}
	return id, nil
}

// prepare looks at the server and the version of the tables, and migrates these.
func (s *Store) prepare(ctx, opening context.Context, config *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(opening, config)
	if err != nil {
		return s.fault(ctx, "connecting", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := checkServer(opening, conn, s.where, s.log); err != nil {
		return s.fault(ctx, "looking at the server", err)
	}
	needed, err := checkVersion(opening, conn, s.where)
	if err != nil {
		return s.fault(ctx, "reading the schema version", err)
	}
	if !needed {
		return nil
	}
	return s.fault(ctx, "migrating", migrate(ctx, config, s.where))
}

// Session names this session, as it stands in the owner column.
func (s *Store) Session() string { return s.session }

// Wake delivers the IDs of runs of this session that were sent a request to cancel.
func (s *Store) Wake() <-chan heddle.RunID { return s.wake.Cancels() }

// Close ends the session: its runs are orphans until somebody claims them. It may
// be called twice. When the database cannot be reached the session ends with its
// lease, a few seconds later.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.close()
		s.wake.Stop()
		s.pool.Close()
		// Last: as long as something may be written, others must see the session alive.
		s.lease.end()
	})
	return nil
}

// call does something with the database within the bounds of ctx, of patience and
// of the store being open.
func (s *Store) call(ctx context.Context, doing string, do func(ctx context.Context) error) error {
	if err := context.Cause(ctx); err != nil {
		return s.fault(ctx, doing, err)
	}
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)()
	return s.fault(ctx, doing, do(bounded))
}

// rows does a query and hands each row to scan.
func (s *Store) rows(ctx context.Context, scan func(row pgx.Row) error, text string, args ...any) error {
	rows, err := s.pool.Query(ctx, text, args...)
	if err != nil {
		return err
	}
	return each(rows, scan)
}

// each hands each row to scan.
func each(rows pgx.Rows, scan func(row pgx.Row) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// ids reads a query's only column as IDs of runs.
func (s *Store) ids(ctx context.Context, text string, args ...any) ([]heddle.RunID, error) {
	rows, err := s.pool.Query(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[heddle.RunID])
}

// notFound is the error for a run that does not exist.
func notFound(id heddle.RunID) error {
	return heddle.Errorf(heddle.CodeNotFound, "there is no run %q", id)
}

// noRows reports whether a query for a single row found none.
func noRows(err error) bool { return errors.Is(err, pgx.ErrNoRows) }
