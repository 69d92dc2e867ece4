package machine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/heddle/heddle"
)

// tester is what a test and a property have in common.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

var _ tester = (*testing.T)(nil)

// world is everything around a run that the machine does not decide.
type world struct {
	// exit says how the n-th attempt of a visit ends; told is why it was told to
	// stop, or "".
	exit func(v heddle.Visit, n int, told string) heddle.Exit
	// roll chooses a number below n; the same question has the same answer.
	roll func(question string, n int) int
	// lazy places visits now and then; otherwise all are placed at once.
	lazy bool
	// cancels holds the turns at which the run is cancelled; 0 is before it begins.
	cancels []int
	// crashes holds the turns at which the state is made again from the rows.
	crashes []int
	// room is how many places each pool has. 0: any number.
	room int
	// enough cancels the run twice when it has had so many visits. 0: never.
	enough int
}

// logged is an event as it was given to the machine.
type logged struct {
	event Event
	at    time.Time
	taken bool
}

// player is an engine, an executor and a store in one, for one run.
type player struct {
	t       tester
	w       world
	g       *Graph
	state   *State
	now     time.Time
	run     heddle.Run
	visits  map[int]heddle.Visit
	tries   map[heddle.AttemptID]heddle.Attempt
	notices []heddle.Notice
	starts  map[heddle.AttemptID]Start
	stops   map[heddle.AttemptID]string
	freed   map[heddle.AttemptID]bool
	open    map[heddle.AttemptID]bool // at the executor
	log     []logged
	changes []heddle.Change
	cancels int
	begun   bool
	line    []*turn // what was asked for, in that order
}

// turn is what a store keeps of an ask.
type turn struct {
	Ask
	granted, told bool
}

func epoch() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func compile(t tester, flow *heddle.Flow) *Graph {
	t.Helper()
	g, err := Compile(flow)
	if err != nil {
		t.Fatalf("compiling: %v", err)
	}
	return g
}

func newRun(flow *heddle.Flow) heddle.Run {
	return heddle.Run{
		ID: "run1", Kind: flow.Kind, Name: flow.Name, State: heddle.RunPending, Created: epoch(),
		Input: heddle.Input{CorrelationID: "corr1"},
	}
}

func newPlayer(t tester, flow *heddle.Flow, run heddle.Run, w world) *player {
	t.Helper()
	g := compile(t, flow)
	if w.roll == nil {
		w.roll = func(question string, n int) int {
			if strings.HasPrefix(question, "choice") || strings.HasPrefix(question, "clock") {
				return 0
			}
			return n - 1 // nothing but ends, told once, and changes taken when they are urgent
		}
	}
	return &player{
		t: t, w: w, g: g, state: New(g, run, nil), now: epoch(), run: run,
		visits: map[int]heddle.Visit{}, tries: map[heddle.AttemptID]heddle.Attempt{},
		starts: map[heddle.AttemptID]Start{}, stops: map[heddle.AttemptID]string{},
		freed: map[heddle.AttemptID]bool{}, open: map[heddle.AttemptID]bool{},
	}
}

// play runs a flow in a world until it has ended.
func play(t tester, flow *heddle.Flow, run heddle.Run, w world) *player {
	t.Helper()
	p := newPlayer(t, flow, run, w)
	p.play()
	return p
}

func (p *player) play() {
	p.t.Helper()
	p.disturb(0)
	if p.run.State == heddle.RunPending {
		p.begun = true
		p.do(Begin{})
	}
	for turn := 1; p.run.State != heddle.RunEnded; turn++ {
		if turn > 20_000 {
			p.t.Fatalf("the run does not end; it has %d visits", len(p.visits))
		}
		p.disturb(turn)
		if p.run.State != heddle.RunEnded {
			p.turn(turn)
		}
	}
	p.checkEnd()
}

// disturb crashes or cancels when it is time to.
func (p *player) disturb(turn int) {
	p.t.Helper()
	if slices.Contains(p.w.crashes, turn) {
		p.crash()
	}
	asked := 0
	for _, at := range p.w.cancels {
		if at == turn {
			asked++
		}
	}
	if p.w.enough > 0 && len(p.visits) > p.w.enough && p.cancels < 2 {
		asked += 2
	}
	if asked > 0 {
		p.cancels += asked
		p.do(Cancel{Count: p.cancels, Reason: "enough"})
	}
}

