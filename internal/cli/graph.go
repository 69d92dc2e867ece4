package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/diagram"
	"github.com/heddle/heddle/internal/manifest"
)

// graphOptions are what heddle graph is called with.
type graphOptions struct {
	*factory
	Files    []string
	Run      string
	Workflow string
	Ignite   string
	Params   map[string]string
	Format   string // text, dot or mermaid
}

func newGraph(f *factory, runF func(context.Context, *graphOptions) error) *cobra.Command {
	opts := &graphOptions{factory: f}
	var params []string
	cmd := &cobra.Command{
		Use:   "graph -f FILE | --run ID",
		Short: "Draw a document, or a run and how its steps did",
		Example: `  heddle graph -f job.yaml
  heddle graph -f job.yaml --format dot | dot -Tsvg > job.svg
  heddle graph --run 1f3k --format mermaid`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if opts.Params, err = pairs(cmd, "param", params); err != nil {
				return err
			}
			if (len(opts.Files) == 0) == (opts.Run == "") {
				return usagef(cmd, "either --file or --run is needed")
			}
			if _, err := oneOf(cmd, "format", []string{opts.Format}, []string{"text", "dot", "mermaid"}); err != nil {
				return err
			}
			return runF(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&opts.Files, "file", "f", nil, "the document: a file, a URL, or - for standard input; may be repeated for Tasks and Ignitors")
	flags.StringVar(&opts.Run, "run", "", "a run")
	flags.StringVar(&opts.Workflow, "workflow", "", "draw this workflow of a job file instead of its current_workflow")
	flags.StringVar(&opts.Ignite, "ignite", "", "begin with the Tasks that this Ignitor starts (default: with those of all)")
	flags.StringArrayVar(&params, "param", nil, "a parameter of the document: NAME=VALUE; may be repeated")
	flags.StringVar(&opts.Format, "format", "text", "text, dot (Graphviz) or mermaid")
	_ = cmd.RegisterFlagCompletionFunc("run", completeRuns(f))
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"text", "dot", "mermaid"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func runGraph(ctx context.Context, o *graphOptions) error {
	flow, states, err := o.flow(ctx)
	if err != nil {
		return err
	}
	var text string
	switch strings.ToLower(o.Format) {
	case "dot":
		text = diagram.Dot(flow, states)
	case "mermaid":
		text = diagram.Mermaid(flow, states)
	default:
		text = diagram.Text(flow, states)
	}
	_, err = io.WriteString(o.Out, text)
	return err
}

// flow is the document's, or the run's with the state of each step that was reached.
func (o *graphOptions) flow(ctx context.Context) (flow *heddle.Flow, states map[string]string, err error) {
	if o.Run == "" {
		files, err := o.readDocument(ctx, o.Files)
		if err != nil {
			return nil, nil, err
		}
		parsed, err := manifest.ParseFiles(files, manifest.Options{Workflow: o.Workflow, Params: o.Params, Ignite: o.Ignite, Look: true})
		if err != nil {
			return nil, nil, err
		}
		for _, fault := range parsed.Warnings {
			fmt.Fprintf(o.Err, "heddle: %s\n", fault)
		}
		return parsed.Flow, nil, nil
	}
	err = o.history(ctx, func(r reader) error {
		id, err := findRun(ctx, r.Runs(), o.Run)
		if err != nil {
			return err
		}
		detail, err := r.Runs().Get(ctx, id)
		if err != nil {
			return err
		}
		if detail.Flow == nil {
			return heddle.Errorf(heddle.CodeNotFound, "the document of run %s is not kept", id)
		}
		flow, states = detail.Flow, make(map[string]string)
		for _, v := range detail.Visits {
			states[v.Step] = string(v.State)
			if v.State == heddle.VisitSettled {
				states[v.Step] = string(v.Outcome)
			}
		}
		return nil
	})
	return flow, states, err
}
