package rest

import (
	"context"
	"reflect"
	"slices"

	"github.com/heddle/heddle"
)

// maxBulk bounds what one bulk request does; the answer says that there is more.
const maxBulk = 2000

type bulkInput struct {
	Body struct {
		Action string    `json:"action" enum:"cancel,retry,prune" doc:"prune deletes runs that have ended, with their logs, and needs the role admin"`
		Filter RunFilter `json:"filter,omitempty"`
		All    bool      `json:"all,omitempty" doc:"All runs, when there is no filter"`
		Reason string    `json:"reason,omitempty" maxLength:"1000" doc:"Of a cancel"`
		Retry  RetryBody `json:"retry,omitempty"`
		DryRun bool      `json:"dryRun,omitempty" doc:"Only count, and name the first few"`
	}
}

type bulkOutput struct{ Body bulkResult }

type bulkResult struct {
	Action string         `json:"action"`
	DryRun bool           `json:"dryRun"`
	Count  int            `json:"count" doc:"Runs that the filter lets through"`
	More   bool           `json:"more" doc:"There are more than one request takes: repeat it"`
	Done   int            `json:"done"`
	Runs   []heddle.RunID `json:"runs" doc:"The first hundred; of a retry the new ones"`
	Failed []bulkFailure  `json:"failed" doc:"The first hundred"`
}

type bulkFailure struct {
	Run   heddle.RunID `json:"run"`
	Error string       `json:"error"`
}

const maxNamed = 100

func (a *api) bulk(ctx context.Context, in *bulkInput) (*bulkOutput, error) {
	b := &in.Body
	if b.Action == "prune" {
		if p := refusal(ctx, heddle.RoleAdmin); p != nil {
			return nil, p
		}
	}
	if filtered := !reflect.ValueOf(b.Filter).IsZero(); filtered == b.All {
		return nil, heddle.Errorf(heddle.CodeInvalid, "say which runs: give either a filter or all: true")
	}
	ids, more, err := a.selected(ctx, b.Action, b.Filter)
	if err != nil {
		return nil, err
	}
	r := &bulkResult{Action: b.Action, DryRun: b.DryRun, Count: len(ids), More: more, Runs: []heddle.RunID{}, Failed: []bulkFailure{}}
	switch {
	case b.DryRun:
		r.Runs = append(r.Runs, ids[:min(maxNamed, len(ids))]...)
	case b.Action == "prune":
		err = a.pruneAll(ctx, ids, r)
	default:
		for _, id := range ids {
			if ctx.Err() != nil {
				break
			}
			done, err := a.one(ctx, in, id)
			r.note(id, done, err)
		}
	}
	return &bulkOutput{Body: *r}, err
}

// one does to one run what is asked for, and names the run to tell of.
func (a *api) one(ctx context.Context, in *bulkInput, id heddle.RunID) (heddle.RunID, error) {
	if in.Body.Action == "cancel" {
		reason := in.Body.Reason
		if reason == "" {
			reason = "cancelled by a request"
		}
		return id, a.runs(ctx).Cancel(ctx, id, reason)
	}
	run, err := a.runs(ctx).Submit(ctx, heddle.Submission{Retry: &heddle.RunRetry{Run: id, Mode: heddle.RetryMode(in.Body.Retry.Mode), Step: in.Body.Retry.Step}})
	return run.ID, err
}

func (r *bulkResult) note(id, done heddle.RunID, err error) {
	if err != nil {
		if len(r.Failed) < maxNamed {
			r.Failed = append(r.Failed, bulkFailure{Run: id, Error: problemOf(err).Detail})
		}
		return
	}
	if r.Done++; len(r.Runs) < maxNamed {
		r.Runs = append(r.Runs, done)
	}
}

// pruneAll deletes runs, which a scoped list has named.
func (a *api) pruneAll(ctx context.Context, ids []heddle.RunID, r *bulkResult) error {
	for piece := range slices.Chunk(ids, 100) {
		gone, err := a.Prune(ctx, piece)
		for _, id := range gone {
			r.note(id, id, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// selected returns the runs that an action is about, newest first.
func (a *api) selected(ctx context.Context, action string, filter RunFilter) (ids []heddle.RunID, more bool, err error) {
	f, err := filter.filter()
	if err != nil {
		return nil, false, err
	}
	fits := []heddle.RunState{heddle.RunEnded}
	if action == "cancel" {
		fits = []heddle.RunState{heddle.RunPending, heddle.RunRunning, heddle.RunStopping, heddle.RunFinally}
	}
	if len(f.States) > 0 {
		fits = slices.DeleteFunc(fits, func(s heddle.RunState) bool { return !slices.Contains(f.States, s) })
	}
	if f.States = fits; len(fits) == 0 {
		return nil, false, nil
	}
	if action == "retry" && len(f.Outcomes) == 0 {
		f.Outcomes = []heddle.Outcome{heddle.Failure, heddle.Abort, heddle.Timeout}
	}
	f.Limit = 1000
	for {
		page, err := a.runs(ctx).List(ctx, f)
		if err != nil {
			return nil, false, err
		}
		for i := range page.Runs {
			if len(ids) == maxBulk {
				return ids, true, nil
			}
			ids = append(ids, page.Runs[i].ID)
		}
		if f.After = page.Next; f.After == "" {
			return ids, false, nil
		}
	}
}
