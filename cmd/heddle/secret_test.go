package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

const (
	fileSecret = "open-sesame-of-a-file"
	envSecret  = "open-sesame-of-the-environment"
	noSecret   = "told-on-the-command-line"
)

// talkative prints its secrets in all ways that it has.
const talkative = `kind: Pipeline
jobs:
  say:
    image: busybox:1.36
    env: &both {FILE: {fromFile: token}, ENV: {fromEnv: HEDDLE_TEST_SECRET}}
    run: |
      echo "to standard output: $FILE $ENV $PLAIN"
      echo "to standard error: $FILE $ENV" >&2
      echo "KOG:{\"printed\": \"$FILE\", \"other\": 1}"
      echo "written=$ENV" >> "$HEDDLE_OUTPUT"
  use:
    image: busybox:1.36
    env: {WRITTEN: {fromOutput: say.written}, PRINTED: {fromOutput: say.printed}}
    run: |
      set -e
      test "$WRITTEN" = '***'
      test "$PRINTED" = '***'
    dependsOn: [{job: say}]
  malformed:
    image: busybox:1.36
    env: *both
    run: echo "$FILE is no output" > "$HEDDLE_OUTPUT"
    tolerate: true
`

// reporting is a job file whose program tells its secret in its result.
const reporting = `name: reporting
actions:
  a:
    image: busybox:1.36
    env: {FILE: {fromFile: token}}
    command: |
      echo "KOG:{\"result\": \"success\", \"message\": \"it is $FILE\", \"context\": {\"token\": \"$FILE\"}}"
workflows: {run: {start: {action: a}}}
`

// TestSecretsStaySecret runs programs that tell their secrets, and looks for those in
// all that is kept and shown. What is no secret must be found there.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the programs need a POSIX shell")
	}
	for name, tc := range map[string]struct{ executor, server string }{
		"processes, SQLite":     {executor: "process"},
		"processes, PostgreSQL": {executor: "process", server: "HEDDLE_TEST_POSTGRES_URL"},
		"containers, SQLite":    {executor: "docker", server: "HEDDLE_TEST_DOCKER_HOST"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.server != "" && os.Getenv(tc.server) == "" {
				t.Skip(tc.server + " is not set")
			}
			dir, data := t.TempDir(), dataDir(t)
			for file, text := range map[string]string{"p.yaml": talkative, "j.yaml": reporting, "token": fileSecret + "\n"} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			env := "HEDDLE_TEST_SECRET=" + envSecret + " "
			var rows func() []byte
			if tc.server == "HEDDLE_TEST_POSTGRES_URL" {
				var dbURL string
				dbURL, rows = postgresSchema(t, os.Getenv(tc.server))
				env += "HEDDLE_DB_URL='" + dbURL + "' "
			}
			var shown bytes.Buffer
			for _, command := range []string{
				"heddle plan -f p.yaml --executor " + tc.executor,
				"heddle graph -f p.yaml",
				"heddle run -f p.yaml --env PLAIN=" + noSecret + " --executor " + tc.executor,
				"heddle run -f j.yaml --executor " + tc.executor,
				"for id in $(heddle runs list -o json | tr -d ' ,\"' | sed -n 's/^id://p'); do heddle runs show $id -o json; heddle runs logs $id; done",
			} {
				stdout, stderr, exit := shell(t, dir, data, "export "+env+"; "+command)
				if exit != 0 {
					t.Errorf("%s: exit code %d\n%s%s", command, exit, stdout, stderr)
				}
				shown.Write(stdout)
				shown.Write(stderr)
			}
			kept := files(t, data)
			if rows != nil {
				kept = append(kept, rows()...)
			}
			for where, text := range map[string][]byte{"shown": shown.Bytes(), "kept": kept} {
				for _, secret := range []string{fileSecret, envSecret} {
					if at := bytes.Index(text, []byte(secret)); at >= 0 {
						t.Errorf("a secret is %s: %q", where, text[max(0, at-300):min(len(text), at+100)])
					}
					if bytes.Contains(text, []byte(hex.EncodeToString([]byte(secret)))) {
						t.Errorf("a secret is %s in hexadecimal", where)
					}
				}
				if !bytes.Contains(text, []byte(noSecret)) || !bytes.Contains(text, []byte("to standard error: *** ***")) {
					t.Errorf("what is no secret is not %s:\n%s", where, text)
				}
			}
			if !strings.Contains(shown.String(), `line 1 of the file is not name=value: \"*** is no output\"`) {
				t.Errorf("the malformed output is not told:\n%s", shown.String())
			}
		})
	}
}

// files returns the content of all files below a folder, one after the other.
func files(t *testing.T, dir string) (all []byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !entry.Type().IsRegular() {
			return nil // the supervisor may end meanwhile
		}
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		all = append(all, text...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// postgresSchema makes a schema for a test, and returns its URL and a function that
// reads every row in it.
func postgresSchema(t *testing.T, server string) (dbURL string, rows func() []byte) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatal(err)
	}
	schema := "secrets_" + strings.ToLower(rand.Text())
	if _, err := conn.Exec(ctx, "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := conn.Exec(ctx, "DROP SCHEMA "+schema+" CASCADE"); err != nil {
			t.Error(err)
		}
		_ = conn.Close(ctx)
	})
	return server + "&search_path=" + schema, func() (all []byte) {
		texts := func(query string, args ...any) []string {
			found, err := conn.Query(ctx, query, args...)
			if err != nil {
				t.Fatal(err)
			}
			list, err := pgx.CollectRows(found, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		for _, table := range texts("SELECT tablename::text FROM pg_tables WHERE schemaname = $1", schema) {
			for _, row := range texts("SELECT to_jsonb(t)::text FROM " + schema + "." + table + " t") {
				all = append(all, row+"\n"...)
			}
		}
		return all
	}
}
