package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

const (
	// connectTime bounds the way to a supervisor that answers.
	connectTime = 15 * time.Second
	// writeTime bounds the writing of a request: the supervisor always reads.
	writeTime = 30 * time.Second
	// maxSupervisorLog is the size at which the supervisor's log starts anew.
	maxSupervisorLog = 1 << 20
)

// connection is a client's connection to the supervisor.
type connection struct {
	net.Conn
	writing sync.Mutex
}

func (c *connection) send(message *request) error {
	line, err := encode(message)
	if err != nil {
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	_, err = c.Write(line)
	return err
}

// call sends a request and waits for its answer. An error other than a refusal
// leaves open whether the request was carried out.
func (e *Executor) call(ctx context.Context, r *request) (reply, error) {
	conn, err := e.connect(ctx)
	if err != nil {
		return reply{}, err
	}
	answer := make(chan reply, 1)
	e.mu.Lock()
	if e.conn != conn {
		e.mu.Unlock()
		return reply{}, lostContact(nil)
	}
	e.lastID++
	r.ID = e.lastID
	e.calls[r.ID] = answer
	for _, id := range r.Adopt {
		e.open[id] = true
	}
	r.Release, e.releases = e.releases, nil
	e.mu.Unlock()
	if err := conn.send(r); err != nil {
		e.mu.Lock()
		e.releases = append(e.releases, r.Release...)
		e.mu.Unlock()
		_ = conn.Close() // its reader sees that, and answers all that wait
		return reply{}, lostContact(err)
	}
	select {
	case got, ok := <-answer:
		switch {
		case !ok:
			return got, lostContact(nil)
		case got.Fault != nil && got.Fault.Refused:
			return got, &executor.Refusal{Message: got.Fault.Message}
		case got.Fault != nil:
			return got, heddle.Errorf(heddle.CodeUnavailable, "supervisor: %s", got.Fault.Message)
		}
		return got, nil
	case <-ctx.Done():
		e.mu.Lock()
		delete(e.calls, r.ID)
		e.mu.Unlock()
		return reply{}, heddle.Errorf(heddle.CodeUnavailable, "waiting for the supervisor: %w", context.Cause(ctx))
	}
}

func lostContact(err error) error {
	if err == nil {
		return heddle.Errorf(heddle.CodeUnavailable, "lost contact with the supervisor")
	}
	return heddle.Errorf(heddle.CodeUnavailable, "lost contact with the supervisor: %w", err)
}

// connect returns the connection, made if there is none.
func (e *Executor) connect(ctx context.Context) (*connection, error) {
	if conn, err := e.connected(); conn != nil || err != nil {
		return conn, err
	}
	select {
	case e.dialing <- struct{}{}:
		defer func() { <-e.dialing }()
	case <-ctx.Done():
		return nil, heddle.Errorf(heddle.CodeUnavailable, "connecting to the supervisor: %w", context.Cause(ctx))
	}
	if conn, err := e.connected(); conn != nil || err != nil {
		return conn, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	defer context.AfterFunc(e.ctx, cancel)()
	conn, err := e.starter.dial(ctx)
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeUnavailable, "connecting to the supervisor: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		_ = conn.Close() // came too late
		return nil, errClosed()
	}
	e.conn = conn
	e.work.Go(func() { e.read(conn) })
	return conn, nil
}

func (e *Executor) connected() (*connection, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errClosed()
	}
	return e.conn, nil
}

func errClosed() error {
	return heddle.Errorf(heddle.CodeUnavailable, "the process executor is closed")
}

// read takes what the supervisor sends until the connection breaks.
func (e *Executor) read(conn *connection) {
	r := newReader(conn)
	var err error
	for err == nil {
		var m reply
		if err = readMessage(r, maxReply, &m); err == nil {
			e.take(&m)
		}
	}
	_ = conn.Close() // broken anyway
	e.mu.Lock()
	defer e.mu.Unlock()
	e.conn = nil
	for id, answer := range e.calls {
		close(answer)
		delete(e.calls, id)
	}
	if e.closed || e.recovering || len(e.open) == 0 {
		return
	}
	e.recovering = true
	e.opts.Log.Warn("lost contact with the supervisor while attempts are open", "open", len(e.open), "error", err)
	e.work.Go(e.recover)
}

// take handles one message: first its report, then the answer that it is.
func (e *Executor) take(m *reply) {
	e.mu.Lock()
	answer := e.calls[m.ID]
	delete(e.calls, m.ID)
	closed := e.closed
	if m.Report != nil && m.Report.Exit == nil {
		e.open[m.Report.Attempt] = true
	} else if m.Report != nil {
		delete(e.open, m.Report.Attempt)
	}
	e.mu.Unlock()
	if m.Report != nil && !closed {
		e.opts.Sink(*m.Report)
	}
	if answer != nil {
		answer <- *m
	}
}

