package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/heddle/heddle"
)

// shared is output that is read while it is written.
type shared struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// call runs a command with a real store and returns what it wrote and its exit code.
func call(ctx context.Context, dir string, env []string, out, errs io.Writer, args ...string) int {
	return Main(ctx, args, Streams{In: strings.NewReader(""), Out: out, Err: errs, Dir: dir,
		Environ: append([]string{"HOME=" + dir, "HEDDLE_DATA_DIR=" + filepath.Join(dir, "d")}, env...)}, BuildInfo{Version: "1.2.3"})
}

// serve starts a server and returns its address, and what ends it and returns its exit code.
func serve(t *testing.T, dir string, errs *shared, args ...string) (address string, end func() int) {
	t.Helper()
	ctx, interrupt := context.WithCancelCause(t.Context())
	code := make(chan int, 1)
	go func() {
		code <- call(ctx, dir, nil, io.Discard, errs, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	}()
	end = sync.OnceValue(func() int {
		interrupt(errors.New("interrupted"))
		return <-code
	})
	t.Cleanup(func() { end() })
	return waitForAddress(t, errs), end
}

func waitForAddress(t *testing.T, errs *shared) string {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if found := regexp.MustCompile(`msg=listening address=(\S+)`).FindStringSubmatch(errs.String()); found != nil {
			return found[1]
		}
	}
	t.Fatalf("the server does not listen: %s", errs)
	return ""
}

func get(t *testing.T, url, key string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Rego-Api-Key", key)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

func TestServeUntilInterrupted(t *testing.T) {
	t.Parallel()
	dir, errs := t.TempDir(), new(shared)
	address, end := serve(t, dir, errs)
	if !strings.Contains(errs.String(), "no key was made yet") {
		t.Errorf("nothing warns that everybody is let in: %s", errs)
	}
	if code := get(t, "http://"+address+"/api/v2/runs", ""); code != http.StatusOK {
		t.Errorf("without a key: status %d", code)
	}
	// A key that another process makes while the server runs ends that.
	var out, told strings.Builder
	if code := call(t.Context(), dir, nil, &out, &told, "keys", "create", "--organization", "team", "--expires", "90d"); code != exitOK {
		t.Fatalf("exit code %d: %s", code, told.String())
	}
	secret := strings.TrimSpace(out.String())
	waitForRefusal(t, "http://"+address+"/api/v2/runs")
	if code := get(t, "http://"+address+"/api/v2/runs", secret); code != http.StatusOK {
		t.Errorf("with the key: status %d", code)
	}
	if code := end(); code != exitOK {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if log := errs.String(); !strings.Contains(log, "stopping: no more requests are taken") || !strings.Contains(log, "taken up by the next server") || strings.Contains(log, secret) {
		t.Errorf("the log: %s", log)
	}
}

func waitForRefusal(t *testing.T, url string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); get(t, url, "") != http.StatusUnauthorized; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("requests without a key are still let in")
		}
	}
}

