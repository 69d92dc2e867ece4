package machine

import (
	"maps"
	"slices"

	"github.com/heddle/heddle"
)

// sort finds what becomes of each old visit. Whatever a visit depends on has a
// lower number than it.
func (p *planner) sort(roots map[int]bool) {
	spared := map[int]fate{}
	for i := range p.visits {
		v := &p.visits[i]
		at, known := p.g.index[v.Step]
		f, decided := spared[v.No]
		switch {
		case !known:
			f = p.lost(v)
		case decided:
		case p.retry.Mode == heddle.RetryOnly:
			f = p.alone(v, at, roots)
		case p.g.final[at], v.Cause > 0 && p.fate[v.Cause] != taken, p.awaits(at):
			f = dropped
		case roots[v.No]:
			if f = p.again(at); p.g.isGroup(at) {
				f = p.spare(v, at, spared)
			}
		}
		p.fate[v.No] = f
		if known && f != taken {
			p.redone[at] = true
		}
	}
}

// lost is the fate of a visit whose step is gone.
func (p *planner) lost(v *heddle.Visit) fate {
	switch p.retry.Mode {
	case heddle.RetryFailed:
		if p.dag {
			return dropped
		}
		fallthrough
	case heddle.RetryFrom:
		if v.Cause > 0 && p.fate[v.Cause] != taken || p.before.final[p.before.index[v.Step]] {
			return dropped
		}
	case heddle.RetryOnly:
	}
	return taken // which checkTaken does not let pass
}

// alone is the fate of a visit when just one step is done over.
func (p *planner) alone(v *heddle.Visit, at int, roots map[int]bool) fate {
	if roots[v.No] {
		return opened
	}
	for top := p.g.parent[at]; top >= 0; top = p.g.parent[top] {
		if p.g.step(top).Name == p.retry.Step {
			return dropped
		}
	}
	return taken
}

// awaits reports whether a step waits for one that is done over.
func (p *planner) awaits(at int) bool {
	if !p.g.gatesAll(at) {
		return false
	}
	return slices.ContainsFunc(p.into[at], func(ei int) bool { return p.redone[p.g.edges[ei].from] })
}

// again is how a step is done over: one that waits for several comes again when
// those that it waits for are heard of, others are opened.
func (p *planner) again(at int) fate {
	if p.g.gatesAll(at) && p.g.in[at] > 0 {
		return dropped
	}
	return opened
}

// spare is the fate of a group's visit; it decides about those of its members, of
// which the good ones are taken over when it is what failed that is done over.
func (p *planner) spare(group *heddle.Visit, at int, spared map[int]fate) fate {
	was, known := p.was(group.Step)
	if p.retry.Mode != heddle.RetryFailed || !known || p.before != nil && p.differs(at, was) {
		return p.again(at)
	}
	redone := map[int]bool{} // of the members
	good := map[int]fate{}
	for i := range p.visits {
		v := &p.visits[i]
		m, ok := p.g.index[v.Step]
		if !ok || p.g.parent[m] != at {
			continue
		}
		switch late := v.Cause != group.No && good[v.Cause] != taken; {
		case late || slices.ContainsFunc(p.into[m], func(ei int) bool { return redone[p.g.edges[ei].from] }):
			good[v.No] = dropped
		case p.isGoodMember(v, m, at, was):
			good[v.No] = taken
		case p.g.isGroup(m):
			good[v.No] = p.spare(v, m, good)
		default:
			good[v.No] = dropped
		}
		redone[m] = redone[m] || good[v.No] != taken
		if p.g.isGroup(m) && good[v.No] == taken {
			p.takeMembers(m, good)
		}
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(good)), func(f fate) bool { return f != dropped }) {
		return p.again(at)
	}
	maps.Copy(spared, good)
	return opened
}

// isGoodMember reports whether a visit of a group's member can be taken over. What
// fail-fast kept from running can not.
func (p *planner) isGoodMember(v *heddle.Visit, member, group, was int) bool {
	m := p.g.step(group).Matrix
	if p.bad(v, member) || m != nil && v.Outcome == heddle.Skipped {
		return false
	}
	if p.before == nil {
		return true
	}
	if m == nil {
		return !p.changed(member)
	}
	then, at := p.before.step(was).Matrix, p.before.index[v.Step]
	return then != nil && v.Index < len(m.Env) && v.Index < len(then.Env) &&
		maps.Equal(m.Env[v.Index], then.Env[v.Index]) && !p.differs(member, at)
}

// takeMembers takes all visits over that a group encloses.
func (p *planner) takeMembers(group int, fates map[int]fate) {
	for i := range p.visits {
		m, ok := p.g.index[p.visits[i].Step]
		if !ok || p.g.parent[m] != group {
			continue
		}
		fates[p.visits[i].No] = taken
		if p.g.isGroup(m) {
			p.takeMembers(m, fates)
		}
	}
}

