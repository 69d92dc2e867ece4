package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const oneStep = `name: fetched
actions: {a: {command: "echo 'KOG:{\"result\":\"success\"}'"}}
workflows: {run: {start: {action: a}}}
`

// TestDocumentsFromURLs has documents, contexts and variables fetched.
func TestDocumentsFromURLs(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	text := func(path, content string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(content)) })
	}
	text("/job", oneStep)
	text("/context.json", `{"correlation_id":"from afar"}`)
	text("/list.json", `[1]`)
	text("/bad.env", "A=1\nno value\n")
	mux.Handle("/moved", http.RedirectHandler("/job", http.StatusFound))
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) {
		for range 40 {
			if _, err := w.Write(bytes.Repeat([]byte{'#'}, 1<<20)); err != nil {
				return
			}
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)

	tests := map[string]struct {
		args       string
		wantExit   int
		wantOut    string
		wantErrors string
	}{
		"a redirect is followed":       {args: "-f URL/moved --context URL/context.json", wantOut: `"correlation_id":"from afar"`},
		"40 MiB are refused":           {args: "-f URL/big", wantExit: 125, wantErrors: "/big: it has more than 32 MiB"},
		"what is not there":            {args: "-f URL/none --use-job-rc=false", wantExit: 125, wantErrors: "/none: the server answers 404 Not Found"},
		"a context that is a list":     {args: "-f URL/job --context URL/list.json", wantExit: 125, wantErrors: "/list.json:1:1: "},
		"an env file with a bare line": {args: "-f URL/job --env-file URL/bad.env", wantExit: 125, wantErrors: "/bad.env:2: the line has no ="},
		"nobody listens":               {args: "-f http://user:secret@127.0.0.1:1/x", wantExit: 125, wantErrors: "connection refused"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := dataDir(t)
			stdout, stderr, exit := shell(t, t.TempDir(), data, "heddle run "+strings.ReplaceAll(tc.args, "URL", server.URL))
			if exit != tc.wantExit || !strings.Contains(string(stdout), tc.wantOut) || !strings.Contains(string(stderr), tc.wantErrors) || strings.Contains(string(stderr), "secret") {
				t.Errorf("exit code %d, want %d\n%s%s", exit, tc.wantExit, stdout, stderr)
			}
			if _, err := os.Stat(data); tc.wantExit != 0 && err == nil {
				t.Error("something was started: there is a data directory")
			}
		})
	}
}

// TestServerThatHangs interrupts a command that waits for a server, whose own limit
// is half a minute.
func TestServerThatHangs(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "heddle", "run", "-f", server.URL+"/job", "--data-dir", dataDir(t))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // the exit code is what counts
	if code := cmd.ProcessState.ExitCode(); code != 130 || stdout.Len() > 0 {
		t.Errorf("exit code %d\n%s%s", code, stdout.String(), stderr.String())
	}
}

// TestNotifier has the starts of steps posted: the job as it stands for the step.
func TestNotifier(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var job struct {
			Workflow string `json:"current_workflow"`
			Step     string `json:"current_step"`
			Status   string `json:"status"`
			ID       string `json:"correlation_id"`
			Context  struct {
				Step    string `json:"step_name"`
				Results []struct {
					Step   string `json:"step_name"`
					Result string `json:"result"`
				} `json:"step_results"`
			} `json:"context"`
		}
		if err := json.NewDecoder(r.Body).Decode(&job); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Header.Get("Content-Type"), " ", job))
		if r.URL.Path == "/refuses" {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	work, data := t.TempDir(), dataDir(t)
	text := strings.Replace(oneStep, "{start: {action: a}}", "{start: {action: a, success: end}, end: {action: a}}", 1)
	if err := os.WriteFile(filepath.Join(work, "job.yaml"), []byte("correlation_id: mine\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, exit := shell(t, work, data, "heddle run -f job.yaml --notifier '"+server.URL+"/hook?a=1'")
	if exit != 0 || !strings.Contains(string(stdout), `"notify_status":"success","notify_message":""`) {
		t.Errorf("exit code %d\n%s%s", exit, stdout, stderr)
	}
	want := []string{
		"POST /hook?a=1 application/json {run start running mine {start []}}",
		"POST /hook?a=1 application/json {run end running mine {end [{start success}]}}",
	}
	mu.Lock()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	mu.Unlock()
	// One that refuses changes neither the run nor the exit code.
	stdout, stderr, exit = shell(t, work, data, "heddle run -f job.yaml --notifier "+server.URL+"/refuses --notifier console")
	if exit != 0 || !strings.Contains(string(stdout), `"status":"success","message":"","notify_status":"failure","notify_message":"posting to `+server.URL+`: the server answered 404 Not Found"`) {
		t.Errorf("exit code %d\n%s%s", exit, stdout, stderr)
	}
}
