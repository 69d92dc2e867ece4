package kube

import (
	"maps"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/heddle/heddle/internal/executor"
)

const (
	// filesDir is where the files of an attempt are in its containers.
	filesDir    = "/heddle"
	filesVolume = "heddle-files"
	// maxPlain is how many bytes of variables a Pod carries itself: Pods are kept and
	// sent around whole.
	maxPlain = 16 << 10
	// defaultMessagePath is where Kubernetes looks for a termination message.
	defaultMessagePath = corev1.TerminationMessagePathDefault
	envContext         = "KOG_CONTEXT" // job files have it (kog)
)

// vars are the variables of an attempt and where their values are.
type vars struct {
	plain  map[string]string
	secret string              // the name of the Secret; "": there is none
	keys   map[string]string   // of the Secret, by variable
	from   map[string][]string // name and key of a user's Secret, by variable
}

// variables decides where the values of variables go. All go into a Secret if one of
// them holds what is to be masked, if they are many, if there are files, and for job
// files (kog has it so); else they stand in the Pod, which saves a call.
func variables(spec executor.Spec) (*vars, *corev1.Secret, error) {
	v := &vars{plain: maps.Clone(spec.Work.Env), keys: map[string]string{}, from: map[string][]string{}}
	if v.plain == nil {
		v.plain = map[string]string{}
	}
	for name, source := range spec.Work.From {
		secret, key, ok := strings.Cut(source.Secret, "/")
		if !ok || secret == "" || key == "" {
			return nil, nil, refusal("variable %s: a secret is named as name/key, not %q", name, source.Secret)
		}
		v.from[name] = []string{secret, key}
		delete(v.plain, name)
	}
	for _, file := range spec.Files {
		v.plain[file.Env] = path.Join(filesDir, file.Name)
	}
	if !secretive(spec) {
		return v, nil, nil
	}
	v.secret = SecretName(spec.Attempt)
	yes := true
	secret := &corev1.Secret{Immutable: &yes, Type: corev1.SecretTypeOpaque, Data: map[string][]byte{}}
	size := 0
	for name, value := range v.plain {
		key := "env." + name
		if len(validation.IsConfigMapKey(key)) > 0 {
			key = "env-" + digest(name)
		}
		v.keys[name], secret.Data[key] = key, []byte(value)
		size += len(value)
	}
	for _, file := range spec.Files {
		secret.Data[fileKey(file)] = file.Data
		size += len(file.Data)
	}
	if size > corev1.MaxSecretSize {
		return nil, nil, refusal("variables and context have %d bytes together, and a Secret of Kubernetes holds %d at most; hand on less",
			size, corev1.MaxSecretSize)
	}
	return v, secret, nil
}

func secretive(spec executor.Spec) bool {
	_, job := spec.Work.Env[envContext]
	if job || len(spec.Files) > 0 {
		return true
	}
	size := 0
	for name, value := range spec.Work.Env {
		size += len(name) + len(value)
		holds := func(secret string) bool { return secret != "" && strings.Contains(value, secret) }
		if slices.ContainsFunc(spec.Mask, holds) {
			return true
		}
	}
	return size > maxPlain
}

func fileKey(file executor.File) string { return "file-" + digest(file.Name) }

// into puts variables, files and the path of the message file into all containers.
func (v *vars) into(pod *corev1.PodSpec, spec executor.Spec) {
	for i := range pod.Containers {
		c := &pod.Containers[i]
		if m := spec.Work.Message; m != nil {
			if m.Path != "" {
				c.TerminationMessagePath = m.Path
			}
			if m.Env != "" {
				set(c, corev1.EnvVar{Name: m.Env, Value: strings.ReplaceAll(messagePath(c), "$", "$$")})
			}
		}
		for _, name := range slices.Sorted(maps.Keys(v.plain)) {
			if v.secret != "" {
				set(c, fromSecret(name, v.secret, v.keys[name]))
			} else {
				set(c, corev1.EnvVar{Name: name, Value: strings.ReplaceAll(v.plain[name], "$", "$$")})
			}
		}
		for _, name := range slices.Sorted(maps.Keys(v.from)) {
			set(c, fromSecret(name, v.from[name][0], v.from[name][1]))
		}
		if len(spec.Files) > 0 {
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: filesVolume, MountPath: filesDir, ReadOnly: true})
		}
	}
	if len(spec.Files) == 0 {
		return
	}
	source := &corev1.SecretVolumeSource{SecretName: v.secret}
	for _, file := range spec.Files {
		source.Items = append(source.Items, corev1.KeyToPath{Key: fileKey(file), Path: file.Name})
	}
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: filesVolume, VolumeSource: corev1.VolumeSource{Secret: source}})
}

func messagePath(c *corev1.Container) string {
	if c.TerminationMessagePath != "" {
		return c.TerminationMessagePath
	}
	return defaultMessagePath
}

func fromSecret(name, secret, key string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: key,
	}}}
}

// set sets a variable, in the place of one with its name.
func set(c *corev1.Container, variable corev1.EnvVar) {
	for i := range c.Env {
		if c.Env[i].Name == variable.Name {
			c.Env[i] = variable
			return
		}
	}
	c.Env = append(c.Env, variable)
}
