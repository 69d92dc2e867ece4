package rest_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/heddle/heddle/internal/rest"
	"github.com/heddle/heddle/internal/rest/auth"
)

func TestRegoGetsWhoAsks(t *testing.T) {
	t.Parallel()
	handler := rest.New(rest.Options{
		Identify: func(r *http.Request) (auth.Identity, bool) {
			return auth.Identity{Organization: "1"}, r.Header.Get("X-Rego-Api-Key") == "good"
		},
		Rego: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if id, ok := auth.From(r.Context()); !ok || id.Organization != "1" {
				w.WriteHeader(http.StatusUnauthorized)
			}
		}),
	})
	for _, path := range []string{"/api/v1/task", "/ping", "/swagger/index.html"} {
		for key, want := range map[string]int{"good": http.StatusOK, "bad": http.StatusUnauthorized} {
			request, answer := httptest.NewRequest(http.MethodGet, path, nil), httptest.NewRecorder()
			request.Header.Set("X-Rego-Api-Key", key)
			handler.ServeHTTP(answer, request)
			if answer.Code != want {
				t.Errorf("%s with key %q: status %d, want %d", path, key, answer.Code, want)
			}
		}
	}
}
