package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"

	"github.com/heddle/heddle"
)

//go:embed migrations/*.sql
var migrations embed.FS

// newest is the schema version that this program makes and understands: the
// number of the last file in migrations.
const newest = 12

// dsn names the database file at path to the driver, with query parameters of
// SQLite and of the driver. Pragmas stand here so that they reach every connection.
func dsn(path string, query url.Values) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: query.Encode()}).String()
}

// schemaVersion reads the version of the database at path without changing a
// byte of it; 0 means that there is none yet.
func schemaVersion(ctx context.Context, path string) (int64, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	query := url.Values{"mode": {"ro"}, "_busy_timeout": {"5000"}, "_query_only": {"1"}}
	if missing(path+"-wal") && missing(path+"-shm") {
		// Nobody has it open and nothing is left in its log: SQLite needs neither
		// locks nor the files that it would otherwise make beside it.
		query.Set("immutable", "1")
	}
	db, err := sql.Open("sqlite", dsn(path, query))
	if err != nil {
		return 0, err
	}
	defer db.Close()
	var tables int
	err = db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema WHERE name = 'goose_db_version'`).Scan(&tables)
	if err != nil || tables == 0 {
		return 0, err
	}
	var version int64
	err = db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version`).Scan(&version)
	return version, err
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// checkVersion fails when the database is of a newer version than this program
// knows, and else tells whether it has to be migrated.
func checkVersion(ctx context.Context, path string) (migrate bool, err error) {
	version, err := schemaVersion(ctx, path)
	if err != nil {
		return false, fault("reading the schema version", path, err)
	}
	if version > newest {
		return false, heddle.Errorf(heddle.CodeStore,
			"the database %s has schema version %d and this heddle knows versions up to %d: use the newer heddle that wrote it, or restore a backup; nothing was changed",
			path, version, newest)
	}
	return version < newest, nil
}

// migrate brings the database to the newest version. A file lock keeps it to one
// process at a time; who comes later finds nothing left to do.
func migrate(ctx context.Context, path string, db *sql.DB) error {
	lock := flock.New(path + ".migrate")
	if _, err := lock.TryLockContext(ctx, 10*time.Millisecond); err != nil {
		return fault("locking for the migration", lock.Path(), err)
	}
	defer lock.Unlock()
	if needed, err := checkVersion(ctx, path); err != nil || !needed {
		return err
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return heddle.Errorf(heddle.CodeInternal, "reading the migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fault("migrating", path, err)
	}
	return nil
}
