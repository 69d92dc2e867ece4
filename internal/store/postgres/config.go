package postgres

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/heddle/heddle"
)

const (
	maxConns       = 8               // of the pool, unless the URL says otherwise
	connectTimeout = 5 * time.Second // unless the URL says otherwise
	pingTimeout    = 2 * time.Second // for a connection that has been idle
	minVersion     = 130000          // of the server, as in server_version_num
	urlForm        = "postgres://user:password@host:5432/database"
)

// parseURL reads the URL of a database. Its errors hold nothing of the URL, which
// may have the password anywhere when it is malformed.
func parseURL(text string) (*pgxpool.Config, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, heddle.Errorf(heddle.CodeInvalid, "the database URL is not of the form %s", urlForm)
	}
	// A /, ? or # of a password that is not escaped ends up in other parts.
	if strings.Contains(u.EscapedPath(), "@") || u.Fragment != "" || u.User == nil && strings.Contains(text, "@") {
		return nil, heddle.Errorf(heddle.CodeInvalid,
			"the database URL is not of the form %s: in the password, write %%40 for @, %%2F for /, %%3F for ? and %%23 for #", urlForm)
	}
	config, err := pgxpool.ParseConfig(text)
	if err != nil {
		// The text of the error itself quotes the URL; that of its cause does not.
		detail := "unknown or malformed parameters"
		var quoting *url.Error
		if cause := errors.Unwrap(err); cause != nil && !errors.As(err, &quoting) {
			detail = cause.Error()
		}
		return nil, heddle.Errorf(heddle.CodeInvalid, "the database URL is not usable: %s", detail)
	}
	if !u.Query().Has("pool_max_conns") {
		config.MaxConns = maxConns
	}
	config.PingTimeout = pingTimeout
	conn := config.ConnConfig
	if !u.Query().Has("connect_timeout") {
		conn.ConnectTimeout = connectTimeout
	}
	for name, value := range map[string]string{
		"application_name": "heddle",
		// Below patience: it is the server that says what took too long.
		"statement_timeout":                   "10s",
		"idle_in_transaction_session_timeout": "30s",
		"default_transaction_isolation":       "read committed",
		// Compiling the committing statement takes several times longer than doing it.
		"jit": "off",
		// Plans are kept, and one that was made while the tables were empty would go
		// on reading them whole until the server has looked at their size again.
		"enable_seqscan": "off",
	} {
		if _, given := conn.RuntimeParams[name]; !given {
			conn.RuntimeParams[name] = value
		}
	}
	config.AfterConnect = durable
	return config, nil
}

// durable sees to it that a commit that is answered is on disk, also where the
// server, the database or the role has been told not to care.
func durable(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`)
	return err
}

// place names a database for people, without user and password.
func place(config *pgx.ConnConfig) string {
	host := net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
	if strings.HasPrefix(config.Host, "/") {
		host = config.Host
	}
	return "database " + config.Database + " at " + host
}

// checkServer refuses servers that cannot hold the data.
func checkServer(ctx context.Context, conn *pgx.Conn, where string, log *slog.Logger) error {
	var version int
	var schema *string
	var encoding, fsync string
	if err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_schema(),
		current_setting('server_encoding'), current_setting('fsync')`).Scan(&version, &schema, &encoding, &fsync); err != nil {
		return err
	}
	switch {
	case version < minVersion:
		return heddle.Errorf(heddle.CodeStore, "%s is on PostgreSQL %d, and at least %d is needed: upgrade the server", where, version/10000, minVersion/10000)
	case encoding != "UTF8":
		return heddle.Errorf(heddle.CodeStore, "%s has the encoding %s, and UTF8 is needed: make another with createdb --encoding UTF8 --template template0", where, encoding)
	case schema == nil:
		return heddle.Errorf(heddle.CodeStore, "%s has none of the schemas of search_path: create one of them", where)
	}
	if fsync == "off" {
		log.Warn("the database server runs with fsync off: when its machine fails, accepted runs may be lost", "database", where)
	}
	return nil
}
