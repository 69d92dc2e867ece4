package machine

import (
	"time"

	"github.com/heddle/heddle"
)

// enterGroup opens a group's visit and the members that begin it.
func (s *State) enterGroup(v *visit, now time.Time) error {
	s.track(v)
	s.steps[v.step].group = v.No
	if err := s.move(v, "enter"); err != nil {
		return err
	}
	s.out.visit(&v.Visit)
	s.work.groups = append(s.work.groups, v.step) // it may have no members at all
	count := 1
	if m := s.g.step(v.step).Matrix; m != nil {
		count = len(m.Env)
	}
	for index := range count {
		for _, i := range s.g.entries[v.step] {
			if s.steps[i].visits[index] > 0 {
				continue // taken over, in a retry
			}
			if err := s.openStep(i, index, origin{cause: v.No, fold: v.fold, lead: v.lead}, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// closeGroup settles a group whose members have all settled.
func (s *State) closeGroup(i int, now time.Time) error {
	if s.steps[i].live > 0 {
		return nil
	}
	v := s.groupVisit(i)
	if v == nil {
		return nil
	}
	outcome, message := s.verdictOf(s.g.members[i])
	return s.settle(v, judgement{outcome: outcome, message: message}, now)
}

// groupVisit returns the open visit of a group; it has one at most.
func (s *State) groupVisit(i int) *visit {
	no := s.steps[i].group
	if v := s.live[no]; v != nil && v.step == i {
		return v
	}
	return nil
}

func (s *State) matrixOf(i int) *heddle.Matrix {
	if p := s.g.parent[i]; p >= 0 {
		return s.g.step(p).Matrix
	}
	return nil
}

// releaseMatrix lets the next of a limited matrix in when one has settled.
func (s *State) releaseMatrix(v *visit) error {
	if !v.let {
		return nil
	}
	group := &s.steps[s.g.parent[v.step]]
	group.let--
	for len(group.waiting) > 0 && !group.failed {
		w := s.live[group.waiting[0]]
		group.waiting = group.waiting[1:]
		if w != nil && w.State == heddle.VisitQueued {
			return s.admit(w)
		}
	}
	return nil
}

// notRun is the message of those of a matrix that fail-fast kept from running.
const notRun = "not run: another of the matrix failed"

// failFast stops the rest of a matrix that asks for it.
func (s *State) failFast(group int, now time.Time) error {
	m := s.g.step(group).Matrix
	if m == nil || !m.FailFast || s.steps[group].failed {
		return nil
	}
	s.steps[group].failed = true
	for _, v := range s.liveSorted() {
		if s.g.parent[v.step] != group {
			continue
		}
		if v.attempt != nil {
			s.tellStop(v, "another of the matrix failed")
			continue
		}
		if err := s.settle(v, judgement{outcome: heddle.Skipped, message: notRun}, now); err != nil {
			return err
		}
	}
	return nil
}

// failing reports whether a visit belongs to a matrix that is being stopped.
func (s *State) failing(v *visit) bool {
	p := s.g.parent[v.step]
	return p >= 0 && s.steps[p].failed && !s.stopping(v)
}
