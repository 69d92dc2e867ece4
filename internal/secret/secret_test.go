package secret

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

func env(name string) (string, bool) {
	value, ok := map[string]string{"SET": "s3cret", "EMPTY": "", "NUL": "a\x00b"}[name]
	return value, ok
}

func TestResolve(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, tc := range map[string]struct {
		source heddle.Source
		want   string
		why    string // what the error says, besides the name of the variable
	}{
		"a file":                     {source: heddle.Source{File: file("plain", "s3cret")}, want: "s3cret"},
		"a line end is cut":          {source: heddle.Source{File: file("line", "s3cret\n")}, want: "s3cret"},
		"that of Windows too":        {source: heddle.Source{File: file("crlf", "s3cret\r\n")}, want: "s3cret"},
		"one only":                   {source: heddle.Source{File: file("lines", "a\nb\n\n")}, want: "a\nb\n"},
		"spaces stay":                {source: heddle.Source{File: file("spaces", " a \r")}, want: " a \r"},
		"an empty file":              {source: heddle.Source{File: file("empty", "")}},
		"as much as may be":          {source: heddle.Source{File: file("most", strings.Repeat("x", MaxFile))}, want: strings.Repeat("x", MaxFile)},
		"more than may be":           {source: heddle.Source{File: file("more", strings.Repeat("x", MaxFile+1))}, why: "has more than the 1048576 bytes that are allowed"},
		"the character 0":            {source: heddle.Source{File: file("nul", "a\x00b")}, why: "holds the character 0"},
		"no such file":               {source: heddle.Source{File: filepath.Join(dir, "gone")}, why: "gone (fromFile) is not there: make it"},
		"a directory":                {source: heddle.Source{File: dir}, why: "is not a regular file"},
		"a variable":                 {source: heddle.Source{Env: "SET"}, want: "s3cret"},
		"an empty variable":          {source: heddle.Source{Env: "EMPTY"}},
		"a variable with a 0":        {source: heddle.Source{Env: "NUL"}, why: "holds the character 0"},
		"a variable that is not set": {source: heddle.Source{Env: "GONE"}, why: "the variable GONE (fromEnv) is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			values, err := Resolve(context.Background(), map[string]heddle.Source{"V": tc.source}, Places{LookupEnv: env})
			if tc.why == "" && (err != nil || values["V"] != tc.want) {
				t.Errorf("%d bytes, %v", len(values["V"]), err)
			}
			if tc.why != "" && (err == nil || !strings.Contains(err.Error(), tc.why) || len(values) > 0) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestResolveNamesAllThatIsMissing(t *testing.T) {
	t.Parallel()
	values, err := Resolve(context.Background(), map[string]heddle.Source{
		"B": {Env: "GONE"}, "A": {Env: "LOST"}, "C": {Env: "SET"}, "D": {Secret: "name/key"}, "E": {Output: "a.b"},
	}, Places{LookupEnv: env})
	want := "variable A: the variable LOST (fromEnv) is not set in the environment of heddle: set it where heddle is started; " +
		"variable B: the variable GONE (fromEnv) is not set in the environment of heddle: set it where heddle is started"
	if err == nil || err.Error() != want || heddle.CodeOf(err) != heddle.CodeNotFound {
		t.Errorf("%v", err)
	}
	if diff := cmp.Diff(map[string]string{"C": "s3cret"}, values); diff != "" {
		t.Error(diff)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Resolve(ctx, map[string]heddle.Source{"A": {Env: "SET"}}, Places{LookupEnv: env}); heddle.CodeOf(err) != heddle.CodeUnavailable {
		t.Errorf("%v", err)
	}
}

func TestMasks(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff([]string{"a", "b"}, Masks(map[string]string{"1": "b", "2": "", "3": "a", "4": "b"})); diff != "" {
		t.Error(diff)
	}
}
