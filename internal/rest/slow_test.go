package rest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/rest"
	"github.com/heddle/heddle/internal/rest/rego"
)

// connections counts those that a server has.
type connections struct {
	mu   sync.Mutex
	open map[net.Conn]bool
}

func (c *connections) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state == http.StateClosed {
		delete(c.open, conn)
	} else {
		c.open[conn] = true
	}
}

func (c *connections) left() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// drip sends a byte every now and then until it is cut off, and returns how long that took.
func drip(conn net.Conn, head, rest string) time.Duration {
	begun := time.Now()
	_, err := io.WriteString(conn, head)
	cut := make(chan struct{})
	go func() {
		defer close(cut)
		_, _ = io.Copy(io.Discard, conn)
	}()
	for i := 0; err == nil; i++ {
		select {
		case <-cut:
			return time.Since(begun)
		case <-time.After(20 * time.Millisecond):
			_, err = conn.Write([]byte{rest[i%len(rest)]})
		}
	}
	<-cut
	return time.Since(begun)
}

// It is not parallel: goroutines of other tests would be taken for what is left.
func TestSlowClientsAreCutOff(t *testing.T) {
	var options rest.Options
	b := newBench(t, "", func(o *rest.Options) { options = *o })
	options.Timeouts = rest.Timeouts{Header: 300 * time.Millisecond, Body: 600 * time.Millisecond, Write: 500 * time.Millisecond, Idle: time.Second}
	options.Rego = rego.New(rego.Options{Definitions: b.server.Definitions(), Runs: options.Runs, Logs: options.Logs, WriteTime: options.Timeouts.Write})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, conns := rest.NewServer(options), &connections{open: map[net.Conn]bool{}}
	server.ConnState = conns.note
	go func() { _ = server.Serve(listener) }()
	defer server.Close()

	const much = "yes a-line-that-nobody-reads-of-a-program-that-says-much | head -c 30000000"
	chatty := b.submit(pipeline(much))
	b.waitForEnd(chatty.ID)
	execution := b.waitForExecution(much)
	http.DefaultClient.CloseIdleConnections()
	before := goleak.IgnoreCurrent()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}

	var slow sync.WaitGroup
	for name, tc := range map[string]struct {
		head, rest string
		bound      time.Duration
	}{
		"a head that never ends":        {head: "GET / HTTP/1.1\r\nX: ", rest: "x", bound: options.Timeouts.Header},
		"a body for the own routes":     {head: head("POST", "/api/v2/runs", 1000), rest: " ", bound: options.Timeouts.Body},
		"a body for chainr's routes":    {head: head("POST", "/api/runs", 1000), rest: " ", bound: options.Timeouts.Body},
		"a body for rego's routes":      {head: head("POST", "/api/v1/task", 1000), rest: " ", bound: options.Timeouts.Body},
		"a body that nobody waits for":  {head: head("POST", "/api/v2/nope", 1000), rest: " ", bound: options.Timeouts.Body},
		"a connection that says little": {head: "", rest: "\r\n", bound: options.Timeouts.Header},
	} {
		conn := dial()
		slow.Go(func() {
			if took := drip(conn, tc.head, tc.rest); took > tc.bound+3*time.Second {
				t.Errorf("%s: cut off after %v, want %v", name, took, tc.bound)
			}
		})
	}
	own, regos := "/api/v2/runs/"+string(chatty.ID)+"/logs", "/api/v1/execution/"+string(execution)+"/logs"
	for _, path := range []string{own, own + "?follow=true", regos, regos + "?follow=true"} {
		for _, accept := range []string{"text/plain", "text/event-stream"} {
			if _, err := io.WriteString(dial(), head("GET", path, 0, "Accept: "+accept)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 20 { // meanwhile
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listener.Addr().String()+"/api/v2/runs", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Close = true
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		cancel()
	}
	slow.Wait()
	waitForNone(t, conns)
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

func waitForNone(t *testing.T, conns *connections) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); conns.left() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are left", conns.left())
		}
	}
}

// head is that of a request, with more lines if need be.
func head(method, path string, length int, more ...string) string {
	lines := append([]string{method + " " + path + " HTTP/1.1", "Host: localhost", "Content-Type: application/json", fmt.Sprintf("Content-Length: %d", length)}, more...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// waitForExecution runs a command by a definition, and returns the run once it has ended.
func (b *bench) waitForExecution(command string) heddle.RunID {
	b.t.Helper()
	flow := &heddle.Flow{Kind: heddle.KindTask, Name: "f", Start: []string{"a"}, Steps: []heddle.Step{
		{Name: "a", Work: &heddle.Work{Command: []string{"sh", "-c", command}}}}}
	d, err := b.server.Definitions().Create(b.t.Context(), heddle.Definition{Name: "d", Kind: heddle.KindTask, Executor: "process",
		Document: json.RawMessage("{}"), Flow: flow, Enabled: true, Next: time.Now()})
	if err != nil {
		b.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		page, err := b.server.Runs().List(b.t.Context(), heddle.RunFilter{Definition: d.ID})
		if err == nil && len(page.Runs) > 0 && page.Runs[0].State == heddle.RunEnded {
			return page.Runs[0].ID
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("runs %v of the definition, error %v", page.Runs, err)
		}
	}
}
