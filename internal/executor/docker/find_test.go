package docker

import (
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/pkg/authconfig"

	"github.com/heddle/heddle"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// contextID names the folder in which docker keeps a context.
func contextID(name string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(name))) }

func TestFind(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		env    map[string]string
		config string
		want   string
		from   string
		fault  string
	}{
		"DOCKER_HOST":                         {env: map[string]string{"DOCKER_HOST": "tcp://a:1"}, want: "tcp://a:1", from: "DOCKER_HOST"},
		"DOCKER_HOST without a scheme":        {env: map[string]string{"DOCKER_HOST": "a:1"}, want: "tcp://a:1", from: "DOCKER_HOST"},
		"DOCKER_HOST without a port":          {env: map[string]string{"DOCKER_HOST": "tcp://a"}, want: "tcp://a:2375", from: "DOCKER_HOST"},
		"DOCKER_HOST comes before a context":  {env: map[string]string{"DOCKER_HOST": "tcp://a:1", "DOCKER_CONTEXT": "far"}, want: "tcp://a:1", from: "DOCKER_HOST"},
		"DOCKER_HOST by ssh":                  {env: map[string]string{"DOCKER_HOST": "ssh://me@a"}, want: "ssh://me@a", from: "DOCKER_HOST"},
		"the current context":                 {config: `{"currentContext":"far"}`, want: "tcp://far:2375", from: "docker context far"},
		"DOCKER_CONTEXT":                      {env: map[string]string{"DOCKER_CONTEXT": "far"}, want: "tcp://far:2375", from: "docker context far"},
		"the default context is none":         {env: map[string]string{"DOCKER_CONTEXT": "default"}, config: `{"currentContext":"far"}`, want: "SOCKET", from: "the usual places"},
		"a context that is not":               {config: `{"currentContext":"near"}`, fault: `docker context "near"`},
		"the socket of the user":              {want: "SOCKET", from: "the usual places"},
		"certificates that are not":           {env: map[string]string{"DOCKER_HOST": "tcp://a:1", "DOCKER_TLS_VERIFY": "1"}, fault: "DOCKER_CERT_PATH"},
		"TLS without verification":            {env: map[string]string{"DOCKER_HOST": "tcp://a", "DOCKER_TLS": "1"}, want: "tcp://a:2376", from: "DOCKER_HOST"},
		"a configuration that cannot be read": {config: `{"currentContext`, fault: "which is damaged"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "heddle-find-") // short, for the socket's path
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			socket := filepath.Join(dir, "docker.sock")
			listener, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			if test.config != "" {
				write(t, filepath.Join(dir, "config.json"), test.config)
			}
			write(t, filepath.Join(dir, "contexts/meta", contextID("far"), "meta.json"),
				`{"Name":"far","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://far:2375","SkipTLSVerify":false}}}`)
			d, err := Find(func(name string) string {
				if value, ok := test.env[name]; ok {
					return value
				}
				return map[string]string{"DOCKER_CONFIG": dir, "XDG_RUNTIME_DIR": dir, "HOME": dir}[name]
			})
			if test.fault != "" {
				if heddle.CodeOf(err) != heddle.CodeUnavailable || !strings.Contains(err.Error(), test.fault) {
					t.Errorf("got %v, want %q", err, test.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := strings.ReplaceAll(test.want, "SOCKET", "unix://"+socket)
			if _, err := os.Stat("/var/run/docker.sock"); err == nil && test.want == "SOCKET" {
				t.Skip("this machine has a daemon at the first of the usual places")
			}
			if d.Host != want || d.From != test.from {
				t.Errorf("got %s from %s, want %s from %s", d.Host, d.From, want, test.from)
			}
			cli, err := d.connect()
			if err != nil {
				t.Fatal(err)
			}
			cli.Close()
		})
	}
}

func TestNoSocketAnswers(t *testing.T) {
	t.Parallel()
	err := (&Daemon{}).fromSockets([]string{"unix:///nonexistent/a.sock", "unix:///nonexistent/b.sock"})
	for _, want := range []string{"/nonexistent/a.sock", "/nonexistent/b.sock", "set DOCKER_HOST"} {
		if heddle.CodeOf(err) != heddle.CodeUnavailable || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "config.json"),
		`{"auths":{"https://index.docker.io/v1/":{"auth":"aHViOnB3"},"registry.example:5000":{"auth":"bWU6cHc="}}}`)
	d, err := Find(func(name string) string {
		return map[string]string{"DOCKER_CONFIG": dir, "DOCKER_HOST": "tcp://a:1"}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	e := &Executor{daemon: d}
	got := map[string]string{}
	for _, domain := range []string{"docker.io", "registry.example:5000", "other.example"} {
		auth, err := authconfig.Decode(e.credentials(domain))
		if err != nil {
			t.Fatal(err)
		}
		got[domain] = auth.Username
	}
	if d := cmp.Diff(map[string]string{"docker.io": "hub", "registry.example:5000": "me", "other.example": ""}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
