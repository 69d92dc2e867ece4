package taskdef

import _ "embed"

//go:embed schema.json
var schema string

// Schema returns the JSON Schema (draft 2020-12) of task definitions, for editors.
func Schema() string { return schema }
