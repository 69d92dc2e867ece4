package chain

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/machine"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/manifest/schematest"
)

const (
	first = `apiVersion: sirocco.cloud/v1alpha1
kind: Task
metadata:
  name: first
  namespace: test
spec:
  description: as in orcaoperator's own samples, lists may be null
  startOnIgnition: [morning, night]
  startOnSuccess:
  startOnFailure:
  successActions:
  template:
    metadata: {labels: {a: b}}
    spec:
      activeDeadlineSeconds: 30
      restartPolicy: OnFailure
      containers:
      - {name: c, image: busybox, command: [sh, -c], args: [echo $(A)], env: [{name: A, value: x}, {name: ORCA_DATA, value: mine}], imagePullPolicy: Always}
`
	second = `apiVersion: sirocco.cloud/v1alpha1
kind: Task
metadata: {name: second}
spec:
  startOnSuccess: [first]
  startOnFailure: [first, second]
  template: {spec: {containers: [{name: c, image: i, terminationMessagePath: /tmp/message}]}}
`
	morning = `apiVersion: sirocco.cloud/v1alpha1
kind: Ignitor
metadata: {name: morning}
spec: {description: now and here, scheduled: now, data: "the data"}
`
	night = `apiVersion: sirocco.cloud/v1alpha1
kind: Ignitor
metadata: {name: night}
spec: {scheduled: 0 3 * * *}
status: {}
`
)

func decode(t *testing.T, o Options, texts ...string) (*Result, error) {
	t.Helper()
	docs, err := doc.ParseAll("f", []byte(strings.Join(texts, "---\n")))
	if err != nil {
		t.Fatal(err)
	}
	return Decode(docs, o)
}

func TestDecode(t *testing.T) {
	t.Parallel()
	r, err := decode(t, Options{}, first, second, morning)
	if err != nil {
		t.Fatal(err)
	}
	from := map[string]heddle.Source{"ORCA_INITIATOR": {Cause: heddle.CauseName}, "ORCA_DATA": {Cause: heddle.CauseMessage}}
	bad := []heddle.Outcome{heddle.Failure, heddle.Abort, heddle.Timeout}
	step := func(name string, timeout time.Duration, work heddle.Work) heddle.Step {
		work.From, work.Expand = from, true
		return heddle.Step{Name: name, Gate: heddle.GateAny, Result: heddle.ResultExitCode, Timeout: timeout,
			Key: name, Busy: heddle.BusyDrop, MaxVisits: DefaultMaxVisits, Work: &work}
	}
	want := &heddle.Flow{
		Kind: heddle.KindChain, Name: "morning", Initiator: "morning", Data: "the data", Start: []string{"first"},
		Steps: []heddle.Step{
			step("first", 30*time.Second, heddle.Work{Image: "busybox", Entrypoint: []string{"sh", "-c"}, Command: []string{"echo $(A)"}, Env: map[string]string{"A": "x"},
				Message: &heddle.MessageFile{Env: "HEDDLE_MESSAGE_FILE", Path: "/dev/termination-log"},
				Kubernetes: &heddle.Kubernetes{JobName: "first", Namespace: "test", Bare: true, Template: json.RawMessage(
					`{"spec":{"template":{"metadata":{"labels":{"a":"b"}},"spec":{"activeDeadlineSeconds":30,"containers":[{"args":["echo $(A)"],"command":["sh","-c"],` +
						`"env":[{"name":"A","value":"x"},{"name":"ORCA_DATA","value":"mine"}],"image":"busybox","imagePullPolicy":"Always","name":"c"}],"restartPolicy":"Never"}}}}`)}}),
			step("second", 0, heddle.Work{Image: "i", Message: &heddle.MessageFile{Env: "HEDDLE_MESSAGE_FILE", Path: "/tmp/message"},
				Kubernetes: &heddle.Kubernetes{JobName: "second", Bare: true, Template: json.RawMessage(
					`{"spec":{"template":{"spec":{"containers":[{"image":"i","imagePullPolicy":"IfNotPresent","name":"c","terminationMessagePath":"/tmp/message"}],"restartPolicy":"Never"}}}}`)}}),
		},
		Edges: []heddle.Edge{
			{From: "first", To: "second", On: append([]heddle.Outcome{heddle.Success}, bad...)},
			{From: "second", To: "second", On: bad},
		},
	}
	source := r.Flow.Source
	r.Flow.Source = nil
	if diff := cmp.Diff(want, r.Flow); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if _, err := machine.Compile(r.Flow); err != nil {
		t.Error(err)
	}
	again, err := decode(t, Options{}, string(source))
	if err != nil {
		t.Fatal(err)
	}
	again.Flow.Source = nil
	if diff := cmp.Diff(want, again.Flow); diff != "" {
		t.Errorf("from its source: -want +got\n%s", diff)
	}
	if got := doc.Error(r.Warnings).Error(); !strings.HasPrefix(got, "f:8:30: warning: spec.startOnIgnition[1]: there is no Ignitor \"night\" here: it never starts this Task\n") {
		t.Errorf("warnings: %s", got)
	}
}

