//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package process

import (
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

func becomeReaper() error { return nil }

func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func openPipe() (fds [2]int, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err = unix.Pipe(fds[:]); err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	return fds, err
}

// waitAny waits for any child to end. It is collected before the call here, so
// that its ID could be taken again; that takes a group of the same number.
func waitAny(before func(pid int)) (int, unix.WaitStatus, error) {
	var ws unix.WaitStatus
	pid, err := unix.Wait4(-1, &ws, 0, nil)
	if err == nil {
		before(pid)
	}
	return pid, ws, err
}

func hasEnded(int) bool { return false }

// orphans: they go to the first process of the system, out of reach.
type orphans struct{}

func (o *orphans) forget(int) {}

func (o *orphans) kill(map[*attempt]int, map[int]*attempt) map[int]bool { return nil }

// killLeftovers knows none: there is no way to find them.
func killLeftovers(string) bool { return true }

// bootID tells one boot of the machine from the next by its time.
func bootID() string {
	tv, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return "unknown"
	}
	seconds, _ := tv.Unix()
	return strconv.FormatInt(seconds, 10)
}
