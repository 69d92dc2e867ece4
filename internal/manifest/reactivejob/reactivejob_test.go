package reactivejob

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/manifest/schematest"
)

const head = "apiVersion: batch.cs.sap.com/v1alpha1\nkind: ReactiveJob\n"

// readme is reactivejob-operator's own example, but for its name.
const readme = head + `metadata:
  name: migrate
  namespace: test
  labels: {a: b}
spec:
  jobTemplate:
    metadata:
      annotations:
        digest: abc123
    spec:
      ttlSecondsAfterFinished: 120
      template:
        spec:
          containers:
          - name: main
            image: alpine
            command: [sleep, "10"]
          restartPolicy: Never
status: {state: Ready}
`

func decode(t *testing.T, text string) (*Result, error) {
	t.Helper()
	d, err := doc.Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if !Is(d) {
		t.Fatal("is not taken for a ReactiveJob")
	}
	return Decode(d)
}

func TestDecode(t *testing.T) {
	t.Parallel()
	r, err := decode(t, readme)
	if err != nil {
		t.Fatal(err)
	}
	want := &heddle.Flow{
		Kind: heddle.KindReactiveJob, Name: "migrate", Start: []string{"job"},
		Steps: []heddle.Step{{
			Name: "job", Result: heddle.ResultExitCode, Retry: heddle.Retry{Limit: 6, Delay: 10 * time.Second, MaxDelay: 6 * time.Minute},
			Work: &heddle.Work{Image: "alpine", Entrypoint: []string{"sleep", "10"}, Expand: true, Kubernetes: &heddle.Kubernetes{
				JobName: "migrate", Namespace: "test",
				Template: json.RawMessage(`{"metadata":{"annotations":{"digest":"abc123"}},"spec":{"ttlSecondsAfterFinished":120,"template":{"spec":{` +
					`"containers":[{"name":"main","image":"alpine","command":["sleep","10"]}],"restartPolicy":"Never"}}}}`),
			}},
		}},
	}
	if !json.Valid(r.Flow.Source) || len(r.Warnings) > 0 {
		t.Errorf("source %s, warnings %v", r.Flow.Source, r.Warnings)
	}
	r.Flow.Source = nil
	if diff := cmp.Diff(want, r.Flow); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestBoundsAndWhatOnlyKubernetesHas(t *testing.T) {
	t.Parallel()
	r, err := decode(t, head+`metadata: {generateName: test-}
spec: {jobTemplate: {spec: {activeDeadlineSeconds: 60, backoffLimit: 0, completions: 2, template: {spec: {restartPolicy: OnFailure,
  activeDeadlineSeconds: 5, nodeName: n, volumes: [{name: v}], containers: [{name: c, image: i}]}}}}}
`)
	if err != nil {
		t.Fatal(err)
	}
	step := r.Flow.Steps[0]
	if r.Flow.Name != "test" || r.Flow.Deadline != time.Minute || step.Timeout != 5*time.Second || step.Retry != (heddle.Retry{}) {
		t.Errorf("got %q, %s, %s, %+v", r.Flow.Name, r.Flow.Deadline, step.Timeout, step.Retry)
	}
	only := []string{"spec.jobTemplate.spec.completions", "spec.jobTemplate.spec.template.spec.volumes"}
	if diff := cmp.Diff(only, step.Work.Kubernetes.Only); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	warning := "f:4:21: warning: spec.jobTemplate: executors other than kubernetes ignore spec.jobTemplate.spec.template.spec.nodeName"
	if diff := cmp.Diff(warning, doc.Error(r.Warnings).Error()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	template := func(metadata, policy string) string {
		return head + "metadata: {name: n}\nspec: {jobTemplate: {metadata: {" + metadata + "}, spec: {template: {spec: {restartPolicy: " + policy +
			", containers: [{name: c, image: i}]}}}}}\n"
	}
	const cannot = "the template of a ReactiveJob cannot have a "
	tests := map[string]struct {
		text string
		want []string
	}{
		"another version": {text: strings.Replace(readme, "v1alpha1", "v1", 1), want: []string{
			`f:1:13: apiVersion: must be batch.cs.sap.com/v1alpha1, is "batch.cs.sap.com/v1"`}},
		"another kind":   {text: strings.Replace(readme, "ReactiveJob", "Job", 1), want: []string{`f:2:7: kind: must be ReactiveJob, is "Job"`}},
		"no kind":        {text: strings.Replace(readme, "kind: ReactiveJob\n", "", 1), want: []string{"f:1:1: a ReactiveJob needs the key kind with the value ReactiveJob"}},
		"no name":        {text: strings.Replace(readme, "  name: migrate\n", "", 1), want: []string{"f:4:3: metadata: a ReactiveJob needs a name: metadata.name"}},
		"no spec":        {text: head + "metadata: {name: n}\n", want: []string{"f:1:1: a ReactiveJob needs the key spec.jobTemplate"}},
		"no template":    {text: head + "metadata: {name: n}\nspec: {}\n", want: []string{"f:4:7: spec: a ReactiveJob needs the key spec.jobTemplate"}},
		"no containers":  {text: head + "metadata: {name: n}\nspec: {jobTemplate: {spec: {template: {spec: {restartPolicy: Never}}}}}\n", want: []string{"f:4:46: spec.jobTemplate.spec.template.spec: a pod needs containers: a list with one at least"}},
		"a list":         {text: head + "metadata: {name: n}\nspec: {jobTemplate: []}\n", want: []string{"f:4:21: spec.jobTemplate: must be a map"}},
		"template named": {text: template("name: x", "Never"), want: []string{"f:4:39: spec.jobTemplate.metadata.name: " + cannot + "name: its Jobs are called after the ReactiveJob and run beside it"}},
		"with a namespace, and a name to generate": {text: template("namespace: x, generateName: y", "Never"), want: []string{
			"f:4:44: spec.jobTemplate.metadata.namespace: " + cannot + "namespace: its Jobs are called after the ReactiveJob and run beside it",
			"f:4:61: spec.jobTemplate.metadata.generateName: " + cannot + "generateName: its Jobs are called after the ReactiveJob and run beside it"}},
		"restarted always": {text: template("", "Always"), want: []string{`f:4:76: spec.jobTemplate.spec.template.spec.restartPolicy: a Job needs the restartPolicy Never or OnFailure, this has "Always"`}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := decode(t, tc.text)
			if heddle.CodeOf(err) != heddle.CodeInvalid {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(tc.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	schematest.Check(t, schematest.Subject{
		Schema: Schema(),
		Is:     Is,
		Decode: func(d *doc.Document) error {
			_, err := Decode(d)
			return err
		},
		Full:  readme,
		Files: []string{"../../../examples/reactivejob.yaml"},
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(readme)
	f.Add(head + "spec: {jobTemplate: {metadata: ~, spec: {template: {spec: {volumes: [{ephemeral: {}}], containers: [{env: [{name: a, value: $(b}]}]}}}}}")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := doc.Parse("f", []byte(text))
		if err != nil || !Is(d) {
			return
		}
		if r, err := Decode(d); err == nil && !json.Valid(r.Flow.Steps[0].Work.Kubernetes.Template) {
			t.Fatalf("%s: %s", text, r.Flow.Steps[0].Work.Kubernetes.Template)
		} else if err != nil && heddle.CodeOf(err) != heddle.CodeInvalid {
			t.Fatal(err)
		}
	})
}
