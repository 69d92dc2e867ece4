package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/config"
	"github.com/heddle/heddle/internal/manifest"
)

// taskCreateOptions are what heddle task create is called with.
type taskCreateOptions struct {
	*factory
	File       string
	Workflow   string
	Params     map[string]string
	Definition heddle.Definition // what the flags say of it
}

func newTaskCreate(f *factory, runF func(context.Context, *taskCreateOptions) error) *cobra.Command {
	opts := &taskCreateOptions{factory: f}
	var when scheduleFlags
	var params, env []string
	cmd := &cobra.Command{
		Use:   "create -f FILE",
		Short: "Store a document of any kind, and when to run it",
		Long: `Store a document of any kind, and when runs of it are made. Without a schedule they
are made on request only, but for a task definition with an execution_interval.`,
		Example: `  heddle task create -f report.yaml --cron '0 7 * * MON-FRI' --zone Europe/Berlin --overlap skip
  heddle task create -f poll.json --every 10m --pause-after 3
  heddle task create -f tell.yaml --after 1f3c0a2e-7d31-4c1b-9a55-0d5f3c2b1a00 --on failure,timeout`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.File == "" {
				return usagef(cmd, "which document? Name it with -f")
			}
			var err error
			if opts.Definition.Schedule, err = when.read(cmd); err != nil {
				return err
			}
			if opts.Params, err = pairs(cmd, "param", params); err != nil {
				return err
			}
			if opts.Definition.Input.Env, err = pairs(cmd, "env", env); err != nil {
				return err
			}
			return runF(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&opts.File, "file", "f", "", "the document: a path, a URL, or - for standard input")
	flags.StringVar(&opts.Definition.Name, "name", "", "what the definition is called (default: as the document)")
	flags.StringVar(&opts.Workflow, "workflow", "", "the workflow of a job file")
	flags.StringArrayVar(&params, "param", nil, "a param of the document, as NAME=VALUE")
	flags.StringArrayVar(&env, "env", nil, "a variable for every step, as NAME=VALUE")
	organizationFlag(cmd, &opts.Definition.Organization)
	when.bind(cmd)
	settingFlag(flags, "executor", &f.Config.Executor)
	settingFlag(flags, "output", &f.Config.Output)
	return cmd
}

// scheduleFlags are the flags of a schedule.
type scheduleFlags struct {
	schedule                heddle.Schedule
	at, every, jitter       string
	after, overlap, catchUp string
	on                      []string
}

func (s *scheduleFlags) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&s.schedule.Once, "once", false, "run once, at once")
	flags.StringVar(&s.at, "at", "", "run once, then: RFC 3339, as 2030-01-31T09:30:00Z")
	flags.StringVar(&s.every, "every", "", "run at once and then that long after each launch: 30s, 10m, 1d")
	flags.StringVar(&s.schedule.Cron, "cron", "", "run by a cron expression of 5 fields, 6 with years, 7 with seconds before them too")
	flags.StringVar(&s.schedule.Zone, "zone", "", "the time zone of --cron, as Europe/Berlin (default: UTC)")
	flags.StringVar(&s.after, "after", "", "run after the runs of the definition with this ID")
	flags.StringSliceVar(&s.on, "on", nil, "for --after: the outcomes that count (default: success)")
	flags.StringVar(&s.overlap, "overlap", "", "what a tick does while a run is live: allow (default), skip, queue, replace")
	flags.StringVar(&s.catchUp, "catch-up", "", "how many of the ticks run that were missed: last (default), none, all")
	flags.IntVar(&s.schedule.CatchUpLimit, "catch-up-limit", 0, "for --catch-up all: how many at most (default 10)")
	flags.StringVar(&s.jitter, "jitter", "", "spreads definitions with the same schedule over that time")
	flags.IntVar(&s.schedule.PauseAfter, "pause-after", 0, "disables it after so many failures in a row (default: never)")
}

func (s *scheduleFlags) read(cmd *cobra.Command) (heddle.Schedule, error) {
	out := s.schedule
	out.Overlap, out.CatchUp = heddle.Overlap(s.overlap), heddle.CatchUp(s.catchUp)
	for _, length := range []struct {
		flag, text string
		to         *int64
	}{{"every", s.every, &out.Every}, {"jitter", s.jitter, &out.Jitter}} {
		if length.text == "" {
			continue
		}
		d, err := config.ParseDuration(length.text)
		if err != nil || d < time.Second || d%time.Second != 0 {
			return out, usagef(cmd, "--%s: %q is no length of time in whole seconds: write 30s, 10m or 1d", length.flag, length.text)
		}
		*length.to = int64(d / time.Second)
	}
	if s.at != "" {
		var err error
		if out.At, err = time.Parse(time.RFC3339, s.at); err != nil {
			return out, usagef(cmd, "--at: %q is no instant: write 2030-01-31T09:30:00Z", s.at)
		}
	}
	outcomes, err := oneOf(cmd, "on", s.on, heddle.Outcomes())
	if err != nil {
		return out, err
	}
	if s.after != "" {
		out.After = &heddle.After{Definition: s.after, On: outcomes}
	} else if len(outcomes) > 0 {
		return out, usagef(cmd, "--on is for --after")
	}
	if err := out.Check(); err != nil {
		return out, &usageError{cmd: cmd, err: err}
	}
	return out, nil
}

func runTaskCreate(ctx context.Context, o *taskCreateOptions) error {
	file, err := o.read(ctx, o.File)
	if err != nil {
		return err
	}
	parsed, err := manifest.ParseFiles([]manifest.File{file}, manifest.Options{Workflow: o.Workflow, Params: o.Params})
	if err != nil {
		return err
	}
	d := o.Definition
	d.Flow, d.Kind, d.Document, d.Executor, d.Enabled = parsed.Flow, parsed.Flow.Kind, parsed.Flow.Source, o.Config.Executor, true
	d.Input.CorrelationID = parsed.CorrelationID
	if d.Name == "" {
		d.Name = parsed.Flow.Name
	}
	s := &d.Schedule
	if timed := s.Once || !s.At.IsZero() || s.Every != 0 || s.Cron != "" || s.After != nil; !timed && d.Kind == heddle.KindTask {
		var rego struct {
			Interval int64 `json:"execution_interval"`
		}
		if json.Unmarshal(d.Document, &rego) == nil { // its parser has seen to it
			s.Every = min(max(0, rego.Interval), heddle.MaxSeconds)
		}
	}
	return o.tasks(ctx, func(service heddle.Definitions, _ reader) error {
		made, err := service.Create(ctx, d)
		if err != nil {
			return err
		}
		return writeResult(o.Out, o.Config.Output, made, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, made.ID)
			return err
		})
	})
}
