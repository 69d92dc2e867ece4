package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocumentsOfTheOriginals runs documents of the kind that the originals'
// readers know, with real images, and wants what the originals gave.
func TestDocumentsOfTheOriginals(t *testing.T) {
	t.Parallel()
	if os.Getenv("HEDDLE_TEST_DOCKER_HOST") == "" {
		t.Skip("HEDDLE_TEST_DOCKER_HOST is not set")
	}
	for name, tc := range map[string]struct {
		file, document string
		args           string
		exit           int
		want           []string // in the order in which they stand in the output of `runs show`
	}{
		// kog: a required variable and a required path are missing, so the second step
		// aborts; all paths end in a step whose action is not defined.
		"kog's abort test": {
			file: "abort-test.yaml", exit: 2,
			want: []string{"abort"},
		},
		"kog's success with the image of its example": {
			file: "success.yaml", exit: 0, want: []string{"success"},
			document: `
name: success test
workflows: {run: {start: {action: auto-success}}}
actions: {auto-success: {image: quay.io/f5-pwe/auto-result, version: 1.0.1}}
`,
		},
		"an image of kog's old kind reads its context from standard input": {
			file: "old.yaml", exit: 0, want: []string{"from standard input"},
			document: `
name: old
workflows: {run: {start: {action: old, success: check}, check: {action: check}}}
context: {n: 42}
actions:
  old: {image: old-echo, version: "1"}
  check: {image: busybox, version: "1.36", command: "true", result: exit-code, requirements: {context_paths: [seen.n]}}
`,
		},
		"chainr's success and error handlers": {
			file: "pipeline.json", exit: 0, want: []string{"first", "second", "success", "error", "skipped"},
			document: `{"kind": "Pipeline", "jobs": {
	"first": {"image": "busybox", "run": "exit 0"},
	"second": {"image": "busybox", "run": "exit 0", "dependsOn": [{"job": "first"}]},
	"success": {"image": "busybox", "run": "exit 0", "dependsOn": [{"job": "second"}]},
	"error": {"image": "busybox", "run": "exit 0", "dependsOn": [{"job": "second", "conditions": {"failure": true}}]}
}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, data := t.TempDir(), dataDir(t)
			text := []byte(tc.document)
			if tc.document == "" {
				var err error
				if text, err = os.ReadFile(filepath.Join("..", "..", "internal", "manifest", "jobfile", "testdata", tc.file)); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, tc.file), text, 0o600); err != nil {
				t.Fatal(err)
			}
			stdout, stderr, exit := shell(t, dir, data, "heddle run --executor docker -f "+tc.file)
			if exit != tc.exit {
				t.Errorf("exit code %d, want %d\n%s%s", exit, tc.exit, stdout, stderr)
			}
			shown, stderr, _ := shell(t, dir, data, "heddle runs show $(heddle runs list -o json | sed -n 's/.*\"id\": \"\\(.*\\)\".*/\\1/p')")
			rest := string(shown)
			for _, want := range tc.want {
				at := strings.Index(rest, want)
				if at < 0 {
					t.Fatalf("%q is not told, or not in its place:\n%s%s", want, shown, stderr)
				}
				rest = rest[at:]
			}
		})
	}
}
