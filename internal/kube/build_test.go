package kube

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

const attempt = heddle.AttemptID("0r1f8k3x2abc-2-1")

func options() Options { return Options{Store: "store", Namespace: "ours", Keep: time.Hour} }

func build(t *testing.T, spec executor.Spec, o Options) *Objects {
	t.Helper()
	if spec.Attempt == "" {
		spec.Attempt = attempt
	}
	objects, err := Build(spec, o)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func TestAPlainStepIsOneJobAndNothingElse(t *testing.T) {
	t.Parallel()
	spec := executor.Spec{
		Step: "build it!", Timeout: 1500 * time.Millisecond, Grace: 200 * time.Millisecond, Log: 10,
		Labels: map[string]string{"heddle.dev/step": "build it!", "kog.run_id": "x y", "not a key": "z"},
		Work: heddle.Work{
			Image: "busybox:1.36", Entrypoint: []string{"sh"}, Command: []string{"-c", "echo $$ $(id)"}, Dir: "/tmp",
			Env: map[string]string{"B": "2$(A)", "A": "1"}, User: "1000:2000", Memory: 64 << 20, CPUs: 0.5,
			Message: &heddle.MessageFile{Env: "SAY", Path: "/say"}, From: map[string]heddle.Source{"TOKEN": {Secret: "team/token"}},
		},
	}
	objects := build(t, spec, options())
	if objects.Secret != nil || objects.Pod != nil {
		t.Fatalf("besides the Job: secret %v, pod %v", objects.Secret, objects.Pod)
	}
	got, err := json.Marshal(objects.Job)
	if err != nil {
		t.Fatal(err)
	}
	labels := `{"app.kubernetes.io/instance": "0r1f8k3x2abc", "app.kubernetes.io/managed-by": "heddle", "app.kubernetes.io/name": "build-it",
		"heddle.dev/attempt": "0r1f8k3x2abc-2-1", "heddle.dev/run": "0r1f8k3x2abc", "heddle.dev/step": "build-it", "heddle.dev/store": "store",
		"kog.run_id": "x-y"}`
	notes := `{"heddle.dev/container": "main", "heddle.dev/grace": "200ms", "heddle.dev/log": "10", "heddle.dev/timeout": "1.5s"}`
	want := `{"metadata": {"name": "heddle-0r1f8k3x2abc-2-1", "namespace": "ours", "labels": ` + labels + `, "annotations": ` + notes + `},
		"spec": {"backoffLimit": 0, "podReplacementPolicy": "Failed", "ttlSecondsAfterFinished": 3600, "template": {
			"metadata": {"labels": ` + labels + `, "annotations": ` + notes + `},
			"spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "activeDeadlineSeconds": 302,
				"automountServiceAccountToken": false, "enableServiceLinks": false, "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
				"containers": [{"name": "main", "image": "busybox:1.36", "imagePullPolicy": "IfNotPresent", "workingDir": "/tmp",
					"command": ["sh"], "args": ["-c", "echo $$$$ $$(id)"], "terminationMessagePath": "/say",
					"env": [{"name": "SAY", "value": "/say"}, {"name": "A", "value": "1"}, {"name": "B", "value": "2$$(A)"},
						{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "team", "key": "token"}}}],
					"resources": {"limits": {"cpu": "500m", "memory": "64Mi"}},
					"securityContext": {"allowPrivilegeEscalation": false, "runAsUser": 1000, "runAsGroup": 2000}}]}}},
		"status": {}}`
	if d := cmp.Diff(tree(t, []byte(want)), tree(t, got)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func tree(t *testing.T, text []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

func TestWhatIsSecretIsInTheSecret(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		env    map[string]string
		mask   []string
		files  []executor.File
		secret bool
	}{
		"a plain variable":                  {env: map[string]string{"A": "1"}},
		"a value that is masked":            {env: map[string]string{"A": "pass-hunter2"}, mask: []string{"hunter2"}, secret: true},
		"a secret of another variable":      {env: map[string]string{"A": "1"}, mask: []string{"", "hunter2"}},
		"the context of a job file":         {env: map[string]string{"KOG_CONTEXT": "e30="}, secret: true},
		"a context that is a file":          {files: []executor.File{{Env: "KOG_CONTEXT_FILE", Name: "context.json", Data: []byte("{}")}}, secret: true},
		"variables of many bytes":           {env: map[string]string{"A": strings.Repeat("x", 20<<10)}, secret: true},
		"a name that is no key of a Secret": {env: map[string]string{"A B": "hunter2"}, mask: []string{"hunter2"}, secret: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := build(t, executor.Spec{
				Work: heddle.Work{Image: "i", Env: test.env}, Mask: test.mask, Files: test.files,
			}, options())
			if got := objects.Secret != nil; got != test.secret {
				t.Fatalf("a Secret: %v, want %v", got, test.secret)
			}
			if !test.secret {
				return
			}
			job, err := json.Marshal(objects.Job)
			if err != nil {
				t.Fatal(err)
			}
			container := objects.Job.Spec.Template.Spec.Containers[0]
			for name, value := range test.env {
				if strings.Contains(string(job), value) {
					t.Errorf("the value of %s is in the Job", name)
				}
				for _, v := range container.Env {
					if v.Name == name && string(objects.Secret.Data[v.ValueFrom.SecretKeyRef.Key]) != value {
						t.Errorf("%s is not in the Secret", name)
					}
				}
			}
			for key := range objects.Secret.Data {
				if faults := validation.IsConfigMapKey(key); len(faults) > 0 {
					t.Errorf("key %q: %v", key, faults)
				}
			}
			if len(test.files) > 0 && (len(container.VolumeMounts) != 1 || container.Env[0].Name != "KOG_CONTEXT_FILE") {
				t.Errorf("the file is not in the container: %+v", container)
			}
			made := objects.Secret.DeepCopy()
			made.UID = types.UID("u")
			objects.Own(made)
			if owner := objects.Job.OwnerReferences; len(owner) != 1 || owner[0].UID != "u" || owner[0].Kind != "Secret" {
				t.Errorf("the Job's owners are %v", owner)
			}
		})
	}
}

func TestNamesAreLegalAndOneOfAKind(t *testing.T) {
	t.Parallel()
	wanted := []string{"", "n-a-b-my-img-x-1-2-0d9a", "Registry/Img@sha256", "-", strings.Repeat("long", 30), "ünï"}
	ids := []heddle.AttemptID{
		"r-1-1", "r-1-2", heddle.AttemptID(strings.Repeat("r", 40) + "-1-1"), heddle.AttemptID(strings.Repeat("r", 40) + "-1000000-100000"),
		heddle.AttemptID(strings.Repeat("r", 40) + "-1000000-100001"),
	}
	seen := map[string]string{}
	for _, name := range wanted {
		for _, id := range ids {
			got := JobName(name, id, "store")
			if faults := validation.IsDNS1123Label(got); len(faults) > 0 {
				t.Errorf("%q of %s: %q: %v", name, id, got, faults)
			}
			if before, taken := seen[got]; taken && dnsLabel(name) != "" {
				t.Errorf("%q of %s has the name %q of %s", name, id, got, before)
			}
			seen[got] = name + " of " + string(id)
			if again := JobName(name, id, "store"); again != got {
				t.Errorf("%q, and then %q", got, again)
			}
		}
	}
	if got := JobName("N_a.b", "r-1-1", "store"); !strings.HasPrefix(got, "n-a-b-") {
		t.Errorf("got %q", got)
	}
	if SecretName("r-1-1") != "heddle-r-1-1" {
		t.Errorf("got %q", SecretName("r-1-1"))
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		work    heddle.Work
		volumes []string
		want    string
	}{
		"no image":                       {want: "names no image"},
		"a user by name":                 {work: heddle.Work{Image: "i", User: "postgres"}, want: `user "postgres": Kubernetes takes numbers only`},
		"a group by name":                {work: heddle.Work{Image: "i", User: "1:wheel"}, want: "numbers only"},
		"a network of docker":            {work: heddle.Work{Image: "i", Network: "none"}, want: "NetworkPolicy"},
		"a named volume":                 {work: heddle.Work{Image: "i"}, volumes: []string{"data:/data"}, want: "pvc:NAME:/path"},
		"a relative path":                {work: heddle.Work{Image: "i"}, volumes: []string{"./a:/data"}, want: "mean nothing to a cluster"},
		"a relative target":              {work: heddle.Work{Image: "i"}, volumes: []string{"pvc:a:data"}, want: "not absolute"},
		"an unknown option":              {work: heddle.Work{Image: "i"}, volumes: []string{"/a:/b:rx"}, want: `"rx"`},
		"a patch that is none":           {work: heddle.Work{Image: "i", Kubernetes: &heddle.Kubernetes{PodTemplate: []byte(`[]`)}}, want: "cannot be applied"},
		"a patch without a name":         {work: heddle.Work{Image: "i", Kubernetes: &heddle.Kubernetes{PodTemplate: []byte(`{"spec":{"containers":[{"image":"x"}]}}`)}}, want: "is called main"},
		"a restart policy":               {work: heddle.Work{Image: "i", Kubernetes: &heddle.Kubernetes{PodTemplate: []byte(`{"spec":{"restartPolicy":"OnFailure"}}`)}}, want: "an attempt runs once"},
		"job fields of wrong types":      {work: heddle.Work{Image: "i", Kubernetes: &heddle.Kubernetes{JobSpec: []byte(`{"backoffLimit":"x"}`)}}, want: "JobSpec"},
		"a manifest that is none":        {work: heddle.Work{Kubernetes: &heddle.Kubernetes{Template: []byte(`{"spec":3}`)}}, want: "cannot be read"},
		"a manifest without a container": {work: heddle.Work{Kubernetes: &heddle.Kubernetes{Template: []byte(`{}`)}}, want: "no container"},
		"too much":                       {work: heddle.Work{Image: "i", Env: map[string]string{"A": strings.Repeat("x", 1<<20+1)}}, want: "1048576 at most"},
		"a secret without a key":         {work: heddle.Work{Image: "i", From: map[string]heddle.Source{"A": {Secret: "name"}}}, want: "name/key"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Build(executor.Spec{Attempt: attempt, Work: test.work, Volumes: test.volumes}, options())
			message, refused := executor.Refused(err)
			if !refused || !strings.Contains(message, test.want) {
				t.Errorf("got %v, want a refusal with %q", err, test.want)
			}
		})
	}
}

func TestVolumes(t *testing.T) {
	t.Parallel()
	objects := build(t, executor.Spec{Work: heddle.Work{Image: "i"}, Volumes: []string{
		"/host:/a:ro", "pvc:claim:/b", "configmap:cm:/c", "secret:s:/d", "/e",
	}}, options())
	pod := objects.Job.Spec.Template.Spec
	v := func(s corev1.VolumeSource) corev1.VolumeSource { return s }
	want := []corev1.VolumeSource{
		v(corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/host"}}),
		v(corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "claim"}}),
		v(corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}}),
		v(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}),
		v(corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}),
	}
	for i, volume := range pod.Volumes {
		if d := cmp.Diff(want[i], volume.VolumeSource); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		mount := pod.Containers[0].VolumeMounts[i]
		if mount.Name != volume.Name || mount.MountPath != "/"+string(rune('a'+i)) || mount.ReadOnly != (i == 0) {
			t.Errorf("mount %+v", mount)
		}
	}
}

func TestAManifestIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	manifest := `{"metadata": {"labels": {"team": "a"}}, "spec": {"ttlSecondsAfterFinished": 5, "template": {
		"metadata": {"labels": {"app": "demo"}},
		"spec": {"restartPolicy": "OnFailure", "serviceAccountName": "robot", "containers": [
			{"name": "first", "image": "a", "args": ["$(WHO)"], "env": [{"name": "WHO", "value": "me"}, {"name": "KEEP", "value": "1"}]},
			{"name": "second", "image": "b"}]}}}}`
	objects := build(t, executor.Spec{Work: heddle.Work{
		Image: "ignored", Env: map[string]string{"WHO": "you"}, Kubernetes: &heddle.Kubernetes{Template: []byte(manifest), JobName: "report", Namespace: "theirs"},
	}, Timeout: time.Minute}, options())
	job := objects.Job
	if job.Namespace != "theirs" || !strings.HasPrefix(job.Name, "report-") || job.Labels["team"] != "a" || job.Spec.Template.Labels["app"] != "demo" {
		t.Errorf("metadata %+v", job.ObjectMeta)
	}
	if job.Spec.BackoffLimit != nil || *job.Spec.TTLSecondsAfterFinished != 5 || Single(job) {
		t.Errorf("spec %+v", job.Spec)
	}
	pod, err := json.Marshal(job.Spec.Template.Spec)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"restartPolicy": "OnFailure", "serviceAccountName": "robot", "containers": [
		{"name": "first", "image": "a", "args": ["$(WHO)"], "env": [{"name": "WHO", "value": "you"}, {"name": "KEEP", "value": "1"}], "resources": {}},
		{"name": "second", "image": "b", "env": [{"name": "WHO", "value": "you"}], "resources": {}}]}`
	if d := cmp.Diff(tree(t, []byte(want)), tree(t, pod)); d != "" {
		t.Errorf("the pod (-want +got):\n%s", d)
	}
	if TermsOf(job.Spec.Template.Annotations).Main != "first" {
		t.Errorf("annotations %v", job.Spec.Template.Annotations)
	}
}

func TestPatchesAndJobFields(t *testing.T) {
	t.Parallel()
	objects := build(t, executor.Spec{Work: heddle.Work{Image: "i", Kubernetes: &heddle.Kubernetes{
		JobSpec: []byte(`{"ActiveDeadlineSeconds": 9, "client_id": "user data", "Template": {"spec": {"hostNetwork": true}}, "parallelism": 2}`),
		PodTemplate: []byte(`{"metadata": {"annotations": {"a": "b"}}, "spec": {"nodeSelector": {"disk": "ssd"}, "automountServiceAccountToken": true,
			"containers": [{"name": "main", "securityContext": {"privileged": true, "allowPrivilegeEscalation": true}}, {"name": "side", "image": "s"}]}}`),
	}}}, options())
	job := objects.Job
	if *job.Spec.ActiveDeadlineSeconds != 9 || *job.Spec.Parallelism != 2 || *job.Spec.BackoffLimit != 0 || job.Spec.Template.Spec.HostNetwork {
		t.Errorf("spec %+v", job.Spec)
	}
	pod := job.Spec.Template
	if pod.Annotations["a"] != "b" || pod.Spec.NodeSelector["disk"] != "ssd" || !*pod.Spec.AutomountServiceAccountToken || len(pod.Spec.Containers) != 2 {
		t.Errorf("pod %+v", pod)
	}
	main := pod.Spec.Containers[0]
	if main.Image != "i" || !*main.SecurityContext.Privileged || TermsOf(pod.Annotations).Main != Main {
		t.Errorf("container %+v", main)
	}
}

func TestBarePods(t *testing.T) {
	t.Parallel()
	manifest := []byte(`{"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}}`)
	tests := map[string]struct {
		k    *heddle.Kubernetes
		bare bool
		want bool
	}{
		"nothing asked":                        {},
		"the executor makes none":              {bare: true, want: true},
		"the step wants none":                  {k: &heddle.Kubernetes{Bare: true}, want: true},
		"a manifest of a Job is one":           {k: &heddle.Kubernetes{Template: manifest}, bare: true},
		"a manifest whose Pod alone is wanted": {k: &heddle.Kubernetes{Template: manifest, Bare: true}, want: true},
		"fields for a Job want one":            {k: &heddle.Kubernetes{JobSpec: []byte(`{}`)}, bare: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options()
			o.Bare = test.bare
			objects := build(t, executor.Spec{Work: heddle.Work{Image: "i", Kubernetes: test.k}}, o)
			if (objects.Pod != nil) != test.want || (objects.Job != nil) == test.want {
				t.Fatalf("got %+v", objects)
			}
			if test.want && (objects.Pod.Spec.RestartPolicy != corev1.RestartPolicyNever || !Ours(objects.Pod, attempt, "store")) {
				t.Errorf("got %+v", objects.Pod)
			}
		})
	}
}
