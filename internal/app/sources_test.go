package app

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

func TestCheckSources(t *testing.T) {
	t.Parallel()
	flow := &heddle.Flow{Steps: []heddle.Step{
		{Name: "m", Matrix: &heddle.Matrix{Env: []map[string]string{{"X": "1", "Y": "1"}, {"X": "2"}}}},
		{Name: "m[]", Group: "m", Work: &heddle.Work{From: map[string]heddle.Source{"X": {Secret: "n/k"}, "Y": {Env: "E"}, "Z": {Secret: "n/z"}}}},
	}}
	lookup := func(name string) (string, bool) { return "", name == "Z" }
	for name, tc := range map[string]struct {
		executor string
		in       heddle.Input
		want     string // what is left, if it is refused
	}{
		"on processes":              {executor: Process, want: "Y Z"},
		"in Docker":                 {executor: Docker, want: "Y Z"},
		"on Kubernetes":             {executor: "kubernetes"},
		"with a value in its place": {executor: Docker, in: heddle.Input{Env: map[string]string{"Z": ""}}},
		"with another value":        {executor: Docker, in: heddle.Input{Env: map[string]string{"Y": ""}}, want: "Z"},
		"with an import":            {executor: Docker, in: heddle.Input{Ambient: &heddle.Ambient{}}},
		"with an import without it": {executor: Docker, in: heddle.Input{Ambient: &heddle.Ambient{Ignore: []string{"Z"}}}, want: "Y Z"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := CheckSources(tc.executor, flow, tc.in, lookup)
			if (err != nil) != (tc.want != "") {
				t.Fatalf("%v", err)
			}
			if err == nil {
				return
			}
			if !strings.Contains(err.Error(), `step "m[]": the variable Z comes from a Kubernetes Secret (fromSecret: n/z), which the `+tc.executor+" executor cannot read") {
				t.Error(err)
			}
			var left []string
			for name := range Sources(flow, &flow.Steps[1], tc.in, lookup) {
				left = append(left, name)
			}
			slices.Sort(left)
			if diff := cmp.Diff(tc.want, strings.Join(left, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}
