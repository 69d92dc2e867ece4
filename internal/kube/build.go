package kube

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// Options are what the attempts of one executor have in common.
type Options struct {
	Store     string // the identity of the store
	Namespace string // of attempts that name none
	// Bare makes Pods without Jobs of all steps that bring no manifest of their own.
	Bare bool
	// Keep is when Kubernetes itself deletes a Job that has ended and that nobody has
	// deleted. 0: never.
	Keep time.Duration
}

// Objects are what is made for one attempt. Of Job and Pod one is set. The Secret, if
// there is one, is made first and owns the other.
type Objects struct {
	Secret *corev1.Secret
	Job    *batchv1.Job
	Pod    *corev1.Pod
}

// Main is the name that the container of a step has.
const Main = "main"

// Pulling is what the deadline of a Pod has on top of the attempt's timeout, because
// it counts from when a node takes the Pod up and not from the start of the program.
const Pulling = 5 * time.Minute

func refusal(format string, args ...any) error {
	return &executor.Refusal{Message: fmt.Sprintf(format, args...)}
}

// Build makes the objects of an attempt. The same arguments make the same objects. An
// error is an [*executor.Refusal].
func Build(spec executor.Spec, o Options) (*Objects, error) {
	k := spec.Work.Kubernetes
	if k == nil {
		k = &heddle.Kubernetes{}
	}
	template, job, err := base(spec, k)
	if err != nil {
		return nil, err
	}
	vars, secret, err := variables(spec)
	if err != nil {
		return nil, err
	}
	vars.into(&template.Spec, spec)
	if len(k.PodTemplate) > 0 {
		if template, err = patched(template, k.PodTemplate); err != nil {
			return nil, err
		}
	}
	if len(template.Spec.Containers) == 0 {
		return nil, refusal("the pod has no container")
	}
	meta := metav1.ObjectMeta{Name: JobName(k.JobName, spec.Attempt, o.Store), Namespace: namespaceOf(k, o)}
	objects := &Objects{}
	labels := labelsOf(spec, o.Store)
	if secret != nil {
		objects.Secret = secret
		secret.ObjectMeta = metav1.ObjectMeta{Name: SecretName(spec.Attempt), Namespace: meta.Namespace, Labels: labels}
	}
	notes := annotate(spec, mainOf(template, k))
	template.Labels, template.Annotations = merge(template.Labels, labels), merge(template.Annotations, notes)
	if k.Bare || o.Bare && len(k.Template) == 0 && len(k.JobSpec) == 0 {
		objects.Pod = &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
		objects.Pod.Name, objects.Pod.Namespace = meta.Name, meta.Namespace
		return objects, never(&objects.Pod.Spec)
	}
	meta.Labels, meta.Annotations = merge(job.Labels, labels), merge(job.Annotations, notes)
	job.ObjectMeta = meta
	if len(k.Template) == 0 {
		if err := never(&template.Spec); err != nil {
			return nil, err
		}
		once(&job.Spec, o.Keep)
	}
	if err := mergeJobSpec(&job.Spec, k.JobSpec); err != nil {
		return nil, err
	}
	job.Spec.Template = *template
	if !Single(job) {
		job.Spec.Template.Annotations[annotationMany] = "true"
	}
	objects.Job = job
	return objects, nil
}

func namespaceOf(k *heddle.Kubernetes, o Options) string {
	if k.Namespace != "" {
		return k.Namespace
	}
	return o.Namespace
}

// base is what the step describes: the pod's template, and the Job that is to have it.
func base(spec executor.Spec, k *heddle.Kubernetes) (*corev1.PodTemplateSpec, *batchv1.Job, error) {
	if len(k.Template) == 0 {
		template, err := podOf(spec)
		return template, &batchv1.Job{}, err
	}
	var manifest batchv1.JobTemplateSpec
	if err := json.Unmarshal(k.Template, &manifest); err != nil {
		return nil, nil, refusal("the manifest of the Job cannot be read: %v", err)
	}
	job := &batchv1.Job{ObjectMeta: manifest.ObjectMeta, Spec: manifest.Spec}
	return &manifest.Spec.Template, job, nil
}

// once makes a Job that starts one Pod and never another.
func once(job *batchv1.JobSpec, keep time.Duration) {
	none, failed := int32(0), batchv1.Failed
	job.BackoffLimit, job.PodReplacementPolicy = &none, &failed
	if keep > 0 {
		ttl := int32(seconds(keep))
		job.TTLSecondsAfterFinished = &ttl
	}
}

