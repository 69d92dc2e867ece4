package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
)

// newTask makes the command that groups those on definitions.
func newTask(f *factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "task",
		Short: "Store documents and schedules, of which 'heddle serve' makes runs",
		Long: `A definition is a stored document, with a schedule by which runs of it are made: by
'heddle serve', on the same data directory or with the same --db-url. It is named by its
ID, the beginning of it, or its name, as long as only one definition has that.`,
		Args: cobra.ArbitraryArgs,
		RunE: groupHelp,
	}
	cmd.AddCommand(newTaskCreate(f, runTaskCreate), newTaskList(f, runTaskList), newTaskShow(f, runTaskShow),
		newTaskHistory(f, runTaskHistory), newTaskPreview(f, runTaskPreview), newTaskTrigger(f, runTaskTrigger),
		newTaskPause(f, runTaskEnable), newTaskResume(f, runTaskEnable), newTaskDelete(f, runTaskDelete))
	return cmd
}

// taskOptions are what a command on one definition is called with.
type taskOptions struct {
	*factory
	Organization string
	Task         string
	Count        int  // of ticks or runs
	Enable       bool // resume, not pause
	UseJobRC     bool
}

// taskCommand makes a command on one definition.
func taskCommand(f *factory, use, short string, run func(context.Context, *taskOptions) error) (*cobra.Command, *taskOptions) {
	opts := &taskOptions{factory: f}
	cmd := &cobra.Command{
		Use:     use + " ID|NAME",
		Short:   short,
		Example: "  heddle task " + use + " nightly",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef(cmd, "%s takes one definition, not %d", cmd.CommandPath(), len(args))
			}
			opts.Task = args[0]
			return run(cmd.Context(), opts)
		},
	}
	organizationFlag(cmd, &opts.Organization)
	settingFlag(cmd.Flags(), "output", &f.Config.Output)
	return cmd, opts
}

func organizationFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "organization", heddle.DefaultOrganization, "whose definitions are meant")
}

// definitionsOf returns the definitions that a reader or a session has.
func definitionsOf(from any) (heddle.Definitions, error) {
	keeper, ok := from.(interface{ Definitions() heddle.Definitions })
	if !ok {
		return nil, heddle.Errorf(heddle.CodeUnavailable, "there are no definitions here")
	}
	return keeper.Definitions(), nil
}

// tasks opens the database and calls do with the definitions in it.
func (f *factory) tasks(ctx context.Context, do func(heddle.Definitions, reader) error) error {
	return f.history(ctx, func(r reader) error {
		service, err := definitionsOf(r)
		if err != nil {
			return err
		}
		return do(service, r)
	})
}

// task opens the database and calls do with the definition that is named.
func (o *taskOptions) task(ctx context.Context, do func(heddle.Definitions, reader, heddle.Definition) error) error {
	return o.tasks(ctx, func(service heddle.Definitions, r reader) error {
		d, err := o.find(ctx, service)
		if err != nil {
			return err
		}
		return do(service, r, d)
	})
}

// find returns the definition with that ID or name, or the only one whose ID begins so.
func (o *taskOptions) find(ctx context.Context, service heddle.Definitions) (heddle.Definition, error) {
	d, err := service.Get(ctx, o.Organization, o.Task)
	if err == nil || heddle.CodeOf(err) != heddle.CodeNotFound {
		return d, err
	}
	var found []heddle.Definition
	for f := (heddle.DefinitionFilter{Organization: o.Organization, Limit: 1000}); ; {
		page, err := service.List(ctx, f)
		if err != nil {
			return d, err
		}
		for _, d := range page.Definitions {
			if d.Name == o.Task || strings.HasPrefix(d.ID, strings.ToLower(o.Task)) {
				found = append(found, d)
			}
		}
		if f.After = page.Next; f.After == "" {
			break
		}
	}
	switch len(found) {
	case 0:
		return d, heddle.Errorf(heddle.CodeNotFound, "no definition is or begins with %q: see 'heddle task list'", o.Task)
	case 1:
		return found[0], nil
	}
	return d, heddle.Errorf(heddle.CodeInvalid, "%d definitions are or begin with %q: %s and %s among them", len(found), o.Task, found[0].ID, found[1].ID)
}
