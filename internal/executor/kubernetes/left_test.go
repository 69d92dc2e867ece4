package kubernetes

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/kube"
)

// TestASecretWithoutItsJob is a crash between the two calls of a start, and an end of the
// attempt without that start being repeated.
func TestASecretWithoutItsJob(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		adopted bool
		store   string
		left    bool
	}{
		"of an attempt that is never heard of again": {store: storeID},
		"of an attempt that is adopted and is lost":  {adopted: true, store: storeID},
		"of another store":                           {store: "another", left: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			spec := b.spec("exit 0")
			spec.Work.Env = map[string]string{"KOG_CONTEXT": "e30="}
			objects, err := kube.Build(spec, kube.Options{Store: test.store, Namespace: b.namespace})
			if err == nil {
				err = b.api.create(t.Context(), secrets(), b.namespace, objects.Secret, &corev1.Secret{})
			}
			if err != nil {
				t.Fatal(err)
			}
			if test.adopted {
				at := heddle.Attempt{ID: spec.Attempt, Place: b.exec.Place()}
				if err := b.exec.Adopt(t.Context(), []executor.Adoption{{Attempt: at}}); err != nil {
					t.Fatal(err)
				}
				b.want(b.exit(spec.Attempt), heddle.Lost, "")
			}
			for range 2 { // unknown ones are ignored
				if err := b.exec.Release(t.Context(), []heddle.AttemptID{spec.Attempt}); err != nil {
					t.Fatal(err)
				}
			}
			err = b.api.get(t.Context(), secrets(), b.namespace, objects.Secret.Name, &corev1.Secret{})
			if test.left && err != nil || !test.left && !apierrors.IsNotFound(err) {
				t.Errorf("left: %v, looking for the Secret: %v", test.left, err)
			}
		})
	}
}

// TestEviction is what a drain of the node does to a Pod.
func TestEviction(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.start(b.spec(forever))
	b.runs(id)
	pod := b.podOf(id)
	body := `{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "` + pod.Name + `", "namespace": "` + b.namespace + `"}}`
	err := b.api.core.Post().Namespace(b.namespace).Resource("pods").Name(pod.Name).SubResource("eviction").
		SetHeader("Content-Type", "application/json").Body([]byte(body)).Do(t.Context()).Error()
	if err != nil {
		t.Fatal(err)
	}
	b.want(b.exit(id), heddle.Broken, "EvictionByEvictionAPI")
	if err := b.exec.Release(t.Context(), []heddle.AttemptID{id}); err != nil {
		t.Fatal(err)
	}
	b.nothingLeft()
}
