package app

import (
	"context"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/schedule"
)

// Preview returns up to n ticks of a definition that are to come.
func Preview(d heddle.Definition, now time.Time, n int) ([]time.Time, error) {
	return schedule.Preview(d, now, n)
}

// Definitions is the service for definitions; their ticks are for servers to handle.
func (a *App) Definitions() heddle.Definitions { return a.schedule }

// Definitions is the service for definitions; it makes no runs.
func (r *Reader) Definitions() heddle.Definitions {
	s := schedule.New(schedule.Options{Store: r.store})
	s.Use(r)
	return s
}

func (o Options) newScheduler(st backend, g guard) *schedule.Scheduler {
	return schedule.New(schedule.Options{Store: st, Prepare: o.prepare, Check: func(d *heddle.Definition) error { return g.check(d.Flow, d.Input) }, Log: o.Log})
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
