package schedule

import (
	"context"
	"reflect"
	"time"

	"github.com/google/uuid"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// Create implements [heddle.Definitions].
func (s *Scheduler) Create(ctx context.Context, d heddle.Definition) (heddle.Definition, error) {
	now := time.Now().UTC()
	switch id, err := uuid.Parse(d.ID); {
	case d.ID == "":
		d.ID = uuid.NewString()
	case err != nil:
		return d, heddle.Errorf(heddle.CodeInvalid, "definition ID %q is no UUID: %w", d.ID, err)
	default:
		d.ID = id.String()
	}
	if d.Organization == "" {
		d.Organization = heddle.DefaultOrganization
	}
	c, err := s.check(ctx, &d)
	if err != nil {
		return d, err
	}
	d.Created, d.Updated, d.Deleted, d.Version = now, now, time.Time{}, 1
	d.Counter, d.Failures, d.Last, d.LatestRun, d.LatestStatus = 0, 0, time.Time{}, "", 0
	if d.Next.IsZero() && d.Enabled {
		c.first(&d, now)
	}
	d.Wake = c.wake(&d)
	if err := s.store.AddDefinition(ctx, d); err != nil {
		return d, err
	}
	s.Kick()
	return d, nil
}

// check finds what is wrong with a definition, and returns the ticks that it says.
func (s *Scheduler) check(ctx context.Context, d *heddle.Definition) (clock, error) {
	if d.Flow == nil {
		return clock{}, heddle.Errorf(heddle.CodeInvalid, "a definition needs a flow")
	}
	if err := d.Schedule.Check(); err != nil {
		return clock{}, err
	}
	if err := s.opts.Check(d); err != nil {
		return clock{}, err
	}
	// What is only away for now is there when the definition runs, perhaps.
	if _, _, err := s.prepare(ctx, d); heddle.CodeOf(err) == heddle.CodeInvalid {
		return clock{}, err
	}
	if d.Schedule.Zone == "Local" { // whose it would be, nobody could tell
		return clock{}, heddle.Errorf(heddle.CodeInvalid, "schedule: time zone %q is not known: use an IANA name such as Europe/Berlin", d.Schedule.Zone)
	}
	if after := d.Schedule.After; after != nil {
		leader, err := s.Get(ctx, d.Organization, after.Definition)
		if heddle.CodeOf(err) == heddle.CodeNotFound || err == nil && leader.ID == d.ID {
			return clock{}, heddle.Errorf(heddle.CodeInvalid, "schedule: after names %q, which is no other definition", after.Definition)
		}
		if err != nil {
			return clock{}, err
		}
		d.Schedule.After = &heddle.After{Definition: leader.ID, On: after.On}
	}
	// Years that the store cannot tell from others are as good as these.
	if !d.Next.IsZero() && d.Next.Year() < 1971 {
		d.Next = time.Unix(1, 0).UTC()
	}
	return clockOf(d)
}

// Get implements [heddle.Definitions].
func (s *Scheduler) Get(ctx context.Context, organization, id string) (heddle.Definition, error) {
	d, err := s.stored(ctx, organization, id)
	if err == nil {
		err = s.fresh(ctx, &d)
	}
	return d, err
}

// stored returns a definition as it is stored.
func (s *Scheduler) stored(ctx context.Context, organization, id string) (heddle.Definition, error) {
	d, err := s.store.Definition(ctx, id)
	if err == nil && (!d.Deleted.IsZero() || organization != d.Organization) {
		err = heddle.Errorf(heddle.CodeNotFound, "there is no definition %q", id)
	}
	if err != nil {
		return heddle.Definition{}, err
	}
	return d, nil
}

// fresh sets the status of a latest run that may have moved on since it was stored.
func (s *Scheduler) fresh(ctx context.Context, d *heddle.Definition) error {
	if d.LatestRun == "" || d.LatestStatus.Ended() {
		return nil
	}
	detail, err := s.store.Run(ctx, d.LatestRun)
	if heddle.CodeOf(err) == heddle.CodeNotFound {
		return nil
	}
	if err == nil {
		d.LatestStatus = detail.Status()
	}
	return err
}

// List implements [heddle.Definitions].
func (s *Scheduler) List(ctx context.Context, f heddle.DefinitionFilter) (heddle.DefinitionPage, error) {
	page, err := s.store.Definitions(ctx, f)
	if err != nil {
		return page, err
	}
	for i := range page.Definitions {
		if err := s.fresh(ctx, &page.Definitions[i]); err != nil {
			return heddle.DefinitionPage{}, err
		}
	}
	return page, nil
}

// Count implements [heddle.Definitions].
func (s *Scheduler) Count(ctx context.Context, f heddle.DefinitionFilter) (int, error) {
	return s.store.CountDefinitions(ctx, f)
}

// Update implements [heddle.Definitions].
func (s *Scheduler) Update(ctx context.Context, d heddle.Definition) (heddle.Definition, error) {
	for {
		old, err := s.stored(ctx, d.Organization, d.ID)
		if err != nil {
			return d, err
		}
		if d.Version != 0 && d.Version != old.Version {
			return d, heddle.Errorf(heddle.CodeConflict, "definition %s has version %d by now, not %d: read it again", d.ID, old.Version, d.Version)
		}
		replaced, err := s.replacement(ctx, old, d)
		if err != nil {
			return d, err
		}
		done, err := s.store.ReplaceDefinition(ctx, replaced)
		if err != nil {
			return d, err
		}
		if done {
			replaced.Version++
			s.Kick()
			return replaced, s.fresh(ctx, &replaced)
		}
	}
}

// replacement is what an update makes of a definition.
func (s *Scheduler) replacement(ctx context.Context, old, d heddle.Definition) (heddle.Definition, error) {
	now := time.Now().UTC()
	c, err := s.check(ctx, &d)
	if err != nil {
		return d, err
	}
	d.Version, d.Created, d.Updated, d.Deleted = old.Version, old.Created, now, time.Time{}
	d.Counter, d.Failures, d.Last, d.LatestRun, d.LatestStatus = old.Counter, old.Failures, old.Last, old.LatestRun, old.LatestStatus
	enabled := d.Enabled && !old.Enabled
	if enabled {
		d.Failures = 0
	}
	d.Reason = ""
	if !d.Enabled {
		d.Reason = "disabled by an update"
		if !old.Enabled {
			d.Reason = old.Reason
		}
	}
	if !d.Next.After(d.Last) { // none was asked for, or one that has been handled
		d.Next = old.Next
		switch {
		case enabled && !old.Next.After(now), !reflect.DeepEqual(d.Schedule, old.Schedule) && d.Counter > 0, d.Next.IsZero() && d.Enabled:
			c.resume(&d, now)
		}
	}
	d.Wake = c.wake(&d)
	return d, nil
}

// Delete implements [heddle.Definitions].
func (s *Scheduler) Delete(ctx context.Context, organization, id string) error {
	for {
		d, err := s.stored(ctx, organization, id)
		if err != nil {
			return err
		}
		d.Deleted, d.Enabled, d.Wake, d.Reason = time.Now().UTC(), false, time.Time{}, "deleted"
		done, err := s.store.ReplaceDefinition(ctx, d)
		if err != nil {
			return err
		}
		if done {
			break
		}
	}
	live, err := s.open(ctx, id)
	if err != nil {
		return err
	}
	for _, run := range live {
		s.stop(ctx, run, "its definition was deleted")
	}
	return nil
}

// Trigger implements [heddle.Definitions].
func (s *Scheduler) Trigger(ctx context.Context, organization, id string) (heddle.Run, error) {
	d, err := s.stored(ctx, organization, id)
	if err != nil {
		return heddle.Run{}, err
	}
	run := heddle.RunID(uuid.NewString())
	if err := s.launch(ctx, &d, run, time.Time{}); err != nil {
		return heddle.Run{}, err
	}
	for {
		c, err := clockOf(&d)
		if err != nil {
			return heddle.Run{}, err
		}
		if recurs := d.Schedule.Cron != ""; d.Enabled && !d.Next.IsZero() && !recurs {
			d.Last = d.Next
			c.move(&d, time.Now().UTC())
			d.Wake = c.wake(&d)
		}
		done, err := s.store.MoveDefinitions(ctx, []store.DefinitionMove{{Definition: d}})
		if err != nil {
			return heddle.Run{}, err
		}
		if done[0] {
			break
		}
		if d, err = s.store.Definition(ctx, id); err != nil {
			return heddle.Run{}, err
		}
		d.Counter++
		d.LatestRun, d.LatestStatus = run, heddle.StatusJobDeployed
	}
	s.Kick()
	detail, err := s.store.Run(ctx, run)
	return detail.Run, err
}
