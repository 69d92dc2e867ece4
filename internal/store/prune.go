package store

import (
	"context"
	"time"

	"github.com/heddle/heddle"
)

// Pruner is what a store can do that deletes runs. A run may be deleted when it has
// ended and nobody is at it any more: its owner is gone, or is this session and has
// no notices of it left to deliver.
type Pruner interface {
	// Prunable returns runs that may be deleted and match, in the order of their
	// creation, oldest first.
	Prunable(ctx context.Context, q PruneQuery) ([]Prunable, error)
	// Delete deletes runs with all that belongs to them, flows that no other run has
	// included, and returns the IDs of those that are gone by it. What may not be
	// deleted is left alone. It works in pieces, so that writers are not kept
	// waiting; with an error, some of the runs may be gone.
	Delete(ctx context.Context, ids []heddle.RunID) ([]heddle.RunID, error)
	// Usage tells how much is stored.
	Usage(ctx context.Context) (Usage, error)
}

// PruneQuery selects runs that may be deleted. Empty fields select all.
type PruneQuery struct {
	IDs      []heddle.RunID
	Outcomes []heddle.Outcome
	Limit    int // 0: none
}

// Prunable is a run that may be deleted.
type Prunable struct {
	ID             heddle.RunID
	Outcome        heddle.Outcome
	Created, Ended time.Time
}

// Usage is how much is stored.
type Usage struct {
	Ended int   // runs
	Bytes int64 // about, of everything in the store
}
