//go:build unix

package process

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sweepTime is how long an attempt's end waits for processes that do not die
// although they were killed (stuck in the kernel).
const sweepTime = 5 * time.Second

// children runs the processes of attempts, and is the only one in the supervisor
// to wait for any.
type children struct {
	log    *slog.Logger
	starts chan func()
	forked chan struct{} // wakes the reaper when there is something to wait for

	// forking is held from before a fork until its process is in running.
	forking sync.Mutex

	mu       sync.Mutex
	running  map[int]*attempt // by the ID of the first process
	sweeping map[*attempt]int // the first process has ended: its ID
	orphans  orphans
}

func newChildren(log *slog.Logger) (*children, error) {
	if err := becomeReaper(); err != nil {
		return nil, err
	}
	c := &children{
		log: log, starts: make(chan func(), 64), forked: make(chan struct{}, 1),
		running: map[int]*attempt{}, sweeping: map[*attempt]int{},
	}
	go c.forker()
	go c.reap()
	return c, nil
}

// forker starts all processes from one thread that lives as long as the
// supervisor: the signal that children get on the death of their parent is about
// the thread that forked them.
func (c *children) forker() {
	runtime.LockOSThread()
	for start := range c.starts {
		start()
	}
}

// enter has f called where processes may be started, one f after the other.
func (c *children) enter(f func()) { c.starts <- f }

// start runs the attempt's first process. a.mu is held, and the caller has entered.
func (c *children) start(a *attempt, cmd *command) error {
	attr := &syscall.ProcAttr{
		Dir: cmd.dir, Env: cmd.env, Sys: childAttr(),
		Files: []uintptr{cmd.stdin.Fd(), cmd.stdout.Fd(), cmd.stderr.Fd()},
	}
	c.forking.Lock()
	defer c.forking.Unlock()
	pid, err := syscall.ForkExec(cmd.path, cmd.args, attr)
	if err != nil {
		return err
	}
	a.pid = pid
	c.mu.Lock()
	c.running[pid] = a
	c.mu.Unlock()
	select {
	case c.forked <- struct{}{}:
	default:
	}
	return nil
}

// reap waits for every process that ends: the first ones of attempts and, where
// there are subreapers, what these left behind.
func (c *children) reap() {
	for {
		pid, st, err := waitAny(c.endGroup)
		switch {
		case err == nil:
			c.reaped(pid, st)
		case errors.Is(err, unix.ECHILD):
			<-c.forked
		case !errors.Is(err, unix.EINTR):
			c.log.Error("waiting for processes fails", "error", err)
			time.Sleep(time.Second)
		}
	}
}

// endGroup is called for a process that has ended, while its ID is still taken:
// an attempt's other processes end with its first.
func (c *children) endGroup(pid int) {
	c.mu.Lock()
	a := c.running[pid]
	c.mu.Unlock()
	if a == nil { // an orphan; or it has ended before its fork was noted
		c.forking.Lock()
		defer c.forking.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if a = c.running[pid]; a != nil {
		delete(c.running, pid)
		c.sweeping[a] = pid
		_ = unix.Kill(-pid, unix.SIGKILL) // nobody there is fine
	}
}

// reaped takes the end of a process that is waited for.
func (c *children) reaped(pid int, ws unix.WaitStatus) {
	// A process that is being forked is not in running yet, and looks like an orphan.
	c.forking.Lock()
	c.mu.Lock()
	var ended *attempt
	for a, first := range c.sweeping {
		if first == pid {
			ended = a
		}
	}
	c.orphans.forget(pid)
	clean := c.sweep()
	if ended != nil && c.sweeping[ended] != 0 {
		time.AfterFunc(sweepTime, func() { c.giveUp(ended) })
	}
	c.mu.Unlock()
	c.forking.Unlock()
	if ended != nil {
		ended.mainEnded(statusOf(ws))
	}
	for _, a := range clean {
		a.swept()
	}
}

// sweep kills what attempts whose first process has ended left behind, and
// returns those that have nothing left. c.mu is held.
func (c *children) sweep() (clean []*attempt) {
	if len(c.sweeping) == 0 {
		return nil
	}
	left := c.orphans.kill(c.sweeping, c.running)
	for a, pid := range c.sweeping {
		if !left[pid] {
			delete(c.sweeping, a)
			clean = append(clean, a)
		}
	}
	return clean
}

// giveUp ends an attempt although processes of it are left.
func (c *children) giveUp(a *attempt) {
	c.mu.Lock()
	_, sweeping := c.sweeping[a]
	delete(c.sweeping, a)
	c.mu.Unlock()
	if sweeping {
		c.log.Warn("processes of an attempt do not die", "attempt", a.id)
		a.swept()
	}
}

// terminate asks the attempt's group to end; false: its first process has ended.
func (c *children) terminate(a *attempt) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running[a.pid] != a || hasEnded(a.pid) {
		return false
	}
	_ = unix.Kill(-a.pid, unix.SIGTERM)
	_ = unix.Kill(-a.pid, unix.SIGCONT) // a process that is stopped would not see it
	return true
}

