package heddle

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// RunID names a run: kog's run_id, the nanoseconds since 1970 in twelve base-36
// digits, so that IDs sort by time. Any string of lower-case letters, digits and
// dashes of at most 40 characters is accepted from those who make their own.
type RunID string

// Valid reports whether the ID has the form that [RunID] describes.
func (id RunID) Valid() bool {
	if len(id) == 0 || len(id) > 40 || id[0] == '-' || id[len(id)-1] == '-' {
		return false
	}
	return strings.Trim(string(id), "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// NewID returns the twelve base-36 digits for the instant now. Two calls with the
// same instant give the same ID: who makes many moves the clock on.
func NewID(now time.Time) string {
	s := strconv.FormatInt(now.UnixNano(), 36)
	return strings.Repeat("0", max(0, 12-len(s))) + s
}

// RunState is where a run is in its life.
type RunState string

// The states of a run, in the order of its life.
const (
	RunPending  RunState = "pending"  // accepted, nothing started
	RunRunning  RunState = "running"  // steps are open
	RunStopping RunState = "stopping" // cancelled or past its deadline: open steps are being stopped
	RunFinally  RunState = "finally"  // only finally steps are left
	RunEnded    RunState = "ended"    // has its outcome
)

// Run is one execution of a flow.
type Run struct {
	ID       RunID  `json:"id"`
	Kind     Kind   `json:"kind"`
	Name     string `json:"name"`     // the flow's
	FlowHash string `json:"flowHash"` // of its [Flow]
	Parent   RunID  `json:"parent,omitempty"`
	Executor string `json:"executor"` // process, docker, kubernetes
	// Organization is whose run it is: who has a key of another sees nothing of it.
	Organization string   `json:"organization"`
	Input        Input    `json:"input,omitzero"`
	State        RunState `json:"state"`
	// Outcome and Message are the verdict, once the state is ended.
	Outcome Outcome           `json:"outcome,omitempty"`
	Message string            `json:"message,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	// Created is when the run was accepted, Started when its first steps opened.
	Created time.Time `json:"created"`
	Started time.Time `json:"started,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	// Deadline ends the run when it passes. Zero: none.
	Deadline time.Time `json:"deadline,omitzero"`
	// Stop is the outcome that a cancel (abort) or the deadline (timeout) has
	// already settled for the run; "" for neither.
	Stop Outcome `json:"stop,omitempty"`
	// Visits counts the visits opened so far; it numbers the next one.
	Visits int `json:"visits"`
}

// Input is what a submission adds to its flow.
type Input struct {
	// CorrelationID is the caller's name for the run; generated when empty.
	CorrelationID string `json:"correlationId,omitempty"`
	// Context is merged over the flow's starting context.
	Context json.RawMessage `json:"context,omitempty"`
	// Env overrides the variables of every step.
	Env map[string]string `json:"env,omitempty"`
	// Ambient brings the starting process's own environment to every step, over
	// the step's own variables and below Env. The values are never stored: a run
	// that is resumed gets those of the process that resumes it.
	Ambient *Ambient `json:"ambient,omitempty"`
	// Volumes are mounts for every step in docker's --volume syntax.
	Volumes []string `json:"volumes,omitempty"`
	// Notify lists where step starts are told: "console" or a URL.
	Notify []string `json:"notify,omitempty"`
	// Retry says what the run does over, if it is the retry of another.
	Retry *RunRetry `json:"retry,omitempty"`
}

// Ambient selects from the environment of the starting process.
type Ambient struct {
	// Ignore lists names to leave out; a trailing * matches a prefix.
	Ignore []string `json:"ignore,omitempty"`
}

// Keeps reports whether the variable called name is brought along.
func (a *Ambient) Keeps(name string) bool {
	if a == nil {
		return false
	}
	for _, ignored := range a.Ignore {
		prefix, wild := strings.CutSuffix(ignored, "*")
		if name == ignored || wild && strings.HasPrefix(name, prefix) {
			return false
		}
	}
	return true
}

// VisitState is where a visit is in its life.
type VisitState string

// The states of a visit.
const (
	VisitQueued  VisitState = "queued"  // its busy key, its matrix limit or its run's concurrency key is taken
	VisitReady   VisitState = "ready"   // may start, waits for a place
	VisitActive  VisitState = "active"  // an attempt, or a group's members, are open
	VisitBackoff VisitState = "backoff" // waits to try again until Due
	VisitSettled VisitState = "settled" // has its outcome
)

// Visit is one opening of a step. Only settled visits fire edges and count.
type Visit struct {
	No    int        `json:"no"` // 1, 2, ... in order of opening within the run
	Step  string     `json:"step"`
	Index int        `json:"index,omitempty"` // in the matrix, from 0
	Nth   int        `json:"nth"`             // the step's n-th visit (at this index), from 1
	Cause int        `json:"cause,omitempty"` // the visit that led here; 0: the start of the run
	State VisitState `json:"state"`
	// Outcome, Code and Message are set when the visit settles. Code is kog's rc.
	Outcome Outcome `json:"outcome,omitempty"`
	Code    int     `json:"code"`
	Message string  `json:"message,omitempty"`
	// Attempts counts those made; Broken those that the infrastructure broke.
	Attempts int       `json:"attempts"`
	Broken   int       `json:"broken,omitempty"`
	Opened   time.Time `json:"opened"`
	Settled  time.Time `json:"settled,omitzero"`
	Due      time.Time `json:"due,omitzero"` // in backoff: when the next attempt may start
	// Output is what the visit changed in the context or, where none is handed on, what
	// it put out: a JSON object, or nil.
	Output json.RawMessage `json:"output,omitempty"`
}

// AttemptID names an attempt, and the container, Job or journal entry that runs
// it: run, visit and attempt number joined by dashes.
type AttemptID string

// NewAttemptID makes the ID of a visit's n-th attempt, from 1.
func NewAttemptID(run RunID, visit, n int) AttemptID {
	return AttemptID(string(run) + "-" + strconv.Itoa(visit) + "-" + strconv.Itoa(n))
}

// Split takes an ID apart; ok is false when it has not the form of one.
func (id AttemptID) Split() (run RunID, visit, n int, ok bool) {
	rest, last, ok1 := cutLast(string(id))
	head, mid, ok2 := cutLast(rest)
	n, err1 := strconv.Atoi(last)
	visit, err2 := strconv.Atoi(mid)
	ok = ok1 && ok2 && err1 == nil && err2 == nil && n > 0 && visit > 0 && RunID(head).Valid()
	return RunID(head), visit, n, ok
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '-')
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// Attempt is one try of a visit.
type Attempt struct {
	ID     AttemptID `json:"id"`
	Visit  int       `json:"visit"`
	No     int       `json:"no"`
	Status Status    `json:"status"`
	// Place is where the attempt runs, in the executor's words (host and data
	// directory, daemon, cluster): only an engine that can see it may judge it.
	Place string `json:"place,omitempty"`
	// Stop says why the attempt has been told to stop; "" while it has not.
	Stop     string    `json:"stop,omitempty"`
	ExitCode int       `json:"exitCode"`
	Message  string    `json:"message,omitempty"`
	Created  time.Time `json:"created"`
	Started  time.Time `json:"started,omitzero"` // of the program
	Ended    time.Time `json:"ended,omitzero"`
	// Infra marks an attempt that the infrastructure broke.
	Infra bool `json:"infra,omitempty"`
}
