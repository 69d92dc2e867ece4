// Package auth says who makes a request: what the server has found out from the key
// that came with it travels in the request's context.
package auth

import (
	"context"

	"github.com/heddle/heddle"
)

// Identity is who makes a request.
type Identity struct {
	// Organization is whose runs and definitions the request can see. Everything of
	// others is to look as if it did not exist.
	Organization string
	// KeyID names the key that came with the request; "" if Open.
	KeyID string
	// Role says what the request may do.
	Role heddle.Role
	// Open: no key was made yet and the server listens on loopback only, so that
	// everybody is let in, as an admin of [heddle.DefaultOrganization].
	Open bool
}

type contextKey struct{}

// With returns ctx with an identity in it.
func With(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, contextKey{}, id)
}

// From returns the identity in ctx; false if the request came without a valid key,
// and must be refused by whatever is not open to everybody.
func From(ctx context.Context) (Identity, bool) {
	id, ok := ctx.Value(contextKey{}).(Identity)
	return id, ok
}
