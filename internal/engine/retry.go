package engine

import (
	"context"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/machine"
)

// plan returns the event that begins a submitted run. Of a retry it makes the plan,
// and fills in what the submission leaves to the run that is done over. What is
// taken over is committed with the change that creates the run, so that there is no
// instant in which the new run lacks it.
func (e *Engine) plan(ctx context.Context, sub *heddle.Submission) (machine.Begin, error) {
	if sub.Retry == nil {
		return machine.Begin{}, nil
	}
	old, err := e.opts.History.Run(ctx, sub.Retry.Run)
	if err != nil {
		return machine.Begin{}, err
	}
	plan, err := machine.PlanRetry(sub.Flow, &old, *sub.Retry)
	if err != nil {
		return machine.Begin{}, err
	}
	if sub.Flow == nil {
		sub.Flow = old.Flow
	}
	if sub.Executor == "" {
		sub.Executor = old.Run.Executor
	}
	if sub.Organization == "" {
		sub.Organization = old.Run.Organization
	}
	if sub.Labels == nil {
		sub.Labels = old.Run.Labels
	}
	sub.Parent, sub.Input = old.Run.ID, old.Run.Input
	sub.Input.Retry = &plan.RunRetry
	return machine.Begin{Retry: &plan}, nil
}
