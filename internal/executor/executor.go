// Package executor is the port to what runs attempts, and what its
// implementations share: capturing output and finding the result line in it. The
// implementations are in the folders below; executortest holds the suite that
// each of them passes, and a scripted fake.
package executor

import (
	"context"
	"errors"
	"time"

	"github.com/heddle/heddle"
)

// Executor runs attempts. What happens to them it reports to the [Sink] that it
// was made with; nobody polls. All methods may be called concurrently.
type Executor interface {
	// Place names where attempts started now will run. It is stored with them.
	Place() string
	// Start asks for an attempt to be run and returns once that is certain to
	// happen, whatever becomes of this process: the attempt is acknowledged. It may
	// be repeated with the same spec: the attempt runs once. Errors: a [*Refusal]
	// when it can never be started; any other error means "not known, try again".
	Start(ctx context.Context, spec Spec) error
	// Stop ends an attempt: politely (SIGTERM), and by force when grace has
	// passed. Its end is reported as any other, with reason [Stopped] unless the
	// program ended by itself first. Unknown and ended attempts are ignored.
	Stop(ctx context.Context, id heddle.AttemptID, reason string, grace time.Duration) error
	// Adopt takes acknowledged attempts over after a restart: what they do from
	// now on is reported, and for one that has already ended its end, and for one
	// that is gone an end with reason [Lost].
	Adopt(ctx context.Context, adoptions []Adoption) error
	// Release lets go of attempts whose end is durable: what was kept of them,
	// their logs aside, may be deleted. Unknown ones are ignored.
	Release(ctx context.Context, ids []heddle.AttemptID) error
	// Close stops reporting. Attempts go on running.
	Close() error
}

// Seer is implemented by executors that can judge attempts of more places than
// their own; others can judge those of their own place only.
type Seer interface {
	// Sees reports whether attempts with that place can be judged here.
	Sees(place string) bool
}

// Lister is implemented by executors that keep something of every attempt until
// it is released, so that leftovers of a crash can be swept up.
type Lister interface {
	// Held returns the attempts of which something is kept.
	Held(ctx context.Context) ([]heddle.AttemptID, error)
}

// Sharer is implemented by executors that can give the attempts of a run a
// directory in common, see [Spec.Shared].
type Sharer interface {
	// Unshare deletes the directories of runs that have ended and whose attempts are
	// released. Unknown ones are ignored.
	Unshare(ctx context.Context, runs []heddle.RunID) error
	// Shares returns the runs of the executor's store whose directories exist, so that leftovers of a crash
	// can be swept up.
	Shares(ctx context.Context) ([]heddle.RunID, error)
}

// Spec is an attempt to be run, with everything resolved.
type Spec struct {
	Attempt heddle.AttemptID `json:"attempt"`
	Place   string           `json:"place"` // as committed with the attempt
	Step    string           `json:"step"`
	Work    heddle.Work      `json:"work"` // Env is complete; From holds Kubernetes Secrets only
	// Timeout ends the attempt that long after its program started, also when no
	// engine is there to see it; its end has reason [TimedOut]. 0: no limit.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Grace is how long a program that has run out of time gets between SIGTERM
	// and SIGKILL.
	Grace time.Duration `json:"grace,omitempty"`
	// Files are made available to the program, each by a variable that holds its path.
	Files   []File            `json:"files,omitempty"`
	Volumes []string          `json:"volumes,omitempty"` // docker's --volume syntax
	Labels  map[string]string `json:"labels,omitempty"`
	// Mask lists texts that are replaced by three asterisks in the log and in what
	// comes back of the output: the values of secrets.
	Mask []string `json:"mask,omitempty"`
	// Shared names the directory that all attempts of a run share, whose path is put
	// into HEDDLE_SHARED; "" for none. It is made by the first attempt that has it.
	Shared heddle.RunID `json:"shared,omitempty"`
	// Log bounds what is kept of the output, in bytes. 0: [DefaultLogLimit].
	Log int64 `json:"log,omitempty"`
}

// Adoption is an attempt to be taken over. What else an executor needs to know of
// it, it has kept with the attempt.
type Adoption struct {
	Attempt heddle.Attempt
	// Mask is what [Spec.Mask] was when the attempt was started, looked up anew:
	// executors keep no secrets.
	Mask []string
}

// SharedVar is the variable that holds the path of [Spec.Shared].
const SharedVar = "HEDDLE_SHARED"

// File is a file for one attempt.
type File struct {
	Env  string `json:"env"`  // the variable that tells its path
	Name string `json:"name"` // its base name
	Data []byte `json:"data"`
}

// DefaultLogLimit is what is kept of an attempt's output unless the spec says otherwise.
const DefaultLogLimit = 64 << 20

// Refusal is the error of an attempt that can never be started: no such program,
// no image, a name that is not allowed.
type Refusal struct{ Message string }

// Error returns the message.
func (r *Refusal) Error() string { return r.Message }

// Refused returns the message of a [Refusal] in err's chain.
func Refused(err error) (message string, ok bool) {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Message, true
	}
	return "", false
}

// Sink takes reports. It must not block for long; it may be called concurrently,
// but the reports of one attempt come one after another.
type Sink func(Report)

// Report says what happened to an attempt: that its program runs (Exit nil) or
// that it has ended. An end is reported at least once.
type Report struct {
	Attempt heddle.AttemptID `json:"attempt"`
	Started time.Time        `json:"started,omitzero"`
	Exit    *heddle.Exit     `json:"exit,omitempty"`
}
