package v1alpha1

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
)

// TestJSON holds the names of the keys to those of orcaoperator's objects. What
// list metadata says was lost there, for a misspelt tag.
func TestJSON(t *testing.T) {
	t.Parallel()
	const text = `{"metadata":{"resourceVersion":"7","continue":"more"},"items":[{"metadata":{"name":"a"},` +
		`"spec":{"description":"d","startOnIgnition":["i"],"startOnSuccess":["s"],"startOnFailure":["f"],"successActions":["x"],"failureActions":["y"],` +
		`"template":{"metadata":{},"spec":{"containers":[{"name":"c","resources":{}}]}}},` +
		`"status":{"state":"","lastSuccess":"","lastFailure":"","failuresCount":0}}]}`
	var list TaskList
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(&list)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(text, string(again)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	var task Task
	if err := json.Unmarshal([]byte(`{"spec":{"startOnSuccess":null,"successActions":null}}`), &task); err != nil || task.Spec.StartOnSuccess != nil {
		t.Errorf("null lists: %+v, %v", task.Spec, err)
	}
}

func TestAddToScheme(t *testing.T) {
	t.Parallel()
	scheme := runtime.NewScheme()
	if err := AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"Task", "TaskList", "Ignitor", "IgnitorList"} {
		if !scheme.Recognizes(SchemeGroupVersion.WithKind(kind)) {
			t.Errorf("%s is not known", kind)
		}
	}
}
