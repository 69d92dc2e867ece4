package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// SuperviseOptions are the options of [Supervise].
type SuperviseOptions struct {
	// Dir is the data directory, absolute.
	Dir string
	// Logs opens the log of an attempt. It is called when the attempt prints
	// something for the first time.
	Logs func(heddle.AttemptID) (io.WriteCloser, error)
	Log  *slog.Logger
	// Idle is how long the supervisor stays with nothing running and no client.
	// Default 5 s.
	Idle time.Duration
}

// stopGrace is how long attempts have to end when the supervisor is told to.
const stopGrace = 5 * time.Second

// rememberReleased is how many released attempts a supervisor still refuses to run.
const rememberReleased = 4096

// supervisor is the parent of all attempts of a data directory.
type supervisor struct {
	paths    paths
	log      *slog.Logger
	logs     func(heddle.AttemptID) (io.WriteCloser, error)
	idle     time.Duration
	boot     string
	null     *os.File
	journal  *journal
	children *children
	listener net.Listener

	mu       sync.Mutex
	attempts map[heddle.AttemptID]*attempt
	released map[heddle.AttemptID]bool
	order    []heddle.AttemptID // of released, oldest first
	running  int
	sessions map[*session]bool
	idling   *time.Timer
	closing  bool
	drained  chan struct{} // closed when closing and nothing runs
}

// Supervise is the supervisor of a data directory: it runs until it has been idle
// for long enough, or until ctx is done; then it ends the attempts that run, with
// reason [heddle.Broken]. It returns at once when the directory has a supervisor
// already. The process is to do nothing else, start no processes of its own, and
// to end afterwards.
func Supervise(ctx context.Context, opts SuperviseOptions) error {
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return heddle.Errorf(heddle.CodeUnavailable, "making the data directory: %w", err)
	}
	lock := flock.New(paths{opts.Dir}.lock())
	defer lock.Close()
	// Clients hold the lock for moments, to see whether it is free.
	brief, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := lock.TryLockContext(brief, time.Millisecond); err != nil {
		if brief.Err() != nil {
			return nil
		}
		return heddle.Errorf(heddle.CodeUnavailable, "locking the data directory: %w", err)
	}
	s, err := newSupervisor(opts)
	if err != nil {
		return heddle.Errorf(heddle.CodeUnavailable, "starting the supervisor: %w", err)
	}
	defer s.journal.close()
	defer s.null.Close()
	s.log.Info("supervisor started", "dir", opts.Dir, "pid", os.Getpid())
	stop := context.AfterFunc(ctx, s.shutdown)
	defer stop()
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			break
		}
		if err != nil {
			s.log.Error("accepting a client fails", "error", err)
			time.Sleep(100 * time.Millisecond) // out of files, most likely
			continue
		}
		s.serve(conn)
	}
	<-s.drained
	s.hangUp()
	s.log.Info("supervisor ended", "dir", opts.Dir, "pid", os.Getpid())
	return nil
}

