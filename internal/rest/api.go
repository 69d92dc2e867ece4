package rest

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/rest/auth"
	"github.com/heddle/heddle/internal/scope"
)

// base is where the own routes are.
const base = "/api/v2"

// api has the own routes.
type api struct{ Options }

// newAPI adds the own routes to mux, and their description by OpenAPI.
func newAPI(mux *http.ServeMux, o Options) {
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{Title: "Heddle", Version: o.Version,
				Description: "Runs of documents. Errors are of the type application/problem+json."},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"bearer": {Type: "http", Scheme: "bearer"},
					"header": {Type: "apiKey", In: "header", Name: "X-Rego-Api-Key"},
				},
			},
			Security: []map[string][]string{{"bearer": {}}, {"header": {}}},
		},
		OpenAPIPath: base + "/openapi",
		// curl -d says that it sends a form; what comes is JSON all the same.
		Formats:       map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat, "application/x-www-form-urlencoded": huma.DefaultJSONFormat},
		DefaultFormat: "application/json",
	}
	h := humago.New(mux, config)
	h.UseMiddleware(func(ctx huma.Context, next func(huma.Context)) {
		role, _ := ctx.Operation().Metadata["role"].(heddle.Role)
		if p := refusal(ctx.Context(), role); p != nil {
			_, w := humago.Unwrap(ctx)
			writeProblem(w, p)
			return
		}
		next(ctx)
	})
	a := &api{o}
	a.register(h)
}

func (a *api) register(h huma.API) {
	get, post := http.MethodGet, http.MethodPost
	viewer, operator := heddle.RoleViewer, heddle.RoleOperator
	huma.Register(h, a.operation("version", get, "/version", viewer, "Say what this server is"), answering(a, a.version))
	huma.Register(h, accepted(a.operation("submit-run", post, "/runs", operator, "Run a document")), answering(a, a.submit))
	huma.Register(h, a.operation("validate", post, "/validate", viewer, "Find every fault of a document"), answering(a, a.validate))
	huma.Register(h, a.operation("list-runs", get, "/runs", viewer, "List runs, newest first"), answering(a, a.list))
	huma.Register(h, a.operation("get-run", get, "/runs/{id}", viewer, "Show a run with its visits and attempts"), answering(a, a.get))
	huma.Register(h, a.operation("graph-run", get, "/runs/{id}/graph", viewer, "Draw a run"), answering(a, a.graph))
	huma.Register(h, accepted(a.operation("cancel-run", post, "/runs/{id}/cancel", operator, "Ask a run to stop")), answering(a, a.cancel))
	huma.Register(h, accepted(a.operation("retry-run", post, "/runs/{id}/retry", operator, "Do over what failed in a run, as a new run")), answering(a, a.retry))
	huma.Register(h, a.operation("bulk-runs", post, "/runs/bulk", operator, "Cancel, retry or delete all runs that a filter lets through"), answering(a, a.bulk))
	huma.Register(h, streaming(a.operation("run-logs", get, "/runs/{id}/logs", viewer, "Read what a run prints"), "text/plain", "application/x-ndjson", "text/event-stream"), answering(a, a.logLines))
	huma.Register(h, streaming(a.operation("run-events", get, "/runs/{id}/events", viewer, "Follow a run to its end"), "text/event-stream"), answering(a, a.events))
}

func (a *api) operation(id, method, path string, role heddle.Role, summary string) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: base + path, Summary: summary, Description: "Needs the role " + string(role) + ".",
		Metadata: map[string]any{"role": role}, MaxBodyBytes: MaxBody, BodyReadTimeout: a.Timeouts.Body,
	}
}

// accepted is for what goes on after the answer.
func accepted(o huma.Operation) huma.Operation {
	o.DefaultStatus = http.StatusAccepted
	return o
}

// streaming describes an answer that is no JSON.
func streaming(o huma.Operation, types ...string) huma.Operation {
	content := map[string]*huma.MediaType{}
	for _, t := range types {
		content[t] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	}
	o.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: content}}
	return o
}

// answering makes problems of the errors of a handler, and logs those that are defects.
func answering[I, O any](a *api, handle func(context.Context, *I) (*O, error)) func(context.Context, *I) (*O, error) {
	return func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		var status huma.StatusError
		if err == nil || errors.As(err, &status) {
			return out, err
		}
		p := problemOf(err)
		if p.Status == http.StatusInternalServerError {
			a.Log.ErrorContext(ctx, "a request failed", "error", err)
		}
		return nil, p
	}
}

// runs is the service for the runs that a request may see.
func (a *api) runs(ctx context.Context) heddle.Runs {
	id, _ := auth.From(ctx)
	return scope.Runs(id.Organization, a.Runs)
}

// logs is the service for the logs that a request may see.
func (a *api) logs(ctx context.Context) heddle.Logs {
	id, _ := auth.From(ctx)
	return scope.Logs(id.Organization, a.Runs, a.Logs)
}

type versionOutput struct {
	Body struct {
		Version string `json:"version"`
	}
}

func (a *api) version(context.Context, *struct{}) (*versionOutput, error) {
	out := &versionOutput{}
	out.Body.Version = a.Version
	return out, nil
}
