package jobfile

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
			func(text string) string { return job(text, "", "image: i") },
			func(text string) string { return job("", text, "image: i") },
			func(text string) string { return job("", "", text) },
		},
		Full: `
name: full
workflows:
  run:
    start: {action: a, duration: 90s, retries: {limit: 1, delay: 1, factor: 1.5, max_delay: 1m}}
actions:
  a:
    image: i
    version: 1.10
    env: {A: 1, B: {fromFile: /f}, C: {fromEnv: X}, D: {fromSecret: n/k}}
    command: [x]
    entrypoint: x
    requirements: {env: [A], context_paths: [b.c]}
    output: {context: {b: {c: d}}}
    retries: 3
    pool: {name: licences, weight: 2}
    kubernetes: {namespace: n, bare: true, podTemplate: {spec: {serviceAccountName: s}}}
concurrency: {key: deploy, busy: reject}
params: {p: {type: integer, default: 1}}
`,
		Files: []string{"testdata/*.yaml", "../../../examples/*.yaml"},
	})
}
