package process

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/heddle/heddle"
)

// maxBacklog is how much may wait for a client that does not read, in bytes,
// before the supervisor hangs up: a client that is back adopts its attempts anew.
const maxBacklog = 128 << 20

// session is a client's connection in the supervisor.
type session struct {
	s    *supervisor
	conn net.Conn
	raw  syscall.RawConn // of conn; nil: there is none
	wake chan struct{}

	mu     sync.Mutex
	out    []byte
	busy   bool // the writer is at work
	closed bool
	ended  bool // nothing more is written
}

func newSession(s *supervisor, conn net.Conn) *session {
	c := &session{s: s, conn: conn, wake: make(chan struct{}, 1)}
	if sc, ok := conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	return c
}

// send has a line written: at once as far as that works without waiting, which
// is nearly always the whole of it, and the rest by the writer.
func (c *session) send(line []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	if len(c.out) == 0 && !c.busy && c.raw != nil {
		line = line[tryWrite(c.raw, line):]
	}
	if len(line) == 0 {
		return
	}
	if c.out = append(c.out, line...); len(c.out) > maxBacklog {
		c.out, c.closed = nil, true
	}
	c.nudge()
}

func (c *session) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *session) answer(r reply) {
	line, err := encode(r)
	if err != nil {
		c.s.log.Error("a client gets no answer", "error", err)
		return
	}
	c.send(line)
}

// close ends the session when what waits has been written.
func (c *session) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.nudge()
}

func (c *session) written() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

func (c *session) write() {
	var spare []byte
	for range c.wake {
		c.mu.Lock()
		lines, closed := c.out, c.closed
		c.out, c.busy = spare[:0], len(lines) > 0
		c.mu.Unlock()
		if len(lines) > 0 {
			if _, err := c.conn.Write(lines); err != nil {
				closed = true
			}
		}
		if spare = lines; cap(spare) > 1<<20 {
			spare = nil
		}
		if closed {
			break
		}
		c.mu.Lock()
		c.busy = false
		c.mu.Unlock()
	}
	c.mu.Lock()
	c.closed, c.ended, c.out = true, true, nil
	c.mu.Unlock()
	_ = c.conn.Close() // a client that is gone does not mind
}

func (c *session) read() {
	defer c.s.left(c)
	defer c.close()
	r := newReader(c.conn)
	greeted := false
	for {
		var req request
		if err := readMessage(r, maxRequest, &req); err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				c.s.log.Warn("lost a client", "error", err)
			}
			return
		}
		if !greeted {
			if greeted = c.greet(&req); !greeted {
				return
			}
			continue
		}
		c.handle(&req)
	}
}

// greet answers the first message, and refuses a client of another version.
func (c *session) greet(req *request) bool {
	if req.Hello == nil || req.Hello.Protocol != protocol {
		message := fmt.Sprintf("the supervisor that runs here speaks protocol %d; it is of another version of heddle "+
			"and ends by itself when its attempts have ended and its clients are gone", protocol)
		c.answer(reply{ID: req.ID, Fault: &fault{Message: message}, Hello: &hello{Protocol: protocol}})
		return false
	}
	c.answer(reply{ID: req.ID, Hello: &hello{Protocol: protocol, PID: os.Getpid()}})
	return true
}

func (c *session) handle(req *request) {
	answer := reply{ID: req.ID}
	if req.Release != nil { // may come along with any other
		if err := c.s.release(req.Release); err != nil {
			answer.Fault = &fault{Message: err.Error()}
		}
	}
	switch {
	case req.Start != nil:
		a, isNew := c.s.claim(req.Start)
		c.s.children.enter(func() { c.s.start(c, req, a, isNew) })
		return
	case req.Stop != nil:
		if a := c.s.find(req.Stop.Attempt); a != nil {
			a.stop(heddle.Stopped, req.Stop.Reason, req.Stop.Grace)
		}
	case req.Adopt != nil:
		c.s.adopt(c, req.Adopt)
	case req.Held:
		answer.Held = c.s.held()
	}
	c.answer(answer)
}
