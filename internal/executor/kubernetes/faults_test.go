package kubernetes

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/kube"
)

const (
	forever = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done"
	pattern = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do echo line $i; echo line $i again; sleep 0.3; done; echo 'KOG:{}'"
)

// podOf waits for the Pod of an attempt.
func (b *bench) podOf(id heddle.AttemptID) (found corev1.Pod) {
	b.Helper()
	eventually(b.T, "a Pod", func() bool {
		list, err := b.api.list(b.Context(), pods(), b.namespace, kube.Selector(storeID, id))
		if err != nil {
			b.Fatal(err)
		}
		if items := list.(*corev1.PodList).Items; len(items) > 0 {
			found = items[0]
		}
		return found.Name != ""
	})
	return found
}

func (b *bench) delete(k kind, name string, how metav1.DeletionPropagation) {
	b.Helper()
	if err := b.api.delete(b.Context(), k, b.namespace, name, how, nil); err != nil {
		b.Fatal(err)
	}
}

func TestDeletedByHand(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		how    func(b *bench, id heddle.AttemptID)
		reason heddle.ExitReason
		words  string
	}{
		"the Pod": {
			how: func(b *bench, id heddle.AttemptID) {
				b.delete(pods(), b.podOf(id).Name, metav1.DeletePropagationBackground)
			},
			reason: heddle.Broken, words: "its Pod was deleted",
		},
		"the Job": {
			how: func(b *bench, id heddle.AttemptID) {
				b.delete(jobs(), kube.SecretName(id), metav1.DeletePropagationBackground)
			},
			reason: heddle.Lost, words: "its Job was deleted",
		},
		"the Job, its Pods first": {
			how: func(b *bench, id heddle.AttemptID) {
				b.delete(jobs(), kube.SecretName(id), metav1.DeletePropagationForeground)
			},
			reason: heddle.Lost, words: "its Job was deleted",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			id := b.start(b.spec(forever))
			b.runs(id)
			test.how(b, id)
			b.want(b.exit(id), test.reason, test.words)
			pods, err := b.api.list(t.Context(), pods(), b.namespace, kube.Selector(storeID, id))
			if err != nil || len(pods.(*corev1.PodList).Items) > 1 {
				t.Errorf("more than one Pod was made: %v, %v", pods, err)
			}
		})
	}
}

func TestWhatCannotStart(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		work  heddle.Work
		words string
	}{
		"an image that is not there": {work: heddle.Work{Image: "127.0.0.1:1/none:1"}, words: "127.0.0.1:1/none:1"},
		"an image without a name":    {work: heddle.Work{Image: "UPPER CASE"}, words: "InvalidImageName"},
		"a Secret that is not there": {
			work:  heddle.Work{Image: busybox, From: map[string]heddle.Source{"A": {Secret: "nobody/key"}}},
			words: `secret "nobody" not found`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(o *Options) { o.Patience = 2 * time.Second })
			spec := b.spec("")
			spec.Work = test.work
			b.want(b.exit(b.start(spec)), heddle.Refused, test.words)
		})
	}
}

func TestNoNodeForIt(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *Options) { o.Pending = 2 * time.Second })
	spec := b.spec("")
	spec.Work.Kubernetes = &heddle.Kubernetes{PodTemplate: []byte(`{"spec": {"nodeSelector": {"nobody": "has-it"}}}`)}
	b.want(b.exit(b.start(spec)), heddle.Refused, "Unschedulable")
}

func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	spec := b.spec("head -c 100000000 /dev/zero | tail -c 90000000 | wc -c & wait $!; tail /dev/zero")
	spec.Work.Memory = 16 << 20
	exit := b.exit(b.start(spec))
	if exit.Code != 137 {
		t.Skipf("the kubelet here does not bound memory: %+v", exit)
	}
	b.want(exit, heddle.Exited, "out of memory: the limit is 16 MiB")
}

