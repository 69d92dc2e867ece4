package heddle

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Kind names the kind of document that a flow was made from.
type Kind string

// The kinds of document.
const (
	KindJob         Kind = "Job"         // kog's job file: a state machine
	KindPipeline    Kind = "Pipeline"    // chainr's pipeline: a DAG
	KindTask        Kind = "Task"        // rego's task definition: one step
	KindChain       Kind = "Chain"       // orca's Tasks and Ignitors: an event chain
	KindReactiveJob Kind = "ReactiveJob" // one Job template
)

// Kinds lists every kind.
func Kinds() []Kind { return []Kind{KindJob, KindPipeline, KindTask, KindChain, KindReactiveJob} }

// Flow is the graph that a document describes. It is immutable once submitted
// and is stored by its [Flow.Hash].
type Flow struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
	// Workflow is the one of a job file's workflows that this flow is.
	Workflow string `json:"workflow,omitempty"`
	// Steps stand in the order of the document.
	Steps []Step `json:"steps"`
	Edges []Edge `json:"edges,omitempty"`
	// Start names the entries. A step that nothing reaches never runs.
	Start []string `json:"start"`
	// Context is the starting context, a JSON object, of flows that hand one on
	// from step to step (job files). Nil: steps get and give no context.
	Context json.RawMessage `json:"context,omitempty"`
	// MaxParallel bounds the attempts of one run that are open at once. 0: no bound.
	MaxParallel int `json:"maxParallel,omitempty"`
	// Deadline ends the run that long after its start. What it waits for its
	// concurrency key does not count. 0: none.
	Deadline time.Duration `json:"deadline,omitempty"`
	// Initiator and Data describe what started the run to its first steps, see [Cause].
	Initiator string `json:"initiator,omitempty"`
	Data      string `json:"data,omitempty"`
	// Shared gives all steps of a run one directory, whose path is in HEDDLE_SHARED.
	Shared bool `json:"shared,omitempty"`
	// Concurrency keeps runs apart that must not overlap; nil: they may.
	Concurrency *Concurrency `json:"concurrency,omitempty"`
	// Source is the document as JSON, for those who show it or send it on.
	Source json.RawMessage `json:"source,omitempty"`
}

