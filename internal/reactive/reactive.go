// Package reactive decides when a ReactiveJob needs another Job. It is pure; what
// watches ReactiveJobs in a cluster asks it.
package reactive

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/heddle/heddle"
)

// version leads a digest, so that one by other rules is never taken for a change.
const version = "v1-"

// Digest identifies a Job template, the JSON of spec.jobTemplate as it is stored,
// by its content: the version of the rules, a dash, 64 hexadecimal digits. The order
// of keys does not matter, nor do nulls and empty maps and lists; the order of lists
// does, and so does how a quantity is written. It is made from the text alone, so
// that no library can change it.
func Digest(template json.RawMessage) (string, error) {
	decoder := json.NewDecoder(bytes.NewReader(template))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return "", heddle.Errorf(heddle.CodeInvalid, "reading a Job template: %w", err)
	}
	data, err := json.Marshal(pruned(value)) // sorts keys
	if err != nil {
		return "", heddle.Errorf(heddle.CodeInternal, "encoding a Job template: %w", err)
	}
	sum := sha256.Sum256(data)
	return version + hex.EncodeToString(sum[:]), nil
}

// pruned returns a value without what says nothing; nil if nothing is left.
func pruned(value any) any {
	switch v := value.(type) {
	case map[string]any:
		kept := make(map[string]any, len(v))
		for key, below := range v {
			if left := pruned(below); left != nil {
				kept[key] = left
			} else if below != nil && strings.HasSuffix(key, "elector") {
				kept[key] = below // an empty selector selects all, an absent one nothing
			}
		}
		if len(kept) > 0 {
			return kept
		}
		return nil
	case []any:
		if len(v) == 0 {
			return nil
		}
		kept := make([]any, len(v)) // in their places, which count
		for i, below := range v {
			kept[i] = pruned(below)
		}
		return kept
	}
	return value
}

// legacy returns the digests that reactivejob-operator gives to the template: until
// its v0.1.36, with which the JSON of Kubernetes types held a null for each time of
// creation, and since.
func legacy(template json.RawMessage) ([]string, error) {
	var typed batchv1.JobTemplateSpec
	if err := json.Unmarshal(template, &typed); err != nil {
		return nil, heddle.Errorf(heddle.CodeInvalid, "reading a Job template: %w", err)
	}
	// No string of the template can hold this: quotes in those are escaped.
	mark := metav1.Unix(0, 0).UTC()
	metas := []*metav1.ObjectMeta{&typed.ObjectMeta, &typed.Spec.Template.ObjectMeta}
	for i := range typed.Spec.Template.Spec.Volumes {
		if e := typed.Spec.Template.Spec.Volumes[i].Ephemeral; e != nil && e.VolumeClaimTemplate != nil {
			metas = append(metas, &e.VolumeClaimTemplate.ObjectMeta)
		}
	}
	var digests []string
	for _, created := range []metav1.Time{{}, {Time: mark}} {
		for _, meta := range metas {
			meta.CreationTimestamp = created
		}
		data, err := json.Marshal(typed)
		if err != nil {
			return nil, heddle.Errorf(heddle.CodeInternal, "encoding a Job template: %w", err)
		}
		marked := fmt.Sprintf(`"creationTimestamp":%q`, mark.Format(time.RFC3339))
		data = bytes.ReplaceAll(data, []byte(marked), []byte(`"creationTimestamp":null`))
		sum := sha256.Sum256(data)
		digests = append(digests, hex.EncodeToString(sum[:]))
	}
	return digests, nil
}

// Job is what of a Job that belongs to a ReactiveJob matters here.
type Job struct {
	Name string
	// Generation is the ReactiveJob's when the Job was made: the annotation
	// batch.cs.sap.com/controller-generation, -1 if that is missing or no number.
	Generation int64
	Created    time.Time
	// Digest is the annotation batch.cs.sap.com/controller-hash.
	Digest string
}

// Current returns the Job that the status is about: that of the highest generation,
// of several the one made last. ok is false when there are none.
func Current(jobs []Job) (current Job, ok bool) {
	if len(jobs) == 0 {
		return Job{}, false
	}
	return slices.MaxFunc(jobs, func(a, b Job) int {
		return cmp.Or(cmp.Compare(a.Generation, b.Generation), a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
	}), true
}

// NeedsJob reports whether the template, at this generation of its ReactiveJob,
// needs another Job beside those that there are. A Job of the same generation is
// always enough, whatever its digest: that changes with the rules, with defaults
// that a new resource definition brings, or by hand, and none of these is a reason
// to run anything twice. Digests of reactivejob-operator are known.
func NeedsJob(generation int64, template json.RawMessage, jobs []Job) (bool, error) {
	current, ok := Current(jobs)
	if !ok {
		return true, nil
	}
	if current.Generation >= generation {
		return false, nil
	}
	if strings.HasPrefix(current.Digest, version) {
		digest, err := Digest(template)
		return digest != current.Digest, err
	}
	digests, err := legacy(template)
	return !slices.Contains(digests, current.Digest), err
}
