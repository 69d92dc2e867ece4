package schedule

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a store and an engine of runs that end when they are told to: a real
// store does not live in a bubble of fake time.
type memory struct {
	mu          sync.Mutex
	definitions map[string]heddle.Definition
	runs        map[heddle.RunID]heddle.Run
	reported    map[heddle.RunID]bool
	refuse      error // what Submit answers
	looks       int
}

func newMemory() *memory {
	return &memory{definitions: map[string]heddle.Definition{}, runs: map[heddle.RunID]heddle.Run{}, reported: map[heddle.RunID]bool{}}
}

// engine is the other half of a memory: the two have methods of the same names.
type engine struct {
	*memory
	heddle.Runs
}

func (e engine) Submit(_ context.Context, s heddle.Submission) (heddle.Run, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refuse != nil {
		return heddle.Run{}, e.refuse
	}
	if _, ok := e.runs[s.ID]; ok {
		return heddle.Run{}, heddle.Errorf(heddle.CodeConflict, "run %s exists", s.ID)
	}
	run := heddle.Run{ID: s.ID, Definition: s.Definition, Due: s.Due, Created: time.Now(), State: heddle.RunRunning}
	e.runs[s.ID] = run
	return run, nil
}

func (e engine) Cancel(_ context.Context, id heddle.RunID, _ string) error {
	e.end(id, heddle.Abort)
	return nil
}

func (m *memory) end(id heddle.RunID, outcome heddle.Outcome) {
	m.mu.Lock()
	defer m.mu.Unlock()
	run := m.runs[id]
	run.State, run.Outcome, run.Ended = heddle.RunEnded, outcome, time.Now()
	m.runs[id] = run
}

func (m *memory) AddDefinition(_ context.Context, d heddle.Definition) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.definitions[d.ID] = d
	return nil
}

func (m *memory) Definition(_ context.Context, id string) (heddle.Definition, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.definitions[id]
	if !ok {
		return d, heddle.Errorf(heddle.CodeNotFound, "no definition")
	}
	return d, nil
}

func (m *memory) Definitions(context.Context, heddle.DefinitionFilter) (heddle.DefinitionPage, error) {
	return heddle.DefinitionPage{}, nil
}

func (m *memory) CountDefinitions(context.Context, heddle.DefinitionFilter) (int, error) {
	return 0, nil
}

func (m *memory) ReplaceDefinition(_ context.Context, d heddle.Definition) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.definitions[d.ID].Version != d.Version {
		return false, nil
	}
	d.Version++
	m.definitions[d.ID] = d
	return true, nil
}

func (m *memory) DueDefinitions(_ context.Context, now time.Time, limit int) (due []heddle.Definition, next time.Time, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks++
	for _, d := range m.definitions {
		switch {
		case d.Wake.IsZero():
		case !d.Wake.After(now):
			due = append(due, d)
		case next.IsZero() || d.Wake.Before(next):
			next = d.Wake
		}
	}
	slices.SortFunc(due, func(a, b heddle.Definition) int { return a.Wake.Compare(b.Wake) })
	return due[:min(limit, len(due))], next, nil
}

func (m *memory) MoveDefinitions(_ context.Context, moves []store.DefinitionMove) ([]bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	done := make([]bool, len(moves))
	for i, move := range moves {
		d := move.Definition
		if done[i] = d.ID == "" || m.definitions[d.ID].Version == d.Version; !done[i] {
			continue
		}
		if d.ID != "" {
			d.Version++
			m.definitions[d.ID] = d
		}
		m.reported[move.Ended] = true
	}
	return done, nil
}

func (m *memory) EndedRuns(_ context.Context, limit int) (ended []heddle.Run, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, run := range m.runs {
		if run.State == heddle.RunEnded && !m.reported[id] && len(ended) < limit {
			ended = append(ended, run)
		}
	}
	return ended, nil
}

func (m *memory) Followers(context.Context, string) ([]heddle.Definition, error) { return nil, nil }

func (m *memory) Run(_ context.Context, id heddle.RunID) (heddle.RunDetail, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	run, ok := m.runs[id]
	if !ok {
		return heddle.RunDetail{}, heddle.Errorf(heddle.CodeNotFound, "no run")
	}
	return heddle.RunDetail{Run: run}, nil
}

// memoryStore is what a scheduler sees of a memory.
type memoryStore struct{ *memory }

func (m memoryStore) Runs(_ context.Context, f heddle.RunFilter) (heddle.RunPage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var page heddle.RunPage
	for _, run := range m.runs {
		if run.Definition == f.Definition && slices.Contains(f.States, run.State) {
			page.Runs = append(page.Runs, run)
		}
	}
	return page, nil
}

// made returns how long after the beginning the runs of a definition were made.
func (m *memory) made(definition string, begun time.Time) []time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	var runs []heddle.Run
	for _, run := range m.runs {
		if run.Definition == definition {
			runs = append(runs, run)
		}
	}
	slices.SortFunc(runs, func(a, b heddle.Run) int { return cmp.Or(a.Created.Compare(b.Created), a.Due.Compare(b.Due)) })
	times := []time.Duration{}
	for _, run := range runs {
		times = append(times, run.Created.Sub(begun))
	}
	return times
}

