package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/app"
	"github.com/heddle/heddle/internal/diagram"
	"github.com/heddle/heddle/internal/manifest"
	"github.com/heddle/heddle/internal/manifest/jobfile"
	"github.com/heddle/heddle/internal/manifest/params"
)

func newPlan(f *factory, runF func(context.Context, *runOptions) error) *cobra.Command {
	opts := &runOptions{factory: f}
	var params []string
	cmd := &cobra.Command{
		Use:   "plan -f FILE",
		Short: "Show what would run, and what is missing for it, without running it",
		Long: `Show what 'heddle run' with the same flags would run, without running it: the graph,
the images, the values of the params, where required variables and context paths, and
values that are kept elsewhere (fromFile, fromEnv), come from, and the executor. The exit code is 0 if nothing is missing, and 125 if something
is, or if the document is at fault.`,
		Example: `  heddle plan -f job.yaml --param target=live --env TOKEN`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if opts.Params, err = pairs(cmd, "param", params); err != nil {
				return err
			}
			if err := opts.checkInput(cmd); err != nil {
				return err
			}
			return runF(cmd.Context(), opts)
		},
	}
	inputFlags(cmd.Flags(), opts, &params)
	settingFlag(cmd.Flags(), "executor", &f.Config.Executor)
	kubeFlags(cmd.Flags(), &f.Config)
	settingFlag(cmd.Flags(), "output", &f.Config.Output)
	return cmd
}

// plan is what a run would be.
type plan struct {
	File     string      `json:"file"`
	Kind     heddle.Kind `json:"kind"`
	Name     string      `json:"name"`
	Workflow string      `json:"workflow,omitempty"`
	// Executor is "" when none can be chosen; Why says so then.
	Executor  string      `json:"executor"`
	Why       string      `json:"executorReason"`
	Start     []string    `json:"start"`
	Images    []planImage `json:"images"`
	Params    []planParam `json:"params"`
	Variables []planNeed  `json:"variables"`
	Sources   []planNeed  `json:"sources"` // of values that come from elsewhere
	Context   []planNeed  `json:"context"`
	Warnings  []string    `json:"warnings"`
	Missing   []string    `json:"missing"`
	Graph     string      `json:"graph"`
}

type planImage struct {
	Image string   `json:"image"`
	Steps []string `json:"steps"`
}

type planParam struct {
	Name   string  `json:"name"`
	Type   string  `json:"type"`
	Value  *string `json:"value"`
	Source string  `json:"source"` // given, default, none or missing
}

// planNeed is something that steps require.
type planNeed struct {
	Name   string   `json:"name"`
	Steps  []string `json:"steps"`
	Source string   `json:"source"` // in words, or missing
}

// missing is the source of what nothing provides.
const missing = "missing"

func runPlan(ctx context.Context, o *runOptions) error {
	p, err := o.plan(ctx)
	if err != nil {
		return err
	}
	if err := writeResult(o.Out, o.Config.Output, p, p.table); err != nil {
		return err
	}
	if len(p.Missing) == 0 {
		return nil
	}
	for _, what := range p.Missing {
		fmt.Fprintf(o.Err, "heddle: missing: %s\n", harmless(what))
	}
	return exitError(exitTrouble)
}

