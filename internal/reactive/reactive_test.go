package reactive

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/heddle/heddle"
)

// readme is the template of reactivejob-operator's own example.
const readme = `{"metadata":{"annotations":{"digest":"abc123"}},"spec":{"ttlSecondsAfterFinished":120,
	"template":{"spec":{"containers":[{"name":"main","image":"alpine","command":["sleep","10"]}],"restartPolicy":"Never"}}}}`

// Golden: what stands at Jobs in clusters must be known for ever.
const (
	goldenOwn   = "v1-eeb04c732743fb77382a72b8b9545ca4fdfd4d4d168e87f0e7266b5583bff8c4"
	goldenOld   = "7a4e8d3e61655baaadccfb8261f96e35882da6bbda13ee98e5cb50c51446a6f0" // until v0.1.36
	goldenSince = "b90fc1291c7a948b5eb74ea6ffc0e531e9de6f5b32c853f16a9a2d43cc98d794" // since v0.1.37
)

func TestDigest(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		template string
		same     bool
	}{
		"itself": {template: readme, same: true},
		"other order of keys, nulls, what is empty": {same: true, template: `{"spec":{"template":{"metadata":{"creationTimestamp":null,"labels":{}},
			"spec":{"volumes":[],"restartPolicy":"Never","containers":[{"command":["sleep","10"],"image":"alpine","name":"main","resources":{}}]}},
			"ttlSecondsAfterFinished":120},"metadata":{"annotations":{"digest":"abc123"}}}`},
		"another annotation":               {template: strings.Replace(readme, "abc123", "abc124", 1)},
		"another time to live":             {template: strings.Replace(readme, "120", "121", 1)},
		"other order of a list":            {template: strings.Replace(readme, `"sleep","10"`, `"10","sleep"`, 1)},
		"false is not nothing":             {template: strings.Replace(readme, `"spec":{"ttl`, `"spec":{"suspend":false,"ttl`, 1)},
		"an empty word is not":             {template: strings.Replace(readme, `"sleep","10"`, `"sleep","10",""`, 1)},
		"an empty selector is not nothing": {template: strings.Replace(readme, `"restartPolicy"`, `"podSelector":{},"restartPolicy"`, 1)},
		"a key that nobody knows":          {template: strings.Replace(readme, `"spec":{"ttl`, `"spec":{"newField":1,"ttl`, 1)},
		"a word instead of number":         {template: strings.Replace(readme, "120", `"120"`, 1)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Digest(json.RawMessage(tc.template))
			if err != nil {
				t.Fatal(err)
			}
			if same := got == goldenOwn; same != tc.same {
				t.Errorf("got %s; same as the example's: %t, want %t", got, same, tc.same)
			}
		})
	}
	if _, err := Digest(json.RawMessage(`{`)); heddle.CodeOf(err) != heddle.CodeInvalid {
		t.Errorf("a broken template: %v", err)
	}
}

func TestNeedsJob(t *testing.T) {
	t.Parallel()
	changed := strings.Replace(readme, "120", "60", 1)
	tests := map[string]struct {
		template   string
		generation int64
		jobs       []Job
		want       bool
	}{
		"no job yet": {template: readme, generation: 1, want: true},
		"unchanged":  {template: readme, generation: 2, jobs: []Job{{Generation: 1, Digest: goldenOwn}}},
		"changed":    {template: changed, generation: 2, jobs: []Job{{Generation: 1, Digest: goldenOwn}}, want: true},
		"changed and back: only the newest counts": {template: readme, generation: 3, want: true,
			jobs: []Job{{Generation: 1, Digest: goldenOwn}, {Generation: 2, Digest: "v1-other"}}},
		"taken over from an old operator":    {template: readme, generation: 4, jobs: []Job{{Generation: 3, Digest: goldenOld}}},
		"taken over from a new operator":     {template: readme, generation: 4, jobs: []Job{{Generation: 3, Digest: goldenSince}}},
		"taken over and changed":             {template: changed, generation: 4, jobs: []Job{{Generation: 3, Digest: goldenSince}}, want: true},
		"other rules at the same generation": {template: readme, generation: 3, jobs: []Job{{Generation: 3, Digest: strings.Repeat("0", 64)}}},
		"rules of a version to come":         {template: readme, generation: 3, jobs: []Job{{Generation: 3, Digest: "v2-0"}}},
		"a job without a generation":         {template: readme, generation: 1, jobs: []Job{{Generation: -1, Digest: ""}}, want: true},
		"of one generation the one made last counts": {template: readme, generation: 3, want: true, jobs: []Job{
			{Name: "a", Generation: 2, Digest: "v1-other", Created: time.Unix(2, 0)}, {Name: "z", Generation: 2, Digest: goldenOwn, Created: time.Unix(1, 0)}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := NeedsJob(tc.generation, json.RawMessage(tc.template), tc.jobs)
			if err != nil || got != tc.want {
				t.Errorf("got %t, %v", got, err)
			}
		})
	}
}

func TestOldDigestsOfVolumeClaims(t *testing.T) {
	t.Parallel()
	const template = `{"spec":{"template":{"spec":{"volumes":[{"name":"v","ephemeral":{"volumeClaimTemplate":{"spec":{}}}}]}}}}`
	got, err := legacy(json.RawMessage(template))
	if err != nil {
		t.Fatal(err)
	}
	if got[0] == got[1] {
		t.Error("the two encodings give one digest")
	}
}
