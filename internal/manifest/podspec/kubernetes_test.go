package podspec

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
)

func TestKubernetes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text  string
		want  *heddle.Kubernetes
		fault string
	}{
		"nothing":   {text: "x: 1"},
		"all of it": {text: "kubernetes: {namespace: n, bare: true, podTemplate: {spec: {nodeSelector: {a: b}}}}", want: &heddle.Kubernetes{Namespace: "n", Bare: true, PodTemplate: []byte(`{"spec":{"nodeSelector":{"a":"b"}}}`)}},
		"no map":    {text: "kubernetes: yes", fault: "kubernetes"},
		"a template that is none": {
			text: "kubernetes: {podTemplate: {spec: {containers: main}}}", want: &heddle.Kubernetes{}, fault: "containers",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := doc.Parse("f", []byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			got := Kubernetes(d, d.Object(d.Root))
			err = d.Faults.Err()
			if test.fault == "" && err != nil || test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault)) {
				t.Errorf("faults %v, want one of %q", err, test.fault)
			}
			if test.fault == "" || test.want != nil {
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}