// Hash identifies the flow by its content: 64 hexadecimal digits.
func (f *Flow) Hash() (string, error) {
	data, err := json.Marshal(f)
	if err != nil {
		return "", fmt.Errorf("encoding flow %q: %w", f.Name, err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// Concurrency says that of all runs of an organization with the same key, of whatever
// flow, one at a time is past its start.
type Concurrency struct {
	Key  string      `json:"key"`
	Busy Concurrence `json:"busy,omitempty"`
}

// Concurrence says what a run does whose concurrency key another one has.
type Concurrence string

const (
	ConcurrenceQueue     Concurrence = "queue"      // wait, first come first served; the default
	ConcurrenceCancelOld Concurrence = "cancel-old" // cancel those that have it or wait for it, then start
	ConcurrenceReject    Concurrence = "reject"     // end at once, as an abort that names the other run
)

// Concurrences lists every value.
func Concurrences() []Concurrence {
	return []Concurrence{ConcurrenceQueue, ConcurrenceCancelOld, ConcurrenceReject}
}

// Gate says when a step opens.
type Gate string

const (
	// GateAny opens a new visit on each wanted arrival, so that loops work.
	GateAny Gate = "any"
	// GateAll opens one visit when every incoming edge has had its wanted
	// arrival, and is skipped as soon as one is certain never to have it. Edges
	// into such steps form no cycle.
	GateAll Gate = "all"
)

// Edge leads from one step to another when the first settles with an outcome in On.
type Edge struct {
	From string `json:"from"`
	// To may name a step that does not exist: in a job file the fault shows when
	// the edge is taken, as an abort of the step that it leads from.
	To string `json:"to"`
	// On is the set of wanted outcomes; empty means success only.
	On []Outcome `json:"on,omitempty"`
}

// ResultFrom says what decides the outcome of a program that ran to its end.
type ResultFrom string

const (
	// ResultExitCode: exit code 0 is success, every other a failure.
	ResultExitCode ResultFrom = "exit-code"
	// ResultLine: the last line of standard output that begins with "KOG:" (kog).
	ResultLine ResultFrom = "line"
)

// Step is one unit of work, or a group of them.
type Step struct {
	Name string `json:"name"`
	// Group names the group step that this step is a member of; "" for none. A
	// group's own visit lasts until its members have settled, and its outcome is
	// the verdict over them. Groups, their entries aside, have gate [GateAll].
	Group string `json:"group,omitempty"`
	// Gate defaults to [GateAny].
	Gate Gate `json:"gate,omitempty"`
	// Work is what to run; nil makes the step a group.
	Work *Work `json:"work,omitempty"`
	// Matrix, on a group with a single member, opens that member once per entry.
	Matrix *Matrix `json:"matrix,omitempty"`
	// Action is the name that a job file gives to the work.
	Action string `json:"action,omitempty"`
	// Broken says why the step cannot run although the flow may (its action is
	// undefined, say): reaching it settles it as an abort with this message.
	Broken string `json:"broken,omitempty"`
	// NeedsEnv and NeedsContext list variables and dotted context paths that must
	// exist when the step opens; else it settles as an abort that names them.
	NeedsEnv     []string `json:"needsEnv,omitempty"`
	NeedsContext []string `json:"needsContext,omitempty"`
	// Result defaults to [ResultExitCode].
	Result ResultFrom `json:"result,omitempty"`
	// Unstartable is the outcome when the work could not be started or was lost:
	// [Abort] in job files, else [Failure], the default.
	Unstartable Outcome `json:"unstartable,omitempty"`
	// Timeout bounds each attempt, from the start of the program. 0: no bound.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Retry is for programs that fail; InfraRetries is the small budget, apart
	// from it, for attempts that the infrastructure broke. 0 means
	// [DefaultInfraRetries], a negative number none.
	Retry        Retry `json:"retry,omitzero"`
	InfraRetries int   `json:"infraRetries,omitempty"`
	// Tolerate: a failure of this step does not count for the verdict.
	Tolerate bool `json:"tolerate,omitempty"`
	// Finally: runs when nothing else is live, after a cancel as well. Only steps
	// outside groups, with no edges from ordinary steps.
	Finally bool `json:"finally,omitempty"`
	// Key and Busy: no two visits with the same key are live at once, unless Busy
	// is [BusyAllow]. "" : no such limit.
	Key  string `json:"key,omitempty"`
	Busy Busy   `json:"busy,omitempty"`
	// Pool is a named number of places, shared by all runs of the organization, of which each
	// attempt takes Weight (0 means 1) for as long as it is open. "": none.
	Pool   string `json:"pool,omitempty"`
	Weight int    `json:"weight,omitempty"`
	// MaxVisits bounds how often the step opens in one run. The arrival beyond it
	// turns the outcome of the step that it comes from into an abort. 0: no bound.
	MaxVisits int `json:"maxVisits,omitempty"`
}

// DefaultInfraRetries is how many attempts of a visit the infrastructure may
// break (lost with their host, evicted) before the visit settles.
const DefaultInfraRetries = 2

// Busy says what to do with an arrival at a step whose key is taken.
type Busy string

const (
	BusyAllow Busy = "allow" // open the visit all the same
	// BusyDrop, the default: the arrival is recorded as skipped. A step with gate any
	// fires nothing by that; one that opens only once is skipped for good.
	BusyDrop  Busy = "drop"
	BusyQueue Busy = "queue" // open it when the key is free, first come first served
)

// Retry is how attempts of one visit that failed or timed out follow each other.
type Retry struct {
	// Limit is the number of attempts after the first.
	Limit int `json:"limit,omitempty"`
	// Delay precedes the second attempt; each further one waits Factor times
	// longer (default 2), at most MaxDelay (default: 24 h, also the upper bound).
	Delay    time.Duration `json:"delay,omitempty"`
	Factor   float64       `json:"factor,omitempty"`
	MaxDelay time.Duration `json:"maxDelay,omitempty"`
}

// Matrix makes one member visit per entry of Env.
type Matrix struct {
	// Env holds the variables of each index, over those of the member's work.
	Env []map[string]string `json:"env"`
	// Limit bounds how many are open at once. 0: no bound.
	Limit int `json:"limit,omitempty"`
	// FailFast stops the rest as soon as one does not end well and is not tolerated.
	FailFast bool `json:"failFast,omitempty"`
}

// Work is what an executor runs.
type Work struct {
	// Image is a complete reference, such as busybox:1.36 or name@sha256:...; the
	// process executor ignores it.
	Image string `json:"image,omitempty"`
	// Entrypoint and Command replace the image's ENTRYPOINT and CMD when not empty.
	// The process executor runs Entrypoint followed by Command.
	Entrypoint []string `json:"entrypoint,omitempty"`
	Command    []string `json:"command,omitempty"`
	// Expand: in both, $(NAME) stands for a variable, see [Expand].
	Expand bool `json:"expand,omitempty"`
	// Env maps variable names to values. From holds the variables whose values come
	// from elsewhere when an attempt starts; a name is in one of the two.
	Env  map[string]string `json:"env,omitempty"`
	From map[string]Source `json:"from,omitempty"`
	// Message is the file in which the program may leave a text; nil: there is none.
	Message *MessageFile `json:"message,omitempty"`
	// Dir is the working directory; "" is the executor's default.
	Dir string `json:"dir,omitempty"`
	// Those that follow are for containers; the process executor ignores them.
	//
	// Network is the name of a network, or none or host; "" is the executor's default.
	Network string `json:"network,omitempty"`
	// User is a name or number, with or without :group; "" is the image's.
	User string `json:"user,omitempty"`
	// Memory, in bytes, and CPUs, such as 0.5, bound the use of both. 0: no bound.
	Memory int64   `json:"memory,omitempty"`
	CPUs   float64 `json:"cpus,omitempty"`
	// Kubernetes is for that executor alone.
	Kubernetes *Kubernetes `json:"kubernetes,omitempty"`
}

// Source says where the value of a variable comes from. One of its fields is set.
// What File, Env and Secret give is a secret: it is looked up when an attempt
// starts, never stored, and masked in logs and outputs. What cannot be found makes
// the attempt one that could not be started.
type Source struct {
	File string `json:"file,omitempty"` // a path, seen from the engine; a line end at the end of the file does not count
	Env  string `json:"env,omitempty"`  // a variable of the engine's own environment
	// Secret is name/key of a Kubernetes Secret in the namespace of the attempt.
	Secret string `json:"secret,omitempty"`
	// Output is step.name: an output of the latest visit of a step. Values that are no
	// strings are given as JSON, those of a matrix as a JSON array in its order.
	Output string `json:"output,omitempty"`
	// Cause is what led to the visit.
	Cause Cause `json:"cause,omitempty"`
}

// Cause is a property of what led to a visit: the visit before it, or the start of the run.
type Cause string

// The properties of a cause (orca's ORCA_INITIATOR and ORCA_DATA).
const (
	CauseName    Cause = "name"    // of the step; at the start of the run, the flow's Initiator
	CauseMessage Cause = "message" // the text in its message file; at the start of the run, the flow's Data
)

// MessageFile is how a program leaves a text of at most 4096 bytes, as Kubernetes
// does it with termination messages. It comes back as [Exit.Termination].
type MessageFile struct {
	Env  string `json:"env,omitempty"`  // the variable that tells the path; "" for none
	Path string `json:"path,omitempty"` // in containers; "" means /dev/termination-log
}

// Kubernetes is what a step asks of Kubernetes alone, and how its Job is to be made.
type Kubernetes struct {
	// Namespace is where the Job goes; "" is the executor's.
	Namespace string `json:"namespace,omitempty"`
	// JobName is the name that the Job is to have as far as that is legal; "" is the attempt's ID.
	JobName string `json:"jobName,omitempty"`
	// Template is a batch/v1 JobTemplateSpec, a user's manifest: it is taken as it is,
	// and of the Work only what Env, From and Message add is put into its containers.
	Template json.RawMessage `json:"template,omitempty"`
	// JobSpec holds fields of a batch/v1 JobSpec, its template aside, that are merged into the Job's (rego's metadata).
	JobSpec json.RawMessage `json:"jobSpec,omitempty"`
	// PodTemplate is a strategic merge patch on the core/v1 PodTemplateSpec.
	PodTemplate json.RawMessage `json:"podTemplate,omitempty"`
	// Bare asks for a Pod without a Job.
	Bare bool `json:"bare,omitempty"`
	// Only lists what the document asks for that no other executor has, as paths of
	// its keys. If there is any, other executors must not run the work.
	Only []string `json:"only,omitempty"`
}

// GateOf returns the step's gate with its default.
func (s *Step) GateOf() Gate {
	if s.Gate == "" {
		return GateAny
	}
	return s.Gate
}

// Places is how many places in its pool an attempt of the step takes.
func (s *Step) Places() int { return max(1, s.Weight) }
