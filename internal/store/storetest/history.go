package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

// wantList fails the test unless the runs that match are these, in this order.
func wantList(t *testing.T, s Store, f heddle.RunFilter, want ...heddle.RunID) {
	t.Helper()
	page, err := s.Runs(t.Context(), f)
	if err != nil {
		t.Fatalf("listing %+v: %v", f, err)
	}
	wantIDs(t, fmt.Sprintf("%+v", f), runIDs(page.Runs), nil, want...)
}

func runIDs(runs []heddle.Run) []heddle.RunID {
	var ids []heddle.RunID
	for i := range runs {
		ids = append(ids, runs[i].ID)
	}
	return ids
}

func filters(t *testing.T, open func() Store) {
	s := open()
	add := func(id heddle.RunID, name string, minute int, kind heddle.Kind, labels map[string]string, end heddle.Outcome, state heddle.RunState) {
		create := Create(t, id, name, func(c *heddle.Change) {
			c.Run.Kind, c.Run.Labels, c.Run.Created = kind, labels, Epoch().Add(time.Duration(minute)*time.Minute)
		})
		next := Next(create, func(c *heddle.Change) { c.Run.State = state })
		if end != "" {
			next = Next(create, Ended(end))
		}
		Commit(t, s, create, next)
	}
	red, blue := map[string]string{"colour": "red", "size": "L"}, map[string]string{"colour": "blue"}
	add("r1", "x", 1, heddle.KindJob, red, heddle.Success, "")
	add("r2", "x", 2, heddle.KindPipeline, blue, heddle.Failure, "")
	add("r3", "y", 3, heddle.KindJob, nil, "", heddle.RunRunning)
	add("r4", "y", 4, heddle.KindTask, red, "", heddle.RunStopping)
	add("r5", "x", 4, heddle.KindJob, map[string]string{"colour": "red"}, heddle.Abort, "")

	at := func(minute int) time.Time { return Epoch().Add(time.Duration(minute) * time.Minute) }
	for name, test := range map[string]struct {
		f    heddle.RunFilter
		want []heddle.RunID
	}{
		"everything, newest first, then by ID":  {f: heddle.RunFilter{}, want: []heddle.RunID{"r5", "r4", "r3", "r2", "r1"}},
		"by ID":                                 {f: heddle.RunFilter{IDs: []heddle.RunID{"r1", "r4", "missing"}}, want: []heddle.RunID{"r4", "r1"}},
		"by ID and name":                        {f: heddle.RunFilter{IDs: []heddle.RunID{"r1", "r4"}, Name: "x"}, want: []heddle.RunID{"r1"}},
		"by one state":                          {f: heddle.RunFilter{States: []heddle.RunState{heddle.RunRunning}}, want: []heddle.RunID{"r3"}},
		"by states":                             {f: heddle.RunFilter{States: []heddle.RunState{heddle.RunStopping, heddle.RunEnded}}, want: []heddle.RunID{"r5", "r4", "r2", "r1"}},
		"by outcomes":                           {f: heddle.RunFilter{Outcomes: []heddle.Outcome{heddle.Failure, heddle.Success}}, want: []heddle.RunID{"r2", "r1"}},
		"by outcome and a state that has none":  {f: heddle.RunFilter{Outcomes: []heddle.Outcome{heddle.Success}, States: []heddle.RunState{heddle.RunRunning}}},
		"by outcome and state":                  {f: heddle.RunFilter{Outcomes: []heddle.Outcome{heddle.Abort}, States: []heddle.RunState{heddle.RunRunning, heddle.RunEnded}}, want: []heddle.RunID{"r5"}},
		"by kinds":                              {f: heddle.RunFilter{Kinds: []heddle.Kind{heddle.KindTask, heddle.KindPipeline}}, want: []heddle.RunID{"r4", "r2"}},
		"by kind and outcome":                   {f: heddle.RunFilter{Kinds: []heddle.Kind{heddle.KindJob}, Outcomes: []heddle.Outcome{heddle.Abort}}, want: []heddle.RunID{"r5"}},
		"by name":                               {f: heddle.RunFilter{Name: "x"}, want: []heddle.RunID{"r5", "r2", "r1"}},
		"by name and kind":                      {f: heddle.RunFilter{Name: "x", Kinds: []heddle.Kind{heddle.KindJob}}, want: []heddle.RunID{"r5", "r1"}},
		"by label":                              {f: heddle.RunFilter{Labels: map[string]string{"colour": "red"}}, want: []heddle.RunID{"r5", "r4", "r1"}},
		"by labels":                             {f: heddle.RunFilter{Labels: red}, want: []heddle.RunID{"r4", "r1"}},
		"by label, open only":                   {f: heddle.RunFilter{Labels: red, States: []heddle.RunState{heddle.RunStopping, heddle.RunRunning}}, want: []heddle.RunID{"r4"}},
		"by label, name, kind and outcome":      {f: heddle.RunFilter{Labels: red, Name: "x", Kinds: []heddle.Kind{heddle.KindJob}, Outcomes: []heddle.Outcome{heddle.Success}}, want: []heddle.RunID{"r1"}},
		"by a label's other value":              {f: heddle.RunFilter{Labels: map[string]string{"colour": "green"}}},
		"from a time on, that time included":    {f: heddle.RunFilter{Since: at(3)}, want: []heddle.RunID{"r5", "r4", "r3"}},
		"up to a time, that time not included":  {f: heddle.RunFilter{Until: at(3)}, want: []heddle.RunID{"r2", "r1"}},
		"between times, by label":               {f: heddle.RunFilter{Since: at(2), Until: at(4), Labels: blue}, want: []heddle.RunID{"r2"}},
		"many kinds, most of them unheard of":   {f: heddle.RunFilter{Kinds: manyKinds()}, want: []heddle.RunID{"r4"}},
		"many kinds, one of them again, by end": {f: heddle.RunFilter{Kinds: []heddle.Kind{"Job", "Job"}, States: []heddle.RunState{heddle.RunEnded}}, want: []heddle.RunID{"r5", "r1"}},
	} {
		t.Run(name, func(t *testing.T) {
			wantList(t, s, test.f, test.want...)
			// The same, in pages of one.
			test.f.Limit = 1
			wantIDs(t, "in pages of one", everyPage(t, s, test.f, nil), nil, test.want...)
		})
	}
	_, err := s.Runs(t.Context(), heddle.RunFilter{After: "' OR 1=1"})
	wantCode(t, err, heddle.CodeInvalid)
}

