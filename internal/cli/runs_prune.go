package cli

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/app"
	"github.com/heddle/heddle/internal/config"
)

// runsPruneOptions are what heddle runs prune is called with.
type runsPruneOptions struct {
	*factory
	selection
	Limits app.PruneLimits
}

func newRunsPrune(f *factory, runF func(context.Context, *runsPruneOptions) error) *cobra.Command {
	opts := &runsPruneOptions{factory: f}
	var age, size string
	cmd := &cobra.Command{
		Use:   "prune [ID...]",
		Short: "Delete runs that have ended, with their logs",
		Long: `Delete runs that have ended, with their logs: those named, those that the filter lets
through, or all. With --older-than, --keep or --max-bytes only those of them go that
are too old, too many or too large together, the oldest first. A run is left alone while
the process that ran it is there. What 'heddle run' deletes by itself is told by
'heddle help environment', under HEDDLE_RETENTION_AGE.`,
		Example: `  heddle runs prune --older-than 30d
  heddle runs prune --outcome success --keep 100
  heddle runs prune --max-bytes 1GiB --dry-run`,
		ValidArgsFunction: completeRuns(f, heddle.RunEnded),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if age != "" {
				if opts.Limits.OlderThan, err = config.ParseDuration(age); err != nil || opts.Limits.OlderThan == 0 {
					return usagef(cmd, "--older-than: %q is no length of time: write 30d, 2w or 12h", age)
				}
			}
			if size != "" {
				if opts.Limits.MaxBytes, err = config.ParseBytes(size); err != nil || opts.Limits.MaxBytes == 0 {
					return usagef(cmd, "--max-bytes: %q is no size: write 1GiB or 500MB", size)
				}
			}
			if cmd.Flags().Changed("keep") && opts.Limits.Keep < 1 {
				return usagef(cmd, "--keep: %d is not a number from 1", opts.Limits.Keep)
			}
			if err := opts.readBulk(cmd, args, f.Now(), opts.Limits != (app.PruneLimits{})); err != nil {
				return err
			}
			return runF(cmd.Context(), opts)
		},
	}
	opts.bulkFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&age, "older-than", "", "only those that ended longer ago: 30d, 2w, 12h")
	flags.IntVar(&opts.Limits.Keep, "keep", 0, "leave so many of them, the newest")
	flags.StringVar(&size, "max-bytes", "", "leave about as many bytes of them: 1GiB, 500MB")
	settingFlag(flags, "output", &f.Config.Output)
	return cmd
}

// pruner is a reader that can delete: an [app.Reader].
type pruner interface {
	PlanPrune(ctx context.Context, runs []heddle.Run, l app.PruneLimits, now time.Time) (victims []heddle.Run, held int, err error)
	Prune(ctx context.Context, ids []heddle.RunID) ([]heddle.RunID, error)
}

var _ pruner = (*app.Reader)(nil)

func runRunsPrune(ctx context.Context, o *runsPruneOptions) error {
	return o.history(ctx, func(r reader) error {
		p, ok := r.(pruner)
		if !ok {
			return heddle.Errorf(heddle.CodeUnavailable, "runs cannot be deleted from here")
		}
		runs, err := o.findEnded(ctx, o.factory, r.Runs())
		if err != nil {
			return err
		}
		victims, held, err := p.PlanPrune(ctx, runs, o.Limits, o.Now())
		if err != nil {
			return err
		}
		if o.DryRun {
			return o.showSelected(victims, "deleted")
		}
		t := o.newTally("deleted", len(victims))
		if o.idsOnly() && held > 0 {
			t.failed.Add(int64(held))
			o.complain(heddle.Errorf(heddle.CodeConflict, "%s left alone: the process that ran them is still there", plural(held, "run is", "runs are")))
		}
		const batch = 100
		for piece := range slices.Chunk(victims, batch) {
			ids := make([]heddle.RunID, len(piece))
			for i := range piece {
				ids[i] = piece[i].ID
			}
			gone, err := p.Prune(ctx, ids)
			t.done.Add(int64(len(gone)))
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				_ = t.end()
				return err
			}
		}
		return t.end()
	})
}
