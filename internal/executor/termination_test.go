package executor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

func TestReadTermination(t *testing.T) {
	t.Parallel()
	full := strings.Repeat("b", MaxTermination)
	tests := map[string]struct {
		content string
		mask    []string
		want    string
	}{
		"an empty one":                             {},
		"a short one, as it is":                    {content: " a\n\x00b\n", want: " a\n\x00b\n"},
		"what is not UTF-8 is replaced":            {content: "a\xff\xfeb", want: "a\uFFFDb"},
		"of a long one the end counts":             {content: "a" + full, want: full},
		"the bound cuts a character":               {content: "a\u20ac" + full[2:], want: full[2:]},
		"what begins broken within the bound":      {content: "\x82b", want: "\uFFFDb"},
		"replacements do not lengthen it":          {content: strings.Repeat("b\xff", MaxTermination/2), want: strings.Repeat("b\uFFFD", MaxTermination/4)},
		"a secret":                                 {content: "the key is sesame!", mask: []string{"sesame"}, want: "the key is ***!"},
		"a secret that the bound cuts":             {content: "open sesame" + full[3:], mask: []string{"sesame"}, want: "***" + full[3:]},
		"a secret before the bound":                {content: "sesame" + full, mask: []string{"sesame"}, want: full},
		"a secret that somebody else has cut":      {content: "same" + full[4:], mask: []string{"sesame"}, want: "***" + full[4:]},
		"the end of a secret in what was not cut":  {content: "same", mask: []string{"sesame"}, want: "same"},
		"masking does not bring more of the front": {content: "xyz" + full[6:] + "sesame", mask: []string{"sesame"}, want: full[6:] + "***"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "log")
			if err := os.WriteFile(path, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			exit := heddle.Exit{TerminationFault: "of before"}
			if err := ReadTermination(&exit, path, NewMasker(tc.mask)); err != nil {
				t.Fatal(err)
			}
			if full := len(tc.content) >= MaxTermination; full != (exit.TerminationFault != "") {
				t.Errorf("of %d bytes the fault is %q", len(tc.content), exit.TerminationFault)
			}
			if d := cmp.Diff(tc.want, exit.Termination); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestReadTerminationOfWhatIsNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var exit heddle.Exit
	if err := ReadTermination(&exit, filepath.Join(dir, "none"), nil); exit.Termination+exit.TerminationFault != "" || err != nil {
		t.Errorf("of nothing: got %+v, %v", exit, err)
	}
	if err := ReadTermination(&exit, dir, nil); err == nil || exit.TerminationFault == "" {
		t.Error("of a directory: want an error")
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Skip(err)
	}
	if err := ReadTermination(&exit, link, nil); err == nil || exit.Termination != "" {
		t.Errorf("of a link: got %q, want an error", exit.Termination)
	}
}
