package kube

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/heddle/heddle"
)

// Our labels and annotations. The attempt, the run and the store are on every object.
const (
	LabelAttempt = "heddle.dev/attempt"
	LabelStore   = "heddle.dev/store"
	LabelRun     = "heddle.dev/run"
	LabelStep    = "heddle.dev/step"

	annotationTimeout   = "heddle.dev/timeout"
	annotationGrace     = "heddle.dev/grace"
	annotationLog       = "heddle.dev/log"
	annotationMany      = "heddle.dev/many"      // the Job may have several Pods
	annotationContainer = "heddle.dev/container" // whose end is the attempt's
)

// maxName is the longest name of a Job, in bytes: its Pods have it in a label.
const maxName = 63

// SecretName is the name of an attempt's Secret, if it has one, and of its Job unless
// the step asks for another. It is a DNS label.
func SecretName(id heddle.AttemptID) string { return fit("heddle-"+string(id), string(id)) }

// JobName is the name of an attempt's Job or Pod: what the step wants, as far as that
// is legal, with a digest that no other attempt has.
func JobName(wanted string, id heddle.AttemptID, store string) string {
	name := dnsLabel(wanted)
	if name == "" {
		return SecretName(id)
	}
	tail := "-" + digest(store, string(id))
	return strings.TrimRight(name[:min(len(name), maxName-len(tail))], "-") + tail
}

// fit shortens a DNS label that is too long; what makes it one of a kind goes into a digest.
func fit(name string, unique ...string) string {
	if len(name) <= maxName {
		return name
	}
	tail := "-" + digest(unique...)
	return strings.TrimRight(name[:maxName-len(tail)], "-") + tail
}

func digest(parts ...string) string {
	hash := sha256.New()
	for _, part := range parts {
		hash.Write(append([]byte(part), 0))
	}
	return hex.EncodeToString(hash.Sum(nil)[:5])
}

// dnsLabel makes a DNS label of a text, or nothing if it has no letter and no digit.
func dnsLabel(text string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z' || '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, text)
	return strings.Trim(name, "-")
}

// labelValue makes a legal label value of a text: at most 63 letters, digits, dashes,
// underscores and dots, the first and last of which are letters or digits (kog).
func labelValue(text string) string {
	value := strings.Map(func(r rune) rune {
		if strings.ContainsRune("-_.", r) || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return r
		}
		return '-'
	}, text)
	value = strings.TrimLeft(value, "-_.")
	return strings.TrimRight(value[:min(len(value), maxName)], "-_.")
}
