// Package reactivejob reads ReactiveJobs (batch.cs.sap.com/v1alpha1), the manifests
// of reactivejob-operator: here the Job of the template runs once.
package reactivejob

import (
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/manifest/podspec"
)

// Step is the name of the only step.
const Step = "job"

const (
	group      = "batch.cs.sap.com"
	apiVersion = group + "/v1alpha1"
)

// Result is what a ReactiveJob says.
type Result struct {
	Flow     *heddle.Flow
	Warnings []doc.Fault
}

// Is reports whether the document is of the API group of ReactiveJobs.
func Is(d *doc.Document) bool {
	v := d.Root.Get("apiVersion")
	return v != nil && strings.HasPrefix(v.Text, group+"/")
}

// Decode makes the flow of a ReactiveJob. Errors are of [heddle.CodeInvalid] and tell
// all faults at once; among them is what the operator does not admit: a template with
// a name or a namespace.
//
// The flow has one step. Kubernetes gets the template as it is; what other executors
// run is its first container, with the retries and the longest times of the Job.
func Decode(d *doc.Document) (*Result, error) {
	top := d.Object(d.Root)
	checkWord(d, top, "apiVersion", apiVersion)
	checkWord(d, top, "kind", string(heddle.KindReactiveJob))
	meta := top.Object("metadata")
	name := meta.StringOnly("name")
	if name == "" {
		name = strings.TrimRight(meta.StringOnly("generateName"), "-")
	}
	if name == "" {
		d.Faults.Errorf(or(d.Root.Get("metadata"), d.Root), "a ReactiveJob needs a name: metadata.name")
	}
	work := &heddle.Work{}
	var job podspec.Job
	var pod podspec.Pod
	spec := top.Object("spec")
	switch template := spec.Get("jobTemplate"); {
	case template == nil:
		d.Faults.Errorf(or(d.Root.Get("spec"), d.Root), "a ReactiveJob needs the key spec.jobTemplate")
	case template.Kind != doc.Map:
		d.Faults.Errorf(template, "must be a map")
	default:
		job, pod = readTemplate(d, template)
		*work = pod.Work
		work.Kubernetes = &heddle.Kubernetes{
			JobName: name, Namespace: meta.StringOnly("namespace"), Template: template.JSON(), Only: slices.Concat(job.Only, pod.Only),
		}
	}
	spec.Rest()
	top.Get("status") // of an object as the cluster gives it
	top.Rest()
	if err := d.Faults.Err(); err != nil {
		return nil, err
	}
	return &Result{Warnings: d.Faults.All(), Flow: &heddle.Flow{
		Kind: heddle.KindReactiveJob, Name: name, Start: []string{Step}, Deadline: job.Deadline, Source: d.Root.JSON(),
		Steps: []heddle.Step{{Name: Step, Work: work, Result: heddle.ResultExitCode, Retry: job.Retry, Timeout: pod.Timeout}},
	}}, nil
}

func or(n, other *doc.Node) *doc.Node {
	if n == nil {
		return other
	}
	return n
}

func checkWord(d *doc.Document, o *doc.Object, key, want string) {
	switch got, n := o.StringOnly(key), o.Node().Get(key); {
	case n == nil:
		d.Faults.Errorf(o.Node(), "a ReactiveJob needs the key %s with the value %s", key, want)
	case got != want:
		d.Faults.Errorf(n, "must be %s, is %q", want, got)
	}
}

// readTemplate reads the template of the Jobs.
func readTemplate(d *doc.Document, n *doc.Node) (job podspec.Job, pod podspec.Pod) {
	meta := n.Get("metadata")
	for _, key := range []string{"name", "namespace", "generateName"} {
		if v := meta.Get(key); v != nil && v.Text != "" {
			d.Faults.Errorf(v, "the template of a ReactiveJob cannot have a %s: its Jobs are called after the ReactiveJob and run beside it", key)
		}
	}
	var t batchv1.JobTemplateSpec
	if !podspec.Decode(d, n, &t) {
		return job, pod
	}
	if p := t.Spec.Template.Spec.RestartPolicy; p != corev1.RestartPolicyNever && p != corev1.RestartPolicyOnFailure {
		d.Faults.Errorf(n.At("spec.template.spec.restartPolicy"), "a Job needs the restartPolicy %s or %s, this has %q", corev1.RestartPolicyNever, corev1.RestartPolicyOnFailure, p)
	}
	job = podspec.ReadJob(d, n.At("spec"), &t.Spec)
	pod = podspec.Read(d, n.At("spec.template"), &t.Spec.Template)
	pod.Ignored = append(pod.Ignored, job.Ignored...)
	pod.Warn(d, n)
	return job, pod
}
