package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/rest/auth"
)

// statusOf is what each code is by HTTP on our own routes. rego has a table of its
// own, because its clients know 500 of a store that fails.
func statusOf(code heddle.Code) int {
	switch code {
	case heddle.CodeInvalid:
		return http.StatusBadRequest
	case heddle.CodeNotFound:
		return http.StatusNotFound
	case heddle.CodeConflict:
		return http.StatusConflict
	case heddle.CodeUnavailable, heddle.CodeStore:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// problem is an answer by RFC 9457, application/problem+json.
type problem struct {
	huma.ErrorModel
	Code   heddle.Code `json:"code"`
	Faults []doc.Fault `json:"faults,omitempty"` // of a document
}

// problemOf makes the answer of an error. What is a defect here is not told in full.
func problemOf(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	p = &problem{Code: heddle.CodeOf(err)}
	p.Status = statusOf(p.Code)
	p.Title, p.Detail = http.StatusText(p.Status), err.Error()
	if p.Code == heddle.CodeInternal {
		p.Detail = "something went wrong in the server; its log says what, by the request ID of this answer"
	}
	var faults doc.Error
	if errors.As(err, &faults) {
		p.Faults = faults
	}
	return p
}

// refused is the answer to who may not.
func refused(status int, detail string) *problem {
	p := &problem{Code: heddle.CodeInvalid}
	p.Status, p.Title, p.Detail = status, http.StatusText(status), detail
	return p
}

// refusal says why a request may not do what needs the role; nil: it may.
func refusal(ctx context.Context, role heddle.Role) *problem {
	id, ok := auth.From(ctx)
	switch {
	case !ok:
		return refused(http.StatusUnauthorized, "a valid key is needed: send it as Authorization: Bearer KEY or in the header X-Rego-Api-Key")
	case !id.Role.May(role):
		return refused(http.StatusForbidden, "the key has the role "+string(id.Role)+", and this needs the role "+string(role))
	}
	return nil
}

func writeProblem(w http.ResponseWriter, p *problem) {
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // who asked is gone
}
