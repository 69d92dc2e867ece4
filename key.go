package heddle

import (
	"context"
	"slices"
	"time"
)

// DefaultOrganization is whose runs are that were submitted without a key: by the
// command line, or to a server on which no key was made yet.
const DefaultOrganization = "default"

// Role says what a key may do; each role may do what those before it may.
type Role string

// The roles.
const (
	RoleViewer   Role = "viewer"   // read
	RoleOperator Role = "operator" // submit, cancel, retry, change definitions
	RoleAdmin    Role = "admin"    // delete runs, manage keys
)

// Roles lists the roles, from the weakest.
func Roles() []Role { return []Role{RoleViewer, RoleOperator, RoleAdmin} }

// Valid reports whether r is one of the roles.
func (r Role) Valid() bool { return slices.Contains(Roles(), r) }

// May reports whether r may do what needs the role needed.
func (r Role) May(needed Role) bool {
	return r.Valid() && slices.Index(Roles(), r) >= slices.Index(Roles(), needed)
}

// Key lets a caller of the REST API in. Its secret is told once, when the key is made;
// what is kept of it is its SHA-256 (rego).
type Key struct {
	ID           string    `json:"id"`
	Organization string    `json:"organization"` // whose runs and definitions it sees
	Role         Role      `json:"role"`
	Name         string    `json:"name,omitempty"`
	Hint         string    `json:"hint"` // the beginning of the secret, by which people know it
	Created      time.Time `json:"created"`
	Expires      time.Time `json:"expires,omitzero"`
	LastUsed     time.Time `json:"lastUsed,omitzero"` // to the minute
	Revoked      time.Time `json:"revoked,omitzero"`
}

// Live reports whether the key lets anybody in at the instant now.
func (k *Key) Live(now time.Time) bool {
	return k.Revoked.IsZero() && (k.Expires.IsZero() || now.Before(k.Expires))
}

// Keys is the service for keys.
type Keys interface {
	// CreateKey makes a key and returns its secret, which cannot be had again.
	// Errors: [CodeInvalid], [CodeConflict] (the secret is another key's).
	CreateKey(ctx context.Context, k NewKey) (key Key, secret string, err error)
	// ListKeys returns the keys, revoked ones too, oldest first; of one organization, or of all ("").
	ListKeys(ctx context.Context, organization string) ([]Key, error)
	// RotateKey makes a key in place of another, which goes on for the time of grace
	// and is then as good as revoked. Errors: [CodeNotFound], [CodeConflict] (it is not live).
	RotateKey(ctx context.Context, id string, grace time.Duration) (key Key, secret string, err error)
	// RevokeKey ends a key; one that is revoked stays so. Errors: [CodeNotFound].
	RevokeKey(ctx context.Context, id string) error
}

// NewKey asks for a key.
type NewKey struct {
	Organization string // default: [DefaultOrganization]
	Role         Role   // default: [RoleOperator]
	Name         string
	Expires      time.Time // zero: never
	Secret       string    // made up when empty; at least 16 characters
}
