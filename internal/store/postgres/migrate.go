package postgres

import (
	"context"
	"embed"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/heddle/heddle"
)

//go:embed migrations/*.sql
var migrations embed.FS

// newest is the schema version that this program makes and understands: the
// number of the last file in migrations.
const newest = 12

// versionTable is not goose's usual one, which another program in the same
// database may have.
const versionTable = "heddle_schema_version"

// checkVersion fails when the tables are of a newer version than this program
// knows, and else tells whether they have to be migrated.
func checkVersion(ctx context.Context, conn *pgx.Conn, where string) (migrate bool, err error) {
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass(quote_ident(current_schema()) || '.`+versionTable+`') IS NOT NULL`).Scan(&exists); err != nil || !exists {
		return true, err
	}
	var version int64
	if err := conn.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM `+versionTable).Scan(&version); err != nil {
		return false, err
	}
	if version > newest {
		return false, heddle.Errorf(heddle.CodeStore,
			"%s has schema version %d and this heddle knows versions up to %d: use the newer heddle that wrote it, or restore a backup; nothing was changed",
			where, version, newest)
	}
	return version < newest, nil
}

// migrate brings the tables to the newest version. An advisory lock keeps it to one
// server at a time; who comes later finds nothing left to do.
func migrate(ctx context.Context, config *pgx.ConnConfig, where string) error {
	config = config.Copy()
	config.RuntimeParams["statement_timeout"] = "0" // a migration may take long, and so may waiting for another's
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) // lets the lock go
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(hashtext('heddle migrations'), hashtext(current_schema()))`); err != nil {
		return err
	}
	if needed, err := checkVersion(ctx, conn, where); err != nil || !needed {
		return err
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*config)
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true), goose.WithTableName(versionTable))
	if err != nil {
		return heddle.Errorf(heddle.CodeInternal, "reading the migrations: %w", err)
	}
	_, err = provider.Up(ctx)
	return err
}
