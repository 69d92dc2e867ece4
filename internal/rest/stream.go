package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/heddle/heddle"
)

// beat is how often something is written when nothing happens, so that what stands in
// between does not give the connection up.
const beat = 15 * time.Second

// stream writes an answer piece by piece, and gives up readers that are too slow.
type stream struct {
	mu    sync.Mutex
	w     http.ResponseWriter
	rc    *http.ResponseController
	limit time.Duration // for the reader to take what is written
	dirty bool
}

func (a *api) newStream(ctx huma.Context, contentType string) *stream {
	_, w := humago.Unwrap(ctx)
	s := &stream{w: w, rc: http.NewResponseController(w), limit: a.Timeouts.Write}
	_ = s.rc.SetReadDeadline(time.Time{}) // that of the request has passed before the answer ends
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx
	w.WriteHeader(http.StatusOK)
	return s
}

func (s *stream) write(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.rc.SetWriteDeadline(time.Now().Add(s.limit)); err != nil {
		return err
	}
	s.dirty = true
	_, err := s.w.Write([]byte(text))
	return err
}

func (s *stream) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dirty {
		return nil
	}
	s.dirty = false
	if err := s.rc.SetWriteDeadline(time.Now().Add(s.limit)); err != nil {
		return err
	}
	return s.rc.Flush()
}

// flushing sends what was written every now and then until the returned function is
// called, and alive, if not empty, when nothing was.
func (s *stream) flushing(alive string) (stop func()) {
	done := make(chan struct{})
	var over sync.WaitGroup
	over.Go(func() {
		ticker, last := time.NewTicker(100*time.Millisecond), time.Now()
		defer ticker.Stop()
		for {
			select {
			case now := <-ticker.C:
				s.mu.Lock()
				idle := !s.dirty
				s.mu.Unlock()
				if idle && (alive == "" || now.Sub(last) < beat) {
					continue
				}
				if idle {
					_ = s.write(alive)
				}
				last = now
				if s.flush() != nil {
					return // the next write fails
				}
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		over.Wait()
		_ = s.flush() // who reads is gone
	}
}

// untilStop returns ctx for an answer that goes on for as long as a run does: a
// server that stops ends it. Its end is to be called in any case.
func (a *api) untilStop(ctx context.Context) (bounded context.Context, end func()) {
	bounded, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(a.Stopping, cancel)
	return bounded, func() {
		stop()
		cancel()
	}
}

type logsInput struct {
	IDInput
	Visit  int    `query:"visit" minimum:"0" doc:"Only of this visit"`
	Try    int    `query:"attempt" minimum:"0" doc:"Only of this attempt of the visit"`
	Follow bool   `query:"follow" doc:"Go on until the run has ended"`
	Accept string `header:"Accept" doc:"text/plain (default), application/x-ndjson for one object a line, text/event-stream"`
}

func (a *api) logLines(ctx context.Context, in *logsInput) (*huma.StreamResponse, error) {
	if err := a.visible(ctx, in.ID); err != nil { // before the answer begins
		return nil, err
	}
	query := heddle.LogQuery{Run: heddle.RunID(in.ID), Visit: in.Visit, Try: in.Try, Follow: in.Follow}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		ctx, end := a.untilStop(ctx)
		defer end()
		lines := a.logs(ctx).Lines(ctx, query)
		contentType, alive, format := lineFormat(in.Accept)
		s := a.newStream(h, contentType)
		defer s.flushing(alive)()
		for line, err := range lines {
			if err != nil {
				if ctx.Err() == nil {
					a.Log.Warn("reading logs", "run_id", in.ID, "error", err)
					panic(http.ErrAbortHandler) // the answer must not look complete
				}
				return
			}
			if s.write(format(&line)) != nil {
				return
			}
		}
		if contentType == "text/event-stream" {
			_ = s.write("event: end\ndata: {}\n\n") // who reads is gone
		}
	}}, nil
}

// lineFormat chooses how lines are written, and what says that there are none yet.
func lineFormat(accept string) (contentType, alive string, format func(*heddle.LogLine) string) {
	object := func(l *heddle.LogLine) string {
		data, _ := json.Marshal(l) // strings and numbers can always be encoded
		return string(data)
	}
	switch {
	case strings.Contains(accept, "application/x-ndjson"):
		return "application/x-ndjson", "", func(l *heddle.LogLine) string { return object(l) + "\n" }
	case strings.Contains(accept, "text/event-stream"):
		return "text/event-stream", ":\n\n", func(l *heddle.LogLine) string { return "event: line\ndata: " + object(l) + "\n\n" }
	}
	return "text/plain; charset=utf-8", "", func(l *heddle.LogLine) string { return l.Text + "\n" }
}

// visible fails as if a run did not exist unless the request may see it.
func (a *api) visible(ctx context.Context, id string) error {
	none := heddle.Errorf(heddle.CodeNotFound, "there is no run %q", id)
	if !heddle.RunID(id).Valid() {
		return none
	}
	page, err := a.runs(ctx).List(ctx, heddle.RunFilter{IDs: []heddle.RunID{heddle.RunID(id)}})
	if err == nil && len(page.Runs) == 0 {
		return none
	}
	return err
}

// eventBody is what an event tells: the run as it is, and the rows that are new or
// have changed since the event before.
type eventBody struct {
	Run      heddle.Run       `json:"run"`
	Visits   []heddle.Visit   `json:"visits,omitempty"`
	Attempts []heddle.Attempt `json:"attempts,omitempty"`
}

func (a *api) events(ctx context.Context, in *IDInput) (*huma.StreamResponse, error) {
	ctx, end := a.untilStop(ctx)
	updates, err := a.runs(ctx).Watch(ctx, heddle.RunID(in.ID))
	if err != nil {
		end()
		return nil, err
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		defer end()
		s := a.newStream(h, "text/event-stream")
		defer s.flushing(":\n\n")()
		ended := false
		for u := range updates {
			data, err := json.Marshal(eventBody(u))
			if err != nil || s.write(fmt.Sprintf("event: run\ndata: %s\n\n", data)) != nil {
				return // the end of ctx ends the watch
			}
			ended = u.Run.State == heddle.RunEnded
		}
		if ended {
			_ = s.write("event: end\ndata: {}\n\n") // who reads is gone
		}
	}}, nil
}
