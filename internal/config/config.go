// Package config holds the settings that do not belong to one command: where the
// data are, what runs steps, how logs look. Flags win over the environment, which
// wins over the defaults.
package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/heddle/heddle"
)

// Config is what Heddle is told from outside.
type Config struct {
	// DataDir is the directory of the database, the logs and the supervisor.
	// Default: heddle in the XDG data home (on Windows in %LOCALAPPDATA%).
	DataDir string
	// DBURL names a PostgreSQL database that keeps the runs instead of the one in
	// the data directory. rego's DB_URL counts too, if it begins with postgres:// or
	// postgresql://. Default: "".
	DBURL string
	// Executor runs the steps: auto, process, docker, k8s or kubernetes. Default: auto.
	Executor string
	// Parallel bounds the steps that are open at once in this process. Default: 0,
	// which leaves the choice to the engine.
	Parallel int
	// LogFormat is logfmt or json. Default: logfmt.
	LogFormat string
	// LogLevel is debug, info, warn or error. Default: info.
	LogLevel string
	// Output is the form of results: table, json or yaml. Default: "", which leaves
	// the choice to the command.
	Output string
	// RetentionAge, RetentionRuns and RetentionBytes bound what is kept of runs that
	// have ended: how long (30d, 2w), how many, and the bytes of database and logs
	// (10GiB). 0: no bound. Defaults: 30d, 10000, 10GiB.
	RetentionAge   string
	RetentionRuns  string
	RetentionBytes string
	// Progress is auto, plain or live. Default: auto, which is live on a terminal.
	Progress string
	// KubeContext and KubeNamespace are taken instead of those of the kubeconfig. The
	// latter may list more namespaces that steps may name, with commas. Default: "".
	KubeContext   string
	KubeNamespace string
	// KubeBare is whether steps are made Pods without Jobs. Default: false.
	KubeBare string
	// KubeQPS bounds the calls to the API server, per second. Default: 50.
	KubeQPS string
	// KubePatience and KubePending bound how long a container may be unable to start (for
	// want of its image, say), and how long a step may wait for a node (0: as long as it
	// takes). Defaults: 60s, 0.
	KubePatience string
	KubePending  string
}

// Setting describes a field of [Config] for help texts and messages.
type Setting struct {
	Flag    string // without dashes
	Env     string
	Default string // in words
	Help    string
	Values  []string // that are accepted; none: any
}

// Settings lists every setting, in the order of [Config]'s fields.
func Settings() []Setting {
	return []Setting{
		{Flag: "data-dir", Env: "HEDDLE_DATA_DIR", Default: "$XDG_DATA_HOME/heddle or ~/.local/share/heddle", Help: "directory of runs and their logs"},
		{Flag: "db-url", Env: "HEDDLE_DB_URL", Default: "the database in the data directory", Help: "PostgreSQL database of the runs: postgres://user:password@host/database"},
		{Flag: "executor", Env: "HEDDLE_EXECUTOR", Default: "auto", Help: "what runs the steps", Values: []string{"auto", "process", "docker", "k8s", "kubernetes"}},
		{Flag: "parallel", Env: "HEDDLE_PARALLEL", Default: "0, for as many as suit the machine", Help: "how many steps may be open at once"},
		{Flag: "log-formatter", Env: "HEDDLE_LOG_FORMATTER", Default: "logfmt", Help: "form of the log", Values: []string{"logfmt", "json"}},
		{Flag: "log-level", Env: "HEDDLE_LOG_LEVEL", Default: "info", Help: "least level that is logged", Values: []string{"debug", "info", "warn", "error"}},
		{Flag: "output", Env: "HEDDLE_OUTPUT", Default: "that of the command", Help: "form of results", Values: []string{"table", "json", "yaml"}},
		{Flag: "retention-age", Env: "HEDDLE_RETENTION_AGE", Default: "30d", Help: "how long runs that have ended are kept, failed ones twice as long; 0: for ever"},
		{Flag: "retention-runs", Env: "HEDDLE_RETENTION_RUNS", Default: "10000", Help: "how many runs that have ended are kept; 0: all"},
		{Flag: "retention-bytes", Env: "HEDDLE_RETENTION_BYTES", Default: "10GiB", Help: "about how much database and logs may take; 0: no bound"},
		{Flag: "progress", Env: "HEDDLE_PROGRESS", Default: "auto", Help: "how a run is shown (live needs a terminal)", Values: []string{"auto", "plain", "live"}},
		{Flag: "kube-context", Env: "HEDDLE_KUBE_CONTEXT", Default: "the current one", Help: "context of the kubeconfig for the kubernetes executor"},
		{Flag: "kube-namespace", Env: "HEDDLE_KUBE_NAMESPACE", Default: "that of the context", Help: "namespace of steps that name none; after commas, others that steps may name"},
		{Flag: "kube-bare", Env: "HEDDLE_KUBE_BARE", Default: "false", Help: "make Pods without Jobs, which is faster and survives less"},
		{Flag: "kube-qps", Env: "HEDDLE_KUBE_QPS", Default: "50", Help: "calls to the API server per second"},
		{Flag: "kube-patience", Env: "HEDDLE_KUBE_PATIENCE", Default: "60s", Help: "how long a container may be unable to start, for want of its image say"},
		{Flag: "kube-pending", Env: "HEDDLE_KUBE_PENDING", Default: "0, for as long as it takes", Help: "how long a step may wait for a node or a quota"},
	}
}

