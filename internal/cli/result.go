package cli

import (
	"encoding/json"
	"io"

	"github.com/heddle/heddle"
)

// jobResult is kog's JobResult, the final word of a run.
type jobResult struct {
	CorrelationID string `json:"correlation_id"`
	TaskName      string `json:"task_name"`
	Status        string `json:"status"`
	Message       string `json:"message"`
	NotifyStatus  string `json:"notify_status"`
	NotifyMessage string `json:"notify_message"`
}

// writeJobResult writes the result: as YAML or a table when asked for, else in
// kog's form, one line of JSON.
func writeJobResult(w io.Writer, format string, r jobResult) error {
	switch format {
	case "yaml":
		return writeYAML(w, r)
	case "table":
		t := newTable(w)
		row(t, "TASK", "STATUS", "CORRELATION", "NOTIFIED", "MESSAGE")
		notified := r.NotifyStatus
		if r.NotifyMessage != "" {
			notified += " (" + r.NotifyMessage + ")"
		}
		row(t, r.TaskName, r.Status, r.CorrelationID, notified, r.Message)
		return t.Flush()
	default:
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(r)
	}
}

// exitOf returns the exit code of an outcome.
func exitOf(o heddle.Outcome) int {
	switch o {
	case heddle.Success, heddle.Skipped:
		return exitOK
	case heddle.Failure:
		return exitFailure
	case heddle.Abort:
		return exitAbort
	case heddle.Timeout:
		return exitTimeout
	}
	return exitTrouble
}
