package rest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/diagram"
	"github.com/heddle/heddle/internal/machine"
)

// RunFilter selects runs, as a query or in the body of a bulk request. What is embedded
// in an input has to be exported, or huma passes it over.
type RunFilter struct {
	IDs      []string  `json:"ids,omitempty" query:"id" maxItems:"1000" doc:"Only these"`
	States   []string  `json:"states,omitempty" query:"state" enum:"pending,running,stopping,finally,ended" doc:"Only in one of these states"`
	Outcomes []string  `json:"outcomes,omitempty" query:"outcome" enum:"success,failure,abort,timeout,skipped" doc:"Only ended in one of these ways"`
	Kinds    []string  `json:"kinds,omitempty" query:"kind" enum:"Job,Pipeline,Task,Chain,ReactiveJob" doc:"Only of these kinds of document"`
	Name     string    `json:"name,omitempty" query:"name" doc:"Only with this name"`
	Labels   []string  `json:"labels,omitempty" query:"label,explode" doc:"Only with all these labels: KEY=VALUE"`
	Since    time.Time `json:"since,omitzero" query:"since" doc:"Only made at or after"`
	Until    time.Time `json:"until,omitzero" query:"until" doc:"Only made before"`
}

// filter returns what the services understand.
func (f *RunFilter) filter() (heddle.RunFilter, error) {
	out := heddle.RunFilter{Name: f.Name, Since: f.Since, Until: f.Until,
		IDs: named[heddle.RunID](f.IDs), States: named[heddle.RunState](f.States), Outcomes: named[heddle.Outcome](f.Outcomes), Kinds: named[heddle.Kind](f.Kinds)}
	for _, label := range f.Labels {
		key, value, ok := strings.Cut(label, "=")
		if !ok || key == "" {
			return out, heddle.Errorf(heddle.CodeInvalid, "label %q is not KEY=VALUE", label)
		}
		if out.Labels == nil {
			out.Labels = map[string]string{}
		}
		out.Labels[key] = value
	}
	return out, nil
}

func named[T ~string](values []string) []T {
	var out []T
	for _, v := range values {
		out = append(out, T(v))
	}
	return out
}

type listInput struct {
	RunFilter
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"Runs on a page"`
	After string `query:"after" doc:"The next value of the page before"`
}

type listOutput struct{ Body heddle.RunPage }

func (a *api) list(ctx context.Context, in *listInput) (*listOutput, error) {
	f, err := in.filter()
	if err != nil {
		return nil, err
	}
	f.Limit, f.After = in.Limit, in.After
	page, err := a.runs(ctx).List(ctx, f)
	if err != nil {
		return nil, err
	}
	return &listOutput{Body: page}, nil
}

// IDInput names a run.
type IDInput struct {
	ID string `path:"id" maxLength:"40" doc:"The run"`
}

type getInput struct {
	IDInput
	IfNoneMatch string `header:"If-None-Match"`
}

type getOutput struct {
	ETag string `header:"ETag"`
	Body heddle.RunDetail
}

func (a *api) get(ctx context.Context, in *getInput) (*getOutput, error) {
	d, err := a.runs(ctx).Get(ctx, heddle.RunID(in.ID))
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	if strings.Contains(in.IfNoneMatch, tag) {
		return nil, huma.ErrorWithHeaders(huma.Status304NotModified(), http.Header{"Etag": {tag}})
	}
	return &getOutput{ETag: tag, Body: d}, nil
}

type graphInput struct {
	IDInput
	Format string `query:"format" enum:"text,dot,mermaid" default:"text"`
}

type textOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (a *api) graph(ctx context.Context, in *graphInput) (*textOutput, error) {
	d, err := a.runs(ctx).Get(ctx, heddle.RunID(in.ID))
	if err != nil {
		return nil, err
	}
	states := map[string]string{}
	for i := range d.Visits {
		v := &d.Visits[i]
		if states[v.Step] = string(v.State); v.State == heddle.VisitSettled {
			states[v.Step] = string(v.Outcome)
		}
	}
	draw := map[string]func(*heddle.Flow, map[string]string) string{"text": diagram.Text, "dot": diagram.Dot, "mermaid": diagram.Mermaid}[in.Format]
	return &textOutput{ContentType: "text/plain; charset=utf-8", Body: []byte(draw(d.Flow, states))}, nil
}

type cancelInput struct {
	IDInput
	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"1000"`
	}
}

type cancelOutput struct {
	Body struct {
		Message string `json:"message"`
	}
}

func (a *api) cancel(ctx context.Context, in *cancelInput) (*cancelOutput, error) {
	reason := "cancelled by a request"
	if in.Body != nil && in.Body.Reason != "" {
		reason = in.Body.Reason
	}
	if err := a.runs(ctx).Cancel(ctx, heddle.RunID(in.ID), reason); err != nil {
		return nil, err
	}
	out := &cancelOutput{}
	out.Body.Message = fmt.Sprintf("run %s was asked to stop", in.ID)
	return out, nil
}

// RetryBody says what a retry does over.
type RetryBody struct {
	Mode string `json:"mode,omitempty" enum:"failed,from,only" doc:"What is done over; default: failed"`
	Step string `json:"step,omitempty" doc:"For the modes from and only"`
}

type retryInput struct {
	IDInput
	Body *struct {
		RetryBody
		DryRun bool `json:"dryRun,omitempty" doc:"Only say what would become of each step"`
	}
}

type retryOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     struct {
		Run  *heddle.Run       `json:"run,omitempty"`
		Plan *heddle.RetryPlan `json:"plan,omitempty" doc:"Of a dry run"`
	}
}

func (a *api) retry(ctx context.Context, in *retryInput) (*retryOutput, error) {
	retry, out := heddle.RunRetry{Run: heddle.RunID(in.ID)}, &retryOutput{}
	if in.Body != nil {
		retry.Mode, retry.Step = heddle.RetryMode(in.Body.Mode), in.Body.Step
	}
	if in.Body != nil && in.Body.DryRun {
		old, err := a.runs(ctx).Get(ctx, retry.Run)
		if err != nil {
			return nil, err
		}
		plan, err := machine.PlanRetry(nil, &old, retry)
		out.Status, out.Body.Plan = http.StatusOK, &plan
		return out, err
	}
	run, err := a.runs(ctx).Submit(ctx, heddle.Submission{Retry: &retry})
	if err != nil {
		return nil, err
	}
	out.Status, out.Body.Run, out.Location = http.StatusAccepted, &run, base+"/runs/"+string(run.ID)
	return out, nil
}
