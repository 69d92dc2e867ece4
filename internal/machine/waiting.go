package machine

import (
	"fmt"
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
	var waits []heddle.Waiting
	for i := range d.Visits {
		v := &d.Visits[i]
		f.Step, f.Visit, f.Attempt = steps[v.Step], v, open[v.No]
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
		whyBackoff, whyMatrix, whyKey, whyParallel, whyPlace, whyExecutor,
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