func newSupervisor(opts SuperviseOptions) (*supervisor, error) {
	if opts.Idle <= 0 {
		opts.Idle = 5 * time.Second
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s := &supervisor{
		paths: paths{opts.Dir}, log: opts.Log, logs: opts.Logs, idle: opts.Idle, boot: bootID(),
		attempts: map[heddle.AttemptID]*attempt{}, released: map[heddle.AttemptID]bool{},
		sessions: map[*session]bool{}, drained: make(chan struct{}),
	}
	var err error
	if s.journal, err = openJournal(s.paths.journal(), s.log); err != nil {
		return nil, err
	}
	if err := s.recover(); err != nil {
		return nil, err
	}
	if s.null, err = os.Open(os.DevNull); err != nil {
		return nil, err
	}
	if s.children, err = newChildren(s.log); err != nil {
		return nil, err
	}
	if s.listener, err = s.listen(); err != nil {
		return nil, err
	}
	s.idling = time.AfterFunc(max(s.idle, time.Second), s.leaveIfIdle) // the first client is on its way
	return s, nil
}

// recover takes over what the journal knows. Attempts without a recorded end are
// lost; what still runs of them is killed first.
func (s *supervisor) recover() error {
	var lost []record
	here := false
	for id, e := range s.journal.entries {
		if e.exit == nil {
			message := "its supervisor was killed"
			if e.start.Boot != s.boot {
				message = "the machine was restarted"
			} else {
				here = true
			}
			exit := &heddle.Exit{Reason: heddle.Lost, Message: message, Started: e.start.At, Ended: time.Now()}
			lost = append(lost, record{Op: recordEnd, Attempt: id, Exit: exit})
		}
	}
	if here && !killLeftovers(s.paths.mark()) {
		s.log.Warn("processes of the supervisor before this one do not die")
	}
	if len(lost) > 0 {
		if err := s.journal.append(lost...); err != nil {
			return err
		}
	}
	for id, e := range s.journal.entries {
		s.attempts[id] = &attempt{s: s, id: id, files: e.start.Files, started: e.start.At, exit: e.exit}
	}
	s.sweepFiles()
	return nil
}

// listen opens the socket. The lock is held, so one that is there is a dead one.
func (s *supervisor) listen() (net.Listener, error) {
	path, tooLong := s.paths.socket()
	if tooLong {
		s.removeShortDir()
		dir, err := os.MkdirTemp("", "heddle-")
		if err != nil {
			return nil, err
		}
		path = filepath.Join(dir, "s")
	} else if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if tooLong {
		temp := s.paths.addr() + ".new"
		if err := os.WriteFile(temp, []byte(path), 0o600); err != nil {
			return nil, errors.Join(err, l.Close())
		}
		if err := os.Rename(temp, s.paths.addr()); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	return l, nil
}

// removeShortDir removes the directory that a socket with a short path is in.
func (s *supervisor) removeShortDir() {
	data, err := os.ReadFile(s.paths.addr())
	if err != nil {
		return
	}
	if dir := filepath.Dir(string(data)); strings.HasPrefix(filepath.Base(dir), "heddle-") {
		_ = os.Remove(string(data))
		_ = os.Remove(dir) // only if it is empty
	}
	_ = os.Remove(s.paths.addr())
}

// leaveIfIdle ends the supervisor if nothing has happened meanwhile.
func (s *supervisor) leaveIfIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == 0 && len(s.sessions) == 0 && !s.closing {
		s.leave()
	}
}

// leave stops taking clients; whoever waits to be taken sees the connection
// break and starts another supervisor. s.mu is held.
func (s *supervisor) leave() {
	s.closing = true
	if err := s.listener.Close(); err != nil {
		s.log.Error("closing the socket", "error", err)
	}
	s.removeShortDir()
	if s.running == 0 {
		close(s.drained)
	}
}

// shutdown ends the attempts and then the supervisor.
func (s *supervisor) shutdown() {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return
	}
	s.leave()
	var running []*attempt
	for _, a := range s.attempts {
		running = append(running, a)
	}
	s.mu.Unlock()
	for _, a := range running {
		a.stop(heddle.Broken, "its supervisor was told to end", stopGrace)
	}
}

// notRunning counts an attempt as over.
func (s *supervisor) notRunning() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	if s.closing && s.running == 0 {
		close(s.drained)
	}
	s.rest()
}

// rest starts the time of idleness if it is one. s.mu is held.
func (s *supervisor) rest() {
	if s.running == 0 && len(s.sessions) == 0 && !s.closing {
		s.idling.Reset(s.idle)
	}
}

func (s *supervisor) serve(conn net.Conn) {
	c := newSession(s, conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		_ = conn.Close() // the client tries again
		return
	}
	s.sessions[c] = true
	go c.write()
	go c.read()
}

func (s *supervisor) left(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, c)
	s.rest()
}

// hangUp closes what connections are left, once all that they are owed is written.
func (s *supervisor) hangUp() {
	s.mu.Lock()
	sessions := make([]*session, 0, len(s.sessions))
	for c := range s.sessions {
		sessions = append(sessions, c)
	}
	s.mu.Unlock()
	for _, c := range sessions {
		c.close()
	}
	deadline := time.Now().Add(time.Second)
	for _, c := range sessions {
		for !c.written() && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
	}
}

// start runs a claimed attempt, if it is new, and answers how it stands. It is
// called where processes may be started.
func (s *supervisor) start(c *session, req *request, a *attempt, isNew bool) {
	if !isNew {
		a.mu.Lock()
	}
	defer a.mu.Unlock()
	if isNew {
		if a.fault = s.launch(a, req.Start); a.fault != nil {
			s.forget(a)
		}
	}
	if a.fault != nil {
		c.answer(reply{ID: req.ID, Fault: a.fault})
		return
	}
	// Under the attempt's lock, so that its end comes after this answer.
	c.answer(reply{ID: req.ID, Report: a.report()})
	if a.exit == nil {
		a.watch(c)
	}
}

// claim returns the attempt of a request: one that is known, or a new one, which
// is locked.
func (s *supervisor) claim(r *startRequest) (a *attempt, isNew bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.attempts[r.Attempt]; a != nil {
		return a, false
	}
	a = &attempt{s: s, id: r.Attempt}
	if s.released[r.Attempt] {
		a.exit = &heddle.Exit{Reason: heddle.Lost, Message: "it was run before, and let go of", Ended: time.Now()}
		return a, false
	}
	if s.closing {
		a.fault = &fault{Message: "the supervisor is about to end"}
		return a, false
	}
	a.mu.Lock()
	s.attempts[r.Attempt] = a
	s.running++
	return a, true
}

