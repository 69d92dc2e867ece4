package manifest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheExamplesAreReadWithoutWarnings(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../examples/*.[jy][sa]*") // .json and .yaml
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".test.yaml") {
			continue // scenarios for another
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Parse(filepath.Base(file), data, Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		for _, w := range r.Warnings {
			t.Error(w)
		}
	}
}