// checkTaken looks whether what is taken over is what the new flow would have done.
func (p *planner) checkTaken() error {
	for i := range p.visits {
		v := &p.visits[i]
		if p.fate[v.No] != taken || p.before == nil {
			continue
		}
		at, ok := p.g.index[v.Step]
		if !ok {
			return invalid("step %q would be taken over from run %s, and the document has no such step any more", v.Step, p.old.Run.ID)
		}
		was := p.before.index[v.Step]
		if p.differs(at, was) || !p.sameEntry(v, at, was) {
			return invalid("step %q would be taken over from run %s, and is another in the document: begin from it or from a step before it", v.Step, p.old.Run.ID)
		}
	}
	return nil
}

// sameEntry reports whether a visit's entry in the matrix around it is what it was.
func (p *planner) sameEntry(v *heddle.Visit, at, was int) bool {
	if p.g.parent[at] < 0 || p.before.parent[was] < 0 {
		return true
	}
	now, then := p.g.step(p.g.parent[at]).Matrix, p.before.step(p.before.parent[was]).Matrix
	if now == nil || then == nil {
		return now == then
	}
	return v.Index < len(now.Env) && maps.Equal(now.Env[v.Index], then.Env[v.Index])
}

// rows makes the visits that the new run begins with.
func (p *planner) rows() []heddle.Visit {
	var rows []heddle.Visit
	numbers, nth := map[int]int{}, map[string]map[int]int{}
	add := func(v heddle.Visit) {
		if nth[v.Step] == nil {
			nth[v.Step] = map[int]int{}
		}
		nth[v.Step][v.Index]++
		v.No, v.Nth = len(rows)+1, nth[v.Step][v.Index]
		rows = append(rows, v)
	}
	for i := range p.visits {
		v := p.visits[i]
		if p.fate[v.No] == dropped {
			continue
		}
		numbers[v.No] = len(rows) + 1
		v.Cause = numbers[v.Cause]
		if p.fate[v.No] == opened {
			v = heddle.Visit{Step: v.Step, Index: v.Index, Cause: v.Cause}
		}
		v.Attempts, v.Broken = 0, 0 // those were the old run's
		add(v)
	}
	if p.retry.Mode == heddle.RetryOnly || !p.dag && len(p.visits) > 0 {
		return rows
	}
	for _, at := range p.g.starts {
		if name := p.g.step(at).Name; nth[name] == nil {
			add(heddle.Visit{Step: name})
		}
	}
	return rows
}

// fates tells people what becomes of each step.
func (p *planner) fates(rows []heddle.Visit) []heddle.RetryStep {
	reached := p.reached(rows)
	took, open, before, redone := map[string]int{}, map[string]bool{}, map[string]heddle.Outcome{}, map[string][]int{}
	for i := range rows {
		if rows[i].State == heddle.VisitSettled {
			took[rows[i].Step]++
		} else {
			open[rows[i].Step] = true
		}
	}
	for i := range p.visits {
		v := &p.visits[i]
		if b, had := before[v.Step]; !had || v.Index == 0 || b.Good() {
			before[v.Step] = v.Outcome // of a matrix the first that did not end well
		}
		if p.fate[v.No] == dropped && took[v.Step] > 0 {
			redone[v.Step] = append(redone[v.Step], v.Index)
		}
	}
	steps := make([]heddle.RetryStep, 0, len(p.g.flow.Steps))
	for at := range p.g.flow.Steps {
		name := p.g.step(at).Name
		r := heddle.RetryStep{Step: name, Taken: took[name], Before: before[name], Plan: heddle.FateNot}
		if p.g.parent[at] >= 0 {
			r.Redone = redone[name]
		}
		switch {
		case open[name], len(r.Redone) > 0, p.g.final[at] && p.retry.Mode != heddle.RetryOnly:
			r.Plan = heddle.FateRuns
		case reached[at]:
			r.Plan = heddle.FateMay
		case r.Taken > 0:
			r.Plan = heddle.FateTaken
		}
		steps = append(steps, r)
	}
	return steps
}

// reached says which steps may still open, those inside groups that do included.
func (p *planner) reached(rows []heddle.Visit) []bool {
	reached := make([]bool, len(p.g.flow.Steps))
	had := make([]bool, len(reached))
	var line []int
	add := func(at int) {
		if at >= 0 && !reached[at] && !(had[at] && p.g.once(at)) {
			reached[at] = true
			line = append(line, at)
		}
	}
	for i := range rows {
		at := p.g.index[rows[i].Step]
		had[at] = had[at] || rows[i].State == heddle.VisitSettled && p.g.parent[at] < 0
		if rows[i].State != heddle.VisitSettled {
			reached[at] = true
			line = append(line, at)
		}
	}
	if p.retry.Mode != heddle.RetryOnly {
		for i := range rows { // what those that are taken over are still to be heard by
			for _, ei := range p.g.out[p.g.index[rows[i].Step]] {
				if to := p.g.edges[ei].to; to >= 0 && p.g.gatesAll(to) && !had[to] {
					add(to)
				}
			}
		}
	}
	for ; len(line) > 0; line = line[1:] {
		at := line[0]
		for _, member := range p.g.members[at] {
			add(member)
		}
		if p.retry.Mode == heddle.RetryOnly {
			continue
		}
		for _, ei := range p.g.out[at] {
			add(p.g.edges[ei].to)
		}
	}
	return reached
}
