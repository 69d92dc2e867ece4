package cli

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/app"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/manifest/taskdef"
	"github.com/heddle/heddle/internal/rest/rego"
)

// rego answers rego's routes.
func (o *serveOptions) rego(s *app.Server, stopping context.Context, log *slog.Logger) http.Handler {
	return rego.New(rego.Options{
		Definitions: s.Definitions(), Runs: s.Runs(), Logs: s.Logs(), Flow: taskFlow,
		Executor: o.Config.Executor, Timeout: o.Server.Timeout(), Stopping: stopping, Log: log,
	})
}

// taskFlow reads a task definition.
func taskFlow(document []byte) (*heddle.Flow, error) {
	d, err := doc.Parse("definition", document)
	if err != nil {
		return nil, err
	}
	r, err := taskdef.Decode(d, taskdef.Options{})
	if err != nil {
		return nil, err
	}
	return r.Flow, nil
}
