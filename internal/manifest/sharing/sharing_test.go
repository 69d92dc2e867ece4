package sharing_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/manifest/params"
	"github.com/heddle/heddle/internal/manifest/sharing"
)

type said struct {
	Concurrency *heddle.Concurrency
	Pool        string
	Weight      int
}

// read reads a document that has a param, stage, with the value test.
func read(t *testing.T, text string) (said, error) {
	t.Helper()
	d, err := doc.Parse("doc.yaml", []byte(text+"\nparams: {stage: {}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	top := d.Object(d.Root)
	p := params.Read(d, top, "document", map[string]string{"stage": "test"})
	got := said{Concurrency: sharing.Concurrency(d, top, p)}
	got.Pool, got.Weight = sharing.Pool(d, top, p)
	return got, d.Faults.Err()
}

func TestWhatIsShared(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		want said
	}{
		"nothing":     {text: "", want: said{}},
		"names alone": {text: "concurrency: deploy\npool: gpu", want: said{&heddle.Concurrency{Key: "deploy"}, "gpu", 0}},
		"all there is": {
			text: "concurrency: {key: k, busy: cancel-old}\npool: {name: gpu, weight: 3}",
			want: said{&heddle.Concurrency{Key: "k", Busy: heddle.ConcurrenceCancelOld}, "gpu", 3},
		},
		"params in the names": {
			text: "concurrency: deploy-${{ params.stage }}\npool: {name: \"${{ params.stage }}-gpu\"}",
			want: said{&heddle.Concurrency{Key: "deploy-test"}, "test-gpu", 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := read(t, test.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ text, want string }{
		"a key that is a number":  {"concurrency: 7", "doc.yaml:1:14: concurrency: must be a string, is 7: quotes make it one"},
		"no key":                  {"concurrency: {busy: queue}", "doc.yaml:1:14: concurrency: needs the key key: a text"},
		"an empty key":            {"concurrency: ''", "doc.yaml:1:14: concurrency: must have 1 to 200 bytes, has 0"},
		"a key that is too long":  {"concurrency: " + strings.Repeat("x", 201), "doc.yaml:1:14: concurrency: must have 1 to 200 bytes, has 201"},
		"an unknown busy":         {"concurrency: {key: k, busy: wait}", `doc.yaml:1:29: concurrency.busy: must be queue, cancel-old or reject, is "wait"`},
		"a list":                  {"pool: [a]", "doc.yaml:1:7: pool: must be a string, is a list"},
		"a pool without a name":   {"pool: {weight: 1}", "doc.yaml:1:7: pool: needs the key name: a text"},
		"a weight of nothing":     {"pool: {name: a, weight: 0}", "doc.yaml:1:25: pool.weight: must be at least 1, is 0"},
		"a weight that is a word": {"pool: {name: a, weight: heavy}", `doc.yaml:1:25: pool.weight: must be a whole number from 0 to 2147483647, is the text "heavy"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := read(t, test.text)
			if heddle.CodeOf(err) != heddle.CodeInvalid || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}