// turn lets one thing happen.
func (p *player) turn(turn int) {
	p.t.Helper()
	p.now = p.now.Add(time.Millisecond + time.Duration(p.w.roll(fmt.Sprint("clock", turn), 3))*time.Second)
	if due := p.state.NextTick(); !due.IsZero() && !due.After(p.now) {
		p.tick()
		return
	}
	for p.grant() {
	}
	if p.run.State == heddle.RunEnded {
		return
	}
	for !p.w.lazy && p.state.Ready() {
		p.do(Place{At: "here"})
	}
	ids := slices.Sorted(maps.Keys(p.open))
	options := len(ids)
	if p.state.Ready() {
		options++
	}
	if options == 0 {
		due := p.state.NextTick()
		if due.IsZero() {
			p.t.Fatalf("nothing will ever happen to the run again; its open visits: %+v", p.openVisits())
		}
		p.now = due
		p.tick()
		return
	}
	choice := p.w.roll(fmt.Sprint("choice", turn), options)
	if choice == len(ids) {
		p.do(Place{At: "here"})
		return
	}
	id := ids[choice]
	if p.w.roll(fmt.Sprint("progress", turn), 3) == 0 {
		p.do(Acknowledged{Attempt: id})
		p.do(Running{Attempt: id, Started: p.tries[id].Created})
		return
	}
	p.end(id)
}

func (p *player) tick() {
	p.t.Helper()
	p.do(Tick{})
	if due := p.state.NextTick(); !due.IsZero() && !due.After(p.now) {
		p.t.Fatalf("after a tick at %v the next is at %v", p.now, due)
	}
}

// end lets an attempt end as the world has it; some ends are told twice.
func (p *player) end(id heddle.AttemptID) {
	p.t.Helper()
	a := p.tries[id]
	exit := p.w.exit(p.visits[a.Visit], a.No, p.stops[id])
	if why := p.starts[id].Refuse; why != "" {
		exit = heddle.Exit{Reason: heddle.Refused, Message: why}
	}
	exit.Started = a.Created
	delete(p.open, id)
	p.do(Ended{Attempt: id, Exit: exit})
	if p.w.roll("twice"+string(id), 4) == 0 {
		before := p.run
		p.do(Ended{Attempt: id, Exit: heddle.Exit{Reason: heddle.Lost}})
		if d := diff.Diff(before, p.run); d != "" {
			p.t.Fatalf("an end told twice changed the run: %s", d)
		}
	}
}

func (p *player) do(e Event) {
	p.t.Helper()
	if err := p.state.Advance(e, p.now); err != nil {
		p.t.Fatalf("%T%+v: %v", e, e, err)
	}
	urgent := p.state.Urgent()
	take := urgent || !p.state.Changed() || p.w.roll(fmt.Sprint("take", len(p.log)), 2) == 0
	p.log = append(p.log, logged{event: e, at: p.now, taken: take})
	if take {
		p.commit(urgent)
	}
}

// commit stores what the machine decided and does its effects.
func (p *player) commit(urgent bool) {
	p.t.Helper()
	c, effects, ok := p.state.Take()
	if ok {
		p.checkChange(&c, urgent)
		p.changes = append(p.changes, c)
		p.run = c.Run
		for _, v := range c.Visits {
			p.visits[v.No] = v
		}
		for _, a := range c.Attempts {
			p.tries[a.ID] = a
		}
		p.notices = append(p.notices, c.Notices...)
		for _, no := range c.Releases {
			p.line = slices.DeleteFunc(p.line, func(at *turn) bool { return no == 0 || at.Visit == no })
		}
	}
	if _, _, again := p.state.Take(); again {
		p.t.Fatalf("a second Take gives the change again")
	}
	for _, effect := range effects {
		p.effect(effect)
	}
	p.check()
}

func (p *player) effect(effect Effect) {
	p.t.Helper()
	switch e := effect.(type) {
	case Start:
		if _, twice := p.starts[e.Attempt.ID]; twice {
			p.t.Fatalf("attempt %s is started twice", e.Attempt.ID)
		}
		if i := p.g.index[e.Step.Name]; p.run.Stop != "" && (!p.g.final[i] || p.cancels > 1) {
			p.t.Fatalf("attempt %s is started in a run that has been stopped", e.Attempt.ID)
		}
		if at := p.turnOf(e.Visit.No); e.Step.Pool != "" && (at == nil || !at.granted || at.Attempt != e.Attempt.No) {
			p.t.Fatalf("attempt %s is started without its places in the pool", e.Attempt.ID)
		}
		p.starts[e.Attempt.ID], p.open[e.Attempt.ID] = e, true
	case Stop:
		if _, twice := p.stops[e.Attempt]; twice || !p.open[e.Attempt] {
			p.t.Fatalf("attempt %s is stopped twice, or while it is not open", e.Attempt)
		}
		p.stops[e.Attempt] = e.Reason
	case Release:
		if !p.tries[e.Attempt].Status.Ended() {
			p.t.Fatalf("attempt %s is released before its end is committed", e.Attempt)
		}
		p.freed[e.Attempt] = true
	case Ask:
		p.ask(e)
	case Adopt:
		p.t.Fatalf("attempt %s is adopted without a restart", e.Attempt.ID)
	}
}

