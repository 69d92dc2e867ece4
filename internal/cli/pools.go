package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
)

// newPools makes the command that groups those on pools.
func newPools(f *factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pools",
		Short: "List, make, resize and delete pools",
		Long: `A pool is a named number of places, shared by all runs of a data directory or
database that belong to one organization. A step whose document names a pool takes one of its places, or as many as
its weight says, for as long as an attempt of it is open, and waits while there are
too few: first come, first served.`,
		Example: `  heddle pools set licences 4      there are 4 places
  heddle pools list                how many of them are taken
  heddle runs show 1f3k            which run a step waits for`,
		Args: cobra.ArbitraryArgs,
		RunE: groupHelp,
	}
	cmd.AddCommand(newPoolsList(f, runPoolsList), newPoolsSet(f, runPoolsSet), newPoolsDelete(f, runPoolsDelete))
	return cmd
}

// poolsOptions are what the commands on pools are called with.
type poolsOptions struct {
	*factory
	Organization string
	Name         string
	Size         int
}

func poolsOrganizationFlag(cmd *cobra.Command, opts *poolsOptions) {
	cmd.Flags().StringVar(&opts.Organization, "organization", heddle.DefaultOrganization, "whose pools are meant; 'heddle run' takes places in those of default")
}

func newPoolsList(f *factory, runF func(context.Context, *poolsOptions) error) *cobra.Command {
	opts := &poolsOptions{factory: f}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List pools: how many places each has, how many are taken, and how many steps wait",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
	settingFlag(cmd.Flags(), "output", &f.Config.Output)
	poolsOrganizationFlag(cmd, opts)
	return cmd
}

func runPoolsList(ctx context.Context, o *poolsOptions) error {
	return o.history(ctx, func(r reader) error {
		pools, err := r.Pools().Pools(ctx, o.Organization)
		if err != nil {
			return err
		}
		return writeResult(o.Out, o.Config.Output, pools, func(w io.Writer) error {
			t := newTable(w)
			row(t, "NAME", "SIZE", "TAKEN", "WAITING")
			for _, p := range pools {
				row(t, p.Name, strconv.Itoa(p.Size), strconv.Itoa(p.Taken), strconv.Itoa(p.Waiting))
			}
			return t.Flush()
		})
	})
}

func newPoolsSet(f *factory, runF func(context.Context, *poolsOptions) error) *cobra.Command {
	opts := &poolsOptions{factory: f}
	cmd := &cobra.Command{
		Use:   "set NAME SIZE",
		Short: "Make a pool with so many places, or give one another size",
		Long: `Make a pool with so many places, or give one another size. Steps that wait go on
at once where there is room now; what is taken beyond a smaller size runs out.`,
		Example:           `  heddle pools set licences 4`,
		ValidArgsFunction: completePools(opts),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef(cmd, "%s takes a name and a size, not %s", cmd.CommandPath(), plural(len(args), "argument", "arguments"))
			}
			size, err := strconv.Atoi(args[1])
			if err != nil {
				return usagef(cmd, "size: %q is not a whole number", args[1])
			}
			opts.Name, opts.Size = args[0], size
			return runF(cmd.Context(), opts)
		},
	}
	poolsOrganizationFlag(cmd, opts)
	return cmd
}

func runPoolsSet(ctx context.Context, o *poolsOptions) error {
	return o.history(ctx, func(r reader) error {
		if err := r.Pools().SetPool(ctx, o.Organization, o.Name, o.Size); err != nil {
			return err
		}
		_, err := fmt.Fprintf(o.Out, "%s has %s\n", harmless(o.Name), plural(o.Size, "place", "places"))
		return err
	})
}

func newPoolsDelete(f *factory, runF func(context.Context, *poolsOptions) error) *cobra.Command {
	opts := &poolsOptions{factory: f}
	cmd := &cobra.Command{
		Use:               "delete NAME",
		Short:             "Delete a pool that no run uses",
		ValidArgsFunction: completePools(opts),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef(cmd, "%s takes one name, not %d", cmd.CommandPath(), len(args))
			}
			opts.Name = args[0]
			return runF(cmd.Context(), opts)
		},
	}
	poolsOrganizationFlag(cmd, opts)
	return cmd
}

func runPoolsDelete(ctx context.Context, o *poolsOptions) error {
	return o.history(ctx, func(r reader) error {
		if err := r.Pools().DeletePool(ctx, o.Organization, o.Name); err != nil {
			return err
		}
		_, err := fmt.Fprintf(o.Out, "%s is deleted\n", harmless(o.Name))
		return err
	})
}

// completePools offers the names of pools.
func completePools(o *poolsOptions) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		offers := o.complete(cmd.Context(), func(r reader) []string {
			pools, err := r.Pools().Pools(cmd.Context(), o.Organization)
			if err != nil {
				return nil
			}
			var names []string
			for _, p := range pools {
				if strings.HasPrefix(p.Name, toComplete) {
					names = append(names, p.Name+"\t"+places(p))
				}
			}
			return names
		})
		return offers, cobra.ShellCompDirectiveNoFileComp
	}
}

func places(p heddle.Pool) string { return plural(p.Size, "place", "places") }
