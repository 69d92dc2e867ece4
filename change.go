package heddle

import (
	"encoding/json"
	"strings"
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
	// ID is the visit's number (or "end") and the target's position: unique within
	// the run and in order of firing.
	ID     string `json:"id"`
	Run    RunID  `json:"run"`
	Target string `json:"target"` // see [NoticeEvent]
	Event  string `json:"event"`  // what [NoticeEvent] says of the target
	// Body is a [NoticeBody].
	Body    json.RawMessage `json:"body"`
	Created time.Time       `json:"created"`
	Tries   int             `json:"tries"`
	Due     time.Time       `json:"due"`
}

// The events of notices.
const (
	NoticeStepStarted = "step.started" // a step is about to run
	NoticeRunEnded    = "run.ended"    // a run has its outcome
)

// NoticeConsole is the target that is a line on standard output.
const NoticeConsole = "console"

// NoticeEvent says of what a target is told. The console and http or https URLs are
// told of each start of a step (kog). All others are people's places, as a chat, mail or push
// service, and told of the end of a run: URLs of the shoutrrr library such as
// slack://..., and env:NAME for one that stands in a variable.
func NoticeEvent(target string) string {
	scheme, _, _ := strings.Cut(target, ":")
	switch scheme {
	case NoticeConsole, "http", "https":
		return NoticeStepStarted
	}
	return NoticeRunEnded
}

// NoticeBody is what a notice knows of its event.
type NoticeBody struct {
	Task          string          `json:"task"`
	Workflow      string          `json:"workflow,omitempty"`
	Step          string          `json:"step,omitempty"`
	Action        string          `json:"action,omitempty"`
	Status        string          `json:"status"` // running, or the run's outcome
	CorrelationID string          `json:"correlationId"`
	Context       json.RawMessage `json:"context,omitempty"`
	// Message and Seconds, from the start of the run, are told of its end.
	Message string  `json:"message,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
}
