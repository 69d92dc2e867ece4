package app

import (
	"context"
	"reflect"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/engine"
)

// followed is an engine whose Watch follows runs of other processes as well. Those it
// looks at now and then: there is nothing here that could tell of their changes.
type followed struct{ *engine.Engine }

// Watch implements [heddle.Runs].
func (f *followed) Watch(ctx context.Context, id heddle.RunID) (<-chan heddle.RunUpdate, error) {
	first, err := f.Engine.Watch(ctx, id)
	if err != nil {
		return nil, err
	}
	updates := make(chan heddle.RunUpdate)
	go func() {
		defer close(updates)
		f.forward(ctx, id, first, updates)
	}()
	return updates, nil
}

func (f *followed) forward(ctx context.Context, id heddle.RunID, from <-chan heddle.RunUpdate, to chan<- heddle.RunUpdate) {
	seen := &seenRows{visits: map[int]heddle.Visit{}, attempts: map[heddle.AttemptID]heddle.Attempt{}}
	for {
		for u := range from {
			if u = seen.news(u); u.Run.ID == "" {
				continue
			}
			select {
			case to <- u:
			case <-ctx.Done():
				return
			}
		}
		if seen.run.State == heddle.RunEnded {
			return
		}
		select {
		case <-time.After(watchInterval):
		case <-ctx.Done():
			return
		case <-f.Done():
			return
		}
		var err error
		if from, err = f.Engine.Watch(ctx, id); err != nil {
			return
		}
	}
}

// seenRows is what was sent of a run.
type seenRows struct {
	run      heddle.Run
	visits   map[int]heddle.Visit
	attempts map[heddle.AttemptID]heddle.Attempt
}

// news leaves of an update what was not sent yet; nothing at all if its run has no ID.
func (s *seenRows) news(u heddle.RunUpdate) heddle.RunUpdate {
	out := heddle.RunUpdate{Run: u.Run}
	for _, v := range u.Visits {
		if old, ok := s.visits[v.No]; !ok || !reflect.DeepEqual(old, v) {
			s.visits[v.No] = v
			out.Visits = append(out.Visits, v)
		}
	}
	for _, a := range u.Attempts {
		if old, ok := s.attempts[a.ID]; !ok || !reflect.DeepEqual(old, a) {
			s.attempts[a.ID] = a
			out.Attempts = append(out.Attempts, a)
		}
	}
	if len(out.Visits)+len(out.Attempts) == 0 && reflect.DeepEqual(s.run, u.Run) {
		return heddle.RunUpdate{}
	}
	s.run = u.Run
	return out
}
