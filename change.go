package heddle

import (
	"encoding/json"
	"time"
)

// Change is what the state machine decided in one go about one run: whole rows,
// each as it is to stand afterwards. A store commits a change entirely or not at all.
type Change struct {
	// ID is unique to the change; committing it twice is the same as once.
	ID  string
	Run Run
	// Flow is set in the change that creates the run, and only there.
	Flow *Flow
	// Epoch and Seq are what the run must have in the store for the change to be
	// committed (both 0 when it creates the run). Afterwards Seq is one higher.
	Epoch int64
	Seq   int64
	// Visits, Attempts and Notices are added, or replace the row with their key.
	Visits   []Visit
	Attempts []Attempt
	Notices  []Notice
	// Releases lists visits whose places in pools, taken or waited for, are given back
	// with the change; 0 stands for all that the run has or waits for, its
	// concurrency key included.
	Releases []int
}

// Notice is something to be told to somebody, written with the change that it
// tells of and delivered after that is committed, at least once.
type Notice struct {
	// ID is the visit's number and the target's position: unique within the run
	// and in order of firing.
	ID     string `json:"id"`
	Run    RunID  `json:"run"`
	Target string `json:"target"` // "console" or a URL
	Event  string `json:"event"`  // [NoticeStepStarted]
	// Body is a [NoticeBody].
	Body    json.RawMessage `json:"body"`
	Created time.Time       `json:"created"`
	Tries   int             `json:"tries"`
	Due     time.Time       `json:"due"`
}

// NoticeStepStarted is the event of a notice told when a step is about to run.
const NoticeStepStarted = "step.started"

// NoticeBody is what a notice knows of its event.
type NoticeBody struct {
	Task          string          `json:"task"`
	Workflow      string          `json:"workflow,omitempty"`
	Step          string          `json:"step"`
	Action        string          `json:"action,omitempty"`
	Status        string          `json:"status"`
	CorrelationID string          `json:"correlationId"`
	Context       json.RawMessage `json:"context,omitempty"`
}
