package machine

import (
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

// TestWaits stops runs on their way and asks. The reasons of the run as a whole
// (no owner, store) are not the machine's to know.
func TestWaits(t *testing.T) {
	t.Parallel()
	keyed := func(s *heddle.Step) { s.Key, s.Busy = "k", heddle.BusyQueue }
	begin, place := Begin{}, Place{At: "here"}
	tests := map[string]struct {
		flow   *heddle.Flow
		events []Event
		want   map[string]string // step and number -> reason
	}{
		"a place":  {flow: flowOf([]heddle.Step{state("a")}, nil, "a"), events: []Event{begin}, want: map[string]string{"a": heddle.WaitPlace}},
		"deployed": {flow: flowOf([]heddle.Step{state("a")}, nil, "a"), events: []Event{begin, place}, want: map[string]string{"a": heddle.WaitExecutor}},
		"acknowledged": {
			flow: flowOf([]heddle.Step{state("a")}, nil, "a"), events: []Event{begin, place, Acknowledged{Attempt: "run1-1-1"}},
			want: map[string]string{"a": heddle.WaitExecutor},
		},
		"what runs waits for nothing": {
			flow: flowOf([]heddle.Step{state("a")}, nil, "a"), events: []Event{begin, place, Running{Attempt: "run1-1-1"}}, want: map[string]string{},
		},
		"what is over waits for nothing": {
			flow: flowOf([]heddle.Step{state("a")}, nil, "a"), events: []Event{begin, place, Ended{Attempt: "run1-1-1", Exit: heddle.Exit{Reason: heddle.Exited}}},
			want: map[string]string{},
		},
		"the run's limit": {
			flow: func() *heddle.Flow {
				f := flowOf([]heddle.Step{state("a"), state("b")}, nil, "a", "b")
				f.MaxParallel = 1
				return f
			}(),
			events: []Event{begin, place}, want: map[string]string{"a": heddle.WaitExecutor, "b": heddle.WaitParallel},
		},
		"a key": {
			flow: flowOf([]heddle.Step{with(state("a"), keyed), with(state("b"), keyed)}, nil, "a", "b"), events: []Event{begin, place},
			want: map[string]string{"a": heddle.WaitExecutor, "b": heddle.WaitKey},
		},
		"the matrix' limit; the group itself waits for nothing": {
			flow: flowOf([]heddle.Step{
				{Name: "g", Matrix: &heddle.Matrix{Env: make([]map[string]string, 2), Limit: 1}},
				with(node("x"), func(s *heddle.Step) { s.Group, s.Key, s.Busy = "g", "k", heddle.BusyAllow }),
			}, nil, "g"),
			events: []Event{begin}, want: map[string]string{"x": heddle.WaitPlace, "x 2": heddle.WaitMatrix},
		},
		"back-off": {
			flow:   flowOf([]heddle.Step{with(state("a"), func(s *heddle.Step) { s.Retry = heddle.Retry{Limit: 1, Delay: time.Hour} })}, nil, "a"),
			events: []Event{begin, place, Ended{Attempt: "run1-1-1", Exit: heddle.Exit{Reason: heddle.Exited, Code: 1}}},
			want:   map[string]string{"a": heddle.WaitBackoff},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlayer(t, tc.flow, newRun(tc.flow), world{roll: func(string, int) int { return 0 }})
			for _, e := range tc.events {
				p.do(e)
			}
			visits, attempts := p.rows()
			got := map[string]string{}
			for _, w := range Waits(&heddle.RunDetail{Run: p.run, Flow: tc.flow, Visits: visits, Attempts: attempts}) {
				name := w.Step
				if _, twice := got[name]; twice {
					name += " 2"
				}
				got[name] = w.Reason
				if w.Message == "" || p.visits[w.Visit].Step != w.Step {
					t.Errorf("%+v", w)
				}
			}
			if d := diff.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestWaitsWithoutAFlow(t *testing.T) {
	t.Parallel()
	got := Waits(&heddle.RunDetail{Visits: []heddle.Visit{{No: 1, Step: "a", State: heddle.VisitReady}}})
	if len(got) != 0 {
		t.Errorf("got %+v", got)
	}
}

// TestWaitsForOthers asks about lines in which a run and a visit stand.
func TestWaitsForOthers(t *testing.T) {
	t.Parallel()
	const gone = " (the process that ran r1 is gone: 'heddle runs resume r1' goes on with it, 'heddle runs cancel r1' ends it)"
	holders := []heddle.Holder{{Run: "r1", Weight: 2, Orphan: true}, {Run: "r2", Weight: 1}, {Run: "r3", Weight: 1}, {Run: "r4", Weight: 1}}
	for name, test := range map[string]struct {
		state  heddle.RunState
		line   heddle.Line
		reason string
		want   string
	}{
		"a key": {
			heddle.RunPending, heddle.Line{Name: "k", Weight: 1, Size: 1, Ahead: 2, Holders: holders[1:2]},
			heddle.WaitRuns, `run r2 has the concurrency key "k"; it is number 3 in line`,
		},
		"a key of an orphan": {
			heddle.RunPending, heddle.Line{Name: "k", Weight: 1, Size: 1, Holders: holders[:1]},
			heddle.WaitRuns, `run r1 has the concurrency key "k"` + gone + "; it is the next in line",
		},
		"a key that is just passed on": {
			heddle.RunPending, heddle.Line{Name: "k", Weight: 1, Size: 1},
			heddle.WaitRuns, `nobody has the concurrency key "k" at this moment; it is the next in line`,
		},
		"a pool": {
			heddle.RunRunning, heddle.Line{Visit: 1, Name: "p", Weight: 2, Size: 5, Ahead: 1, Holders: holders},
			heddle.WaitPool, `the pool "p" has 5 places, of which 5 are taken by r1, r2, r3 and 1 more` + gone + ", and it needs 2; it is number 2 in line",
		},
		"a pool that is gone": {
			heddle.RunRunning, heddle.Line{Visit: 1, Name: "p", Weight: 1},
			heddle.WaitPool, `there is no pool "p": 'heddle pools set p SIZE' makes it`,
		},
		"a pool that is too small": {
			heddle.RunRunning, heddle.Line{Visit: 1, Name: "p", Weight: 2, Size: 1},
			heddle.WaitPool, `it needs 2 places of the pool "p", which has 1: 'heddle pools set p 2' makes room`,
		},
	} {
		d := heddle.RunDetail{Run: heddle.Run{State: test.state}, Flow: flowOf([]heddle.Step{state("a")}, nil, "a"), Lines: []heddle.Line{test.line}}
		if test.line.Visit > 0 {
			d.Visits = []heddle.Visit{{No: 1, Step: "a", State: heddle.VisitReady}}
		}
		want := []heddle.Waiting{{Visit: test.line.Visit, Reason: test.reason, Message: test.want}}
		if test.line.Visit > 0 {
			want[0].Step = "a"
		}
		if d := diff.Diff(want, Waits(&d)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
