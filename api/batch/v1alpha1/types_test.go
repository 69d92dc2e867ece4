package v1alpha1

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
)

// TestJSON holds the names of the keys to those of reactivejob-operator's objects.
func TestJSON(t *testing.T) {
	t.Parallel()
	const text = `{"metadata":{"name":"a"},"spec":{"jobTemplate":{"metadata":{},"spec":{"template":{"metadata":{},"spec":{"containers":null}}}}},` +
		`"status":{"observedGeneration":3,"conditions":[{"type":"Ready","status":"True","lastUpdateTime":"2026-01-01T00:00:00Z",` +
		`"lastTransitionTime":"2026-01-01T00:00:00Z","reason":"Ready","message":"m"}],"state":"Ready","currentJobName":"a-x"}}`
	var job ReactiveJob
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(&job)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(text, string(again)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestAddToScheme(t *testing.T) {
	t.Parallel()
	scheme := runtime.NewScheme()
	if err := AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"ReactiveJob", "ReactiveJobList"} {
		if !scheme.Recognizes(SchemeGroupVersion.WithKind(kind)) {
			t.Errorf("%s is not known", kind)
		}
	}
}
