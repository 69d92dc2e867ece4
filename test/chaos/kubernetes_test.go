package chaos_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/engine"
	"github.com/heddle/heddle/internal/executor"
)

const kubeconfigVar = "HEDDLE_TEST_KUBECONFIG"

func newCluster(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv(kubeconfigVar))
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// newNamespace makes a namespace for one world.
func newNamespace(t *testing.T) string {
	t.Helper()
	cluster, name := newCluster(t), "heddle-chaos-"+strings.ToLower(rand.Text()[:10])
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := cluster.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.CoreV1().Namespaces().Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	return name
}

// nothingLeft opens the executor of the world once more, as the next start does, and
// waits until the cluster has nothing of it.
func (w *world) nothingLeft() {
	w.t.Helper()
	if w.parts.executor != "kubernetes" {
		return
	}
	ctx := w.t.Context()
	st, err := openStore(ctx, w.dir, w.db)
	if err != nil {
		w.t.Fatal(err)
	}
	defer st.Close()
	log := slog.New(slog.DiscardHandler)
	eng := engine.Start(ctx, engine.Options{
		Store: st, History: st, Turns: st, Pools: st, Log: log,
		Open: func(ctx context.Context, _ string, sink executor.Sink) (executor.Executor, error) {
			return openKubernetes(ctx, w.dir, w.namespace, os.Getenv(kubeconfigVar), log, sink)
		},
	})
	defer eng.Stop()
	text, err := os.ReadFile(w.flow)
	if err != nil {
		w.t.Fatal(err)
	}
	var flow heddle.Flow
	if err := json.Unmarshal(text, &flow); err != nil {
		w.t.Fatal(err)
	}
	// The run is there already: all that this does is to open the executor.
	_, err = eng.Submit(ctx, heddle.Submission{Flow: &flow, ID: w.run, Executor: w.parts.executor})
	if heddle.CodeOf(err) != heddle.CodeConflict {
		w.t.Fatalf("submitting the run again: %v", err)
	}
	cluster := newCluster(w.t)
	for deadline := time.Now().Add(30 * time.Second); ; pollPause() {
		left := inNamespace(w.t, cluster, w.namespace)
		if left == "" {
			return
		}
		if time.Now().After(deadline) {
			w.t.Errorf("left behind: %s\n%s", left, w.history())
			return
		}
	}
}

// inNamespace names the Jobs, Pods and Secrets of a namespace.
func inNamespace(t *testing.T, cluster *kubernetes.Clientset, namespace string) string {
	t.Helper()
	jobs, err := cluster.BatchV1().Jobs(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pods, err := cluster.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := cluster.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range jobs.Items {
		names = append(names, fmt.Sprintf("job %s", jobs.Items[i].Name))
	}
	for i := range pods.Items {
		names = append(names, fmt.Sprintf("pod %s", pods.Items[i].Name))
	}
	for i := range secrets.Items {
		names = append(names, fmt.Sprintf("secret %s", secrets.Items[i].Name))
	}
	return strings.Join(names, ", ")
}
