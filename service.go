package heddle

import (
	"context"
	"iter"
	"time"
)

// Runs is the service for runs that every front door uses. It has two
// implementations: the engine in this process and the client of a server.
type Runs interface {
	// Submit accepts a flow for execution: once it returns without error the run
	// is durable. Errors: [CodeInvalid], [CodeConflict] (the ID exists), [CodeStore].
	Submit(ctx context.Context, s Submission) (Run, error)
	// Get returns a run with all its visits and attempts, or [CodeNotFound].
	Get(ctx context.Context, id RunID) (RunDetail, error)
	// List returns the runs that match, newest first, a page at a time.
	List(ctx context.Context, f RunFilter) (RunPage, error)
	// Cancel asks a run to stop; finally steps still run. Cancelling a run that has
	// ended is [CodeConflict]. A second cancel stops the finally steps too.
	Cancel(ctx context.Context, id RunID, reason string) error
	// Watch sends the run's state now and each change of it after it is committed,
	// until the run has ended or ctx is done; then the channel is closed. A slow
	// reader gets several changes merged into one.
	Watch(ctx context.Context, id RunID) (<-chan RunUpdate, error)
}

// Submission asks for a run.
type Submission struct {
	Flow     *Flow
	ID       RunID // made when empty
	Parent   RunID
	Executor string
	// Organization is whose run it will be. Default: that of the run done over, else
	// [DefaultOrganization].
	Organization string
	Input        Input
	Labels       map[string]string
	// Definition and Due are the run's.
	Definition string
	Due        time.Time
	// Retry makes the run one that does over part of another, its Parent. The Input
	// is the other run's; so are Flow, Executor and Labels where they are empty.
	// Errors: [CodeNotFound], [CodeConflict] (it has not ended, or there is nothing
	// to do over), [CodeInvalid] (the step or the flow does not suit it).
	Retry *RunRetry
}

// RunDetail is a run with its parts.
type RunDetail struct {
	Run      Run       `json:"run"`
	Flow     *Flow     `json:"flow,omitempty"`
	Visits   []Visit   `json:"visits"`
	Attempts []Attempt `json:"attempts"`
	// Waiting says of each open visit that does not run why it waits.
	Waiting []Waiting `json:"waiting,omitempty"`
	// Lines are those in which the run, or visits of it, stand for a key or a pool.
	Lines []Line `json:"lines,omitempty"`
}

// Status is that of the run as a whole, in the words of an attempt: of a run that has
// ended, or certainly will, how; of another what of its attempts has come furthest.
func (d *RunDetail) Status() Status {
	decided := d.Run.Outcome
	if d.Run.Stop != "" {
		decided = d.Run.Stop
	}
	open, ended := StatusReady, StatusAppError
	for i := range d.Attempts {
		switch status := d.Attempts[i].Status; {
		case !status.Ended():
			open = max(open, status)
		case status == StatusProcError || status == StatusAppError:
			ended, open = status, max(open, StatusPending)
		default:
			open = max(open, StatusPending)
		}
	}
	switch decided {
	case Success:
		return StatusSuccess
	case Failure:
		return ended
	case Abort:
		if d.Run.Stop == "" && ended == StatusProcError {
			return ended // as job files call what could not be run
		}
		return StatusAborted
	case Timeout:
		return StatusTimeout
	case Skipped:
		return StatusSkipped
	}
	return open
}

// RunUpdate is what changed in a run: the run as it is now and the rows that
// changed since the update before.
type RunUpdate struct {
	Run      Run
	Visits   []Visit
	Attempts []Attempt
}

// Waiting is the answer to "why is it not running".
type Waiting struct {
	Visit   int    `json:"visit,omitempty"` // 0: the run as a whole
	Step    string `json:"step,omitempty"`
	Reason  string `json:"reason"` // one of the Wait constants
	Message string `json:"message"`
}

// Line is where a run, or a visit of it, waits for what other runs have.
type Line struct {
	Visit  int    `json:"visit,omitempty"` // 0: the run, for its concurrency key
	Name   string `json:"name"`            // of the key or the pool
	Weight int    `json:"weight"`          // how many places are wanted
	Size   int    `json:"size"`            // how many there are; 0: there is no such pool
	Ahead  int    `json:"ahead"`           // how many wait before it
	// Holders have what there is, in the order in which they asked for it.
	Holders []Holder `json:"holders,omitempty"`
}

