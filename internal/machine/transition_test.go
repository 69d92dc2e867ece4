package machine

import (
	"errors"
	"fmt"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

// TestTables walks every state and event: what has no row is refused, and leaves
// the state as it is.
func TestTables(t *testing.T) {
	t.Parallel()
	attempts, visits := AttemptTransitions(), VisitTransitions()
	var statuses []heddle.Status
	for _, info := range heddle.Statuses() {
		statuses = append(statuses, info.Status)
	}
	walk(t, attempts, statuses, heddle.Status.Ended)
	walk(t, visits, []heddle.VisitState{
		"", heddle.VisitQueued, heddle.VisitReady, heddle.VisitActive, heddle.VisitBackoff, heddle.VisitSettled,
	}, func(s heddle.VisitState) bool { return s == heddle.VisitSettled })
}

func walk[S comparable](t *testing.T, table []Transition[S], states []S, over func(S) bool) {
	t.Helper()
	rows := map[string]S{}
	events, from := map[string]bool{}, map[S]bool{}
	for _, row := range table {
		key := fmt.Sprint(row.From, " ", row.Event)
		if _, twice := rows[key]; twice {
			t.Errorf("two rows for %s", key)
		}
		rows[key] = row.To
		events[row.Event], from[row.From] = true, true
	}
	for _, s := range states {
		if over(s) == from[s] {
			t.Errorf("state %v: is it over? %v; does the table lead out of it? %v", s, over(s), from[s])
		}
		for event := range events {
			to, err := next(table, s, event)
			want, ok := rows[fmt.Sprint(s, " ", event)]
			if ok && (err != nil || to != want) || !ok && (!errors.Is(err, ErrInvalidTransition) || to != s) {
				t.Errorf("state %v, event %s: to %v, error %v", s, event, to, err)
			}
		}
	}
}

// TestAttemptEvents brings an attempt to each status and tells it each event.
func TestAttemptEvents(t *testing.T) {
	t.Parallel()
	const id = heddle.AttemptID("run1-1-1")
	exited := Ended{Attempt: id, Exit: heddle.Exit{Reason: heddle.Exited}}
	ways := map[heddle.Status][]Event{
		heddle.StatusJobDeployed: {},
		heddle.StatusPending:     {Acknowledged{Attempt: id}},
		heddle.StatusRunning:     {Running{Attempt: id, Started: epoch()}},
		heddle.StatusSuccess:     {exited},
		heddle.StatusAppError:    {Ended{Attempt: id, Exit: heddle.Exit{Reason: heddle.Exited, Code: 1}}},
		heddle.StatusTimeout:     {Ended{Attempt: id, Exit: heddle.Exit{Reason: heddle.TimedOut}}},
		heddle.StatusProcError:   {Ended{Attempt: id, Exit: heddle.Exit{Reason: heddle.Refused}}},
		heddle.StatusAborted:     {Ended{Attempt: id, Exit: heddle.Exit{Reason: heddle.Stopped}}},
	}
	events := map[string]Event{"acknowledge": Acknowledged{Attempt: id}, "run": Running{Attempt: id, Started: epoch().Add(time.Second)}, "end": exited}
	for from, way := range ways {
		for name, event := range events {
			t.Run(fmt.Sprint(from, " ", name), func(t *testing.T) {
				t.Parallel()
				// A second step keeps the run open, so that the attempt alone is looked at.
				flow := flowOf([]heddle.Step{state("a"), state("b")}, nil, "a", "b")
				p := newPlayer(t, flow, newRun(flow), world{roll: func(string, int) int { return 0 }})
				for _, e := range append([]Event{Begin{}, Place{At: "here"}}, way...) {
					p.do(e)
				}
				before := p.tries[id]
				if before.Status != from {
					t.Fatalf("the way to %v leads to %v", from, before.Status)
				}
				p.do(event)
				want, err := next(AttemptTransitions(), from, name)
				got := p.tries[id]
				if got.Status != want {
					t.Errorf("to %v, want %v", got.Status, want)
				}
				if d := diff.Diff(before, got); err != nil && d != "" {
					t.Errorf("no row in the table, and yet: %s", d)
				}
			})
		}
	}
}

// TestUnknownAttempts: what is told of an attempt that the run does not have is
// no error, and an end of it is let go of.
func TestUnknownAttempts(t *testing.T) {
	t.Parallel()
	flow := flowOf([]heddle.Step{state("a")}, nil, "a")
	for _, id := range []heddle.AttemptID{"run1-1-2", "run1-2-1", "other-1-1", "nonsense", ""} {
		t.Run(string(id), func(t *testing.T) {
			t.Parallel()
			s := New(compile(t, flow), newRun(flow), nil)
			for _, e := range []Event{Begin{}, Place{}} {
				if err := s.Advance(e, epoch()); err != nil {
					t.Fatal(err)
				}
			}
			s.Take()
			for _, e := range []Event{Acknowledged{Attempt: id}, Running{Attempt: id}, Ended{Attempt: id}} {
				if err := s.Advance(e, epoch()); err != nil {
					t.Errorf("%T: %v", e, err)
				}
			}
			_, effects, ok := s.Take()
			if d := diff.Diff([]Effect{Release{Attempt: id}}, effects); d != "" || ok {
				t.Errorf("changed %v, effects %s", ok, d)
			}
		})
	}
}

// TestEventsOutOfPlace: they are refused, and leave the state as it was.
func TestEventsOutOfPlace(t *testing.T) {
	t.Parallel()
	flow := flowOf([]heddle.Step{state("a")}, nil, "a")
	tests := map[string]struct {
		before []Event
		event  Event
	}{
		"beginning twice":             {before: []Event{Begin{}}, event: Begin{}},
		"beginning after a cancel":    {before: []Event{Cancel{Count: 1}}, event: Begin{}},
		"a place before beginning":    {event: Place{}},
		"a place for nothing":         {before: []Event{Begin{}, Place{}}, event: Place{}},
		"a place in a cancelled run":  {before: []Event{Begin{}, Cancel{Count: 1}}, event: Place{}},
		"beginning what has ended":    {before: []Event{Begin{}, Place{}, Ended{Attempt: "run1-1-1"}}, event: Begin{}},
		"a place after the run ended": {before: []Event{Begin{}, Place{}, Ended{Attempt: "run1-1-1"}}, event: Place{}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := New(compile(t, flow), newRun(flow), nil)
			for _, e := range tc.before {
				if err := s.Advance(e, epoch()); err != nil {
					t.Fatal(err)
				}
			}
			s.Take()
			before := s.Run()
			if err := s.Advance(tc.event, epoch()); !errors.Is(err, ErrInvalidTransition) {
				t.Errorf("error %v", err)
			}
			if _, effects, ok := s.Take(); ok || len(effects) > 0 || diff.Diff(before, s.Run()) != "" {
				t.Errorf("the state has changed: %+v, effects %v", s.Run(), effects)
			}
		})
	}
}

// TestProgressIsNotUrgent: it rides with the next change.
func TestProgressIsNotUrgent(t *testing.T) {
	t.Parallel()
	flow := flowOf([]heddle.Step{state("a")}, nil, "a")
	s := New(compile(t, flow), newRun(flow), nil)
	for _, step := range []struct {
		event  Event
		urgent bool
	}{
		{Begin{}, true},
		{Place{}, true},
		{Acknowledged{Attempt: "run1-1-1"}, false},
		{Running{Attempt: "run1-1-1"}, false},
		{Tick{}, false},
		{Cancel{Count: 1}, true},
		{Ended{Attempt: "run1-1-1"}, true},
	} {
		if err := s.Advance(step.event, epoch()); err != nil {
			t.Fatal(err)
		}
		if s.Urgent() != step.urgent {
			t.Errorf("%T: urgent %v", step.event, s.Urgent())
		}
		s.Take()
		if s.Urgent() || s.Changed() {
			t.Errorf("%T: urgent after Take", step.event)
		}
	}
}
