package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
)

// runsResumeOptions are what heddle runs resume is called with.
type runsResumeOptions struct {
	*factory
	Runs     []string
	UseJobRC bool
	Log      logOptions
}

func newRunsResume(f *factory, runF func(context.Context, *runsResumeOptions) error) *cobra.Command {
	opts := &runsResumeOptions{factory: f}
	cmd := &cobra.Command{
		Use:   "resume [ID...]",
		Short: "Go on with runs that a crash interrupted",
		Long: `Take up runs whose process is gone, all of them when none is named, and bring them
to their end, shown as by heddle run. Steps that went on running meanwhile are not
started again. The exit code is that of the first run that does not end well.`,
		ValidArgsFunction: completeRuns(f, openStates()...),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Runs = args
			if err := opts.Log.check(cmd); err != nil {
				return err
			}
			return runF(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	remoteFlags(cmd, &opts.Log)
	flags.BoolVar(&opts.UseJobRC, "use-job-rc", true, "exit with a code that tells the outcome of the runs")
	settingFlag(flags, "progress", &f.Config.Progress)
	flags.IntVar(&f.Config.Parallel, "parallel", f.Config.Parallel, "how many steps may be open at once; 0: as suits the machine (HEDDLE_PARALLEL)")
	settingFlag(flags, "output", &f.Config.Output)
	return cmd
}

func runRunsResume(ctx context.Context, o *runsResumeOptions) error {
	s, err := openSession(ctx, o.factory, o.log())
	if err != nil {
		return err
	}
	defer func() { _ = s.Close(context.WithoutCancel(ctx)) }()
	wanted, err := o.wanted(ctx, s)
	if err != nil {
		return err
	}
	if len(o.Runs) == 0 {
		wanted = nil // and so whatever is left, notices of ended runs too
	}
	taken, err := s.Resume(ctx, wanted...)
	if err != nil {
		return err
	}
	if len(o.Runs) == 0 && len(taken) == 0 {
		return o.nothing(ctx, s)
	}
	if len(taken) > 1 {
		o.Log.Plain = true // the live view shows one run
	}
	show, err := newShow(o.factory, o.Log)
	if err != nil {
		return err
	}
	defer show.Close()
	for _, id := range wanted {
		if !slices.Contains(taken, id) {
			show.log.Warn("not taken up, another process was faster", "run_id", string(id))
		}
	}
	results, err := followAll(ctx, o.factory, s, show, taken)
	if err != nil {
		return err
	}
	return o.finish(results, o.UseJobRC)
}

// nothing ends the command when there is no run to take up; notices that were left
// are delivered.
func (o *runsResumeOptions) nothing(ctx context.Context, s session) error {
	done := o.waitingFor("delivering notices that were left")
	defer done()
	if err := s.Close(context.WithoutCancel(ctx)); err != nil {
		o.log().Warn("closing the data directory", "error", err)
	}
	fmt.Fprintln(o.Err, "heddle: no run is interrupted")
	return nil
}

// wanted is the runs to be taken up: those named, which must be interrupted, or
// all that are.
func (o *runsResumeOptions) wanted(ctx context.Context, s session) ([]heddle.RunID, error) {
	orphans, err := s.Orphaned(ctx)
	if err != nil || len(o.Runs) == 0 {
		return orphans, err
	}
	ids, err := findRuns(ctx, s.Runs(), o.Runs)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if slices.Contains(orphans, id) {
			continue
		}
		detail, err := s.Runs().Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if detail.Run.State == heddle.RunEnded {
			return nil, heddle.Errorf(heddle.CodeConflict, "run %s has ended already: %s", id, detail.Run.Outcome)
		}
		return nil, heddle.Errorf(heddle.CodeConflict, "run %s is not interrupted: another process brings it forward", id)
	}
	return ids, nil
}
