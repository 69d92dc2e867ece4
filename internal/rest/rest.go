// Package rest is the front door by HTTP: Heddle's own routes under /api/v2, and the
// place where those of the originals are mounted. What it serves it asks of the
// services in the root package, for the organization of the request's key only.
package rest

import (
	"net/http"

	"github.com/heddle/heddle/internal/rest/auth"
)

// Options says what to serve.
type Options struct {
	// Identify finds out who makes a request; false: nobody who may.
	Identify func(*http.Request) (auth.Identity, bool)
	// Rego answers /api/v1/, /ping and /swagger/. It gets requests without an
	// identity as well, and refuses them in rego's way: with status 401 and no body.
	// Nil: there is no such thing.
	Rego http.Handler
}

// New returns the handler of everything.
func New(o Options) http.Handler {
	mux := http.NewServeMux()
	if o.Rego != nil {
		for _, path := range []string{"/api/v1/", "/ping", "/swagger/"} {
			mux.Handle(path, o.Rego)
		}
	}
	return identified(o.Identify, mux)
}

// identified puts who makes a request into its context.
func identified(identify func(*http.Request) (auth.Identity, bool), next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, ok := identify(r); ok {
			r = r.WithContext(auth.With(r.Context(), id))
		}
		next.ServeHTTP(w, r)
	})
}
