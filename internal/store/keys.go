package store

import (
	"context"

	"github.com/heddle/heddle"
)

// NoticeClaimer is what a store can do that several servers share: it takes over
// notices without taking over runs.
type NoticeClaimer interface {
	// ClaimNotices makes ended runs whose owner is gone and that still have notices
	// this session's, so that [Outbox.Pending] has them, and returns how many.
	ClaimNotices(ctx context.Context) (int, error)
}

// Keys is what a store can do that keeps keys.
type Keys interface {
	// AddKey adds a key whose secret has that SHA-256, in lower-case hexadecimal;
	// [heddle.CodeConflict] if the ID or the hash is another's.
	AddKey(ctx context.Context, k heddle.Key, hash string) error
	// FindKey returns the key with that hash, or [heddle.CodeNotFound].
	FindKey(ctx context.Context, hash string) (heddle.Key, error)
	// AllKeys returns the keys of an organization, or of all (""), oldest first.
	AllKeys(ctx context.Context, organization string) ([]heddle.Key, error)
	// TouchKey brings a key's Expires, LastUsed and Revoked to what k has; a time that
	// is zero there stays as it is. [heddle.CodeNotFound] if it does not exist.
	TouchKey(ctx context.Context, k heddle.Key) error
}
