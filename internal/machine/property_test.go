package machine

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"testing"

	diff "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/heddle/heddle"
)

// TestMain raises the number of checks per property, unless the command line has it.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		if err := flag.Set("rapid.checks", "300"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// any draws a flow of any shape.
func (d drawn) any() *heddle.Flow {
	switch d.number(0, 2, "shape") {
	case 0:
		return d.dag(false)
	case 1:
		return d.dag(true)
	}
	return d.machine()
}

// TestInvariants: the player checks them after each commit; see check.
func TestInvariants(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		d := drawn{T: rt}
		flow := d.any()
		run := newRun(flow)
		run.Input.Notify = []string{"console", "env:CHAT"}
		w := d.world()
		if d.often(30, "crash") {
			w.crashes = []int{d.number(0, 20, "crash at"), d.number(0, 40, "crash again at")}
		}
		play(rt, flow, run, w)
	})
}

// TestSameEventsSameChanges: a second state that is told the same decides the same.
func TestSameEventsSameChanges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		d := drawn{T: rt}
		flow := d.any()
		p := play(rt, flow, newRun(flow), d.world())
		again := New(compile(rt, flow), newRun(flow), nil)
		var changes []heddle.Change
		for _, l := range p.log {
			if err := again.Advance(l.event, l.at); err != nil {
				rt.Fatalf("%T: %v", l.event, err)
			}
			if !l.taken {
				continue
			}
			if c, _, ok := again.Take(); ok {
				changes = append(changes, c)
			}
		}
		if !reflect.DeepEqual(p.changes, changes) {
			rt.Fatalf("the second time (+) differs: %s", diff.Diff(p.changes, changes))
		}
	})
}

// TestRestoreGoesOn: a run that is restored on its way ends as one that is not.
// With an order of places to keep, visits that became ready at different times
// may change places in a restart, so that all are placed at once here.
func TestRestoreGoesOn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		d := drawn{T: rt}
		flow := d.any()
		flow.MaxParallel = 0
		w := d.world()
		w.lazy, w.room = false, 0
		want := play(rt, flow, newRun(flow), w)
		for range d.number(1, 4, "crashes") {
			w.crashes = append(w.crashes, d.number(0, 30, "crash"))
		}
		got := play(rt, flow, newRun(flow), w)
		if d := diff.Diff(want.run, got.run); d != "" {
			rt.Fatalf("the run (+ with restarts): %s", d)
		}
		wantVisits, wantTries := want.rows()
		gotVisits, gotTries := got.rows()
		if !reflect.DeepEqual(wantVisits, gotVisits) {
			rt.Fatalf("visits (+ with restarts): %s", diff.Diff(wantVisits, gotVisits))
		}
		if !reflect.DeepEqual(wantTries, gotTries) {
			rt.Fatalf("attempts (+ with restarts): %s", diff.Diff(wantTries, gotTries))
		}
	})
}

// oracle says how the steps of a DAG end, by recursion over the document.
type oracle struct {
	flow *heddle.Flow
	exit func(heddle.Visit, int, string) heddle.Exit
}

// find returns a step; the parts of the machine are not to be used here.
func (o *oracle) find(name string) *heddle.Step {
	return &o.flow.Steps[slices.IndexFunc(o.flow.Steps, func(s heddle.Step) bool { return s.Name == name })]
}

// outcome is "" for a step that nothing reaches.
func (o *oracle) outcome(s *heddle.Step, index int) heddle.Outcome {
	entry, reached := s.Group != "" || s.Finally || slices.Contains(o.flow.Start, s.Name), true
	for _, e := range o.flow.Edges {
		if e.To != s.Name {
			continue
		}
		entry = true
		got := o.outcome(o.find(e.From), 0)
		if got != "" && !(len(e.On) == 0 && got == heddle.Success || slices.Contains(e.On, got)) {
			return heddle.Skipped
		}
		reached = reached && got != ""
	}
	switch {
	case !entry || !reached:
		return ""
	case s.Broken != "" || s.NeedsContext != nil:
		return heddle.Abort
	case s.Work == nil:
		return o.verdict(s.Name)
	}
	return o.tried(s, index)
}

// tried is how a step with work ends after its retries.
func (o *oracle) tried(s *heddle.Step, index int) heddle.Outcome {
	broken, failed := 0, 0
	for n := 1; ; n++ {
		exit := o.exit(heddle.Visit{Step: s.Name, Index: index, Nth: 1}, n, "")
		outcome, again := o.once(s, exit)
		switch {
		case exit.Reason == heddle.Lost || exit.Reason == heddle.Broken:
			budget := map[int]int{-1: 0, 0: heddle.DefaultInfraRetries, 1: 1}[s.InfraRetries]
			if broken++; broken > budget {
				return outcome
			}
		case again:
			if failed++; failed > s.Retry.Limit {
				return outcome
			}
		default:
			return outcome
		}
	}
}

// once is how one attempt ends, and whether its like is tried again.
func (o *oracle) once(s *heddle.Step, exit heddle.Exit) (outcome heddle.Outcome, again bool) {
	switch {
	case exit.Reason == heddle.TimedOut:
		return heddle.Timeout, true
	case exit.Reason != heddle.Exited && s.Unstartable != "":
		return s.Unstartable, false
	case exit.Reason != heddle.Exited:
		return heddle.Failure, false
	case exit.Code == 0:
		return heddle.Success, false
	case exit.Code == 15 && s.Result == heddle.ResultLine:
		return heddle.Abort, false
	}
	return heddle.Failure, true
}

// verdict is that of the members of a group, or of the run ("").
func (o *oracle) verdict(group string) heddle.Outcome {
	for i := range o.flow.Steps {
		s := &o.flow.Steps[i]
		if s.Group != group || s.Tolerate {
			continue
		}
		for index := range o.indexes(s) {
			if got := o.outcome(s, index); got != "" && got != heddle.Skipped && got != heddle.Success {
				return got
			}
		}
	}
	return heddle.Success
}

func (o *oracle) indexes(s *heddle.Step) int {
	if s.Group != "" {
		if m := o.find(s.Group).Matrix; m != nil {
			return len(m.Env)
		}
	}
	return 1
}

func TestOracle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		d := drawn{T: rt, plain: true}
		flow := d.dag(false)
		for i := range flow.Steps { // one needs its matrix' variable, which the oracle leaves out
			flow.Steps[i].NeedsEnv = nil
		}
		w := d.world()
		w.enough = 0
		p := play(rt, flow, newRun(flow), w)
		o := &oracle{flow: flow, exit: w.exit}
		want, got := map[string]heddle.Outcome{}, map[string]heddle.Outcome{}
		for i := range flow.Steps {
			s := &flow.Steps[i]
			if s.Group != "" {
				if outer := o.outcome(o.find(s.Group), 0); outer == "" || outer == heddle.Skipped {
					continue
				}
			}
			for index := range o.indexes(s) {
				if outcome := o.outcome(s, index); outcome != "" {
					want[fmt.Sprint(s.Name, " ", index)] = outcome
				}
			}
		}
		for v := range maps.Values(p.visits) {
			got[fmt.Sprint(v.Step, " ", v.Index)] = v.Outcome
		}
		if d := diff.Diff(want, got); d != "" {
			rt.Fatalf("the machine (+) and the oracle (-) differ: %s", d)
		}
		if want := o.verdict(""); p.run.Outcome != want {
			rt.Fatalf("verdict %s, the oracle says %s", p.run.Outcome, want)
		}
	})
}
