package schedule

import (
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/cron"
)

// late is how long after its time a tick still counts as kept: one that comes later
// was missed, see [heddle.CatchUp].
const late = 10 * time.Second

// TickID is the ID of the run that a tick of a definition makes: always the same, so
// that whoever handles the tick again, after a crash or at the same time, finds that
// the run exists.
func TickID(definition string, tick time.Time) heddle.RunID {
	return derivedID(definition, "tick", strconv.FormatInt(tick.UnixNano(), 10))
}

// followID is the ID of the run that a definition makes after another's run.
func followID(definition string, after heddle.RunID) heddle.RunID {
	return derivedID(definition, "after", string(after))
}

func derivedID(definition, kind, what string) heddle.RunID {
	space, err := uuid.Parse(definition)
	if err != nil {
		space = uuid.NewSHA1(uuid.Nil, []byte(definition))
	}
	return heddle.RunID(uuid.NewSHA1(space, []byte(kind+" "+what)).String())
}

// clock knows the ticks of a schedule.
type clock struct {
	every  time.Duration
	cron   *cron.Expr
	zone   *time.Location
	spread time.Duration // how late all ticks are
}

// clockOf reads a definition's schedule. Errors are of [heddle.CodeInvalid].
func clockOf(d *heddle.Definition) (clock, error) {
	s := &d.Schedule
	c := clock{every: time.Duration(s.Every) * time.Second, zone: time.UTC}
	if s.Jitter > 0 {
		hash := fnv.New64a()
		_, _ = hash.Write([]byte(d.ID)) // never fails
		c.spread = time.Duration(hash.Sum64() % uint64(s.Jitter*int64(time.Second)))
	}
	if s.Cron == "" {
		return c, nil
	}
	var err error
	if s.Zone != "" {
		if c.zone, err = time.LoadLocation(s.Zone); err != nil {
			return c, heddle.Errorf(heddle.CodeInvalid, "schedule: time zone %q is not known: use an IANA name such as Europe/Berlin: %w", s.Zone, err)
		}
	}
	if c.cron, err = cron.Parse(s.Cron); err != nil {
		return c, heddle.Errorf(heddle.CodeInvalid, "schedule: %w", err)
	}
	if c.cron.Never() {
		return c, heddle.Errorf(heddle.CodeInvalid, "schedule: no time matches the cron expression %q", s.Cron)
	}
	return c, nil
}

// after returns the first tick after a time; zero when there is none.
func (c clock) after(t time.Time) time.Time {
	switch {
	case c.every > 0:
		return t.Add(c.every)
	case c.cron != nil:
		if next, ok := c.cron.Next(t.In(c.zone)); ok {
			return next.UTC()
		}
	}
	return time.Time{}
}

// newest returns the last n ticks from the first one, which is not later than until,
// up to until, oldest first.
func (c clock) newest(first, until time.Time, n int) []time.Time {
	if c.every > 0 {
		passed := int64(until.Sub(first) / c.every)
		var ticks []time.Time
		for i := max(0, passed-int64(n)+1); i <= passed; i++ {
			ticks = append(ticks, first.Add(time.Duration(i)*c.every))
		}
		return ticks
	}
	// Cron looks forward only, so ever longer times before the end are gone through:
	// an expression that ticks each second may have slept for a year.
	for window := time.Minute; ; window *= 2 {
		from := until.Add(-window)
		whole := !from.After(first)
		if whole {
			from = first
		}
		var ticks []time.Time
		for t := c.after(from); !t.IsZero() && !t.After(until); t = c.after(t) {
			if ticks = append(ticks, t); len(ticks) > n {
				ticks = ticks[1:]
			}
		}
		switch {
		case len(ticks) >= n:
			return ticks
		case whole:
			return append([]time.Time{first}, ticks...)
		}
	}
}

// wake returns when a definition is to be looked at for its next tick. An interval is
// measured from launch to launch: only the first tick is spread.
func (c clock) wake(d *heddle.Definition) time.Time {
	switch {
	case !d.Enabled || !d.Deleted.IsZero() || d.Next.IsZero():
		return time.Time{}
	case c.every > 0 && !d.Last.IsZero():
		return d.Next
	}
	return d.Next.Add(c.spread)
}

// decision is what follows from a definition's being due.
type decision struct {
	launch []time.Time    // the ticks whose runs are to be made, oldest first
	cancel []heddle.RunID // runs that are in the way
	// after is the definition as it stands when all that is done, but for what is
	// known of the runs made.
	after heddle.Definition
}

// waitBusy is when a definition whose tick waits for a run to end is looked at again
// in any case; mostly that end wakes it.
const waitBusy = 30 * time.Second