func (o *runOptions) plan(ctx context.Context) (*plan, error) {
	if err := o.oneStdin(); err != nil {
		return nil, err
	}
	files, err := o.readDocument(ctx, o.Files)
	if err != nil {
		return nil, err
	}
	given, _, err := o.context(ctx)
	if err != nil {
		return nil, err
	}
	env, err := o.env(ctx)
	if err != nil {
		return nil, err
	}
	declared, parsed, err := o.parseAnyway(files, given)
	if err != nil {
		return nil, err
	}
	flow := parsed.Flow
	p := &plan{
		File: names(files), Kind: flow.Kind, Name: flow.Name, Workflow: flow.Workflow, Start: flow.Start,
		Images: []planImage{}, Params: declared, Variables: []planNeed{}, Sources: []planNeed{}, Context: []planNeed{},
		Warnings: []string{}, Missing: []string{}, Graph: diagram.Text(flow, nil),
	}
	for _, fault := range parsed.Warnings {
		p.Warnings = append(p.Warnings, fault.String())
	}
	for _, param := range declared {
		if param.Source == missing {
			p.Missing = append(p.Missing, "a value for the param "+param.Name)
		}
	}
	p.addSteps(flow, func(step *heddle.Step, name string) string { return o.variableSource(env, step, name) })
	for _, need := range parsed.Needs {
		p.Context = addNeed(p.Context, need.Path, need.Step, contextSource(need))
	}
	p.addMissing("the variable", p.Variables)
	p.addMissing("the context path", p.Context)
	in := heddle.Input{Env: env}
	if o.Import {
		in.Ambient = &heddle.Ambient{Ignore: o.IgnoreEnv}
	}
	p.addSources(ctx, flow, in, o.lookup)
	var notes []string
	p.Executor, notes, err = app.ChooseExecutor(ctx, o.Config.Executor, flow, o.variable)
	p.Warnings = append(p.Warnings, notes...)
	p.Why = whyExecutor(o.Config.Executor, p, err)
	if err := app.CheckSources(p.Executor, flow, in, o.lookup); err != nil {
		p.Missing = append(p.Missing, err.Error())
	}
	if p.Executor != "" {
		if err := app.Fit(p.Executor, flow); err != nil {
			p.Missing = append(p.Missing, err.Error())
		}
	}
	return p, nil
}

// parseAnyway reads the document with something in place of each value that is
// missing, so that all the rest can be shown.
func (o *runOptions) parseAnyway(files []manifest.File, given json.RawMessage) ([]planParam, *manifest.Result, error) {
	values := map[string]string{}
	list := []planParam{}
	for _, param := range manifest.Params(files[0].Name, files[0].Data) {
		row := planParam{Name: param.Name, Type: param.Type, Value: param.Default, Source: "default"}
		value, isGiven := o.Params[param.Name]
		switch {
		case isGiven:
			row.Value, row.Source = &value, "given"
		case param.Default == nil && param.Required:
			row.Source = missing
			values[param.Name] = exampleValue(param)
		case param.Default == nil:
			row.Source = "none"
		}
		list = append(list, row)
	}
	for name, value := range o.Params {
		values[name] = value
	}
	options := o.parseOptions(given)
	options.Params = values
	parsed, err := manifest.ParseFiles(files, options)
	if err != nil { // tell what the document lacks as it is
		options.Params = o.Params
		_, err = manifest.ParseFiles(files, options)
	}
	return list, parsed, err
}

// exampleValue is a value that the param accepts.
func exampleValue(p params.Param) string {
	switch {
	case len(p.Enum) > 0:
		return p.Enum[0]
	case p.Type == "integer" || p.Type == "number":
		return "0"
	case p.Type == "boolean":
		return "false"
	}
	return "<" + p.Name + ">"
}

// addSteps takes up what the steps need that can be reached.
func (p *plan) addSteps(flow *heddle.Flow, source func(step *heddle.Step, name string) string) {
	reached := reachable(flow)
	for i := range flow.Steps {
		step := &flow.Steps[i]
		if !reached[step.Name] {
			continue
		}
		if step.Work != nil && step.Work.Image != "" {
			at := slices.IndexFunc(p.Images, func(known planImage) bool { return known.Image == step.Work.Image })
			if at < 0 {
				at = len(p.Images)
				p.Images = append(p.Images, planImage{Image: step.Work.Image})
			}
			p.Images[at].Steps = append(p.Images[at].Steps, cmp.Or(step.Group, step.Name))
		}
		for _, name := range step.NeedsEnv {
			p.Variables = addNeed(p.Variables, name, step.Name, source(step, name))
		}
	}
}

// reachable marks the steps that some outcomes lead to, and those that run at the end.
func reachable(flow *heddle.Flow) map[string]bool {
	next := map[string][]string{}
	for _, e := range flow.Edges {
		next[e.From] = append(next[e.From], e.To)
	}
	queue := slices.Clone(flow.Start)
	for i := range flow.Steps {
		step := &flow.Steps[i]
		if step.Finally {
			queue = append(queue, step.Name)
		}
		if step.Group != "" {
			next[step.Group] = append(next[step.Group], step.Name)
		}
	}
	reached := map[string]bool{}
	for len(queue) > 0 {
		name := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if !reached[name] {
			reached[name] = true
			queue = append(queue, next[name]...)
		}
	}
	return reached
}

