package rego

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/heddle/heddle"
)

// maxPage is the longest page that the services give, defaultPage the one that is
// given without a limit (rego's).
const (
	maxPage     = 1000
	defaultPage = 10
)

// paging reads offset and limit; a value that is no number is 0, as with rego.
func (r *request) paging() (offset, limit int, asked bool) {
	query := r.URL.Query()
	number := func(name string, missing int) int {
		if !query.Has(name) {
			return missing
		}
		n, err := strconv.Atoi(query.Get(name))
		if err != nil {
			return 0
		}
		return max(0, n)
	}
	return number("offset", 0), number("limit", defaultPage), query.Has("offset") || query.Has("limit")
}

// definitions collects up to limit rows.
func (r *request) definitions(f heddle.DefinitionFilter, limit int) ([]TaskDefinition, error) {
	rows := []TaskDefinition{}
	f.Organization = r.organization
	for len(rows) < limit {
		f.Limit = min(maxPage, limit-len(rows))
		page, err := r.h.Definitions.List(r.Context(), f)
		if err != nil {
			return nil, err
		}
		for i := range page.Definitions {
			rows = append(rows, definitionRow(&page.Definitions[i]))
		}
		if f.After, f.Offset = page.Next, 0; f.After == "" {
			break
		}
	}
	return rows, nil
}

// everything is a limit that is none.
const everything = int(^uint(0) >> 1)

func (h *handler) listDefinitions(r *request) {
	offset, limit, asked := r.paging()
	if !asked {
		limit = everything
	}
	rows, err := r.definitions(heddle.DefinitionFilter{Offset: offset}, limit)
	if err != nil {
		r.fail(err)
		return
	}
	r.rows(rows)
}

func (h *handler) pendingDefinitions(r *request) {
	rows, err := r.definitions(heddle.DefinitionFilter{Due: time.Now()}, everything)
	if err != nil {
		r.fail(err)
		return
	}
	r.rows(rows)
}

func (h *handler) countDefinitions(r *request) {
	n, err := h.Definitions.Count(r.Context(), heddle.DefinitionFilter{Organization: r.organization})
	if err != nil {
		r.fail(err)
		return
	}
	r.object(map[string]any{"count": n})
}

func (h *handler) getDefinition(r *request) {
	id, err := r.id()
	if err != nil {
		r.error(http.StatusBadRequest, err.Error())
		return
	}
	d, err := h.Definitions.Get(r.Context(), r.organization, id)
	if err != nil {
		r.fail(err)
		return
	}
	r.w.Header().Set("ETag", etag(d.Version))
	r.rows(definitionRow(&d))
}

func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// body is what was sent.
type body struct {
	TaskDefinition
	given given
	text  json.RawMessage
}

// given says which keys of a body were there at all.
type given struct {
	Enabled           *bool      `json:"enabled"`
	ExecutionsCounter *int64     `json:"execution_counter"`
	NextExecutionTime *time.Time `json:"next_execution_time"`
}

// noImage has the words of the validator that rego uses.
const noImage = "Key: 'TaskDefinition.Image' Error:Field validation for 'Image' failed on the 'required' tag"

// decode reads a body: the first JSON value in it.
func (r *request) decode() (b body, err error) {
	if err = json.NewDecoder(r.Body).Decode(&b.text); err != nil {
		return b, err
	}
	if err = json.Unmarshal(b.text, &b.TaskDefinition); err != nil {
		return b, err
	}
	if b.Image == "" {
		return b, heddle.Errorf(heddle.CodeInvalid, noImage)
	}
	return b, json.Unmarshal(b.text, &b.given)
}

