package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/app"
)

// taskListOptions are what heddle task list is called with.
type taskListOptions struct {
	*factory
	Filter heddle.DefinitionFilter
}

func newTaskList(f *factory, runF func(context.Context, *taskListOptions) error) *cobra.Command {
	opts := &taskListOptions{factory: f}
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List definitions, newest first",
		Example: "  heddle task list\n  heddle task list --name report -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.Filter.Limit < 1 || opts.Filter.Limit > 1000 {
				return usagef(cmd, "--limit: %d is not between 1 and 1000", opts.Filter.Limit)
			}
			return runF(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.Filter.Name, "name", "", "only those with this name")
	flags.IntVar(&opts.Filter.Limit, "limit", 50, "how many a page has")
	flags.StringVar(&opts.Filter.After, "after", "", "the next page: what the page before ended with")
	organizationFlag(cmd, &opts.Filter.Organization)
	settingFlag(flags, "output", &f.Config.Output)
	return cmd
}

func runTaskList(ctx context.Context, o *taskListOptions) error {
	return o.tasks(ctx, func(service heddle.Definitions, _ reader) error {
		page, err := service.List(ctx, o.Filter)
		if err != nil {
			return err
		}
		return writeResult(o.Out, o.Config.Output, page, func(w io.Writer) error {
			if len(page.Definitions) == 0 {
				fmt.Fprintln(o.Err, "heddle: no definitions")
				return nil
			}
			t, now := newTable(w), o.Now()
			row(t, "ID", "NAME", "KIND", "WHEN", "NEXT", "RUNS", "LATEST")
			for i := range page.Definitions {
				d := &page.Definitions[i]
				row(t, d.ID, d.Name, string(d.Kind), when(d.Schedule), nextTick(d, now), strconv.FormatInt(d.Counter, 10), latestWord(d))
			}
			if err := t.Flush(); err != nil {
				return err
			}
			if page.Next != "" {
				fmt.Fprintf(o.Err, "heddle: there are more: heddle task list --after %s\n", page.Next)
			}
			return nil
		})
	})
}

// when says a schedule in a few words.
func when(s heddle.Schedule) string {
	switch {
	case s.Once:
		return "once"
	case !s.At.IsZero():
		return "at " + s.At.Format(time.RFC3339)
	case s.Every > 0:
		return "every " + (time.Duration(s.Every) * time.Second).String()
	case s.Cron != "":
		return strings.TrimSpace(s.Cron + " " + s.Zone)
	case s.After != nil:
		return "after " + s.After.Definition
	}
	return "on request"
}

func nextTick(d *heddle.Definition, now time.Time) string {
	switch {
	case !d.Enabled:
		return "disabled"
	case d.Next.IsZero():
		return ""
	case d.Next.Before(now):
		return "due"
	}
	return ago(d.Next, now)
}

func latestWord(d *heddle.Definition) string {
	if d.LatestRun == "" {
		return ""
	}
	return d.LatestStatus.Info().Word
}

func newTaskShow(f *factory, runF func(context.Context, *taskOptions) error) *cobra.Command {
	cmd, _ := taskCommand(f, "show", "Show a definition", runF)
	return cmd
}

func runTaskShow(ctx context.Context, o *taskOptions) error {
	return o.task(ctx, func(_ heddle.Definitions, _ reader, d heddle.Definition) error {
		return writeResult(o.Out, o.Config.Output, d, func(w io.Writer) error {
			t, now := newTable(w), o.Now()
			for _, line := range [][2]string{
				{"ID:", d.ID}, {"Name:", d.Name}, {"Kind:", string(d.Kind)}, {"Executor:", d.Executor}, {"When:", when(d.Schedule)},
				{"Next:", nextTick(&d, now)}, {"Reason:", d.Reason}, {"Runs:", strconv.FormatInt(d.Counter, 10)},
				{"Failures in a row:", strconv.Itoa(d.Failures)}, {"Latest run:", string(d.LatestRun)}, {"Its status:", latestWord(&d)},
				{"Created:", ago(d.Created, now)}, {"Changed:", ago(d.Updated, now)},
			} {
				if line[1] != "" {
					row(t, line[0], line[1])
				}
			}
			return t.Flush()
		})
	})
}

func newTaskHistory(f *factory, runF func(context.Context, *taskOptions) error) *cobra.Command {
	cmd, opts := taskCommand(f, "history", "List the runs of a definition, newest first", runF)
	cmd.Flags().IntVar(&opts.Count, "limit", 20, "how many")
	return cmd
}

func runTaskHistory(ctx context.Context, o *taskOptions) error {
	return o.task(ctx, func(_ heddle.Definitions, r reader, d heddle.Definition) error {
		list := &runsListOptions{factory: o.factory}
		page, err := r.Runs().List(ctx, heddle.RunFilter{Definition: d.ID, Limit: o.Count})
		if err != nil {
			return err
		}
		page.Next = "" // it is for another command
		return writeResult(o.Out, o.Config.Output, page, func(w io.Writer) error { return list.table(w, page) })
	})
}

func newTaskPreview(f *factory, runF func(context.Context, *taskOptions) error) *cobra.Command {
	cmd, opts := taskCommand(f, "preview", "Show the next ticks of a definition", runF)
	cmd.Flags().IntVarP(&opts.Count, "count", "n", 5, "how many")
	return cmd
}

func runTaskPreview(ctx context.Context, o *taskOptions) error {
	return o.task(ctx, func(_ heddle.Definitions, _ reader, d heddle.Definition) error {
		ticks, err := app.Preview(d, o.Now(), o.Count)
		if err != nil {
			return err
		}
		return writeResult(o.Out, o.Config.Output, ticks, func(w io.Writer) error {
			for _, tick := range ticks {
				fmt.Fprintln(w, tick.Format(time.RFC3339))
			}
			return nil
		})
	})
}
