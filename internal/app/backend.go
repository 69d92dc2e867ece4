package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"os"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
	"github.com/heddle/heddle/internal/store/postgres"
	"github.com/heddle/heddle/internal/store/sqlite"
)

// backend is all that a store can do.
type backend interface {
	store.Store
	store.History
	store.Outbox
}

// openStore opens the database that the options name, or the one in the data
// directory. The identity tells its attempts from those of other stores.
func openStore(ctx context.Context, o Options) (b backend, identity string, err error) {
	if o.DBURL == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "localhost"
		}
		st, err := sqlite.Open(ctx, sqlite.Options{Dir: o.DataDir, Log: o.Log})
		if err != nil {
			return nil, "", err
		}
		return st, digest(host, o.DataDir), nil
	}
	u, err := url.Parse(o.DBURL)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		// The text is not shown: it may hold a password.
		return nil, "", heddle.Errorf(heddle.CodeInvalid, "the database URL is none of PostgreSQL: it begins with postgres://")
	}
	st, err := postgres.Open(ctx, postgres.Options{URL: o.DBURL, Log: o.Log})
	if err != nil {
		return nil, "", err
	}
	return st, digest(u.Host, u.Path, u.Query().Get("search_path")), nil
}

func digest(parts ...string) string {
	hash := sha256.New()
	for _, part := range parts {
		hash.Write(append([]byte(part), 0))
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}
