package manifest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

const (
	someTask = "apiVersion: sirocco.cloud/v1alpha1\nkind: Task\nmetadata: {name: a}\nspec: {startOnIgnition: [i], template: {spec: {containers: [{name: c, image: x}]}}}\n"
	ignitor  = "apiVersion: sirocco.cloud/v1alpha1\nkind: Ignitor\nmetadata: {name: i}\nspec: {scheduled: NOW}\n"
	reactive = "apiVersion: batch.cs.sap.com/v1alpha1\nkind: ReactiveJob\nmetadata: {name: r}\n" +
		"spec: {jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}}}}\n"
	configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n"
	aPipeline = "kind: Pipeline\njobs: {a: {image: i, run: x}}\n"
)

func TestManifests(t *testing.T) {
	t.Parallel()
	join := func(texts ...string) string { return strings.Join(texts, "---\n") }
	tests := map[string]struct {
		files    []string // their texts; they are called a, b, ...
		options  Options
		kind     heddle.Kind
		name     string
		warnings string
		fault    string // the beginning of the error
	}{
		"a chain in one file":    {files: []string{join(someTask, ignitor)}, kind: heddle.KindChain, name: "i"},
		"a chain in two files":   {files: []string{ignitor, someTask}, kind: heddle.KindChain, name: "i"},
		"one of its ignitors":    {files: []string{join(someTask, ignitor), strings.Replace(ignitor, "name: i", "name: j", 1)}, options: Options{Ignite: "i"}, kind: heddle.KindChain, name: "i"},
		"a part to look at":      {files: []string{someTask}, options: Options{Look: true}, kind: heddle.KindChain, name: "a", warnings: `a:4:26: warning: spec.startOnIgnition[0]: there is no Ignitor "i" here: it never starts this Task`},
		"a reactive job":         {files: []string{reactive}, kind: heddle.KindReactiveJob, name: "r"},
		"others beside it":       {files: []string{join(configMap, reactive)}, kind: heddle.KindReactiveJob, name: "r", warnings: "a:1:1: warning: this is ignored: it is not part of a ReactiveJob"},
		"others beside a chain":  {files: []string{join(someTask, reactive, ignitor)}, kind: heddle.KindChain, name: "i", warnings: "a:6:1: warning: this is ignored: it is not part of a set of Tasks and Ignitors"},
		"a task definition":      {files: []string{`{"image": "x"}`}, kind: heddle.KindTask, name: "a"},
		"a job that names a key": {files: []string{"name: j\nworkflows: {run: {start: {action: a}}}\nactions: {a: {image: apiVersion}}\n---\nx: [\n"}, kind: heddle.KindJob, name: "j"},
		"two reactive jobs":      {files: []string{join(reactive, reactive)}, fault: "a:6:1: one ReactiveJob at a time can be run: there is another in line 1 of a"},
		"a pipeline beside":      {files: []string{join(someTask, ignitor), aPipeline}, fault: "b:1:1: this cannot stand beside a set of Tasks and Ignitors"},
		"two pipelines":          {files: []string{aPipeline, aPipeline}, fault: "only Tasks and Ignitors can be in several files, and there are none in a, b"},
		"broken":                 {files: []string{join(someTask, "b: [\n")}, fault: "reading manifests: a:6:1: broken YAML"},
		"other manifests":        {files: []string{configMap}, fault: `a:2:7: kind: the kind "ConfigMap" is not known`},
		"a workflow":             {files: []string{reactive}, options: Options{Workflow: "w"}, fault: "a:1:1: a workflow or step to begin with can be chosen in job files only: a ReactiveJob has none"},
		"a step":                 {files: []string{`{"image": "x"}`}, options: Options{Step: "s"}, fault: "a:1:1: a workflow or step to begin with can be chosen in job files only: a task definition has none"},
		"params":                 {files: []string{join(someTask, ignitor)}, options: Options{Params: map[string]string{"p": ""}}, fault: `a:1:1: a value is given for the param "p", but a set of Tasks and Ignitors declares no params`},
		"an ignitor of a job":    {files: []string{reactive}, options: Options{Ignite: "i"}, fault: "a:1:1: an Ignitor to begin with and a bound of visits can be given for Tasks and Ignitors only"},
		"visits of a pipeline":   {files: []string{aPipeline}, options: Options{MaxVisits: 1}, fault: "a:1:1: an Ignitor to begin with and a bound of visits can be given for Tasks and Ignitors only"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var files []File
			for i, text := range tc.files {
				files = append(files, File{Name: string(rune('a' + i)), Data: []byte(text)})
			}
			r, err := ParseFiles(files, tc.options)
			if tc.fault != "" {
				if heddle.CodeOf(err) != heddle.CodeInvalid || !strings.HasPrefix(err.Error(), tc.fault) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var warnings []string
			for _, w := range r.Warnings {
				warnings = append(warnings, w.String())
			}
			if r.Flow.Kind != tc.kind || r.Flow.Name != tc.name {
				t.Errorf("got the %s %q", r.Flow.Kind, r.Flow.Name)
			}
			if diff := cmp.Diff(tc.warnings, strings.Join(warnings, "\n")); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestIsPart(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{someTask: true, configMap + "---\n" + ignitor: true, reactive: false, aPipeline: false, "[": false} {
		if IsPart(File{Name: "f", Data: []byte(text)}) != want {
			t.Errorf("%s: want %t", text, want)
		}
	}
}