// kill ends the attempt's group; what is outside of it follows when its first
// process is gone.
func (c *children) kill(a *attempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running[a.pid] == a {
		_ = unix.Kill(-a.pid, unix.SIGKILL)
	}
}

func statusOf(ws unix.WaitStatus) status {
	if ws.Signaled() {
		return status{code: 128 + int(ws.Signal()), signal: unix.SignalName(ws.Signal())}
	}
	return status{code: ws.ExitStatus()}
}

// startFault says whether an attempt that could not be started can ever be.
func startFault(step string, cmd *command, err error) *fault {
	if info, dirErr := os.Stat(cmd.dir); dirErr != nil {
		return refusal("step %q: working directory: %v", step, dirErr)
	} else if !info.IsDir() {
		return refusal("step %q: working directory %s is not a directory", step, cmd.dir)
	}
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EMFILE),
		errors.Is(err, unix.ENFILE), errors.Is(err, unix.ETXTBSY), errors.Is(err, unix.ENOSPC):
		return &fault{Message: "starting " + cmd.path + ": " + err.Error()}
	case errors.Is(err, unix.E2BIG):
		return refusal("step %q: arguments and environment together have more bytes than the system allows", step)
	case errors.Is(err, unix.ENOENT):
		return refusal("step %q: %s names an interpreter that does not exist", step, cmd.path)
	case errors.Is(err, unix.ENOEXEC):
		return refusal("step %q: %s is in no format that the system can run; a script needs a first line such as #!/bin/sh", step, cmd.path)
	}
	return refusal("step %q: starting %s: %v", step, cmd.path, err)
}

// findProgram resolves a program's name as execvp does, with the attempt's own
// directory and PATH.
func findProgram(name, dir, path string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, executable(name)
	}
	denied := ""
	for d := range strings.SplitSeq(path, ":") {
		if !filepath.IsAbs(d) {
			d = filepath.Join(dir, d)
		}
		file := d + "/" + name
		err := unix.Access(file, unix.X_OK) // most of them do not exist
		if err == nil && executable(file) == nil {
			return file, nil
		}
		if errors.Is(err, unix.EACCES) {
			denied = file
		}
	}
	if denied != "" {
		return "", fmt.Errorf("%s is not executable", denied)
	}
	return "", fmt.Errorf("program %q was not found in PATH=%s", name, path)
}

func executable(file string) error {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a program", file)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("%s is not executable", file)
	}
	return nil
}

// newPipe returns a pipe of which only the end that is read here is known to the
// runtime's poller.
func newPipe() (r, w *os.File, err error) {
	fds, err := openPipe()
	if err != nil {
		return nil, nil, os.NewSyscallError("pipe", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, errors.Join(err, unix.Close(fds[0]), unix.Close(fds[1]))
	}
	return os.NewFile(uintptr(fds[0]), "output"), os.NewFile(uintptr(fds[1]), "output"), nil
}

// tryWrite writes what can be written without waiting, and returns how much.
func tryWrite(raw syscall.RawConn, p []byte) (n int) {
	err := raw.Write(func(fd uintptr) bool {
		got, err := unix.Write(int(fd), p)
		if err == nil {
			n = got
		}
		return true
	})
	if err != nil {
		return 0 // the writer finds out why
	}
	return n
}

// detached is how the supervisor is started: in a session of its own, so that no
// signal of a terminal reaches it.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// collect takes the end of a supervisor that this process started, if it has
// ended; nobody else would.
func collect(pid int) (ended bool, code int) {
	var ws syscall.WaitStatus
	got, err := syscall.Wait4(pid, &ws, syscall.WNOHANG, nil)
	if got != pid || err != nil {
		return err != nil && !errors.Is(err, syscall.EINTR), 0
	}
	return true, ws.ExitStatus()
}

// nobodyListens reports whether nobody listens on a socket.
func nobodyListens(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist)
}

// defaultPath is what a program finds others by when nothing else is known.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// systemVariables are those that programs cannot do without.
func systemVariables() []string { return nil }