// started starts a scheduler on a memory in a bubble.
func started(t *testing.T, m *memory) *Scheduler {
	t.Helper()
	s := New(Options{Store: memoryStore{m}, Recheck: time.Minute})
	s.Use(engine{memory: m})
	s.Start(t.Context())
	return s
}

func define(t *testing.T, s *Scheduler, schedule heddle.Schedule) heddle.Definition {
	t.Helper()
	d, err := s.Create(t.Context(), heddle.Definition{Flow: &heddle.Flow{}, Enabled: true, Schedule: schedule})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func wantMade(t *testing.T, m *memory, d heddle.Definition, begun time.Time, want ...time.Duration) {
	t.Helper()
	if got := m.made(d.ID, begun); !slices.Equal(got, want) {
		t.Errorf("runs were made after %v, want %v: %+v", got, want, m.definitions[d.ID])
	}
}

func TestTheLoopSleepsUntilTheEarliestTick(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, begun := newMemory(), time.Now() // midnight, UTC
		s := started(t, m)
		defer s.Stop()
		time.Sleep(90 * time.Second)
		once := define(t, s, heddle.Schedule{Once: true})
		every := define(t, s, heddle.Schedule{Every: 45})
		at := define(t, s, heddle.Schedule{At: begun.Add(3*time.Minute + time.Millisecond)})
		hourly := define(t, s, heddle.Schedule{Cron: "3 * * * *"})
		time.Sleep(100 * time.Second) // to 190 s
		synctest.Wait()
		wantMade(t, m, once, begun, 90*time.Second)
		wantMade(t, m, every, begun, 90*time.Second, 135*time.Second, 180*time.Second)
		wantMade(t, m, at, begun, 180*time.Second+time.Millisecond)
		wantMade(t, m, hourly, begun, 180*time.Second)
		if m.looks > 20 {
			t.Errorf("the loop has looked %d times", m.looks)
		}
	})
}

func TestDowntimeIsCaughtUpOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, begun := newMemory(), time.Now()
		s := started(t, m)
		last := define(t, s, heddle.Schedule{Cron: "* * * * *"})
		all := define(t, s, heddle.Schedule{Cron: "* * * * *", CatchUp: heddle.CatchUpAll})
		none := define(t, s, heddle.Schedule{Cron: "* * * * *", CatchUp: heddle.CatchUpNone})
		time.Sleep(61 * time.Second)
		s.Stop()
		time.Sleep(150 * time.Second) // to 211 s
		s = started(t, m)
		time.Sleep(30 * time.Second)
		s.Stop()
		first, back := 60*time.Second, 211*time.Second
		wantMade(t, m, last, begun, first, back, 240*time.Second)
		wantMade(t, m, all, begun, first, back, back, 240*time.Second)
		wantMade(t, m, none, begun, first, 240*time.Second)
	})
}

func TestWhatCannotBeMadeIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, begun := newMemory(), time.Now()
		s := started(t, m)
		defer s.Stop()
		m.refuse = heddle.Errorf(heddle.CodeUnavailable, "the daemon does not answer")
		d := define(t, s, heddle.Schedule{Once: true})
		time.Sleep(7 * time.Second)
		synctest.Wait()
		m.mu.Lock()
		if now := m.definitions[d.ID]; !now.Enabled || now.Reason != "the daemon does not answer" {
			t.Errorf("%+v", now)
		}
		m.refuse = nil
		m.mu.Unlock()
		time.Sleep(7 * time.Second)
		synctest.Wait()
		wantMade(t, m, d, begun, 10*time.Second)
		// What never will is not tried again.
		m.mu.Lock()
		m.refuse = heddle.Errorf(heddle.CodeInvalid, "no such flow")
		m.mu.Unlock()
		d = define(t, s, heddle.Schedule{Once: true})
		time.Sleep(time.Second)
		synctest.Wait()
		if now := m.definitions[d.ID]; now.Enabled || now.Reason != "no such flow" || now.Failures != 1 {
			t.Errorf("%+v", now)
		}
	})
}

func TestAQueuedTickGoesOnWithTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, begun := newMemory(), time.Now()
		s := started(t, m)
		defer s.Stop()
		d := define(t, s, heddle.Schedule{Every: 10, Overlap: heddle.OverlapQueue})
		time.Sleep(33 * time.Second)
		synctest.Wait()
		wantMade(t, m, d, begun, 0)
		m.end(TickID(d.ID, begun), heddle.Failure)
		s.Kick()
		time.Sleep(time.Second)
		synctest.Wait()
		wantMade(t, m, d, begun, 0, 33*time.Second)
		if now := m.definitions[d.ID]; now.Failures != 1 || now.Counter != 2 || !now.Next.Equal(begun.Add(43*time.Second)) {
			t.Errorf("%+v", now)
		}
	})
}

func TestManyAreDueAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		begun := time.Now()
		for i := range 3 * batch {
			d := heddle.Definition{ID: fmt.Sprint(i), Flow: &heddle.Flow{}, Enabled: true, Schedule: heddle.Schedule{Once: true}, Next: begun, Wake: begun, Version: 1}
			if err := m.AddDefinition(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		s := started(t, m)
		time.Sleep(time.Millisecond)
		s.Stop()
		if len(m.runs) != 3*batch {
			t.Errorf("%d runs", len(m.runs))
		}
	})
}
