package podspec

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
)

func read(t *testing.T, text string) (Pod, *doc.Document) {
	t.Helper()
	d, err := doc.Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var template corev1.PodTemplateSpec
	if !Decode(d, d.Root.Get("t"), &template) {
		return Pod{}, d
	}
	p := Read(d, d.Root.Get("t"), &template)
	p.Warn(d, d.Root.Get("t"))
	return p, d
}

func TestRead(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spec   string // of the pod
		want   Pod
		faults string
	}{
		"the least": {spec: "containers: [{name: c, image: i}]", want: Pod{Work: heddle.Work{Image: "i"}}},
		"what everybody can": {
			spec: `{activeDeadlineSeconds: 90, hostNetwork: true, restartPolicy: Never, securityContext: {runAsUser: 7, runAsGroup: 8},
  containers: [{name: c, image: i, command: [a, b], args: [c], workingDir: /w, env: [{name: A, value: x}],
  resources: {requests: {cpu: 1}, limits: {cpu: 500m, memory: 64Mi}}, securityContext: {runAsUser: 9}}]}`,
			want: Pod{Timeout: 90 * time.Second, Work: heddle.Work{Image: "i", Entrypoint: []string{"a", "b"}, Command: []string{"c"}, Dir: "/w",
				Env: map[string]string{"A": "x"}, Network: "host", User: "9:8", Memory: 64 << 20, CPUs: 0.5}},
		},
		"variables within variables": {
			spec: `{containers: [{name: c, image: i, command: [echo, $(A)],
  env: [{name: A, value: x}, {name: B, value: '$(A)-$(C)'}, {name: C, value: '$$x'}]}]}`,
			want: Pod{Work: heddle.Work{Image: "i", Entrypoint: []string{"echo", "$(A)"}, Env: map[string]string{"A": "x", "B": "x-$(C)", "C": "$x"}}},
		},
		"what only Kubernetes has": {
			spec: `{volumes: [{name: v, emptyDir: {}}], initContainers: [{name: b, image: i}], serviceAccountName: s, hostPID: true,
  containers: [{name: c, image: i, envFrom: [{secretRef: {name: s}}], volumeMounts: [{name: v, mountPath: /v}], securityContext: {privileged: true},
  env: [{name: A, value: x}, {name: B, valueFrom: {secretKeyRef: {name: s, key: k}}}], resources: {limits: {example.com/gpu: 1}}}]}`,
			want: Pod{Work: heddle.Work{Image: "i", Env: map[string]string{"A": "x"}}, Limits: Limits{Only: []string{
				"t.spec.hostPID", "t.spec.initContainers", "t.spec.serviceAccountName", "t.spec.volumes",
				"t.spec.containers[0].envFrom", "t.spec.containers[0].securityContext", "t.spec.containers[0].volumeMounts",
				"t.spec.containers[0].env[1].valueFrom", "t.spec.containers[0].resources.limits.example.com/gpu",
			}}},
		},
		"several containers: the variables of one are not the others'": {
			spec: `containers: [{name: c, image: i, env: [{name: A, value: x}]}, {name: d, image: i}]`,
			want: Pod{Work: heddle.Work{Image: "i"}, Limits: Limits{Only: []string{"t.spec.containers[1]"}}},
		},
		"what is ignored elsewhere": {
			spec: `{nodeSelector: {a: b}, tolerations: [{operator: Exists}], automountServiceAccountToken: false, volumes: [],
  containers: [{name: c, image: i, imagePullPolicy: Always, ports: [{containerPort: 1}], securityContext: {capabilities: {drop: [ALL]}}}]}`,
			want: Pod{Work: heddle.Work{Image: "i"}, Limits: Limits{Ignored: []string{
				"t.spec.containers[0].imagePullPolicy", "t.spec.containers[0].ports", "t.spec.containers[0].securityContext", "t.spec.nodeSelector", "t.spec.tolerations",
			}}},
			faults: "f:1:4: warning: t: executors other than kubernetes ignore t.spec.containers[0].imagePullPolicy, t.spec.containers[0].ports, " +
				"t.spec.containers[0].securityContext, t.spec.nodeSelector, t.spec.tolerations",
		},
		"an unknown key": {
			spec: "containers: [{name: c, image: i, comand: [x]}]", want: Pod{Work: heddle.Work{Image: "i"}},
			faults: "f:1:53: warning: t.spec.containers[0].comand: the key is not known to Kubernetes and is ignored",
		},
		"a value of another type": {spec: "containers: [{name: c, image: i, command: x}]", faults: "f:1:24: t.spec.containers: its command must be a list, is a string"},
		"a number for a text":     {spec: "containers: [{name: c, image: i, env: [{name: A, value: 1}]}]", faults: "f:1:24: t.spec.containers: its env.value must be a string, is a number"},
		"no quantity":             {spec: "containers: [{name: c, image: i, resources: {limits: {cpu: many}}}]", faults: "f:1:4: t: does not fit what Kubernetes wants: quantities must match"},
		"no containers":           {spec: "containers: []", faults: "f:1:11: t.spec: a pod needs containers: a list with one at least"},
		"no image":                {spec: "containers: [{name: c}]", faults: "f:1:25: t.spec.containers[0]: a container needs an image, such as busybox:1.36"},
		"no time":                 {spec: "{activeDeadlineSeconds: 0, containers: [{name: c, image: i}]}", faults: "f:1:35: t.spec.activeDeadlineSeconds: must be a positive number of seconds, is 0"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := tc.spec
			if !strings.HasPrefix(spec, "{") {
				spec = "{" + spec + "}"
			}
			got, d := read(t, "t: {spec: "+spec+"}")
			faults, err := doc.Join(d)
			text := doc.Error(faults).Error()
			if !strings.HasPrefix(text, tc.faults) || tc.faults == "" && text != "" {
				t.Errorf("faults: %s\nwant: %s", text, tc.faults)
			}
			if err != nil {
				return
			}
			tc.want.Work.Expand = true
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestReadJob(t *testing.T) {
	t.Parallel()
	usual := heddle.Retry{Limit: 6, Delay: 10 * time.Second, MaxDelay: 6 * time.Minute}
	tests := map[string]struct {
		spec   string
		want   Job
		fields string // what JobFields gives
		faults string
	}{
		"nothing": {spec: "{}", want: Job{Retry: usual}},
		"what everybody can": {
			spec: "{backoffLimit: 2, activeDeadlineSeconds: 60, parallelism: 1, completions: 1, suspend: false, completionMode: NonIndexed, ttlSecondsAfterFinished: 5}",
			want: Job{Retry: heddle.Retry{Limit: 2, Delay: 10 * time.Second, MaxDelay: 6 * time.Minute}, Deadline: time.Minute},
			fields: `{"activeDeadlineSeconds":60,"backoffLimit":2,"completionMode":"NonIndexed","completions":1,"parallelism":1,"suspend":false,` +
				`"ttlSecondsAfterFinished":5}`,
		},
		"no retries": {spec: "{BackOffLimit: 0}", want: Job{}, fields: `{"backoffLimit":0}`},
		"what only Kubernetes has": {
			spec:   "{completions: 3, parallelism: 0, suspend: true, podFailurePolicy: {rules: []}, mine: 1, template: {spec: {}}}",
			want:   Job{Retry: usual, Limits: Limits{Only: []string{"m.completions", "m.parallelism", "m.podFailurePolicy", "m.suspend"}}},
			fields: `{"completions":3,"parallelism":0,"podFailurePolicy":{"rules":[]},"suspend":true}`,
		},
		"less than nothing": {spec: "{backofflimit: -1, activeDeadlineSeconds: -1}", faults: "f:1:19: m.backofflimit: cannot be negative, is -1\n" +
			"f:1:46: m.activeDeadlineSeconds: must be a positive number of seconds, is -1"},
		"another type": {spec: "{backoffLimit: many}", faults: "f:1:19: m.backoffLimit: must be a whole number, is a string"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := doc.Parse("f", []byte("m: "+tc.spec))
			if err != nil {
				t.Fatal(err)
			}
			var spec batchv1.JobSpec
			var got Job
			if n := d.Root.Get("m"); DecodeLoosely(d, n, &spec) {
				got = ReadJob(d, n, &spec)
			}
			if text := doc.Error(d.Faults.All()).Error(); text != tc.faults {
				t.Errorf("faults: %s\nwant: %s", text, tc.faults)
			}
			if tc.faults != "" {
				return
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if diff := cmp.Diff(tc.fields, string(JobFields(&spec))); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
