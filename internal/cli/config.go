package cli

import (
	"cmp"
	"context"
	"io"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle/internal/config"
)

// configOptions are what heddle config print is called with.
type configOptions struct{ *factory }

// newConfig makes the command that groups those on settings.
func newConfig(f *factory) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Show settings", Args: cobra.ArbitraryArgs, RunE: groupHelp}
	cmd.AddCommand(newConfigPrint(f, runConfigPrint))
	return cmd
}

func newConfigPrint(f *factory, runF func(context.Context, *configOptions) error) *cobra.Command {
	opts := &configOptions{factory: f}
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Show every setting as the environment and .env make it, secrets hidden",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
	settingFlag(cmd.Flags(), "output", &f.Config.Output)
	return cmd
}

// setting is one row of the settings.
type setting struct {
	Env   string `json:"env"`
	Flag  string `json:"flag,omitempty"`
	Value string `json:"value"`
}

func runConfigPrint(_ context.Context, o *configOptions) error {
	c := o.Config
	s, _, err := config.LoadServer(o.lookup)
	if err != nil {
		return err
	}
	if err := s.Validate(); err != nil {
		return err
	}
	values := map[string]string{
		"HEDDLE_DATA_DIR": c.DataDir, "HEDDLE_DB_URL": hidden(c.DBURL), "HEDDLE_EXECUTOR": c.Executor, "HEDDLE_PARALLEL": strconv.Itoa(c.Parallel),
		"HEDDLE_LOG_FORMATTER": c.LogFormat, "HEDDLE_LOG_LEVEL": c.LogLevel, "HEDDLE_OUTPUT": c.Output, "HEDDLE_RETENTION_AGE": c.RetentionAge,
		"HEDDLE_RETENTION_RUNS": c.RetentionRuns, "HEDDLE_RETENTION_BYTES": c.RetentionBytes, "HEDDLE_PROGRESS": c.Progress,
		"HEDDLE_KUBE_CONTEXT": c.KubeContext, "HEDDLE_KUBE_NAMESPACE": c.KubeNamespace, "HEDDLE_KUBE_BARE": c.KubeBare,
		"HEDDLE_KUBE_QPS": c.KubeQPS, "HEDDLE_KUBE_PATIENCE": c.KubePatience, "HEDDLE_KUBE_PENDING": c.KubePending,
		"HEDDLE_LISTEN": s.Listen, "HEDDLE_TLS_CERT": s.TLSCert, "HEDDLE_TLS_KEY": s.TLSKey, "HEDDLE_KEY_FILE": s.KeyFile,
		"HEDDLE_ON_STOP": s.OnStop, "TASK_TIMEOUT": s.TaskTimeout,
		"HEDDLE_SECRETS_DIR": s.SecretsDir, "HEDDLE_ALLOW_HOST_VOLUMES": strconv.FormatBool(s.AllowHostVolumes),
	}
	if s.Key != "" {
		values["HEDDLE_KEY"] = "(hidden)"
	}
	var rows []setting
	for _, known := range append(config.Settings(), config.ServerSettings()...) {
		rows = append(rows, setting{Env: known.Env, Flag: known.Flag, Value: values[known.Env]})
	}
	return writeResult(o.Out, c.Output, rows, func(w io.Writer) error {
		t := newTable(w)
		for _, r := range rows {
			row(t, r.Env, cmp.Or(r.Value, "-")) // an empty cell would break the column
		}
		return t.Flush()
	})
}

// hidden is the URL of a database without its password.
func hidden(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "(hidden)" // it may hold a password
	}
	query := u.Query()
	if query.Has("password") {
		query.Set("password", "xxxxx")
		u.RawQuery = query.Encode()
	}
	return u.Redacted()
}