// never refuses Pods whose containers are started again in place.
func never(pod *corev1.PodSpec) error {
	if pod.RestartPolicy != "" && pod.RestartPolicy != corev1.RestartPolicyNever {
		return refusal("restartPolicy %s: an attempt runs once; leave it out, and use the step's retries", pod.RestartPolicy)
	}
	pod.RestartPolicy = corev1.RestartPolicyNever
	return nil
}

// mergeJobSpec puts the fields of a JobSpec over those of the Job. What is no such
// field is user data and ignored, and so is a template (rego's metadata).
func mergeJobSpec(job *batchv1.JobSpec, fields json.RawMessage) error {
	if len(bytes.TrimSpace(fields)) == 0 {
		return nil
	}
	var object map[string]json.RawMessage
	err := json.Unmarshal(fields, &object)
	if err == nil {
		maps.DeleteFunc(object, func(key string, _ json.RawMessage) bool { return strings.EqualFold(key, "template") })
		var text []byte
		if text, err = json.Marshal(object); err == nil {
			err = json.Unmarshal(text, job)
		}
	}
	if err != nil {
		return refusal("the fields for the Job are not those of a Kubernetes JobSpec: %v", err)
	}
	return nil
}

// patched applies a strategic merge patch.
func patched(template *corev1.PodTemplateSpec, patch json.RawMessage) (*corev1.PodTemplateSpec, error) {
	before, err := json.Marshal(template)
	if err != nil {
		return nil, refusal("the pod's template: %v", err)
	}
	after, err := strategicpatch.StrategicMergePatch(before, patch, corev1.PodTemplateSpec{})
	if err != nil {
		return nil, refusal("the patch of the pod's template cannot be applied: %v (the step's container is called %s)", err, Main)
	}
	out := &corev1.PodTemplateSpec{}
	if err := json.Unmarshal(after, out); err != nil {
		return nil, refusal("the patch does not leave a pod's template: %v", err)
	}
	return out, nil
}

// mainOf is the name of the container whose end is the attempt's: the first of a
// manifest (orca), else the one that the step describes.
func mainOf(template *corev1.PodTemplateSpec, k *heddle.Kubernetes) string {
	byName := func(c corev1.Container) bool { return c.Name == Main }
	if len(k.Template) == 0 && slices.ContainsFunc(template.Spec.Containers, byName) {
		return Main
	}
	return template.Spec.Containers[0].Name
}

// labelsOf are the labels of all objects of an attempt. Labels of the attempt whose
// keys are not legal are left out; values are made legal.
func labelsOf(spec executor.Spec, store string) map[string]string {
	labels := map[string]string{}
	for key, value := range spec.Labels {
		if len(validation.IsQualifiedName(key)) == 0 {
			labels[key] = labelValue(value)
		}
	}
	run, _, _, _ := spec.Attempt.Split()
	labels["app.kubernetes.io/managed-by"] = "heddle"
	labels["app.kubernetes.io/name"] = labelValue(spec.Step)
	labels["app.kubernetes.io/instance"] = string(run)
	labels[LabelRun], labels[LabelStep] = string(run), labelValue(spec.Step)
	labels[LabelAttempt], labels[LabelStore] = string(spec.Attempt), labelValue(store)
	return labels
}

func merge(under, over map[string]string) map[string]string {
	out := maps.Clone(over)
	for key, value := range under {
		if _, taken := out[key]; !taken {
			out[key] = value
		}
	}
	return out
}

// Ours reports whether an object is that of the attempt of the store.
func Ours(object metav1.Object, id heddle.AttemptID, store string) bool {
	labels := object.GetLabels()
	return labels[LabelAttempt] == string(id) && labels[LabelStore] == labelValue(store)
}

// Selector selects the objects of a store, or those of one attempt of it.
func Selector(store string, id heddle.AttemptID) string {
	selector := LabelStore + "=" + labelValue(store)
	if id != "" {
		selector += "," + LabelAttempt + "=" + string(id)
	}
	return selector
}

// Own makes the Secret, as the cluster has it, the owner of the Job or Pod, so that
// deleting it deletes all.
func (o *Objects) Own(secret *corev1.Secret) {
	owner := []metav1.OwnerReference{{APIVersion: "v1", Kind: "Secret", Name: secret.Name, UID: secret.UID}}
	if o.Job != nil {
		o.Job.OwnerReferences = owner
	} else {
		o.Pod.OwnerReferences = owner
	}
}
