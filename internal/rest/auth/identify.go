package auth

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/heddle/heddle"
)

// Keys is what [Identify] asks.
type Keys interface {
	// Check returns the key with that secret, or [heddle.CodeNotFound].
	Check(ctx context.Context, secret string) (heddle.Key, error)
	// Any reports whether a key was ever made.
	Any(ctx context.Context) (bool, error)
}

// Identify returns a function that tells who makes a request by the key in its header
// X-Rego-Api-Key (rego) or, as a bearer token, in Authorization. With open, requests
// are let in without one until a key has been made.
func Identify(keys Keys, open bool, log *slog.Logger) func(*http.Request) (Identity, bool) {
	return func(r *http.Request) (Identity, bool) {
		if open {
			switch some, err := keys.Any(r.Context()); {
			case err != nil:
				log.Warn("looking for keys", "error", err)
				return Identity{}, false
			case !some:
				return Identity{Organization: heddle.DefaultOrganization, Role: heddle.RoleAdmin, Open: true}, true
			}
		}
		secret := Secret(r)
		if secret == "" {
			return Identity{}, false
		}
		key, err := keys.Check(r.Context(), secret)
		if err != nil {
			if heddle.CodeOf(err) != heddle.CodeNotFound {
				log.Warn("checking a key", "error", err)
			}
			return Identity{}, false
		}
		return Identity{Organization: key.Organization, KeyID: key.ID, Role: key.Role}, key.Organization != ""
	}
}

// Secret returns the secret that came with a request, "" for none.
func Secret(r *http.Request) string {
	if secret := r.Header.Get("X-Rego-Api-Key"); secret != "" {
		return secret
	}
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(secret)
}