func TestTheIgnitorToPlay(t *testing.T) {
	t.Parallel()
	late := strings.ReplaceAll(first, "[morning, night]", "[night]")
	tests := map[string]struct {
		texts     []string
		options   Options
		start     []string
		name      string
		initiator string
		faults    []string
	}{
		"the only one": {texts: []string{first, second, strings.ReplaceAll(night, "night", "morning")}, start: []string{"first"}, name: "morning", initiator: "morning", faults: []string{
			"f:8:30: warning: spec.startOnIgnition[1]: there is no Ignitor \"night\" here: it never starts this Task",
			"f:13:5: warning: spec.template: executors other than kubernetes ignore spec.template.spec.containers[0].imagePullPolicy",
			"f:30:18: warning: metadata.name: the Ignitor is scheduled (0 3 * * *); here it is played at once, and once",
		}},
		"one of two":  {texts: []string{second, late, morning, night}, options: Options{Ignite: "night", MaxVisits: 3}, start: []string{"first"}, name: "night", initiator: "night", faults: []string{"…"}},
		"none chosen": {texts: []string{second, late, morning, night}, faults: []string{"f:1:1: there are several Ignitors, and one is to be chosen (--ignite NAME): morning, night"}},
		"another":     {texts: []string{second, late, morning, night}, options: Options{Ignite: "nigth"}, faults: []string{`f:1:1: there is no Ignitor "nigth"; did you mean "night"?; there are morning, night`}},
		"one that starts nothing": {texts: []string{second, late, morning, night}, options: Options{Ignite: "morning"}, faults: []string{
			`f:30:18: metadata.name: no Task names the Ignitor "morning" in startOnIgnition: it starts nothing`}},
		"there is none":           {texts: []string{second}, faults: []string{"f:1:1: there is no Ignitor to begin with; the Ignitors' manifests can be in other files"}},
		"there is none of a name": {texts: []string{second}, options: Options{Ignite: "x", Any: true}, faults: []string{"f:1:1: there is no Ignitor to begin with; the Ignitors' manifests can be in other files"}},
		"to look at, all at once": {texts: []string{second, first, morning, night}, options: Options{Any: true, Name: "file"}, start: []string{"first"}, name: "file", faults: []string{"…"}},
		"to look at, without any": {texts: []string{second}, options: Options{Any: true}, start: []string{}, name: "tasks", faults: []string{"…"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := decode(t, tc.options, tc.texts...)
			if err != nil {
				got := slices.DeleteFunc(strings.Split(err.Error(), "\n"), func(line string) bool { return strings.Contains(line, "warning") })
				if diff := cmp.Diff(tc.faults, got); diff != "" || heddle.CodeOf(err) != heddle.CodeInvalid {
					t.Errorf("%v: -want +got\n%s", err, diff)
				}
				return
			}
			f := r.Flow
			if !slices.Equal(f.Start, tc.start) || f.Name != tc.name || f.Initiator != tc.initiator || tc.options.MaxVisits > 0 && f.Steps[0].MaxVisits != tc.options.MaxVisits {
				t.Errorf("got %q from %q, start %q, %d visits", f.Name, f.Initiator, f.Start, f.Steps[0].MaxVisits)
			}
			if tc.faults[0] == "…" {
				return
			}
			if diff := cmp.Diff(tc.faults, strings.Split(doc.Error(r.Warnings).Error(), "\n")); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	const head = "apiVersion: sirocco.cloud/v1alpha1\n"
	tests := map[string]struct {
		texts []string
		want  []string // without the warnings
	}{
		"two of a name": {texts: []string{second, second, morning, morning}, want: []string{
			`f:11:18: metadata.name: there is another Task "second", in line 3 of f`, `f:24:18: metadata.name: there is another Ignitor "morning", in line 19 of f`}},
		"two namespaces": {texts: []string{first, strings.Replace(second, "name: second", "name: second, namespace: other", 1), morning}, want: []string{
			`f:22:37: metadata.namespace: all Tasks and Ignitors of a set must be of one namespace: this is of "other", another of "test"`}},
		"no containers": {texts: []string{strings.Replace(second, "{name: c, image: i, terminationMessagePath: /tmp/message}", "", 1), morning}, want: []string{
			"f:7:20: spec.template.spec: a pod needs containers: a list with one at least"}},
		"no template": {texts: []string{head + "kind: Task\nmetadata: {name: t}\nspec: {startOnIgnition: [morning]}\n", morning}, want: []string{
			"f:4:7: spec: a Task needs the key spec.template: that of a pod"}},
		"what is needed": {texts: []string{head + "kind: Task\n", head + "metadata: {name: x}\n", head + "kind: Ignitor\nmetadata: {name: y}\n"}, want: []string{
			"f:1:1: a Task or Ignitor needs a name: metadata.name", "f:1:1: a Task needs the key spec.template: that of a pod",
			`f:4:1: the kind must be Task or Ignitor, is ""`, "f:7:1: an Ignitor needs the key spec.scheduled: NOW, an instant or a cron expression"}},
		"another version": {texts: []string{second, strings.Replace(morning, "v1alpha1", "v1", 1)}, want: []string{
			`f:9:13: apiVersion: must be sirocco.cloud/v1alpha1, is "sirocco.cloud/v1"`}},
		"another kind": {texts: []string{second, strings.Replace(morning, "Ignitor", "ignitors", 1)}, want: []string{
			`f:10:7: kind: the kind must be Task or Ignitor, is "ignitors"; did you mean "Ignitor"?`}},
		"schedules": {texts: []string{strings.Replace(morning, "now,", "soon,", 1), strings.Replace(night, "0 3 * * *", "0 3 30 2 *", 1), second}, want: []string{
			`f:4:46: spec.scheduled: "soon" is neither NOW, nor an instant such as 2030-01-31T09:30:00Z, nor a cron expression such as */5 * * * *`,
			`f:9:19: spec.scheduled: no time matches the cron expression "0 3 30 2 *"`}},
		"names that are none": {texts: []string{strings.Replace(second, "[first]", "[5, {}]", 1), morning}, want: []string{
			"f:5:20: spec.startOnSuccess[0]: must be a name", "f:5:23: spec.startOnSuccess[1]: must be a name"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := decode(t, Options{Ignite: ""}, tc.texts...)
			if heddle.CodeOf(err) != heddle.CodeInvalid {
				t.Fatalf("got %v", err)
			}
			got := slices.DeleteFunc(strings.Split(err.Error(), "\n"), func(line string) bool {
				return strings.Contains(line, "warning") || strings.Contains(line, "it starts nothing") || strings.Contains(line, "one is to be chosen") ||
					strings.Contains(line, "no Ignitor to begin with")
			})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestActionsAreNamed(t *testing.T) {
	t.Parallel()
	text := strings.Replace(second, "spec:\n", "spec:\n  failureActions: [page, mail]\n", 1)
	r, err := decode(t, Options{Any: true}, text)
	if err != nil {
		t.Fatal(err)
	}
	want := "f:5:19: warning: spec.failureActions: nobody here knows the actions page, mail: they are not done"
	if got := doc.Error(r.Warnings).Error(); !strings.Contains(got, want) {
		t.Errorf("got %s", got)
	}
}

func TestSchemas(t *testing.T) {
	t.Parallel()
	of := func(kind string) func(*doc.Document) bool {
		return func(d *doc.Document) bool {
			return Is(d) && d.Root.Get("kind") != nil && d.Root.Get("kind").Text == kind
		}
	}
	read := func(d *doc.Document) error {
		_, err := Decode([]*doc.Document{d}, Options{Any: true})
		return err
	}
	schematest.Check(t, schematest.Subject{Schema: TaskSchema(), Is: of("Task"), Decode: read, Full: first})
	schematest.Check(t, schematest.Subject{Schema: IgnitorSchema(), Is: of("Ignitor"), Decode: read, Full: morning})
}

func FuzzDecode(f *testing.F) {
	f.Add(first + "---\n" + second + "---\n" + morning)
	f.Add(night + "---\n" + second)
	f.Fuzz(func(t *testing.T, text string) {
		docs, err := doc.ParseAll("f", []byte(text))
		if err != nil || !slices.ContainsFunc(docs, Is) {
			return
		}
		r, err := Decode(docs, Options{Any: true})
		if err != nil {
			if heddle.CodeOf(err) != heddle.CodeInvalid {
				t.Fatal(err)
			}
			return
		}
		if _, err := machine.Compile(r.Flow); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	})
}
