// Package taskdef reads rego's task definitions: an image, a command and what the
// Job that runs them is to be like. The keys and their meaning are rego's: letters
// of keys may be small or capital, and unknown keys are ignored.
package taskdef

import (
	"encoding/json"
	"strings"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/manifest/podspec"
)

// Step is the name of the only step.
const Step = "task"

// Options fill in what a task definition leaves open.
type Options struct {
	// Name is the flow's name if the definition has none, its file's perhaps; ""
	// stands for "task".
	Name string
}

// Result is what a task definition says.
type Result struct {
	Flow     *heddle.Flow
	Warnings []doc.Fault
}

// Is reports whether the document looks like a task definition.
func Is(d *doc.Document) bool {
	for _, f := range d.Root.Fields {
		switch f.Key {
		case "kind", "apiVersion", "workflows", "actions", "jobs":
			return false
		}
	}
	return get(d.Root, "image") != nil || get(d.Root, "cmd") != nil || get(d.Root, "execution_interval") != nil
}

// Decode makes the flow of a task definition. Errors are of [heddle.CodeInvalid] and
// tell all faults at once. Other than with rego, which finds out when it runs,
// metadata that is not of the form of a Job's spec is a fault.
//
// The flow has one step, which runs once: execution_interval is for the server, and
// gives a warning. What metadata says of retries (backoffLimit, 6 if it does not) and
// of the longest time (activeDeadlineSeconds) holds on every executor.
func Decode(d *doc.Document, o Options) (*Result, error) {
	r := &reader{d: d, top: d.Object(d.Root)}
	work := &heddle.Work{
		Image:      r.text("image"),
		Entrypoint: r.command(),
		Kubernetes: &heddle.Kubernetes{Namespace: r.text("namespace")},
	}
	name := r.text("name")
	if strings.TrimSpace(work.Image) == "" {
		d.Faults.Errorf(or(get(d.Root, "image"), d.Root), "a task definition needs an image, such as busybox:1.36")
	}
	job := r.metadata(work.Kubernetes)
	if k := work.Kubernetes; k.Namespace == "" {
		k.Namespace = "default"
	}
	work.Kubernetes.JobName = jobName(name, work.Image)
	if n := r.get("execution_interval"); n != nil {
		r.interval(n)
	}
	// A definition as the server gives it is one too; these say nothing about a run.
	for _, key := range []string{
		"id", "organization_id", "latest_status", "execution_counter", "next_execution_time", "enabled", "deleted", "CreatedAt", "UpdatedAt", "DeletedAt",
	} {
		r.get(key)
	}
	r.top.Rest()
	if err := d.Faults.Err(); err != nil {
		return nil, err
	}
	for _, n := range []string{o.Name, Step} {
		if name == "" {
			name = n
		}
	}
	return &Result{Warnings: d.Faults.All(), Flow: &heddle.Flow{
		Kind: heddle.KindTask, Name: name, Start: []string{Step}, Deadline: job.Deadline, Source: d.Root.JSON(),
		Steps: []heddle.Step{{Name: Step, Work: work, Result: heddle.ResultExitCode, Retry: job.Retry}},
	}}, nil
}

type reader struct {
	d   *doc.Document
	top *doc.Object
}

// get returns the value of a key however its letters are written; as with rego the
// last one counts. Nil for none and for null.
func (r *reader) get(key string) *doc.Node {
	r.top.Get(key)
	for _, f := range r.top.Node().Fields {
		if strings.EqualFold(f.Key, key) {
			r.top.Get(f.Key)
		}
	}
	return get(r.top.Node(), key)
}

func get(n *doc.Node, key string) *doc.Node {
	var found *doc.Node
	for _, f := range n.Fields {
		if strings.EqualFold(f.Key, key) {
			found = f.Value
		}
	}
	if found == nil || found.Kind == doc.Null {
		return nil
	}
	return found
}

func or(n, other *doc.Node) *doc.Node {
	if n == nil {
		return other
	}
	return n
}

func (r *reader) text(key string) string {
	n := r.get(key)
	if n == nil {
		return ""
	}
	if n.Kind != doc.String {
		r.d.Faults.Errorf(n, "must be a string")
		return ""
	}
	return n.Text
}

// command is cmd, which takes the place of the image's ENTRYPOINT.
func (r *reader) command() []string {
	n := r.get("cmd")
	if n == nil {
		return nil
	}
	if n.Kind != doc.List {
		r.d.Faults.Errorf(n, "must be a list of strings")
		return nil
	}
	var words []string
	for _, item := range n.Items {
		if item.Kind != doc.String {
			r.d.Faults.Errorf(item, "must be a string: quotes make it one")
			continue
		}
		words = append(words, item.Text)
	}
	return words
}

func (r *reader) interval(n *doc.Node) {
	var seconds int64
	if n.Kind != doc.Number || json.Unmarshal(n.JSON(), &seconds) != nil {
		r.d.Faults.Errorf(n, "must be a whole number of seconds")
		return
	}
	if seconds > 0 {
		r.d.Faults.Warnf(n, "a definition runs once here; every %d seconds it would in a server", seconds)
	}
}

// metadata reads the fields of a Job's spec; what users keep beside them for
// themselves is ignored, as with rego.
func (r *reader) metadata(k *heddle.Kubernetes) podspec.Job {
	n := r.get("metadata")
	var spec batchv1.JobSpec
	if n == nil {
		n = &doc.Node{Kind: doc.Map}
	}
	if n.Kind != doc.Map {
		r.d.Faults.Errorf(n, "must be a map: the fields of a Job's spec")
		return podspec.Job{}
	}
	if !podspec.DecodeLoosely(r.d, n, &spec) {
		return podspec.Job{}
	}
	job := podspec.ReadJob(r.d, n, &spec)
	limit := int32(job.Retry.Limit)
	spec.BackoffLimit = &limit // as the API server would have it
	k.Only = job.Only
	k.JobSpec = podspec.JobFields(&spec)
	return job
}

// jobName is the name that rego gives the Job, without the ID of the execution.
func jobName(name, image string) string {
	if name != "" {
		image = name + "-" + image
	}
	return strings.NewReplacer(":", "-", ".", "-", "_", "-").Replace(image)
}
