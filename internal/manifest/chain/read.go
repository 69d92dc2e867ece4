package chain

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/manifest/podspec"
	"github.com/heddle/heddle/internal/orca"
)

type task struct {
	name                             name
	onIgnition, onSuccess, onFailure []name
	work                             *heddle.Work
	timeout                          time.Duration
}

type ignitor struct {
	name      name
	scheduled string
	data      string
}

// The kinds of manifest.
const (
	kindTask    = "Task"
	kindIgnitor = "Ignitor"
)

// read reads one manifest.
func (s *set) read(d *doc.Document) {
	top := d.Object(d.Root)
	if v := top.StringOnly("apiVersion"); v != apiVersion {
		d.Faults.Errorf(or(d.Root.Get("apiVersion"), d.Root), "must be %s, is %q", apiVersion, v)
	}
	meta := top.Object("metadata")
	n := name{d: d, node: or(meta.Node().Get("name"), or(d.Root.Get("metadata"), d.Root))}
	if meta.StringOnly("name") == "" {
		d.Faults.Errorf(n.node, "a Task or Ignitor needs a name: metadata.name")
		n.node = &doc.Node{Kind: doc.String, Line: n.node.Line, Column: n.node.Column}
	}
	namespace := s.readNamespace(d, meta)
	spec := top.Object("spec")
	switch kind := top.StringOnly("kind"); kind {
	case kindTask:
		s.tasks = append(s.tasks, readTask(d, spec, n, namespace))
	case kindIgnitor:
		s.ignitors = append(s.ignitors, readIgnitor(d, spec, n))
	default:
		d.Faults.Errorf(or(d.Root.Get("kind"), d.Root), "the kind must be %s or %s, is %q%s", kindTask, kindIgnitor, kind, doc.DidYouMean(kind, []string{kindTask, kindIgnitor}))
		return
	}
	spec.Rest()
	top.Get("status") // of an object as the cluster gives it
	top.Rest()
}

func or(n, other *doc.Node) *doc.Node {
	if n == nil {
		return other
	}
	return n
}

// readNamespace faults a second namespace: nothing leads from one to another.
func (s *set) readNamespace(d *doc.Document, meta *doc.Object) string {
	text := meta.StringOnly("namespace")
	switch n := meta.Node().Get("namespace"); {
	case text == "":
	case s.namespace == nil:
		s.namespace = n
	case s.namespace.Text != text:
		d.Faults.Errorf(n, "all Tasks and Ignitors of a set must be of one namespace: this is of %q, another of %q", text, s.namespace.Text)
	}
	return text
}

func readTask(d *doc.Document, spec *doc.Object, n name, namespace string) task {
	t := task{
		name:       n,
		onIgnition: readNames(d, spec, "startOnIgnition"),
		onSuccess:  readNames(d, spec, "startOnSuccess"),
		onFailure:  readNames(d, spec, "startOnFailure"),
	}
	spec.String("description", "")
	for _, key := range []string{"successActions", "failureActions"} {
		if actions := readNames(d, spec, key); len(actions) > 0 {
			d.Faults.Warnf(spec.Get(key), "nobody here knows the actions %s: they are not done", strings.Join(texts(actions), ", "))
		}
	}
	template := spec.Get("template")
	if template == nil {
		d.Faults.Errorf(or(d.Root.Get("spec"), d.Root), "a Task needs the key spec.template: that of a pod")
		return t
	}
	t.work, t.timeout = readTemplate(d, template)
	if t.work != nil {
		t.work.Kubernetes.JobName, t.work.Kubernetes.Namespace = n.text(), namespace
	}
	return t
}

// readNames reads a list of names; null is an empty one.
func readNames(d *doc.Document, o *doc.Object, key string) []name {
	var names []name
	for _, item := range o.List(key) {
		if item.Kind != doc.String || item.Text == "" {
			d.Faults.Errorf(item, "must be a name")
			continue
		}
		names = append(names, name{d: d, node: item})
	}
	return names
}

// readTemplate reads the template of a Task's pod. orcaoperator takes of it the
// image and the command of the first container, here all of it counts; as there the
// pod is never restarted, and an image that is there is not pulled unless that is asked for.
func readTemplate(d *doc.Document, n *doc.Node) (*heddle.Work, time.Duration) {
	var t corev1.PodTemplateSpec
	if n.Kind != doc.Map || !podspec.Decode(d, n, &t) {
		if n.Kind != doc.Map {
			d.Faults.Errorf(n, "must be a map")
		}
		return nil, 0
	}
	pod := podspec.Read(d, n, &t)
	if len(t.Spec.Containers) == 0 {
		return nil, 0
	}
	pod.Warn(d, n)
	work := pod.Work
	work.Message = &heddle.MessageFile{
		Env:  "HEDDLE_MESSAGE_FILE",
		Path: cmp.Or(t.Spec.Containers[0].TerminationMessagePath, corev1.TerminationMessagePathDefault),
	}
	work.From = map[string]heddle.Source{
		"ORCA_INITIATOR": {Cause: heddle.CauseName},
		"ORCA_DATA":      {Cause: heddle.CauseMessage},
	}
	for key := range work.From {
		delete(work.Env, key)
	}
	if len(work.Env) == 0 {
		work.Env = nil
	}
	work.Kubernetes = &heddle.Kubernetes{Template: podTemplate(n), Bare: true, Only: pod.Only}
	return &work, pod.Timeout
}

// podTemplate is a Job's template around that of a pod.
func podTemplate(n *doc.Node) json.RawMessage {
	template, _ := n.Value().(map[string]any)
	if spec, ok := template["spec"].(map[string]any); ok {
		spec["restartPolicy"] = string(corev1.RestartPolicyNever)
		containers, _ := spec["containers"].([]any)
		for _, c := range containers {
			if c, ok := c.(map[string]any); ok && c["imagePullPolicy"] == nil {
				c["imagePullPolicy"] = string(corev1.PullIfNotPresent)
			}
		}
	}
	data, err := json.Marshal(map[string]any{"spec": map[string]any{"template": template}})
	if err != nil { // it was JSON before
		return nil
	}
	return data
}

func readIgnitor(d *doc.Document, spec *doc.Object, n name) ignitor {
	spec.String("description", "")
	i := ignitor{name: n, scheduled: spec.String("scheduled", ""), data: spec.String("data", "")}
	at := spec.Get("scheduled")
	if at == nil {
		d.Faults.Errorf(or(d.Root.Get("spec"), d.Root), "an Ignitor needs the key spec.scheduled: NOW, an instant or a cron expression")
	} else if _, err := orca.ReadSchedule(i.scheduled); err != nil {
		d.Faults.Errorf(at, "%v", err)
	}
	return i
}
