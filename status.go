package heddle

import "strconv"

// Status is the state of an attempt. The numbers are rego's execution status
// codes, with [StatusSkipped] added; they grow in the order in which an attempt
// can pass through them.
type Status int

// The statuses.
const (
	StatusReady       Status = 100 // may start, waits for a place
	StatusJobDeployed Status = 200 // committed: the executor is being told to start it
	StatusPending     Status = 250 // the executor has acknowledged it
	StatusRunning     Status = 300 // the program runs
	StatusTimeout     Status = 400 // ended: ran out of time
	StatusProcError   Status = 410 // ended: could not be run, or was lost
	StatusAppError    Status = 420 // ended: ran and failed
	StatusAborted     Status = 430 // ended: stopped on request, or the program said abort
	StatusSkipped     Status = 440 // never run: the flow went another way
	StatusSuccess     Status = 500 // ended well
)

// StatusInfo is one row of the table that maps statuses to words.
type StatusInfo struct {
	Status  Status
	Name    string  // rego's name
	Word    string  // the word that people see
	Outcome Outcome // "" while the attempt is open
}

// Statuses returns the table of every status, in numeric order.
func Statuses() []StatusInfo {
	return []StatusInfo{
		{StatusReady, "READY", "ready", ""},
		{StatusJobDeployed, "JOB_DEPLOYED", "deployed", ""},
		{StatusPending, "PENDING", "pending", ""},
		{StatusRunning, "RUNNING", "running", ""},
		{StatusTimeout, "TIMEOUT", "timeout", Timeout},
		{StatusProcError, "PROC_ERROR", "not run", Failure},
		{StatusAppError, "APP_ERROR", "failure", Failure},
		{StatusAborted, "ABORTED", "abort", Abort},
		{StatusSkipped, "SKIPPED", "skipped", Skipped},
		{StatusSuccess, "SUCCESS", "success", Success},
	}
}

// Info returns the row of s; an unknown status has its number for a name.
func (s Status) Info() StatusInfo {
	for _, row := range Statuses() {
		if row.Status == s {
			return row
		}
	}
	return StatusInfo{Status: s, Name: strconv.Itoa(int(s)), Word: strconv.Itoa(int(s))}
}

// String returns rego's name of the status, such as JOB_DEPLOYED.
func (s Status) String() string { return s.Info().Name }

// Ended reports whether an attempt with this status is over.
func (s Status) Ended() bool { return s >= StatusTimeout }
