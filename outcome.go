package heddle

import "slices"

// Outcome says how a visit, or a whole run, ended.
type Outcome string

// The outcomes. The first four are kog's, in its spelling.
const (
	Success Outcome = "success"
	Failure Outcome = "failure"
	Abort   Outcome = "abort"
	Timeout Outcome = "timeout"
	Skipped Outcome = "skipped"
)

// Outcomes lists every outcome, in the order used by documents and tables.
func Outcomes() []Outcome { return []Outcome{Success, Failure, Abort, Timeout, Skipped} }

// Valid reports whether o is one of the five outcomes.
func (o Outcome) Valid() bool { return slices.Contains(Outcomes(), o) }

// Good reports whether o is success or skipped. Documents that know only success
// and failure (pipelines, task chains) take every other outcome for a failure.
func (o Outcome) Good() bool { return o == Success || o == Skipped }
