package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/app"
	"github.com/heddle/heddle/internal/machine"
	"github.com/heddle/heddle/internal/manifest"
)

// runsRetryOptions are what heddle runs retry is called with.
type runsRetryOptions struct {
	*factory
	selection
	Retry    heddle.RunRetry // Run aside
	With     string
	UseJobRC bool
	Log      logOptions
}

func newRunsRetry(f *factory, runF func(context.Context, *runsRetryOptions) error) *cobra.Command {
	opts := &runsRetryOptions{factory: f}
	var failed bool
	var from, only string
	cmd := &cobra.Command{
		Use:   "retry ID...",
		Short: "Do runs over where they failed",
		Long: `Make a new run that does over part of one that has ended, and take the rest over
from it with what it put out. The new run is shown as by 'heddle run'.

Of a graph of jobs, what did not end well is done over and all that depends on it; of a
matrix only the entries that did not end well. A state machine goes on at the step that
its outcome is from, with the input that the step had. With --from, a step that you
choose is done over and what follows it; with --only, that step alone. Finally steps run
again, except with --only.

With --with FILE the rest is run as an edited document says. Its steps are matched by
name: a step of a graph that differs is done over; where it would have to be taken over
(with --from, --only, and in a state machine) that is an error.

More than one run, or runs chosen by a filter, are retried side by side; of those chosen
by a filter without --outcome, runs that ended well are left out.`,
		Example: `  heddle runs retry 1f3k
  heddle runs retry 1f3k --from test --with fixed.yaml
  heddle runs retry 1f3k --dry-run
  heddle runs retry --outcome failure --since 1d`,
		ValidArgsFunction: completeRuns(f, heddle.RunEnded),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Retry = heddle.RunRetry{Mode: heddle.RetryFailed}
			switch chosen := cmd.Flags().Changed; {
			case chosen("from") && (chosen("only") || failed), chosen("only") && failed:
				return usagef(cmd, "--failed, --from and --only exclude each other")
			case chosen("from"):
				opts.Retry = heddle.RunRetry{Mode: heddle.RetryFrom, Step: from}
			case chosen("only"):
				opts.Retry = heddle.RunRetry{Mode: heddle.RetryOnly, Step: only}
			}
			if err := opts.readBulk(cmd, args, f.Now(), false); err != nil {
				return err
			}
			if err := opts.Log.check(cmd); err != nil {
				return err
			}
			return runF(cmd.Context(), opts)
		},
	}
	opts.bulkFlags(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&failed, "failed", false, "do over what did not end well (the default)")
	flags.StringVar(&from, "from", "", "do this step over, and what follows it")
	flags.StringVar(&only, "only", "", "do this step over, and nothing else")
	flags.StringVar(&opts.With, "with", "", "an edited document for the new run: a file, a URL, or - for standard input")
	remoteFlags(cmd, &opts.Log)
	flags.BoolVar(&opts.UseJobRC, "use-job-rc", true, "exit with a code that tells the outcome of the run")
	settingFlag(flags, "progress", &f.Config.Progress)
	retentionFlags(flags, &f.Config)
	flags.IntVar(&f.Config.Parallel, "parallel", f.Config.Parallel, "how many steps may be open at once; 0: as suits the machine (HEDDLE_PARALLEL)")
	settingFlag(flags, "output", &f.Config.Output)
	return cmd
}

// single reports whether one run is named, which is then shown like any other.
func (o *runsRetryOptions) single() bool { return len(o.Runs) == 1 && !o.filters() }

func runRunsRetry(ctx context.Context, o *runsRetryOptions) error {
	var document manifest.File
	if o.With != "" {
		var err error
		if document, err = o.read(ctx, o.With); err != nil {
			return err
		}
	}
	if o.DryRun {
		return o.history(ctx, func(r reader) error { return o.dryRun(ctx, r.Runs(), document) })
	}
	if !o.single() {
		o.Log.Plain = true // the live view shows one run
	}
	show, err := newShow(o.factory, o.Log)
	if err != nil {
		return err
	}
	defer show.Close()
	s, err := openSession(ctx, o.factory, show.log)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close(context.WithoutCancel(ctx)) }() // again, unless something fails first
	runs, err := o.chosen(ctx, s.Runs())
	if err != nil {
		return err
	}
	if !o.single() {
		return o.retryMany(ctx, s, show, runs, document)
	}
	run, err := o.submit(ctx, s.Runs(), runs[0].ID, document)
	if err != nil {
		return err
	}
	results, err := followAll(ctx, o.factory, s, show, []heddle.RunID{run.ID})
	if err != nil {
		return err
	}
	return o.finish(results, o.UseJobRC)
}

