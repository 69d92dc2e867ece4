package kubernetes

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/heddle/heddle"
)

const (
	busybox = "busybox:1.36"
	storeID = "test"
	wait    = 90 * time.Second
)

// kit is a namespace of a test's own, and a client that needs no leave.
type kit struct {
	config    string // the path of the kubeconfig
	namespace string
	api       *api
}

func newKit(t *testing.T) *kit {
	t.Helper()
	config := os.Getenv("HEDDLE_TEST_KUBECONFIG")
	if config == "" {
		t.Skip("HEDDLE_TEST_KUBECONFIG is not set")
	}
	k := &kit{config: config, namespace: "heddle-test-" + strings.ToLower(rand.Text()[:10])}
	cluster, err := Find(k.env, "", "")
	if err == nil {
		k.api, err = newAPI(cluster.config, limits{100, 200, func(time.Duration) {}}, slog.New(slog.DiscardHandler))
	}
	if err != nil {
		t.Fatal(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: k.namespace}}
	if err := k.api.core.Post().Resource("namespaces").Body(namespace).Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := k.api.core.Delete().Resource("namespaces").Name(k.namespace).Do(context.Background()).Error()
		if err != nil {
			t.Error(err)
		}
	})
	return k
}

func (k *kit) env(name string) string {
	if name == "KUBECONFIG" {
		return k.config
	}
	return ""
}

func (k *kit) options() Options {
	return Options{StoreID: storeID, Namespace: k.namespace, Env: k.env}
}

// memLogs keeps logs in memory.
type memLogs struct {
	mu   sync.Mutex
	logs map[heddle.AttemptID]*memLog
}

type memLog struct {
	all *memLogs
	buf bytes.Buffer
}

func (l *memLogs) create(id heddle.AttemptID) (io.WriteCloser, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.logs == nil {
		l.logs = map[heddle.AttemptID]*memLog{}
	}
	l.logs[id] = &memLog{all: l}
	return l.logs[id], nil
}

func (l *memLogs) text(id heddle.AttemptID) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.logs[id] == nil {
		return ""
	}
	return l.logs[id].buf.String()
}

// Write implements [io.Writer].
func (l *memLog) Write(p []byte) (int, error) {
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	return l.buf.Write(p)
}

// Close implements [io.Closer].
func (l *memLog) Close() error { return nil }