func addNeed(needs []planNeed, name, step, source string) []planNeed {
	for i := range needs {
		if needs[i].Name == name && needs[i].Source == source {
			needs[i].Steps = append(needs[i].Steps, step)
			return needs
		}
	}
	return append(needs, planNeed{Name: name, Steps: []string{step}, Source: source})
}

func (p *plan) addMissing(what string, needs []planNeed) {
	for _, need := range needs {
		if need.Source == missing {
			p.Missing = append(p.Missing, fmt.Sprintf("%s %s (for %s)", what, need.Name, strings.Join(need.Steps, ", ")))
		}
	}
}

// variableSource says where a step's variable comes from, the highest that has it first.
func (o *runOptions) variableSource(env map[string]string, step *heddle.Step, name string) string {
	if _, ok := env[name]; ok {
		if slices.ContainsFunc(o.Env, func(entry string) bool { return entry == name || strings.HasPrefix(entry, name+"=") }) {
			return "--env"
		}
		return "--env-file"
	}
	ambient := &heddle.Ambient{Ignore: o.IgnoreEnv}
	if _, ok := o.lookup(name); ok && o.Import && ambient.Keeps(name) {
		return "--import-current-env"
	}
	if step.Work != nil {
		_, set := step.Work.Env[name]
		if _, comes := step.Work.From[name]; set || comes {
			return "the document"
		}
	}
	return missing
}

func contextSource(n jobfile.Need) string {
	switch n.Source {
	case jobfile.SourceGiven:
		return "--context"
	case jobfile.SourceDocument:
		return "the document"
	case jobfile.SourceAlways:
		return "every context"
	case jobfile.SourceOutput:
		return "output of step " + n.Output
	case jobfile.SourceUndeclared:
		return "a step before, which does not declare it"
	case jobfile.SourceUnknown:
	}
	return missing
}

// whyExecutor says how the choice came about; without one that is missing.
func whyExecutor(asked string, p *plan, err error) string {
	switch {
	case err != nil:
		p.Missing = append(p.Missing, "an executor")
		return err.Error()
	case asked != "auto":
		return "asked for"
	case len(p.Images) == 0:
		return "no step names an image"
	}
	return fmt.Sprintf("step %q names an image", p.Images[0].Steps[0])
}

func (p *plan) table(w io.Writer) error {
	head := newTable(w)
	row(head, "Document:", strings.TrimSpace(fmt.Sprintf("%s %q", p.Kind, p.Name)))
	row(head, "Start:", strings.Join(p.Start, ", "))
	executor := p.Executor + " (" + p.Why + ")"
	if p.Executor == "" {
		executor = "cannot tell: " + p.Why
	}
	row(head, "Executor:", executor)
	if err := head.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s", p.Graph)
	var images, values [][]string
	for _, image := range p.Images {
		images = append(images, []string{image.Image, strings.Join(image.Steps, ", ")})
	}
	for _, param := range p.Params {
		value := ""
		if param.Value != nil {
			value = *param.Value
		}
		values = append(values, []string{param.Name, value, param.Type, param.Source})
	}
	section(w, []string{"IMAGE", "STEPS"}, images)
	section(w, []string{"PARAM", "VALUE", "TYPE", "SOURCE"}, values)
	section(w, []string{"VARIABLE", "STEPS", "SOURCE"}, needRows(p.Variables))
	section(w, []string{"VALUE OF", "STEPS", "SOURCE"}, needRows(p.Sources))
	section(w, []string{"CONTEXT PATH", "STEPS", "SOURCE"}, needRows(p.Context))
	if len(p.Warnings) > 0 {
		fmt.Fprintln(w)
	}
	for _, warning := range p.Warnings {
		fmt.Fprintln(w, harmless(warning))
	}
	return nil
}

func needRows(needs []planNeed) (rows [][]string) {
	for _, need := range needs {
		rows = append(rows, []string{need.Name, strings.Join(need.Steps, ", "), need.Source})
	}
	return rows
}

// section writes a table below what is there; nothing if it has no rows.
func section(w io.Writer, head []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := newTable(w)
	row(t, head...)
	for _, cells := range rows {
		row(t, cells...)
	}
	t.Flush()
}
