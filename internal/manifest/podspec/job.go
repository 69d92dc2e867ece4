package podspec

import (
	"encoding/json"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
)

// Job is what the spec of a Job says about its pods.
type Job struct {
	// Retry is its backoffLimit, with the back-off of Kubernetes: 10 seconds, then
	// twice as long each time, 6 minutes at most.
	Retry heddle.Retry
	// Deadline is its activeDeadlineSeconds, which bound all its pods together; 0: none.
	Deadline time.Duration
	Limits
}

// ReadJob reads the spec of a Job at n, decoded as spec, its template aside.
func ReadJob(d *doc.Document, n *doc.Node, spec *batchv1.JobSpec) Job {
	const usual = 6 // retries, of a Job that does not say
	j := Job{Retry: heddle.Retry{Limit: usual, Delay: 10 * time.Second, MaxDelay: 6 * time.Minute}}
	if limit := spec.BackoffLimit; limit != nil {
		if *limit < 0 {
			d.Faults.Errorf(find(n, "backoffLimit"), "cannot be negative, is %d", *limit)
		}
		j.Retry.Limit = int(*limit)
	}
	if j.Retry.Limit == 0 {
		j.Retry = heddle.Retry{}
	}
	if s := spec.ActiveDeadlineSeconds; s != nil {
		j.Deadline = seconds(d, find(n, "activeDeadlineSeconds"), *s)
	}
	plain := spec.DeepCopy()
	plain.Template.Spec.Containers = nil
	if values, err := fields(plain); err == nil {
		j.sort(n.Path(), values, jobKey)
	}
	return j
}

// find returns the value of a key however its letters are written, n if there is none.
func find(n *doc.Node, key string) *doc.Node {
	for _, f := range n.Fields {
		if strings.EqualFold(f.Key, key) {
			return f.Value
		}
	}
	return n
}

func jobKey(key string, value any) class {
	switch key {
	case "template", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished", "podReplacementPolicy":
		return done
	case "parallelism", "completions":
		if value == 1.0 {
			return done
		}
	case "suspend", "manualSelector":
		if value == false {
			return done
		}
	case "completionMode":
		if value == string(batchv1.NonIndexedCompletion) {
			return done
		}
	}
	return only
}

// JobFields is the JSON of what a Job's spec says, its template aside; nil if that
// is nothing.
func JobFields(spec *batchv1.JobSpec) json.RawMessage {
	plain := spec.DeepCopy()
	plain.Template = corev1.PodTemplateSpec{}
	values, err := fields(plain)
	if err != nil {
		return nil
	}
	if delete(values, "template"); len(values) == 0 {
		return nil
	}
	data, err := json.Marshal(values)
	if err != nil { // they were JSON before
		return nil
	}
	return data
}
