// Package scope bounds the services to one organization: whatever belongs to another
// looks as if it did not exist. Front doors that tell callers apart hand their
// handlers these services and no others.
package scope

import (
	"context"
	"iter"

	"github.com/heddle/heddle"
)

// Runs returns the runs of an organization.
func Runs(organization string, runs heddle.Runs) heddle.Runs {
	return &scopedRuns{organization: organization, runs: runs}
}

// Logs returns what the runs of an organization print.
func Logs(organization string, runs heddle.Runs, logs heddle.Logs) heddle.Logs {
	return &scopedLogs{runs: &scopedRuns{organization: organization, runs: runs}, logs: logs}
}

type scopedRuns struct {
	organization string
	runs         heddle.Runs
}

// own fails with [heddle.CodeNotFound] unless the run is the organization's.
func (s *scopedRuns) own(ctx context.Context, id heddle.RunID) error {
	if !id.Valid() {
		return notFound(id)
	}
	page, err := s.List(ctx, heddle.RunFilter{IDs: []heddle.RunID{id}, Limit: 1})
	if err == nil && len(page.Runs) == 0 {
		err = notFound(id)
	}
	return err
}

// notFound has the words of the stores, so that nobody can tell the two apart.
func notFound(id heddle.RunID) error {
	return heddle.Errorf(heddle.CodeNotFound, "there is no run %q", id)
}

// Submit implements [heddle.Runs]. The run is the organization's, whatever the
// submission says; what it is to do over, or has for a parent, has to be too.
func (s *scopedRuns) Submit(ctx context.Context, sub heddle.Submission) (heddle.Run, error) {
	if s.organization == "" {
		return heddle.Run{}, heddle.Errorf(heddle.CodeInvalid, "a run needs an organization")
	}
	sub.Organization = s.organization
	if sub.Retry != nil {
		if err := s.own(ctx, sub.Retry.Run); err != nil {
			return heddle.Run{}, err
		}
	}
	if sub.Parent != "" {
		if err := s.own(ctx, sub.Parent); err != nil {
			return heddle.Run{}, err
		}
	}
	return s.runs.Submit(ctx, sub)
}

// Get implements [heddle.Runs].
func (s *scopedRuns) Get(ctx context.Context, id heddle.RunID) (heddle.RunDetail, error) {
	d, err := s.runs.Get(ctx, id)
	if err != nil {
		return heddle.RunDetail{}, err
	}
	if d.Run.Organization != s.organization {
		return heddle.RunDetail{}, notFound(id)
	}
	return d, nil
}

// List implements [heddle.Runs].
func (s *scopedRuns) List(ctx context.Context, f heddle.RunFilter) (heddle.RunPage, error) {
	if f.Organization = s.organization; f.Organization == "" { // which would be all
		return heddle.RunPage{Runs: []heddle.Run{}}, nil
	}
	return s.runs.List(ctx, f)
}

// Cancel implements [heddle.Runs].
func (s *scopedRuns) Cancel(ctx context.Context, id heddle.RunID, reason string) error {
	if err := s.own(ctx, id); err != nil {
		return err
	}
	return s.runs.Cancel(ctx, id, reason)
}

// Watch implements [heddle.Runs].
func (s *scopedRuns) Watch(ctx context.Context, id heddle.RunID) (<-chan heddle.RunUpdate, error) {
	if err := s.own(ctx, id); err != nil {
		return nil, err
	}
	return s.runs.Watch(ctx, id)
}

type scopedLogs struct {
	runs *scopedRuns
	logs heddle.Logs
}

// Lines implements [heddle.Logs].
func (s *scopedLogs) Lines(ctx context.Context, q heddle.LogQuery) iter.Seq2[heddle.LogLine, error] {
	return func(yield func(heddle.LogLine, error) bool) {
		if err := s.runs.own(ctx, q.Run); err != nil {
			yield(heddle.LogLine{}, err)
			return
		}
		s.logs.Lines(ctx, q)(yield)
	}
}
