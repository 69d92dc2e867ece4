//go:build linux

package process

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// wantNowhere checks that no file below dir holds one of the texts, in any form
// that a masker knows.
func wantNowhere(t *testing.T, dir string, texts []string) {
	t.Helper()
	m := executor.NewMasker(texts)
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		if masked := m.String(string(content)); masked != string(content) {
			t.Errorf("%s holds a secret: %.2000s", path, masked)
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("looked at %d files: %v", files, err)
	}
}

func TestSecretsAreNotOnTheDisk(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	var r reports
	e := open(t, dir, time.Second, r.sink)
	texts := []string{"open-sesame", "a value of the environment", "first line\nsecond line"}
	spec := shell(e, "a-1-1", `echo "$KEY"; echo "KOG:$KEY"; echo ready; while [ ! -e "$MESSAGE.go" ]; do sleep 0.05; done; printf %s "$LINES" > "$MESSAGE"`)
	spec.Work.Env = map[string]string{"KEY": texts[0], "PLAIN": texts[1], "LINES": texts[2]}
	spec.Work.Message = &heddle.MessageFile{Env: "MESSAGE"}
	spec.Files = []executor.File{{Env: "FILE", Name: "file", Data: []byte("no secret")}}
	spec.Mask = []string{texts[0], texts[2]}
	start(t, e, spec)
	poll(t, "the program", func() bool { return strings.Contains(readLog(t, dir, "a-1-1"), " ready\n") })
	wantNowhere(t, dir, texts)

	refused := shell(e, "a-2-1", "")
	refused.Work = heddle.Work{Command: []string{"open-sesame"}, Env: map[string]string{"KEY": "open-sesame\x00"}}
	refused.Mask = []string{"open-sesame"}
	for _, env := range []map[string]string{refused.Work.Env, nil} {
		refused.Work.Env = env
		message, ok := executor.Refused(e.Start(t.Context(), refused))
		if !ok || message == "" || strings.Contains(message, "sesame") {
			t.Errorf("got refusal %q, %v", message, ok)
		}
	}

	if err := os.WriteFile(paths{dir}.message("a-1-1")+".go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if exit := r.end(t, "a-1-1"); exit.Termination != "***" || string(exit.Result) != "***" {
		t.Errorf("got message %q and result %q", exit.Termination, exit.Result)
	}
	if err := os.Remove(paths{dir}.message("a-1-1")); err != nil { // the program's own doing
		t.Fatal(err)
	}
	wantNowhere(t, dir, texts)
	endProcess(t, supervisorPID(t, dir), syscall.SIGKILL)
	poll(t, "a new supervisor, which writes the journal anew", func() bool {
		return e.Start(t.Context(), shell(e, "a-3-1", "exit 0")) == nil
	})
	wantNowhere(t, dir, texts)
}

func TestFilesOfAttemptsGo(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	left := filepath.Join(paths{dir}.attempts(), "b-1-1", "file")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	var r reports
	e := open(t, dir, time.Second, r.sink)
	spec := shell(e, "a-1-1", `printf well > "$MESSAGE"`)
	spec.Work.Message = &heddle.MessageFile{Env: "MESSAGE"}
	start(t, e, spec)
	if exit := r.end(t, "a-1-1"); exit.Termination != "well" {
		t.Errorf("got message %q", exit.Termination)
	}
	if _, err := os.Stat(paths{dir}.message("a-1-1")); err != nil {
		t.Errorf("before the release: %v", err)
	}
	if err := e.Release(t.Context(), []heddle.AttemptID{"a-1-1"}); err != nil {
		t.Fatal(err)
	}
	poll(t, "the end of all files", func() bool {
		found, err := os.ReadDir(paths{dir}.attempts())
		return err == nil && len(found) == 0
	})
}
