package app

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/secret"
)

// guard keeps runs that a server is asked for from what only the server may have. It
// lets everything through where places are not bounded: on the command line.
type guard struct {
	places      secret.Places
	hostVolumes bool
}

// check says what a flow asks for that it must not have, as [heddle.CodeInvalid].
func (g guard) check(flow *heddle.Flow, in heddle.Input) error {
	if err := g.checkSources(flow, in); err != nil || !g.places.Bounded || g.hostVolumes {
		return err
	}
	const advice = "give the step a volume of another kind, or start the server with --allow-host-volumes"
	for _, volume := range in.Volumes {
		if onHost(volume) {
			return heddle.Errorf(heddle.CodeInvalid, "the volume %q mounts a path of the host, which runs of this server must not: %s", volume, advice)
		}
	}
	for i := range flow.Steps {
		step := &flow.Steps[i]
		if step.Work == nil || step.Work.Kubernetes == nil {
			continue
		}
		k := step.Work.Kubernetes
		for _, manifest := range []json.RawMessage{k.Template, k.JobSpec, k.PodTemplate} {
			var tree any
			_ = json.Unmarshal(manifest, &tree) // what is no JSON nobody can run
			if hasHostPath(tree) {
				return heddle.Errorf(heddle.CodeInvalid, "step %q: hostPath mounts a path of the host, which runs of this server must not: %s", step.Name, advice)
			}
		}
	}
	return nil
}

// checkSources says which variables come from where they must not.
func (g guard) checkSources(flow *heddle.Flow, in heddle.Input) error {
	if !g.places.Bounded || flow == nil {
		return nil
	}
	nothing := func(string) (string, bool) { return "", false }
	for i := range flow.Steps {
		step := &flow.Steps[i]
		from := Sources(flow, step, in, nothing)
		for _, name := range slices.Sorted(maps.Keys(from)) {
			if why := g.places.Refuse(from[name]); why != "" {
				return heddle.Errorf(heddle.CodeInvalid, "step %q, variable %s: %s", step.Name, name, why)
			}
		}
	}
	return nil
}

// onHost reports whether a volume, in docker's syntax, is a path of the host: names of
// volumes, claims and the like hold no slash.
func onHost(volume string) bool {
	source, _, mounted := strings.Cut(volume, ":")
	drive := len(source) == 1
	return mounted && (drive || strings.ContainsAny(source, `/\`) || strings.HasPrefix(source, ".") || strings.HasPrefix(source, "~"))
}

// hasHostPath reports whether a manifest has a volume that is a path of the host.
func hasHostPath(tree any) bool {
	switch tree := tree.(type) {
	case map[string]any:
		for key, value := range tree {
			if strings.EqualFold(key, "hostPath") && value != nil || hasHostPath(value) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(tree, hasHostPath)
	}
	return false
}
