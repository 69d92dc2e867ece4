package kube

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/heddle/heddle"
)

// View is what a cluster shows, or has shown, of an attempt.
type View struct {
	Job  *batchv1.Job
	Pods []*corev1.Pod // in the order in which they were made
	// JobGone and PodsGone: those that were there have been deleted. Job and Pods are
	// as they were seen last.
	JobGone, PodsGone bool
}

// Ending is why an attempt is being ended by us.
type Ending struct {
	Reason  heddle.ExitReason // "": it is not
	Message string
}

// State is how far an attempt is.
type State int

// The states.
const (
	Waiting  State = iota // has not started yet
	Stuck                 // cannot start, which may pass by itself
	Hopeless              // cannot start, and never will
	Running
	Over
)

// Verdict is what a [View] means.
type Verdict struct {
	State   State
	Message string    // while it has not started: why
	Started time.Time // of the program, once it has
	Exit    heddle.Exit
	// Pod is the one that runs or ran the program; nil: none is known.
	Pod *corev1.Pod
}

// Judge says what a view means.
func Judge(v View, end Ending) Verdict {
	if len(v.Pods) == 0 {
		return judgeNone(v, end)
	}
	if v.Job != nil && !Single(v.Job) || v.Pods[0].Annotations[annotationMany] != "" {
		return judgeMany(v, end)
	}
	return judgePod(v, v.Pods[0], end)
}

// Single reports whether the Job has one Pod, ever.
func Single(job *batchv1.Job) bool {
	is := func(n *int32, want int32) bool { return n != nil && *n == want }
	one := func(n *int32) bool { return n == nil || *n == 1 }
	return is(job.Spec.BackoffLimit, 0) && one(job.Spec.Completions) && one(job.Spec.Parallelism) &&
		job.Spec.Template.Spec.RestartPolicy != corev1.RestartPolicyOnFailure
}

// judgeNone judges an attempt of which no Pod has been seen.
func judgeNone(v View, end Ending) Verdict {
	if v.Job == nil && !v.JobGone && !v.PodsGone {
		return Verdict{State: Waiting, Message: "the cluster does not show it yet"}
	}
	if v.Job == nil || v.JobGone {
		return ended(end, heddle.Lost, "its Job is gone")
	}
	if c := finished(v.Job); c != nil {
		return jobEnd(v, c, end)
	}
	switch {
	case v.Job.Spec.Suspend != nil && *v.Job.Spec.Suspend:
		return Verdict{State: Waiting, Message: "its Job is suspended, by a queue for instance"}
	default:
		return Verdict{State: Waiting, Message: "its Job has no Pod yet"}
	}
}

// ended is the verdict on what left no other trace.
func ended(end Ending, reason heddle.ExitReason, message string) Verdict {
	exit := heddle.Exit{Reason: reason, Message: message}
	if end.Reason != "" {
		exit.Reason, exit.Message = end.Reason, end.Message
	}
	return Verdict{State: Over, Exit: exit}
}

// judgePod judges an attempt by its one Pod.
func judgePod(v View, pod *corev1.Pod, end Ending) Verdict {
	main := mainStatus(pod)
	verdict := Verdict{Pod: pod, Started: startedAt(main)}
	switch {
	case over(pod):
		verdict.State = Over
		verdict.Exit = exitOf(v, pod, main, end)
	case v.PodsGone && deleting(v):
		verdict = ended(end, heddle.Lost, "its Job was deleted")
	case v.PodsGone:
		verdict = ended(end, heddle.Broken, orElse(disruption(pod), "its Pod was deleted"))
	case !verdict.Started.IsZero():
		verdict.State = Running
	default:
		verdict.State, verdict.Message = waiting(pod)
	}
	verdict.Pod = pod
	return verdict
}

func deleting(v View) bool { return v.JobGone || v.Job != nil && v.Job.DeletionTimestamp != nil }