// ask puts a run or a visit in line, as a store would.
func (p *player) ask(e Ask) {
	if v := p.visits[e.Visit]; e.Visit == 0 && p.run.State != heddle.RunPending ||
		e.Visit > 0 && (v.State != heddle.VisitReady || v.Attempts != e.Attempt-1) {
		return // not wanted any more
	}
	if at := p.turnOf(e.Visit); at != nil {
		at.told = false
		return
	}
	p.line = append(p.line, &turn{Ask: e})
}

func (p *player) turnOf(visit int) *turn {
	for _, at := range p.line {
		if at.Visit == visit {
			return at
		}
	}
	return nil
}

// grant gives turns to those for whom there is room, and tells of them; false: there
// was nothing to tell.
func (p *player) grant() (told bool) {
	p.t.Helper()
	taken := map[string]int{}
	for _, at := range p.line {
		if at.granted {
			taken[at.Name] += at.Weight
		}
	}
	for _, at := range slices.Clone(p.line) {
		if !at.granted && (at.Visit == 0 || p.w.room == 0 || taken[at.Name]+at.Weight <= p.w.room) {
			at.granted = true
			taken[at.Name] += at.Weight
		}
		if at.granted && !at.told {
			at.told, told = true, true
			p.do(Granted{Visit: at.Visit, Attempt: at.Attempt})
		}
	}
	return told
}

// rows returns what is stored, as a store would.
func (p *player) rows() ([]heddle.Visit, []heddle.Attempt) {
	visits := slices.SortedFunc(maps.Values(p.visits), func(a, b heddle.Visit) int { return a.No - b.No })
	attempts := slices.SortedFunc(maps.Values(p.tries), func(a, b heddle.Attempt) int {
		return cmp.Or(a.Visit-b.Visit, a.No-b.No)
	})
	return visits, attempts
}

// crash makes the state again from the rows. What was not committed is lost.
func (p *player) crash() {
	p.t.Helper()
	visits, attempts := p.rows()
	state, effects, err := Restore(p.g, p.run, visits, attempts, nil)
	if err != nil {
		p.t.Fatalf("restoring: %v", err)
	}
	taken, stopped := map[heddle.AttemptID]bool{}, map[heddle.AttemptID]bool{}
	for _, effect := range effects {
		switch e := effect.(type) {
		case Start:
			if a := p.tries[e.Attempt.ID]; a.Status != heddle.StatusJobDeployed {
				p.t.Fatalf("after a restart attempt %s is started with status %v", a.ID, a.Status)
			}
			want := p.starts[e.Attempt.ID]
			// That it has been told to stop has come to the row since.
			if d := diff.Diff(want, e, cmpopts.IgnoreFields(heddle.Attempt{}, "Stop"), cmpopts.IgnoreFields(Start{}, "Again"), cmpopts.EquateEmpty()); d != "" {
				p.t.Fatalf("after a restart attempt %s starts with something else (-before +after): %s", e.Attempt.ID, d)
			}
			taken[e.Attempt.ID] = true
		case Adopt:
			taken[e.Attempt.ID] = true
		case Stop:
			stopped[e.Attempt] = true
			if p.stops[e.Attempt] != e.Reason {
				p.t.Fatalf("after a restart attempt %s is stopped for %q, before for %q", e.Attempt, e.Reason, p.stops[e.Attempt])
			}
		case Ask:
			p.t.Fatalf("a restart asks for %+v at once", e)
		case Release:
			p.t.Fatalf("a restart releases attempt %s", e.Attempt)
		}
	}
	for id := range p.open {
		if _, told := p.stops[id]; !taken[id] || told != stopped[id] {
			p.t.Fatalf("after a restart attempt %s: taken up %v, stopped %v", id, taken[id], stopped[id])
		}
	}
	if len(taken) != len(p.open) {
		p.t.Fatalf("after a restart %d attempts are taken up, %d are open", len(taken), len(p.open))
	}
	p.state = state
	if p.run.State == heddle.RunEnded {
		return
	}
	if p.run.State == heddle.RunPending && p.begun {
		p.do(Begin{})
	}
	if p.cancels > 0 {
		p.do(Cancel{Count: p.cancels, Reason: "enough"})
	}
	p.do(Tick{})
}

func (p *player) openVisits() []heddle.Visit {
	visits, _ := p.rows()
	return slices.DeleteFunc(visits, func(v heddle.Visit) bool { return v.State == heddle.VisitSettled })
}

// of returns the visits of a step in order of opening.
func (p *player) of(step string) []heddle.Visit {
	visits, _ := p.rows()
	return slices.DeleteFunc(visits, func(v heddle.Visit) bool { return v.Step != step })
}
