package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/heddle/heddle/internal/config"
)

// newRoot makes the whole tree of commands.
func newRoot(f *factory) *cobra.Command {
	root := &cobra.Command{
		Use:   "heddle",
		Short: "Run containers and chains of them, on one machine or on Kubernetes",
		Long: `Heddle runs what a document describes: a job file (a state machine of steps), a
pipeline (a graph of jobs), a task. Every run is kept in a data directory, survives
a crash, and can be listed, read and resumed later.`,
		Example: `  heddle run -f job.yaml                     run a job file
  heddle run -f job.yaml --env STAGE=test    with a variable for every step
  heddle validate job.yaml                   find every fault before running it
  heddle graph -f job.yaml                   draw it
  heddle runs list                           what ran, newest first
  heddle runs logs 1f3k                      what a run printed
  heddle runs resume                         go on with what a crash interrupted
  heddle serve                               the same over HTTP`,
		Version:           f.Build.Version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              cobra.ArbitraryArgs,
		RunE:              groupHelp,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return validConfig(f, cmd) },
	}
	root.SetVersionTemplate("heddle {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(newHelp(root))
	flags := root.PersistentFlags()
	settingFlag(flags, "data-dir", &f.Config.DataDir)
	settingFlag(flags, "db-url", &f.Config.DBURL)
	settingFlag(flags, "log-formatter", &f.Config.LogFormat)
	settingFlag(flags, "log-level", &f.Config.LogLevel)
	root.AddCommand(
		newRun(f, runRun), newValidate(f, runValidate), newGraph(f, runGraph), newPlan(f, runPlan),
		newTest(f, runTest), newSchema(f, runSchema), newRuns(f), newPools(f),
		newServe(f, runServe), newKeys(f), newConfig(f),
		newDoctor(f, runDoctor), newVersion(f, runVersion), newSupervise(f),
		exitCodesTopic(), environmentTopic(),
	)
	return root
}

// groupHelp is what a command that only groups others does when called itself.
func groupHelp(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return unknownCommand(cmd, args[0])
}

func unknownCommand(group *cobra.Command, name string) error {
	hint := ""
	group.SuggestionsMinimumDistance = 2
	if near := group.SuggestionsFor(name); len(near) > 0 {
		hint = fmt.Sprintf(" (did you mean %s?)", strings.Join(near, " or "))
	}
	return usagef(group, "unknown command %q for %q%s", name, group.CommandPath(), hint)
}

// flagError says what is wrong with a flag in the words of this program.
func flagError(cmd *cobra.Command, err error) error {
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		wanted := map[string]string{"bool": "true or false", "int": "a whole number"}[invalid.GetFlag().Value.Type()]
		if wanted != "" {
			return usagef(cmd, "--%s: %q is not %s", invalid.GetFlag().Name, invalid.GetValue(), wanted)
		}
	}
	return &usageError{cmd: cmd, err: err}
}

func validConfig(f *factory, cmd *cobra.Command) error {
	if err := f.Config.Validate(); err != nil {
		return &usageError{cmd: cmd, err: err}
	}
	return nil
}

// noArgs refuses positional arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef(cmd, "unexpected argument %q: %s takes none", args[0], cmd.CommandPath())
	}
	return nil
}

// settingFlag binds the flag of a setting to its field, whose value, from the
// environment or built in, is the default.
func settingFlag(flags *pflag.FlagSet, name string, field *string) {
	for _, s := range config.Settings() {
		if s.Flag != name {
			continue
		}
		help := s.Help
		if s.Values != nil {
			help += ": " + strings.Join(s.Values, ", ")
		}
		short := ""
		if name == "output" {
			short = "o"
		}
		flags.StringVarP(field, name, short, *field, help+" ("+s.Env+")")
	}
}

// executorFlags binds the flags of commands that start an engine.
func executorFlags(flags *pflag.FlagSet, cfg *config.Config) {
	settingFlag(flags, "executor", &cfg.Executor)
	settingFlag(flags, "progress", &cfg.Progress)
	kubeFlags(flags, cfg)
	retentionFlags(flags, cfg)
	flags.IntVar(&cfg.Parallel, "parallel", cfg.Parallel, "how many steps may be open at once; 0: as suits the machine (HEDDLE_PARALLEL)")
}

// kubeFlags binds the flags of the kubernetes executor.
func kubeFlags(flags *pflag.FlagSet, cfg *config.Config) {
	settingFlag(flags, "kube-context", &cfg.KubeContext)
	settingFlag(flags, "kube-namespace", &cfg.KubeNamespace)
	settingFlag(flags, "kube-bare", &cfg.KubeBare)
	settingFlag(flags, "kube-qps", &cfg.KubeQPS)
	settingFlag(flags, "kube-patience", &cfg.KubePatience)
	settingFlag(flags, "kube-pending", &cfg.KubePending)
}

// retentionFlags binds the flags of what a command that starts an engine leaves of
// runs that have ended.
func retentionFlags(flags *pflag.FlagSet, cfg *config.Config) {
	settingFlag(flags, "retention-age", &cfg.RetentionAge)
	settingFlag(flags, "retention-runs", &cfg.RetentionRuns)
	settingFlag(flags, "retention-bytes", &cfg.RetentionBytes)
}
