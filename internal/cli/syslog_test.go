package cli

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// rsyslog starts a real receiver with its own configuration, on UDP and TCP ports
// of this machine, and returns its address and the file that it writes.
func rsyslog(t *testing.T) (addr, log string) {
	t.Helper()
	binary, err := exec.LookPath("rsyslogd")
	if err != nil {
		if binary, err = exec.LookPath("/usr/sbin/rsyslogd"); err != nil {
			t.Skip("rsyslogd is not installed (Debian package rsyslog)")
		}
	}
	dir := t.TempDir()
	log = filepath.Join(dir, "received")
	addr = freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	config := fmt.Sprintf(`global(workDirectory=%q)
module(load="imudp")
module(load="imtcp")
template(name="t" type="string" string="%%syslogfacility-text%%.%%syslogseverity-text%% %%timereported:::date-rfc3339%% %%programname%% %%syslogtag%%%%msg%%\n")
ruleset(name="r") { action(type="omfile" file=%q template="t") }
input(type="imudp" address="127.0.0.1" port=%q ruleset="r")
input(type="imtcp" address="127.0.0.1" port=%q ruleset="r")
`, dir, log, port, port)
	configFile := filepath.Join(dir, "rsyslog.conf")
	if err := os.WriteFile(configFile, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-n", "-f", configFile, "-i", filepath.Join(dir, "pid"))
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("rsyslogd said: %s", output.String())
		}
	})
	waitFor(t, "rsyslogd listens", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return addr, log
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never seen: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestRemoteLogReachesARealReceiver(t *testing.T) {
	t.Parallel()
	addr, file := rsyslog(t)
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.Local)
	for _, scheme := range []string{"", "udp://", "tcp://"} {
		remote, err := openRemoteLog(scheme+addr, func() time.Time { return at }, func(err error) { t.Error(err) })
		if err != nil {
			t.Fatal(err)
		}
		log := slog.New(newRemoteHandler(remote, "logfmt", slog.LevelInfo)).With("via", scheme+"x")
		log.Info("hello there", "step_name", "start")
		log.Warn("odd")
		log.Error("bad")
		log.Debug("not told")
		if err := remote.Close(); err != nil {
			t.Error(err)
		}
	}
	var text string
	waitFor(t, "nine messages", func() bool {
		data, _ := os.ReadFile(file)
		text = string(data)
		return strings.Count(text, "\n") >= 9
	})
	for _, scheme := range []string{"", "udp://", "tcp://"} {
		for severity, rest := range map[string]string{
			"info": `level=info msg="hello there" via=` + scheme + "x step_name=start\n", "warning": "level=warn msg=odd via=" + scheme + "x\n", "err": "level=error msg=bad via=" + scheme + "x\n",
		} {
			// The receiver adds the year that RFC 3164 does not carry.
			found := false
			for line := range strings.Lines(text) {
				found = found || strings.HasPrefix(line, "user."+severity+" ") && strings.Contains(line, "-03-04T05:06:07") &&
					strings.Contains(line, fmt.Sprintf(" kog kog[%d]: time=", os.Getpid())) && strings.HasSuffix(line, rest)
			}
			if !found {
				t.Errorf("no %s message ending %q in:\n%s", severity, rest, text)
			}
		}
	}
	if strings.Contains(text, "not told") {
		t.Error("a debug message was sent")
	}
}

func TestRemoteLogFailureIsToldOnceAndHoldsNothingUp(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var told []error
	remote, err := openRemoteLog("tcp://"+freeAddr(t), time.Now, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, err)
	})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(newRemoteHandler(remote, "json", slog.LevelInfo))
	for range 3 * syslogQueue {
		log.Info("x")
	}
	if err := remote.Close(); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 1 {
		t.Errorf("told %d times: %v", len(told), told)
	}
}

func TestRemoteLogComesBackAfterARestartOfTheReceiver(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	received := make(chan string, 10)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			// One message, then the connection is reset.
			b := make([]byte, 1000)
			n, _ := conn.Read(b)
			received <- string(b[:n])
			_ = conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
	}()
	n := &netSyslog{network: "tcp", addr: listener.Addr().String(), host: "h", now: time.Now}
	defer n.Close()
	waitFor(t, "a message over a second connection", func() bool {
		if err := n.send(severityInfo, "message"); err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Fatal(err)
		}
		return len(received) >= 2
	})
}

func TestDeadReceiverOverUDPIsTold(t *testing.T) {
	t.Parallel()
	receiver, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := receiver.LocalAddr().String()
	if err := receiver.Close(); err != nil {
		t.Fatal(err)
	}
	sink, err := openSink(addr, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	// The answer that nobody listens comes after the first message.
	waitFor(t, "a message to nobody to be told as an error", func() bool { return sink.send(severityInfo, "x") != nil })
}
