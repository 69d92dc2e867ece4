package rego

import (
	"context"
	"net/http"
	"time"

	"github.com/heddle/heddle"
)

// executions collects up to limit rows, newest first, after leaving out offset.
func (r *request) executions(f heddle.RunFilter, offset, limit int) ([]TaskExecution, error) {
	rows := []TaskExecution{}
	for limit > 0 {
		f.Limit = min(maxPage, max(limit, limit+offset)) // the sum may overflow
		page, err := r.runs.List(r.Context(), f)
		if err != nil {
			return nil, err
		}
		for i := range page.Runs {
			switch {
			case page.Runs[i].Definition == "":
				continue
			case offset > 0:
				offset--
				continue
			case limit == 0:
				return rows, nil
			}
			d, err := r.runs.Get(r.Context(), page.Runs[i].ID)
			if heddle.CodeOf(err) == heddle.CodeNotFound {
				continue // deleted meanwhile
			}
			if err != nil {
				return nil, err
			}
			rows = append(rows, executionRow(&d))
			limit--
		}
		if f.After = page.Next; f.After == "" {
			break
		}
	}
	return rows, nil
}

func (h *handler) latest(r *request) {
	id, err := r.id()
	if err != nil {
		r.error(http.StatusBadRequest, err.Error())
		return
	}
	rows, err := r.executions(heddle.RunFilter{Definition: id}, 0, 1)
	switch {
	case err != nil:
		r.fail(err)
	case len(rows) == 0:
		r.error(http.StatusNotFound, "record not found")
	default:
		r.rows(rows[0])
	}
}

// maxExecutions bounds the rows of one answer, each of which is a run that is read whole.
const maxExecutions = 1000

func (h *handler) history(r *request) {
	id, err := r.id()
	if err != nil {
		r.error(http.StatusBadRequest, err.Error())
		return
	}
	offset, limit, _ := r.paging()
	rows, err := r.executions(heddle.RunFilter{Definition: id}, offset, min(limit, maxExecutions))
	if err != nil {
		r.fail(err)
		return
	}
	r.rows(rows)
}

func (h *handler) listExecutions(r *request) {
	offset, limit, _ := r.paging()
	rows, err := r.executions(heddle.RunFilter{Kinds: []heddle.Kind{heddle.KindTask}}, offset, min(limit, maxExecutions))
	if err != nil {
		r.fail(err)
		return
	}
	r.rows(rows)
}

// execution returns the run in the path, if it is one of a definition.
func (r *request) execution(id string) (heddle.RunDetail, error) {
	d, err := r.runs.Get(r.Context(), heddle.RunID(id))
	if err == nil && d.Run.Definition == "" {
		err = heddle.Errorf(heddle.CodeNotFound, "run %s is of no definition", id)
	}
	return d, err
}

func (h *handler) getExecution(r *request) {
	id, err := r.id()
	if err != nil {
		r.error(http.StatusBadRequest, err.Error())
		return
	}
	d, err := r.execution(id)
	if err != nil {
		r.fail(err)
		return
	}
	r.rows(executionRow(&d))
}

// logs answers with what an execution has printed; with ?follow=true until it has ended.
func (h *handler) logs(r *request) {
	id, err := r.id()
	if err != nil {
		r.error(http.StatusBadRequest, err.Error())
		return
	}
	if _, err := r.execution(id); err != nil {
		r.fail(err)
		return
	}
	follow := r.URL.Query().Get("follow") == "true"
	r.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	r.w.Header().Set("X-Content-Type-Options", "nosniff")
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(h.Stopping, cancel)()
	// A server bounds how long it reads a request and writes an answer: what counts
	// here is each piece.
	rc := http.NewResponseController(r.w)
	_ = rc.SetReadDeadline(time.Time{})
	for line, err := range h.Logs.Lines(ctx, heddle.LogQuery{Run: heddle.RunID(id), Follow: follow}) {
		if err != nil {
			r.complain(err)
			panic(http.ErrAbortHandler) // so that the caller sees that there was more
		}
		_ = rc.SetWriteDeadline(time.Now().Add(h.WriteTime))
		if _, err := r.w.Write([]byte(line.Text + "\n")); err != nil {
			return
		}
		if follow {
			_ = rc.Flush() // it is sent later then
		}
	}
}

// abort cancels an execution. All its answers but the good one have no body.
func (h *handler) abort(r *request) {
	id, err := r.id()
	if err != nil {
		r.w.WriteHeader(http.StatusBadRequest)
		return
	}
	_, err = r.execution(id)
	if err == nil {
		err = r.runs.Cancel(r.Context(), heddle.RunID(id), "aborted on request")
	}
	switch code := heddle.CodeOf(err); {
	case err == nil:
		r.awaitStop(heddle.RunID(id))
		r.object(map[string]any{"message": "aborted"})
	case code == heddle.CodeNotFound || code == heddle.CodeConflict: // there is none, or it has ended
		r.w.WriteHeader(http.StatusNotFound)
	default:
		r.complain(err)
		r.w.WriteHeader(statusOf(err))
	}
}

// stopSeen bounds how long an abort waits for its effect to be seen.
const stopSeen = time.Second

// awaitStop returns when the run has its last word, which comes before its programs
// have ended.
func (r *request) awaitStop(id heddle.RunID) {
	ctx, cancel := context.WithTimeout(r.Context(), stopSeen)
	defer cancel()
	updates, err := r.runs.Watch(ctx, id)
	if err != nil {
		return
	}
	for update := range updates {
		if update.Run.Stop != "" || update.Run.State == heddle.RunEnded {
			return
		}
	}
}
