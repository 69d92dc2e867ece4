package machine

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/heddle/heddle"
)

// openStep opens visits of a step: one, or for a group its members' too.
func (s *State) openStep(i, index int, from origin, now time.Time) error {
	v := s.newVisit(i, index, from, now)
	if s.steps[i].first == 0 {
		s.started++
		s.steps[i].first = s.started
	}
	return s.enter(v, from.idle, now)
}

// enter begins a visit that has just been made. idle counts those before it, in a
// row, that could not run.
func (s *State) enter(v *visit, idle int, now time.Time) error {
	if s.g.isGroup(v.step) {
		return s.enterGroup(v, now)
	}
	step := s.g.step(v.step)
	if k := s.keys[step.Key]; step.Key != "" && k != nil && k.holders > 0 && (step.Busy == "" || step.Busy == heddle.BusyDrop) {
		return s.drop(v, now)
	}
	s.track(v)
	if s.failing(v) {
		return s.settle(v, judgement{outcome: heddle.Skipped, message: notRun}, now)
	}
	if err := s.notify(v, now); err != nil {
		return err
	}
	why, err := s.impossible(v)
	if err != nil {
		return err
	}
	if why == "" {
		return s.admit(v)
	}
	v.idle = idle + 1
	j := judgement{outcome: heddle.Abort, code: codeRequirement, message: why}
	if idle >= s.g.needy {
		// More such visits in a row than there are steps for them: round and round.
		j.message += "; it leads back to itself without anything being run"
		j.final = true
	}
	return s.settle(v, j, now)
}

// impossible says why a visit cannot run; "" if it can.
func (s *State) impossible(v *visit) (string, error) {
	step := s.g.step(v.step)
	if step.Broken != "" {
		return step.Broken, nil
	}
	names, err := s.missing(v)
	if err != nil || len(names) == 0 {
		return "", err
	}
	return fmt.Sprintf("step %q requires what is missing: %s", step.Name, strings.Join(names, ", ")), nil
}

func (s *State) newVisit(i, index int, from origin, now time.Time) *visit {
	st := &s.steps[i]
	st.decided = true
	if st.visits == nil {
		st.visits = map[int]int{}
	}
	st.visits[index]++
	s.run.Visits++
	return &visit{step: i, fold: from.fold, lead: from.lead, Visit: heddle.Visit{
		No: s.run.Visits, Step: s.g.step(i).Name, Index: index, Nth: st.visits[index], Cause: from.cause, Opened: now,
	}}
}

// track counts a visit among the open ones.
func (s *State) track(v *visit) {
	s.live[v.No] = v
	if s.g.final[v.step] {
		s.liveFinal++
	} else {
		s.liveMain++
	}
	if p := s.g.parent[v.step]; p >= 0 {
		s.steps[p].live++
	}
}

func (s *State) untrack(v *visit) {
	delete(s.live, v.No)
	if s.g.final[v.step] {
		s.liveFinal--
	} else {
		s.liveMain--
	}
	if p := s.g.parent[v.step]; p >= 0 {
		s.steps[p].live--
		s.work.groups = append(s.work.groups, p)
	}
}

// drop records an arrival that found its key taken. It fires nothing, unless the
// step can have no other: then it is skipped for good.
func (s *State) drop(v *visit, now time.Time) error {
	return s.pass(v, fmt.Sprintf("not started: key %q is taken", s.g.step(v.step).Key), now)
}

// pass settles a visit that was never among the open ones as skipped.
func (s *State) pass(v *visit, message string, now time.Time) error {
	if err := s.move(v, "settle"); err != nil {
		return err
	}
	j, firing := judgement{outcome: heddle.Skipped, message: message}, s.g.once(v.step) && s.leads(v.step)
	if firing {
		j, firing = s.route(v.step, j)
	}
	v.Outcome, v.Message, v.Settled = j.outcome, j.message, now
	s.out.visit(&v.Visit)
	s.remember(v)
	if firing {
		s.fire(v, v.fold)
	}
	return nil
}

// leads reports whether what a step leads to may follow: it may not in a retry of
// one step alone, the inside of a group excepted.
func (s *State) leads(i int) bool { return !s.only || s.g.parent[i] >= 0 }

// fire sends the outcome of a settled visit along all edges of its step.
func (s *State) fire(v *visit, after *fold) {
	from := origin{cause: v.No, fold: after, lead: s.leadOf(&v.Visit), idle: v.idle}
	for _, ei := range s.g.out[v.step] {
		s.work.fires = append(s.work.fires, fire{edge: ei, outcome: v.Outcome, origin: from})
	}
}

// admit makes a visit ready, or queues it behind its matrix limit or its key.
func (s *State) admit(v *visit) error {
	step := s.g.step(v.step)
	if m := s.matrixOf(v.step); m != nil && !v.let {
		group := &s.steps[s.g.parent[v.step]]
		if m.Limit > 0 && group.let >= m.Limit {
			group.waiting = append(group.waiting, v.No)
			return s.hold(v)
		}
		group.let++
		v.let = true
	}
	if step.Key != "" && step.Busy != heddle.BusyAllow {
		k := s.keys[step.Key]
		if k == nil {
			k = &keyState{}
			s.keys[step.Key] = k
		}
		if k.holders > 0 {
			k.waiting = append(k.waiting, v.No)
			return s.hold(v)
		}
		k.holders++
		v.holds = true
	}
	if err := s.move(v, "admit"); err != nil {
		return err
	}
	s.queue(v)
	s.out.visit(&v.Visit)
	return nil
}

