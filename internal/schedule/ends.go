package schedule

import (
	"context"
	"fmt"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// ends acts upon runs that have ended, and says whether there may be more of them.
func (s *Scheduler) ends(ctx context.Context) (more bool, err error) {
	runs, err := s.store.EndedRuns(ctx, batch)
	if err != nil || len(runs) == 0 {
		return false, err
	}
	e := &ending{s: s, known: map[string]*heddle.Definition{}, followers: map[string][]string{}}
	for i := range runs {
		if err := e.end(ctx, &runs[i]); err != nil {
			return false, err
		}
	}
	done, err := s.store.MoveDefinitions(ctx, e.moves)
	if err != nil {
		return false, err
	}
	for i := range done {
		if !done[i] {
			s.Kick() // it was changed meanwhile: the run is looked at again
			return false, nil
		}
	}
	return len(runs) == batch, nil
}

// ending gathers what follows from the ends of some runs.
type ending struct {
	s         *Scheduler
	known     map[string]*heddle.Definition // as they stand after the moves so far
	followers map[string][]string           // by the definition that they follow
	moves     []store.DefinitionMove
}

// end adds what follows from the end of a run: first the runs of followers, then the
// move that is done with it.
func (e *ending) end(ctx context.Context, run *heddle.Run) error {
	followers, err := e.followersOf(ctx, run.Definition)
	if err != nil {
		return err
	}
	d, err := e.definition(ctx, run.Definition)
	if heddle.CodeOf(err) == heddle.CodeNotFound {
		e.moves = append(e.moves, store.DefinitionMove{Ended: run.ID})
		return nil
	}
	if err != nil {
		return err
	}
	for _, id := range followers {
		f, err := e.definition(ctx, id)
		if err != nil {
			return err
		}
		if !f.Enabled || f.Organization != d.Organization || f.Schedule.After == nil || !f.Schedule.After.Wants(run.Outcome) {
			continue
		}
		if err := e.follow(ctx, f, run); err != nil {
			return err
		}
	}
	if err := e.note(ctx, d, run); err != nil {
		return err
	}
	e.moved(d, run.ID)
	return nil
}

// moved adds the move to what d says, which the next move then builds on.
func (e *ending) moved(d *heddle.Definition, ended heddle.RunID) {
	e.moves = append(e.moves, store.DefinitionMove{Definition: *d, Ended: ended})
	d.Version++
}

func (e *ending) definition(ctx context.Context, id string) (*heddle.Definition, error) {
	if d := e.known[id]; d != nil {
		return d, nil
	}
	d, err := e.s.store.Definition(ctx, id)
	if err != nil {
		return nil, err
	}
	e.known[id] = &d
	return &d, nil
}

func (e *ending) followersOf(ctx context.Context, id string) ([]string, error) {
	ids, ok := e.followers[id]
	if ok {
		return ids, nil
	}
	found, err := e.s.store.Followers(ctx, id)
	if err != nil {
		return nil, err
	}
	for i := range found {
		ids = append(ids, found[i].ID)
	}
	e.followers[id] = ids
	return ids, nil
}

// note writes the end of a run into its definition.
func (e *ending) note(ctx context.Context, d *heddle.Definition, run *heddle.Run) error {
	if d.LatestRun == run.ID {
		detail, err := e.s.store.Run(ctx, run.ID)
		if err != nil {
			return err
		}
		d.LatestStatus = detail.Status()
	}
	switch run.Outcome {
	case heddle.Success:
		d.Failures = 0
	case heddle.Failure, heddle.Timeout:
		fail(d, "")
	case heddle.Abort, heddle.Skipped: // says nothing of the definition
	}
	if d.Schedule.Overlap == heddle.OverlapQueue && !d.Wake.IsZero() && !d.Next.After(time.Now()) {
		d.Wake = time.Now().UTC() // its tick has waited for this
	}
	return nil
}

// fail counts a failure of a definition, which may disable it.
func fail(d *heddle.Definition, reason string) {
	d.Failures++
	if reason != "" {
		d.Reason = reason
	}
	if limit := d.Schedule.PauseAfter; limit > 0 && d.Failures >= limit && d.Enabled {
		d.Enabled, d.Wake = false, time.Time{}
		d.Reason = fmt.Sprintf("paused after %d failures in a row", d.Failures)
	}
}

// follow has a definition run after another's run has ended. What has to wait becomes
// a tick at the time of that end; of several that wait one is left.
func (e *ending) follow(ctx context.Context, f *heddle.Definition, run *heddle.Run) error {
	id := followID(f.ID, run.ID)
	live, err := e.s.live(ctx, f)
	if err != nil {
		return err
	}
	switch f.Schedule.Overlap {
	case heddle.OverlapSkip:
		for _, other := range live {
			if other != id {
				f.Reason = "skipped the end of run " + string(run.ID) + ": run " + string(other) + " is live"
				e.moved(f, "")
				return nil
			}
		}
	case heddle.OverlapReplace:
		for _, other := range live {
			if other != id {
				e.s.stop(ctx, other, "replaced by a newer run of its definition")
			}
		}
	case heddle.OverlapQueue:
		e.wait(f, run)
		return nil
	case heddle.OverlapAllow:
	}
	f.Reason = ""
	err = e.s.launch(ctx, f, id, time.Time{})
	switch {
	case err == nil:
		e.moved(f, "")
	case ctx.Err() != nil:
		return err
	case heddle.CodeOf(err) == heddle.CodeInvalid: // it never will
		fail(f, err.Error())
		e.moved(f, "")
	default:
		e.s.log.Warn("a run cannot be made; trying again", "definition", f.ID, "error", err)
		e.wait(f, run)
	}
	return nil
}

// wait makes a tick of a run's end.
func (e *ending) wait(f *heddle.Definition, run *heddle.Run) {
	if !f.Next.IsZero() || !run.Ended.After(f.Last) {
		return // one waits already, or this one has had its turn
	}
	f.Next, f.Wake = run.Ended, time.Now().UTC()
	e.moved(f, "")
}
