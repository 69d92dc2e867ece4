package scenario

import _ "embed"

//go:embed schema.json
var schema string

// Schema returns the JSON Schema (draft 2020-12) of files of scenarios, for editors.
func Schema() string { return schema }
