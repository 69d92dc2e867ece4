package process

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/windows"
)

// children runs the processes of attempts.
type children struct {
	log *slog.Logger
	mu  sync.Mutex
	// running holds the processes whose end has not been seen.
	running map[*attempt]*os.Process
}

func newChildren(log *slog.Logger) (*children, error) {
	return &children{log: log, running: map[*attempt]*os.Process{}}, nil
}

// enter calls f: any thread may start processes.
func (c *children) enter(f func()) { f() }

func (c *children) start(a *attempt, cmd *command) error {
	p, err := os.StartProcess(cmd.path, cmd.args, &os.ProcAttr{
		Dir: cmd.dir, Env: cmd.env, Files: []*os.File{cmd.stdin, cmd.stdout, cmd.stderr},
		Sys: &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP},
	})
	if err != nil {
		return err
	}
	a.pid = p.Pid
	c.mu.Lock()
	c.running[a] = p
	c.mu.Unlock()
	go c.wait(a, p)
	return nil
}

func (c *children) wait(a *attempt, p *os.Process) {
	st := status{code: 1}
	state, err := p.Wait()
	if err != nil {
		c.log.Error("waiting for a process fails", "attempt", a.id, "error", err)
	} else {
		st.code = state.ExitCode()
	}
	c.mu.Lock()
	delete(c.running, a)
	c.mu.Unlock()
	a.mainEnded(st)
	a.swept()
}

// terminate kills: a process without a console cannot be asked.
func (c *children) terminate(a *attempt) bool { return c.kill(a) }

func (c *children) kill(a *attempt) bool {
	c.mu.Lock()
	p := c.running[a]
	c.mu.Unlock()
	if p == nil {
		return false
	}
	if err := exec.Command("taskkill", "/T", "/F", "/PID", strconv.Itoa(p.Pid)).Run(); err != nil {
		_ = p.Kill() // it may have ended
	}
	return true
}

func startFault(step string, cmd *command, err error) *fault {
	return refusal("step %q: starting %s: %v", step, cmd.path, err)
}

// findProgram resolves a program's name with the PATH of the supervisor.
func findProgram(name, _, _ string) (string, error) { return exec.LookPath(name) }

func newPipe() (r, w *os.File, err error) { return os.Pipe() }

// tryWrite leaves everything to the writer.
func tryWrite(syscall.RawConn, []byte) int { return 0 }

func detached() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		HideWindow:    true,
		CreationFlags: windows.CREATE_NEW_PROCESS_GROUP | windows.DETACHED_PROCESS,
	}
}

func collect(int) (ended bool, code int) { return false, 0 }

func nobodyListens(err error) bool {
	return errors.Is(err, windows.WSAECONNREFUSED) || errors.Is(err, os.ErrNotExist)
}

func killLeftovers(string) bool { return true }

// bootID: every boot looks the same here.
func bootID() string { return "windows" }

const defaultPath = `C:\Windows\System32;C:\Windows`

// systemVariables are those that programs cannot do without.
func systemVariables() []string {
	return []string{"SystemRoot", "SystemDrive", "ComSpec", "PATHEXT", "USERPROFILE", "TEMP", "TMP"}
}
