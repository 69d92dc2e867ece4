package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

func TestLoad(t *testing.T) {
	t.Parallel()
	defaults := Config{DataDir: "/home/u/.local/share/heddle", Executor: "auto", LogFormat: "logfmt", LogLevel: "info", Progress: "auto"}
	with := func(change func(*Config)) Config { c := defaults; change(&c); return c }
	tests := map[string]struct {
		env     map[string]string
		want    Config
		wantErr string
	}{
		"defaults": {want: defaults},
		"the XDG data home is used": {
			env: map[string]string{"XDG_DATA_HOME": "/x"}, want: with(func(c *Config) { c.DataDir = "/x/heddle" }),
		},
		"a relative XDG data home is ignored": {env: map[string]string{"XDG_DATA_HOME": "x"}, want: defaults},
		"every variable": {
			env: map[string]string{
				"HEDDLE_DATA_DIR": "/d", "HEDDLE_EXECUTOR": "process", "HEDDLE_PARALLEL": "3", "HEDDLE_LOG_FORMATTER": "json",
				"HEDDLE_LOG_LEVEL": "debug", "HEDDLE_OUTPUT": "yaml", "HEDDLE_PROGRESS": "plain",
			},
			want: Config{DataDir: "/d", Executor: "process", Parallel: 3, LogFormat: "json", LogLevel: "debug", Output: "yaml", Progress: "plain"},
		},
		"an empty variable is unset": {env: map[string]string{"HEDDLE_EXECUTOR": ""}, want: defaults},
		"a number that is none": {
			env: map[string]string{"HEDDLE_PARALLEL": "many"}, want: defaults, wantErr: `HEDDLE_PARALLEL: "many" is not a whole number`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := map[string]string{"HOME": "/home/u"}
			for k, v := range tc.env {
				env[k] = v
			}
			got, err := Load(lookup(env))
			if (err == nil) != (tc.wantErr == "") || err != nil && err.Error() != tc.wantErr {
				t.Errorf("error %v, want %q", err, tc.wantErr)
			}
			tc.want.RetentionAge, tc.want.RetentionRuns, tc.want.RetentionBytes = "30d", "10000", "10GiB"
			tc.want.KubeBare, tc.want.KubeQPS, tc.want.KubePatience, tc.want.KubePending = "false", "50", "60s", "0"
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestValidateTellsEveryFault(t *testing.T) {
	t.Parallel()
	good, _ := Load(lookup(map[string]string{"HOME": "/h"}))
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	err := (&Config{DBURL: "mysql://u:secret@h", Executor: "vm", Parallel: -1, LogFormat: "xml", LogLevel: "loud", Output: "csv", Progress: "x", KubeNamespace: "a,B"}).Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, s := range Settings() {
		if s.Flag == "kube-context" {
			continue // whether there is one of that name the kubeconfig says
		}
		if !strings.Contains(err.Error(), "--"+s.Flag+" (or "+s.Env+"): ") {
			t.Errorf("no fault names --%s: %v", s.Flag, err)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the password is told: %v", err)
	}
}