func TestAServerThatIsAway(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ends, runs := b.start(b.spec(pattern)), b.start(b.spec(forever))
	b.runs(ends)
	b.runs(runs)
	b.wire.setCut(true)
	spec := b.spec("exit 3")
	err := b.exec.Start(t.Context(), spec)
	if _, refused := executor.Refused(err); err == nil || refused {
		t.Errorf("starting while it is away: %v", err)
	}
	if err := b.exec.Stop(t.Context(), runs, "enough", time.Second); err == nil {
		t.Error("stopping while it is away is no error")
	}
	pod := b.podOf(ends)
	eventually(t, "the end of the program", func() bool {
		return b.api.get(t.Context(), pods(), b.namespace, pod.Name, &pod) == nil && pod.Status.Phase == corev1.PodSucceeded
	})
	b.mu.Lock()
	for id, reports := range b.reports {
		for _, r := range reports {
			if r.Exit != nil {
				t.Errorf("the end of %s is told while the server is away: %+v", id, r.Exit)
			}
		}
	}
	b.mu.Unlock()
	b.wire.setCut(false)
	b.start(spec)
	if exit := b.exit(ends); exit.Reason != heddle.Exited || exit.Code != 0 || string(exit.Result) != "{}" {
		t.Errorf("got %+v", exit)
	}
	b.allLines(ends)
	if exit := b.exit(spec.Attempt); exit.Code != 3 {
		t.Errorf("got %+v", exit)
	}
	if err := b.exec.Stop(t.Context(), runs, "enough", time.Second); err != nil {
		t.Fatal(err)
	}
	b.want(b.exit(runs), heddle.Stopped, "enough")
}

// allLines checks that no line of the pattern is there twice or missing.
func (b *bench) allLines(id heddle.AttemptID) {
	b.Helper()
	var want, got []string
	for i := range 20 {
		want = append(want, fmt.Sprintf("line %d", i+1), fmt.Sprintf("line %d again", i+1))
	}
	for line := range strings.Lines(b.logs.text(id)) {
		if _, text, found := strings.Cut(line, " stdout F line"); found {
			got = append(got, "line"+strings.TrimSuffix(text, "\n"))
		}
	}
	if strings.Join(want, "\n") != strings.Join(got, "\n") {
		b.Errorf("got lines %q", got)
	}
}

// TestOutputThatBreaksOff cuts the connection again and again while a program prints.
func TestOutputThatBreaksOff(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.start(b.spec(pattern))
	b.runs(id)
	for i := 1; i < 5; i++ {
		eventually(t, "more lines", func() bool { return strings.Contains(b.logs.text(id), fmt.Sprintf("line %d again", 4*i)) })
		b.wire.setCut(false)
	}
	if exit := b.exit(id); exit.Code != 0 || string(exit.Result) != "{}" {
		t.Errorf("got %+v", exit)
	}
	b.allLines(id)
}

func TestAdoptionWhileItRuns(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	spec := b.spec(pattern)
	spec.Work.Env = map[string]string{"A": strings.Repeat("a", 20<<10)} // so that there is a Secret
	id := b.start(spec)
	b.runs(id)
	if err := b.exec.Close(); err != nil {
		t.Fatal(err)
	}
	b.open()
	if err := b.exec.Adopt(t.Context(), []executor.Adoption{{Attempt: heddle.Attempt{ID: id, Place: b.exec.Place()}}}); err != nil {
		t.Fatal(err)
	}
	if exit := b.exit(id); exit.Code != 0 || string(exit.Result) != "{}" {
		t.Errorf("got %+v", exit)
	}
	b.allLines(id)
	if err := b.exec.Release(t.Context(), []heddle.AttemptID{id}); err != nil {
		t.Fatal(err)
	}
	b.nothingLeft()
	elsewhere := heddle.Attempt{ID: id, Place: "kubernetes:other:uid"}
	if err := b.exec.Adopt(t.Context(), []executor.Adoption{{Attempt: elsewhere}}); heddle.CodeOf(err) != heddle.CodeUnavailable {
		t.Errorf("adopting what another cluster has: %v", err)
	}
}

