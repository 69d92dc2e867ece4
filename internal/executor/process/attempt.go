package process

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// drainTime is how long output is still read after all processes of an attempt
// are gone: only a pipe that somebody else holds open takes that long.
const drainTime = time.Second

// attempt is one attempt in the supervisor.
type attempt struct {
	s  *supervisor
	id heddle.AttemptID

	mu       sync.Mutex
	fault    *fault // it was not started after all
	files    bool   // it has a directory of its own
	message  bool   // and a message file in it
	mask     *executor.Masker
	started  time.Time
	ended    time.Time
	grace    time.Duration // when it runs out of time
	pid      int
	stopping *stopping // nil: nobody wants it to end
	timeout  *time.Timer
	status   status
	gone     bool // the first process is
	parts    int  // of the processes and the two streams, those still there
	capture  *executor.Capture
	log      lazyLog
	pipes    [2]*os.File
	exit     *heddle.Exit // nil: it is not over
	watchers []*session
}

// stopping is why an attempt was told to end.
type stopping struct {
	reason  heddle.ExitReason
	message string
	until   time.Time // when kill fires
	kill    *time.Timer
}

// status is how a process ended.
type status struct {
	code   int
	signal string
}

// lazyLog opens an attempt's log when there is something to write.
type lazyLog struct {
	open func(heddle.AttemptID) (io.WriteCloser, error)
	id   heddle.AttemptID
	w    io.WriteCloser
}

func (l *lazyLog) Write(p []byte) (int, error) {
	if l.w == nil {
		w, err := l.open(l.id)
		if err != nil {
			return 0, err
		}
		l.w = w
	}
	return l.w.Write(p)
}

func (l *lazyLog) close() error {
	if l.w == nil {
		return nil
	}
	return l.w.Close()
}

// report returns how the attempt stands. a.mu is held.
func (a *attempt) report() *executor.Report {
	return &executor.Report{Attempt: a.id, Started: a.started, Exit: a.exit}
}

// watch makes the session get the end. a.mu is held.
func (a *attempt) watch(c *session) {
	for _, w := range a.watchers {
		if w == c {
			return
		}
	}
	a.watchers = append(a.watchers, c)
}

// follow begins with what accompanies a process that has been started: reading
// its output and its limit of time. a.mu is held.
func (a *attempt) follow(timeout time.Duration) {
	a.parts = 3
	go a.read(a.pipes[0], a.capture.Stdout())
	go a.read(a.pipes[1], a.capture.Stderr())
	if timeout > 0 {
		a.timeout = time.AfterFunc(timeout, func() {
			a.stop(heddle.TimedOut, "ran out of its time, "+timeout.String(), a.grace)
		})
	}
}

// read passes one stream on until it ends. Its buffer is small until there is
// more to read.
func (a *attempt) read(pipe *os.File, w io.Writer) {
	buf := make([]byte, 1<<10)
	for {
		n, err := pipe.Read(buf)
		_, _ = w.Write(buf[:n]) // never fails
		if err != nil {         // the end, or the time to drain is over
			break
		}
		if n == len(buf) && n < 64<<10 {
			buf = make([]byte, 64<<10)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = pipe.Close() // was only read
	a.partDone()
}

// stop ends the attempt: politely, and by force after grace. A later call may
// bring the force forward, the reason stays.
func (a *attempt) stop(reason heddle.ExitReason, message string, grace time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone || a.exit != nil || a.fault != nil {
		return
	}
	if a.stopping == nil {
		if !a.s.children.terminate(a) {
			return // has ended by itself
		}
		a.stopping = &stopping{
			reason: reason, message: message,
			until: time.Now().Add(grace), kill: time.AfterFunc(grace, a.kill),
		}
		return
	}
	if until := time.Now().Add(grace); until.Before(a.stopping.until) && a.stopping.kill.Stop() {
		a.stopping.until = until
		a.stopping.kill.Reset(grace)
	}
}

func (a *attempt) kill() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.gone {
		a.s.children.kill(a)
	}
}

// mainEnded takes the end of the first process.
func (a *attempt) mainEnded(st status) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status, a.gone, a.ended = st, true, time.Now()
	if a.timeout != nil {
		a.timeout.Stop()
	}
	if a.stopping != nil {
		a.stopping.kill.Stop()
	}
}

// swept takes the news that no process of the attempt is left.
func (a *attempt) swept() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.partDone()
	if a.exit != nil {
		return
	}
	deadline := time.Now().Add(drainTime)
	for _, pipe := range a.pipes {
		if err := pipe.SetReadDeadline(deadline); errors.Is(err, os.ErrNoDeadline) {
			time.AfterFunc(drainTime, func() { _ = pipe.Close() }) // no deadlines for pipes here
		}
	}
}

// partDone counts down to the end of the attempt. a.mu is held.
func (a *attempt) partDone() {
	if a.parts--; a.parts > 0 {
		return
	}
	exit := heddle.Exit{
		Reason: heddle.Exited, Code: a.status.code, Signal: a.status.signal,
		Started: a.started, Ended: a.ended,
	}
	if a.stopping != nil {
		exit.Reason, exit.Message = a.stopping.reason, a.mask.String(a.stopping.message)
	}
	a.capture.Finish(&exit)
	if a.message {
		a.readMessage(&exit)
	}
	if err := a.log.close(); err != nil || a.capture.Err() != nil {
		a.s.log.Warn("the output could not be kept", "attempt", a.id, "error", a.capture.Err(), "closing", err)
		if exit.Message == "" {
			exit.Message = "the output could not be kept, see the supervisor's log"
		}
	}
	a.end(&exit)
}

// readMessage puts what the program left in its message file into exit. a.mu is held.
func (a *attempt) readMessage(exit *heddle.Exit) {
	if err := executor.ReadTermination(exit, a.s.paths.message(a.id), a.mask); err != nil {
		a.s.log.Warn("a message file cannot be read", "attempt", a.id, "error", err)
		if exit.Message == "" {
			exit.Message = err.Error()
		}
	}
}

// end makes the end known: first to the journal, then to those who wait for it.
// a.mu is held.
func (a *attempt) end(exit *heddle.Exit) {
	a.exit = exit
	a.capture, a.pipes, a.timeout, a.stopping, a.mask = nil, [2]*os.File{}, nil, nil, nil
	if err := a.s.journal.append(record{Op: recordEnd, Attempt: a.id, Exit: exit}); err != nil {
		a.s.log.Error("an end is not in the journal", "attempt", a.id, "error", err)
	}
	line, err := encode(reply{Report: a.report()})
	if err != nil {
		a.s.log.Error("an end cannot be told", "attempt", a.id, "error", err)
	}
	for _, c := range a.watchers {
		c.send(line)
	}
	a.watchers = nil
	a.s.notRunning()
}
