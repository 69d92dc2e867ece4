package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/heddle/heddle"
)

// Turn is what an engine asks for on behalf of a run before it goes on: the run's
// concurrency key, or places in a pool for the next attempt of a visit. Each is
// granted at most once.
type Turn struct {
	Run     heddle.RunID
	Visit   int // 0: the concurrency key
	Attempt int // of the visit, the one that is to be made
}

// Ask asks for a turn.
type Ask struct {
	Visit   int // 0: the concurrency key
	Attempt int
	Name    string             // of the key or the pool
	Weight  int                // places in the pool; 1 for a key
	Busy    heddle.Concurrence // what to do when the key is taken
}

// Line returns the line that the ask is for, on behalf of a run of that organization.
func (a *Ask) Line(organization string) Line {
	return Line{Organization: organization, Pool: a.Visit > 0, Name: a.Name}
}

// Line is where turns are waited for: the one of a key or of a pool. Runs of different
// organizations never stand in the same one.
type Line struct {
	Organization string
	Pool         bool
	Name         string
}

// Reply is what became of an ask.
type Reply struct {
	Turn State
	// Other is, of a key that is denied, the run that has it or is to have it next.
	Other heddle.RunID
}

// State is how an ask stands.
type State string

// The states.
const (
	Granted State = "granted" // the run has it, until a change releases it
	Waits   State = "waits"   // the run stands in line, and is told on [Turns.Granted]
	Denied  State = "denied"  // the run was to be rejected when others have the key
	// Unwanted: the run has ended, is another session's, or is not where it would need
	// the turn. Nothing was noted.
	Unwanted State = "unwanted"
)

// Turns keeps runs of all sessions apart, by keys and pools, which each organization
// has of its own.
//
// Who asks stands in line behind those who asked for the same name before; for its
// key a run stands there from the change that creates it, see [KeyOf]. It is granted
// its turn when what there is suffices for it and nobody waits before it. Only those
// count that can go on: a run whose session is over is passed over until somebody has
// claimed it, and then has the place that it had. So are those who want more than the
// whole pool, and runs that have been asked to end and wait for their key. What a run
// has been granted it has until a change of it says otherwise
// ([heddle.Change.Releases]), whoever owns it.
type Turns interface {
	// Ask asks on behalf of a run that this session owns with that epoch, and answers
	// by position. Asking again changes nothing: it gives the state.
	Ask(ctx context.Context, run heddle.RunID, epoch int64, asks []Ask) ([]Reply, error)
	// Granted delivers turns granted to runs of this session after they were asked for.
	// One may come more than once, and by a fault never: see Regrant.
	Granted() <-chan Turn
	// Regrant looks again at the lines in which runs of this session stand, for those
	// whose holders or predecessors have vanished without a word.
	Regrant(ctx context.Context) error
}

// Superseded is the reason for which a run is cancelled whose key another one, which
// does not wait for it, has asked for.
func Superseded(by heddle.RunID, key string) string {
	return fmt.Sprintf("run %s takes its place (concurrency key %q)", by, key)
}

// PoolInUse is the error of deleting a pool that a run has places in or waits for.
func PoolInUse(name string, run heddle.RunID) error {
	return heddle.Errorf(heddle.CodeConflict, "pool %q is in use by run %s: wait for its end, or cancel it with 'heddle runs cancel %s'", name, run, run)
}

// NoPool is the error of deleting a pool that does not exist.
func NoPool(name string) error {
	return heddle.Errorf(heddle.CodeNotFound, "there is no pool %q: see 'heddle pools list'", name)
}

// KeyOf returns the line of the concurrency key for which the run that a change creates
// waits, if it is to wait for one.
func KeyOf(c *heddle.Change) (key Line, waits bool) {
	if c.Flow == nil || c.Flow.Concurrency == nil || c.Run.State != heddle.RunPending {
		return Line{}, false
	}
	return Line{Organization: c.Run.Organization, Name: c.Flow.Concurrency.Key}, true
}

// MayWait reports whether a run can stand in lines, going by its rows alone.
func MayWait(d *heddle.RunDetail) bool {
	if d.Run.State == heddle.RunEnded || d.Flow == nil {
		return false
	}
	if d.Flow.Concurrency != nil && d.Run.State == heddle.RunPending {
		return true
	}
	return slices.ContainsFunc(d.Flow.Steps, func(s heddle.Step) bool { return s.Pool != "" })
}
