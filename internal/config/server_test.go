package config

import (
	"strings"
	"testing"
	"time"
)

func TestLoadServer(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		env       map[string]string
		want      string // the address
		wantNotes int
		wantErr   string
	}{
		"defaults":                          {want: "127.0.0.1:4004"},
		"rego's port":                       {env: map[string]string{"SERVER_PORT": "80"}, want: "127.0.0.1:80"},
		"chainr's port, and rego's over it": {env: map[string]string{"PORT": "1", "SERVER_PORT": "2"}, want: "127.0.0.1:2"},
		"an address wins over a port":       {env: map[string]string{"PORT": "1", "HEDDLE_LISTEN": "0.0.0.0:9"}, want: "0.0.0.0:9"},
		"a port that is none":               {env: map[string]string{"SERVER_PORT": "http"}, want: "127.0.0.1:http", wantErr: "SERVER_PORT"},
		"what is not needed":                {env: map[string]string{"REDIS_ADDR": "x", "REDIS_DB": "1", "IN_CLUSTER": "true"}, want: "127.0.0.1:4004", wantNotes: 2},
		"rego's sqlite":                     {env: map[string]string{"DB_DRIVER": "SQLite", "DB_URL": "rego.db"}, want: "127.0.0.1:4004"},
		"rego's postgres":                   {env: map[string]string{"DB_DRIVER": "postgresql", "DB_URL": "postgres://h/d"}, want: "127.0.0.1:4004"},
		"postgres without a URL":            {env: map[string]string{"DB_DRIVER": "postgres", "DB_URL": "host=h password=secret"}, want: "127.0.0.1:4004", wantErr: "DB_URL: with DB_DRIVER=postgres"},
		"mysql":                             {env: map[string]string{"DB_DRIVER": "mysql"}, want: "127.0.0.1:4004", wantErr: "MySQL is not supported"},
		"a driver that is none":             {env: map[string]string{"DB_DRIVER": "oracle"}, want: "127.0.0.1:4004", wantErr: `"oracle" is none of`},
	} {
		s, notes, err := LoadServer(lookup(tc.env))
		if s.Listen != tc.want || len(notes) != tc.wantNotes {
			t.Errorf("%s: listens on %s, notes %q; want %s, %d notes", name, s.Listen, notes, tc.want, tc.wantNotes)
		}
		if (err == nil) != (tc.wantErr == "") || err != nil && (!strings.Contains(err.Error(), tc.wantErr) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: error %v, want %q", name, err, tc.wantErr)
		}
	}
}

func TestServerValidateTellsEveryFault(t *testing.T) {
	t.Parallel()
	good, _, _ := LoadServer(lookup(map[string]string{"TASK_TIMEOUT": "60"}))
	if err := good.Validate(); err != nil || good.Timeout() != time.Minute {
		t.Errorf("timeout %v, error %v", good.Timeout(), err)
	}
	err := (&Server{Listen: "x", TLSCert: "c", Key: "s3cret", KeyFile: "f", OnStop: "kill", TaskTimeout: "0"}).Validate()
	for _, flag := range []string{"--listen", "--tls-key", "--key-file", "--on-stop", "--task-timeout"} {
		if err == nil || !strings.Contains(err.Error(), flag+" (or ") {
			t.Errorf("no fault names %s: %v", flag, err)
		}
	}
	if strings.Contains(err.Error(), "s3cret") {
		t.Errorf("the secret is told: %v", err)
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "example.com:1": false,
	} {
		if got := (&Server{Listen: listen}).Loopback(); got != want {
			t.Errorf("%s: %v, want %v", listen, got, want)
		}
	}
}
