package app

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

func TestFit(t *testing.T) {
	t.Parallel()
	flow := func(kind heddle.Kind, only ...string) *heddle.Flow {
		return &heddle.Flow{Kind: kind, Deadline: time.Hour, Steps: []heddle.Step{
			{Name: "group"}, {Name: "plain", Work: &heddle.Work{}, Timeout: time.Second},
			{Name: "job", Retry: heddle.Retry{Limit: 6}, Timeout: time.Minute, Work: &heddle.Work{Kubernetes: &heddle.Kubernetes{Only: only}}},
		}}
	}
	cleared := flow(heddle.KindReactiveJob, "spec.volumes")
	cleared.Deadline, cleared.Steps[2].Retry, cleared.Steps[2].Timeout = 0, heddle.Retry{}, 0
	for name, tc := range map[string]struct {
		executor   string
		flow, want *heddle.Flow
		err        string
	}{
		"what everybody can":          {executor: "docker", flow: flow(heddle.KindReactiveJob), want: flow(heddle.KindReactiveJob)},
		"its own retries in its Job":  {executor: "kubernetes", flow: flow(heddle.KindReactiveJob, "spec.volumes"), want: cleared},
		"the engine's, of a pipeline": {executor: "kubernetes", flow: flow(heddle.KindPipeline), want: flow(heddle.KindPipeline)},
		"what only Kubernetes has": {executor: "process", flow: flow(heddle.KindChain, "spec.volumes", "spec.hostPID"),
			err: `step "job": the process executor cannot do what these keys ask for: spec.volumes, spec.hostPID; choose --executor kubernetes, or leave them out`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := Fit(tc.executor, tc.flow)
			if tc.err != "" {
				if heddle.CodeOf(err) != heddle.CodeInvalid || err.Error() != tc.err {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, tc.flow); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
