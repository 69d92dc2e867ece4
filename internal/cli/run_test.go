package cli

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/heddle/heddle"
)

const job = `name: the job
actions:
  a: {command: [true]}
workflows:
  run:
    start: {action: a}
`

// files writes files into a directory of the test and returns it.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRunFlags(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	var got *runOptions
	cmd := newRun(c.factory, func(_ context.Context, o *runOptions) error { got = o; return nil })
	cmd.SetArgs(strings.Fields(`-f job.yaml --executor process --context a.json --context b.yaml --env A=1=2 --env B,C
		--env-file x.env --import-current-env --ignore-env A,B* --ignore-env C -v /a:/b --volume c:/d
		--remote-logger syslog --remote-logger-addr h:514 --notifier console --notifier http://h/x --use-job-rc=false
		--workflow w --step s --param p=1 --label k=v --parallel 3 --progress plain -o yaml`))
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	got.factory = nil
	want := &runOptions{
		Files: []string{"job.yaml"}, Workflow: "w", Step: "s", Params: map[string]string{"p": "1"}, Contexts: []string{"a.json", "b.yaml"},
		Env: []string{"A=1=2", "B,C"}, EnvFiles: []string{"x.env"}, Import: true, IgnoreEnv: []string{"A", "B*", "C"},
		Volumes: []string{"/a:/b", "c:/d"}, Notifiers: []string{"console", "http://h/x"}, Labels: map[string]string{"k": "v"},
		Log: logOptions{Remote: "syslog", RemoteAddr: "h:514"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(runOptions{})); diff != "" {
		t.Error(diff)
	}
	if cfg := c.Config; cfg.Executor != "process" || cfg.Parallel != 3 || cfg.Progress != "plain" || cfg.Output != "yaml" {
		t.Errorf("config %+v", cfg)
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{
		"job.yaml": job, "image.yaml": strings.Replace(job, "command:", "image: alpine, command:", 1),
		"list.json": "[1]", "bad.env": "A=1\nB\n", "empty.yaml": "", "tabs.yaml": "name:\n\tx\n",
		"twice.yaml": "name: a\nname: b\n", "list.yaml": "- a\n", "nostart.yaml": strings.Replace(job, "start", "begin", 1),
		"kind.yaml": "kind: Unknown\n", "negative.yaml": strings.Replace(job, "{action: a}", "{action: a, duration: -3s}", 1),
	})
	tests := map[string]struct {
		args []string
		want string
	}{
		"no such file":                       {args: []string{"-f", "none.yaml"}, want: "none.yaml: there is no such file"},
		"an empty file":                      {args: []string{"-f", "empty.yaml"}, want: "empty.yaml:1:1: "},
		"a list":                             {args: []string{"-f", "list.yaml"}, want: "list.yaml:1:1: "},
		"tabs":                               {args: []string{"-f", "tabs.yaml"}, want: "tabs.yaml:2"},
		"a key twice":                        {args: []string{"-f", "twice.yaml"}, want: "twice.yaml:2:1: "},
		"an unknown kind":                    {args: []string{"-f", "kind.yaml"}, want: "kind.yaml:1:7: "},
		"no start step":                      {args: []string{"-f", "nostart.yaml"}, want: `"start"`},
		"a negative duration":                {args: []string{"-f", "negative.yaml"}, want: "negative.yaml:6:34"},
		"an executor that there never is":    {args: []string{"-f", "job.yaml", "--executor", "vm"}, want: "--executor (or HEDDLE_EXECUTOR)"},
		"images with nothing to run them":    {args: []string{"-f", "image.yaml"}, want: `step "start" names an image (alpine:latest)`},
		"volumes without containers":         {args: []string{"-f", "job.yaml", "-v", "/a:/b"}, want: "--volume"},
		"a context that is a list":           {args: []string{"-f", "job.yaml", "--context", "list.json"}, want: "list.json:1:1: "},
		"an env file without =":              {args: []string{"-f", "job.yaml", "--env-file", "bad.env"}, want: "bad.env:2: "},
		"an env entry without a name":        {args: []string{"-f", "job.yaml", "--env", "=x"}, want: "neither NAME=VALUE nor NAME"},
		"a notifier that is no URL":          {args: []string{"-f", "job.yaml", "--notifier", "mail"}, want: `--notifier: neither console, nor an http or https URL`},
		"a notifier whose variable is unset": {args: []string{"-f", "job.yaml", "--notifier", "env:CHAT"}, want: "the variable CHAT, which is to hold the URL of a notifier, is not set"},
		"an unknown remote logger":           {args: []string{"-f", "job.yaml", "--remote-logger", "gelf"}, want: `"gelf" is not syslog`},
		"an address without a port":          {args: []string{"-f", "job.yaml", "--remote-logger", "syslog", "--remote-logger-addr", "x"}, want: "is not host:port"},
		"an address of an unknown transport": {args: []string{"-f", "job.yaml", "--remote-logger", "syslog", "--remote-logger-addr", "tls://x:1"}, want: "neither udp nor tcp"},
		"standard input twice":               {args: []string{"-f", "-", "--context", "-"}, want: "standard input (-) can be read once only"},
		"live without a terminal":            {args: []string{"-f", "job.yaml", "--progress", "live"}, want: "standard error is not a terminal"},
		"a param without a value":            {args: []string{"-f", "job.yaml", "--param", "x"}, want: "--param"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConsole(t)
			for i, arg := range tc.args {
				if _, err := os.Stat(filepath.Join(dir, arg)); err == nil {
					tc.args[i] = filepath.Join(dir, arg)
				}
			}
			if code := c.run(t, append([]string{"run", "--use-job-rc=false"}, tc.args...)...); code != exitTrouble {
				t.Errorf("exit code %d", code)
			}
			if !strings.Contains(c.err.String(), tc.want) || c.out.Len() > 0 || len(c.fake.submitted) > 0 {
				t.Errorf("standard error %q, want %q in it; standard output %q, %d submitted", c.err.String(), tc.want, c.out.String(), len(c.fake.submitted))
			}
		})
	}
}

