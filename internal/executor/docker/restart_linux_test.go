package docker

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"github.com/heddle/heddle"
)

// dockerd is a daemon of a test's own.
type dockerd struct {
	*testing.T
	dir  string
	args []string
	cmd  *exec.Cmd
}

func newDockerd(t *testing.T, args ...string) *dockerd {
	t.Helper()
	program := os.Getenv("HEDDLE_TEST_DOCKERD")
	if program == "" {
		t.Skip("HEDDLE_TEST_DOCKERD is not set; test/testbed/setup.sh installs one where it can")
	}
	dir, err := os.MkdirTemp("", "heddle-dockerd-") // short, for the socket's path
	if err != nil {
		t.Fatal(err)
	}
	d := &dockerd{T: t, dir: dir, args: append([]string{
		program, "--config-file", dir + "/daemon.json", "--host", "unix://" + dir + "/docker.sock", "--pidfile", dir + "/pid",
		"--containerd", dir + "/containerd.sock", "--data-root", dir + "/data", "--exec-root", dir + "/exec", "--registry-mirror", os.Getenv("HEDDLE_TEST_REGISTRY"),
		"--bridge", "none", "--iptables=false", "--ip-forward=false", "--ip-masq=false", "--userland-proxy=false",
		"--shutdown-timeout", "3", "--log-level", "error",
	}, args...)}
	if err := os.WriteFile(dir+"/daemon.json", []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("clearing up: %v", err)
		}
	})
	d.containerd()
	t.Cleanup(d.clear)
	d.up()
	return d
}

// containerd starts a containerd that outlives the daemon, as it does when both are
// services.
func (d *dockerd) containerd() {
	d.Helper()
	config := "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n"
	if err := os.WriteFile(d.dir+"/containerd.toml", []byte(config), 0o600); err != nil {
		d.Fatal(err)
	}
	cmd := exec.Command("containerd", "--config", d.dir+"/containerd.toml", "--log-level", "error",
		"--root", d.dir+"/containerd", "--state", d.dir+"/state", "--address", d.dir+"/containerd.sock")
	if err := cmd.Start(); err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(d.T, "containerd", func() bool {
		conn, err := net.Dial("unix", d.dir+"/containerd.sock")
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
}

func (d *dockerd) host() string { return "unix://" + d.dir + "/docker.sock" }

func (d *dockerd) up() {
	d.Helper()
	log, err := os.OpenFile(d.dir+"/log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.Fatal(err)
	}
	defer log.Close()
	d.cmd = exec.Command(d.args[0], d.args[1:]...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		d.Fatal(err)
	}
	eventually(d.T, "dockerd, see "+d.dir+"/log", func() bool {
		daemon, err := Find(only(d.host()))
		if err != nil {
			d.Fatal(err)
		}
		_, err = daemon.Ping(context.Background())
		return err == nil
	})
}

// down ends the daemon.
func (d *dockerd) down(sig syscall.Signal) {
	d.Helper()
	if err := d.cmd.Process.Signal(sig); err != nil {
		d.Fatal(err)
	}
	_ = d.cmd.Wait() // its exit code says nothing
	if sig == syscall.SIGKILL {
		_ = os.Remove(d.dir + "/pid")
	}
}

// clear ends the daemon, and removes what it has mounted and written.
func (d *dockerd) clear() {
	if d.cmd != nil && d.cmd.ProcessState == nil {
		_ = d.cmd.Process.Signal(syscall.SIGTERM)
		_ = d.cmd.Wait()
	}
	eventually(d.T, "the mounts to be gone", func() bool {
		mounts, err := os.ReadFile("/proc/mounts")
		if err != nil || !strings.Contains(string(mounts), d.dir) {
			return true
		}
		for line := range strings.Lines(string(mounts)) {
			if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], d.dir) {
				_ = unix.Unmount(fields[1], unix.MNT_DETACH) // looked at again
			}
		}
		return false
	})
}

func TestDaemonRestarts(t *testing.T) {
	t.Parallel()
	engine(t)
	tests := map[string]struct {
		args   []string
		signal syscall.Signal
		adopt  bool // the executor is gone as well, and another adopts
		reason heddle.ExitReason
		code   int
	}{
		"the daemon is killed":                              {signal: syscall.SIGKILL, reason: heddle.Broken},
		"the daemon is stopped":                             {signal: syscall.SIGTERM, reason: heddle.Broken},
		"the daemon is stopped, and so was the executor":    {signal: syscall.SIGTERM, adopt: true, reason: heddle.Broken},
		"the daemon is killed, and leaves containers alone": {args: []string{"--live-restore"}, signal: syscall.SIGKILL, reason: heddle.Exited, code: 4},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDockerd(t, test.args...)
			b := newBench(t, d.host())
			ended := b.start(b.spec("echo 'KOG:{}'; exit 9"))
			b.want(b.exit(ended), heddle.Exited, 9)
			id := b.start(b.spec("trap 'exit 143' TERM; i=0; while [ ! -e /stop ]; do i=$((i+1)); echo line $i; sleep 0.1; done; echo 'KOG:{}'; exit 4"))
			b.says(id, "line 3")
			if test.adopt {
				b.exec.Close()
			}
			d.down(test.signal)
			d.up()
			if test.adopt {
				b.reopen()
				b.mu.Lock()
				delete(b.reports, ended)
				b.mu.Unlock()
				b.adopt(heddle.Attempt{ID: id, Place: b.exec.Place()}, heddle.Attempt{ID: ended, Place: b.exec.Place()})
				b.want(b.exit(ended), heddle.Exited, 9)
			}
			if test.reason == heddle.Exited {
				b.makeStop(id)
			}
			exit := b.exit(id)
			if exit.Reason != test.reason || test.code != 0 && exit.Code != test.code {
				t.Errorf("got %s with code %d (%s), want %s", exit.Reason, exit.Code, exit.Message, test.reason)
			}
			if test.reason == heddle.Exited && string(exit.Result) != "{}" {
				t.Errorf("got result %q", exit.Result)
			}
			b.wholeLines(id)
			after := b.start(b.spec("exit 5"))
			b.want(b.exit(after), heddle.Exited, 5)
		})
	}
}

// makeStop makes the file that the container waits for.
func (b *bench) makeStop(id heddle.AttemptID) {
	b.Helper()
	cli := b.cli()
	made, err := cli.ExecCreate(b.Context(), "heddle-"+string(id), client.ExecCreateOptions{Cmd: []string{"touch", "/stop"}})
	if err == nil {
		_, err = cli.ExecStart(b.Context(), made.ID, client.ExecStartOptions{Detach: true})
	}
	if err != nil {
		b.Fatal(err)
	}
}

// wholeLines checks that no line of the count is there twice or missing.
func (b *bench) wholeLines(id heddle.AttemptID) {
	b.Helper()
	last := 0
	for line := range strings.Lines(b.logs.text(id)) {
		_, count, found := strings.Cut(line, " stdout F line ")
		if !found {
			continue
		}
		n := 0
		for _, digit := range strings.TrimSpace(count) {
			n = 10*n + int(digit-'0')
		}
		if n != last+1 {
			b.Errorf("line %d after line %d", n, last)
		}
		last = n
	}
}
