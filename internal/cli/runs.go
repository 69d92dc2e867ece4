package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/config"
)

// newRuns makes the command that groups those on stored runs.
func newRuns(f *factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "runs",
		Short: "List, show, cancel, retry, resume and delete runs",
		Long: `Every run is kept in the data directory. A run is named by its ID or by the
beginning of it, as long as only one run begins so.`,
		Args: cobra.ArbitraryArgs,
		RunE: groupHelp,
	}
	cmd.AddCommand(newRunsList(f, runRunsList), newRunsShow(f, runRunsShow), newRunsLogs(f, runRunsLogs),
		newRunsCancel(f, runRunsCancel), newRunsRetry(f, runRunsRetry), newRunsPrune(f, runRunsPrune), newRunsResume(f, runRunsResume))
	return cmd
}

// findRun returns the run with that ID, or the only one whose ID begins so.
func findRun(ctx context.Context, runs heddle.Runs, prefix string) (heddle.RunID, error) {
	id := heddle.RunID(strings.ToLower(prefix))
	if !id.Valid() && !heddle.RunID(strings.TrimRight(string(id), "-")).Valid() {
		return "", heddle.Errorf(heddle.CodeInvalid, "%q is no run ID: see 'heddle runs list'", prefix)
	}
	_, err := runs.Get(ctx, id)
	if err == nil || heddle.CodeOf(err) != heddle.CodeNotFound {
		return id, err
	}
	filter := heddle.RunFilter{Limit: 1000}
	var found []heddle.RunID
	for {
		page, err := runs.List(ctx, filter)
		if err != nil {
			return "", err
		}
		for _, run := range page.Runs {
			if strings.HasPrefix(string(run.ID), string(id)) {
				found = append(found, run.ID)
			}
			if len(found) > 1 {
				return "", heddle.Errorf(heddle.CodeInvalid, "more than one run begins with %q: %s and %s among them", prefix, found[0], found[1])
			}
		}
		if page.Next == "" {
			break
		}
		filter.After = page.Next
	}
	if len(found) == 0 {
		return "", heddle.Errorf(heddle.CodeNotFound, "no run is or begins with %q: see 'heddle runs list'", prefix)
	}
	return found[0], nil
}

// findRuns is [findRun] for several.
func findRuns(ctx context.Context, runs heddle.Runs, prefixes []string) ([]heddle.RunID, error) {
	var ids []heddle.RunID
	for _, prefix := range prefixes {
		id, err := findRun(ctx, runs, prefix)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// needRun wants exactly one run ID.
func needRun(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef(cmd, "%s takes one run ID, not %d", cmd.CommandPath(), len(args))
	}
	return nil
}

// completeRuns offers the newest runs in the given states (none: all), each with
// what it is.
func completeRuns(f *factory, states ...heddle.RunState) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		offers := f.complete(cmd.Context(), func(r reader) []string {
			page, err := r.Runs().List(cmd.Context(), heddle.RunFilter{States: states, Limit: 100})
			if err != nil {
				return nil
			}
			var offers []string
			for _, run := range page.Runs {
				if strings.HasPrefix(string(run.ID), toComplete) {
					offers = append(offers, string(run.ID)+"\t"+run.Name+", "+verdict(run)+", "+ago(run.Created, f.Now()))
				}
			}
			return offers
		})
		return offers, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// openStates are the states of runs that have not ended.
func openStates() []heddle.RunState {
	return []heddle.RunState{heddle.RunPending, heddle.RunRunning, heddle.RunStopping, heddle.RunFinally}
}

// sinceTime reads a time for a filter: a duration back from now (also in days and
// weeks, as 7d), a date, or RFC 3339.
func sinceTime(s string, now time.Time) (time.Time, error) {
	if d, err := config.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, heddle.Errorf(heddle.CodeInvalid, "%q is no time: write 2h, 7d, 2006-01-02 or RFC 3339", s)
}