// chosen returns the runs to be retried.
func (o *runsRetryOptions) chosen(ctx context.Context, runs heddle.Runs) ([]heddle.Run, error) {
	if !o.idsOnly() && len(o.Filter.Outcomes) == 0 && o.Retry.Mode == heddle.RetryFailed {
		o.Filter.Outcomes = []heddle.Outcome{heddle.Failure, heddle.Abort, heddle.Timeout}
	}
	return o.findEnded(ctx, o.factory, runs)
}

// submit makes the new run.
func (o *runsRetryOptions) submit(ctx context.Context, runs heddle.Runs, id heddle.RunID, document manifest.File) (heddle.Run, error) {
	retry := o.Retry
	retry.Run = id
	sub := heddle.Submission{Retry: &retry}
	if o.With != "" {
		old, err := runs.Get(ctx, id)
		if err != nil {
			return heddle.Run{}, err
		}
		if sub.Flow, err = editedFlow(document, old); err != nil {
			return heddle.Run{}, err
		}
	}
	return runs.Submit(ctx, sub)
}

// editedFlow is the flow of a document that takes the place of a run's.
func editedFlow(document manifest.File, old heddle.RunDetail) (*heddle.Flow, error) {
	options := manifest.Options{Context: old.Run.Input.Context}
	if old.Flow != nil {
		options.Workflow, options.Ignite = old.Flow.Workflow, old.Flow.Initiator
	}
	parsed, err := manifest.ParseFiles([]manifest.File{document}, options)
	if err != nil {
		return nil, err
	}
	return parsed.Flow, app.Fit(old.Run.Executor, parsed.Flow)
}

// retriesAtOnce bounds how many of many retries are under way at once.
const retriesAtOnce = 32

func (o *runsRetryOptions) retryMany(ctx context.Context, s session, show *show, runs []heddle.Run, document manifest.File) error {
	t := o.newTally("retried", len(runs))
	line := make(chan heddle.RunID)
	var workers sync.WaitGroup
	for range min(retriesAtOnce, len(runs)) {
		workers.Go(func() {
			for id := range line {
				if err := o.retryOne(ctx, s, show, id, document); err != nil {
					t.fail(fmt.Errorf("run %s: %w", id, err))
				} else {
					t.done.Add(1)
				}
			}
		})
	}
	for _, run := range runs {
		if ctx.Err() == nil { // those that were begun are cancelled and waited for
			line <- run.ID
		}
	}
	close(line)
	workers.Wait()
	if ctx.Err() != nil {
		_ = t.end()
		return ctx.Err()
	}
	return t.end()
}

// retryOne retries a run and follows the new one to its end.
func (o *runsRetryOptions) retryOne(ctx context.Context, s session, show *show, id heddle.RunID, document manifest.File) error {
	run, err := o.submit(ctx, s.Runs(), id, document)
	if err != nil {
		return err
	}
	detail, err := follow(ctx, s, show, run.ID)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "%s %s %s\n", id, run.ID, detail.Run.Outcome)
	if !detail.Run.Outcome.Good() {
		return heddle.Errorf(heddle.CodeConflict, "its retry %s ended with %s: %s", run.ID, detail.Run.Outcome, detail.Run.Message)
	}
	return nil
}

// dryRun shows what the retry of one run comes to, or which runs would be retried.
func (o *runsRetryOptions) dryRun(ctx context.Context, runs heddle.Runs, document manifest.File) error {
	chosen, err := o.chosen(ctx, runs)
	if err != nil {
		return err
	}
	if !o.single() {
		return o.showSelected(chosen, "retried")
	}
	old, err := runs.Get(ctx, chosen[0].ID)
	if err != nil {
		return err
	}
	var flow *heddle.Flow
	if o.With != "" {
		if flow, err = editedFlow(document, old); err != nil {
			return err
		}
	}
	plan, err := machine.PlanRetry(flow, &old, o.Retry)
	if err != nil {
		return err
	}
	return writeResult(o.Out, o.Config.Output, plan, func(w io.Writer) error { return retryTable(w, plan) })
}

// retryTable writes what becomes of each step.
func retryTable(w io.Writer, plan heddle.RetryPlan) error {
	t := newTable(w)
	row(t, "STEP", "PLAN", "BEFORE", "TAKEN OVER", "DONE OVER")
	for _, step := range plan.Steps {
		takenOver, entries := "", make([]string, len(step.Redone))
		if step.Taken > 0 {
			takenOver = strconv.Itoa(step.Taken)
		}
		for i, index := range step.Redone {
			entries[i] = "[" + strconv.Itoa(index) + "]"
		}
		row(t, step.Step, string(step.Plan), string(step.Before), takenOver, strings.Join(entries, " "))
	}
	return t.Flush()
}