func (s *State) hold(v *visit) error {
	if v.State == heddle.VisitQueued {
		return nil
	}
	if err := s.move(v, "hold"); err != nil {
		return err
	}
	s.out.visit(&v.Visit)
	return nil
}

// settle ends a visit and sends its outcome on.
func (s *State) settle(v *visit, j judgement, now time.Time) error {
	step := s.g.step(v.step)
	stopping := s.stopping(v)
	firing := !stopping && !j.final && s.leads(v.step)
	if firing {
		j, firing = s.route(v.step, j)
	}
	if err := s.move(v, "settle"); err != nil {
		return err
	}
	v.Outcome, v.Code, v.Message, v.Output, v.Settled, v.Due = j.outcome, j.code, j.message, j.output, now, time.Time{}
	s.out.visit(&v.Visit)
	s.remember(v)
	s.untrack(v)
	s.giveBack(v)
	if err := s.releaseKey(v); err != nil {
		return err
	}
	if err := s.releaseMatrix(v); err != nil {
		return err
	}
	if p := s.g.parent[v.step]; p >= 0 && !stopping && !j.outcome.Good() && !step.Tolerate {
		if err := s.failFast(p, now); err != nil {
			return err
		}
	}
	if !firing {
		return nil
	}
	var after *fold
	if v.fold != nil {
		var err error
		if after, err = v.fold.then(step, &v.Visit); err != nil {
			return err
		}
	}
	s.fire(v, after)
	return nil
}

// remember keeps of a settled visit what the verdict and the limits need. Which
// visit is the latest goes by their numbers, which a restart knows too.
func (s *State) remember(v *visit) {
	if v.Outcome == heddle.Skipped {
		return
	}
	st := &s.steps[v.step]
	if st.latest == nil {
		st.latest = map[int]ending{}
	}
	if st.latest[v.Index].no < v.No {
		st.latest[v.Index] = ending{no: v.No, outcome: v.Outcome, message: v.Message, output: s.keepOutput(v)}
	}
	if s.last.no < v.No {
		s.last = ending{no: v.No, message: v.Message}
	}
}

// route is the part of settling in which a target that cannot be gone to changes
// the outcome; ok is false when nothing is to be fired for that reason.
func (s *State) route(i int, j judgement) (_ judgement, ok bool) {
	var counted []int // among those that come to their steps
	for _, ei := range s.g.out[i] {
		e := &s.g.edges[ei]
		if !e.on.has(j.outcome) {
			continue
		}
		why := ""
		if e.to < 0 {
			why = fmt.Sprintf("step %q leads to %q on %s, and there is no such step", s.g.step(i).Name, e.target, j.outcome)
		} else if s.g.limited(e.to) {
			t, st := s.g.step(e.to), &s.steps[e.to]
			if st.visits[0]+st.coming < t.MaxVisits {
				st.coming++
				counted = append(counted, e.to)
				continue
			}
			why = fmt.Sprintf("step %q has had the %d visits that it may have", t.Name, t.MaxVisits)
		}
		if why != "" {
			for _, to := range counted {
				s.steps[to].coming--
			}
			j.outcome, j.message = heddle.Abort, why
			return j, false
		}
	}
	return j, true
}

// arrive takes one edge to its end.
func (s *State) arrive(f fire, now time.Time) error {
	e := &s.g.edges[f.edge]
	if e.to < 0 {
		return nil
	}
	st, met := &s.steps[e.to], e.on.has(f.outcome)
	if !s.g.gatesAll(e.to) {
		if !met {
			return nil
		}
		if s.g.limited(e.to) {
			st.coming--
		}
		return s.openStep(e.to, 0, f.origin, now)
	}
	if st.decided || s.met[f.edge] {
		return nil
	}
	if !met {
		if !s.g.once(e.from) {
			return nil // the source may come round again
		}
		why := fmt.Sprintf("skipped: step %q ended with %s", s.g.step(e.from).Name, f.outcome)
		return s.pass(s.newVisit(e.to, 0, f.origin, now), why, now)
	}
	s.met[f.edge] = true
	if st.met++; st.met < s.g.in[e.to] {
		return nil
	}
	return s.openStep(e.to, 0, f.origin, now)
}

// releaseKey passes a settled visit's busy key on to the one that waits longest.
func (s *State) releaseKey(v *visit) error {
	if !v.holds {
		return nil
	}
	k := s.keys[s.g.step(v.step).Key]
	k.holders--
	for len(k.waiting) > 0 {
		w := s.live[k.waiting[0]]
		k.waiting = k.waiting[1:]
		if w != nil && w.State == heddle.VisitQueued {
			return s.admit(w)
		}
	}
	return nil
}

// liveSorted returns the open visits in order of opening, for what must treat
// them in a fixed order.
func (s *State) liveSorted() []*visit {
	visits := make([]*visit, 0, len(s.live))
	for _, v := range s.live {
		visits = append(visits, v)
	}
	slices.SortFunc(visits, func(a, b *visit) int { return a.No - b.No })
	return visits
}
