package machine

import (
	"container/heap"
	"fmt"

	"github.com/heddle/heddle"
)

// Restore makes the state of a stored run again from its rows: the visits in
// order of their numbers, the attempts in any order. The effects are those that
// may not have been done before the crash: all may be repeated. Requests to
// cancel are not in the rows: the caller sends their number again.
func Restore(g *Graph, run heddle.Run, visits []heddle.Visit, attempts []heddle.Attempt, ambient map[string]string) (*State, []Effect, error) {
	s := New(g, run, ambient)
	if run.State == heddle.RunPending {
		s.plan, s.stored = planOf(&run, visits), true
		return s, nil, nil
	}
	for i := range visits {
		if err := s.restoreVisit(&visits[i]); err != nil {
			return nil, nil, err
		}
	}
	for i := range attempts {
		a := attempts[i]
		if v := s.live[a.Visit]; v != nil && !a.Status.Ended() {
			v.attempt = &a
			v.turn = s.g.step(v.step).Pool != ""
			s.open++
		}
	}
	s.forced = s.forced || run.State == heddle.RunStopping && s.liveFinal > 0
	s.restoreArrivals(visits)
	if err := s.restoreFolds(visits); err != nil {
		return nil, nil, err
	}
	if s.g.causes {
		byNo := numbered(visits)
		for _, v := range s.live {
			v.lead = s.leadTo(v, byNo)
		}
	}
	if err := s.restoreQueues(); err != nil {
		return nil, nil, err
	}
	effects, err := s.recover()
	return s, effects, err
}

func (s *State) restoreVisit(row *heddle.Visit) error {
	i, ok := s.g.index[row.Step]
	if !ok {
		return fmt.Errorf("run %s: visit %d is of step %q, which its flow does not have", s.run.ID, row.No, row.Step)
	}
	s.count(i, row)
	v := &visit{Visit: *row, step: i}
	if row.State == heddle.VisitSettled {
		s.remember(v)
		if p := s.g.parent[i]; p >= 0 && !row.Outcome.Good() && !s.g.step(i).Tolerate {
			if m := s.g.step(p).Matrix; m != nil && m.FailFast {
				s.steps[p].failed = true
			}
		}
		return nil
	}
	s.track(v)
	if s.g.isGroup(i) {
		s.steps[i].group = v.No
	}
	return nil
}

// count notes that a step has had a visit.
func (s *State) count(i int, row *heddle.Visit) {
	st := &s.steps[i]
	if st.first == 0 {
		s.started++
		st.first = s.started
	}
	if st.visits == nil {
		st.visits = map[int]int{}
	}
	st.visits[row.Index] = row.Nth
	st.decided = true
}

// restoreArrivals finds which edges into steps that still wait had an arrival.
func (s *State) restoreArrivals(visits []heddle.Visit) {
	for i := range visits {
		row := &visits[i]
		from := s.g.index[row.Step]
		if row.State != heddle.VisitSettled || row.Outcome == heddle.Skipped && !s.g.once(from) {
			continue // not over, or an arrival that was dropped and fired nothing
		}
		for _, ei := range s.g.out[from] {
			e := &s.g.edges[ei]
			if e.to < 0 || s.steps[e.to].decided || s.met[ei] || !e.on.has(row.Outcome) || !s.g.gatesAll(e.to) {
				continue
			}
			s.met[ei] = true
			s.steps[e.to].met++
		}
	}
}

// restoreFolds gives the open visits their contexts, folded along their paths.
func (s *State) restoreFolds(visits []heddle.Visit) error {
	start, err := s.startFold()
	if err != nil || start == nil {
		return err
	}
	byNo := numbered(visits)
	for _, v := range s.liveSorted() {
		if v.fold, err = s.foldAfter(v.Cause, v.No, byNo, start); err != nil {
			return err
		}
	}
	return nil
}

func numbered(visits []heddle.Visit) map[int]*heddle.Visit {
	byNo := make(map[int]*heddle.Visit, len(visits))
	for i := range visits {
		byNo[visits[i].No] = &visits[i]
	}
	return byNo
}

// foldAfter is the context after the visit with the number last, folded along the
// path to it, for the visit with the number of; 0 is the start of the run. Nil if the
// flow hands none on.
func (s *State) foldAfter(last, of int, byNo map[int]*heddle.Visit, start *fold) (*fold, error) {
	if start == nil {
		return nil, nil
	}
	var path []*heddle.Visit
	for no := last; no != 0; no = byNo[no].Cause {
		if byNo[no] == nil || len(path) > len(byNo) {
			return nil, fmt.Errorf("run %s: the path to visit %d is broken at visit %d", s.run.ID, of, no)
		}
		path = append(path, byNo[no])
	}
	at := start
	for i := len(path) - 1; i >= 0; i-- {
		if path[i].State != heddle.VisitSettled || path[i].Outcome == heddle.Skipped {
			continue // the group around it, or nothing that it could have added
		}
		var err error
		if at, err = at.then(s.g.step(s.g.index[path[i].Step]), path[i]); err != nil {
			return nil, err
		}
	}
	return at, nil
}

// restoreQueues puts the open visits where they wait.
func (s *State) restoreQueues() error {
	visits := s.liveSorted()
	for _, v := range visits {
		if v.State == heddle.VisitQueued || s.g.isGroup(v.step) {
			continue
		}
		step := s.g.step(v.step)
		if s.matrixOf(v.step) != nil {
			v.let = true
			s.steps[s.g.parent[v.step]].let++
		}
		if step.Key != "" && step.Busy != heddle.BusyAllow {
			if s.keys[step.Key] == nil {
				s.keys[step.Key] = &keyState{}
			}
			s.keys[step.Key].holders++
			v.holds = true
		}
		switch v.State {
		case heddle.VisitReady:
			s.queue(v)
		case heddle.VisitBackoff:
			heap.Push(&s.timers, timer{due: v.Due, visit: v.No})
		case heddle.VisitQueued, heddle.VisitActive, heddle.VisitSettled:
		}
	}
	for _, v := range visits {
		if v.State == heddle.VisitQueued {
			if err := s.admit(v); err != nil {
				return err
			}
		}
	}
	return nil
}

// recover returns the effects of what is open. An attempt that was not
// acknowledged is started again, which the executor does once; one that was is
// adopted, and never started again.
func (s *State) recover() ([]Effect, error) {
	var effects []Effect
	for _, v := range s.liveSorted() {
		if v.attempt == nil {
			continue
		}
		if v.attempt.Status == heddle.StatusJobDeployed {
			start, err := s.startEffect(v)
			if err != nil {
				return nil, err
			}
			start.Again = true
			effects = append(effects, start)
		} else {
			env, from := s.env(v)
			_ = s.fetch(v, env, from) // it has started: what matters is what else it was given
			effects = append(effects, Adopt{Attempt: *v.attempt, From: from})
		}
		if v.attempt.Stop != "" {
			effects = append(effects, Stop{Attempt: v.attempt.ID, Reason: v.attempt.Stop})
		}
	}
	return effects, nil
}
