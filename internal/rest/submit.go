package rest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/rest/auth"
)

// DocumentBody is a document and what goes with it.
type DocumentBody struct {
	Document json.RawMessage   `json:"document" doc:"The document: an object, or its text (YAML or JSON) as a string"`
	Name     string            `json:"name,omitempty" maxLength:"200" doc:"What messages call the document; a pipeline without a name gets this one"`
	Params   map[string]any    `json:"params,omitempty" doc:"Values of the document's params: strings, numbers, true or false"`
	Contexts []json.RawMessage `json:"contexts,omitempty" doc:"Objects merged, in order, over the context of a job file"`
	Workflow string            `json:"workflow,omitempty" doc:"Of a job file: the workflow to run instead of its current_workflow"`
	Step     string            `json:"step,omitempty" doc:"Of a job file: the step to begin with instead of current_step"`
}

type submitInput struct {
	Key  string `header:"Idempotency-Key" maxLength:"200" doc:"Repeating a request with the same key answers the same run"`
	Body struct {
		DocumentBody
		Env           map[string]string `json:"env,omitempty" doc:"Variables of every step"`
		Executor      string            `json:"executor,omitempty" doc:"What runs the steps; default: what the server is set to"`
		Labels        map[string]string `json:"labels,omitempty"`
		CorrelationID string            `json:"correlationId,omitempty" maxLength:"200" doc:"The caller's name for the run; made up when empty"`
	}
}

type submitOutput struct {
	Location string `header:"Location"`
	Replayed string `header:"Idempotency-Replayed" doc:"true: the run is that of an earlier request with the same key"`
	Body     submitted
}

type submitted struct {
	Run      heddle.Run `json:"run"`
	Warnings []string   `json:"warnings"`
}

func (a *api) submit(ctx context.Context, in *submitInput) (*submitOutput, error) {
	b := &in.Body
	parsed, contexts, err := b.parse(a.SecretsDir)
	if err != nil {
		return nil, err
	}
	executor, notes, err := a.choose(ctx, b.Executor, parsed.Flow)
	if err != nil {
		return nil, err
	}
	sub := heddle.Submission{Flow: parsed.Flow, Executor: executor, Labels: b.Labels,
		Input: heddle.Input{CorrelationID: b.CorrelationID, Context: contexts, Env: b.Env}}
	if sub.Input.CorrelationID == "" {
		sub.Input.CorrelationID = parsed.CorrelationID
	}
	if in.Key != "" {
		who, _ := auth.From(ctx)
		sub.ID = repeatable(who.Organization, in.Key)
	}
	out := &submitOutput{Body: submitted{Warnings: append(warnings(parsed), notes...)}}
	run, err := a.runs(ctx).Submit(ctx, sub)
	if in.Key != "" && heddle.CodeOf(err) == heddle.CodeConflict {
		out.Replayed = "true"
		run, err = a.replay(ctx, &sub)
	}
	if err != nil {
		return nil, err
	}
	out.Body.Run, out.Location = run, base+"/runs/"+string(run.ID)
	return out, nil
}

// repeatable makes the ID of a run that is submitted with an idempotency key: the same
// for the same key of the same organization, and nothing that another could choose.
func repeatable(organization, key string) heddle.RunID {
	sum := sha256.Sum256([]byte(organization + "\x00" + key))
	return heddle.RunID("i" + hex.EncodeToString(sum[:16]))
}

// replay returns the run that an earlier request with the same key made.
func (a *api) replay(ctx context.Context, sub *heddle.Submission) (heddle.Run, error) {
	page, err := a.runs(ctx).List(ctx, heddle.RunFilter{IDs: []heddle.RunID{sub.ID}})
	if err != nil {
		return heddle.Run{}, err
	}
	if len(page.Runs) == 0 {
		return heddle.Run{}, heddle.Errorf(heddle.CodeUnavailable, "another request with this key is being accepted: try again")
	}
	hash, err := sub.Flow.Hash()
	if err == nil && hash != page.Runs[0].FlowHash {
		err = heddle.Errorf(heddle.CodeConflict, "run %s was made with this key from another document", sub.ID)
	}
	return page.Runs[0], err
}

// parse reads the document, whose paths are relative to dir, and merges the contexts.
func (b *DocumentBody) parse(dir string) (*manifest.Result, json.RawMessage, error) {
	name, data := b.Name, []byte(b.Document)
	if name == "" {
		name = "document"
	}
	var text string
	if json.Unmarshal(data, &text) == nil {
		data = []byte(text)
	}
	params := map[string]string{}
	for key, value := range b.Params {
		switch value := value.(type) {
		case string:
			params[key] = value
		case bool:
			params[key] = strconv.FormatBool(value)
		case float64:
			params[key] = strconv.FormatFloat(value, 'f', -1, 64)
		default:
			return nil, nil, heddle.Errorf(heddle.CodeInvalid, "params.%s: a string, a number, true or false is needed", key)
		}
	}
	var files []manifest.File
	for i, context := range b.Contexts {
		files = append(files, manifest.File{Name: "contexts[" + strconv.Itoa(i) + "]", Data: context})
	}
	contexts, err := manifest.Contexts(files...)
	if err != nil {
		return nil, nil, err
	}
	parsed, err := manifest.Parse(name, data, manifest.Options{Workflow: b.Workflow, Step: b.Step, Params: params, Context: contexts, Dir: dir})
	if err == nil && contexts != nil && parsed.Flow.Context == nil {
		err = heddle.Errorf(heddle.CodeInvalid, "contexts: a %s hands no context on; its params are given by params", parsed.Flow.Kind)
	}
	return parsed, contexts, err
}

func warnings(parsed *manifest.Result) []string {
	texts := []string{}
	for _, fault := range parsed.Warnings {
		texts = append(texts, fault.String())
	}
	return texts
}

type validateInput struct{ Body DocumentBody }

type validateOutput struct{ Body validation }

type validation struct {
	Valid  bool        `json:"valid"`
	Kind   heddle.Kind `json:"kind,omitempty"`
	Name   string      `json:"name,omitempty"`
	Faults []doc.Fault `json:"faults"`
}

func (a *api) validate(_ context.Context, in *validateInput) (*validateOutput, error) {
	out := &validateOutput{Body: validation{Faults: []doc.Fault{}}}
	parsed, _, err := in.Body.parse(a.SecretsDir)
	var faults doc.Error
	switch {
	case errors.As(err, &faults):
		out.Body.Faults = faults
	case err != nil:
		return nil, err
	default:
		out.Body.Valid, out.Body.Kind, out.Body.Name = true, parsed.Flow.Kind, parsed.Flow.Name
		out.Body.Faults = append(out.Body.Faults, parsed.Warnings...)
	}
	return out, nil
}
