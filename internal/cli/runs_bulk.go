package cli

import (
	"context"
	"slices"

	"github.com/heddle/heddle"
)

// cancelMany cancels the runs that a filter chose. Those whose process is gone are
// taken up, so that they come to their end.
func (o *runsCancelOptions) cancelMany(ctx context.Context, r reader) error {
	runs, err := o.find(ctx, o.factory, r.Runs(), openStates()...)
	if err != nil {
		return err
	}
	if o.DryRun {
		return o.showSelected(runs, "cancelled")
	}
	s, err := openSession(ctx, o.factory, o.log())
	if err != nil {
		return err
	}
	defer func() { _ = s.Close(context.WithoutCancel(ctx)) }()
	t := o.newTally("cancelled", len(runs))
	var asked []heddle.RunID
	for _, run := range runs {
		err := r.Runs().Cancel(ctx, run.ID, o.Reason)
		switch {
		case err == nil:
			asked = append(asked, run.ID)
		case heddle.CodeOf(err) == heddle.CodeConflict:
			t.done.Add(1) // it has just ended
		default:
			t.fail(err)
		}
	}
	orphans, err := s.Orphaned(ctx)
	if err == nil {
		orphans = slices.DeleteFunc(orphans, func(id heddle.RunID) bool { return !slices.Contains(asked, id) })
	}
	if err == nil && len(orphans) > 0 {
		_, err = s.Resume(ctx, orphans...)
	}
	if err != nil {
		_ = t.end()
		return err
	}
	for _, id := range asked {
		if ctx.Err() != nil {
			_ = t.end()
			return ctx.Err()
		}
		if err := o.await(ctx, r.Runs(), id); err != nil {
			t.fail(err)
			continue
		}
		t.done.Add(1)
	}
	return t.end()
}
