package store

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/heddle/heddle"
)

// This file holds what stores on top of an SQL database share.

// DefaultPage and MaxPage bound [heddle.RunFilter]'s Limit.
const (
	DefaultPage = 50
	MaxPage     = 1000
)

// PageSize returns the number of runs that a filter's Limit asks for.
func PageSize(limit int) int {
	if limit <= 0 {
		return DefaultPage
	}
	return min(limit, MaxPage)
}

// Cursor is a place in the list of runs, which is ordered by creation and ID, newest first.
type Cursor struct {
	Created int64 // as [Nanos]
	ID      heddle.RunID
}

// String returns the form of a cursor that a [heddle.RunPage] carries.
func (c Cursor) String() string { return strconv.FormatInt(c.Created, 36) + "." + string(c.ID) }

// ParseCursor reads the form that [Cursor.String] writes, or fails with [heddle.CodeInvalid].
func ParseCursor(s string) (Cursor, error) {
	head, id, ok := strings.Cut(s, ".")
	created, err := strconv.ParseInt(head, 36, 64)
	if !ok || err != nil || !heddle.RunID(id).Valid() {
		return Cursor{}, heddle.Errorf(heddle.CodeInvalid, "%q is not a place in a list of runs: use the next value of a page", s)
	}
	return Cursor{Created: created, ID: heddle.RunID(id)}, nil
}

// RunStatus is a run's state, or its outcome once it has ended: the one column by
// which lists are filtered.
func RunStatus(state heddle.RunState, outcome heddle.Outcome) string {
	if state == heddle.RunEnded {
		return string(outcome)
	}
	return string(state)
}

// RunStatuses returns the values of [RunStatus] that a filter's states and outcomes
// let through; all is true when that is every value.
func RunStatuses(f heddle.RunFilter) (statuses []string, all bool) {
	if len(f.States) == 0 && len(f.Outcomes) == 0 {
		return AllRunStatuses(), true
	}
	if len(f.Outcomes) == 0 {
		for _, state := range openStates() {
			if slices.Contains(f.States, state) {
				statuses = append(statuses, string(state))
			}
		}
	}
	if len(f.States) == 0 || slices.Contains(f.States, heddle.RunEnded) {
		for _, outcome := range heddle.Outcomes() {
			if len(f.Outcomes) == 0 || slices.Contains(f.Outcomes, outcome) {
				statuses = append(statuses, string(outcome))
			}
		}
	}
	return statuses, false
}

// AllRunStatuses returns every value that [RunStatus] can have.
func AllRunStatuses() []string {
	var all []string
	for _, state := range openStates() {
		all = append(all, string(state))
	}
	for _, outcome := range heddle.Outcomes() {
		all = append(all, string(outcome))
	}
	return all
}

func openStates() []heddle.RunState {
	return []heddle.RunState{heddle.RunPending, heddle.RunRunning, heddle.RunStopping, heddle.RunFinally}
}

// Nanos returns t as nanoseconds since 1970; the zero time is 0, and what lies
// beyond the year 2262 is the last instant that fits.
func Nanos(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Year() > 2261:
		return math.MaxInt64
	}
	return t.UnixNano()
}

// Time is the inverse of [Nanos], in UTC.
func Time(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}

// CheckOutputs refuses changes with an output over [MaxOutput], by name and size.
func CheckOutputs(changes []heddle.Change) error {
	for i := range changes {
		for j := range changes[i].Visits {
			v := &changes[i].Visits[j]
			if len(v.Output) > MaxOutput {
				return heddle.Errorf(heddle.CodeInvalid,
					"output of step %q (run %s, visit %d) has %d bytes, %d are allowed: write it to a volume and hand on its name",
					v.Step, changes[i].Run.ID, v.No, len(v.Output), MaxOutput)
			}
		}
	}
	return nil
}

// Judge says what became of changes[i], which found its run in the state given by
// session (of the caller), owner, epoch, seq and last (the ID of the run's newest
// change) instead of the state that it demands. Changes of the run further on in
// the slice count as well: when the answer to a whole slice was lost and it is
// applied again, only the run's last change in it can be read back.
func Judge(changes []heddle.Change, i int, session, owner string, epoch, seq int64, last string) Answer {
	c := &changes[i]
	for j := i; j < len(changes); j++ {
		d := &changes[j]
		if d.ID == last && d.Run.ID == c.Run.ID && d.Seq >= c.Seq && d.Seq+1 == seq {
			return Committed
		}
	}
	if c.Flow == nil && (owner != session || epoch != c.Epoch) {
		return Fenced
	}
	return Conflict
}

// Temporary returns err with [ErrTemporary] in its chain, its text unchanged.
func Temporary(err error) error { return temporary{err} }

type temporary struct{ error }

func (t temporary) Unwrap() error        { return t.error }
func (t temporary) Is(target error) bool { return target == ErrTemporary }
