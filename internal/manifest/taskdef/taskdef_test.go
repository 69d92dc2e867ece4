package taskdef

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

func decode(t *testing.T, text string, o Options) (*Result, error) {
	t.Helper()
	d, err := doc.Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return Decode(d, o)
}

// usual is what Kubernetes does with a Job that does not say.
func usual() heddle.Retry {
	return heddle.Retry{Limit: 6, Delay: 10 * time.Second, MaxDelay: 6 * time.Minute}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	flow := func(name string, work heddle.Work, retry heddle.Retry, deadline time.Duration) *heddle.Flow {
		return &heddle.Flow{Kind: heddle.KindTask, Name: name, Start: []string{"task"}, Deadline: deadline,
			Steps: []heddle.Step{{Name: "task", Work: &work, Result: heddle.ResultExitCode, Retry: retry}}}
	}
	tests := map[string]struct {
		text     string
		name     string // of the file
		want     *heddle.Flow
		warnings string
	}{
		"the least": {
			text: `{"image": "busybox"}`, name: "file",
			want: flow("file", heddle.Work{Image: "busybox", Kubernetes: &heddle.Kubernetes{Namespace: "default", JobName: "busybox", JobSpec: json.RawMessage(`{"backoffLimit":6}`)}}, usual(), 0),
		},
		"all keys": {
			text: `{"name": "n_a.b", "image": "my_img.x:1.2", "cmd": ["echo", "$HOME"], "namespace": "own", "execution_interval": 0,
				"metadata": {"backoffLimit": 2, "activeDeadlineSeconds": 60, "client_id": 7, "template": {"spec": {}}}}`,
			name: "file",
			want: flow("n_a.b", heddle.Work{Image: "my_img.x:1.2", Entrypoint: []string{"echo", "$HOME"}, Kubernetes: &heddle.Kubernetes{
				Namespace: "own", JobName: "n-a-b-my-img-x-1-2", JobSpec: json.RawMessage(`{"activeDeadlineSeconds":60,"backoffLimit":2}`),
			}}, heddle.Retry{Limit: 2, Delay: 10 * time.Second, MaxDelay: 6 * time.Minute}, time.Minute),
		},
		"what only Kubernetes can": {
			text: `{"image": "i", "metadata": {"completions": 2}}`,
			want: flow("task", heddle.Work{Image: "i", Kubernetes: &heddle.Kubernetes{
				Namespace: "default", JobName: "i", JobSpec: json.RawMessage(`{"backoffLimit":6,"completions":2}`), Only: []string{"metadata.completions"},
			}}, usual(), 0),
		},
		"letters as rego takes them, the last of a key counts": {
			text: strings.ToUpper(`{"image": "a", "cmd": ["x"]`) + `, "Name": "old", "name": "new", "Metadata": {"BackoffLimit": 0}}`,
			want: flow("new", heddle.Work{Image: "A", Entrypoint: []string{"X"}, Kubernetes: &heddle.Kubernetes{
				Namespace: "default", JobName: "new-A", JobSpec: json.RawMessage(`{"backoffLimit":0}`),
			}}, heddle.Retry{}, 0),
		},
		"nothing where something may be": {
			text: `{"image": "i", "cmd": null, "metadata": null, "name": null, "namespace": "", "execution_interval": -5}`,
			want: flow("task", heddle.Work{Image: "i", Kubernetes: &heddle.Kubernetes{Namespace: "default", JobName: "i", JobSpec: json.RawMessage(`{"backoffLimit":6}`)}}, usual(), 0),
		},
		"what there is to tell": {
			text:     `{"image": "i", "execution_interval": 30, "arg": ["x"], "ttl_seconds_after_finished": 5}`,
			want:     flow("task", heddle.Work{Image: "i", Kubernetes: &heddle.Kubernetes{Namespace: "default", JobName: "i", JobSpec: json.RawMessage(`{"backoffLimit":6}`)}}, usual(), 0),
			warnings: "f:1:38: warning: execution_interval: a definition runs once here; every 30 seconds it would in a server\nf:1:42: warning: arg: the key is not known and is ignored\nf:1:56: warning: ttl_seconds_after_finished: the key is not known and is ignored",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := decode(t, tc.text, Options{Name: tc.name})
			if err != nil {
				t.Fatal(err)
			}
			if !json.Valid(got.Flow.Source) {
				t.Errorf("source: %s", got.Flow.Source)
			}
			got.Flow.Source = nil
			if diff := cmp.Diff(tc.want, got.Flow); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if diff := cmp.Diff(tc.warnings, doc.Error(got.Warnings).Error()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestADefinitionAsTheServerGivesIt(t *testing.T) {
	t.Parallel()
	text := []string{`{"ID": 0, "CreatedAt": "2024-01-01T00:00:00Z", "UpdatedAt": "2024-01-01T00:00:00Z", "DeletedAt": null, "id": "x", "organization_id": "1",`,
		`"image": "i", "name": "n", "namespace": "d", "latest_status": "SUCCESS", "execution_interval": 0, "execution_counter": 3,`,
		`"next_execution_time": "0001-01-01T00:00:00Z", "enabled": false, "deleted": false, "cmd": null, "metadata": null}`}
	r, err := decode(t, strings.Join(text, "\n"), Options{})
	if err != nil || len(r.Warnings) > 0 {
		t.Errorf("got %v, %v", err, r.Warnings)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"cmd": []}`:                                              "f:1:1: a task definition needs an image, such as busybox:1.36",
		`{"image": " "}`:                                           "f:1:11: image: a task definition needs an image, such as busybox:1.36",
		`{"image": 5}`:                                             "f:1:11: image: must be a string\nf:1:11: image: a task definition needs an image, such as busybox:1.36",
		`{"image": "i", "cmd": "x"}`:                               "f:1:23: cmd: must be a list of strings",
		`{"image": "i", "cmd": [1]}`:                               "f:1:24: cmd[0]: must be a string: quotes make it one",
		`{"image": "i", "name": ["x"]}`:                            "f:1:24: name: must be a string",
		`{"image": "i", "metadata": "x"}`:                          "f:1:28: metadata: must be a map: the fields of a Job's spec",
		`{"image": "i", "metadata": [1]}`:                          "f:1:28: metadata: must be a map: the fields of a Job's spec",
		`{"image": "i", "execution_interval": 1.5}`:                "f:1:38: execution_interval: must be a whole number of seconds",
		`{"image": "i", "metadata": {"backoffLimit": "2"}}`:        "f:1:45: metadata.backoffLimit: must be a whole number, is a string",
		`{"image": "i", "metadata": {"completionMode": ["x"]}}`:    "f:1:47: metadata.completionMode: must be a string, is a list",
		`{"image": "i", "metadata": {"podFailurePolicy": "none"}}`: "f:1:49: metadata.podFailurePolicy: must be a map, is a string",
	} {
		_, err := decode(t, text, Options{})
		if heddle.CodeOf(err) != heddle.CodeInvalid || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	schematest.Check(t, schematest.Subject{
		Schema: Schema(),
		Is:     Is,
		Decode: func(d *doc.Document) error {
			_, err := Decode(d, Options{})
			return err
		},
		Full:  `{"image": "i", "metadata": {}}`,
		Files: []string{"../../../examples/*.json"},
	})
}

func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		`{"image": "i", "cmd": ["a"], "metadata": {"backoffLimit": 1, "podFailurePolicy": {"rules": [{}]}}}`,
		`{"IMAGE": "i", "Cmd": null, "execution_interval": 1e3}`, "image: i\nmetadata: {selector: {matchLabels: {a: b}}}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := doc.Parse("f", []byte(text))
		if err != nil || !Is(d) {
			return
		}
		if r, err := Decode(d, Options{}); err == nil && (len(r.Flow.Steps) != 1 || r.Flow.Steps[0].Work.Image == "") {
			t.Fatalf("%s: %+v", text, r.Flow)
		} else if err != nil && heddle.CodeOf(err) != heddle.CodeInvalid {
			t.Fatal(err)
		}
	})
}
