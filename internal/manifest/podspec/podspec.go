// Package podspec reads the parts of Kubernetes manifests that say what is to run:
// the templates of pods and the specs of Jobs. It makes work of them that every
// executor can do, and tells what only Kubernetes can.
package podspec

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	strict "sigs.k8s.io/json"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
)

// Decode reads a value of a document into a Kubernetes type. What does not fit is a
// fault, and a key that the type does not have a warning: the API server leaves such
// out. It reports whether all fits.
func Decode(d *doc.Document, n *doc.Node, into any) bool {
	unknown, err := strict.UnmarshalStrict(n.JSON(), into, strict.DisallowUnknownFields)
	for _, u := range unknown {
		path := ""
		if field, ok := errors.AsType[strict.FieldError](u); ok {
			path = field.FieldPath()
		}
		d.Faults.Warnf(n.At(path), "the key is not known to Kubernetes and is ignored")
	}
	return fits(d, n, err)
}

// DecodeLoosely is [Decode] for values in which the letters of keys may be small or
// capital and unknown keys are nobody's business.
func DecodeLoosely(d *doc.Document, n *doc.Node, into any) bool {
	return fits(d, n, json.Unmarshal(n.JSON(), into))
}

func fits(d *doc.Document, n *doc.Node, err error) bool {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		at, within := n.At(wrong.Field), ""
		if rest, more := strings.CutPrefix(wrong.Field, strings.TrimPrefix(at.Path(), n.Path()+".")+"."); more {
			within = "its " + rest + " " // of an item of a list: which one is not told
		}
		d.Faults.Errorf(at, "%smust be %s, is a %s", within, kindOf(wrong.Type.Kind().String()), strings.NewReplacer("array", "list", "object", "map").Replace(wrong.Value))
	} else if err != nil {
		d.Faults.Errorf(n, "does not fit what Kubernetes wants: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return err == nil
}

// kindOf names a kind of Go type in the words of documents.
func kindOf(kind string) string {
	switch {
	case kind == "struct" || kind == "map" || kind == "ptr":
		return "a map"
	case kind == "slice":
		return "a list"
	case kind == "bool":
		return "true or false"
	case strings.HasPrefix(kind, "int") || strings.HasPrefix(kind, "uint"):
		return "a whole number"
	}
	return "a " + kind
}

// Pod is what a template of a pod comes to.
type Pod struct {
	// Work runs the first container; its Kubernetes part is left to the caller.
	Work heddle.Work
	// Timeout is the longest time of one pod; 0: no bound.
	Timeout time.Duration
	Limits
}

// Limits is what of a manifest not every executor does.
type Limits struct {
	// Only lists the paths of keys without which the programs would not see or do
	// what the manifest says, and which only Kubernetes has.
	Only []string
	// Ignored lists the paths of those that are of no use elsewhere.
	Ignored []string
}

// Warn tells what executors other than Kubernetes ignore, in one warning at n.
func (l *Limits) Warn(d *doc.Document, n *doc.Node) {
	if len(l.Ignored) > 0 {
		slices.Sort(l.Ignored)
		d.Faults.Warnf(n, "executors other than kubernetes ignore %s", strings.Join(l.Ignored, ", "))
	}
}

// Read turns the template of a pod at n, decoded as t, into work. A template
// without containers, and a container without an image, are faults.
func Read(d *doc.Document, n *doc.Node, t *corev1.PodTemplateSpec) Pod {
	spec := n.At("spec")
	var p Pod
	if len(t.Spec.Containers) == 0 {
		d.Faults.Errorf(spec, "a pod needs containers: a list with one at least")
		return p
	}
	for i := range t.Spec.Containers {
		if c := &t.Spec.Containers[i]; strings.TrimSpace(c.Image) == "" {
			d.Faults.Errorf(spec.At("containers").Items[i], "a container needs an image, such as busybox:1.36")
		}
	}
	if s := t.Spec.ActiveDeadlineSeconds; s != nil {
		p.Timeout = seconds(d, spec.At("activeDeadlineSeconds"), *s)
	}
	c := &t.Spec.Containers[0]
	p.Work = heddle.Work{Image: c.Image, Dir: c.WorkingDir}
	if t.Spec.HostNetwork {
		p.Work.Network = "host"
	}
	p.Work.User = user(t.Spec.SecurityContext, c.SecurityContext)
	p.Work.Memory = c.Resources.Limits.Memory().Value()
	p.Work.CPUs = c.Resources.Limits.Cpu().AsApproximateFloat64()
	env := variables(c.Env)
	p.Work.Entrypoint, p.Work.Command, p.Work.Expand = c.Command, c.Args, true
	if len(t.Spec.Containers) == 1 && len(env) > 0 { // else they would reach the others
		p.Work.Env = env
	}
	p.classify(spec.Path(), &t.Spec)
	return p
}

// seconds turns a number of seconds of the document into a duration. One that is
// not positive is a fault.
func seconds(d *doc.Document, n *doc.Node, s int64) time.Duration {
	const most = 100 * 365 * 24 * 60 * 60 // what is longer means no bound
	if s <= 0 {
		d.Faults.Errorf(n, "must be a positive number of seconds, is %d", s)
		return 0
	}
	return time.Duration(min(s, most)) * time.Second
}

// user is who runs the program: the container's own word first, then the pod's.
func user(pod *corev1.PodSecurityContext, own *corev1.SecurityContext) string {
	var id, group *int64
	if pod != nil {
		id, group = pod.RunAsUser, pod.RunAsGroup
	}
	if own != nil && own.RunAsUser != nil {
		id = own.RunAsUser
	}
	if own != nil && own.RunAsGroup != nil {
		group = own.RunAsGroup
	}
	switch {
	case id == nil:
		return ""
	case group == nil:
		return fmt.Sprint(*id)
	}
	return fmt.Sprint(*id, ":", *group)
}

// variables are those of a container with a value of their own. As in Kubernetes a
// value may use those before it, and the last of a name counts.
func variables(list []corev1.EnvVar) map[string]string {
	env := map[string]string{}
	for _, v := range list {
		if v.ValueFrom == nil {
			env[v.Name] = heddle.Expand(v.Value, env)
		}
	}
	return env
}
