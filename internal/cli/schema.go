package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle/internal/manifest/chain"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/manifest/jobfile"
	"github.com/heddle/heddle/internal/manifest/pipeline"
	"github.com/heddle/heddle/internal/manifest/reactivejob"
	"github.com/heddle/heddle/internal/manifest/taskdef"
	"github.com/heddle/heddle/internal/scenario"
)

// schemaOptions are what heddle schema is called with.
type schemaOptions struct {
	*factory
	Kind string // "": list the kinds
}

// schemaKind is a kind of file that has a schema.
type schemaKind struct {
	Kind   string `json:"kind"`
	What   string `json:"what"`
	schema string
}

func schemaKinds() []schemaKind {
	return []schemaKind{
		{Kind: "job", What: "job files (kog's, with Heddle's keys)", schema: jobfile.Schema()},
		{Kind: "pipeline", What: "pipelines (chainr's, with Heddle's keys)", schema: pipeline.Schema()},
		{Kind: "taskdefinition", What: "task definitions (rego's)", schema: taskdef.Schema()},
		{Kind: "task", What: "Tasks (orcaoperator's)", schema: chain.TaskSchema()},
		{Kind: "ignitor", What: "Ignitors (orcaoperator's)", schema: chain.IgnitorSchema()},
		{Kind: "reactivejob", What: "ReactiveJobs (reactivejob-operator's)", schema: reactivejob.Schema()},
		{Kind: "test", What: "scenarios for heddle test", schema: scenario.Schema()},
	}
}

func newSchema(f *factory, runF func(context.Context, *schemaOptions) error) *cobra.Command {
	opts := &schemaOptions{factory: f}
	var kinds []string
	for _, k := range schemaKinds() {
		kinds = append(kinds, k.Kind)
	}
	cmd := &cobra.Command{
		Use:   "schema [KIND]",
		Short: "Print the JSON Schema of a kind of document, for editors",
		Long: `Print the JSON Schema (draft 2020-12) of a kind of document, or without KIND list the
kinds. Editors with the YAML language server use it for a file that begins so:

  # yaml-language-server: $schema=job.schema.json`,
		Example:   `  heddle schema job > job.schema.json`,
		ValidArgs: kinds,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
			case 1:
				opts.Kind = args[0]
			default:
				return usagef(cmd, "%s takes one kind, not %d", cmd.CommandPath(), len(args))
			}
			for _, kind := range kinds {
				if opts.Kind == "" || opts.Kind == kind {
					return runF(cmd.Context(), opts)
				}
			}
			return usagef(cmd, "there is no schema for the kind %q%s", opts.Kind, doc.DidYouMean(opts.Kind, kinds))
		},
	}
	settingFlag(cmd.Flags(), "output", &f.Config.Output)
	return cmd
}

func runSchema(_ context.Context, o *schemaOptions) error {
	for _, k := range schemaKinds() {
		if k.Kind == o.Kind {
			return writeResult(o.Out, o.Config.Output, json.RawMessage(k.schema), func(w io.Writer) error {
				_, err := io.WriteString(w, k.schema)
				return err
			})
		}
	}
	return writeResult(o.Out, o.Config.Output, schemaKinds(), func(w io.Writer) error {
		t := newTable(w)
		for _, k := range schemaKinds() {
			row(t, k.Kind, k.What)
		}
		if err := t.Flush(); err != nil {
			return err
		}
		_, err := fmt.Fprintln(w, "\nheddle schema KIND prints one.")
		return err
	})
}
