package chain

import _ "embed"

//go:embed task.json
var taskSchema string

//go:embed ignitor.json
var ignitorSchema string

// TaskSchema returns the JSON Schema (draft 2020-12) of Tasks, for editors.
func TaskSchema() string { return taskSchema }

// IgnitorSchema returns the JSON Schema (draft 2020-12) of Ignitors, for editors.
func IgnitorSchema() string { return ignitorSchema }
