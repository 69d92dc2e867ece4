// Package pipeline reads chainr's pipelines: jobs that wait for those that they
// depend on, each with the outcome that it wants of them. The keys kind, jobs,
// image, run, dependsOn, job, conditions and failure and their meaning are
// chainr's; as there, unknown keys are errors at every level. The keys that Heddle
// adds are told with the functions that read them.
package pipeline

import (
	"slices"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/manifest/params"
	"github.com/heddle/heddle/internal/manifest/sharing"
)

const defaultName = "pipeline"

// Options choose and fill in what a pipeline leaves open.
type Options struct {
	// Params are the values of the document's params, by name.
	Params map[string]string
	// Name is the name of a pipeline that has none itself, its file's perhaps; ""
	// stands for "pipeline".
	Name string
	// Dir is the folder that the document's paths are relative to; "": they must be
	// absolute.
	Dir string
}

// Result is what a pipeline says.
type Result struct {
	Flow     *heddle.Flow
	Params   []params.Param
	Warnings []doc.Fault
}

// Is reports whether the document says that it is a pipeline.
func Is(d *doc.Document) bool {
	kind := d.Root.Get("kind")
	return kind != nil && kind.Kind == doc.String && kind.Text == string(heddle.KindPipeline)
}

// Decode makes the flow of a pipeline. Errors are of [heddle.CodeInvalid] and tell
// all faults at once. Other than with chainr, a dependency that does not exist, a
// job that depends on itself, a name that a job cannot have and an empty image are
// faults of the document.
//
// Keys of a pipeline that chainr does not have: name (default: see [Options]);
// params, see [params.Param], whose values fill image, run, workdir and the values
// of env and of matrices; deadline, a duration that bounds the run; maxParallel,
// how many jobs may run at once (0: no bound); env, variables of every job; shared
// (true: the jobs of a run have a directory in common); concurrency, see
// [sharing.Concurrency].
func Decode(d *doc.Document, o Options) (*Result, error) {
	d.Strict = true
	r := &reader{d: d, dir: o.Dir, top: d.Object(d.Root), index: map[string]int{}, room: doc.MaxJSON, combinations: maxCombinationsInAll}
	flow := r.read(o)
	if err := d.Faults.Err(); err != nil {
		return nil, err
	}
	return &Result{Flow: flow, Params: r.params.Declared(), Warnings: d.Faults.All()}, nil
}

// reader holds what has been read of a pipeline.
type reader struct {
	d      *doc.Document
	top    *doc.Object
	params *params.Set
	dir    string
	common variables // of all jobs
	jobs   []job
	index  map[string]int // job name -> position
	names  []string
	// room is how many bytes of variables, and combinations how many entries of
	// matrices, the flow may still have: both can be much more than the document's.
	room         int
	combinations int
}

func (r *reader) read(o Options) *heddle.Flow {
	top := r.top
	r.checkKind()
	f := &heddle.Flow{
		Kind:        heddle.KindPipeline,
		Name:        top.String("name", o.Name),
		Deadline:    top.Duration("deadline"),
		MaxParallel: top.Int("maxParallel"),
		Shared:      top.Bool("shared"),
		Start:       []string{},
		Source:      r.d.Root.JSON(),
	}
	if f.Name == "" {
		f.Name = defaultName
	}
	r.params = params.Read(r.d, top, "pipeline", o.Params)
	f.Concurrency = sharing.Concurrency(r.d, top, r.params)
	r.common = r.readSources(top.Object("env"), nil)
	if top.Node().Get("jobs") == nil {
		r.d.Faults.Errorf(top.Node(), "a pipeline needs the key jobs: a map of job names to jobs")
	}
	for i, field := range top.Object("jobs").Fields() {
		j := r.readJob(field)
		r.jobs = append(r.jobs, j)
		r.index[j.name] = i
		r.names = append(r.names, j.name)
	}
	top.Rest()
	r.checkDependencies()
	r.checkOutputs()
	for i := range r.jobs {
		r.add(f, &r.jobs[i])
	}
	return f
}

func (r *reader) checkKind() {
	kind := r.top.StringOnly("kind")
	switch n := r.top.Node().Get("kind"); {
	case n == nil:
		r.d.Faults.Errorf(r.top.Node(), "a pipeline needs the key kind with the value %s", heddle.KindPipeline)
	case n.Kind == doc.String && kind != string(heddle.KindPipeline):
		r.d.Faults.Errorf(n, "must be %s, is %q", heddle.KindPipeline, kind)
	}
}

// add puts a job into the flow. One with a matrix becomes a group, which has the
// job's name and all that others see of it, with a single member that does the work.
func (r *reader) add(f *heddle.Flow, j *job) {
	step := heddle.Step{
		Name: j.name, Gate: heddle.GateAll, Work: j.work,
		Timeout: j.timeout, Retry: j.retry, Result: heddle.ResultExitCode,
		Tolerate: j.tolerate, Finally: j.finally, Pool: j.pool, Weight: j.weight,
	}
	if j.matrix == nil {
		f.Steps = append(f.Steps, step)
	} else {
		member := step
		member.Name, member.Group, member.Tolerate, member.Finally = j.name+"[]", j.name, false, false
		group := heddle.Step{Name: j.name, Gate: heddle.GateAll, Matrix: j.matrix, Tolerate: j.tolerate, Finally: j.finally}
		f.Steps = append(f.Steps, group, member)
	}
	if len(j.needs) == 0 && !j.finally {
		f.Start = append(f.Start, j.name)
	}
	for _, need := range j.needs {
		f.Edges = append(f.Edges, heddle.Edge{From: need.job, To: j.name, On: r.wanted(need)})
	}
}

// wanted returns the outcomes that meet a dependency.
func (r *reader) wanted(n need) []heddle.Outcome {
	switch from, ok := r.index[n.job]; {
	case len(n.on) > 0:
		return n.on
	case ok && r.jobs[from].tolerate:
		return slices.DeleteFunc(heddle.Outcomes(), func(o heddle.Outcome) bool { return o == heddle.Skipped })
	}
	return []heddle.Outcome{heddle.Success}
}

// spend takes bytes from the room that variables have; false when it is used up.
func (r *reader) spend(n *doc.Node, bytes int) bool {
	if r.room < 0 {
		return false
	}
	if r.room -= bytes; r.room < 0 {
		r.d.Faults.Errorf(n, "with this job the variables of all jobs and of their matrices have more than %d bytes", doc.MaxJSON)
		return false
	}
	return true
}

// job is a job as the document has it.
type job struct {
	name     string
	work     *heddle.Work
	needs    []need
	timeout  time.Duration
	retry    heddle.Retry
	tolerate bool
	finally  bool
	matrix   *heddle.Matrix
	takes    []outputRef
	pool     string
	weight   int
}

// need is an entry of a job's dependsOn.
type need struct {
	job  string
	node *doc.Node        // of the job's name
	on   []heddle.Outcome // empty: there is no condition
}
