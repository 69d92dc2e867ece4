package cli

import (
	stdcmp "cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

func TestScreen(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := start.Add(75 * time.Second)
	settled := func(no int, step string, o heddle.Outcome, message string) heddle.Visit {
		return heddle.Visit{No: no, Step: step, Nth: 1, State: heddle.VisitSettled, Outcome: o, Message: message, Opened: start, Settled: start.Add(1234 * time.Millisecond)}
	}
	active := func(no int, step string) heddle.Visit {
		return heddle.Visit{No: no, Step: step, Nth: 1, State: heddle.VisitActive, Opened: start.Add(70 * time.Second)}
	}
	tests := map[string]struct {
		visits        []heddle.Visit
		last          map[int]string
		width, height int
		want          []string
	}{
		"every state with its last line or message": {
			visits: []heddle.Visit{
				settled(1, "fetch", heddle.Success, ""), settled(2, "test", heddle.Failure, "exit code 1"),
				settled(3, "extra", heddle.Skipped, ""), active(4, "build"), {No: 5, Step: "later", Nth: 2, State: heddle.VisitReady, Opened: now},
			},
			last: map[int]string{1: "got it", 4: "compiling"}, width: 60, height: 20,
			want: []string{
				"flow  running  3 of 5 steps done  1m15s",
				"✓ fetch        1.2s  got it",
				"✗ test         1.2s  exit code 1",
				"- extra        1.2s",
				"● build        5.0s  compiling",
				"○ later #2      0ms",
			},
		},
		"open steps stay when there is no room": {
			visits: []heddle.Visit{
				active(1, "a"), settled(2, "b", heddle.Success, ""), settled(3, "c", heddle.Success, ""), settled(4, "d", heddle.Success, ""), active(5, "e"),
			},
			width: 60, height: 6,
			want: []string{"flow  running  3 of 5 steps done  1m15s", "● a     5.0s", "✓ d     1.2s", "● e     5.0s", "  and 2 more"},
		},
		"long and wide text is cut to the width": {
			visits: []heddle.Visit{active(1, "a")}, last: map[int]string{1: strings.Repeat("世界", 20)}, width: 30, height: 10,
			want: []string{"flow  running  0 of 1 steps …", "● a     5.0s  世界世界世界世…"},
		},
		"nothing on a screen that is too small": {visits: []heddle.Visit{active(1, "a")}, width: 30, height: 3},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := screen{visits: map[int]heddle.Visit{}, last: tc.last,
				run: heddle.Run{ID: "r", Name: "flow", State: heddle.RunRunning, Created: start}}
			for _, v := range tc.visits {
				s.order = append(s.order, v.No)
				s.visits[v.No] = v
			}
			if diff := cmp.Diff(tc.want, s.lines(now, tc.width, tc.height)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRunOnATerminal(t *testing.T) {
	t.Parallel()
	master, tty, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo terminal: %v", err)
	}
	defer master.Close()
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 20, Cols: 70}); err != nil {
		t.Fatal(err)
	}
	shown := make(chan string)
	go func() {
		data, _ := io.ReadAll(master) // ends with an error once the other side is closed
		shown <- string(data)
	}()
	dir := files(t, map[string]string{"job.yaml": job})
	c := newConsole(t)
	c.factory.Err = tty
	c.fake.outcome, c.fake.ended = "", make(chan struct{})
	c.fake.lines = map[heddle.RunID][]heddle.LogLine{"newrun": {{Visit: 1, Stream: "stdout", Text: "\x1b[2Jworking \x1b]0;title\x07hard"}}}
	var code int
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		code = c.run(t, "run", "-f", dir+"/job.yaml")
	}()
	time.AfterFunc(5*redraw, func() {
		c.fake.mu.Lock()
		defer c.fake.mu.Unlock()
		c.fake.end(&c.fake.runs[0], heddle.Failure, "it broke")
	})
	<-finished
	tty.Close()
	text := <-shown
	if code != exitFailure {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		"the job  running  0 of 1 steps done", "\x1b[36m●\x1b[0m start", "working hard", "\x1b[2A\r\x1b[J",
		"\x1b[31m✗\x1b[0m start  failure", "\x1b[31mfailure\x1b[0m after 1.5s: it broke", "logs: heddle runs logs newrun",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the terminal lacks %q: %q", want, text)
		}
	}
	if strings.Contains(text, "title") || strings.Contains(text, "level=info") {
		t.Errorf("the terminal shows what it should not: %q", text)
	}
	if !strings.HasPrefix(c.out.String(), `{"correlation_id"`) {
		t.Errorf("standard output %q", c.out.String())
	}
}

func TestWantsLive(t *testing.T) {
	t.Parallel()
	master, tty, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo terminal: %v", err)
	}
	defer master.Close() // or the collector does, amid the test, and it is a terminal no more
	defer tty.Close()
	tests := map[string]struct {
		progress, level, term string
		plain                 bool
		err                   io.Writer
		want                  bool
	}{
		"on a terminal":                      {err: tty, want: true},
		"not when log lines were asked for":  {err: tty, plain: true},
		"not on a dumb terminal":             {err: tty, term: "dumb"},
		"not at level debug":                 {err: tty, level: "debug"},
		"not when plain was asked for":       {err: tty, progress: "plain"},
		"asked for on a dumb terminal":       {err: tty, term: "dumb", progress: "live", want: true},
		"not into a file or pipe":            {err: os.Stdin},
		"not into something without a file ": {err: io.Discard},
	}
	for name, tc := range tests {
		c := newConsole(t, "TERM="+tc.term)
		c.factory.Err = tc.err
		c.Config.LogFormat = "logfmt"
		c.Config.Progress, c.Config.LogLevel = stdcmp.Or(tc.progress, "auto"), stdcmp.Or(tc.level, "info")
		got, err := wantsLive(c.factory, tc.plain)
		if got != tc.want || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestSummaryIsBounded(t *testing.T) {
	t.Parallel()
	d := heddle.RunDetail{Run: heddle.Run{ID: "r", Outcome: heddle.Success}}
	for i := range summaryVisits + 5 {
		d.Visits = append(d.Visits, heddle.Visit{No: i + 1, Step: fmt.Sprintf("s%d", i+1), State: heddle.VisitSettled, Outcome: heddle.Success})
	}
	got := summary(d, false)
	if !strings.HasPrefix(got, "... 5 earlier steps: heddle runs show r\n✓ s6 ") || strings.Count(got, "\n") != summaryVisits+3 {
		t.Errorf("%d lines: %.200s", strings.Count(got, "\n"), got)
	}
}
