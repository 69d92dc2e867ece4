package rest

import (
	"cmp"
	"net/http"
	"time"
)

// Timeouts bound how long callers may keep the server waiting.
type Timeouts struct {
	// Header is for the head of a request. Default: 10 s.
	Header time.Duration
	// Body is for the whole request. Default: 30 s.
	Body time.Duration
	// Write is for taking a piece of an answer that goes on, and twice that for taking
	// any other answer. Default: 30 s.
	Write time.Duration
	// Idle is for the next request of a connection. Default: 2 min.
	Idle time.Duration
}

func (t Timeouts) withDefaults() Timeouts {
	return Timeouts{
		Header: cmp.Or(t.Header, 10*time.Second), Body: cmp.Or(t.Body, 30*time.Second),
		Write: cmp.Or(t.Write, 30*time.Second), Idle: cmp.Or(t.Idle, 2*time.Minute),
	}
}

// NewServer returns a server that answers as [New] does, and gives up callers that are
// too slow.
func NewServer(o Options) *http.Server {
	t := o.Timeouts.withDefaults()
	return &http.Server{
		Handler: New(o), ReadHeaderTimeout: t.Header, ReadTimeout: t.Body, WriteTimeout: t.Body + 2*t.Write, IdleTimeout: t.Idle,
		MaxHeaderBytes: 64 << 10,
	}
}
