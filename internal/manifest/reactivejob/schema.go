package reactivejob

import _ "embed"

//go:embed schema.json
var schema string

// Schema returns the JSON Schema (draft 2020-12) of ReactiveJobs, for editors.
func Schema() string { return schema }