func TestServeNeedsAKeyForOthers(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("a-secret-of-the-chart\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args, env []string
		dotenv    string
		want      []string
	}{
		"no key on another address": {args: []string{"--listen", "0.0.0.0:0"}, want: []string{"heddle keys create", "HEDDLE_KEY", "--key-file"}},
		"a short key":               {env: []string{"HEDDLE_KEY=test"}, want: []string{"at least 16 characters"}},
		"a file that is not there":  {args: []string{"--key-file", "missing"}, want: []string{"--key-file: open missing"}},
		"every fault at once": {args: []string{"--listen", "x", "--on-stop", "kill", "--executor", "vm"}, env: []string{"DB_DRIVER=mysql", "HEDDLE_LOG_LEVEL=loud"},
			want: []string{"--listen", "--on-stop", "--executor", "MySQL", "--log-level"}},
		"a fault in .env": {dotenv: "DB_DRIVER=mysql\n", want: []string{"MySQL"}},
		"a certificate that is none": {args: []string{"--listen", "127.0.0.1:0", "--tls-cert", file, "--tls-key", file},
			want: []string{"--tls-cert"}},
		"secrets that are not there": {args: []string{"--listen", "127.0.0.1:0", "--secrets-dir", "missing"}, want: []string{"--secrets-dir (or HEDDLE_SECRETS_DIR)", "missing"}},
		"neither yes nor no":         {env: []string{"HEDDLE_ALLOW_HOST_VOLUMES=perhaps"}, want: []string{`HEDDLE_ALLOW_HOST_VOLUMES: "perhaps"`}},
		"an address of others":       {args: []string{"--listen", "192.0.2.1:1", "--key-file", file}, want: []string{"--listen (or HEDDLE_LISTEN)"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, errs := t.TempDir(), new(shared)
			if tc.dotenv != "" {
				if err := os.WriteFile(filepath.Join(dir, ".env"), []byte(tc.dotenv), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			code := call(t.Context(), dir, tc.env, io.Discard, errs, append([]string{"serve"}, tc.args...)...)
			if code != exitTrouble {
				t.Errorf("exit code %d", code)
			}
			for _, want := range tc.want {
				if !strings.Contains(errs.String(), want) {
					t.Errorf("%q is not told: %s", want, errs)
				}
			}
		})
	}
}

func TestKeysAreListedRotatedAndRevoked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run := func(want int, args ...string) string {
		t.Helper()
		var out, errs strings.Builder
		if code := call(t.Context(), dir, nil, &out, &errs, append([]string{"keys"}, args...)...); code != want {
			t.Fatalf("%v: exit code %d, want %d: %s", args, code, want, errs.String())
		}
		return out.String()
	}
	var made, rotated madeKey
	if err := json.Unmarshal([]byte(run(exitOK, "create", "--role", "admin", "--name", "ci", "-o", "json")), &made); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(run(exitOK, "rotate", made.Key.ID, "--grace", "0", "-o", "json")), &rotated); err != nil {
		t.Fatal(err)
	}
	run(exitOK, "revoke", rotated.Key.ID)
	list := run(exitOK, "list")
	if strings.Count(list, "revoked") != 2 || strings.Contains(list, made.Secret) || made.Secret == rotated.Secret || !strings.Contains(list, made.Key.Hint) {
		t.Errorf("the list is\n%s", list)
	}
	var keys []heddle.Key
	if err := json.Unmarshal([]byte(run(exitOK, "list", "--organization", "none", "-o", "json")), &keys); err != nil || len(keys) != 0 {
		t.Errorf("keys of another organization: %v, error %v", keys, err)
	}
	run(exitTrouble, "revoke", "nope")
	run(exitTrouble, "rotate")
	run(exitTrouble, "create", "--role", "owner")
	run(exitTrouble, "create", "--expires", "soon")
}

func TestConfigPrintHidesSecrets(t *testing.T) {
	t.Parallel()
	var out, errs strings.Builder
	env := []string{"HEDDLE_DB_URL=postgres://u:pass1@h/d?password=pass2", "HEDDLE_KEY=pass3-pass3-pass3-pass3", "SERVER_PORT=8123"}
	if code := call(t.Context(), t.TempDir(), env, &out, &errs, "config", "print"); code != exitOK {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	if text := out.String(); strings.Contains(text, "pass1") || strings.Contains(text, "pass2") || strings.Contains(text, "pass3") ||
		!strings.Contains(text, "127.0.0.1:8123") || !strings.Contains(text, "postgres://u:xxxxx@h/d") {
		t.Errorf("printed\n%s", text)
	}
	for _, want := range []string{`HEDDLE_KUBE_QPS +50\n`, `HEDDLE_KUBE_PATIENCE +60s\n`, `HEDDLE_SECRETS_DIR +-\n`, `HEDDLE_ALLOW_HOST_VOLUMES +false\n`} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("nothing like %q in\n%s", want, out.String())
		}
	}
}
