package bench

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/engine"
	kubeexec "github.com/heddle/heddle/internal/executor/kubernetes"
)

// The variables that say which cluster scenarios use, and how large those of scale are.
const (
	kubeconfigVar = "HEDDLE_TEST_KUBECONFIG"
	kwokVar       = "HEDDLE_TEST_KWOK"
	queuedVar     = "HEDDLE_BENCH_QUEUED" // runs, default 5000
	liveVar       = "HEDDLE_BENCH_LIVE"   // runs, default 10000
	bareVar       = "HEDDLE_BENCH_BARE"   // Pods instead of Jobs
)

// qps is the limit of the clients that are compared: one that does not bind.
const qps = 1000

// onKubernetes are the options of an executor for a scenario's child process.
func onKubernetes(dir string) kubeexec.Options {
	return kubeexec.Options{
		StoreID: storeOf(dir), QPS: qps, Burst: 2 * qps, Bare: os.Getenv(bareVar) != "",
		Env: func(name string) string {
			if name == "KUBECONFIG" {
				return os.Getenv(kubeconfigVar)
			}
			return ""
		},
	}
}

func storeOf(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return hex.EncodeToString(sum[:8])
}

// faked makes the steps of a flow ones for kwok's node, where Pods end at once if
// they are a Job's, and never if they are not.
func faked(flow *heddle.Flow) *heddle.Flow {
	patch := json.RawMessage(`{"spec":{"nodeSelector":{"type":"kwok"},"tolerations":[{"key":"kwok.x-k8s.io/node","operator":"Exists"}]}}`)
	for i := range flow.Steps {
		flow.Steps[i].Work.Image = "busybox:1.36"
		flow.Steps[i].Work.Kubernetes = &heddle.Kubernetes{PodTemplate: patch}
	}
	return flow
}

// real makes them ones for a node with a kubelet.
func real(flow *heddle.Flow) *heddle.Flow {
	for i := range flow.Steps {
		flow.Steps[i].Work.Image = "busybox:1.36"
	}
	return flow
}

// playAtOnce submits n runs and takes the time until all have ended well.
func (w *world) playAtOnce(ctx context.Context, n int, name string, flow *heddle.Flow) error {
	w.options.Parallel = n + 1
	w.engine = engine.Start(ctx, w.options)
	defer w.engine.Stop()
	if err := w.one(ctx, flow, name); err != nil {
		return err
	}
	begun := time.Now()
	faults := make(chan error, n)
	var done sync.WaitGroup
	for range n {
		done.Go(func() {
			if err := w.one(ctx, flow, name); err != nil {
				faults <- err
			}
		})
	}
	done.Wait()
	w.took = time.Since(begun)
	select {
	case err := <-faults:
		return err
	default:
		return nil
	}
}

// live has n runs going whose Pods never end, and takes the time until all run. They
// are gone with the namespace.
func live(ctx context.Context, w *world, n int) error {
	w.options.Parallel = n + 1
	w.engine = engine.Start(ctx, w.options)
	begun := time.Now()
	flow := faked(single())
	flow.Steps[0].Work.Kubernetes.Bare = true
	for range n {
		if _, err := w.engine.Submit(ctx, heddle.Submission{Flow: flow, Executor: "kubernetes"}); err != nil {
			return err
		}
	}
	cluster, err := client(os.Getenv(kubeconfigVar))
	if err != nil {
		return err
	}
	pods := cluster.CoreV1().Pods(namespaceOf(os.Getenv(kubeconfigVar)))
	running := metav1.ListOptions{
		LabelSelector: "heddle.dev/store=" + storeOf(w.dir), FieldSelector: "status.phase=Running", ResourceVersion: "0",
	}
	if err := pollEvery(time.Second, func() (bool, error) {
		list, err := pods.List(ctx, running)
		return err == nil && len(list.Items) >= n, err
	}); err != nil {
		return err
	}
	w.took = time.Since(begun)
	return nil
}

func client(path string) (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = qps, 2*qps
	config.ContentType = "application/vnd.kubernetes.protobuf"
	return kubernetes.NewForConfig(config)
}

func namespaceOf(path string) string {
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return ""
	}
	return config.Contexts[config.CurrentContext].Namespace
}

// lab is a namespace of a benchmark's own, named by the kubeconfig in its variable.
type lab struct {
	*kubernetes.Clientset
	namespace string
}

