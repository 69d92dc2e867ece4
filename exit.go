package heddle

import "time"

// ExitReason says why an attempt is over.
type ExitReason string

// The reasons.
const (
	Exited   ExitReason = "exited"    // the program ended by itself
	TimedOut ExitReason = "timed-out" // it ran out of its time and was ended
	Stopped  ExitReason = "stopped"   // it was ended on request
	Refused  ExitReason = "refused"   // it could not be started
	Lost     ExitReason = "lost"      // it was started, and what became of it cannot be known
	Broken   ExitReason = "broken"    // the infrastructure ended it: eviction, node loss
)

// Exit is how an attempt ended, as its executor saw it. What it means for the
// step is for the state machine to say.
type Exit struct {
	Reason ExitReason `json:"reason"`
	// Code is the exit code; 128 plus the signal's number for a program that a signal ended.
	Code   int    `json:"code"`
	Signal string `json:"signal,omitempty"`
	// Message is the executor's own word, for people.
	Message string `json:"message,omitempty"`
	// Result is what followed "KOG:" in the last such line of standard output, up
	// to [MaxResult] bytes of it. ResultSize is its full length; 0: there was none.
	Result     []byte `json:"result,omitempty"`
	ResultSize int64  `json:"resultSize,omitempty"`
	// Termination is the text that the program left in its termination file.
	Termination string `json:"termination,omitempty"`
	// TerminationFault says why Termination is not, or perhaps not, all that the
	// program left: the file is too long or cannot be read. "" : it is.
	TerminationFault string    `json:"terminationFault,omitempty"`
	Started          time.Time `json:"started,omitzero"`
	Ended            time.Time `json:"ended,omitzero"`
	// OutputBytes counts all output, OutputCut what was not kept of it.
	OutputBytes int64 `json:"outputBytes,omitempty"`
	OutputCut   int64 `json:"outputCut,omitempty"`
}

// MaxResult is how much of a result line is kept, in bytes. A longer one is an
// error of the program, told with its size.
const MaxResult = 1 << 20

// MaxOutput is the largest output of a visit that is kept, in bytes.
const MaxOutput = 1 << 20
