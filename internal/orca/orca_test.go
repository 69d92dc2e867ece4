package orca

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

// tasks is a chain with all that can be: a join that is none, a Task that leads to
// itself, one that follows either way, names twice, names of nothing.
func tasks() []Task {
	return []Task{
		{Name: "first", OnIgnition: []string{"morning", "night"}},
		{Name: "again", OnIgnition: []string{"night"}, OnFailure: []string{"again"}},
		{Name: "either", OnSuccess: []string{"first", "first", "gone"}, OnFailure: []string{"first", "again"}},
	}
}

func TestWhatStartsWhat(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		ignitor, ended string
		outcome        heddle.Outcome
		running        string
		want           []string
	}{
		"an ignitor starts all that name it":    {ignitor: "night", want: []string{"first", "again"}},
		"an ignitor that one names":             {ignitor: "morning", want: []string{"first"}},
		"an ignitor that nobody names":          {ignitor: "noon"},
		"what runs is not started again":        {ignitor: "night", running: "again", want: []string{"first"}},
		"a success":                             {ended: "first", outcome: heddle.Success, want: []string{"either"}},
		"a failure, once though named twice":    {ended: "first", outcome: heddle.Failure, want: []string{"either"}},
		"a timeout is a failure":                {ended: "again", outcome: heddle.Timeout, want: []string{"again", "either"}},
		"an abort is a failure":                 {ended: "again", outcome: heddle.Abort, want: []string{"again", "either"}},
		"what was skipped starts nothing":       {ended: "first", outcome: heddle.Skipped},
		"a success that nobody waits for":       {ended: "again", outcome: heddle.Success},
		"a task that is gone still starts some": {ended: "gone", outcome: heddle.Success, want: []string{"either"}},
		"a follower that runs":                  {ended: "first", outcome: heddle.Success, running: "either"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			running := func(name string) bool { return name == tc.running }
			got := Ignited(tasks(), tc.ignitor, running)
			if tc.ended != "" {
				got = Followers(tasks(), tc.ended, tc.outcome, running)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestEdges(t *testing.T) {
	t.Parallel()
	bad := []heddle.Outcome{heddle.Failure, heddle.Abort, heddle.Timeout}
	want := []heddle.Edge{
		{From: "again", To: "again", On: bad},
		{From: "first", To: "either", On: append([]heddle.Outcome{heddle.Success}, bad...)},
		{From: "again", To: "either", On: bad},
	}
	if diff := cmp.Diff(want, Edges(tasks())); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 10, 30, 0, 0, time.UTC)
	tests := map[string]struct {
		text   string
		fault  string // the beginning of the error
		recurs bool
		want   time.Time // zero: never after now
	}{
		"now":                 {text: "NOW", want: now},
		"now in small":        {text: "now", want: now},
		"an instant":          {text: "2026-03-01T12:00:00+01:00", want: now.Add(30 * time.Minute)},
		"an instant past":     {text: "2026-03-01T10:30:00Z"},
		"cron":                {text: "45 10 * * *", recurs: true, want: now.Add(15 * time.Minute)},
		"cron with seconds":   {text: "5 * * * * * *", recurs: true, want: now.Add(5 * time.Second)},
		"cron in a past year": {text: "* * * * * 2020", recurs: true},
		"cron that never is":  {text: "0 0 30 2 *", fault: `no time matches the cron expression "0 0 30 2 *"`},
		"broken cron":         {text: "61 * * * *", fault: `the cron expression "61 * * * *" cannot be read: `},
		"a word":              {text: "soon", fault: `"soon" is neither NOW, nor an instant`},
		"nothing":             {text: "", fault: `"" is neither NOW`},
		"a descriptor that orcaoperator does not know": {text: "@every 1m", fault: `the cron expression "@every 1m" cannot be read`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := ReadSchedule(tc.text)
			if tc.fault != "" {
				if heddle.CodeOf(err) != heddle.CodeInvalid || !strings.HasPrefix(err.Error(), tc.fault) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			at, ok := s.Next(now)
			if ok == tc.want.IsZero() || ok && !at.Equal(tc.want) || s.Recurs() != tc.recurs {
				t.Errorf("next %s (%t), recurs %t", at, ok, s.Recurs())
			}
		})
	}
}