func newLab(b *testing.B, fakeNode bool) *lab {
	b.Helper()
	path := os.Getenv(kubeconfigVar)
	if path == "" {
		b.Skip(kubeconfigVar + " is not set")
	}
	if fakeNode && os.Getenv(kwokVar) == "" {
		b.Skip(kwokVar + " is not set: there is no fake node")
	}
	set, err := client(path)
	if err != nil {
		b.Fatal(err)
	}
	l := &lab{Clientset: set, namespace: fmt.Sprintf("heddle-bench-%d", time.Now().UnixNano())}
	ctx := context.Background()
	if _, err := l.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: l.namespace}}, metav1.CreateOptions{}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = l.CoreV1().Pods(l.namespace).DeleteCollection(ctx, *metav1.NewDeleteOptions(0), metav1.ListOptions{})
		if err := l.CoreV1().Namespaces().Delete(ctx, l.namespace, metav1.DeleteOptions{}); err != nil {
			b.Error(err)
		}
	})
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		b.Fatal(err)
	}
	config.Contexts[config.CurrentContext].Namespace = l.namespace
	own := filepath.Join(b.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, own); err != nil {
		b.Fatal(err)
	}
	b.Setenv(kubeconfigVar, own)
	return l
}

// pod is what a step of a scenario asks for, made by hand.
func pod(fakeNode bool) corev1.PodSpec {
	never := false
	spec := corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, AutomountServiceAccountToken: &never,
		Containers: []corev1.Container{{Name: "main", Image: "busybox:1.36", Args: []string{"true"}}},
	}
	if fakeNode {
		spec.NodeSelector = map[string]string{"type": "kwok"}
		spec.Tolerations = []corev1.Toleration{{Key: "kwok.x-k8s.io/node", Operator: corev1.TolerationOpExists}}
	}
	return spec
}

