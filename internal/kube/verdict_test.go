package kube

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/heddle/heddle"
)

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func at(seconds int) metav1.Time {
	return metav1.NewTime(noon().Add(time.Duration(seconds) * time.Second))
}

// job is the Job of an attempt that has one Pod, ever.
func job(change ...func(*batchv1.Job)) *batchv1.Job {
	none := int32(0)
	j := &batchv1.Job{Spec: batchv1.JobSpec{BackoffLimit: &none}}
	for _, c := range change {
		c(j)
	}
	return j
}

func condition(kind batchv1.JobConditionType, reason, message string) func(*batchv1.Job) {
	return func(j *batchv1.Job) {
		j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{
			Type: kind, Status: corev1.ConditionTrue, Reason: reason, Message: message, LastTransitionTime: at(20),
		})
	}
}

func many(j *batchv1.Job) { six := int32(6); j.Spec.BackoffLimit = &six }

func beingDeleted(j *batchv1.Job) { now := at(9); j.DeletionTimestamp = &now }

func pod(change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{annotationContainer: Main}},
		Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: Main, Resources: corev1.ResourceRequirements{
			Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")},
		}}}},
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func status(name string, state corev1.ContainerState) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: name, State: state})
	}
}

func ofMany(p *corev1.Pod) { p.Annotations[annotationMany] = "true" }

func waits(reason, message string) func(*corev1.Pod) {
	return status(Main, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}})
}

func runs(name string) func(*corev1.Pod) {
	return status(name, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at(0)}})
}

// exits is a container that ran from 0 to 10.
func exits(name string, code int32, reason, message string) func(*corev1.Pod) {
	return status(name, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, Message: message, StartedAt: at(0), FinishedAt: at(10),
	}})
}

func phase(phase corev1.PodPhase, reason, message string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Phase, p.Status.Reason, p.Status.Message = phase, reason, message }
}

// deleted is a Pod that was asked at the given second to end within 30.
func deleted(second int) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		grace, due := int64(30), at(second+30)
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &due, &grace
	}
}

func disrupted(p *corev1.Pod) {
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI", Message: "drained",
	})
}

func timeout(text string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Annotations[annotationTimeout] = text }
}

