package kube

import (
	"cmp"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/heddle/heddle"
)

// finished returns the condition that says how a Job has ended; nil: it has not.
func finished(job *batchv1.Job) *batchv1.JobCondition {
	if job == nil {
		return nil
	}
	for i, c := range job.Status.Conditions {
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			return &job.Status.Conditions[i]
		}
	}
	return nil
}

// lateJob reports whether the Job ends, or has ended, because its own deadline has passed.
func lateJob(job *batchv1.Job) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		failed := c.Type == batchv1.JobFailed || c.Type == batchv1.JobFailureTarget
		return failed && c.Status == corev1.ConditionTrue && c.Reason == batchv1.JobReasonDeadlineExceeded
	})
}

// judgeMany judges an attempt whose Job may have several Pods: the Job has the last word.
func judgeMany(v View, end Ending) Verdict {
	verdict := Verdict{State: Waiting}
	for _, pod := range v.Pods {
		started := startedAt(mainStatus(pod))
		if !started.IsZero() && (verdict.Started.IsZero() || started.Before(verdict.Started)) {
			verdict.Started, verdict.State = started, Running
		}
	}
	if v.Job == nil && !v.JobGone {
		return verdict // the Job has not been heard of yet
	}
	if c := finished(v.Job); c != nil {
		over := jobEnd(v, c, end)
		over.Started, over.Exit.Started = verdict.Started, verdict.Started
		return over
	}
	if v.JobGone {
		return ended(end, heddle.Lost, "its Job was deleted")
	}
	if verdict.State == Waiting {
		verdict.State, verdict.Message = waiting(v.Pods[len(v.Pods)-1])
	}
	return verdict
}

// jobEnd reads the end of a Job from its condition, and the code from the Pod that
// failed last.
func jobEnd(v View, c *batchv1.JobCondition, end Ending) Verdict {
	exit := heddle.Exit{Reason: heddle.Exited, Ended: c.LastTransitionTime.UTC()}
	switch {
	case c.Type == batchv1.JobComplete && len(v.Pods) == 0:
		exit.Message = "its Pod is gone, and its output with it"
	case c.Type == batchv1.JobComplete:
		if last := v.Pods[len(v.Pods)-1]; mainStatus(last).State.Terminated != nil {
			exit.Termination = mainStatus(last).State.Terminated.Message
		}
	case c.Reason == batchv1.JobReasonDeadlineExceeded:
		exit.Reason, exit.Message = heddle.TimedOut, words(c.Reason, c.Message)
	case end.Reason != "":
		exit.Reason, exit.Message = end.Reason, end.Message
	case len(v.Pods) == 0:
		exit.Reason, exit.Message = heddle.Lost, "its Pod is gone; its Job says: "+words(c.Reason, c.Message)
	default:
		failure(&exit, v.Pods, c)
	}
	return Verdict{State: Over, Exit: exit}
}

func failure(exit *heddle.Exit, pods []*corev1.Pod, c *batchv1.JobCondition) {
	exit.Code, exit.Message = 1, words(c.Reason, c.Message)
	var latest time.Time
	for _, pod := range pods {
		t := mainStatus(pod).State.Terminated
		if t != nil && t.ExitCode != 0 && !t.FinishedAt.Time.Before(latest) {
			latest = t.FinishedAt.Time
			exit.Code, exit.Signal, exit.Termination = int(t.ExitCode), signalOf(int(t.ExitCode)), t.Message
		}
	}
}

// Sort puts Pods into the order in which they were made.
func Sort(pods []*corev1.Pod) {
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
}