// nothingLeft waits until no Job, Pod and Secret is left.
func (b *bench) nothingLeft() {
	b.Helper()
	for _, k := range []kind{jobs(), pods(), secrets()} {
		eventually(b.T, "no "+k.resource, func() bool {
			list, err := b.api.list(b.Context(), k, b.namespace, kube.Selector(storeID, ""))
			if err != nil {
				b.Fatal(err)
			}
			text, err := json.Marshal(list)
			return err == nil && strings.Contains(string(text), `"items":[]`) || err == nil && strings.Contains(string(text), `"items":null`)
		})
	}
}

func TestFewCalls(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		env  map[string]string
		bare bool
		most int
	}{
		"a plain step":         {most: 3},
		"a step of a job file": {env: map[string]string{"KOG_CONTEXT": "e30="}, most: 4},
		"a bare Pod":           {bare: true, most: 3},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(o *Options) { o.Bare = test.bare })
			b.wire.take()
			spec := b.spec("echo hello")
			spec.Work.Env = test.env
			id := b.start(spec)
			b.exit(id)
			if err := b.exec.Release(t.Context(), []heddle.AttemptID{id}); err != nil {
				t.Fatal(err)
			}
			if calls := b.wire.take(); len(calls) > test.most {
				t.Errorf("%d calls, more than %d:\n%s", len(calls), test.most, strings.Join(calls, "\n"))
			}
			b.nothingLeft()
		})
	}
}

func TestKeptForAWhile(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *Options) { o.Keep = 2 * time.Second })
	id := b.start(b.spec("exit 1"))
	b.exit(id)
	if err := b.exec.Release(t.Context(), []heddle.AttemptID{id}); err != nil {
		t.Fatal(err)
	}
	if held, err := b.exec.Held(t.Context()); err != nil || len(held) > 0 {
		t.Errorf("what is released is held: %v, %v", held, err)
	}
	var job batchv1.Job
	if err := b.api.get(t.Context(), jobs(), b.namespace, kube.SecretName(id), &job); err != nil {
		t.Errorf("it is deleted at once: %v", err)
	}
	b.nothingLeft()
}

func TestSomebodyElsesJob(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	spec := b.spec("exit 0")
	theirs := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: kube.SecretName(spec.Attempt), Namespace: b.namespace},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: busybox, Command: []string{"true"}}},
		}}},
	}
	if err := b.api.create(t.Context(), jobs(), b.namespace, theirs, theirs); err != nil {
		t.Fatal(err)
	}
	if message, refused := executor.Refused(b.exec.Start(t.Context(), spec)); !refused || !strings.Contains(message, theirs.Name) {
		t.Errorf("got %q, %v", message, refused)
	}
	if err := b.api.get(t.Context(), jobs(), b.namespace, theirs.Name, theirs); err != nil {
		t.Errorf("it is gone: %v", err)
	}
}

func TestWhatTheServerRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	spec := b.spec("exit 0")
	spec.Work.Kubernetes = &heddle.Kubernetes{PodTemplate: []byte(`{"spec": {"containers": [{"name": "main", "imagePullPolicy": "Sometimes"}]}}`)}
	spec.Work.Env = map[string]string{"KOG_CONTEXT": "e30="}
	if message, refused := executor.Refused(b.exec.Start(t.Context(), spec)); !refused || !strings.Contains(message, "Sometimes") {
		t.Errorf("got %q, %v", message, refused)
	}
	b.nothingLeft()
}

func TestAQuotaIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	quotas := kind{core, "resourcequotas", func() runtime.Object { return &corev1.ResourceQuotaList{} }}
	quota := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "none", Namespace: b.namespace},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/jobs.batch": resource.MustParse("0")}},
	}
	if err := b.api.create(t.Context(), quotas, b.namespace, quota, quota); err != nil {
		t.Fatal(err)
	}
	spec := b.spec("exit 6")
	eventually(t, "the quota", func() bool {
		return b.api.get(t.Context(), quotas, b.namespace, "none", quota) == nil && len(quota.Status.Hard) > 0
	})
	err := b.exec.Start(t.Context(), spec)
	if _, refused := executor.Refused(err); refused || heddle.CodeOf(err) != heddle.CodeUnavailable || !strings.Contains(err.Error(), "exceeded quota") {
		t.Errorf("got %v, refused: %v", err, refused)
	}
	b.delete(quotas, "none", metav1.DeletePropagationBackground)
	eventually(t, "a start", func() bool { return b.exec.Start(t.Context(), spec) == nil })
	if exit := b.exit(spec.Attempt); exit.Code != 6 {
		t.Errorf("got %+v", exit)
	}
}

func TestSecretsAreNotInThePod(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	theirs := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "team", Namespace: b.namespace}, Data: map[string][]byte{"token": []byte("from-their-secret")}}
	if err := b.api.create(t.Context(), secrets(), b.namespace, theirs, theirs); err != nil {
		t.Fatal(err)
	}
	spec := b.spec(`echo "$PASS ${#TOKEN} $PLAIN"`)
	spec.Work.Env = map[string]string{"PASS": "hunter22", "PLAIN": "$(PASS) $$"}
	spec.Work.From = map[string]heddle.Source{"TOKEN": {Secret: "team/token"}}
	spec.Mask = []string{"hunter22"}
	id := b.start(spec)
	pod := b.podOf(id)
	var job batchv1.Job
	if err := b.api.get(t.Context(), jobs(), b.namespace, kube.SecretName(id), &job); err != nil {
		t.Fatal(err)
	}
	for _, object := range []any{pod, job} {
		if text, err := json.Marshal(object); err != nil || strings.Contains(string(text), "hunter22") {
			t.Errorf("the secret is in the %T (%v)", object, err)
		}
	}
	b.exit(id)
	if log := b.logs.text(id); !strings.Contains(log, "stdout F *** 17 $(PASS) $$\n") {
		t.Errorf("got log %q", log)
	}
}

func TestAManifestOfSeveralPods(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	spec := b.spec("")
	spec.Work = heddle.Work{Env: map[string]string{"WHO": "world"}, Kubernetes: &heddle.Kubernetes{JobName: "Hello Job", Template: []byte(`{"spec": {
		"completions": 2, "backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [
			{"name": "c", "image": "` + busybox + `", "command": ["sh", "-c", "echo hello $WHO"]}]}}}}`)}}
	exit := b.exit(b.start(spec))
	b.want(exit, heddle.Exited, "")
	if log := b.logs.text(spec.Attempt); exit.Code != 0 || strings.Count(log, "hello world") != 2 {
		t.Errorf("got code %d, log %q", exit.Code, log)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	opts := k.options()
	findings := Check(t.Context(), opts)
	for _, f := range findings {
		if !f.OK {
			t.Errorf("%+v", f)
		}
	}
	if len(findings) < 2 || !strings.Contains(findings[0].What, "Kubernetes v1.") {
		t.Errorf("got %+v", findings)
	}
	nobody := filepath.Join(t.TempDir(), "config")
	config, err := clientcmd.LoadFromFile(k.config)
	if err == nil {
		for _, user := range config.AuthInfos {
			user.Impersonate = "nobody"
		}
		err = clientcmd.WriteToFile(*config, nobody)
	}
	if err != nil {
		t.Fatal(err)
	}
	opts.Env = func(name string) string { return map[string]string{"KUBECONFIG": nobody}[name] }
	findings = Check(t.Context(), opts)
	last := findings[len(findings)-1]
	if last.OK || !strings.Contains(last.What, "create, get, list, watch, delete jobs") || !strings.Contains(last.Advice, `{apiGroups: [""], resources: [pods/log], verbs: [get]}`) {
		t.Errorf("got %+v", findings)
	}
}
