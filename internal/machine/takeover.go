package machine

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/heddle/heddle"
)

// takeOver begins a retry: the settled rows are taken over as they are, the others
// are opened, and steps that wait for several hear of what was taken over.
func (s *State) takeOver(rows []heddle.Visit, start *fold, now time.Time) error {
	byNo := numbered(rows)
	for i := range rows {
		row := &rows[i]
		if row.No != i+1 {
			return fmt.Errorf("run %s: visit %d of a plan has the number %d", s.run.ID, i+1, row.No)
		}
		if row.State == heddle.VisitSettled {
			if err := s.restoreVisit(row); err != nil {
				return err
			}
			s.out.visit(row)
			continue
		}
		at, ok := s.g.index[row.Step]
		if !ok {
			return fmt.Errorf("run %s: a plan opens step %q, which its flow does not have", s.run.ID, row.Step)
		}
		s.count(at, row)
	}
	s.run.Visits = len(rows)
	for i := range rows {
		if rows[i].State == heddle.VisitSettled {
			continue
		}
		v := &visit{step: s.g.index[rows[i].Step], Visit: rows[i]}
		v.Opened = now
		var err error
		if v.fold, err = s.foldAfter(v.Cause, v.No, byNo, start); err != nil {
			return err
		}
		v.lead = s.leadTo(v, byNo)
		if err := s.enter(v, 0, now); err != nil {
			return err
		}
	}
	if s.only {
		return nil
	}
	return s.fireTaken(rows, byNo, start)
}

// fireTaken sends the outcomes of visits that were taken over to steps that wait for
// several, in the order in which they once were settled. What else they led to is
// taken over or opened by now.
func (s *State) fireTaken(rows []heddle.Visit, byNo map[int]*heddle.Visit, start *fold) error {
	var taken []*heddle.Visit
	for i := range rows {
		if rows[i].State == heddle.VisitSettled {
			taken = append(taken, &rows[i])
		}
	}
	slices.SortStableFunc(taken, func(a, b *heddle.Visit) int {
		return cmp.Or(a.Settled.Compare(b.Settled), a.No-b.No)
	})
	for _, row := range taken {
		from := s.g.index[row.Step]
		p := s.g.parent[from]
		if row.Outcome == heddle.Skipped && !s.g.once(from) || p >= 0 && s.groupVisit(p) == nil {
			continue
		}
		var after *fold
		for _, ei := range s.g.out[from] {
			e := &s.g.edges[ei]
			if e.to < 0 || !s.g.gatesAll(e.to) || s.steps[e.to].decided {
				continue
			}
			if after == nil {
				var err error
				if after, err = s.foldAfter(row.No, row.No, byNo, start); err != nil {
					return err
				}
			}
			s.work.fires = append(s.work.fires, fire{
				edge: ei, outcome: row.Outcome, origin: origin{cause: row.No, fold: after, lead: s.leadOf(row)},
			})
		}
	}
	return nil
}
