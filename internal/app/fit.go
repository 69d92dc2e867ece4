package app

import (
	"strings"

	"github.com/heddle/heddle"
)

// Fit makes a flow ready for the executor that is to run it, and says what of it that
// cannot do. A Job that a user has described sees to its own retries and longest
// times on Kubernetes; elsewhere the engine does that in its place.
func Fit(executor string, flow *heddle.Flow) error {
	own := flow.Kind == heddle.KindTask || flow.Kind == heddle.KindReactiveJob
	for i := range flow.Steps {
		step := &flow.Steps[i]
		if step.Work == nil || step.Work.Kubernetes == nil {
			continue
		}
		if executor != Process && executor != Docker {
			if own {
				step.Retry, step.Timeout, flow.Deadline = heddle.Retry{}, 0, 0
			}
			continue
		}
		if only := step.Work.Kubernetes.Only; len(only) > 0 {
			return heddle.Errorf(heddle.CodeInvalid, "step %q: the %s executor cannot do what these keys ask for: %s; choose --executor kubernetes, or leave them out",
				step.Name, executor, strings.Join(only, ", "))
		}
	}
	return nil
}