func listedWhole(t *testing.T, open func() Store) {
	s := open()
	Commit(t, s, Create(t, "r", "n", Rows, Ended(heddle.Failure), func(c *heddle.Change) {
		c.Run.Labels, c.Run.Input = map[string]string{"a": "b", "c": ""}, heddle.Input{CorrelationID: strings.Repeat("x", 5000)}
	}))
	page, err := s.Runs(t.Context(), heddle.RunFilter{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]heddle.Run{load(t, s, "r").Run}, page.Runs); diff != "" {
		t.Fatalf("(-loaded +listed):\n%s", diff)
	}
}

func manyKinds() []heddle.Kind {
	kinds := []heddle.Kind{heddle.KindTask}
	for i := range 200 {
		kinds = append(kinds, heddle.Kind(fmt.Sprint("Kind", i)))
	}
	return kinds
}

// everyPage follows a list to its end, and calls between after each page.
func everyPage(t *testing.T, s Store, f heddle.RunFilter, between func(page int)) []heddle.RunID {
	t.Helper()
	var ids []heddle.RunID
	for n := 1; ; n++ {
		page, err := s.Runs(t.Context(), f)
		if err != nil {
			t.Fatalf("page %d: %v", n, err)
		}
		if len(page.Runs) > f.Limit {
			t.Fatalf("page %d has %d runs, the limit is %d", n, len(page.Runs), f.Limit)
		}
		ids = append(ids, runIDs(page.Runs)...)
		if page.Next == "" {
			return ids
		}
		if between != nil {
			between(n)
		}
		f.After = page.Next
	}
}

