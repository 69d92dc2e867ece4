// Package jobfile reads kog's job files: a state machine of steps, whose outcomes
// name the next step, and the actions that they run. The keys and their meaning
// are kog's (version 2.0.2); the keys that Heddle adds are told with the functions
// that read them.
package jobfile

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/manifest/params"
	"github.com/heddle/heddle/internal/manifest/sharing"
)

// The workflow and step that a job file means when it names none.
const (
	DefaultWorkflow = "run"
	DefaultStep     = "start"
)

// Options choose and fill in what a job file leaves open.
type Options struct {
	// Workflow and Step override current_workflow and current_step.
	Workflow, Step string
	// Params are the values of the document's params, by name.
	Params map[string]string
	// Context is what the submission will lay over the job's context, as an object.
	// It only spares warnings of context_paths that it provides.
	Context json.RawMessage
	// Dir is the folder that the document's paths are relative to; "": they must be
	// absolute.
	Dir string
}

// Result is what a job file says.
type Result struct {
	Flow *heddle.Flow
	// CorrelationID is the job's own, for the run's input; "" for none.
	CorrelationID string
	Params        []params.Param
	// Needs are the context paths that the reached steps require, in the order of
	// the document; 10,000 at most, and none of a workflow of more than 2,000 steps.
	Needs    []Need
	Warnings []doc.Fault
}

// Is reports whether the document looks like a job file.
func Is(d *doc.Document) bool {
	return d.Root.Get("workflows") != nil || d.Root.Get("actions") != nil
}

// Parse reads a job file; see [Decode].
func Parse(file string, data []byte, o Options) (*Result, error) {
	d, err := doc.Parse(file, data)
	if err != nil {
		return nil, fmt.Errorf("reading a job file: %w", err)
	}
	return Decode(d, o)
}

// Decode makes the flow of the chosen workflow. Errors are of
// [heddle.CodeInvalid] and tell all faults at once. References to actions and
// steps that do not exist only give warnings: the fault shows when they are
// reached, as an abort.
//
// Keys of the job that kog does not have: deadline, a duration that bounds the
// run; concurrency, see [sharing.Concurrency]; params, see [params.Param], whose values fill an action's image, version,
// command, entrypoint and values of env, and stand in the context under params.
func Decode(d *doc.Document, o Options) (*Result, error) {
	r := &reader{d: d, job: d.Object(d.Root), options: o}
	r.read()
	if err := d.Faults.Err(); err != nil {
		return nil, err
	}
	r.check()
	return &Result{Flow: r.flow(), CorrelationID: r.correlationID, Params: r.params.Declared(), Needs: r.needs, Warnings: d.Faults.All()}, nil
}

// reader holds what has been read of a job file.
type reader struct {
	d       *doc.Document
	job     *doc.Object
	options Options

	name            string
	workflow, start string
	stopOnFailure   bool
	deadline        time.Duration
	correlationID   string
	context         map[string]any
	params          *params.Set
	concurrency     *heddle.Concurrency
	actions         map[string]*action
	workflows       []workflow
	needs           []Need
}

type workflow struct {
	name  string
	steps []step
}

func (r *reader) read() {
	job := r.job
	r.name = job.String("name", "")
	if r.name == "" {
		r.fail("name", "a job needs a name")
	}
	job.String("description", "")
	job.Get("status") // written by kog into notifications, ignored here
	r.workflow = job.String("current_workflow", DefaultWorkflow)
	r.start = job.String("current_step", DefaultStep)
	r.stopOnFailure = job.Bool("stop_on_failure")
	r.deadline = job.Duration("deadline")
	r.correlationID = job.String("correlation_id", "")
	r.context = map[string]any{}
	if n := job.Object("context").Node(); len(n.Fields) > 0 {
		r.context, _ = n.Value().(map[string]any)
	}
	r.params = params.Read(r.d, job, "job", r.options.Params)
	r.paramsToContext()
	r.concurrency = sharing.Concurrency(r.d, job, r.params)
	r.readActions()
	for _, f := range job.Object("workflows").Fields() {
		r.workflows = append(r.workflows, workflow{name: f.Key, steps: r.readSteps(f.Value)})
	}
	r.choose()
	job.Rest()
}

// paramsToContext puts the values of the params into the context.
func (r *reader) paramsToContext() {
	if len(r.params.Declared()) == 0 {
		return
	}
	has, present := r.context["params"]
	object, isMap := has.(map[string]any)
	if present && !isMap {
		r.d.Faults.Errorf(r.job.Node().Get("context").Get("params"), "must be a map: the job's params are put there")
		return
	}
	if object == nil {
		object = map[string]any{}
	}
	maps.Copy(object, r.params.Values())
	r.context["params"] = object
}

// fail records an error at a key of the job, or at the job when the key is absent.
func (r *reader) fail(key, format string, args ...any) {
	n := r.job.Node().Get(key)
	if n == nil {
		n = r.job.Node()
	}
	r.d.Faults.Errorf(n, format, args...)
}

// choose finds the workflow to run and the step to begin with.
func (r *reader) choose() {
	if r.options.Workflow != "" {
		r.workflow = r.options.Workflow
	}
	if r.options.Step != "" {
		r.start = r.options.Step
	}
	if len(r.workflows) == 0 {
		r.fail("workflows", "a job needs workflows: a map of workflow names to maps of steps")
		return
	}
	w := r.chosen()
	if w == nil {
		names := make([]string, len(r.workflows))
		for i, other := range r.workflows {
			names[i] = other.name
		}
		r.fail("current_workflow", "there is no workflow %q%s", r.workflow, doc.DidYouMean(r.workflow, names))
		return
	}
	if names := w.names(); !slices.Contains(names, r.start) {
		r.fail("current_step", "the workflow %q has no step %q to begin with%s", w.name, r.start, doc.DidYouMean(r.start, names))
	}
}

func (r *reader) chosen() *workflow {
	for i := range r.workflows {
		if r.workflows[i].name == r.workflow {
			return &r.workflows[i]
		}
	}
	return nil
}

func (w *workflow) names() []string {
	names := make([]string, len(w.steps))
	for i, s := range w.steps {
		names[i] = s.name
	}
	return names
}

// flow builds the graph. It is called when there are no errors.
func (r *reader) flow() *heddle.Flow {
	w := r.chosen()
	f := &heddle.Flow{
		Kind:        heddle.KindJob,
		Name:        r.name,
		Workflow:    w.name,
		Start:       []string{r.start},
		Deadline:    r.deadline,
		Concurrency: r.concurrency,
		Context:     r.startContext(),
		Source:      r.d.Root.JSON(),
	}
	for _, s := range w.steps {
		f.Steps = append(f.Steps, r.step(s))
		f.Edges = append(f.Edges, s.edges(r.stopOnFailure)...)
	}
	return f
}

func (r *reader) startContext() json.RawMessage {
	if r.correlationID != "" {
		r.context["correlation_id"] = r.correlationID
	}
	data, err := json.Marshal(r.context)
	if err != nil { // it came from a document, so it has a JSON form
		return json.RawMessage("{}")
	}
	return data
}