// bareJobs creates n Jobs, awaits the end of each and deletes it, with one informer,
// and returns the seconds that took.
func (l *lab) bareJobs(b *testing.B, n int, fakeNode bool) float64 {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	jobs := l.BatchV1().Jobs(l.namespace)
	begun := time.Now()
	ended := make(chan string, 2*n)
	look := func(object any) {
		if job, ok := object.(*batchv1.Job); ok && job.Status.CompletionTime != nil && job.DeletionTimestamp == nil {
			ended <- job.Name
		}
	}
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(l.BatchV1().RESTClient(), "jobs", l.namespace, fields.Everything()),
		ObjectType:    &batchv1.Job{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc: look, UpdateFunc: func(_, object any) { look(object) },
		},
	})
	go informer.RunWithContext(ctx)
	names, over := make(chan int), make(chan string, n)
	var workers sync.WaitGroup
	for range 64 {
		workers.Go(func() {
			for i := range names {
				job := &batchv1.Job{
					ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("bare-%d-%d", begun.UnixNano(), i)},
					Spec:       batchv1.JobSpec{BackoffLimit: new(int32), Template: corev1.PodTemplateSpec{Spec: pod(fakeNode)}},
				}
				if _, err := jobs.Create(ctx, job, metav1.CreateOptions{}); err != nil {
					b.Error(err)
				}
			}
		})
		workers.Go(func() {
			background := metav1.DeletePropagationBackground
			for name := range over {
				if err := jobs.Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	go func() {
		for i := range n {
			names <- i
		}
		close(names)
	}()
	for seen := map[string]bool{}; len(seen) < n; {
		if name := <-ended; !seen[name] {
			seen[name] = true
			over <- name
		}
	}
	close(over)
	workers.Wait()
	return time.Since(begun).Seconds()
}

// BenchmarkKubernetesChain is the time from the end of a step's container to the
// next step's Pod, as one who watches both sees it, on a fake node.
func BenchmarkKubernetesChain(b *testing.B) {
	const n = 200
	l := newLab(b, true)
	events, err := l.CoreV1().Pods(l.namespace).Watch(context.Background(), metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer events.Stop()
	gaps := make(chan []float64, 1)
	go func() { gaps <- handovers(events) }()
	measure(b, fresh(b, "sqlite"), "kube-chain", n)
	events.Stop()
	seen := <-gaps
	slices.Sort(seen)
	if len(seen) < n-1 {
		b.Fatalf("%d handovers of %d seen", len(seen), n-1)
	}
	b.ReportMetric(seen[len(seen)/2]*1e3, "p50-ms")
	b.ReportMetric(seen[len(seen)*99/100]*1e3, "p99-ms")
}

// handovers returns the seconds between the end of a Pod and the next one's creation.
func handovers(events watch.Interface) (gaps []float64) {
	var ended time.Time
	over := map[string]bool{}
	for event := range events.ResultChan() {
		pod, ok := event.Object.(*corev1.Pod)
		if !ok {
			continue
		}
		switch {
		case event.Type == watch.Added && !ended.IsZero():
			gaps = append(gaps, time.Since(ended).Seconds())
			ended = time.Time{}
		case pod.Status.Phase == corev1.PodSucceeded && !over[pod.Name]:
			over[pod.Name] = true
			ended = time.Now()
		}
	}
	return gaps
}

// BenchmarkKubernetesAtOnce is 20 one-step runs at once on a real node, beside 20
// Jobs created, awaited and deleted by hand before and after.
func BenchmarkKubernetesAtOnce(b *testing.B) {
	const n = 20
	l := newLab(b, false)
	l.bareJobs(b, 1, false) // pulls the image
	before := l.bareJobs(b, n, false)
	heddle := measure(b, fresh(b, "sqlite"), "kube-once", n).Seconds
	bare := (before + l.bareJobs(b, n, false)) / 2
	b.ReportMetric(bare, "bare-s")
	b.ReportMetric(heddle, "s")
	b.ReportMetric(heddle/bare, "ratio-to-bare")
}

// BenchmarkKubernetesQueued is many one-step runs queued at once on a fake node,
// beside the same Jobs created, awaited and deleted by hand.
func BenchmarkKubernetesQueued(b *testing.B) {
	n := sized(b, queuedVar, 5000)
	l := newLab(b, true)
	bare := l.bareJobs(b, n, true)
	f := measure(b, fresh(b, "sqlite"), "kube-queued", n)
	b.ReportMetric(float64(n), "runs")
	b.ReportMetric(bare, "bare-s")
	b.ReportMetric(f.Seconds, "s")
	b.ReportMetric(f.Seconds/bare, "ratio-to-bare")
	b.ReportMetric(f.PeakMB, "MB")
}

// BenchmarkKubernetesCalls counts the requests to the API server, watches aside, for
// each one-step run.
func BenchmarkKubernetesCalls(b *testing.B) {
	const n = 100
	newLab(b, true)
	calls := count(b)
	measure(b, fresh(b, "sqlite"), "kube-queued", n)
	b.ReportMetric(float64(calls.Load())/(n+1), "calls/run")
}

// count puts a proxy that counts requests before the API server. Those of the set-up
// are counted too.
func count(b *testing.B) *atomic.Int64 {
	b.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv(kubeconfigVar))
	if err != nil {
		b.Fatal(err)
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		b.Fatal(err)
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		b.Fatal(err)
	}
	var calls atomic.Int64
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport, proxy.FlushInterval = transport, -1
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.RawQuery, "watch=") {
			calls.Add(1)
		}
		proxy.ServeHTTP(w, r)
	}))
	b.Cleanup(server.Close)
	own, err := clientcmd.LoadFromFile(os.Getenv(kubeconfigVar))
	if err != nil {
		b.Fatal(err)
	}
	for _, cluster := range own.Clusters {
		cluster.Server, cluster.CertificateAuthorityData = server.URL, nil
	}
	for _, user := range own.AuthInfos {
		user.ClientCertificateData, user.ClientKeyData = nil, nil
	}
	path := filepath.Join(b.TempDir(), "counted")
	if err := clientcmd.WriteToFile(*own, path); err != nil {
		b.Fatal(err)
	}
	b.Setenv(kubeconfigVar, path)
	return &calls
}

// BenchmarkKubernetesLive is the memory of an engine with many live runs, each a Pod
// on a fake node.
func BenchmarkKubernetesLive(b *testing.B) {
	n := sized(b, liveVar, 10_000)
	newLab(b, true)
	f := measure(b, fresh(b, "sqlite"), "kube-live", n)
	b.ReportMetric(float64(n), "runs")
	b.ReportMetric(f.Seconds, "s")
	b.ReportMetric(f.PeakMB, "MB")
}

func sized(b *testing.B, name string, usual int) int {
	b.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		b.Fatalf("%s is %q: want a number of runs", name, text)
	}
	return n
}
