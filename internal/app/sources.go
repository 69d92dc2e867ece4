package app

import (
	"maps"
	"slices"

	"github.com/heddle/heddle"
)

// Sources returns where variables of a step come from, those aside that the input
// or an entry of a matrix gives a value in any case. lookup reads the environment
// that may be imported.
func Sources(flow *heddle.Flow, step *heddle.Step, in heddle.Input, lookup func(string) (string, bool)) map[string]heddle.Source {
	if step.Work == nil {
		return nil
	}
	from := maps.Clone(step.Work.From)
	maps.DeleteFunc(from, func(name string, _ heddle.Source) bool {
		if _, given := in.Env[name]; given {
			return true
		}
		_, set := lookup(name)
		return set && in.Ambient.Keeps(name) || ofMatrix(flow, step, name)
	})
	return from
}

// ofMatrix reports whether all entries of the matrix around a step have the variable.
func ofMatrix(flow *heddle.Flow, step *heddle.Step, name string) bool {
	i := slices.IndexFunc(flow.Steps, func(s heddle.Step) bool { return s.Name == step.Group })
	if step.Group == "" || i < 0 || flow.Steps[i].Matrix == nil {
		return false
	}
	return !slices.ContainsFunc(flow.Steps[i].Matrix.Env, func(env map[string]string) bool {
		_, has := env[name]
		return !has
	})
}

// CheckSources says whether the executor can look up what the flow asks it for.
func CheckSources(executor string, flow *heddle.Flow, in heddle.Input, lookup func(string) (string, bool)) error {
	if executor != Process && executor != Docker {
		return nil
	}
	for i := range flow.Steps {
		step := &flow.Steps[i]
		from := Sources(flow, step, in, lookup)
		for _, name := range slices.Sorted(maps.Keys(from)) {
			if from[name].Secret != "" {
				return heddle.Errorf(heddle.CodeInvalid, "step %q: the variable %s comes from a Kubernetes Secret (fromSecret: %s), which the %s executor cannot read: "+
					"give it a value with --env, or use fromFile or fromEnv", step.Name, name, from[name].Secret, executor)
			}
		}
	}
	return nil
}
