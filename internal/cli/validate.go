package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest"
	"github.com/heddle/heddle/internal/manifest/doc"
)

// validateOptions are what heddle validate is called with.
type validateOptions struct {
	*factory
	Files    []string
	Workflow string
	Params   map[string]string
}

func newValidate(f *factory, runF func(context.Context, *validateOptions) error) *cobra.Command {
	opts := &validateOptions{factory: f}
	var named, params []string
	cmd := &cobra.Command{
		Use:   "validate FILE...",
		Short: "Find every fault of documents without running them",
		Long: `Find every fault of documents, with line and column, without running them. Files of
Tasks and Ignitors are looked at together. The exit code is 0 when all are good, warnings or not, and 125 when one is not.`,
		Example: `  heddle validate job.yaml other.json
  curl -s https://example.com/job.yaml | heddle validate -`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if opts.Params, err = pairs(cmd, "param", params); err != nil {
				return err
			}
			opts.Files = append(named, args...)
			if len(opts.Files) == 0 {
				return usagef(cmd, "a document is needed: %s FILE", cmd.CommandPath())
			}
			return runF(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&named, "file", "f", nil, "a document: a file, a URL, or - for standard input; may be repeated")
	flags.StringVar(&opts.Workflow, "workflow", "", "look at this workflow of a job file instead of its current_workflow")
	flags.StringArrayVar(&params, "param", nil, "a parameter of the document: NAME=VALUE; may be repeated")
	settingFlag(flags, "output", &f.Config.Output)
	return cmd
}

// validation is what was found out about one document.
type validation struct {
	File   string      `json:"file"`
	Valid  bool        `json:"valid"`
	Kind   heddle.Kind `json:"kind,omitempty"`
	Name   string      `json:"name,omitempty"`
	Steps  int         `json:"steps,omitempty"`
	Faults []doc.Fault `json:"faults"`
}

func runValidate(ctx context.Context, o *validateOptions) error {
	found := make([]validation, 0, len(o.Files))
	good := true
	for _, v := range o.validateAll(ctx) {
		good = good && v.Valid
		found = append(found, v)
	}
	err := writeResult(o.Out, o.Config.Output, found, func(w io.Writer) error {
		for _, v := range found {
			for _, fault := range v.Faults {
				if _, err := fmt.Fprintln(w, fault); err != nil {
					return err
				}
			}
			if v.Valid {
				fmt.Fprintf(w, "%s: good: %s %q, %s\n", v.File, v.Kind, v.Name, plural(v.Steps, "step", "steps"))
			}
		}
		return nil
	})
	if err != nil || good {
		return err
	}
	return exitError(exitTrouble)
}

// validateAll looks at each document; all files that hold Tasks and Ignitors are one,
// in the place of the first.
func (o *validateOptions) validateAll(ctx context.Context) []validation {
	var documents [][]manifest.File
	found := map[int]error{} // why a document could not be read
	parts := -1
	for _, name := range o.Files {
		file, err := o.read(ctx, name)
		switch {
		case err != nil:
			found[len(documents)] = err
		case !manifest.IsPart(file):
		case parts >= 0:
			documents[parts] = append(documents[parts], file)
			continue
		default:
			parts = len(documents)
		}
		documents = append(documents, []manifest.File{file})
	}
	all := make([]validation, len(documents))
	for i, files := range documents {
		all[i] = o.validate(files, found[i])
	}
	return all
}

// validate looks at one document. What kept it from being read is a fault of its
// first line.
func (o *validateOptions) validate(files []manifest.File, err error) validation {
	v := validation{File: names(files), Faults: []doc.Fault{}}
	var parsed *manifest.Result
	if err == nil {
		parsed, err = manifest.ParseFiles(files, manifest.Options{Workflow: o.Workflow, Params: o.Params, Look: true})
	}
	if err != nil {
		var faults doc.Error
		if !errors.As(err, &faults) {
			faults = doc.Error{{File: v.File, Line: 1, Column: 1, Message: err.Error(), Severity: doc.SeverityError}}
		}
		v.Faults = faults
		return v
	}
	v.Valid, v.Kind, v.Name, v.Steps = true, parsed.Flow.Kind, parsed.Flow.Name, len(parsed.Flow.Steps)
	v.Faults = append(v.Faults, parsed.Warnings...)
	return v
}
