package postgres

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// fault turns an error met while doing something into one that people can act on.
// It goes by codes, never by text. ctx is the caller's.
func (s *Store) fault(ctx context.Context, doing string, err error) error {
	var known *heddle.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	if s.closing.Err() != nil {
		return heddle.Errorf(heddle.CodeStore, "%s: %s is closed", doing, s.where)
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return serverFault(doing, s.where, pg.Code, err)
	}
	if cause := context.Cause(ctx); cause != nil {
		return heddle.Errorf(heddle.CodeStore, "%s: %s: %w", doing, s.where, cause)
	}
	if disconnected(err) {
		return heddle.Errorf(heddle.CodeStore, "%s: %s does not answer: see whether its server is up and can be reached; work goes on by itself when it is: %w",
			doing, s.where, store.Temporary(err))
	}
	return heddle.Errorf(heddle.CodeStore, "%s: %s: %w", doing, s.where, err)
}

// disconnected reports whether an error is of the way to the server.
func disconnected(err error) bool {
	var network net.Error
	var connect *pgconn.ConnectError
	return errors.As(err, &network) || errors.As(err, &connect) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, context.DeadlineExceeded) || pgconn.SafeToRetry(err)
}

// advice is what to do about an error of the server.
type advice struct {
	text      string
	temporary bool
}

// serverFault answers an error by its SQLSTATE.
func serverFault(doing, where, code string, err error) error {
	a := adviceFor(code)
	if a.temporary {
		err = store.Temporary(err)
	}
	if a.text == "" {
		return heddle.Errorf(heddle.CodeStore, "%s: %s: %w", doing, where, err)
	}
	return heddle.Errorf(heddle.CodeStore, "%s: %s %s: %w", doing, where, a.text, err)
}

// adviceFor knows the SQLSTATEs that PostgreSQL documents in its appendix "Error
// Codes": five characters, of which the first two are the class.
func adviceFor(code string) advice {
	switch code {
	case "53100":
		return advice{"has no space left: free some on the server's disk, and work goes on by itself", true}
	case "53300":
		return advice{"takes no more connections: raise max_connections or the limit of the role or database, or lower pool_max_conns in the URL of each server", true}
	case "25006":
		return advice{"does not accept writes: it is a standby or has been made read-only; name the primary in the URL, or make it writable", true}
	case "3D000":
		return advice{"does not exist: create it with createdb, or correct the URL", false}
	case "42501":
		return advice{"denies something to this user: make the user the owner of the database, or grant it CREATE and USAGE on the schema", false}
	case "42P01", "3F000":
		return advice{"has lost tables or their schema: restore a backup, or restart for new, empty ones", false}
	case "42P07":
		return advice{"has a table of another program under a name that is needed: use a database, or with search_path a schema, of its own", false}
	case "40001", "40P01", "55P03":
		return advice{"", true} // others were in the way
	case "57014":
		return advice{"took too long over it", true}
	case "XX001", "XX002":
		return advice{"is corrupt: stop, keep a copy of its files, and restore a backup", false}
	}
	switch code[:min(2, len(code))] {
	case "08", "57":
		return advice{"is shutting down, starting or cut off; work goes on by itself when it is back", true}
	case "28":
		return advice{"refuses this user: check user and password in the URL, and the server's pg_hba.conf", false}
	case "53":
		return advice{"is short of resources", true}
	case "58":
		return advice{"is on a disk that fails: look at the server's log", false}
	}
	return advice{}
}
