package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
)

// runsShowOptions are what heddle runs show is called with.
type runsShowOptions struct {
	*factory
	Run string
}

func newRunsShow(f *factory, runF func(context.Context, *runsShowOptions) error) *cobra.Command {
	opts := &runsShowOptions{factory: f}
	cmd := &cobra.Command{
		Use:               "show ID",
		Short:             "Show a run: its steps, their attempts, and what it waits for",
		Args:              needRun,
		ValidArgsFunction: completeRuns(f),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Run = args[0]
			return runF(cmd.Context(), opts)
		},
	}
	settingFlag(cmd.Flags(), "output", &f.Config.Output)
	return cmd
}

func runRunsShow(ctx context.Context, o *runsShowOptions) error {
	return o.history(ctx, func(r reader) error {
		id, err := findRun(ctx, r.Runs(), o.Run)
		if err != nil {
			return err
		}
		detail, err := r.Runs().Get(ctx, id)
		if err != nil {
			return err
		}
		return writeResult(o.Out, o.Config.Output, detail, func(w io.Writer) error {
			if err := showRun(w, detail, o.Now()); err != nil {
				return err
			}
			return showOutput(ctx, w, detail, r.Logs())
		})
	})
}

// showRun writes a run for people.
func showRun(w io.Writer, d heddle.RunDetail, now time.Time) error {
	run := d.Run
	facts := newTable(w)
	fact := func(name, value string) {
		if value != "" {
			row(facts, name+":", value)
		}
	}
	fact("Run", string(run.ID))
	fact("Name", run.Name)
	fact("Kind", string(run.Kind))
	fact("State", verdict(run))
	if v := culprit(d); v != nil {
		fact("Reason", "step "+visitName(d.Flow, *v)+": "+cmp.Or(run.Message, "it said "+string(v.Outcome)))
	} else {
		fact("Message", run.Message)
	}
	fact("Executor", run.Executor)
	fact("Parent", string(run.Parent))
	fact("Correlation", run.Input.CorrelationID)
	var labels []string
	for _, key := range slices.Sorted(maps.Keys(run.Labels)) {
		labels = append(labels, key+"="+run.Labels[key])
	}
	fact("Labels", strings.Join(labels, " "))
	fact("Created", run.Created.Local().Format(time.DateTime)+" ("+ago(run.Created, now)+")")
	fact("Took", span(run.Started, run.Ended, now))
	if err := facts.Flush(); err != nil {
		return err
	}
	for _, waiting := range d.Waiting {
		who := "waits"
		if waiting.Step != "" {
			who = "step " + waiting.Step + " waits"
		}
		fmt.Fprintf(w, "\n%s: %s (%s)\n", harmless(who), harmless(waiting.Message), waiting.Reason)
	}
	if len(d.Visits) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	if err := stepTable(w, d, now); err != nil {
		return err
	}
	section(w, []string{"OUTPUT", "VALUE"}, outputRows(d))
	return nil
}

// outputRows names what steps have put out, in flows that hand no context on. A text
// is shown as it is, any other value as JSON; long ones are cut.
func outputRows(d heddle.RunDetail) (rows [][]string) {
	if d.Flow == nil || d.Flow.Context != nil {
		return nil
	}
	for _, v := range d.Visits {
		var named map[string]json.RawMessage
		if len(v.Output) == 0 || json.Unmarshal(v.Output, &named) != nil {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(named)) {
			var value string
			if named[name][0] != '"' || json.Unmarshal(named[name], &value) != nil {
				value = string(named[name])
			}
			value, _ = clip(value, 80)
			rows = append(rows, []string{visitName(d.Flow, v) + "." + name, value})
		}
	}
	return rows
}

// culprit returns the visit from which a run has its outcome, if that is not good
// and one of them has it.
func culprit(d heddle.RunDetail) *heddle.Visit {
	if d.Run.State != heddle.RunEnded || d.Run.Outcome.Good() {
		return nil
	}
	for i := len(d.Visits) - 1; i >= 0; i-- {
		if v := &d.Visits[i]; v.Outcome == d.Run.Outcome && v.Message == d.Run.Message {
			return v
		}
	}
	return nil
}

// lastLines is how much of the culprit's output is shown.
const lastLines = 5

// showOutput writes the last lines that the culprit printed, its result aside.
func showOutput(ctx context.Context, w io.Writer, d heddle.RunDetail, logs heddle.Logs) error {
	v := culprit(d)
	if v == nil {
		return nil
	}
	var last []string
	for line, err := range logs.Lines(ctx, heddle.LogQuery{Run: d.Run.ID, Visit: v.No}) {
		if err != nil {
			return err
		}
		if isResult(line) {
			continue
		}
		if last = append(last, line.Text); len(last) > lastLines {
			last = last[1:]
		}
	}
	if len(last) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\nLast output of step %s:\n", harmless(visitName(d.Flow, *v)))
	for _, text := range last {
		text, _ = clip(harmless(text), 200)
		fmt.Fprintln(w, "  "+text)
	}
	_, err := fmt.Fprintf(w, "All of it: heddle runs logs %s --step %s\n", d.Run.ID, harmless(v.Step))
	return err
}

// stepTable writes a line for each visit and, below those that were tried more
// than once, for each attempt.
func stepTable(w io.Writer, d heddle.RunDetail, now time.Time) error {
	t := newTable(w)
	row(t, "NO", "STEP", "STATE", "CODE", "STARTED", "TOOK", "MESSAGE")
	for _, v := range d.Visits {
		state, code := string(v.State), ""
		if v.State == heddle.VisitSettled {
			state, code = string(v.Outcome), strconv.Itoa(v.Code)
		}
		message := v.Message
		if d.Run.TakenOver(&v) {
			message = strings.TrimPrefix(message+"; taken over from "+string(d.Run.Parent), "; ")
		}
		row(t, strconv.Itoa(v.No), visitName(d.Flow, v), state, code, ago(v.Opened, now), span(v.Opened, v.Settled, now), message)
		if v.Attempts < 2 {
			continue
		}
		for _, a := range d.Attempts {
			if a.Visit == v.No {
				row(t, "", fmt.Sprintf("  try %d", a.No), a.Status.Info().Word, strconv.Itoa(a.ExitCode),
					ago(a.Created, now), span(a.Started, a.Ended, now), a.Message)
			}
		}
	}
	return t.Flush()
}

// visitName is the step's name, with the index of a matrix and the number of the
// visit where they tell visits apart.
func visitName(flow *heddle.Flow, v heddle.Visit) string {
	name := v.Step
	if inMatrix(flow, v.Step) {
		name = strings.TrimSuffix(name, "[]") + "[" + strconv.Itoa(v.Index) + "]" // a pipeline's member is called job[]
	}
	if v.Nth > 1 {
		name += " #" + strconv.Itoa(v.Nth)
	}
	return name
}

// inMatrix reports whether a step is the member of a group that has a matrix.
func inMatrix(flow *heddle.Flow, step string) bool {
	s := stepOf(flow, step)
	if s == nil || s.Group == "" {
		return false
	}
	group := stepOf(flow, s.Group)
	return group != nil && group.Matrix != nil
}

// stepOf returns the step of that name, or nil.
func stepOf(flow *heddle.Flow, name string) *heddle.Step {
	if flow == nil {
		return nil
	}
	for i := range flow.Steps {
		if flow.Steps[i].Name == name {
			return &flow.Steps[i]
		}
	}
	return nil
}
