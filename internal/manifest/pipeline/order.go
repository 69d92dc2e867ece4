package pipeline

import (
	"fmt"
	"strings"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
)

// checkDependencies faults dependencies that cannot be: on jobs that do not exist,
// between finally jobs and others, in circles. It warns of those that cannot be met.
func (r *reader) checkDependencies() {
	next := make([][]int, len(r.jobs)) // by job: the jobs that its needs name, -1: none
	for i := range r.jobs {
		j := &r.jobs[i]
		for _, n := range j.needs {
			to, ok := r.index[n.job]
			if !ok {
				to = -1
				r.d.Faults.Errorf(n.node, "there is no job %q%s", n.job, doc.DidYouMean(n.job, r.names))
			}
			next[i] = append(next[i], to)
			switch {
			case !ok || r.jobs[to].finally == j.finally:
			case j.finally:
				r.d.Faults.Errorf(n.node, "a finally job can depend on finally jobs only, and %q is none", n.job)
			default:
				r.d.Faults.Errorf(n.node, "%q is a finally job: only finally jobs can depend on it", n.job)
			}
		}
		r.warnUnmet(j)
	}
	r.findCycles(next)
}

// warnUnmet warns of a job with entries for one dependency that no outcome of it
// can meet together. As with chainr such a job is always skipped.
func (r *reader) warnUnmet(j *job) {
	if len(j.needs) < 2 {
		return
	}
	left := map[string]map[heddle.Outcome]bool{}
	for _, n := range j.needs {
		now := map[heddle.Outcome]bool{}
		before, again := left[n.job]
		for _, o := range r.wanted(n) {
			if !again || before[o] {
				now[o] = true
			}
		}
		left[n.job] = now
		if len(now) == 0 && len(before) > 0 {
			r.d.Faults.Warnf(n.node, "no outcome of %q meets all the entries for it: the job %q is always skipped", n.job, j.name)
		}
	}
}

// findCycles faults each dependency that closes a circle. It goes depth first and
// keeps its own path, and so takes time in proportion to the document.
func (r *reader) findCycles(next [][]int) {
	const unseen, done = -1, -2
	at := make([]int, len(next)) // where on the path a job is
	for i := range at {
		at[i] = unseen
	}
	taken := make([]int, len(next)) // how many of a job's needs have been followed
	var path []int
	for first := range next {
		if at[first] != unseen {
			continue
		}
		at[first], path = 0, append(path[:0], first)
		for len(path) > 0 {
			i := path[len(path)-1]
			if taken[i] == len(next[i]) {
				at[i], path = done, path[:len(path)-1]
				continue
			}
			need := r.jobs[i].needs[taken[i]]
			to := next[i][taken[i]]
			taken[i]++
			switch {
			case to < 0 || at[to] == done:
			case at[to] == unseen:
				at[to], path = len(path), append(path, to)
			default:
				r.d.Faults.Errorf(need.node, "the jobs depend on each other in a circle: %s", circle{r.names, path[at[to]:]})
			}
		}
	}
}

// circle is a path through the jobs that ends where it begins. It is worked out
// when it is printed: a document may have more circles than faults are kept.
type circle struct {
	names []string
	path  []int
}

// String names the jobs in the order in which they depend on each other, of a
// long circle those at its beginning and its end.
func (c circle) String() string {
	const most, ends = 50, 10
	var b strings.Builder
	for k, i := range c.path {
		switch {
		case len(c.path) <= most || k < ends || k >= len(c.path)-ends:
			b.WriteString(c.names[i] + " -> ")
		case k == ends:
			fmt.Fprintf(&b, "(%d more) -> ", len(c.path)-2*ends)
		}
	}
	return b.String() + c.names[c.path[0]]
}
