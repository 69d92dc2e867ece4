package app

import (
	"context"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/schedule"
)

func (o Options) newScheduler(st backend) *schedule.Scheduler {
	return schedule.New(schedule.Options{Store: st, Prepare: o.prepare, Log: o.Log})
}

// prepare chooses the executor of a definition's run, and makes the flow fit for it.
func (o Options) prepare(ctx context.Context, asked string, flow *heddle.Flow) (string, error) {
	name, _, err := ChooseExecutor(ctx, asked, flow, o.lookup)
	if err != nil {
		return "", err
	}
	// A Job sees to its own longest time; the definition's holds as well.
	deadline := flow.Deadline
	err = Fit(name, flow)
	flow.Deadline = deadline
	return name, err
}
