package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
)

// runsLogsOptions are what heddle runs logs is called with.
type runsLogsOptions struct {
	*factory
	Run        string
	Step       string
	Follow     bool
	Timestamps bool
}

func newRunsLogs(f *factory, runF func(context.Context, *runsLogsOptions) error) *cobra.Command {
	opts := &runsLogsOptions{factory: f}
	cmd := &cobra.Command{
		Use:   "logs ID",
		Short: "Print what the steps of a run printed",
		Long: `Print what the steps of a run printed, each line with the name of its step unless
there is only one. With -o json each line is an object of its own.`,
		Args:              needRun,
		ValidArgsFunction: completeRuns(f),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Run = args[0]
			return runF(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.Step, "step", "", "only lines of this step")
	flags.BoolVarP(&opts.Follow, "follow", "f", false, "go on until the run has ended")
	flags.BoolVar(&opts.Timestamps, "timestamps", false, "begin each line with its time")
	settingFlag(flags, "output", &f.Config.Output)
	return cmd
}

func runRunsLogs(ctx context.Context, o *runsLogsOptions) error {
	return o.history(ctx, func(r reader) error {
		id, err := findRun(ctx, r.Runs(), o.Run)
		if err != nil {
			return err
		}
		steps, _, err := newStepBook(ctx, r.Runs(), id)
		if err != nil {
			return err
		}
		if o.Step != "" && stepOf(steps.flow, o.Step) == nil {
			return heddle.Errorf(heddle.CodeNotFound, "run %s has no step %q", id, o.Step)
		}
		prefix := o.Step == "" && len(steps.flow.Steps) > 1
		for line, err := range r.Logs().Lines(ctx, heddle.LogQuery{Run: id, Follow: o.Follow}) {
			if err != nil {
				return err
			}
			visit := steps.visit(ctx, line.Visit)
			if o.Step != "" && visit.Step != o.Step {
				continue
			}
			if err := o.print(line, visitName(steps.flow, visit), prefix); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
}

// print writes one line.
func (o *runsLogsOptions) print(line heddle.LogLine, step string, prefix bool) error {
	if o.Config.Output == "json" {
		data, err := json.Marshal(struct {
			heddle.LogLine
			Step string `json:"step"`
		}{line, step})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(o.Out, "%s\n", data)
		return err
	}
	text := line.Text + "\n"
	if prefix {
		text = step + " | " + text
	}
	if o.Timestamps {
		text = line.Time.Local().Format(time.RFC3339) + " " + text
	}
	_, err := io.WriteString(o.Out, text)
	return err
}
