package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
)

// selection says which runs a command is about: those named, those that the filter
// lets through, or both at once.
type selection struct {
	Runs   []string // IDs or beginnings of IDs
	Filter heddle.RunFilter
	All    bool
	DryRun bool

	states, outcomes, kinds, labels []string
	since, until                    string
}

// filterFlags binds the flags of the filter, the same for all commands.
func (s *selection) filterFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&s.states, "state", nil, "only runs in this state: pending, running, stopping, finally, ended")
	flags.StringSliceVar(&s.outcomes, "outcome", nil, "only runs that ended so: success, failure, abort, timeout")
	flags.StringSliceVar(&s.kinds, "kind", nil, "only runs of this kind of document: Job, Pipeline, Task, Chain, ReactiveJob")
	flags.StringVar(&s.Filter.Name, "name", "", "only runs with this name")
	flags.StringArrayVar(&s.labels, "label", nil, "only runs with this label: KEY=VALUE; may be repeated")
	flags.StringVar(&s.since, "since", "", "only runs made since: 2h, 7d, 2006-01-02 or RFC 3339")
	flags.StringVar(&s.until, "until", "", "only runs made before, in the form of --since")
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions([]string{"pending", "running", "stopping", "finally", "ended"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("outcome", cobra.FixedCompletions([]string{"success", "failure", "abort", "timeout"}, cobra.ShellCompDirectiveNoFileComp))
}

// bulkFlags binds the flags of commands that do something to many runs.
func (s *selection) bulkFlags(cmd *cobra.Command) {
	s.filterFlags(cmd)
	cmd.Flags().BoolVar(&s.All, "all", false, "all runs, when no ID and no filter is given")
	cmd.Flags().BoolVar(&s.DryRun, "dry-run", false, "show what would be done, and do nothing")
}

// readFilter turns the flags into the filter.
func (s *selection) readFilter(cmd *cobra.Command, now time.Time) error {
	var err error
	if s.Filter.States, err = oneOf(cmd, "state", s.states, append(openStates(), heddle.RunEnded)); err != nil {
		return err
	}
	if s.Filter.Outcomes, err = oneOf(cmd, "outcome", s.outcomes, heddle.Outcomes()); err != nil {
		return err
	}
	known := []heddle.Kind{heddle.KindJob, heddle.KindPipeline, heddle.KindTask, heddle.KindChain, heddle.KindReactiveJob}
	if s.Filter.Kinds, err = oneOf(cmd, "kind", s.kinds, known); err != nil {
		return err
	}
	if s.Filter.Labels, err = pairs(cmd, "label", s.labels); err != nil {
		return err
	}
	if s.since != "" {
		if s.Filter.Since, err = sinceTime(s.since, now); err != nil {
			return usagef(cmd, "--since: %w", err)
		}
	}
	if s.until != "" {
		if s.Filter.Until, err = sinceTime(s.until, now); err != nil {
			return usagef(cmd, "--until: %w", err)
		}
	}
	return nil
}

// readBulk is readFilter for commands that want to be told which runs they are about.
// more says that something else on the command line has told it.
func (s *selection) readBulk(cmd *cobra.Command, args []string, now time.Time, more bool) error {
	s.Runs = args
	if err := s.readFilter(cmd, now); err != nil {
		return err
	}
	switch {
	case s.All && (len(args) > 0 || s.filters()):
		return usagef(cmd, "--all goes with neither IDs nor filters")
	case !s.All && len(args) == 0 && !s.filters() && !more:
		return usagef(cmd, "%s needs to be told which runs: give IDs, a filter such as --state or --name, or --all", cmd.CommandPath())
	}
	return nil
}

// filters reports whether any flag of the filter was given.
func (s *selection) filters() bool {
	f := &s.Filter
	return len(f.States)+len(f.Outcomes)+len(f.Kinds)+len(f.Labels) > 0 || f.Name != "" || !f.Since.IsZero() || !f.Until.IsZero()
}

// idsOnly reports whether runs are named and nothing else is said.
func (s *selection) idsOnly() bool { return len(s.Runs) > 0 && !s.filters() }

// find returns the selected runs, newest first. states are those in which the command
// has anything to do with a run; none: all.
func (s *selection) find(ctx context.Context, f *factory, runs heddle.Runs, states ...heddle.RunState) ([]heddle.Run, error) {
	done := f.waitingFor("looking for runs")
	defer done()
	filter := s.Filter
	if len(s.Runs) > 0 {
		ids, err := findRuns(ctx, runs, s.Runs)
		if err != nil {
			return nil, err
		}
		filter.IDs = ids
	}
	switch {
	case len(states) == 0:
	case len(filter.States) == 0:
		filter.States = states
	default:
		filter.States = slices.DeleteFunc(slices.Clone(filter.States), func(state heddle.RunState) bool { return !slices.Contains(states, state) })
		if len(filter.States) == 0 {
			return nil, nil
		}
	}
	filter.Limit = 1000
	var found []heddle.Run
	for {
		page, err := runs.List(ctx, filter)
		if err != nil {
			return nil, err
		}
		found = append(found, page.Runs...)
		if page.Next == "" {
			return found, nil
		}
		filter.After = page.Next
	}
}

// findEnded returns the selected runs that have ended; one that is named and has not
// is an error.
func (s *selection) findEnded(ctx context.Context, f *factory, runs heddle.Runs) ([]heddle.Run, error) {
	if !s.idsOnly() {
		return s.find(ctx, f, runs, heddle.RunEnded)
	}
	found, err := s.find(ctx, f, runs)
	for _, run := range found {
		if run.State != heddle.RunEnded {
			return nil, heddle.Errorf(heddle.CodeConflict, "run %s has not ended: it is %s", run.ID, run.State)
		}
	}
	return found, err
}

// fewRuns is how many of the selected runs a dry run shows.
const fewRuns = 10

// selected is what a dry run says.
type selected struct {
	Count int          `json:"count"`
	Runs  []heddle.Run `json:"runs"` // the first few
}

// showSelected writes how many runs there are, and the first few.
func (f *factory) showSelected(runs []heddle.Run, what string) error {
	s := selected{Count: len(runs), Runs: append([]heddle.Run{}, runs[:min(len(runs), fewRuns)]...)}
	return writeResult(f.Out, f.Config.Output, s, func(w io.Writer) error {
		fmt.Fprintf(w, "%s would be %s", plural(s.Count, "run", "runs"), what)
		if s.Count == 0 {
			fmt.Fprintln(w)
			return nil
		}
		if s.Count > fewRuns {
			fmt.Fprintf(w, "; the first %d are", fewRuns)
		}
		fmt.Fprint(w, ":\n\n")
		list := runsListOptions{factory: f}
		return list.table(w, heddle.RunPage{Runs: s.Runs})
	})
}

// tally counts what became of the runs of a bulk command, and tells how far it is
// when it takes more than a moment.
type tally struct {
	f            *factory
	what         string // what is done to them: "cancelled"
	total        int
	done, failed atomic.Int64
	stop         chan struct{}
	over         sync.WaitGroup
}

func (f *factory) newTally(what string, total int) *tally {
	t := &tally{f: f, what: what, total: total, stop: make(chan struct{})}
	t.over.Go(func() {
		ticker := time.NewTicker(patience)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				fmt.Fprintf(f.Err, "heddle: %d of %s %s ...\n", t.done.Load()+t.failed.Load(), plural(total, "run", "runs"), what)
			case <-t.stop:
				return
			}
		}
	})
	return t
}

// fail counts a run as failed and says why.
func (t *tally) fail(err error) {
	t.failed.Add(1)
	t.f.complain(err)
}

// end says what became of the runs, and is the error of the command.
func (t *tally) end() error {
	close(t.stop)
	t.over.Wait()
	text := fmt.Sprintf("%s %s", plural(int(t.done.Load()), "run", "runs"), t.what)
	if n := t.failed.Load(); n > 0 {
		text += fmt.Sprintf(", %d failed", n)
	}
	fmt.Fprintf(t.f.Err, "heddle: %s\n", text)
	if t.failed.Load() > 0 {
		return exitError(exitFailure)
	}
	return nil
}