func TestRunSubmits(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{
		"job.yaml": job, "one.json": `{"a":{"x":1},"correlation_id":"mine"}`, "two.yaml": "a: {y: 2}\n",
		"one.env": "A=file\nB=file\n", "two.env": "B=second\n",
	})
	in := func(name string) string { return filepath.Join(dir, name) }
	c := newConsole(t, "BARE=from here", "OTHER=x")
	code := c.run(t, "run", "-f", in("job.yaml"), "--context", in("one.json"), "--context", in("two.yaml"),
		"--env-file", in("one.env"), "--env-file", in("two.env"), "--env", "A=flag", "--env", "BARE", "--env", "UNSET",
		"--import-current-env", "--ignore-env", "X*", "--notifier", "console", "--label", "k=v", "--log-level", "warn", "--parallel", "2")
	if code != 0 || len(c.fake.submitted) != 1 {
		t.Fatalf("exit code %d, standard error %q", code, c.err.String())
	}
	got := c.fake.submitted[0]
	wantInput := heddle.Input{
		CorrelationID: "mine", Env: map[string]string{"A": "flag", "B": "second", "BARE": "from here"},
		Context: json.RawMessage(`{"a":{"x":1,"y":2},"correlation_id":"mine","log_level":"warn"}`),
		Ambient: &heddle.Ambient{Ignore: []string{"X*"}}, Notify: []string{"console"},
	}
	if diff := cmp.Diff(wantInput, got.Input); diff != "" {
		t.Error(diff)
	}
	if got.Executor != "process" || got.Labels["k"] != "v" || c.fake.opened.Parallel != 2 {
		t.Errorf("executor %q, labels %v, parallel %d", got.Executor, got.Labels, c.fake.opened.Parallel)
	}
	want := `{"correlation_id":"mine","task_name":"the job","status":"success","message":"as told","notify_status":"","notify_message":""}` + "\n"
	if diff := cmp.Diff(want, c.out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestRunExitCodes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(files(t, map[string]string{"job.yaml": job}), "job.yaml")
	for outcome, want := range map[heddle.Outcome]int{heddle.Success: 0, heddle.Failure: 1, heddle.Abort: 2, heddle.Timeout: 3} {
		c := newConsole(t)
		c.fake.outcome = outcome
		if code := c.run(t, "run", "-f", path); code != want {
			t.Errorf("%s: exit code %d", outcome, code)
		}
		if code := c.run(t, "run", "-f", path, "--use-job-rc=false"); code != 0 {
			t.Errorf("%s: exit code %d with --use-job-rc=false", outcome, code)
		}
	}
}

func TestRunInterrupted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(files(t, map[string]string{"job.yaml": job}), "job.yaml")
	c := newConsole(t)
	c.fake.outcome, c.fake.ended = "", make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	c.Now = func() time.Time { cancel(); return time.Now() }
	cancel()
	if code := c.main(ctx, []string{"run", "-f", path}); code != exitAbort {
		t.Errorf("exit code %d, standard error %q", code, c.err.String())
	}
	if diff := cmp.Diff([]string{"newrun: interrupted"}, c.fake.cancels); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(c.out.String(), `"status":"abort"`) {
		t.Errorf("standard output %q", c.out.String())
	}
}

func TestRunLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(files(t, map[string]string{"job.yaml": job}), "job.yaml")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	lines := map[heddle.RunID][]heddle.LogLine{"newrun": {
		{Time: at, Visit: 1, Stream: "stdout", Text: `hello "there"`},
		{Time: at, Visit: 1, Stream: "stderr", Text: "KOG:{not a result}"},
		{Time: at, Visit: 1, Stream: "stdout", Text: `KOG:{"result":"success"}`},
	}}
	tests := map[string]struct {
		args    []string
		want    []string
		wantNot string
	}{
		"logfmt": {
			want: []string{
				`time=2026-01-02T03:04:05Z level=info msg="hello \"there\"" task_name="the job" correlation_id=made run_id=newrun step_name=start action_name=a stream=stdout` + "\n",
				`msg="KOG:{not a result}"`, `msg="step started"`, `msg="step ended"`, `msg="run ended"`,
				"1 run was interrupted earlier: 'heddle runs resume'",
			},
			wantNot: `KOG:{\"result`,
		},
		"the result line at debug": {args: []string{"--log-level", "debug"}, want: []string{`level=debug msg="KOG:{\"result\":\"success\"}"`}},
		"json": {
			args: []string{"--log-formatter", "json"},
			want: []string{`{"time":"2026-01-02T03:04:05Z","level":"info","msg":"hello \"there\"","task_name":"the job","correlation_id":"made","run_id":"newrun","step_name":"start","action_name":"a","stream":"stdout"}` + "\n"},
		},
		"errors only": {args: []string{"--log-level", "error"}, wantNot: "hello"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConsole(t)
			c.fake.lines, c.fake.orphans = lines, []heddle.RunID{"old"}
			if code := c.run(t, append([]string{"run", "-f", path}, tc.args...)...); code != 0 {
				t.Errorf("exit code %d", code)
			}
			for _, want := range tc.want {
				if !strings.Contains(c.err.String(), want) {
					t.Errorf("standard error lacks %s:\n%s", want, c.err.String())
				}
			}
			if tc.wantNot != "" && strings.Contains(c.err.String(), tc.wantNot) {
				t.Errorf("standard error has %s:\n%s", tc.wantNot, c.err.String())
			}
		})
	}
}
