package pipeline

import (
	"testing"

	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/manifest/schematest"
)

func TestSchema(t *testing.T) {
	t.Parallel()
	schematest.Check(t, schematest.Subject{
		Schema: Schema(),
		Is:     Is,
		Decode: func(d *doc.Document) error {
			_, err := Decode(d, Options{})
			return err
		},
		Frames: []func(string) string{
			func(text string) string { return "kind: Pipeline\njobs: {a: {image: i, run: x}}\n" + text },
			func(text string) string { return "kind: Pipeline\njobs:\n  a:\n    image: i\n    run: x\n" + text },
			func(text string) string { return "kind: Pipeline\njobs:\n" + text },
		},
		Full: `
kind: Pipeline
params: {p: {type: integer, default: 1}}
shared: true
env: {F: {fromFile: /f}}
concurrency: {key: deploy, busy: cancel-old}
jobs:
  a: {image: i, run: x, retries: {limit: 1, delay: 1, factor: 1.5, maxDelay: 1m}}
  b:
    image: i
    run: x
    retries: 3
    pool: {name: licences, weight: 2}
    kubernetes: {namespace: n, bare: true, podTemplate: {spec: {serviceAccountName: s}}}
    dependsOn: [{job: a, conditions: {always: true}}]
    env: {V: {fromOutput: a.v}, E: {fromEnv: X}}
    matrix: {values: {A: [1, b]}, exclude: [{A: 1}], include: [{B: true}], limit: 2, failFast: true}
`,
		Files: []string{"../../../examples/*.yaml"},
	})
}
