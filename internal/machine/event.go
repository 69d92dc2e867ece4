package machine

import (
	"errors"
	"fmt"
	"time"

	"github.com/heddle/heddle"
)

// Event is something that happened to a run.
type Event interface{ event() }

// The events.
type (
	// Begin opens the start steps or, in a retry, what its plan says; in a flow with a
	// concurrency key as soon as that is granted.
	Begin struct{ Retry *heddle.RetryPlan }
	// Granted: the run has its concurrency key (visit 0), or a visit what it asked of
	// its pool for an attempt.
	Granted struct{ Visit, Attempt int }
	// Denied: the run is not to wait for its concurrency key, which another one has.
	Denied struct{ Other heddle.RunID }
	// Place gives the first visit that is ready a place at an executor: its next
	// attempt is deployed there.
	Place struct{ At string }
	// Acknowledged: the executor answers for the attempt.
	Acknowledged struct{ Attempt heddle.AttemptID }
	// Running: the attempt's program runs since Started.
	Running struct {
		Attempt heddle.AttemptID
		Started time.Time
	}
	// Ended: the attempt is over.
	Ended struct {
		Attempt heddle.AttemptID
		Exit    heddle.Exit
	}
	// Cancel: so many requests to cancel were made of the run. The first stops its
	// steps, the second its finally steps too.
	Cancel struct {
		Count  int
		Reason string
	}
	// Tick: time has passed. Back-offs that are due end, and so does a run past
	// its deadline.
	Tick struct{}
)

func (Begin) event()        {}
func (Granted) event()      {}
func (Denied) event()       {}
func (Place) event()        {}
func (Acknowledged) event() {}
func (Running) event()      {}
func (Ended) event()        {}
func (Cancel) event()       {}
func (Tick) event()         {}

// ErrInvalidTransition is in the chain of the error for an event that the state
// has no room for. It leaves the state as it was.
var ErrInvalidTransition = errors.New("invalid transition")

// Transition is a row of a table of states.
type Transition[S comparable] struct {
	From  S
	Event string
	To    S
}

// AttemptTransitions is the table of an attempt's life. An attempt is made by
// being placed. "end" leads to the status that says how; [heddle.StatusSuccess]
// stands for all of them here.
func AttemptTransitions() []Transition[heddle.Status] {
	const over = heddle.StatusSuccess
	return []Transition[heddle.Status]{
		{heddle.StatusReady, "place", heddle.StatusJobDeployed},
		{heddle.StatusJobDeployed, "acknowledge", heddle.StatusPending},
		{heddle.StatusJobDeployed, "run", heddle.StatusRunning},
		{heddle.StatusJobDeployed, "end", over},
		{heddle.StatusPending, "run", heddle.StatusRunning},
		{heddle.StatusPending, "end", over},
		{heddle.StatusRunning, "end", over},
	}
}

// VisitTransitions is the table of a visit's life; "" is before its opening.
func VisitTransitions() []Transition[heddle.VisitState] {
	return []Transition[heddle.VisitState]{
		{"", "hold", heddle.VisitQueued},
		{"", "admit", heddle.VisitReady},
		{"", "enter", heddle.VisitActive},
		{"", "settle", heddle.VisitSettled},
		{heddle.VisitQueued, "admit", heddle.VisitReady},
		{heddle.VisitQueued, "settle", heddle.VisitSettled},
		{heddle.VisitReady, "place", heddle.VisitActive},
		{heddle.VisitReady, "settle", heddle.VisitSettled},
		{heddle.VisitActive, "retry", heddle.VisitReady},
		{heddle.VisitActive, "pause", heddle.VisitBackoff},
		{heddle.VisitActive, "settle", heddle.VisitSettled},
		{heddle.VisitBackoff, "wake", heddle.VisitReady},
		{heddle.VisitBackoff, "settle", heddle.VisitSettled},
	}
}

func next[S comparable](table []Transition[S], from S, event string) (S, error) {
	for _, row := range table {
		if row.From == from && row.Event == event {
			return row.To, nil
		}
	}
	return from, fmt.Errorf("%q in state %v: %w", event, from, ErrInvalidTransition)
}

// Effect is something to be done after the change is committed.
type Effect interface{ effect() }

// The effects.
type (
	// Start tells the executor to run an attempt.
	Start struct {
		Attempt heddle.Attempt
		Visit   heddle.Visit
		Step    *heddle.Step
		// Env is complete but for what the executor adds and what From names, which
		// is to be looked up outside the run. Context is the JSON text that the step
		// receives; nil when the flow hands none on.
		Env     map[string]string
		From    map[string]heddle.Source
		Context []byte
		// Refuse says why the attempt cannot be started: an output that it asks for
		// is not there. It is to be told as ended, with [heddle.Refused].
		Refuse string
		// Again: the executor may have started it before a restart.
		Again bool
	}
	// Stop tells the executor to end an attempt.
	Stop struct {
		Attempt heddle.AttemptID
		Reason  string
	}
	// Adopt tells the executor to take an acknowledged attempt over after a restart.
	Adopt struct {
		Attempt heddle.Attempt
		From    map[string]heddle.Source // as in Start
	}
	// Release tells the executor that an attempt's end is committed.
	Release struct{ Attempt heddle.AttemptID }
	// Ask asks the store for what is shared with other runs, and is answered by
	// [Granted] or [Denied]: the run's concurrency key (visit 0), or places in a pool
	// for an attempt of a visit. A [heddle.Change] gives it back.
	Ask struct {
		Visit, Attempt int
		Name           string
		Weight         int
		Busy           heddle.Concurrence
	}
)

func (Start) effect()   {}
func (Stop) effect()    {}
func (Adopt) effect()   {}
func (Release) effect() {}
func (Ask) effect()     {}
