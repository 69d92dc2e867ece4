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
	Runs   []string // none: all
	Filter heddle.RunFilter
}

func newRunsList(f *factory, runF func(context.Context, *runsListOptions) error) *cobra.Command {
	opts := &runsListOptions{factory: f}
	var filter selection
	cmd := &cobra.Command{
		Use:     "list [ID...]",
		Aliases: []string{"ls"},
		Short:   "List runs, newest first",
		Example: `  heddle runs list --state running
  heddle runs list --outcome failure,timeout --since 2d
  heddle runs list --label team=red -o json`,
		ValidArgsFunction: completeRuns(f),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := filter.readFilter(cmd, f.Now()); err != nil {
				return err
			}
			filter.Filter.Limit, filter.Filter.After = opts.Filter.Limit, opts.Filter.After
			opts.Filter = filter.Filter
			if opts.Filter.Limit < 1 || opts.Filter.Limit > 1000 {
				return usagef(cmd, "--limit: %d is not between 1 and 1000", opts.Filter.Limit)
			}
			opts.Runs = args
			return runF(cmd.Context(), opts)
		},
	}
	filter.filterFlags(cmd)
	flags := cmd.Flags()
	flags.IntVar(&opts.Filter.Limit, "limit", 50, "how many runs a page has")
	flags.StringVar(&opts.Filter.After, "after", "", "the next page: what the page before ended with")
	settingFlag(flags, "output", &f.Config.Output)
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
		if len(o.Runs) > 0 {
			ids, err := findRuns(ctx, r.Runs(), o.Runs)
			if err != nil {
				return err
			}
			o.Filter.IDs = ids
		}
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
