package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
)

// runsCancelOptions are what heddle runs cancel is called with.
type runsCancelOptions struct {
	*factory
	selection
	Reason string
}

func newRunsCancel(f *factory, runF func(context.Context, *runsCancelOptions) error) *cobra.Command {
	opts := &runsCancelOptions{factory: f}
	cmd := &cobra.Command{
		Use:   "cancel [ID...]",
		Short: "Stop runs and wait until they have ended",
		Long: `Stop runs and wait until they have ended. Their open steps are stopped, their
finally steps still run. The request is kept: a run whose process is gone is taken
up here and brought to its end.`,
		ValidArgsFunction: completeRuns(f, openStates()...),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := opts.readBulk(cmd, args, f.Now(), false); err != nil {
				return err
			}
			return runF(cmd.Context(), opts)
		},
	}
	opts.bulkFlags(cmd)
	settingFlag(cmd.Flags(), "output", &f.Config.Output)
	cmd.Flags().StringVar(&opts.Reason, "reason", "cancelled by user", "why, as it stands in the run")
	return cmd
}

func runRunsCancel(ctx context.Context, o *runsCancelOptions) error {
	return o.history(ctx, func(r reader) error {
		if o.DryRun || !o.idsOnly() {
			return o.cancelMany(ctx, r)
		}
		ids, err := findRuns(ctx, r.Runs(), o.Runs)
		if err != nil {
			return err
		}
		var orphans []heddle.RunID
		for _, id := range ids {
			detail, err := r.Runs().Get(ctx, id)
			if err != nil {
				return err
			}
			if detail.Run.State == heddle.RunEnded {
				return heddle.Errorf(heddle.CodeConflict, "run %s has ended already: %s", id, detail.Run.Outcome)
			}
			if orphaned(detail) {
				orphans = append(orphans, id)
			}
		}
		for _, id := range ids {
			if err := r.Runs().Cancel(ctx, id, o.Reason); err != nil && heddle.CodeOf(err) != heddle.CodeConflict {
				return err
			}
		}
		if len(orphans) > 0 {
			s, err := openSession(ctx, o.factory, o.log())
			if err != nil {
				return err
			}
			defer func() { _ = s.Close(context.WithoutCancel(ctx)) }()
			if _, err := s.Resume(ctx, orphans...); err != nil {
				return err
			}
		}
		for _, id := range ids {
			if err := o.await(ctx, r.Runs(), id); err != nil {
				return err
			}
		}
		return nil
	})
}

// orphaned reports whether nobody brings the run forward.
func orphaned(d heddle.RunDetail) bool {
	return slices.ContainsFunc(d.Waiting, func(w heddle.Waiting) bool { return w.Reason == heddle.WaitOwner })
}

// await waits until a run has ended and says how.
func (o *runsCancelOptions) await(ctx context.Context, runs heddle.Runs, id heddle.RunID) error {
	done := o.waitingFor("waiting for run " + string(id) + " to end")
	defer done()
	updates, err := runs.Watch(ctx, id)
	if err != nil {
		return err
	}
	for u := range updates {
		if u.Run.State == heddle.RunEnded {
			_, err := fmt.Fprintf(o.Out, "%s %s\n", id, u.Run.Outcome)
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return heddle.Errorf(heddle.CodeUnavailable, "run %s was asked to stop and has not ended: 'heddle runs show %s' tells what it waits for", id, id)
}
