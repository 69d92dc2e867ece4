package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
)

// runsListOptions are what heddle runs list is called with.
type runsListOptions struct {
	*factory
	Filter heddle.RunFilter
}

func newRunsList(f *factory, runF func(context.Context, *runsListOptions) error) *cobra.Command {
	opts := &runsListOptions{factory: f}
	var states, outcomes, kinds, labels []string
	var since string
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List runs, newest first",
		Example: `  heddle runs list --state running
  heddle runs list --outcome failure,timeout --since 2d
  heddle runs list --label team=red -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter := &opts.Filter
			var err error
			if filter.States, err = oneOf(cmd, "state", states, append(openStates(), heddle.RunEnded)); err != nil {
				return err
			}
			if filter.Outcomes, err = oneOf(cmd, "outcome", outcomes, heddle.Outcomes()); err != nil {
				return err
			}
			known := []heddle.Kind{heddle.KindJob, heddle.KindPipeline, heddle.KindTask, heddle.KindChain, heddle.KindReactiveJob}
			if filter.Kinds, err = oneOf(cmd, "kind", kinds, known); err != nil {
				return err
			}
			if filter.Labels, err = pairs(cmd, "label", labels); err != nil {
				return err
			}
			if since != "" {
				if filter.Since, err = sinceTime(since, f.Now()); err != nil {
					return usagef(cmd, "--since: %w", err)
				}
			}
			if filter.Limit < 1 || filter.Limit > 1000 {
				return usagef(cmd, "--limit: %d is not between 1 and 1000", filter.Limit)
			}
			return runF(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&states, "state", nil, "only runs in this state: pending, running, stopping, finally, ended")
	flags.StringSliceVar(&outcomes, "outcome", nil, "only runs that ended so: success, failure, abort, timeout")
	flags.StringSliceVar(&kinds, "kind", nil, "only runs of this kind of document: Job, Pipeline, Task, Chain, ReactiveJob")
	flags.StringVar(&opts.Filter.Name, "name", "", "only runs with this name")
	flags.StringArrayVar(&labels, "label", nil, "only runs with this label: KEY=VALUE; may be repeated")
	flags.StringVar(&since, "since", "", "only runs made since: 2h, 7d, 2006-01-02 or RFC 3339")
	flags.IntVar(&opts.Filter.Limit, "limit", 50, "how many runs a page has")
	flags.StringVar(&opts.Filter.After, "after", "", "the next page: what the page before ended with")
	settingFlag(flags, "output", &f.Config.Output)
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions([]string{"pending", "running", "stopping", "finally", "ended"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("outcome", cobra.FixedCompletions([]string{"success", "failure", "abort", "timeout"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// oneOf checks that each of a flag's values is a known one, in any letter case.
func oneOf[T ~string](cmd *cobra.Command, flag string, values []string, known []T) ([]T, error) {
	var out []T
	for _, value := range values {
		i := slices.IndexFunc(known, func(k T) bool { return strings.EqualFold(string(k), value) })
		if i < 0 {
			return nil, usagef(cmd, "--%s: %q is none of %s", flag, value, strings.Trim(fmt.Sprint(known), "[]"))
		}
		out = append(out, known[i])
	}
	return out, nil
}

// pairs reads KEY=VALUE flags.
func pairs(cmd *cobra.Command, flag string, values []string) (map[string]string, error) {
	if len(values) == 0 {
		return nil, nil
	}
	out := make(map[string]string, len(values))
	for _, entry := range values {
		key, value, ok := strings.Cut(entry, "=")
		if !ok || key == "" {
			return nil, usagef(cmd, "--%s: %q is not of the form NAME=VALUE", flag, entry)
		}
		out[key] = value
	}
	return out, nil
}

func runRunsList(ctx context.Context, o *runsListOptions) error {
	return o.history(ctx, func(r reader) error {
		page, err := r.Runs().List(ctx, o.Filter)
		if err != nil {
			return err
		}
		if page.Runs == nil {
			page.Runs = []heddle.Run{}
		}
		return writeResult(o.Out, o.Config.Output, page, func(w io.Writer) error { return o.table(w, page) })
	})
}

func (o *runsListOptions) table(w io.Writer, page heddle.RunPage) error {
	if len(page.Runs) == 0 {
		fmt.Fprintln(o.Err, "heddle: no runs")
		return nil
	}
	now := o.Now()
	t := newTable(w)
	row(t, "ID", "NAME", "KIND", "STATE", "CREATED", "TOOK", "MESSAGE")
	for _, run := range page.Runs {
		message, _ := clip(harmless(run.Message), 60)
		row(t, string(run.ID), run.Name, string(run.Kind), verdict(run), ago(run.Created, now), span(run.Started, run.Ended, now), message)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if page.Next != "" {
		fmt.Fprintf(o.Err, "heddle: there are more: heddle runs list --after %s\n", page.Next)
	}
	return nil
}
