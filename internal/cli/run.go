package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/app"
)

// runOptions are what heddle run is called with; the flags and what they mean are
// kog's, with a few added.
type runOptions struct {
	*factory
	Files     []string
	Workflow  string
	Step      string
	Ignite    string
	MaxVisits int
	Params    map[string]string
	Contexts  []string
	Env       []string
	EnvFiles  []string
	Import    bool
	IgnoreEnv []string
	Volumes   []string
	Notifiers []string
	Labels    map[string]string
	UseJobRC  bool
	Log       logOptions
}

// logOptions say where and how a run is shown.
type logOptions struct {
	Remote     string // "" or syslog
	RemoteAddr string
	// Plain: log lines were asked for by --log-formatter, so the run is not shown live.
	Plain bool
}

func newRun(f *factory, runF func(context.Context, *runOptions) error) *cobra.Command {
	opts := &runOptions{factory: f}
	var params, labels []string
	cmd := &cobra.Command{
		Use:   "run -f FILE",
		Short: "Run a document to its end",
		Long: `Run a document to its end. On a terminal the steps are shown live; else, or with
--log-formatter, the log goes to standard error. The last thing on standard output
is the result, a line of JSON. See 'heddle help exit-codes' for the exit code.`,
		Example: `  heddle run -f job.yaml
  heddle run -f https://example.com/job.yaml --context build.json --env STAGE=test
  heddle run -f job.yaml --workflow remediate
  heddle run -f job.yaml --import-current-env --ignore-env 'SECRET_*,TOKEN'
  heddle run -f tasks.yaml -f ignitors.yaml --ignite nightly
  heddle run -f job.yaml --notifier console --notifier https://example.com/hook`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if opts.Params, err = pairs(cmd, "param", params); err != nil {
				return err
			}
			if opts.Labels, err = pairs(cmd, "label", labels); err != nil {
				return err
			}
			if err := opts.check(cmd); err != nil {
				return err
			}
			return runF(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	inputFlags(flags, opts, &params)
	flags.StringArrayVarP(&opts.Volumes, "volume", "v", nil, "a mount for every step, as docker's --volume; may be repeated")
	flags.StringArrayVar(&opts.Notifiers, "notifier", nil, "tell each start of a step to console or an http(s) URL, or the end of the run to a chat, mail or push service by its shoutrrr URL, or env:NAME for a URL in a variable; may be repeated")
	flags.StringArrayVar(&labels, "label", nil, "a label of the run: KEY=VALUE; may be repeated")
	remoteFlags(cmd, &opts.Log)
	flags.BoolVar(&opts.UseJobRC, "use-job-rc", true, "exit with a code that tells the outcome of the run")
	executorFlags(flags, &f.Config)
	settingFlag(flags, "output", &f.Config.Output)
	return cmd
}

// inputFlags binds the flags that say what is run and what it is given.
func inputFlags(flags *pflag.FlagSet, o *runOptions, params *[]string) {
	flags.StringArrayVarP(&o.Files, "file", "f", nil, "the document: a file, a URL, or - for standard input (required); may be repeated for Tasks and Ignitors")
	flags.StringVar(&o.Workflow, "workflow", "", "run this workflow of a job file instead of its current_workflow")
	flags.StringVar(&o.Step, "step", "", "begin with this step instead of current_step")
	flags.StringVar(&o.Ignite, "ignite", "", "play the Tasks that this Ignitor starts (default: the only Ignitor)")
	flags.IntVar(&o.MaxVisits, "max-visits", 0, "how often each Task may run, for those that lead back to themselves (default: 1000)")
	flags.StringArrayVar(params, "param", nil, "a parameter of the document: NAME=VALUE; may be repeated")
	flags.StringArrayVar(&o.Contexts, "context", nil, "file or URL merged over the document's context; may be repeated")
	flags.StringArrayVar(&o.Env, "env", nil, "a variable for every step: NAME=VALUE, or NAME to copy it from here; may be repeated")
	flags.StringArrayVar(&o.EnvFiles, "env-file", nil, "file or URL of variables for every step, in dotenv format; may be repeated")
	flags.BoolVar(&o.Import, "import-current-env", false, "give every step the whole environment of this command")
	flags.StringSliceVar(&o.IgnoreEnv, "ignore-env", nil, "names left out of the import; a trailing * matches a prefix; may be repeated")
}

func remoteFlags(cmd *cobra.Command, o *logOptions) {
	cmd.Flags().StringVar(&o.Remote, "remote-logger", "", "send the log elsewhere as well: syslog")
	cmd.Flags().StringVar(&o.RemoteAddr, "remote-logger-addr", "", "where to: host:port or udp://host:port, tcp://host:port; default: this machine's syslog")
}

// check finds what is wrong with the flags before anything is read.
func (o *runOptions) check(cmd *cobra.Command) error {
	if err := o.checkInput(cmd); err != nil {
		return err
	}
	for _, target := range o.Notifiers {
		if err := app.CheckNotifier(target, o.lookup); err != nil {
			return usagef(cmd, "--notifier: %v", err)
		}
	}
	return o.Log.check(cmd)
}

// checkInput finds what is wrong with the flags of [inputFlags].
func (o *runOptions) checkInput(cmd *cobra.Command) error {
	switch {
	case len(o.Files) == 0 || slices.Contains(o.Files, ""):
		return usagef(cmd, "a document is needed: --file FILE")
	case o.MaxVisits < 0:
		return usagef(cmd, "--max-visits: must be a positive number, is %d", o.MaxVisits)
	}
	return nil
}

func (o *logOptions) check(cmd *cobra.Command) error {
	if o.Remote != "" && o.Remote != "syslog" {
		return usagef(cmd, "--remote-logger: %q is not syslog", o.Remote)
	}
	o.Plain = cmd.Flags().Changed("log-formatter")
	return nil
}

func runRun(ctx context.Context, o *runOptions) error {
	sub, warnings, err := o.submission(ctx)
	if err != nil {
		return err
	}
	show, err := newShow(o.factory, o.Log)
	if err != nil {
		return err
	}
	defer show.Close()
	for _, warning := range warnings {
		show.log.Warn(warning)
	}
	s, err := openSession(ctx, o.factory, show.log)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close(context.WithoutCancel(ctx)) }() // again, unless something fails first
	orphans, err := s.Orphaned(ctx)
	if err != nil {
		return err
	}
	run, err := s.Runs().Submit(ctx, sub)
	if err != nil {
		return err
	}
	results, err := followAll(ctx, o.factory, s, show, []heddle.RunID{run.ID})
	if len(orphans) > 0 {
		fmt.Fprintf(o.Err, "heddle: %s interrupted earlier: 'heddle runs resume' goes on with what is left\n", plural(len(orphans), "run was", "runs were"))
	}
	if err != nil {
		return err
	}
	return o.finish(results, o.UseJobRC)
}

// finish writes results as the last thing and turns them into the exit code: that
// of the first run that did not end well.
func (f *factory) finish(results []jobResult, useRC bool) error {
	code := exitOK
	for _, r := range results {
		if err := writeJobResult(f.Out, f.Config.Output, r); err != nil {
			return err
		}
		if code == exitOK {
			code = exitOf(heddle.Outcome(r.Status))
		}
	}
	if code == exitOK || !useRC {
		return nil
	}
	return exitError(code)
}

// openSession starts an engine. It outlives ctx: a run that is interrupted is
// still to be brought to its end.
func openSession(ctx context.Context, f *factory, log *slog.Logger) (session, error) {
	done := f.waitingFor("opening " + f.Config.DataDir)
	defer done()
	return f.Open(context.WithoutCancel(ctx), f.options(log))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// shown is a document's name as messages give it: a URL without its secrets.
func shown(name string) string {
	if u, err := url.Parse(name); err == nil && u.Host != "" {
		return u.Redacted()
	}
	return name
}
