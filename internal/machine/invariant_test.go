package machine

import (
	"reflect"

	"github.com/heddle/heddle"
)

// checkChange holds a change against the rows that it is to be laid over.
func (p *player) checkChange(c *heddle.Change, urgent bool) {
	p.t.Helper()
	seen := map[any]bool{}
	for _, v := range c.Visits {
		if seen[v.No] {
			p.t.Fatalf("visit %d is twice in a change", v.No)
		}
		seen[v.No] = true
		if old := p.visits[v.No]; old.State == heddle.VisitSettled && !reflect.DeepEqual(old, v) {
			p.t.Fatalf("a settled visit changes from %+v to %+v", old, v)
		}
	}
	for _, a := range c.Attempts {
		if seen[a.ID] {
			p.t.Fatalf("attempt %s is twice in a change", a.ID)
		}
		seen[a.ID] = true
		old, known := p.tries[a.ID]
		if known && (old.Status.Ended() && !reflect.DeepEqual(old, a) || a.Status < old.Status) {
			p.t.Fatalf("an attempt goes from %+v to %+v", old, a)
		}
		if (!known || a.Status.Ended() != old.Status.Ended() || a.Stop != old.Stop) && !urgent {
			p.t.Fatalf("attempt %s is made, stopped or over, and that is not urgent", a.ID)
		}
	}
	if p.run.State == heddle.RunEnded {
		p.t.Fatalf("an ended run changes: %+v", c)
	}
	if !urgent && (len(c.Visits) > 0 || !reflect.DeepEqual(c.Run, p.run)) {
		p.t.Fatalf("more than progress of attempts is not urgent: %+v", c)
	}
	if urgent && len(p.changes) > 0 && len(c.Visits) == 0 && len(c.Notices) == 0 && reflect.DeepEqual(c.Run, p.run) {
		for _, a := range c.Attempts {
			if old := p.tries[a.ID]; a.Status.Ended() || a.Stop != old.Stop {
				return
			}
		}
		p.t.Fatalf("mere progress of attempts is urgent: %+v", c)
	}
}

// check looks at the rows after each commit.
func (p *player) check() {
	p.t.Helper()
	openTries, made := map[int]int{}, map[int]int{}
	open := 0
	for _, a := range p.tries {
		made[a.Visit]++
		if !a.Status.Ended() {
			open++
			openTries[a.Visit]++
		}
		if v := p.visits[a.Visit]; openTries[a.Visit] > 1 || openTries[a.Visit] == 1 && v.State != heddle.VisitActive {
			p.t.Fatalf("visit %d is %s and has %d open attempts", v.No, v.State, openTries[a.Visit])
		}
	}
	if limit := p.g.flow.MaxParallel; open != p.state.Open() || limit > 0 && open > limit {
		p.t.Fatalf("%d attempts are open, %d according to the state, %d may be", open, p.state.Open(), limit)
	}
	if len(p.visits) != p.run.Visits {
		p.t.Fatalf("the run counts %d visits and has %d", p.run.Visits, len(p.visits))
	}
	members, let, holders, opened := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	for no := 1; no <= len(p.visits); no++ {
		v, ok := p.visits[no]
		if !ok {
			p.t.Fatalf("there is no visit %d of %d", no, len(p.visits))
		}
		step := p.step(v)
		p.checkVisit(v, step, made[no])
		if opened[step.Name]++; step.MaxVisits > 0 && opened[step.Name] > step.MaxVisits && step.GateOf() == heddle.GateAny {
			p.t.Fatalf("step %q opens %d times", step.Name, opened[step.Name])
		}
		if v.State == heddle.VisitSettled {
			continue
		}
		members[step.Group]++
		if v.State == heddle.VisitQueued || step.Work == nil {
			continue
		}
		let[step.Group]++
		if step.Key != "" && step.Busy != heddle.BusyAllow {
			if holders[step.Key]++; holders[step.Key] > 1 {
				p.t.Fatalf("two visits hold the key %q", step.Key)
			}
		}
	}
	for i := range p.g.flow.Steps {
		step := p.g.step(i)
		if m := step.Matrix; m != nil && m.Limit > 0 && let[step.Name] > m.Limit {
			p.t.Fatalf("%d of the matrix %q are open", let[step.Name], step.Name)
		}
	}
	p.checkCauses(openTries, members, let, holders)
}

func (p *player) step(v heddle.Visit) *heddle.Step {
	p.t.Helper()
	i, ok := p.g.index[v.Step]
	if !ok {
		p.t.Fatalf("visit %d is of step %q", v.No, v.Step)
	}
	return p.g.step(i)
}

