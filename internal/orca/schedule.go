package orca

import (
	"strings"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/cron"
)

// Schedule is when an Ignitor fires.
type Schedule struct {
	once time.Time  // zero unless it fires at that instant
	cron *cron.Expr // nil unless it fires again and again
}

// ReadSchedule reads an Ignitor's schedule: NOW in any case, a cron expression, or
// an instant (RFC 3339), tried in that order. Errors are of [heddle.CodeInvalid]; a
// cron expression that no time at all matches is one, an instant in the past is not.
func ReadSchedule(text string) (Schedule, error) {
	if strings.EqualFold(text, "NOW") {
		return Schedule{}, nil
	}
	x, cronErr := cron.Parse(text)
	if cronErr == nil {
		if x.Never() {
			return Schedule{}, heddle.Errorf(heddle.CodeInvalid, "no time matches the cron expression %q", text)
		}
		return Schedule{cron: x}, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return Schedule{once: at}, nil
	}
	if len(strings.Fields(text)) > 1 {
		return Schedule{}, cronErr
	}
	return Schedule{}, heddle.Errorf(heddle.CodeInvalid,
		"%q is neither NOW, nor an instant such as 2030-01-31T09:30:00Z, nor a cron expression such as */5 * * * *", text)
}

// Recurs reports whether the schedule fires more than once; an Ignitor of one that
// does not goes when it has fired.
func (s Schedule) Recurs() bool { return s.cron != nil }

// Next returns when the schedule fires first after the given time: NOW at that time
// itself, a cron expression in its time zone. ok is false when it never does, such
// as at an instant that has passed.
func (s Schedule) Next(after time.Time) (at time.Time, ok bool) {
	switch {
	case s.cron != nil:
		return s.cron.Next(after)
	case !s.once.IsZero():
		return s.once, s.once.After(after)
	}
	return after, true
}
