package kube

import (
	"fmt"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// volumeForms is what [mount] takes, for messages.
const volumeForms = "/host/path:/path[:ro], pvc:NAME:/path[:ro], configmap:NAME:/path, secret:NAME:/path or /path for an empty directory"

// mount gives a container volumes. They are written as docker's --volume is, with the
// kinds of Kubernetes on top.
func mount(pod *corev1.PodSpec, container *corev1.Container, volumes []string) error {
	for i, text := range volumes {
		source, target, readOnly, err := volumeOf(text)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("volume-%d", i+1)
		pod.Volumes = append(pod.Volumes, corev1.Volume{Name: name, VolumeSource: source})
		container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: target, ReadOnly: readOnly})
	}
	return nil
}

func volumeOf(text string) (source corev1.VolumeSource, target string, readOnly bool, err error) {
	wrong := func(why string) (corev1.VolumeSource, string, bool, error) {
		return corev1.VolumeSource{}, "", false, refusal("volume %q: %s; on Kubernetes a volume is %s", text, why, volumeForms)
	}
	parts := strings.Split(text, ":")
	kind := ""
	switch parts[0] {
	case "pvc", "configmap", "secret":
		kind, parts = parts[0], parts[1:]
	}
	if kind == "" && len(parts) == 1 {
		if !path.IsAbs(text) {
			return wrong("its path in the container is not absolute")
		}
		return corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}, text, false, nil
	}
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" {
		return wrong("it has not the form")
	}
	if len(parts) == 3 {
		for option := range strings.SplitSeq(parts[2], ",") {
			switch option {
			case "ro":
				readOnly = true
			case "rw", "z", "Z": // the latter two are for docker's hosts
			default:
				return wrong(fmt.Sprintf("the option %q is not known", option))
			}
		}
	}
	name, target := parts[0], parts[1]
	if !path.IsAbs(target) {
		return wrong("its path in the container is not absolute")
	}
	switch kind {
	case "pvc":
		source.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name, ReadOnly: readOnly}
	case "configmap":
		source.ConfigMap = &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}
	case "secret":
		source.Secret = &corev1.SecretVolumeSource{SecretName: name}
	default:
		if !path.IsAbs(name) {
			return wrong("docker's named volumes and relative paths mean nothing to a cluster")
		}
		source.HostPath = &corev1.HostPathVolumeSource{Path: name}
	}
	return source, target, readOnly, nil
}
