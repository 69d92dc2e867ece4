package rest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/app"
)

// asking is a pipeline whose job wants a variable from somewhere.
func asking(source map[string]any) map[string]any {
	return map[string]any{"kind": "Pipeline", "jobs": map[string]any{"a": map[string]any{
		"image": "busybox", "run": "test \"$X\" = yes", "env": map[string]any{"X": source}}}}
}

func (b *bench) secretFiles() (outside string) {
	b.t.Helper()
	dir := b.opts.SecretsDir
	outside = filepath.Join(filepath.Dir(dir), "outside")
	for _, path := range []string{outside, filepath.Join(dir, "team", "token")} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("yes\n"), 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		b.t.Skip(err)
	}
	return outside
}

func TestDocumentsGetOnlySecretsForRuns(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	outside := b.secretFiles()
	hostPath := `{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"a","image":"busybox"}],"volumes":[{"name":"v","hostPath":{"path":"/"}}]}}}}`
	for name, tc := range map[string]struct {
		document any
		refused  string
		failed   string
	}{
		"a variable for runs":             {document: asking(map[string]any{"fromEnv": "HEDDLE_SECRET_OFFERED"})},
		"a variable of the server":        {document: asking(map[string]any{"fromEnv": "SERVER_SECRET"}), refused: "call it HEDDLE_SECRET_SERVER_SECRET"},
		"a setting":                       {document: asking(map[string]any{"fromEnv": "HEDDLE_KEY"}), refused: "(fromEnv) is not for runs"},
		"a file by its path":              {document: asking(map[string]any{"fromFile": b.opts.SecretsDir + "/team/token"})},
		"a file by its name":              {document: asking(map[string]any{"fromFile": "team/token"})},
		"a file of the server":            {document: asking(map[string]any{"fromFile": outside}), refused: "they may read files below"},
		"a name that leads out":           {document: asking(map[string]any{"fromFile": "../outside"}), refused: "they may read files below"},
		"a link that leads out":           {document: asking(map[string]any{"fromFile": "link"}), failed: "cannot be read"},
		"a path of the host in a cluster": {document: `{"apiVersion":"batch.cs.sap.com/v1alpha1","kind":"ReactiveJob","metadata":{"name":"r"},"spec":{"jobTemplate":` + hostPath + `}}`, refused: "--allow-host-volumes"},
	} {
		body := map[string]any{"document": tc.document}
		if tc.refused != "" {
			r := b.ask("POST", "/api/v2/runs", body)
			if r.code != http.StatusBadRequest || !strings.Contains(r.body, tc.refused) {
				t.Errorf("%s: %d %s, want a refusal with %q", name, r.code, r.body, tc.refused)
			}
		}
		if _, ok := tc.document.(map[string]any); ok && tc.refused != "" {
			if r := b.ask("POST", "/api/runs", tc.document); r.code != http.StatusBadRequest || !strings.Contains(r.body, "is not for runs of this server") {
				t.Errorf("%s, by chainr's route: %d %s", name, r.code, r.body)
			}
		}
		if tc.refused != "" {
			continue
		}
		var byChainr struct {
			Metadata struct{ UID heddle.RunID }
		}
		b.as(http.StatusAccepted, &byChainr, "POST", "/api/runs", tc.document)
		for _, id := range []heddle.RunID{b.submit(tc.document).ID, byChainr.Metadata.UID} {
			d := b.waitForEnd(id)
			if good := d.Run.Outcome == heddle.Success; good != (tc.failed == "") || !strings.Contains(d.Run.Message, tc.failed) {
				t.Errorf("%s: ends with %s: %s", name, d.Run.Outcome, d.Run.Message)
			}
		}
	}
}

// What the command line may have its documents read, and mount, a server does not give
// to who asks it for the same.
func TestWhatTheCommandLineMadeIsNotDoneOverWithMore(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	outside := b.secretFiles()
	line, err := app.Open(t.Context(), b.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := line.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	flow := func(from map[string]heddle.Source) *heddle.Flow {
		return &heddle.Flow{Kind: heddle.KindTask, Name: "f", Start: []string{"a"}, Steps: []heddle.Step{
			{Name: "a", Work: &heddle.Work{Command: []string{"sh", "-c", "test -n \"$X\" && exit 1"}, From: from}}}}
	}
	file := flow(map[string]heddle.Source{"X": {File: outside}})
	run, err := line.Runs().Submit(t.Context(), heddle.Submission{Flow: file, Executor: app.Process})
	if err != nil {
		t.Fatal(err)
	}
	if d := b.waitForEnd(run.ID); !strings.Contains(d.Run.Message, "exit code 1") {
		t.Fatalf("by the command line: %+v", d.Run)
	}
	if r := b.ask("POST", "/api/v2/runs/"+string(run.ID)+"/retry", "{}"); r.code != http.StatusBadRequest || !strings.Contains(r.body, "is not for runs of this server") {
		t.Errorf("a retry: %d %s", r.code, r.body)
	}

	reader, err := app.OpenReader(t.Context(), b.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	for name, d := range map[string]heddle.Definition{
		"a file of the server": {Flow: file},
		"a path of the host":   {Flow: flow(nil), Input: heddle.Input{Volumes: []string{"/etc:/x"}}},
	} {
		d.Name, d.Kind, d.Executor, d.Document = name, heddle.KindTask, app.Process, json.RawMessage("{}")
		if _, err := b.server.Definitions().Create(t.Context(), d); heddle.CodeOf(err) != heddle.CodeInvalid || !strings.Contains(err.Error(), "runs of this server") {
			t.Errorf("%s: a definition made on the server: %v", name, err)
		}
		d.Enabled, d.Next = true, time.Now()
		made, err := reader.Definitions().Create(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		if reason := b.waitForReason(made.ID); !strings.Contains(reason, "runs of this server") {
			t.Errorf("%s: the definition says %q", name, reason)
		}
		page, err := b.server.Runs().List(t.Context(), heddle.RunFilter{Definition: made.ID})
		if err != nil || len(page.Runs) > 0 {
			t.Errorf("%s: has runs %v, error %v", name, page.Runs, err)
		}
	}
}

func (b *bench) waitForReason(id string) string {
	b.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		d, err := b.server.Definitions().Get(b.t.Context(), heddle.DefaultOrganization, id)
		if err != nil || d.Reason != "" || time.Now().After(deadline) {
			return d.Reason
		}
	}
}
