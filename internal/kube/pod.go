package kube

import (
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/heddle/heddle/internal/executor"
)

// podOf makes the pod's template of a step that brings no manifest.
func podOf(spec executor.Spec) (*corev1.PodTemplateSpec, error) {
	work := spec.Work
	if work.Image == "" {
		return nil, refusal("the step names no image; give it one, or choose the process executor")
	}
	no, yes := false, true
	container := corev1.Container{
		Name: Main, Image: work.Image, ImagePullPolicy: corev1.PullIfNotPresent,
		Command: verbatim(work.Entrypoint), Args: verbatim(work.Command), WorkingDir: work.Dir,
		Resources:       resources(work.Memory, work.CPUs),
		SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no},
	}
	if work.Message != nil {
		container.TerminationMessagePath = work.Message.Path
	}
	pod := corev1.PodSpec{
		RestartPolicy:                corev1.RestartPolicyNever,
		AutomountServiceAccountToken: &no, EnableServiceLinks: &no,
		SecurityContext: &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
	}
	switch work.Network {
	case "":
	case "host":
		pod.HostNetwork = yes
	default:
		return nil, refusal("network %q: a pod has the network of its cluster, or that of its node (host); "+
			"leave it out, and bound what pods may reach by a NetworkPolicy", work.Network)
	}
	if err := user(&container, work.User); err != nil {
		return nil, err
	}
	if spec.Grace > 0 {
		grace := seconds(spec.Grace)
		pod.TerminationGracePeriodSeconds = &grace
	}
	if spec.Timeout > 0 {
		deadline := seconds(spec.Timeout + Pulling)
		pod.ActiveDeadlineSeconds = &deadline
	}
	if err := mount(&pod, &container, spec.Volumes); err != nil {
		return nil, err
	}
	pod.Containers = []corev1.Container{container}
	return &corev1.PodTemplateSpec{Spec: pod}, nil
}

// verbatim protects texts from Kubernetes, which expands $(NAME) and makes $ of $$.
func verbatim(texts []string) []string {
	var out []string
	for _, text := range texts {
		out = append(out, strings.ReplaceAll(text, "$", "$$"))
	}
	return out
}

func resources(memory int64, cpus float64) (r corev1.ResourceRequirements) {
	if memory > 0 || cpus > 0 {
		r.Limits = corev1.ResourceList{}
	}
	if memory > 0 {
		r.Limits[corev1.ResourceMemory] = *resource.NewQuantity(memory, resource.BinarySI)
	}
	if cpus > 0 {
		r.Limits[corev1.ResourceCPU] = *resource.NewMilliQuantity(max(1, int64(cpus*1000+0.5)), resource.DecimalSI)
	}
	return r
}

// user takes a number, with or without :group.
func user(container *corev1.Container, user string) error {
	if user == "" {
		return nil
	}
	name, group, hasGroup := strings.Cut(user, ":")
	uid, err := strconv.ParseInt(name, 10, 64)
	gid, groupErr := strconv.ParseInt(group, 10, 64)
	if err != nil || hasGroup && groupErr != nil {
		return refusal("user %q: Kubernetes takes numbers only, such as 1000 or 1000:1000; see id -u in the image", user)
	}
	container.SecurityContext.RunAsUser = &uid
	if hasGroup {
		container.SecurityContext.RunAsGroup = &gid
	}
	return nil
}
