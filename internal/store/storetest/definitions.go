package storetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// Definition returns a definition of [Flow] with this ID, altered by edit functions.
func Definition(id string, edit ...func(*heddle.Definition)) heddle.Definition {
	d := heddle.Definition{ID: id, Organization: "default", Name: id, Kind: heddle.KindTask, Flow: Flow(id), Executor: "process",
		Enabled: true, Created: Epoch(), Updated: Epoch(), Version: 1}
	for _, f := range edit {
		f(&d)
	}
	return d
}

func addDefinitions(t *testing.T, s Store, definitions ...heddle.Definition) {
	t.Helper()
	for _, d := range definitions {
		if err := s.AddDefinition(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
}

func wantDefinition(t *testing.T, s Store, want heddle.Definition) {
	t.Helper()
	got, err := s.Definition(t.Context(), want.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("definition (-want +got):\n%s", diff)
	}
}

func definitionRoundTrip(t *testing.T, open func() Store) {
	s := open()
	odd := `x'); DROP TABLE definitions; --"%_\?$1` + "\n\tçà 雪 🧵"
	d := Definition("a", func(d *heddle.Definition) {
		d.Organization, d.Name, d.Executor, d.Reason = odd, odd, odd, odd
		d.Document, d.Labels = json.RawMessage(`{ "image" :"x"}`), map[string]string{odd: odd}
		d.Input = heddle.Input{Env: map[string]string{"A": "1"}}
		d.Schedule = heddle.Schedule{Cron: "0 3 * * *", Zone: "Europe/Berlin", Overlap: heddle.OverlapSkip, CatchUp: heddle.CatchUpAll,
			CatchUpLimit: 3, Jitter: 7, PauseAfter: 2}
		d.Next, d.Last, d.Wake = Epoch().Add(time.Hour), Epoch().Add(-time.Hour), Epoch().Add(time.Hour+time.Second)
		d.Counter, d.Failures, d.LatestRun, d.LatestStatus = 1<<40, 3, "r", heddle.StatusTimeout
	})
	addDefinitions(t, s, d)
	wantDefinition(t, open(), d)
	wantCode(t, s.AddDefinition(t.Context(), d), heddle.CodeConflict)
	_, err := s.Definition(t.Context(), "missing")
	wantCode(t, err, heddle.CodeNotFound)

	d.Name, d.Flow, d.Schedule, d.Deleted = "other", Flow("other"), heddle.Schedule{After: &heddle.After{Definition: "b"}}, Epoch()
	if done, err := s.ReplaceDefinition(t.Context(), d); err != nil || !done {
		t.Fatalf("replaced: %v, %v", done, err)
	}
	if done, err := s.ReplaceDefinition(t.Context(), d); err != nil || done {
		t.Fatalf("replaced at an old version: %v, %v", done, err)
	}
	d.Version = 2
	wantDefinition(t, s, d)
}

func definitionLists(t *testing.T, open func() Store) {
	s := open()
	for i := range 7 {
		addDefinitions(t, s, Definition(fmt.Sprintf("d%d", i), func(d *heddle.Definition) {
			d.Created = Epoch().Add(time.Duration(i/2) * time.Second)
			switch i {
			case 2:
				d.Name = "named"
			case 3:
				d.Organization = "other"
			case 4:
				d.Deleted = Epoch()
			case 5:
				d.Next, d.Wake = Epoch(), Epoch()
			}
		}))
	}
	for name, test := range map[string]struct {
		f    heddle.DefinitionFilter
		want []string
	}{
		"of everybody":        {want: []string{"d6", "d5", "d3", "d2", "d1", "d0"}},
		"of one organization": {f: heddle.DefinitionFilter{Organization: "default"}, want: []string{"d6", "d5", "d2", "d1", "d0"}},
		"of another":          {f: heddle.DefinitionFilter{Organization: "other"}, want: []string{"d3"}},
		"of none":             {f: heddle.DefinitionFilter{Organization: "' OR 1=1 --"}},
		"by name":             {f: heddle.DefinitionFilter{Organization: "default", Name: "named"}, want: []string{"d2"}},
		"due by then":         {f: heddle.DefinitionFilter{Due: Epoch().Add(1)}, want: []string{"d5"}},
		"not due yet":         {f: heddle.DefinitionFilter{Due: Epoch()}},
		"without the first":   {f: heddle.DefinitionFilter{Offset: 4}, want: []string{"d1", "d0"}},
		"without all":         {f: heddle.DefinitionFilter{Offset: 40}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			f := test.f
			for f.Limit = 2; ; f.Offset = 0 {
				page, err := s.Definitions(t.Context(), f)
				if err != nil {
					t.Fatal(err)
				}
				for i := range page.Definitions {
					got = append(got, page.Definitions[i].ID)
				}
				if f.After = page.Next; f.After == "" {
					break
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			n, err := s.CountDefinitions(t.Context(), test.f)
			if err != nil || n != len(test.want)+min(test.f.Offset, 6-len(test.want)) {
				t.Fatalf("counted %d, error %v", n, err)
			}
		})
	}
	_, err := s.Definitions(t.Context(), heddle.DefinitionFilter{After: "' OR 1=1"})
	wantCode(t, err, heddle.CodeInvalid)
}

func dueDefinitions(t *testing.T, open func() Store) {
	s := open()
	for i, wake := range []int{3, 1, 0, 9, 2} {
		addDefinitions(t, s, Definition(fmt.Sprintf("d%d", i), func(d *heddle.Definition) {
			if wake > 0 {
				d.Wake = Epoch().Add(time.Duration(wake) * time.Second)
			}
		}))
	}
	due, next, err := s.DueDefinitions(t.Context(), Epoch().Add(3*time.Second), 2)
	if err != nil || len(due) != 2 || due[0].ID != "d1" || due[1].ID != "d4" || !next.Equal(Epoch().Add(9*time.Second)) {
		t.Fatalf("due %v, next %v, error %v", due, next, err)
	}
	due, next, err = s.DueDefinitions(t.Context(), Epoch().Add(time.Minute), 10)
	if err != nil || len(due) != 4 || !next.IsZero() {
		t.Fatalf("due %v, next %v, error %v", due, next, err)
	}
}

func movedDefinitions(t *testing.T, open func() Store) {
	s := open()
	a, b := Definition("a"), Definition("b", func(d *heddle.Definition) { d.Schedule.After = &heddle.After{Definition: "a"} })
	addDefinitions(t, s, a, b)
	run := func(id heddle.RunID, definition string, second int) heddle.Change {
		return Create(t, id, "n", func(c *heddle.Change) {
			c.Run.Definition, c.Run.Due = definition, Epoch()
			c.Run.Created = Epoch().Add(time.Duration(second) * time.Second)
		})
	}
	r1, r2, r3 := run("r1", "a", 1), run("r2", "a", 2), run("r3", "b", 3)
	Commit(t, s, r1, r2, r3, Create(t, "other", "n"))
	wantList(t, s, heddle.RunFilter{Definition: "a"}, "r2", "r1")
	wantList(t, s, heddle.RunFilter{Definition: "a", States: []heddle.RunState{heddle.RunEnded}})
	wantList(t, s, heddle.RunFilter{Definition: "missing"})
	Commit(t, s, Next(r1, Ended(heddle.Success)), Next(r3, Ended(heddle.Failure)))
	ended := func(want ...heddle.RunID) {
		t.Helper()
		runs, err := open().EndedRuns(t.Context(), 10)
		wantIDs(t, "ended runs", runIDs(runs), err, want...)
	}
	ended("r1", "r3")
	if gone, err := s.(store.Pruner).Delete(t.Context(), []heddle.RunID{"r1"}); err != nil || len(gone) > 0 {
		t.Fatalf("a run whose end is still to be acted upon was deleted: %v, %v", gone, err)
	}

	a.Enabled, a.Reason, a.Next, a.Last, a.Wake = false, "why", Epoch().Add(1), Epoch().Add(2), Epoch().Add(3)
	a.Counter, a.Failures, a.LatestRun, a.LatestStatus = 4, 5, "r1", heddle.StatusSuccess
	stale := b
	stale.Version = 7
	done, err := s.MoveDefinitions(t.Context(), []store.DefinitionMove{{Definition: a, Ended: "r1"}, {Definition: stale, Ended: "r3"}})
	if err != nil || !slices.Equal(done, []bool{true, false}) {
		t.Fatalf("moved: %v, %v", done, err)
	}
	a.Version++
	wantDefinition(t, s, a)
	wantDefinition(t, s, b)
	ended("r3")
	if done, err = s.MoveDefinitions(t.Context(), []store.DefinitionMove{{Ended: "r3"}}); err != nil || !done[0] {
		t.Fatalf("moved: %v, %v", done, err)
	}
	ended()
	followers, err := s.Followers(t.Context(), "a")
	if err != nil || len(followers) != 1 || followers[0].ID != "b" {
		t.Fatalf("after a follow %v, error %v", followers, err)
	}
	if followers, err = s.Followers(t.Context(), ""); err != nil || len(followers) != 0 {
		t.Fatalf("after nothing follow %v, error %v", followers, err)
	}
}