// recover finds out, from another supervisor, what became of the open attempts.
func (e *Executor) recover() {
	for wait := 10 * time.Millisecond; e.ctx.Err() == nil; wait = min(2*wait, 5*time.Second) {
		e.mu.Lock()
		ids := make([]heddle.AttemptID, 0, len(e.open))
		for id := range e.open {
			ids = append(ids, id)
		}
		e.mu.Unlock()
		err := e.adopt(e.ctx, ids)
		if err == nil && e.recovered() {
			return
		}
		e.opts.Log.Warn("attempts are open, and there is no supervisor", "open", len(ids), "error", err)
		select {
		case <-time.After(wait):
		case <-e.ctx.Done():
		}
	}
}

// recovered ends the recovery, unless the connection has broken again meanwhile and
// attempts are still open.
func (e *Executor) recovered() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.recovering = e.conn == nil && len(e.open) > 0
	return !e.recovering
}

// starter finds the supervisor, and starts one if there is none.
type starter struct {
	paths paths
	args  []string
	path  string

	mu  sync.Mutex
	pid int // of a supervisor started here whose end was not seen; 0: none
	// served: there was a connection since then, so the supervisor could start.
	served bool
}

// dial returns a connection to a supervisor that answers.
func (s *starter) dial(ctx context.Context) (*connection, error) {
	var last error
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		conn, err := s.try(ctx)
		if err == nil {
			return conn, nil
		}
		var fatal *fatalError
		if errors.As(err, &fatal) {
			return nil, err
		}
		if ctx.Err() == nil || last == nil {
			last = err // not that the time was over while trying
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w (%w)", last, context.Cause(ctx))
		case <-time.After(wait):
		}
	}
}

// fatalError is one that does not go away by trying again.
type fatalError struct{ message string }

func (f *fatalError) Error() string { return f.message }

// try connects, or starts a supervisor unless there is one that just does not
// listen yet, or no longer.
func (s *starter) try(ctx context.Context) (*connection, error) {
	path, err := s.paths.dialPath()
	if err == nil {
		var d net.Dialer
		var raw net.Conn
		if raw, err = d.DialContext(ctx, "unix", path); err == nil {
			return s.greet(ctx, &connection{Conn: raw})
		}
	}
	if !nobodyListens(err) {
		return nil, err
	}
	lock := flock.New(s.paths.lock())
	free, lockErr := lock.TryRLock()
	if lockErr != nil {
		return nil, lockErr
	}
	if closeErr := lock.Close(); closeErr != nil {
		return nil, closeErr
	}
	if !free {
		return nil, err
	}
	return nil, errors.Join(err, s.start())
}

// greet exchanges the protocol's version.
func (s *starter) greet(ctx context.Context, conn *connection) (*connection, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	err := conn.send(&request{Hello: &hello{Protocol: protocol, PID: os.Getpid()}})
	var answer reply
	if err == nil {
		// The supervisor says nothing more before it is asked: no byte is lost here.
		err = readMessage(newReader(conn), maxReply, &answer)
	}
	if err == nil && answer.Fault != nil {
		err = &fatalError{message: answer.Fault.Message}
	}
	if err != nil {
		_ = conn.Close() // useless
		return nil, err
	}
	s.mu.Lock()
	s.served = true
	s.mu.Unlock()
	return conn, nil
}

// start starts a supervisor, unless one that was started here is still coming up.
func (s *starter) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pid != 0 {
		ended, code := collect(s.pid)
		if !ended {
			return nil
		}
		s.pid = 0
		if code != 0 && !s.served {
			return &fatalError{message: fmt.Sprintf("the supervisor ended at once, with code %d: %s", code, s.lastWords())}
		}
	}
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if info, err := os.Stat(s.paths.log()); err == nil && info.Size() > maxSupervisorLog {
		flags |= os.O_TRUNC
	}
	log, err := os.OpenFile(s.paths.log(), flags, 0o600)
	if err != nil {
		return &fatalError{message: err.Error()}
	}
	defer log.Close()
	cmd := exec.Command(s.args[0], s.args[1:]...)
	cmd.Dir = string(filepath.Separator)
	cmd.Env = supervisorEnv(s.path)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, detached()
	if err := cmd.Start(); err != nil {
		return &fatalError{message: "starting the supervisor: " + err.Error()}
	}
	s.pid, s.served = cmd.Process.Pid, false
	return cmd.Process.Release()
}

// lastWords returns the last line of the supervisor's log.
func (s *starter) lastWords() string {
	data, err := os.ReadFile(s.paths.log())
	if err != nil {
		return err.Error()
	}
	data = bytes.TrimSpace(data)
	return string(data[bytes.LastIndexByte(data, '\n')+1:]) + " (" + s.paths.log() + ")"
}

// collect takes the end of a supervisor that was started here, if it has ended.
func (s *starter) collect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pid != 0 {
		if ended, _ := collect(s.pid); ended {
			s.pid = 0
		}
	}
}
