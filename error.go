package heddle

import (
	"errors"
	"fmt"
)

// Code classifies an error; the set is closed.
type Code string

// The codes.
const (
	CodeInvalid     Code = "invalid"     // the input is at fault: document, flag, request
	CodeNotFound    Code = "not_found"   // no such thing
	CodeConflict    Code = "conflict"    // the thing is not in a state for that
	CodeUnavailable Code = "unavailable" // an executor or server does not answer; later may do
	CodeStore       Code = "store"       // the store refuses: full, read-only, corrupt, too new
	CodeInternal    Code = "internal"    // a defect
)

// Codes lists every code.
func Codes() []Code {
	return []Code{CodeInvalid, CodeNotFound, CodeConflict, CodeUnavailable, CodeStore, CodeInternal}
}

// Error is an error with a code and a message for people that says what to do next.
type Error struct {
	Code    Code
	Message string // whole, the cause's text included
	cause   error
}

// Errorf makes an [Error]; what a %w in the format names can be unwrapped.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), cause: errors.Unwrap(err)}
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause, or nil.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf returns the code of err: "" for nil, [CodeInternal] for an error without one.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}