func mainStatus(pod *corev1.Pod) *corev1.ContainerStatus {
	name := TermsOf(pod.Annotations).Main
	for i := range pod.Status.ContainerStatuses {
		if status := &pod.Status.ContainerStatuses[i]; status.Name == name || name == "" {
			return status
		}
	}
	return &corev1.ContainerStatus{}
}

// startedAt is when the program started; zero: it has not. A container that could
// not be started has the beginning of time.
func startedAt(main *corev1.ContainerStatus) time.Time {
	started := time.Time{}
	switch {
	case main.State.Running != nil:
		started = main.State.Running.StartedAt.Time
	case main.State.Terminated != nil:
		started = main.State.Terminated.StartedAt.Time
	}
	if started.Unix() <= 0 {
		return time.Time{}
	}
	return started.UTC()
}

// over reports whether no container of the Pod runs or will run.
func over(pod *corev1.Pod) bool {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return true
	}
	for _, status := range pod.Status.ContainerStatuses {
		if status.State.Terminated == nil {
			return false
		}
	}
	return len(pod.Status.ContainerStatuses) > 0 && len(pod.Status.ContainerStatuses) == len(pod.Spec.Containers) &&
		pod.Spec.RestartPolicy == corev1.RestartPolicyNever
}

// exitOf reads the end of a Pod.
func exitOf(v View, pod *corev1.Pod, main *corev1.ContainerStatus, end Ending) heddle.Exit {
	t := main.State.Terminated
	if t == nil {
		return exitWithout(v, pod, end)
	}
	exit := heddle.Exit{
		Reason: heddle.Exited, Code: int(t.ExitCode), Signal: signalOf(int(t.ExitCode)),
		Started: startedAt(main), Ended: t.FinishedAt.UTC(),
	}
	if exit.Started.IsZero() {
		exit.Ended = time.Time{}
		exit.Reason, exit.Message = heddle.Refused, "the container cannot be started: "+words(t.Reason, t.Message)
		if r, m := broughtDown(v, pod, t, end); r != "" {
			exit.Reason, exit.Message = r, m
		}
		return exit
	}
	exit.Termination = t.Message
	reason, message := broughtDown(v, pod, t, end)
	terms := TermsOf(pod.Annotations)
	switch {
	case reason != "":
		exit.Reason, exit.Message = reason, message
	case terms.Timeout > 0 && exit.Ended.Sub(exit.Started) >= terms.Timeout+time.Second: // times are in whole seconds
		exit.Reason, exit.Message = heddle.TimedOut, TimeoutMessage(terms.Timeout)
	case t.Reason == "OOMKilled" && exit.Code != 0:
		exit.Message = "out of memory"
		if limit := memoryLimit(pod, main.Name); limit > 0 {
			exit.Message += ": the limit is " + humanize.IBytes(limit)
		}
	case exit.Code == 0:
		exit.Code, exit.Message = others(pod, main.Name)
		exit.Signal = signalOf(exit.Code)
	}
	return exit
}

// TimeoutMessage says that an attempt ran out of its time.
func TimeoutMessage(timeout time.Duration) string { return "ran out of its time, " + timeout.String() }

