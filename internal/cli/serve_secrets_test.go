package cli

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryRouteKeepsTheServersSecrets sends documents that ask for what is the
// server's to each route that takes any with variables; rego's task definitions have none.
func TestEveryRouteKeepsTheServersSecrets(t *testing.T) {
	t.Parallel()
	dir, errs := t.TempDir(), new(shared)
	if err := os.Mkdir(filepath.Join(dir, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".env"), []byte("HEDDLE_SECRET_GIVEN=yes\nHEDDLE_SECRETS_DIR=secrets\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address, _ := serve(t, dir, errs, "--executor", "process")
	job := func(source string) string {
		return `"jobs":{"a":{"image":"i","run":"true","env":{"X":` + source + `}}}`
	}
	for name, tc := range map[string]struct {
		path, body string
		want       int
		told       string
	}{
		"own, a file":        {path: "/api/v2/runs", body: `{"document":{"kind":"Pipeline",` + job(`{"fromFile":"/etc/passwd"}`) + `}}`, want: 400, told: "below " + filepath.Join(dir, "secrets")},
		"own, a variable":    {path: "/api/v2/runs", body: `{"document":{"kind":"Pipeline",` + job(`{"fromEnv":"HOME"}`) + `}}`, want: 400, told: "HEDDLE_SECRET_HOME"},
		"own, one for runs":  {path: "/api/v2/runs", body: `{"document":{"kind":"Pipeline",` + job(`{"fromEnv":"HEDDLE_SECRET_GIVEN"}`) + `}}`, want: 202, told: `"run"`},
		"chainr, a file":     {path: "/api/runs", body: `{"kind":"Pipeline",` + job(`{"fromFile":"/etc/passwd"}`) + `}`, want: 400, told: "is not for runs"},
		"chainr, a variable": {path: "/api/runs", body: `{"kind":"Pipeline",` + job(`{"fromEnv":"HOME"}`) + `}`, want: 400, told: "is not for runs"},
	} {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+address+tc.path, strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != tc.want || !strings.Contains(string(data), tc.told) {
			t.Errorf("%s: %d %s, want %d with %q", name, answer.StatusCode, data, tc.want, tc.told)
		}
	}
}
