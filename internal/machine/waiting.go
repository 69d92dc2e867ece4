package machine

import (
	"fmt"
	"strings"
	"time"

	"github.com/heddle/heddle"
)

// Facts is what a reason for waiting is told from: a flow, and the rows of a run.
type Facts struct {
	Step    *heddle.Step
	Visit   *heddle.Visit
	Attempt *heddle.Attempt // the open one, or nil
	Limit   int             // the flow's MaxParallel
	Open    int             // attempts of the run that are open
	Line    *heddle.Line    // in which the visit stands, or nil
}

// Waits says of each open visit that does not run why it waits, in order of
// opening. It works on rows, so that everybody who can read a run can ask.
func Waits(d *heddle.RunDetail) []heddle.Waiting {
	steps := map[string]*heddle.Step{}
	f := Facts{}
	if d.Flow != nil {
		f.Limit = d.Flow.MaxParallel
		for i := range d.Flow.Steps {
			steps[d.Flow.Steps[i].Name] = &d.Flow.Steps[i]
		}
	}
	open := map[int]*heddle.Attempt{}
	for i := range d.Attempts {
		if a := &d.Attempts[i]; !a.Status.Ended() {
			open[a.Visit] = a
		}
	}
	f.Open = len(open)
	lines := map[int]*heddle.Line{}
	for i := range d.Lines {
		lines[d.Lines[i].Visit] = &d.Lines[i]
	}
	if d.Run.State == heddle.RunPending {
		return waitsForKey(lines[0])
	}
	var waits []heddle.Waiting
	for i := range d.Visits {
		v := &d.Visits[i]
		f.Step, f.Visit, f.Attempt, f.Line = steps[v.Step], v, open[v.No], lines[v.No]
		if f.Step == nil || v.State == heddle.VisitSettled {
			continue
		}
		if reason, message, found := Why(f); found {
			waits = append(waits, heddle.Waiting{Visit: v.No, Step: v.Step, Reason: reason, Message: message})
		}
	}
	return waits
}

// Why asks one question after the other; the first that applies is the answer.
func Why(f Facts) (reason, message string, found bool) {
	for _, ask := range []func(Facts) (string, string, bool){
		whyBackoff, whyMatrix, whyKey, whyPool, whyParallel, whyPlace, whyExecutor,
	} {
		if reason, message, found = ask(f); found {
			return reason, message, true
		}
	}
	return "", "", false
}

func whyBackoff(f Facts) (string, string, bool) {
	if f.Visit.State != heddle.VisitBackoff {
		return "", "", false
	}
	return heddle.WaitBackoff, fmt.Sprintf("attempt %d failed; the next starts at %s",
		f.Visit.Attempts, f.Visit.Due.UTC().Format(time.RFC3339)), true
}

func whyMatrix(f Facts) (string, string, bool) {
	if f.Visit.State != heddle.VisitQueued || f.Step.Group == "" || f.Step.Key != "" && f.Step.Busy != heddle.BusyAllow {
		return "", "", false
	}
	return heddle.WaitMatrix, "as many of the matrix are open as its limit allows", true
}

func whyKey(f Facts) (string, string, bool) {
	if f.Visit.State != heddle.VisitQueued {
		return "", "", false
	}
	return heddle.WaitKey, fmt.Sprintf("another visit holds the key %q", f.Step.Key), true
}

func whyPool(f Facts) (string, string, bool) {
	if f.Visit.State != heddle.VisitReady || f.Line == nil {
		return "", "", false
	}
	l := f.Line
	switch {
	case l.Size == 0:
		return heddle.WaitPool, fmt.Sprintf("there is no pool %q: 'heddle pools set %s SIZE' makes it", l.Name, l.Name), true
	case l.Weight > l.Size:
		return heddle.WaitPool, fmt.Sprintf("it needs %d places of the pool %q, which has %d: 'heddle pools set %s %d' makes room",
			l.Weight, l.Name, l.Size, l.Name, l.Weight), true
	}
	taken := 0
	for _, h := range l.Holders {
		taken += h.Weight
	}
	return heddle.WaitPool, fmt.Sprintf("the pool %q has %s, of which %d are taken%s, and it needs %d%s",
		l.Name, places(l.Size), taken, by(l.Holders), l.Weight, ahead(l)), true
}

func places(n int) string {
	if n == 1 {
		return "1 place"
	}
	return fmt.Sprintf("%d places", n)
}

// waitsForKey is why a run has not begun; l is its place in the line of its key, nil
// when it is not known to stand there.
func waitsForKey(l *heddle.Line) []heddle.Waiting {
	if l == nil {
		return nil
	}
	message := fmt.Sprintf("nobody has the concurrency key %q at this moment", l.Name)
	if len(l.Holders) > 0 {
		h := l.Holders[0]
		message = fmt.Sprintf("run %s has the concurrency key %q", h.Run, l.Name) + orphaned(h)
	}
	return []heddle.Waiting{{Reason: heddle.WaitRuns, Message: message + ahead(l)}}
}

// maxNamed is how many holders are named.
const maxNamed = 3

func by(holders []heddle.Holder) string {
	if len(holders) == 0 {
		return ""
	}
	names := make([]string, 0, maxNamed)
	orphans := ""
	for i, h := range holders {
		if i < maxNamed {
			names = append(names, string(h.Run))
		}
		if h.Orphan && orphans == "" {
			orphans = orphaned(h)
		}
	}
	text := " by " + strings.Join(names, ", ")
	if more := len(holders) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text + orphans
}

// orphaned tells what to do about a holder whose engine is gone.
func orphaned(h heddle.Holder) string {
	if !h.Orphan {
		return ""
	}
	return fmt.Sprintf(" (the process that ran %s is gone: 'heddle runs resume %s' goes on with it, 'heddle runs cancel %s' ends it)", h.Run, h.Run, h.Run)
}

func ahead(l *heddle.Line) string {
	if l.Ahead == 0 {
		return "; it is the next in line"
	}
	return fmt.Sprintf("; it is number %d in line", l.Ahead+1)
}

func whyParallel(f Facts) (string, string, bool) {
	if f.Visit.State != heddle.VisitReady || f.Limit == 0 || f.Open < f.Limit {
		return "", "", false
	}
	return heddle.WaitParallel, fmt.Sprintf("%d attempts of the run are open, as many as may be", f.Open), true
}

func whyPlace(f Facts) (string, string, bool) {
	if f.Visit.State != heddle.VisitReady {
		return "", "", false
	}
	return heddle.WaitPlace, "as many attempts are open on this engine as may be", true
}

func whyExecutor(f Facts) (string, string, bool) {
	if f.Attempt == nil || f.Attempt.Status >= heddle.StatusRunning {
		return "", "", false
	}
	return heddle.WaitExecutor, "the executor has not started it yet", true
}
