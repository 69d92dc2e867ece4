package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/app"
	"github.com/heddle/heddle/internal/secret"
)

// addSources takes up where variables of the steps that can be reached come from, and
// what of that is not there. Values are not kept.
func (p *plan) addSources(ctx context.Context, flow *heddle.Flow, in heddle.Input, lookup func(string) (string, bool)) {
	reached := reachable(flow)
	lacks := map[string][]string{} // what is missing -> steps
	for i := range flow.Steps {
		step := &flow.Steps[i]
		if !reached[step.Name] {
			continue
		}
		name := cmp.Or(step.Group, step.Name)
		from := app.Sources(flow, step, in, lookup)
		for _, variable := range slices.Sorted(maps.Keys(from)) {
			source := sourceWords(from[variable])
			if _, err := secret.Resolve(ctx, map[string]heddle.Source{variable: from[variable]}, secret.Places{LookupEnv: lookup}); err != nil {
				source = missing
				lacks[err.Error()] = append(lacks[err.Error()], name)
			}
			p.Sources = addNeed(p.Sources, variable, name, source)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(lacks)) {
		p.Missing = append(p.Missing, fmt.Sprintf("%s (for %s)", what, strings.Join(lacks[what], ", ")))
	}
}

// sourceWords says where a value comes from.
func sourceWords(s heddle.Source) string {
	switch {
	case s.File != "":
		return "file " + s.File
	case s.Env != "":
		return "variable " + s.Env + " of heddle"
	case s.Secret != "":
		return "Kubernetes Secret " + s.Secret
	case s.Output != "":
		return "output " + s.Output
	}
	return "what led to the step"
}
