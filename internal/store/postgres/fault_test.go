package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
	"github.com/heddle/heddle/internal/store/storetest"
)

// wantFault fails the test unless err is of the store and says what to do.
func wantFault(t *testing.T, err error, advice string) {
	t.Helper()
	if heddle.CodeOf(err) != heddle.CodeStore {
		t.Fatalf("got %v with code %q, want code %q", err, heddle.CodeOf(err), heddle.CodeStore)
	}
	if !strings.Contains(err.Error(), advice) {
		t.Fatalf("%q does not contain %q", err, advice)
	}
}

func TestNewerSchemaIsRefusedUntouched(t *testing.T) {
	t.Parallel()
	where := schema(t, "")
	if err := open(t, where).Close(); err != nil {
		t.Fatal(err)
	}
	execute(t, where, `INSERT INTO heddle_schema_version (version_id, is_applied) VALUES (999, true)`,
		// Whatever is written from now on fails otherwise.
		`DROP TABLE sessions`)
	_, err := Open(t.Context(), Options{URL: where})
	wantFault(t, err, "version 999")
}

func TestMigrateTwice(t *testing.T) {
	t.Parallel()
	where := schema(t, "")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s, err := Open(t.Context(), Options{URL: where})
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s := open(t, where)
	var versions int
	if err := s.pool.QueryRow(t.Context(), `SELECT count(*) FROM heddle_schema_version WHERE version_id = $1`, newest).Scan(&versions); err != nil || versions != 1 {
		t.Fatalf("version %d was applied %d times, error %v", newest, versions, err)
	}
	entries, err := migrations.ReadDir("migrations")
	if last := entries[len(entries)-1].Name(); err != nil || !strings.HasPrefix(last, fmt.Sprintf("%04d_", newest)) {
		t.Fatalf("the last migration is %s, error %v; newest says %d", last, err, newest)
	}
}

func TestFaultsOfOpening(t *testing.T) {
	t.Parallel()
	with := func(edit func(u *url.URL)) string {
		u := server(t)
		edit(u)
		return u.String()
	}
	for name, test := range map[string]struct {
		url       string
		advice    string
		temporary bool
	}{
		"a wrong password":   {url: with(func(u *url.URL) { u.User = url.UserPassword("heddle_password", "s3cret") }), advice: "check user and password"},
		"an unknown user":    {url: with(func(u *url.URL) { u.User = url.UserPassword("nobody_here", "s3cret") }), advice: "check user and password"},
		"no such database":   {url: with(func(u *url.URL) { u.Path = "/none_such" }), advice: "does not exist: create it"},
		"nobody listens":     {url: with(func(u *url.URL) { u.Host, u.User = "127.0.0.1:1", url.UserPassword("x", "s3cret") }), advice: "does not answer", temporary: true},
		"no schema":          {url: with(func(u *url.URL) { u.RawQuery += "&search_path=none_such" }), advice: "none of the schemas of search_path"},
		"a schema of others": {url: with(func(u *url.URL) { u.RawQuery += "&search_path=pg_catalog" }), advice: "denies something to this user"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Open(t.Context(), Options{URL: test.url})
			wantFault(t, err, test.advice)
			if errors.Is(err, store.ErrTemporary) != test.temporary {
				t.Errorf("%v: temporary is %v, want %v", err, !test.temporary, test.temporary)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%v holds the password", err)
			}
		})
	}
}

func TestFaultsOfTheDatabase(t *testing.T) {
	t.Parallel()
	const raise = `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = '%'; END $$`
	for name, test := range map[string]struct {
		spoil     []string // % is the database's name
		advice    string
		temporary bool
	}{
		"read-only":            {spoil: []string{`ALTER DATABASE % SET default_transaction_read_only = on`}, advice: "does not accept writes", temporary: true},
		"too many connections": {spoil: []string{`ALTER DATABASE % CONNECTION LIMIT 0`}, advice: "takes no more connections", temporary: true},
		"disk full": {spoil: []string{strings.Replace(raise, "%", "53100", 1), `CREATE TRIGGER fail BEFORE INSERT ON runs EXECUTE FUNCTION fail()`},
			advice: "free some on the server's disk", temporary: true},
		"deadlock": {spoil: []string{strings.Replace(raise, "%", "40P01", 1), `CREATE TRIGGER fail BEFORE INSERT ON runs EXECUTE FUNCTION fail()`},
			advice: "committing", temporary: true},
		"tables removed": {spoil: []string{`DROP TABLE runs CASCADE`}, advice: "has lost tables"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			where, _ := database(t)
			s := open(t, where)
			for _, statement := range test.spoil {
				execute(t, where, strings.ReplaceAll(statement, "%", unique(t, "")))
			}
			s.pool.Reset() // the next connection is a new one
			_, err := s.Apply(t.Context(), []heddle.Change{storetest.Create(t, "r", "r")})
			wantFault(t, err, test.advice)
			if errors.Is(err, store.ErrTemporary) != test.temporary {
				t.Errorf("%v: temporary is %v, want %v", err, !test.temporary, test.temporary)
			}
		})
	}
}

func TestParseURL(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ url, advice string }{
		"another scheme":                  {url: "mysql://u:s3cret@h/d", advice: "not of the form"},
		"words and no URL":                {url: "host=h password=s3cret", advice: "not of the form"},
		"a control character":             {url: "postgres://u:s3cret\x7f@h/d", advice: "not of the form"},
		"a port that is none":             {url: "postgres://u:s3cret#@h:x/d", advice: "of the form"},
		"a slash in the password":         {url: "postgres://u:1/s3cret@h/d", advice: "%2F"},
		"a number sign in the password":   {url: "postgres://u:1#s3cret@h/d", advice: "%23"},
		"a question mark in the password": {url: "postgres://u:1?s3cret@h/d", advice: "%3F"},
		"an unknown sslmode":              {url: "postgres://u:s3cret@h/d?sslmode=perhaps", advice: "sslmode"},
		"a pool of none":                  {url: "postgres://u:s3cret@h/d?pool_max_conns=x", advice: "not usable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Open(t.Context(), Options{URL: test.url})
			if heddle.CodeOf(err) != heddle.CodeInvalid || !strings.Contains(err.Error(), test.advice) {
				t.Fatalf("got %v, want code %s and %q", err, heddle.CodeInvalid, test.advice)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Fatalf("%v holds the password", err)
			}
		})
	}
	config, err := parseURL("postgresql://u:p%40%2F@h:1234/d?pool_max_conns=3&statement_timeout=7s&connect_timeout=9")
	if err != nil {
		t.Fatal(err)
	}
	if got := place(config.ConnConfig); got != "database d at h:1234" {
		t.Errorf("place %q", got)
	}
	if config.MaxConns != 3 || config.ConnConfig.RuntimeParams["statement_timeout"] != "7s" || config.ConnConfig.ConnectTimeout.Seconds() != 9 {
		t.Errorf("what the URL says is overridden: %d, %v, %v", config.MaxConns, config.ConnConfig.RuntimeParams, config.ConnConfig.ConnectTimeout)
	}
}
