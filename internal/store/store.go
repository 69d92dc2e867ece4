// Package store is the port to where runs are kept: what the engine, the front
// doors and the notifier need of a store. Its implementations are in the folders
// below; storetest holds the suite that each of them passes.
package store

import (
	"context"

	"github.com/heddle/heddle"
)

// Answer is what became of a change.
type Answer string

// The answers.
const (
	// Committed: the change is durable (now, or it already was: applying a change
	// again, after an answer was lost, gives this too).
	Committed Answer = "committed"
	// Conflict: the run is at another sequence number or does not exist, or the ID of
	// a run to be created does. Nothing of the change was written.
	Conflict Answer = "conflict"
	// Fenced: the run has another owner by now. Nothing of the change was written.
	Fenced Answer = "fenced"
)

// Store is what the engine needs. A store value is one session: an owner of runs
// for as long as it is open, known to others by a lock that ends with the process.
//
// Errors are of [heddle.CodeStore], with [ErrTemporary] in their chain where
// trying the same call again may help (a full disk, a busy or absent server), and
// [heddle.CodeNotFound] where a run does not exist.
type Store interface {
	// Apply commits changes, in order, with one flush, and answers each by
	// position. A change that is not committed does not stop those of other runs.
	// A run created here belongs to this session with epoch 1. With an error
	// nothing may be assumed, and the same call may be repeated.
	Apply(ctx context.Context, changes []heddle.Change) ([]Answer, error)
	// Load reads all that is needed to go on with a run.
	Load(ctx context.Context, id heddle.RunID) (Snapshot, error)
	// Claim makes this session the owner of the open runs whose owner is gone, and
	// raises their epochs. No ids: of all such runs. A run named in ids that is
	// owned by a live session, has ended or does not exist is left out of the answer.
	// Without ids, ended runs whose owner is gone and that still have notices become
	// this session's as well, so that [Outbox.Pending] has them; the answer does not.
	Claim(ctx context.Context, ids []heddle.RunID) ([]heddle.RunID, error)
	// RequestCancel leaves a request to cancel for whoever owns the run, and wakes
	// the owner. Requests stay in the row until the run has ended.
	RequestCancel(ctx context.Context, id heddle.RunID, reason string) error
	// Wake delivers the IDs of runs of this session that were sent a request.
	Wake() <-chan heddle.RunID
	// Session names this session, as it stands in the owner column.
	Session() string
	// Close ends the session: its runs are orphans until somebody claims them.
	Close() error
}

// Lapser is a store whose sessions may be taken for over while they are not, because
// they are alive by a lease that has to be renewed in time.
type Lapser interface {
	// Lapsed delivers, once the lease is renewed, that it may have run out: others may
	// have claimed runs of this session meanwhile.
	Lapsed() <-chan struct{}
	// Lost returns those of the runs that are another session's.
	Lost(ctx context.Context, runs []heddle.RunID) ([]heddle.RunID, error)
}

// Snapshot is a stored run, ready to go on.
type Snapshot struct {
	Run      heddle.Run
	Flow     *heddle.Flow
	Epoch    int64
	Seq      int64
	Visits   []heddle.Visit   // by number
	Attempts []heddle.Attempt // by visit and number
	// Cancels counts the requests to cancel left by [Store.RequestCancel];
	// CancelReason is the newest one's.
	Cancels      int
	CancelReason string
}

// History is what front doors read.
type History interface {
	// Run returns a run whole, Waiting aside; or [heddle.CodeNotFound].
	Run(ctx context.Context, id heddle.RunID) (heddle.RunDetail, error)
	// Runs returns a page of the runs that match, newest first.
	Runs(ctx context.Context, f heddle.RunFilter) (heddle.RunPage, error)
	// Orphaned returns the IDs of open runs whose owner is gone, oldest first.
	Orphaned(ctx context.Context) ([]heddle.RunID, error)
	// AttemptStatus returns the statuses of attempts; unknown ones are left out.
	AttemptStatus(ctx context.Context, ids []heddle.AttemptID) (map[heddle.AttemptID]heddle.Status, error)
}

// Outbox is what the notifier needs: notices that are committed and not yet delivered.
type Outbox interface {
	// Pending returns the undelivered notices of the given runs (none given: of
	// all runs that this session owns), oldest first.
	Pending(ctx context.Context, runs []heddle.RunID) ([]heddle.Notice, error)
	// Delivered removes notices; Postponed stores their tries and due times.
	Delivered(ctx context.Context, notices []heddle.Notice) error
	Postponed(ctx context.Context, notices []heddle.Notice) error
}
