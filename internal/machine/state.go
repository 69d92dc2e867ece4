package machine

import (
	"container/heap"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/heddle/heddle"
)

// State is a run as it stands. It is not safe for concurrent use.
type State struct {
	g       *Graph
	run     heddle.Run
	ambient map[string]string // of the process that runs it, already filtered

	steps  []stepState
	met    []bool         // by edge: an arrival came along it
	live   map[int]*visit // open visits by number
	ready  []int          // visits that wait for a place, in order; stale ones are passed over
	keys   map[string]*keyState
	timers timers

	open      int // attempts that are open
	liveMain  int // open visits outside finally steps, members included
	liveFinal int
	forced    bool   // a second cancel: finally steps are stopped too
	only      bool   // the retry of one step alone: nothing follows it, finally steps neither
	started   int    // steps opened so far: numbers their first starts
	last      ending // of the visits that had an outcome, that with the highest number

	stored bool              // it waited for its concurrency key before it was restored
	keyed  bool              // it has that key
	plan   *heddle.RetryPlan // of a retry that waits for its key; nil: there is none
	asking map[int]bool      // what was asked of the store and not granted yet: visits, 0 for the key

	work work // what one Advance has left to do
	out  record
}

// stepState sums up what a step has been through.
type stepState struct {
	visits  map[int]int // by matrix index: how many
	first   int         // place in the order of first starts, from 1; 0: never opened
	latest  map[int]ending
	decided bool              // gate all: opened or skipped
	met     int               // gate all: edges that had their arrival
	coming  int               // limited visits: arrivals on their way
	group   int               // groups: the number of their visit
	live    int               // groups: open members
	let     int               // matrix: open members that its limit has let in
	waiting []int             // matrix: members that its limit holds back
	failed  bool              // matrix with fail-fast: the rest is being stopped
	arrays  map[string]string // matrix members: outputs of all of them, as far as they were asked for
}

// ending is what the verdict needs of a settled visit.
type ending struct {
	no      int // the visit's
	outcome heddle.Outcome
	message string
	output  *given // nil: nobody asks for it, or there is none
}

// visit is an open visit with what only open ones need.
type visit struct {
	heddle.Visit
	step    int
	attempt *heddle.Attempt // the open one, or nil
	fold    *fold           // nil when the flow hands no context on
	lead    *lead           // nil when no step asks for it
	idle    int             // it and those before it, in a row, that could not run
	let     bool            // its matrix' limit has let it in
	holds   bool            // it holds its step's busy key
	turn    bool            // it has, or has asked for, places in its step's pool
}

type keyState struct {
	holders int
	waiting []int
}

// New makes the state of a run that has been accepted and not begun. The run's
// flow is g's. The ambient variables are those that its input lets through.
func New(g *Graph, run heddle.Run, ambient map[string]string) *State {
	only := run.Input.Retry != nil && run.Input.Retry.Mode == heddle.RetryOnly
	return &State{
		g: g, run: run, ambient: ambient, only: only, forced: only,
		steps: make([]stepState, len(g.flow.Steps)), met: make([]bool, len(g.edges)),
		live: map[int]*visit{}, keys: map[string]*keyState{}, asking: map[int]bool{},
		out: newRecord(record{}),
	}
}

// Run returns the run as it stands.
func (s *State) Run() heddle.Run { return s.run }

// Flow returns the run's flow.
func (s *State) Flow() *heddle.Flow { return s.g.flow }

// Open returns how many attempts are open.
func (s *State) Open() int { return s.open }

// Ready reports whether a [Place] event would find a visit to deploy.
func (s *State) Ready() bool {
	for len(s.ready) > 0 {
		if v := s.live[s.ready[0]]; v != nil && v.State == heddle.VisitReady {
			limit := s.g.flow.MaxParallel
			return limit == 0 || s.open < limit
		}
		s.ready = s.ready[1:]
	}
	return false
}

// NextTick returns when a [Tick] has something to do; zero: never.
func (s *State) NextTick() time.Time {
	var due time.Time
	for len(s.timers) > 0 {
		at := s.timers[0]
		if v := s.live[at.visit]; v != nil && v.State == heddle.VisitBackoff && v.Due.Equal(at.due) {
			due = at.due
			break
		}
		heap.Pop(&s.timers)
	}
	if d := s.run.Deadline; !d.IsZero() && s.run.Stop == "" && s.run.State == heddle.RunRunning && (due.IsZero() || d.Before(due)) {
		due = d
	}
	return due
}

// Take returns the change that the events since the last Take amount to, and the
// effects to be done once it is committed; ok is false when there is nothing to
// commit. The change's ID, epoch and sequence number are the caller's to fill in.
func (s *State) Take() (c heddle.Change, effects []Effect, ok bool) {
	if !s.out.changed {
		effects, s.out.effects = s.out.effects, nil
		return heddle.Change{}, effects, false
	}
	c = heddle.Change{Run: s.run, Visits: s.out.visitRows, Attempts: s.out.attemptRows, Notices: s.out.notices, Releases: s.out.releases}
	effects = s.out.effects
	s.out = newRecord(s.out)
	return c, effects, true
}

