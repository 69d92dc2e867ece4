package jobfile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

func TestVariablesFromElsewhere(t *testing.T) {
	t.Parallel()
	text := job("params: {p: {default: vault}}\n", "", "image: i\nenv: {A: 1, F: {fromFile: 'x/${{ params.p }}'}, E: {fromEnv: TOKEN}, S: {fromSecret: n/k}}")
	work := parseOK(t, text, Options{Dir: "/docs"}).Flow.Steps[0].Work
	if diff := cmp.Diff(map[string]string{"A": "1"}, work.Env); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]heddle.Source{"F": {File: "/docs/x/vault"}, "E": {Env: "TOKEN"}, "S": {Secret: "n/k"}}, work.From); diff != "" {
		t.Error(diff)
	}
	for value, want := range map[string]string{
		"{fromOutput: a.b}":           "the key is not known",
		"{fromEnv: A, fromFile: /f}":  "must have one key, one of fromFile, fromEnv and fromSecret; has 2",
		"{fromEnv: A, fromFlie: /f}":  `the key is not known; did you mean "fromFile"?`,
		"{fromFile: relative}":        "must be an absolute path",
		`{fromFile: "/a\0b"}`:         "a path cannot hold the character 0",
		"{}":                          "has 0",
		"[fromEnv]":                   "must be a single value, is a list",
		"{fromSecret: Upper/key}":     "must be NAME/KEY of a Secret",
		"{fromSecret: name/key/more}": "must be NAME/KEY of a Secret",
	} {
		_, err := Parse("f", []byte(job("", "", "image: i\nenv: {V: "+value+"}")), Options{})
		if err == nil || !strings.Contains(err.Error(), "actions.a.env.V") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", value, err, want)
		}
	}
}
