package executortest

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// Harness is an executor under test. What is optional has a zero value that skips
// the cases in need of it.
type Harness struct {
	// Open opens the executor, again and again on the same outside world: each
	// time is an engine that starts.
	Open func(t *testing.T, sink executor.Sink) executor.Executor
	// Shell returns the work that runs a script of the POSIX shell; false if the
	// executor cannot express this one.
	Shell func(script string) (heddle.Work, bool)
	// Unknown is a work that can never be started. Default: a program that does not exist.
	Unknown heddle.Work
	// Log returns what is kept of an attempt's output so far, in the CRI log format.
	Log func(t *testing.T, id heddle.AttemptID) string
	// Environment names the variables that every program has. Those that shells
	// add are known.
	Environment []string
	// Signals: it is seen when a signal ends a program.
	Signals bool
	// MixedStreams: what is printed on standard error counts as standard output.
	MixedStreams bool
	// FirstGrace: the grace of the first stop cannot be shortened by a second one.
	FirstGrace bool
	// MessagePath: programs find their message file where they are said to, see
	// [heddle.MessageFile].
	MessagePath bool
	// OtherStore opens an executor on the same outside world for another store.
	OtherStore func(t *testing.T, sink executor.Sink) executor.Executor
	// Descendants: programs are processes of this machine and share its files.
	Descendants bool
	// Burst is how many attempts are started at once. Default 100.
	Burst int
	// Patience bounds the wait for anything. Default 30 s.
	Patience time.Duration
}

// kit is what one case works with: an executor of its own and the reports that
// came from it.
type kit struct {
	*testing.T
	h    Harness
	ctx  context.Context
	exec executor.Executor
	mask map[heddle.AttemptID][]string // of the attempts that have secrets
	*recorder
}

// newID returns attempt IDs that nobody has used before, not in an earlier test
// run either.
func newID() heddle.AttemptID {
	return heddle.NewAttemptID(heddle.RunID("t-"+strings.ToLower(rand.Text())), 1, 1)
}

func newKit(t *testing.T, h Harness) *kit {
	k := &kit{T: t, h: h, ctx: context.Background(), recorder: newRecorder(h.Patience), mask: map[heddle.AttemptID][]string{}}
	k.exec = k.open(k.recorder)
	return k
}

// open opens the executor once more, until the case has ended.
func (k *kit) open(r *recorder) executor.Executor {
	e := k.h.Open(k.T, r.sink)
	k.Cleanup(func() {
		if err := e.Close(); err != nil {
			k.Errorf("closing: %v", err)
		}
	})
	return e
}

// spec returns an attempt that runs the script, or skips the case.
func (k *kit) spec(script string) executor.Spec {
	k.Helper()
	work, ok := k.h.Shell(script)
	if !ok {
		k.Skipf("cannot express %q", script)
	}
	return executor.Spec{
		Attempt: newID(), Place: k.exec.Place(), Step: k.Name(), Work: work, Grace: 10 * time.Second,
	}
}

// start starts an attempt and lets go of it when the case has ended.
func (k *kit) start(spec executor.Spec) heddle.AttemptID {
	k.Helper()
	if err := k.exec.Start(k.ctx, spec); err != nil {
		k.Fatalf("starting: %v", err)
	}
	k.mask[spec.Attempt] = spec.Mask
	k.Cleanup(func() { k.letGo(spec.Attempt) })
	return spec.Attempt
}

// adoption is what an engine says that takes an attempt over.
func (k *kit) adoption(id heddle.AttemptID, place string) []executor.Adoption {
	return []executor.Adoption{{Attempt: heddle.Attempt{ID: id, Place: place}, Mask: k.mask[id]}}
}

// letGo makes sure that nothing of an attempt stays.
func (k *kit) letGo(id heddle.AttemptID) {
	r := newRecorder(k.h.Patience)
	e := k.h.Open(k.T, r.sink)
	defer e.Close()
	if err := e.Adopt(k.ctx, k.adoption(id, e.Place())); err != nil {
		k.Errorf("adopting: %v", err)
	}
	if err := e.Stop(k.ctx, id, "the test is over", 0); err != nil {
		k.Errorf("stopping: %v", err)
	}
	r.exit(k.T, id)
	if err := e.Release(k.ctx, []heddle.AttemptID{id}); err != nil {
		k.Errorf("releasing: %v", err)
	}
}

func (k *kit) stop(id heddle.AttemptID, grace time.Duration) {
	k.Helper()
	if err := k.exec.Stop(k.ctx, id, "the test wants it", grace); err != nil {
		k.Fatalf("stopping: %v", err)
	}
}

// run runs the script to its end.
func (k *kit) run(spec executor.Spec) heddle.Exit {
	k.Helper()
	return k.exit(k.T, k.start(spec))
}

// lines returns the texts of an attempt's log by stream, parts joined.
func (k *kit) lines(id heddle.AttemptID) map[string][]string {
	k.Helper()
	if k.h.Log == nil {
		k.Skip("there is no log to look at")
	}
	lines, open := map[string][]string{}, map[string]string{}
	for line := range strings.Lines(k.h.Log(k.T, id)) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(fields) != 4 {
			k.Fatalf("not a line of the CRI log format: %q", line)
		}
		if _, err := time.Parse(time.RFC3339Nano, fields[0]); err != nil {
			k.Errorf("%v", err)
		}
		stream := fields[1]
		open[stream] += fields[3]
		if fields[2] == "F" {
			lines[stream] = append(lines[stream], open[stream])
			open[stream] = ""
		}
	}
	return lines
}

// await waits until the attempt has printed the line.
func (k *kit) await(id heddle.AttemptID, line string) {
	k.Helper()
	eventually(k.T, k.h.Patience, "printing "+line, func() bool {
		for _, got := range k.lines(id)["stdout"] {
			if got == line {
				return true
			}
		}
		return false
	})
}

// eventually waits for what nobody reports.
func eventually(t *testing.T, patience time.Duration, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// recorder is a sink that remembers.
type recorder struct {
	patience time.Duration
	mu       sync.Mutex
	reports  map[heddle.AttemptID][]executor.Report
	changed  chan struct{} // closed with the next report
}

func newRecorder(patience time.Duration) *recorder {
	return &recorder{patience: patience, reports: map[heddle.AttemptID][]executor.Report{}, changed: make(chan struct{})}
}

func (r *recorder) sink(report executor.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports[report.Attempt] = append(r.reports[report.Attempt], report)
	close(r.changed)
	r.changed = make(chan struct{})
}

// of returns the reports of an attempt so far.
func (r *recorder) of(id heddle.AttemptID) []executor.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]executor.Report(nil), r.reports[id]...)
}

// ends returns the ends among the reports of an attempt.
func (r *recorder) ends(id heddle.AttemptID) (ends []heddle.Exit) {
	for _, report := range r.of(id) {
		if report.Exit != nil {
			ends = append(ends, *report.Exit)
		}
	}
	return ends
}

// exit waits for the end of an attempt.
func (r *recorder) exit(t *testing.T, id heddle.AttemptID) heddle.Exit {
	t.Helper()
	timer := time.NewTimer(r.patience)
	defer timer.Stop()
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		if ends := r.ends(id); len(ends) > 0 {
			return ends[0]
		}
		select {
		case <-changed:
		case <-timer.C:
			t.Fatalf("waited in vain for the end of %s; reports: %+v", id, r.of(id))
		}
	}
}