// describe sets what a body says of the work and of when it is done.
func (h *handler) describe(d *heddle.Definition, b *body) error {
	if b.Namespace == "" {
		b.Namespace = "default"
	}
	doc := b.document()
	text, err := json.Marshal(doc)
	if err != nil {
		return heddle.Errorf(heddle.CodeInvalid, "%w", err)
	}
	if d.Schedule, err = doc.schedule(); err != nil {
		return err
	}
	if d.Flow, err = h.Flow(b.text); err != nil {
		return err
	}
	if d.Flow.Deadline == 0 && h.Timeout > 0 {
		d.Flow.Deadline = h.Timeout
	}
	d.Flow.Source = text
	d.Kind, d.Name, d.Document, d.Executor = heddle.KindTask, b.Name, text, h.Executor
	return nil
}

func (h *handler) createDefinition(r *request) {
	b, err := r.decode()
	if err != nil {
		r.malformed(err)
		return
	}
	d := heddle.Definition{Organization: r.organization, Enabled: true}
	if err = h.describe(&d, &b); err == nil {
		d, err = h.Definitions.Create(r.Context(), d)
	}
	switch {
	case heddle.CodeOf(err) == heddle.CodeInvalid:
		r.malformed(err)
	case err != nil:
		r.fail(err)
	default:
		r.object(map[string]any{"definition_id": d.ID, "message": "created"})
	}
}

// updateDefinition replaces what the stored definition says of the work. What is the
// schedule's (counter, latest status, times) stays; so does whether and when it runs
// next, unless the body says so.
func (h *handler) updateDefinition(r *request) {
	b, err := r.decode()
	if err != nil {
		r.malformed(err)
		return
	}
	for {
		old, err := h.Definitions.Get(r.Context(), r.organization, b.ID.String())
		if err != nil {
			r.fail(err)
			return
		}
		if wanted := r.Header.Get("If-Match"); wanted != "" && wanted != "*" && strings.TrimPrefix(wanted, "W/") != etag(old.Version) {
			r.error(http.StatusPreconditionFailed, "the definition has been changed: read it again")
			return
		}
		err = h.update(r.Context(), old, &b)
		switch code := heddle.CodeOf(err); {
		case err == nil:
			r.object(map[string]any{"message": "updated"})
			return
		case code == heddle.CodeInvalid:
			r.malformed(err)
			return
		case code != heddle.CodeConflict || r.Context().Err() != nil:
			r.fail(err)
			return
		}
		// A tick came in between.
	}
}

func (h *handler) update(ctx context.Context, old heddle.Definition, b *body) error {
	d, g := old, &b.given
	if err := h.describe(&d, b); err != nil {
		return err
	}
	d.Next = time.Time{}
	// A body that was read before the latest run must not have it run once more.
	stale := g.ExecutionsCounter != nil && *g.ExecutionsCounter < old.Counter
	if g.Enabled != nil && !(stale && *g.Enabled) {
		d.Enabled = *g.Enabled
	}
	if g.NextExecutionTime != nil && !stale {
		d.Next = g.NextExecutionTime.UTC()
	}
	if b.Deleted { // rego's other way to delete
		return h.Definitions.Delete(ctx, old.Organization, old.ID)
	}
	_, err := h.Definitions.Update(ctx, d)
	return err
}

// deleteDefinition deletes a definition; that there is none is as good.
func (h *handler) deleteDefinition(r *request) {
	id, err := r.id()
	if err != nil {
		r.error(http.StatusBadRequest, err.Error())
		return
	}
	if err := h.Definitions.Delete(r.Context(), r.organization, id); err != nil && heddle.CodeOf(err) != heddle.CodeNotFound {
		r.fail(err)
		return
	}
	r.object(map[string]any{"message": "deleted"})
}

func (h *handler) rerun(r *request) {
	id, err := r.id()
	if err != nil {
		r.error(http.StatusBadRequest, err.Error())
		return
	}
	run, err := h.Definitions.Trigger(r.Context(), r.organization, id)
	if err != nil {
		r.fail(err)
		return
	}
	if _, err := uuid.Parse(string(run.ID)); err == nil {
		r.w.Header().Set("Location", "/api/v1/execution/"+string(run.ID))
	}
	r.object(map[string]any{"message": "updated"})
}
