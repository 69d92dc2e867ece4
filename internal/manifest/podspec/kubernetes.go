package podspec

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
)

// Kubernetes reads the key kubernetes of what is run, which other executors leave out:
// a map of podTemplate (a strategic merge patch on the Pod's template, whose container
// is called main), namespace, and bare (true: a Pod without a Job). Nil when there is
// none.
func Kubernetes(d *doc.Document, of *doc.Object) *heddle.Kubernetes {
	n := of.Get("kubernetes")
	if n == nil {
		return nil
	}
	o := d.Object(n)
	k := &heddle.Kubernetes{Namespace: o.StringOnly("namespace"), Bare: o.Bool("bare")}
	if patch := o.Get("podTemplate"); patch != nil {
		var template corev1.PodTemplateSpec
		if Decode(d, patch, &template) {
			k.PodTemplate = patch.JSON()
		}
	}
	o.Rest()
	return k
}
