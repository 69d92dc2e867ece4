package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// becomeReaper makes this process the parent of what its descendants leave behind.
func becomeReaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("becoming the reaper of descendants: %w", err)
	}
	return nil
}

// childAttr: a session of its own, and death with the supervisor.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

func openPipe() (fds [2]int, err error) {
	err = unix.Pipe2(fds[:], unix.O_CLOEXEC)
	return fds, err
}

// waitAny waits for any child to end, calls before while its ID is still taken,
// and collects it.
func waitAny(before func(pid int)) (int, unix.WaitStatus, error) {
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		return 0, 0, err
	}
	before(pidOf(&info))
	var ws unix.WaitStatus
	pid, err := unix.Wait4(pidOf(&info), &ws, 0, nil)
	return pid, ws, err
}

// pidOf reads si_pid, the first field of the union that follows three integers
// and is aligned to a pointer.
func pidOf(info *unix.Siginfo) int {
	const word = unsafe.Sizeof(uintptr(0))
	const offset = (3*unsafe.Sizeof(int32(0)) + word - 1) / word * word
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(info), offset)))
}

// hasEnded reports whether a child is there to be collected.
func hasEnded(pid int) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
	return err != nil && !errors.Is(err, unix.EINTR) || err == nil && pidOf(&info) == pid
}

// orphans knows the processes that came to the supervisor because their parent
// ended. Their IDs are not reused before the supervisor has waited for them.
type orphans struct {
	known map[int]orphan
	buf   []byte
}

type orphan struct {
	attempt string // by its environment; "" for none
	session int
	group   int
}

func (o *orphans) forget(pid int) { delete(o.known, pid) }

// kill ends the orphans of attempts whose first process has ended and reports,
// by the ID of that, which attempts still have some. Usually there are none at
// all, and reading one file says so.
func (o *orphans) kill(sweeping map[*attempt]int, running map[int]*attempt) map[int]bool {
	pids := o.list()
	if len(pids) == 0 {
		return nil
	}
	left := map[int]bool{}
	for _, pid := range pids {
		if running[pid] != nil {
			continue
		}
		p, dying := o.look(pid)
		owner := p.owner(sweeping)
		if !dying {
			if owner == 0 && !p.stray(running) {
				continue
			}
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		// What dies may have children that come here next, so its end is awaited.
		// Where it is impossible to tell by now whose it is, by everybody.
		for _, first := range sweeping {
			if owner == first || owner == 0 && p.attempt == "" {
				left[first] = true
			}
		}
	}
	return left
}

// owner returns the ID of the first process of the attempt among those that have
// ended that the orphan is of; 0: of none.
func (p orphan) owner(sweeping map[*attempt]int) int {
	for a, first := range sweeping {
		if p.attempt == string(a.id) || p.session == first || p.group == first {
			return first
		}
	}
	return 0
}

// stray reports whether the orphan is of no attempt that runs. One that hides its
// origin is spared while there are any.
func (p orphan) stray(running map[int]*attempt) bool {
	for _, a := range running {
		if p.attempt == "" || p.attempt == string(a.id) {
			return false
		}
	}
	return true
}

// look says what is known of an orphan, and whether it is about to end.
func (o *orphans) look(pid int) (p orphan, dying bool) {
	const exiting = 0x4 // PF_EXITING
	group, session, flags, ok := stat(pid)
	dying = !ok || flags&exiting != 0
	if known, ok := o.known[pid]; ok {
		return known, dying
	}
	p = orphan{session: session, group: group}
	if dying {
		return p, true
	}
	p.attempt = environ(pid, attemptVar)
	if o.known == nil {
		o.known = map[int]orphan{}
	}
	o.known[pid] = p
	return p, false
}

// list returns the children of the supervisor's main thread: to it come the
// orphans. Those that ended are among them until they are waited for.
func (o *orphans) list() []int {
	self := strconv.Itoa(os.Getpid())
	fd, err := unix.Open("/proc/self/task/"+self+"/children", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return childrenByScan(os.Getpid())
	}
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	if o.buf == nil {
		o.buf = make([]byte, 4096)
	}
	n := 0
	for {
		got, err := unix.Read(fd, o.buf[n:])
		if err != nil || got == 0 {
			break
		}
		if n += got; n == len(o.buf) {
			o.buf = append(o.buf, make([]byte, n)...)
		}
	}
	if n == 0 {
		return nil
	}
	return numbers(string(o.buf[:n]))
}

func numbers(text string) (list []int) {
	for word := range strings.FieldsSeq(text) {
		if n, err := strconv.Atoi(word); err == nil {
			list = append(list, n)
		}
	}
	return list
}

// childrenByScan is for kernels without the list of children.
func childrenByScan(parent int) (list []int) {
	for _, pid := range processes() {
		if fields := statFields(pid); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			list = append(list, pid)
		}
	}
	return list
}

// processes returns the IDs of all processes.
func processes() (list []int) {
	names, err := fs.Glob(os.DirFS("/proc"), "[0-9]*")
	if err != nil {
		return nil
	}
	return numbers(strings.Join(names, " "))
}

// statFields returns /proc/<pid>/stat from the state on.
func statFields(pid int) []string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil
	}
	return strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
}

func stat(pid int) (group, session int, flags uint64, ok bool) {
	fields := statFields(pid)
	if len(fields) < 7 {
		return 0, 0, 0, false
	}
	group, err1 := strconv.Atoi(fields[2])
	session, err2 := strconv.Atoi(fields[3])
	flags, err3 := strconv.ParseUint(fields[6], 10, 64)
	return group, session, flags, err1 == nil && err2 == nil && err3 == nil
}

// environ returns a variable of another process, "" if that cannot be known.
func environ(pid int, name string) string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return ""
	}
	for kv := range bytes.SplitSeq(data, []byte{0}) {
		if value, ok := bytes.CutPrefix(kv, []byte(name+"=")); ok {
			return string(value)
		}
	}
	return ""
}

// killLeftovers ends what is left of attempts of a supervisor that was killed,
// and says whether all of it is gone.
func killLeftovers(mark string) bool {
	for deadline := time.Now().Add(sweepTime); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		found := false
		for _, pid := range processes() {
			if pid != os.Getpid() && environ(pid, supervisorVar) == mark {
				found = true
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		if !found {
			return true
		}
	}
	return false
}

// bootID tells one boot of the machine from the next.
func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(data))
}
