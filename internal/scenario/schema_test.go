package scenario

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
			_, err := Decode(d)
			return err
		},
		Full: `
document: job.yaml
scenarios:
  - name: full
    workflow: run
    ignite: i
    params: {p: 1}
    context: {a: {b: [1, null]}}
    env: [A]
    steps:
      a: failure
      b: [success, {outcome: abort, message: m, code: 3, context: {n: 1}, outputs: {n: 1}, takes: 1m}]
      c: {outcome: timeout}
    cancel_at: a
    max_visits: 3
    expect:
      verdict: failure
      path: [a]
      steps: {a: not run}
      context: {n: 1}
      visits: {a: 1}
      attempts: {a: 1}
`,
		Files: []string{"../../examples/*.test.yaml"},
	})
}
