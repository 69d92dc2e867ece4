package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
)

func newTaskPause(f *factory, runF func(context.Context, *taskOptions) error) *cobra.Command {
	cmd, _ := taskCommand(f, "pause", "Make no more runs of a definition; those that are live go on", runF)
	return cmd
}

func newTaskResume(f *factory, runF func(context.Context, *taskOptions) error) *cobra.Command {
	cmd, _ := taskCommand(f, "resume", "Make runs of a definition again; ticks that it missed are left out", func(ctx context.Context, o *taskOptions) error {
		o.Enable = true
		return runF(ctx, o)
	})
	return cmd
}

func runTaskEnable(ctx context.Context, o *taskOptions) error {
	return o.task(ctx, func(service heddle.Definitions, _ reader, d heddle.Definition) error {
		d.Enabled = o.Enable
		_, err := service.Update(ctx, d)
		return err
	})
}

func newTaskDelete(f *factory, runF func(context.Context, *taskOptions) error) *cobra.Command {
	cmd, _ := taskCommand(f, "delete", "Delete a definition and cancel its runs; what they did can still be read", runF)
	return cmd
}

func runTaskDelete(ctx context.Context, o *taskOptions) error {
	return o.task(ctx, func(service heddle.Definitions, _ reader, d heddle.Definition) error {
		return service.Delete(ctx, d.Organization, d.ID)
	})
}

func newTaskTrigger(f *factory, runF func(context.Context, *taskOptions) error) *cobra.Command {
	cmd, opts := taskCommand(f, "trigger", "Run a definition here and now, whether it is enabled or not", runF)
	cmd.Flags().BoolVar(&opts.UseJobRC, "use-job-rc", true, "exit with a code that tells the outcome of the run")
	return cmd
}

func runTaskTrigger(ctx context.Context, o *taskOptions) error {
	show, err := newShow(o.factory, logOptions{Plain: true})
	if err != nil {
		return err
	}
	defer show.Close()
	s, err := openSession(ctx, o.factory, show.log)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close(context.WithoutCancel(ctx)) }() // again, unless something fails first
	service, err := definitionsOf(s)
	if err != nil {
		return err
	}
	d, err := o.find(ctx, service)
	if err != nil {
		return err
	}
	run, err := service.Trigger(ctx, d.Organization, d.ID)
	if err != nil {
		return err
	}
	results, err := followAll(ctx, o.factory, s, show, []heddle.RunID{run.ID})
	if err != nil {
		return fmt.Errorf("run %s: %w", run.ID, err)
	}
	return o.finish(results, o.UseJobRC)
}