// newRecord makes an empty record, out of an old one's maps if those are small:
// clearing a map that was once big takes long each time.
func newRecord(old record) record {
	const small = 64
	if len(old.visits) > small || len(old.attempts) > small || old.visits == nil {
		return record{visits: map[int]int{}, attempts: map[heddle.AttemptID]int{}}
	}
	clear(old.visits)
	clear(old.attempts)
	return record{visits: old.visits, attempts: old.attempts}
}

// Urgent reports whether what is to be taken needs committing now: that an
// attempt was acknowledged or runs may as well ride with the next change.
func (s *State) Urgent() bool { return s.out.urgent }

// Changed reports whether there is anything to commit.
func (s *State) Changed() bool { return s.out.changed }

// record gathers the rows that changed, each once.
type record struct {
	changed     bool
	urgent      bool
	visits      map[int]int // number -> position in visitRows
	visitRows   []heddle.Visit
	attempts    map[heddle.AttemptID]int
	attemptRows []heddle.Attempt
	notices     []heddle.Notice
	releases    []int
	effects     []Effect
}

func (r *record) visit(v *heddle.Visit) {
	r.changed, r.urgent = true, true
	if at, ok := r.visits[v.No]; ok {
		r.visitRows[at] = *v
		return
	}
	r.visits[v.No] = len(r.visitRows)
	r.visitRows = append(r.visitRows, *v)
}

func (r *record) attempt(a *heddle.Attempt, urgent bool) {
	r.changed, r.urgent = true, r.urgent || urgent
	if at, ok := r.attempts[a.ID]; ok {
		r.attemptRows[at] = *a
		return
	}
	r.attempts[a.ID] = len(r.attemptRows)
	r.attemptRows = append(r.attemptRows, *a)
}

func (r *record) release(visit int) { r.releases = append(r.releases, visit) }

func (r *record) effect(e Effect) { r.effects = append(r.effects, e) }

// timers is a heap of back-offs by due time.
type timers []timer

type timer struct {
	due   time.Time
	visit int
}

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].due.Before(t[j].due) }
func (t timers) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }

// Push is for container/heap.
func (t *timers) Push(x any) { *t = append(*t, x.(timer)) }

// Pop is for container/heap.
func (t *timers) Pop() any {
	old := *t
	last := old[len(old)-1]
	*t = old[:len(old)-1]
	return last
}

// move changes a visit's state by the table.
func (s *State) move(v *visit, event string) error {
	to, err := next(VisitTransitions(), v.State, event)
	if err != nil {
		return fmt.Errorf("visit %d of run %s: %w", v.No, s.run.ID, err)
	}
	v.State = to
	return nil
}

// env returns the variables of a visit, lowest first: the work's, the matrix
// entry's, the ambient ones, the run's; and where those of the work come from that
// have no value yet and are not covered by another. A name is in one of the two.
func (s *State) env(v *visit) (env map[string]string, from map[string]heddle.Source) {
	step := s.g.step(v.step)
	env, from = maps.Clone(step.Work.Env), maps.Clone(step.Work.From)
	if env == nil {
		env = map[string]string{}
	}
	if m := s.matrixOf(v.step); m != nil {
		maps.Copy(env, m.Env[v.Index])
	}
	maps.Copy(env, s.ambient)
	maps.Copy(env, s.run.Input.Env)
	maps.DeleteFunc(from, func(name string, _ heddle.Source) bool {
		_, covered := env[name]
		return covered
	})
	return env, from
}

// fetch gives values to the variables that come from the run itself, and takes them
// out of from; why says which cannot have one.
func (s *State) fetch(v *visit, env map[string]string, from map[string]heddle.Source) (why string) {
	for _, name := range slices.Sorted(maps.Keys(from)) {
		source, value := from[name], ""
		switch {
		case source.Output != "":
			if value, why = s.resolve(source.Output); why == "" {
				why = unfit(name, value)
			}
			if why != "" {
				return "variable " + name + ": " + why
			}
		case source.Cause == heddle.CauseName:
			value = v.lead.name
		case source.Cause == heddle.CauseMessage:
			value = v.lead.message
		default:
			continue
		}
		env[name] = value
		delete(from, name)
	}
	return ""
}

// unfit says why a value cannot be one of a variable; "" if it can.
func unfit(name, value string) string {
	switch {
	case strings.Contains(value, "\x00"):
		return "the output holds the character 0, which a variable cannot"
	case len(name)+1+len(value)+1 > maxEnvString:
		return fmt.Sprintf("the output has %d bytes, more than a variable can", len(value))
	}
	return ""
}

// missing names what the step requires and does not find.
func (s *State) missing(v *visit) ([]string, error) {
	step := s.g.step(v.step)
	var names []string
	if len(step.NeedsEnv) > 0 {
		env, from := s.env(v)
		for _, name := range step.NeedsEnv {
			_, set := env[name]
			if _, comes := from[name]; !set && !comes {
				names = append(names, "variable "+name)
			}
		}
	}
	if len(step.NeedsContext) == 0 {
		return names, nil
	}
	var object map[string]any
	if v.fold != nil { // as the step would receive it, reserved keys included
		text, err := v.fold.text(&s.run, step)
		if err != nil {
			return nil, err
		}
		if object, err = decodeObject(text); err != nil {
			return nil, err
		}
	}
	for _, path := range step.NeedsContext {
		if !lookup(object, path) {
			names = append(names, "context path "+path)
		}
	}
	return names, nil
}