// launch starts the processes of a new attempt. a.mu is held.
func (s *supervisor) launch(a *attempt, r *startRequest) *fault {
	var cmd command
	if !r.OtherBoot {
		var f *fault
		if cmd, f = s.prepare(r); f != nil {
			return f
		}
	}
	start := record{Op: recordStart, Attempt: a.id, Boot: s.boot, At: time.Now(), Files: r.hasFiles()}
	if err := s.journal.append(start); err != nil {
		return &fault{Message: err.Error()}
	}
	if r.OtherBoot {
		a.end(&heddle.Exit{Reason: heddle.Lost, Message: "the machine was restarted before it was known to run", Ended: time.Now()})
		return nil
	}
	a.started, a.grace, a.files = start.At, r.Grace, start.Files
	if f := s.run(a, &cmd, r); f != nil {
		if err := s.journal.append(record{Op: recordVoid, Attempt: a.id}); err != nil {
			s.log.Error("an attempt that did not start is in the journal", "attempt", a.id, "error", err)
		}
		return f
	}
	a.follow(r.Timeout)
	return nil
}

// run does what can fail once the start is in the journal. a.mu is held.
func (s *supervisor) run(a *attempt, cmd *command, r *startRequest) *fault {
	if err := s.writeFiles(r); err != nil {
		return &fault{Message: fmt.Sprintf("writing the files of an attempt: %v", err)}
	}
	var err error
	if a.pipes[0], cmd.stdout, err = newPipe(); err != nil {
		return &fault{Message: err.Error()}
	}
	defer cmd.stdout.Close()
	if a.pipes[1], cmd.stderr, err = newPipe(); err != nil {
		_ = a.pipes[0].Close()
		return &fault{Message: err.Error()}
	}
	defer cmd.stderr.Close()
	a.log = lazyLog{open: s.logs, id: a.id}
	a.mask, a.message = executor.NewMasker(r.Mask), r.Message != nil
	a.capture = executor.NewCapture(executor.CaptureOptions{Log: &a.log, Limit: r.Log, Mask: a.mask})
	if err := s.children.start(a, cmd); err != nil {
		_ = a.pipes[0].Close()
		_ = a.pipes[1].Close()
		return startFault(r.Step, cmd, err)
	}
	return nil
}

// forget removes an attempt that was not started. a.mu is held.
func (s *supervisor) forget(a *attempt) {
	if a.files {
		s.removeFiles(a.id)
	}
	s.mu.Lock()
	delete(s.attempts, a.id)
	s.mu.Unlock()
	s.notRunning()
}

func (s *supervisor) find(id heddle.AttemptID) *attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attempts[id]
}

// adopt tells the session how attempts stand, and from now on their ends.
func (s *supervisor) adopt(c *session, ids []heddle.AttemptID) {
	for _, id := range ids {
		a := s.find(id)
		if a == nil {
			exit := &heddle.Exit{Reason: heddle.Lost, Message: "its supervisor does not know it", Ended: time.Now()}
			c.answer(reply{Report: &executor.Report{Attempt: id, Exit: exit}})
			continue
		}
		a.mu.Lock()
		c.answer(reply{Report: a.report()})
		if a.exit == nil {
			a.watch(c)
		}
		a.mu.Unlock()
	}
}

// release forgets attempts that have ended.
func (s *supervisor) release(ids []heddle.AttemptID) error {
	var records []record
	for _, id := range ids {
		a := s.find(id)
		if a == nil {
			continue
		}
		a.mu.Lock()
		ended, files := a.exit != nil, a.files
		a.mu.Unlock()
		if !ended {
			continue
		}
		if files {
			s.removeFiles(id)
		}
		records = append(records, record{Op: recordRelease, Attempt: id})
	}
	if len(records) == 0 {
		return nil
	}
	if err := s.journal.append(records...); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		delete(s.attempts, r.Attempt)
		s.released[r.Attempt] = true
		s.order = append(s.order, r.Attempt)
	}
	for len(s.order) > rememberReleased {
		delete(s.released, s.order[0])
		s.order = s.order[1:]
	}
	return nil
}

func (s *supervisor) held() []heddle.AttemptID {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]heddle.AttemptID, 0, len(s.attempts))
	for id := range s.attempts {
		ids = append(ids, id)
	}
	return ids
}

// newReader returns a reader for messages.
func newReader(conn net.Conn) *bufio.Reader { return bufio.NewReaderSize(conn, 16<<10) }
