package store

import (
	"errors"

	"github.com/heddle/heddle"
)

// ErrTemporary is in the chain of errors that may go away by themselves: the same
// call may be tried again.
var ErrTemporary = errors.New("temporary store fault")

// MaxOutput is the largest output of a visit that a store takes, in bytes.
const MaxOutput = heddle.MaxOutput