func (p *player) checkVisit(v heddle.Visit, step *heddle.Step, made int) {
	p.t.Helper()
	budget := step.InfraRetries
	if budget == 0 {
		budget = heddle.DefaultInfraRetries
	}
	if v.Attempts != made || made > 1+max(step.Retry.Limit, 0)+max(budget, 0) {
		p.t.Fatalf("visit %d counts %d attempts and has %d", v.No, v.Attempts, made)
	}
	settled := v.State == heddle.VisitSettled
	if settled != v.Outcome.Valid() || settled == v.Settled.IsZero() || settled && v.Settled.Before(v.Opened) {
		p.t.Fatalf("visit %d: state, outcome and times do not agree: %+v", v.No, v)
	}
	if v.Cause >= v.No {
		p.t.Fatalf("visit %d was caused by %d", v.No, v.Cause)
	}
	if c, ok := p.visits[v.Cause]; ok && c.State != heddle.VisitSettled && c.Step != step.Group && !p.state.only {
		p.t.Fatalf("visit %d was caused by %d, which is not over", v.No, v.Cause)
	}
}

// checkCauses looks for something that will wake each open visit.
func (p *player) checkCauses(tries map[int]int, members, let, holders map[string]int) {
	p.t.Helper()
	for _, v := range p.openVisits() {
		if p.run.State == heddle.RunPending && v.State == heddle.VisitQueued && p.state.asking[0] {
			continue // of a retry that waits for its key
		}
		if p.run.State == heddle.RunEnded || p.run.State == heddle.RunPending {
			p.t.Fatalf("the run is %s and visit %d is open", p.run.State, v.No)
		}
		step, cause := p.step(v), false
		switch v.State {
		case heddle.VisitReady:
			cause = p.state.asking[v.No] || p.state.Ready() || p.state.Open() > 0 && p.state.Open() == p.g.flow.MaxParallel
		case heddle.VisitActive:
			cause = tries[v.No] == 1 && step.Work != nil || step.Work == nil && members[step.Name] > 0
		case heddle.VisitBackoff:
			due := p.state.NextTick()
			cause = !v.Due.IsZero() && !due.IsZero() && !due.After(v.Due)
		case heddle.VisitQueued:
			cause = let[step.Group] > 0 && p.g.parent[p.g.index[step.Name]] >= 0 || holders[step.Key] > 0
		case heddle.VisitSettled:
		}
		if !cause {
			p.t.Fatalf("nothing will wake %+v", v)
		}
	}
}

// checkEnd looks at a run that has ended.
func (p *player) checkEnd() {
	p.t.Helper()
	if !p.run.Outcome.Valid() || p.run.Outcome == heddle.Skipped || p.run.Ended.IsZero() || len(p.openVisits()) > 0 {
		p.t.Fatalf("the run has not ended well: %+v, open: %+v", p.run, p.openVisits())
	}
	for id := range p.starts {
		if !p.tries[id].Status.Ended() || !p.freed[id] {
			p.t.Fatalf("attempt %s was started; ended: %v, released: %v", id, p.tries[id].Status.Ended(), p.freed[id])
		}
	}
	for id := range p.tries {
		if _, ok := p.starts[id]; !ok {
			p.t.Fatalf("attempt %s was never started", id)
		}
	}
	for _, e := range []Event{Tick{}, Cancel{Count: 3}, Ended{Attempt: "run1-1-1"}, Acknowledged{Attempt: "run1-1-1"}} {
		if err := p.state.Advance(e, p.now); err != nil {
			p.t.Fatalf("%T after the end: %v", e, err)
		}
		if c, _, ok := p.state.Take(); ok {
			p.t.Fatalf("%T after the end changes %+v", e, c)
		}
	}
	if !p.state.NextTick().IsZero() || p.state.Ready() || p.state.Open() != 0 || len(p.state.live) != 0 || p.state.Waits() || len(p.line) > 0 {
		p.t.Fatalf("something is left in the state of an ended run")
	}
	if !p.state.only { // that takes finally steps over
		p.checkFinally()
	}
}

// checkFinally: finally steps that nothing leads to run once, after all others.
func (p *player) checkFinally() {
	p.t.Helper()
	last := 0
	for _, v := range p.visits {
		if !p.g.final[p.g.index[v.Step]] {
			last = max(last, v.No)
		}
	}
	for _, i := range p.g.finals {
		step := p.g.step(i)
		visits := p.of(step.Name)
		if len(visits) > 1 || len(visits) == 0 && !p.run.Started.IsZero() && p.cancels < 2 {
			p.t.Fatalf("finally step %q has %d visits", step.Name, len(visits))
		}
		for _, v := range visits {
			if v.No < last {
				p.t.Fatalf("finally step %q is visit %d, before visit %d", step.Name, v.No, last)
			}
		}
	}
}