func TestJudge(t *testing.T) {
	t.Parallel()
	ran := func(reason heddle.ExitReason, code int, signal, message string) heddle.Exit {
		return heddle.Exit{Reason: reason, Code: code, Signal: signal, Message: message, Started: noon(), Ended: at(10).UTC()}
	}
	never := func(reason heddle.ExitReason, message string) heddle.Exit {
		return heddle.Exit{Reason: reason, Message: message}
	}
	never128 := func(reason heddle.ExitReason, message string) heddle.Exit {
		return heddle.Exit{Reason: reason, Code: 128, Message: message}
	}
	said := func(e heddle.Exit, termination string) heddle.Exit { e.Termination = termination; return e }
	stop := Ending{Reason: heddle.Stopped, Message: "cancelled"}
	startError := status(Main, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: 128, Reason: "StartError", Message: "no such file", StartedAt: metav1.Unix(0, 0), FinishedAt: at(1),
	}})
	unscheduled := func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes"}}
	}
	initFails := func(p *corev1.Pod) {
		p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "prepare", State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: 4, StartedAt: at(0), FinishedAt: at(10)},
		}}}
	}
	sidecar := func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "side"}) }
	failed := phase(corev1.PodFailed, "", "")

	tests := map[string]struct {
		job      *batchv1.Job
		pods     []*corev1.Pod
		jobGone  bool
		podsGone bool
		end      Ending
		want     State
		message  string // while it waits
		exit     heddle.Exit
	}{
		"nothing is seen yet":        {want: Waiting, message: "the cluster does not show it yet"},
		"a Job without a Pod":        {job: job(), want: Waiting, message: "its Job has no Pod yet"},
		"a Job that a queue holds":   {job: job(func(j *batchv1.Job) { yes := true; j.Spec.Suspend = &yes }), want: Waiting, message: "its Job is suspended, by a queue for instance"},
		"a Pod without a node":       {job: job(), pods: []*corev1.Pod{pod(unscheduled)}, want: Waiting, message: "Unschedulable: 0/3 nodes"},
		"a container that is made":   {job: job(), pods: []*corev1.Pod{pod(waits("ContainerCreating", ""))}, want: Waiting},
		"an image that is not there": {job: job(), pods: []*corev1.Pod{pod(waits("ErrImagePull", "not found"))}, want: Stuck, message: "ErrImagePull: not found"},
		"a Secret that is not there": {job: job(), pods: []*corev1.Pod{pod(waits("CreateContainerConfigError", `secret "x" not found`))}, want: Stuck, message: `CreateContainerConfigError: secret "x" not found`},
		"an image without a name":    {job: job(), pods: []*corev1.Pod{pod(waits("InvalidImageName", "bad"))}, want: Hopeless, message: "InvalidImageName: bad"},
		"a program that runs":        {job: job(), pods: []*corev1.Pod{pod(runs(Main))}, want: Running},
		"a bare Pod that runs":       {pods: []*corev1.Pod{pod(runs(Main))}, want: Running},
		"one that is told to end":    {job: job(), pods: []*corev1.Pod{pod(runs(Main), deleted(5))}, end: stop, want: Running},
		"one whose sidecar runs":     {job: job(), pods: []*corev1.Pod{pod(sidecar, exits(Main, 0, "", ""), runs("side"))}, want: Running},

		"it ends well":                         {job: job(), pods: []*corev1.Pod{pod(exits(Main, 0, "Completed", ""))}, want: Over, exit: ran(heddle.Exited, 0, "", "")},
		"it leaves a text":                     {job: job(), pods: []*corev1.Pod{pod(exits(Main, 3, "Error", "why"), failed)}, want: Over, exit: said(ran(heddle.Exited, 3, "", ""), "why")},
		"a signal ends it":                     {job: job(), pods: []*corev1.Pod{pod(exits(Main, 143, "Error", ""), failed)}, want: Over, exit: ran(heddle.Exited, 143, "SIGTERM", "")},
		"memory":                               {job: job(), pods: []*corev1.Pod{pod(exits(Main, 137, "OOMKilled", ""), failed)}, want: Over, exit: ran(heddle.Exited, 137, "SIGKILL", "out of memory: the limit is 64 MiB")},
		"a sidecar fails":                      {job: job(), pods: []*corev1.Pod{pod(sidecar, exits(Main, 0, "", ""), exits("side", 2, "Error", ""), failed)}, want: Over, exit: ran(heddle.Exited, 2, "", "container side ended with exit code 2")},
		"an init container fails":              {job: job(), pods: []*corev1.Pod{pod(initFails, waits("PodInitializing", ""), failed)}, want: Over, exit: ran(heddle.Exited, 4, "", "init container prepare ended with exit code 4")},
		"no such program":                      {job: job(), pods: []*corev1.Pod{pod(startError, failed)}, want: Over, exit: never128(heddle.Refused, "the container cannot be started: StartError: no such file")},
		"stopped":                              {job: job(), pods: []*corev1.Pod{pod(exits(Main, 143, "", ""), deleted(9))}, end: stop, want: Over, exit: ran(heddle.Stopped, 143, "SIGTERM", "cancelled")},
		"stopped in the second of its end":     {job: job(), pods: []*corev1.Pod{pod(exits(Main, 5, "", ""), deleted(10))}, end: stop, want: Over, exit: ran(heddle.Stopped, 5, "", "cancelled")},
		"it ended well before it was stopped":  {job: job(), pods: []*corev1.Pod{pod(exits(Main, 0, "", ""), deleted(10))}, end: stop, want: Over, exit: ran(heddle.Exited, 0, "", "")},
		"it failed before it was stopped":      {job: job(), pods: []*corev1.Pod{pod(exits(Main, 7, "", ""), deleted(11))}, end: stop, want: Over, exit: ran(heddle.Exited, 7, "", "")},
		"it ended before a stop reached it":    {job: job(), pods: []*corev1.Pod{pod(exits(Main, 7, "", ""), failed)}, end: stop, want: Over, exit: ran(heddle.Exited, 7, "", "")},
		"stopped before it began":              {job: job(), pods: []*corev1.Pod{pod(failed, deleted(0), waits("ContainerCreating", ""))}, end: stop, want: Over, exit: never(heddle.Stopped, "cancelled")},
		"stopped before it had a Pod":          {job: job(), jobGone: true, end: stop, want: Over, exit: never(heddle.Stopped, "cancelled")},
		"stopped, and no trace of the end":     {job: job(), pods: []*corev1.Pod{pod(runs(Main))}, podsGone: true, end: stop, want: Over, exit: never(heddle.Stopped, "cancelled")},
		"nobody ended it in time":              {job: job(), pods: []*corev1.Pod{pod(exits(Main, 0, "", ""), timeout("9s"))}, want: Over, exit: ran(heddle.TimedOut, 0, "", "ran out of its time, 9s")},
		"in time, as far as seconds tell":      {job: job(), pods: []*corev1.Pod{pod(exits(Main, 0, "", ""), timeout("9500ms"))}, want: Over, exit: ran(heddle.Exited, 0, "", "")},
		"Kubernetes ended it in time":          {job: job(), pods: []*corev1.Pod{pod(exits(Main, 137, "", ""), phase(corev1.PodFailed, "DeadlineExceeded", "too long"))}, want: Over, exit: ran(heddle.TimedOut, 137, "SIGKILL", "Kubernetes ended it: too long")},
		"its Job's own deadline":               {job: job(condition(batchv1.JobFailureTarget, "DeadlineExceeded", "")), pods: []*corev1.Pod{pod(exits(Main, 143, "", ""), deleted(9))}, want: Over, exit: ran(heddle.TimedOut, 143, "SIGTERM", "its Job ran out of its time")},
		"evicted by its node":                  {job: job(), pods: []*corev1.Pod{pod(exits(Main, 137, "Error", ""), phase(corev1.PodFailed, "Evicted", "low on disk"))}, want: Over, exit: ran(heddle.Broken, 137, "SIGKILL", "Evicted: low on disk")},
		"evicted before it began":              {job: job(), pods: []*corev1.Pod{pod(phase(corev1.PodFailed, "Evicted", "low on disk"))}, want: Over, exit: never(heddle.Broken, "Evicted: low on disk")},
		"drained":                              {job: job(), pods: []*corev1.Pod{pod(exits(Main, 143, "", ""), deleted(9), disrupted)}, want: Over, exit: ran(heddle.Broken, 143, "SIGTERM", "the cluster has ended it: EvictionByEvictionAPI: drained")},
		"its Pod is deleted by hand":           {job: job(), pods: []*corev1.Pod{pod(exits(Main, 143, "", ""), deleted(9))}, want: Over, exit: ran(heddle.Broken, 143, "SIGTERM", "its Pod was deleted")},
		"its Pod vanishes":                     {job: job(), pods: []*corev1.Pod{pod(runs(Main))}, podsGone: true, want: Over, exit: never(heddle.Broken, "its Pod was deleted")},
		"its Job is deleted by hand":           {job: job(), jobGone: true, pods: []*corev1.Pod{pod(exits(Main, 143, "", ""), deleted(9))}, want: Over, exit: ran(heddle.Lost, 143, "SIGTERM", "its Job was deleted")},
		"its Job and then its Pod vanish":      {job: job(), jobGone: true, pods: []*corev1.Pod{pod(runs(Main))}, podsGone: true, want: Over, exit: never(heddle.Lost, "its Job was deleted")},
		"its Job is gone, its Pod runs on":     {job: job(), jobGone: true, pods: []*corev1.Pod{pod(runs(Main))}, want: Running},
		"its Job is gone, its Pod ended alone": {job: job(), jobGone: true, pods: []*corev1.Pod{pod(exits(Main, 0, "", ""))}, want: Over, exit: ran(heddle.Exited, 0, "", "")},
		"an adopted Job that is gone":          {jobGone: true, want: Over, exit: never(heddle.Lost, "its Job is gone")},
		"its node came back without it":        {job: job(), pods: []*corev1.Pod{pod(exits(Main, 137, "ContainerStatusUnknown", ""), failed)}, want: Over, exit: ran(heddle.Broken, 137, "SIGKILL", "what became of its container is not known: its node was restarted")},
		"an ended Job whose Pod is gone":       {job: job(condition(batchv1.JobComplete, "", "")), want: Over, exit: heddle.Exit{Reason: heddle.Exited, Ended: at(20).UTC(), Message: "its Pod is gone, and its output with it"}},
		"a failed Job whose Pod is gone":       {job: job(condition(batchv1.JobFailed, "BackoffLimitExceeded", "once")), want: Over, exit: heddle.Exit{Reason: heddle.Lost, Ended: at(20).UTC(), Message: "its Pod is gone; its Job says: BackoffLimitExceeded: once"}},

		"one of several Pods has failed":    {job: job(many), pods: []*corev1.Pod{pod(exits(Main, 1, "", ""), failed)}, want: Running},
		"several Pods, and the Job is done": {job: job(many, condition(batchv1.JobComplete, "", "")), pods: []*corev1.Pod{pod(exits(Main, 1, "", ""), failed), pod(exits(Main, 0, "", "ok"))}, want: Over, exit: heddle.Exit{Reason: heddle.Exited, Started: noon(), Ended: at(20).UTC(), Termination: "ok"}},
		"several Pods, and the Job fails":   {job: job(many, condition(batchv1.JobFailed, "BackoffLimitExceeded", "six times")), pods: []*corev1.Pod{pod(exits(Main, 3, "", ""), failed)}, want: Over, exit: heddle.Exit{Reason: heddle.Exited, Code: 3, Message: "BackoffLimitExceeded: six times", Started: noon(), Ended: at(20).UTC()}},
		"several Pods, before the Job":      {pods: []*corev1.Pod{pod(exits(Main, 1, "", ""), failed, ofMany)}, want: Running},
		"several Pods, without the Job":     {jobGone: true, pods: []*corev1.Pod{pod(exits(Main, 1, "", ""), failed, ofMany)}, want: Over, exit: never(heddle.Lost, "its Job was deleted")},
		"several Pods, and the Job is gone": {job: job(many, beingDeleted), jobGone: true, pods: []*corev1.Pod{pod(runs(Main))}, end: stop, want: Over, exit: never(heddle.Stopped, "cancelled")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Judge(View{Job: test.job, Pods: test.pods, JobGone: test.jobGone, PodsGone: test.podsGone}, test.end)
			if got.State != test.want || got.Message != test.message {
				t.Errorf("state %d (%s), want %d (%s)", got.State, got.Message, test.want, test.message)
			}
			if d := cmp.Diff(test.exit, got.Exit); d != "" {
				t.Errorf("exit (-want +got):\n%s", d)
			}
		})
	}
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	status := func(code int32, message string) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Code: code, Message: message}}
	}
	tests := map[string]struct {
		err     error
		message string
		refused bool
	}{
		"a quota that is used up":    {err: status(http.StatusForbidden, `jobs "a" is forbidden: exceeded quota: q, requested: 1`)},
		"an admission policy":        {err: status(http.StatusForbidden, "violates PodSecurity"), message: "violates PodSecurity", refused: true},
		"no leave":                   {err: status(http.StatusForbidden, `User "x" cannot create resource`), message: `User "x" cannot create resource; grant it: heddle doctor --executor kubernetes shows how`, refused: true},
		"what is not valid":          {err: status(http.StatusUnprocessableEntity, "spec.x: Invalid value"), message: "spec.x: Invalid value", refused: true},
		"no such namespace":          {err: status(http.StatusNotFound, `namespaces "x" not found`), message: `namespaces "x" not found`, refused: true},
		"too many calls":             {err: status(http.StatusTooManyRequests, "later")},
		"a webhook that is down":     {err: status(http.StatusInternalServerError, "failed calling webhook")},
		"credentials that ran out":   {err: status(http.StatusUnauthorized, "Unauthorized")},
		"a server that is not there": {err: errors.New("connection refused")},
		"no error":                   {},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if message, refused := Refusal(test.err); message != test.message || refused != test.refused {
				t.Errorf("got %q, %v", message, refused)
			}
		})
	}
}
