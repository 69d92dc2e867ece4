package cli

import (
	"bytes"
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/app"
)

// fake is a session and a reader whose runs end as the test says.
type fake struct {
	mu        sync.Mutex
	runs      []heddle.RunDetail // newest first
	lines     map[heddle.RunID][]heddle.LogLine
	orphans   []heddle.RunID
	resumed   []heddle.RunID
	submitted []heddle.Submission
	cancels   []string
	filters   []heddle.RunFilter
	opened    app.Options
	closed    bool
	// outcome is that of runs submitted or taken up; "" lets them go on until they are cancelled.
	outcome heddle.Outcome
	ended   chan struct{} // closed when a run that waits for its cancel has ended
}

func (f *fake) Runs() heddle.Runs { return f }
func (f *fake) Logs() heddle.Logs { return f }
func (f *fake) Err() error        { return nil }

func (f *fake) Submit(_ context.Context, s heddle.Submission) (heddle.Run, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.submitted = append(f.submitted, s)
	now := time.Now()
	run := heddle.Run{ID: "newrun", Kind: s.Flow.Kind, Name: s.Flow.Name, Input: s.Input, Executor: s.Executor,
		State: heddle.RunRunning, Created: now, Started: now}
	if run.Input.CorrelationID == "" {
		run.Input.CorrelationID = "made"
	}
	d := heddle.RunDetail{Run: run, Flow: s.Flow}
	for i, step := range s.Flow.Steps {
		d.Visits = append(d.Visits, heddle.Visit{No: i + 1, Step: step.Name, Nth: 1, State: heddle.VisitActive, Opened: now})
	}
	f.runs = append([]heddle.RunDetail{d}, f.runs...)
	if f.outcome != "" {
		f.end(&f.runs[0], f.outcome, "as told")
	}
	return run, nil
}

// end ends a run. The caller holds mu.
func (f *fake) end(d *heddle.RunDetail, o heddle.Outcome, message string) {
	d.Run.State, d.Run.Outcome, d.Run.Message, d.Run.Ended = heddle.RunEnded, o, message, d.Run.Created.Add(1500*time.Millisecond)
	for i := range d.Visits {
		d.Visits[i].State, d.Visits[i].Outcome, d.Visits[i].Settled = heddle.VisitSettled, o, d.Run.Ended
	}
	if f.ended != nil {
		close(f.ended)
	}
}

func (f *fake) find(id heddle.RunID) *heddle.RunDetail {
	i := slices.IndexFunc(f.runs, func(d heddle.RunDetail) bool { return d.Run.ID == id })
	if i < 0 {
		return nil
	}
	return &f.runs[i]
}

func (f *fake) Get(_ context.Context, id heddle.RunID) (heddle.RunDetail, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.find(id)
	if d == nil {
		return heddle.RunDetail{}, heddle.Errorf(heddle.CodeNotFound, "no run %s", id)
	}
	out := *d
	out.Visits = slices.Clone(d.Visits)
	if slices.Contains(f.orphans, id) {
		out.Waiting = []heddle.Waiting{{Reason: heddle.WaitOwner, Message: "nobody runs it"}}
	}
	return out, nil
}

func (f *fake) List(_ context.Context, filter heddle.RunFilter) (heddle.RunPage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.filters = append(f.filters, filter)
	var page heddle.RunPage
	for _, d := range f.runs {
		if len(filter.States) == 0 || slices.Contains(filter.States, d.Run.State) {
			page.Runs = append(page.Runs, d.Run)
		}
	}
	return page, nil
}

func (f *fake) Cancel(_ context.Context, id heddle.RunID, reason string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cancels = append(f.cancels, string(id)+": "+reason)
	d := f.find(id)
	if d.Run.State == heddle.RunEnded {
		return heddle.Errorf(heddle.CodeConflict, "ended")
	}
	if !slices.Contains(f.orphans, id) {
		f.end(d, heddle.Abort, reason)
	}
	return nil
}

func (f *fake) Watch(ctx context.Context, id heddle.RunID) (<-chan heddle.RunUpdate, error) {
	updates := make(chan heddle.RunUpdate)
	go func() {
		defer close(updates)
		for range 2 {
			d, _ := f.Get(ctx, id)
			select {
			case updates <- heddle.RunUpdate{Run: d.Run, Visits: d.Visits}:
			case <-ctx.Done():
				return
			}
			if d.Run.State == heddle.RunEnded {
				return
			}
			if f.ended != nil {
				select {
				case <-f.ended:
				case <-ctx.Done():
				}
			}
		}
	}()
	return updates, nil
}

func (f *fake) Lines(_ context.Context, q heddle.LogQuery) iter.Seq2[heddle.LogLine, error] {
	return func(yield func(heddle.LogLine, error) bool) {
		for _, line := range f.lines[q.Run] {
			if q.Visit != 0 && line.Visit != q.Visit || q.Try != 0 && line.Try != q.Try {
				continue
			}
			if !yield(line, nil) {
				return
			}
		}
	}
}

func (f *fake) Orphaned(context.Context) ([]heddle.RunID, error) { return f.orphans, nil }

func (f *fake) Resume(_ context.Context, ids ...heddle.RunID) ([]heddle.RunID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(ids) == 0 {
		ids = f.orphans
	}
	f.resumed = append(f.resumed, ids...)
	for _, id := range ids {
		outcome := f.outcome
		if len(f.cancels) > 0 {
			outcome = heddle.Abort
		}
		f.end(f.find(id), outcome, "as told")
	}
	f.orphans = nil
	return ids, nil
}

func (f *fake) NoticeResult(heddle.RunID) (string, string) {
	if !f.closed {
		return "failure", "asked before the session was closed"
	}
	return "", ""
}

// fakeSession and fakeReader tell the two ways of closing apart.
type fakeSession struct{ *fake }

func (f fakeSession) Close(context.Context) error { f.closed = true; return nil }

type fakeReader struct{ *fake }

func (fakeReader) Close() error { return nil }

// Pools is nil: tests on pools have a real store.
func (fakeReader) Pools() heddle.Pools { return nil }

// console is a command line with a fake behind it.
type console struct {
	*factory
	fake     *fake
	out, err bytes.Buffer
}

func newConsole(t *testing.T, env ...string) *console {
	t.Helper()
	c := &console{fake: &fake{outcome: heddle.Success}}
	c.factory = newFactory(Streams{
		In: strings.NewReader(""), Out: &c.out, Err: &c.err,
		Environ: append([]string{"HOME=" + t.TempDir()}, env...),
	}, BuildInfo{Version: "1.2.3", Go: "go1.26", OS: "linux", Arch: "amd64"})
	c.Open = func(_ context.Context, o app.Options) (session, error) {
		c.fake.opened = o
		return fakeSession{c.fake}, nil
	}
	c.CheckProcess = func(context.Context, app.Options) error { return nil }
	c.DockerVersion = func(context.Context, func(string) string) (string, string, error) { return "unix:///sock", "29.0", nil }
	c.CheckKube = func(context.Context, app.Options) []app.Finding {
		return []app.Finding{{What: "Kubernetes v1.34 at https://cluster", OK: true}}
	}
	c.OpenReader = func(context.Context, app.Options) (reader, error) { return fakeReader{c.fake}, nil }
	return c
}

func (c *console) run(t *testing.T, args ...string) int {
	t.Helper()
	return c.main(t.Context(), args)
}
