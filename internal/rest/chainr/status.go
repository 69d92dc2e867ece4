package chainr

import "github.com/heddle/heddle"

// The statuses. Those of jobs have no CANCELED, those of runs no SKIPPED.
const (
	pending    = "PENDING"
	running    = "RUNNING"
	successful = "SUCCESSFUL"
	failed     = "FAILED"
	skipped    = "SKIPPED"
	canceled   = "CANCELED"
)

// itemOf returns a run as chainr shows it: its jobs in the order of the document,
// groups (matrices) as one job, their members left out.
func itemOf(d *heddle.RunDetail) item {
	it := item{Metadata: metadata{SelfLink: selfLink + "/" + string(d.Run.ID), UID: string(d.Run.ID)}, Status: runStatus(&d.Run), Jobs: []job{}}
	latest := map[string]*heddle.Visit{}
	for i := range d.Visits {
		latest[d.Visits[i].Step] = &d.Visits[i]
	}
	if d.Flow == nil {
		return it
	}
	for i := range d.Flow.Steps {
		if s := &d.Flow.Steps[i]; s.Group == "" {
			it.Jobs = append(it.Jobs, job{Name: s.Name, Status: jobStatus(&d.Run, latest[s.Name])})
		}
	}
	return it
}

func runStatus(r *heddle.Run) string {
	switch {
	case r.State == heddle.RunPending:
		return pending
	case r.State != heddle.RunEnded:
		return running
	case r.Outcome.Good():
		return successful
	case r.Stop == heddle.Abort:
		return canceled
	}
	return failed
}

// jobStatus is the status of a job whose latest visit is v, nil for none.
func jobStatus(r *heddle.Run, v *heddle.Visit) string {
	switch {
	case v == nil && r.State == heddle.RunEnded:
		return skipped
	case v == nil, v.State == heddle.VisitQueued, v.State == heddle.VisitReady:
		return pending
	case v.State != heddle.VisitSettled:
		return running
	case v.Outcome == heddle.Success:
		return successful
	case v.Outcome == heddle.Skipped:
		return skipped
	}
	return failed
}
