package podspec

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// classify sorts what a pod's spec says, beyond what [Read] makes work of, by who
// can do it. What this code has not heard of is for Kubernetes only: better refused
// than done otherwise.
func (p *Pod) classify(path string, spec *corev1.PodSpec) {
	if len(spec.Containers) > 1 {
		p.Only = append(p.Only, join(path, "containers[1]"))
	}
	container, err := fields(spec.Containers[0])
	pod, err2 := fields(spec)
	if err != nil || err2 != nil { // they were JSON before
		return
	}
	p.sort(path, pod, podKey)
	at := join(path, "containers[0]")
	p.sort(at, container, containerKey)
	for i, v := range spec.Containers[0].Env {
		if v.ValueFrom != nil {
			p.Only = append(p.Only, at+".env["+strconv.Itoa(i)+"].valueFrom")
		}
	}
	for name := range spec.Containers[0].Resources.Limits {
		switch name {
		case corev1.ResourceMemory, corev1.ResourceCPU:
		case corev1.ResourceEphemeralStorage:
			p.Ignored = append(p.Ignored, at+".resources.limits."+string(name))
		default:
			p.Only = append(p.Only, at+".resources.limits."+string(name))
		}
	}
}

// class says who can do what a key asks for.
type class int

const (
	only    class = iota // Kubernetes alone
	ignored              // of no use elsewhere
	done                 // everybody, or nobody needs to
)

// fields returns what a Kubernetes value says, by key: empty things say nothing.
func fields(value any) (map[string]any, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	all := map[string]any{}
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	maps.DeleteFunc(all, func(_ string, v any) bool {
		switch v := v.(type) {
		case nil:
			return true
		case map[string]any:
			return len(v) == 0
		case []any:
			return len(v) == 0
		}
		return false
	})
	return all, nil
}

// sort puts each key into its list. of gives the class of a key with its value.
func (l *Limits) sort(path string, values map[string]any, of func(key string, value any) class) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		switch of(key, values[key]) {
		case only:
			l.Only = append(l.Only, join(path, key))
		case ignored:
			l.Ignored = append(l.Ignored, join(path, key))
		case done:
		}
	}
}

func join(path, key string) string { return strings.TrimPrefix(path+"."+key, ".") }

func podKey(key string, value any) class {
	switch key {
	case "containers", "restartPolicy", "activeDeadlineSeconds", "hostNetwork":
		return done
	case "securityContext":
		return security(value)
	case "automountServiceAccountToken", "shareProcessNamespace", "setHostnameAsFQDN":
		if value == false {
			return done
		}
	case "affinity", "dnsPolicy", "enableServiceLinks", "imagePullSecrets", "nodeName", "nodeSelector", "os", "overhead",
		"preemptionPolicy", "priority", "priorityClassName", "readinessGates", "resources", "schedulerName", "schedulingGates",
		"terminationGracePeriodSeconds", "tolerations", "topologySpreadConstraints":
		return ignored
	}
	return only
}

func containerKey(key string, value any) class {
	switch key {
	case "name", "image", "command", "args", "env", "workingDir", "terminationMessagePath":
		return done
	case "imagePullPolicy", "livenessProbe", "readinessProbe", "startupProbe", "ports", "resizePolicy", "stdin", "stdinOnce",
		"terminationMessagePolicy", "tty":
		return ignored
	case "resources":
		if m, ok := value.(map[string]any); ok && m["claims"] == nil {
			return done // its limits are looked at apart
		}
	case "securityContext":
		return security(value)
	}
	return only
}

// security is the class of a security context: what gives the program more than it
// would have is for Kubernetes only, what takes something away is ignored.
func security(value any) class {
	m, _ := value.(map[string]any)
	c := done
	for key, v := range m {
		switch key {
		case "runAsUser":
		case "runAsGroup":
			if m["runAsUser"] == nil { // it needs one
				c = ignored
			}
		case "privileged", "supplementalGroups", "sysctls", "windowsOptions":
			if v != false {
				return only
			}
		case "capabilities":
			if limits, ok := v.(map[string]any); ok && limits["add"] != nil {
				return only
			}
			c = ignored
		default:
			c = ignored
		}
	}
	return c
}