// decide says what is to be done about a definition that is due, and whose runs in
// live have not ended.
func decide(d heddle.Definition, live []heddle.RunID, now time.Time) (decision, error) {
	c, err := clockOf(&d)
	if err != nil {
		return decision{}, err
	}
	ticks := c.missed(&d, now)
	// A run that is there already for one of the ticks is in nobody's way.
	live = slices.DeleteFunc(slices.Clone(live), func(id heddle.RunID) bool {
		return slices.ContainsFunc(ticks, func(tick time.Time) bool { return TickID(d.ID, tick) == id })
	})
	out := decision{launch: ticks, after: d}
	a := &out.after
	a.Reason, a.Last = "", d.Next
	var waiting time.Time
	switch {
	case len(ticks) == 0:
		a.Reason = "missed the tick of " + d.Next.Format(time.RFC3339)
	case d.Schedule.Overlap == heddle.OverlapSkip && len(live) > 0:
		out.launch = nil
		a.Reason = "skipped the tick of " + d.Next.Format(time.RFC3339) + ": run " + string(live[0]) + " is live"
	case d.Schedule.Overlap == heddle.OverlapSkip:
		out.launch = ticks[:1]
	case d.Schedule.Overlap == heddle.OverlapReplace:
		out.launch, out.cancel = ticks[len(ticks)-1:], live
	case d.Schedule.Overlap == heddle.OverlapQueue && len(live) > 0:
		out.launch, out.after = nil, d
		a.Reason, a.Wake = "waits for the end of run "+string(live[0]), now.Add(waitBusy)
		return out, nil
	case d.Schedule.Overlap == heddle.OverlapQueue && len(ticks) > 1:
		out.launch, waiting = ticks[:1], ticks[1]
	}
	if len(ticks) > 0 {
		a.Last = ticks[len(ticks)-1]
	}
	c.move(a, now)
	if !waiting.IsZero() {
		a.Last, a.Next = ticks[0], waiting
	}
	a.Wake = c.wake(a)
	return out, nil
}

// missed returns the ticks from the definition's next one up to now for which runs
// are to be made, oldest first.
func (c clock) missed(d *heddle.Definition, now time.Time) []time.Time {
	until, n := now.Add(-c.spread), 1
	if d.Schedule.CatchUp == heddle.CatchUpAll {
		n = d.Schedule.CatchUpLimit
		if n == 0 {
			n = heddle.DefaultCatchUp
		}
	}
	if until.Before(d.Next) {
		until = d.Next // an interval's later ticks are not spread
	}
	ticks := c.newest(d.Next, until, n)
	// A tick that waited for a run to end was not missed.
	if d.Schedule.CatchUp == heddle.CatchUpNone && d.Schedule.Overlap != heddle.OverlapQueue {
		ticks = slices.DeleteFunc(ticks, func(tick time.Time) bool { return until.Sub(tick) > late })
	}
	return ticks
}

// move sets the tick that follows when all up to now are done with.
func (c clock) move(d *heddle.Definition, now time.Time) {
	switch {
	case d.Schedule.Once, !d.Schedule.At.IsZero():
		d.Enabled = false
		if d.Reason == "" {
			d.Reason = "has run"
		}
	case c.every > 0:
		d.Next = c.after(now)
	default:
		d.Next = c.after(now.Add(-c.spread))
	}
}

// first sets the first tick of a definition that begins now.
func (c clock) first(d *heddle.Definition, now time.Time) {
	switch {
	case d.Schedule.Once, c.every > 0:
		d.Next = now
	case !d.Schedule.At.IsZero():
		d.Next = d.Schedule.At
	default:
		d.Next = c.after(now)
	}
}

// resume sets the next tick of a definition that has been changed or enabled, which
// knows no better one.
func (c clock) resume(d *heddle.Definition, now time.Time) {
	if c.every > 0 {
		d.Next = c.after(now)
		return
	}
	c.first(d, now)
	if !d.Schedule.At.IsZero() && !d.Next.After(d.Last) {
		d.Next = time.Time{}
	}
}

// Preview returns up to n ticks of a definition that are to come after now. Errors
// are of [heddle.CodeInvalid].
func Preview(d heddle.Definition, now time.Time, n int) ([]time.Time, error) {
	c, err := clockOf(&d)
	if err != nil {
		return nil, err
	}
	var ticks []time.Time
	if !d.Enabled || d.Next.IsZero() {
		return ticks, nil
	}
	next := d.Next
	if next.Before(now) {
		next = now
	}
	for ; len(ticks) < n && !next.IsZero(); next = c.after(next) {
		ticks = append(ticks, next.Add(c.wake(&d).Sub(d.Next)))
	}
	return ticks, nil
}