// broughtDown says who ended the program, if it did not end by itself.
func broughtDown(v View, pod *corev1.Pod, t *corev1.ContainerStateTerminated, end Ending) (heddle.ExitReason, string) {
	if t.Reason == "ContainerStatusUnknown" || t.Reason == "Unknown" {
		if end.Reason != "" {
			return end.Reason, end.Message // it was ended before it began
		}
		return heddle.Broken, "what became of its container is not known: " + orElse(t.Message, "its node was restarted")
	}
	if pod.Status.Reason == "DeadlineExceeded" {
		return heddle.TimedOut, orElse(end.Message, "Kubernetes ended it: "+orElse(pod.Status.Message, "its deadline has passed"))
	}
	if pod.Status.Phase == corev1.PodFailed && pod.Status.Reason != "" {
		return heddle.Broken, words(pod.Status.Reason, pod.Status.Message)
	}
	if pod.DeletionTimestamp == nil {
		if text := disruption(pod); text != "" && t.ExitCode != 0 {
			return heddle.Broken, text
		}
		return "", ""
	}
	asked := pod.DeletionTimestamp.Time
	if grace := pod.DeletionGracePeriodSeconds; grace != nil {
		asked = asked.Add(-time.Duration(*grace) * time.Second)
	}
	// Both are whole seconds. Who ended well in the second in which it was to be
	// ended had no time to notice.
	if t.FinishedAt.Time.Before(asked) || t.ExitCode == 0 && t.FinishedAt.Time.Equal(asked) {
		return "", ""
	}
	switch {
	case end.Reason != "":
		return end.Reason, end.Message
	case v.Job != nil && lateJob(v.Job):
		return heddle.TimedOut, "its Job ran out of its time"
	case deleting(v):
		return heddle.Lost, "its Job was deleted"
	}
	return heddle.Broken, orElse(disruption(pod), "its Pod was deleted")
}

// exitWithout reads the end of a Pod whose container has left none.
func exitWithout(v View, pod *corev1.Pod, end Ending) heddle.Exit {
	for _, status := range pod.Status.InitContainerStatuses {
		if t := status.State.Terminated; t != nil && t.ExitCode != 0 && pod.DeletionTimestamp == nil && pod.Status.Reason == "" {
			return heddle.Exit{
				Reason: heddle.Exited, Code: int(t.ExitCode), Signal: signalOf(int(t.ExitCode)),
				Started: t.StartedAt.UTC(), Ended: t.FinishedAt.UTC(), Termination: t.Message,
				Message: fmt.Sprintf("init container %s ended with exit code %d", status.Name, t.ExitCode),
			}
		}
	}
	late := pod.Status.Reason == "DeadlineExceeded" || v.Job != nil && lateJob(v.Job)
	switch {
	case end.Reason != "":
		return heddle.Exit{Reason: end.Reason, Message: end.Message}
	case late:
		return heddle.Exit{Reason: heddle.TimedOut, Message: "it ran out of its time before it started"}
	case pod.DeletionTimestamp != nil && deleting(v):
		return heddle.Exit{Reason: heddle.Lost, Message: "its Job was deleted"}
	}
	text := words(pod.Status.Reason, pod.Status.Message)
	return heddle.Exit{Reason: heddle.Broken, Message: orElse(text, orElse(disruption(pod), "its Pod was deleted"))}
}

// others finds the container that failed in a Pod whose main one did not.
func others(pod *corev1.Pod, main string) (code int, message string) {
	if pod.Status.Phase != corev1.PodFailed {
		return 0, ""
	}
	for _, status := range pod.Status.ContainerStatuses {
		if t := status.State.Terminated; t != nil && t.ExitCode != 0 && status.Name != main {
			return int(t.ExitCode), fmt.Sprintf("container %s ended with exit code %d", status.Name, t.ExitCode)
		}
	}
	return 0, ""
}

// disruption says what the cluster has done to a Pod; "": nothing.
func disruption(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue {
			return "the cluster has ended it: " + words(c.Reason, c.Message)
		}
	}
	return ""
}

func memoryLimit(pod *corev1.Pod, container string) uint64 {
	for _, c := range pod.Spec.Containers {
		if c.Name == container {
			return uint64(max(0, c.Resources.Limits.Memory().Value()))
		}
	}
	return 0
}

// words joins a reason and a message of Kubernetes.
func words(reason, message string) string {
	if reason == "" || message == "" {
		return reason + message
	}
	return reason + ": " + strings.TrimSpace(message)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// signalOf returns the name of the signal that an exit code of 128 and more tells of.
func signalOf(code int) string {
	names := [...]string{
		1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
		9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
	}
	if n := code - 128; n > 0 && n < len(names) {
		return names[n]
	}
	return ""
}
