package heddle

// RunRetry says which part of a run that has ended a new run is to do over.
type RunRetry struct {
	Run  RunID     `json:"run"`
	Mode RetryMode `json:"mode,omitempty"` // default: [RetryFailed]
	// Step is for [RetryFrom] and [RetryOnly]: a step that is in no group.
	Step string `json:"step,omitempty"`
}

// RetryMode is a way to choose what is done over.
type RetryMode string

// The modes. Finally steps run again in all of them but [RetryOnly].
const (
	// RetryFailed does over what did not end well and all that depends on it, of a
	// matrix only the entries that did not end well; a state machine goes on at the
	// step of the verdict, with the input that it had.
	RetryFailed RetryMode = "failed"
	// RetryFrom does a step over and all that depends on it or, in a state machine,
	// goes on at the step's latest visit, with the input that it had.
	RetryFrom RetryMode = "from"
	// RetryOnly does just one step over: nothing that it leads to runs.
	RetryOnly RetryMode = "only"
)

// RetryPlan is what a retry comes to.
type RetryPlan struct {
	RunRetry
	// Steps tells of each step what becomes of it, in the order of the document.
	Steps []RetryStep `json:"steps"`
	// Visits is what the new run begins with, numbered for it: settled visits are
	// taken over with what they put out, those without a state are opened.
	Visits []Visit `json:"-"`
}

// RetryStep is what becomes of a step.
type RetryStep struct {
	Step string    `json:"step"`
	Plan RetryFate `json:"plan"`
	// Before is how the step's latest visit ended, of a matrix the first entry that did not
	// end well; "" if there was none.
	Before Outcome `json:"before,omitempty"`
	// Taken counts the visits that are taken over, those of a matrix' entries included.
	Taken int `json:"taken,omitempty"`
	// Redone lists the entries of a matrix that are done over while others are not.
	Redone []int `json:"redone,omitempty"`
}

// RetryFate is what becomes of a step in a retry.
type RetryFate string

// The fates of steps.
const (
	FateTaken RetryFate = "taken over"
	FateRuns  RetryFate = "runs"
	FateMay   RetryFate = "may run" // if what comes before it leads to it
	FateNot   RetryFate = "does not run"
)

// TakenOver reports whether the visit is one that the run, a retry, has taken over
// from the run that it does over.
func (r *Run) TakenOver(v *Visit) bool {
	return r.Input.Retry != nil && v.State == VisitSettled && v.Attempts == 0 && v.Settled.Before(r.Created)
}