// Holder is a run that has a key or places in a pool.
type Holder struct {
	Run    RunID `json:"run"`
	Weight int   `json:"weight"`
	Orphan bool  `json:"orphan,omitempty"` // its engine is gone
}

// Pools is the service for pools: named numbers of places, shared by all runs of an
// organization in a store, that steps take for as long as they run.
type Pools interface {
	// Pools returns all pools of an organization by name.
	Pools(ctx context.Context, organization string) ([]Pool, error)
	// SetPool makes a pool or changes its size, at least 1. What is taken beyond a
	// smaller size runs out. Errors: [CodeInvalid], [CodeStore].
	SetPool(ctx context.Context, organization, name string, size int) error
	// DeletePool removes a pool that nobody has places in or waits for: else
	// [CodeConflict]; [CodeNotFound].
	DeletePool(ctx context.Context, organization, name string) error
}

// Pool is a named number of places.
type Pool struct {
	Name    string `json:"name"`
	Size    int    `json:"size"`
	Taken   int    `json:"taken"`   // places
	Waiting int    `json:"waiting"` // attempts
}

// Check says what is wrong with the pool's name or size, as [CodeInvalid].
func (p Pool) Check() error {
	switch {
	case p.Name == "" || len(p.Name) > MaxTurnName:
		return Errorf(CodeInvalid, "pool %q: a name has 1 to %d bytes", p.Name, MaxTurnName)
	case p.Size < 1:
		return Errorf(CodeInvalid, "pool %q: the size %d is none: it must be at least 1", p.Name, p.Size)
	}
	return nil
}

// MaxTurnName is the longest name of a pool or a concurrency key, in bytes.
const MaxTurnName = 200

// The reasons for waiting.
const (
	WaitOwner    = "no-owner"     // no engine has taken the run up
	WaitPlace    = "no-place"     // as many attempts are open as may be
	WaitKey      = "key-taken"    // another visit holds the step's busy key
	WaitMatrix   = "matrix-limit" // as many of the matrix are open as may be
	WaitParallel = "run-limit"    // as many attempts of the run are open as may be
	WaitBackoff  = "back-off"     // failed, and waits to be tried again
	WaitRuns     = "other-runs"   // another run has the concurrency key
	WaitPool     = "pool-full"    // the places of the step's pool are taken
	WaitExecutor = "executor"     // the executor has not acknowledged or started it yet
	WaitStore    = "store"        // the store does not accept writes
)

// RunFilter selects runs. Empty fields select all.
type RunFilter struct {
	IDs      []RunID
	States   []RunState
	Outcomes []Outcome
	Kinds    []Kind
	Name     string
	// Organization is whose runs are selected.
	Organization string
	Labels       map[string]string
	// Definition selects the runs of a [Definition].
	Definition string
	Since      time.Time // created at or after
	Until      time.Time // created before
	Limit      int       // of the page; 0 is 50, at most 1000
	After      string    // a [RunPage]'s Next: go on there
}

// RunPage is one page of a list, newest first.
type RunPage struct {
	Runs []Run  `json:"runs"`
	Next string `json:"next,omitempty"` // "" on the last page
}

// Logs is the service for what programs print.
type Logs interface {
	// Lines yields the lines of a run's attempts, in the order in which they were
	// written within each attempt. With Follow it goes on until the run has ended
	// or ctx is done.
	Lines(ctx context.Context, q LogQuery) iter.Seq2[LogLine, error]
}

// LogQuery selects log lines.
type LogQuery struct {
	Run    RunID
	Visit  int // 0: all
	Try    int // of the visit; 0: all
	Follow bool
}

// LogLine is one line of output.
type LogLine struct {
	Time   time.Time `json:"time"`
	Visit  int       `json:"visit"`
	Try    int       `json:"attempt"`
	Stream string    `json:"stream"` // stdout, stderr, or heddle for a remark of ours
	Text   string    `json:"text"`
}
