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
