package logs

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

func TestSize(t *testing.T) {
	t.Parallel()
	dir := Open(filepath.Join(t.TempDir(), "logs"))
	if ids, err := dir.Runs(); err != nil || len(ids) > 0 {
		t.Fatalf("of nothing: %v, error %v", ids, err)
	}
	for _, id := range []heddle.AttemptID{"a-1-1", "a-2-1", "b-1-1"} {
		w, err := dir.Create(id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("1234567890")); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ids, err := dir.Runs()
	if diff := cmp.Diff([]heddle.RunID{"a", "b"}, ids); diff != "" || err != nil {
		t.Fatalf("error %v, (-want +got):\n%s", err, diff)
	}
	for id, want := range map[heddle.RunID]int64{"a": 20, "b": 10, "c": 0} {
		if got, err := dir.Size(id); got != want || err != nil {
			t.Errorf("run %s has %d bytes, error %v; want %d", id, got, err, want)
		}
	}
	if _, err := dir.Size("../x"); heddle.CodeOf(err) != heddle.CodeInvalid {
		t.Errorf("the size of what is no run: %v", err)
	}
}
