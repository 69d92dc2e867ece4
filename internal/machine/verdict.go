package machine

import (
	"maps"
	"slices"

	"github.com/heddle/heddle"
)

// verdict is the outcome of a run that was not stopped: that of the first step
// that did not end well and is not tolerated.
func (s *State) verdict() (heddle.Outcome, string) {
	top := make([]int, 0, len(s.steps))
	for i := range s.steps {
		if s.g.parent[i] < 0 {
			top = append(top, i)
		}
	}
	outcome, message := s.verdictOf(top)
	if outcome == heddle.Success && message == "" {
		message = s.last.message
	}
	return outcome, message
}

// verdictOf looks at the latest outcome of each step, not skipped ones: first
// those with gate all in the order of the document, then those with gate any in
// the order in which they first started, a matrix member's in order of index.
func (s *State) verdictOf(steps []int) (heddle.Outcome, string) {
	order := make([]int, 0, len(steps))
	for _, i := range steps {
		if st := &s.steps[i]; len(st.latest) > 0 && !s.g.step(i).Tolerate {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return s.rank(a) - s.rank(b) })
	for _, i := range order {
		latest := s.steps[i].latest
		for _, index := range slices.Sorted(maps.Keys(latest)) {
			if end := latest[index]; end.outcome != heddle.Success {
				return end.outcome, end.message
			}
		}
	}
	return heddle.Success, ""
}

// rank is 0 for steps that keep the document's order, else their place in time.
func (s *State) rank(i int) int {
	if s.g.gatesAll(i) {
		return 0
	}
	return s.steps[i].first
}