// Load returns the defaults with the environment over them. A variable that is
// set but empty counts as unset. Faults of form are in the error, each naming its
// variable; what only [Config.Validate] can see is not.
func Load(lookup func(string) (string, bool)) (Config, error) {
	get := func(name string) string { value, _ := lookup(name); return value }
	c := Config{
		DataDir: defaultDataDir(get), Executor: "auto", LogFormat: "logfmt", LogLevel: "info", Progress: "auto",
		RetentionAge: "30d", RetentionRuns: "10000", RetentionBytes: "10GiB",
		KubeBare: "false", KubeQPS: "50", KubePatience: "60s", KubePending: "0",
	}
	if url := get("DB_URL"); isPostgres(url) {
		c.DBURL = url
	}
	var faults []error
	texts := c.texts()
	for _, s := range Settings() {
		value := get(s.Env)
		if value == "" {
			continue
		}
		if field := texts[s.Flag]; field != nil {
			*field = value
			continue
		}
		n, err := strconv.Atoi(value) // parallel
		if err != nil {
			faults = append(faults, heddle.Errorf(heddle.CodeInvalid, "%s: %q is not a whole number", s.Env, value))
		}
		c.Parallel = n
	}
	return c, errors.Join(faults...)
}

// texts returns the fields that hold texts, by flag.
func (c *Config) texts() map[string]*string {
	return map[string]*string{
		"data-dir": &c.DataDir, "db-url": &c.DBURL, "executor": &c.Executor, "log-formatter": &c.LogFormat, "log-level": &c.LogLevel,
		"output": &c.Output, "progress": &c.Progress,
		"retention-age": &c.RetentionAge, "retention-runs": &c.RetentionRuns, "retention-bytes": &c.RetentionBytes,
		"kube-context": &c.KubeContext, "kube-namespace": &c.KubeNamespace, "kube-bare": &c.KubeBare,
		"kube-qps": &c.KubeQPS, "kube-patience": &c.KubePatience, "kube-pending": &c.KubePending,
	}
}

// Validate returns every fault, each naming the flag and the variable to change,
// or nil. The errors are of [heddle.CodeInvalid].
func (c *Config) Validate() error {
	values := map[string]string{
		"executor": c.Executor, "log-formatter": c.LogFormat, "log-level": c.LogLevel,
		"output": c.Output, "progress": c.Progress,
	}
	var faults []error
	for _, s := range Settings() {
		switch value := values[s.Flag]; {
		case s.Flag == "data-dir" && c.DataDir == "":
			faults = append(faults, fault(s, "no directory is given, and neither XDG_DATA_HOME nor HOME is set"))
		case s.Flag == "db-url" && c.DBURL != "" && !isPostgres(c.DBURL):
			faults = append(faults, fault(s, "a PostgreSQL database begins with postgres://")) // not shown: it may hold a password
		case s.Flag == "parallel" && c.Parallel < 0:
			faults = append(faults, fault(s, fmt.Sprintf("%d is negative", c.Parallel)))
		case s.Flag == "output" && value == "":
		case s.Values != nil && !slices.Contains(s.Values, value):
			faults = append(faults, fault(s, fmt.Sprintf("%q is none of %s", value, strings.Join(s.Values, ", "))))
		}
	}
	_, retention := c.Retention()
	_, kube := c.Kube()
	return errors.Join(append(append(faults, retention...), kube...)...)
}

func isPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

func fault(s Setting, what string) error {
	return heddle.Errorf(heddle.CodeInvalid, "--%s (or %s): %s", s.Flag, s.Env, what)
}

// defaultDataDir follows the XDG base directory specification, which has relative
// paths ignored.
func defaultDataDir(get func(string) string) string {
	if runtime.GOOS == "windows" {
		if local := get("LOCALAPPDATA"); local != "" {
			return filepath.Join(local, "heddle")
		}
	}
	if dir := get("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "heddle")
	}
	if home := get("HOME"); home != "" {
		return filepath.Join(home, ".local", "share", "heddle")
	}
	return ""
}
