package kube

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// waiting says why a Pod's program has not started.
func waiting(pod *corev1.Pod) (State, string) {
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		w := status.State.Waiting
		if w == nil {
			continue
		}
		switch w.Reason {
		case "InvalidImageName":
			return Hopeless, words(w.Reason, w.Message)
		case "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError", "SignatureValidationFailed",
			"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError", "PreStartHookError", "PostStartHookError":
			return Stuck, words(w.Reason, w.Message)
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return Waiting, words(c.Reason, c.Message)
		}
	}
	return Waiting, ""
}
