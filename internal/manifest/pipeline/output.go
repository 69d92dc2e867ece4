package pipeline

import (
	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
)

// outputEnv is the variable that names the file into which a job writes its outputs.
const outputEnv = "HEDDLE_OUTPUT"

func messageFile() *heddle.MessageFile { return &heddle.MessageFile{Env: outputEnv} }

// outputRef is a job's wish for an output of another job.
type outputRef struct {
	job  string
	node *doc.Node // where it stands
}

// maxUpstream bounds how many dependencies are followed to find out which jobs are
// over when others ask for their outputs.
const maxUpstream = 2_000_000

// checkOutputs faults outputs that cannot be there when they are asked for, and has
// the jobs that are asked write theirs.
func (r *reader) checkOutputs() {
	room := maxUpstream
	for i := range r.jobs {
		j := &r.jobs[i]
		if len(j.takes) == 0 {
			continue
		}
		direct := map[string]bool{}
		for _, n := range j.needs {
			direct[n.job] = true
		}
		var before map[int]bool // the jobs that it waits for, directly or not; nil: not known yet
		for _, ref := range j.takes {
			of, ok := r.index[ref.job]
			switch {
			case !ok:
				r.d.Faults.Errorf(ref.node, "there is no job %q%s", ref.job, doc.DidYouMean(ref.job, r.names))
				continue
			case of == i:
				r.d.Faults.Errorf(ref.node, "%q is this job itself: what it puts out is there when it has ended", ref.job)
				continue
			}
			if work := r.jobs[of].work; work != nil {
				work.Message = messageFile()
			}
			if direct[ref.job] || j.finally && !r.jobs[of].finally { // those are over by then
				continue
			}
			if before == nil {
				before = r.upstream(i, &room)
			}
			switch {
			case room < 0:
				r.d.Faults.Errorf(ref.node, "so many jobs ask for outputs of jobs far before them that it cannot be checked")
				return
			case !before[of]:
				r.d.Faults.Errorf(ref.node, "the job %q does not wait for %q: add {job: %s} to its dependsOn", j.name, ref.job, ref.job)
			}
		}
	}
}

// upstream returns the jobs that a job waits for. It takes a step from the room for
// each dependency.
func (r *reader) upstream(i int, room *int) map[int]bool {
	seen := map[int]bool{}
	queue := []int{i}
	for len(queue) > 0 && *room >= 0 {
		at := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, n := range r.jobs[at].needs {
			*room--
			if to, ok := r.index[n.job]; ok && !seen[to] {
				seen[to] = true
				queue = append(queue, to)
			}
		}
	}
	return seen
}