func paging(t *testing.T, open func() Store) {
	s := open()
	var want []heddle.RunID
	var changes []heddle.Change
	for i := range 60 {
		id := heddle.RunID(fmt.Sprintf("r%03d", i))
		want = append(want, id)
		changes = append(changes, Create(t, id, "paged", func(c *heddle.Change) {
			c.Run.Labels = map[string]string{"k": "v"}
			c.Run.Created = Epoch().Add(time.Duration(i/7) * time.Second) // many of the same instant
		}))
	}
	Commit(t, s, changes...)
	slices.Reverse(want)
	for i, f := range []heddle.RunFilter{{}, {Name: "paged"}, {Labels: map[string]string{"k": "v"}}, {Kinds: []heddle.Kind{heddle.KindJob}},
		{States: []heddle.RunState{heddle.RunPending, heddle.RunRunning}}} {
		f.Limit = 9
		got := everyPage(t, s, f, func(page int) {
			id := heddle.RunID(fmt.Sprintf("new-%d-%d", i, page))
			Commit(t, s, Create(t, id, "paged", func(c *heddle.Change) {
				c.Run.Labels, c.Run.Created = map[string]string{"k": "v"}, Epoch().Add(time.Hour)
			}))
		})
		got = slices.DeleteFunc(got, func(id heddle.RunID) bool { return id[0] == 'n' })
		wantIDs(t, fmt.Sprintf("pages of %+v", f), got, nil, want...)
	}
	page, err := s.Runs(t.Context(), heddle.RunFilter{})
	if err != nil || len(page.Runs) != 50 || page.Next == "" {
		t.Fatalf("a page without a limit has %d runs and next %q, error %v; want 50 and a next", len(page.Runs), page.Next, err)
	}
}

func attemptStatus(t *testing.T, open func() Store) {
	s := open()
	Commit(t, s, Create(t, "r-1", "r", Rows))
	got, err := s.AttemptStatus(t.Context(), []heddle.AttemptID{"r-1-1-1", "r-1-1-2", "r-1-2-1", "r-1-1", "nonsense", ""})
	if err != nil {
		t.Fatal(err)
	}
	want := map[heddle.AttemptID]heddle.Status{"r-1-1-1": heddle.StatusProcError, "r-1-1-2": heddle.StatusAppError}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
}

func outbox(t *testing.T, open func() Store) {
	s, other := open(), open()
	late := Notice("a", "1.0", Epoch().Add(time.Hour))
	second, tenth := Notice("b", "2.0", Epoch()), Notice("b", "10.0", Epoch())
	foreign := Notice("c", "1.0", Epoch())
	Commit(t, s,
		Create(t, "a", "n", func(c *heddle.Change) { c.Notices = []heddle.Notice{late} }),
		Create(t, "b", "n", func(c *heddle.Change) { c.Notices = []heddle.Notice{second, tenth} }))
	Commit(t, other, Create(t, "c", "n", func(c *heddle.Change) { c.Notices = []heddle.Notice{foreign} }))
	pending := func(what string, runs []heddle.RunID, want ...heddle.Notice) {
		t.Helper()
		got, err := s.Pending(t.Context(), runs)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", what, diff)
		}
	}
	pending("of the session", nil, second, tenth, late)
	pending("of named runs", []heddle.RunID{"a", "c"}, foreign, late)

	second.Tries, second.Due = 3, Epoch().Add(3*time.Hour)
	if err := s.Postponed(t.Context(), []heddle.Notice{second}); err != nil {
		t.Fatal(err)
	}
	pending("after one was postponed", nil, second, tenth, late)
	if err := s.Delivered(t.Context(), []heddle.Notice{second, late}); err != nil {
		t.Fatal(err)
	}
	pending("after two were delivered", nil, tenth)
	if err := s.Delivered(t.Context(), []heddle.Notice{second}); err != nil {
		t.Fatalf("delivered again: %v", err)
	}
}
