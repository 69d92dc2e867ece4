package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

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
	store.Keys
	store.NoticeClaimer
	store.Turns
	heddle.Pools
}

// openStore opens the database that the options name, or the one in the data
// directory. The identity tells its attempts from those of other stores.
func openStore(ctx context.Context, o Options) (b backend, identity string, err error) {
	if o.DBURL == "" {
		st, err := sqlite.Open(ctx, sqlite.Options{Dir: o.DataDir, Log: o.Log})
		if err != nil {
			return nil, "", err
		}
		id, err := identityOf(o.DataDir)
		if err != nil {
			return nil, "", errors.Join(err, st.Close())
		}
		return st, id, nil
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
	id, err := st.Identity(ctx)
	if err != nil {
		return nil, "", errors.Join(err, st.Close())
	}
	return st, id, nil
}

// identityOf returns the identity of the store in a data directory, made up when it
// is first asked for: neither a move of the directory nor another name of the
// machine changes it.
func identityOf(dir string) (string, error) {
	path := filepath.Join(dir, "identity")
	for {
		text, err := os.ReadFile(path)
		switch id := strings.TrimSpace(string(text)); {
		case err == nil && id == "":
			return "", heddle.Errorf(heddle.CodeStore, "%s is empty: restore it, or remove it when no container of this store is left", path)
		case err == nil:
			return id, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", heddle.Errorf(heddle.CodeStore, "reading the identity of the store: %w", err)
		}
		// Written beside and linked, so that of two that make one up one wins.
		temp := path + "." + rand.Text()
		if err := os.WriteFile(temp, []byte(newIdentity()+"\n"), 0o600); err != nil {
			return "", heddle.Errorf(heddle.CodeStore, "making up an identity for the store: %w", err)
		}
		err = os.Link(temp, path)
		if err := errors.Join(os.Remove(temp), notExists(err)); err != nil {
			return "", heddle.Errorf(heddle.CodeStore, "making up an identity for the store: %w", err)
		}
	}
}

// notExists drops the error of a link whose target somebody else has made.
func notExists(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// newIdentity makes one up: sixteen hexadecimal digits.
func newIdentity() string {
	var id [8]byte
	_, _ = rand.Read(id[:])
	return hex.EncodeToString(id[:])
}
