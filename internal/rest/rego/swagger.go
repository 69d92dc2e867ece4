package rego

import _ "embed"

// spec describes the routes in Swagger 2.0, as rego does; page shows it to people.
var (
	//go:embed swagger.json
	spec []byte
	//go:embed swagger.html
	page []byte
)
