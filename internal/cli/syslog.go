package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/heddle/heddle"
)

// severity is a syslog severity (RFC 3164, section 4.1.1).
type severity int

const (
	severityError   severity = 3
	severityWarning severity = 4
	severityInfo    severity = 6
	severityDebug   severity = 7
)

func severityOf(level slog.Level) severity {
	switch {
	case level >= slog.LevelError:
		return severityError
	case level >= slog.LevelWarn:
		return severityWarning
	case level >= slog.LevelInfo:
		return severityInfo
	default:
		return severityDebug
	}
}

const (
	syslogTag      = "kog" // kog's, so that receivers set up for it go on working
	facilityUser   = 1
	syslogMax      = 8 << 10 // bytes of a message; rsyslog's own default bound
	syslogQueue    = 4096    // messages that wait to be sent
	syslogDeadline = 2 * time.Second
)

// remoteLog sends messages to a syslog receiver from a goroutine of its own: a
// receiver that is slow, gone or hangs never holds up a run. What cannot be sent
// is dropped, and told once.
type remoteLog struct {
	out   syslogSink
	told  sync.Once
	tell  func(error)
	queue chan remoteMessage
	stop  chan struct{} // closed when no more is to come
	done  chan struct{} // closed when the rest is sent
}

type remoteMessage struct {
	severity severity
	text     string
}

// syslogSink sends one message.
type syslogSink interface {
	send(s severity, text string) error
	io.Closer
}

// openRemoteLog opens the receiver at addr: host:port or udp://host:port (RFC 3164
// over UDP), tcp://host:port (the same, a line each), or "" for this machine's own.
// tell is called once, with the first failure.
func openRemoteLog(addr string, now func() time.Time, tell func(error)) (*remoteLog, error) {
	sink, err := openSink(addr, now)
	if err != nil {
		return nil, err
	}
	r := &remoteLog{out: sink, tell: tell, queue: make(chan remoteMessage, syslogQueue), stop: make(chan struct{}), done: make(chan struct{})}
	go r.run()
	return r, nil
}

func openSink(addr string, now func() time.Time) (syslogSink, error) {
	if addr == "" {
		return openLocalSyslog()
	}
	network, hostPort, ok := strings.Cut(addr, "://")
	if !ok {
		network, hostPort = "udp", addr
	}
	if network != "udp" && network != "tcp" {
		return nil, heddle.Errorf(heddle.CodeInvalid, "--remote-logger-addr %q: %q is neither udp nor tcp", addr, network)
	}
	if _, _, err := net.SplitHostPort(hostPort); err != nil {
		return nil, heddle.Errorf(heddle.CodeInvalid, "--remote-logger-addr %q is not host:port: %w", addr, err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return &netSyslog{network: network, addr: hostPort, host: host, now: now}, nil
}

// send queues a message; when the queue is full it is dropped.
func (r *remoteLog) send(s severity, text string) {
	select {
	case r.queue <- remoteMessage{s, text}:
	default:
		r.fail(fmt.Errorf("messages come faster than they can be sent"))
	}
}

func (r *remoteLog) fail(err error) { r.told.Do(func() { r.tell(err) }) }

func (r *remoteLog) run() {
	defer close(r.done)
	for {
		select {
		case m := <-r.queue:
			r.deliver(m)
		case <-r.stop:
			for len(r.queue) > 0 {
				r.deliver(<-r.queue)
			}
			return
		}
	}
}

func (r *remoteLog) deliver(m remoteMessage) {
	if err := r.out.send(m.severity, m.text); err != nil {
		r.fail(err)
	}
}

// Close sends what is queued, within a bound. What is sent later is lost.
func (r *remoteLog) Close() error {
	close(r.stop)
	select {
	case <-r.done:
	case <-time.After(2 * syslogDeadline):
		r.fail(fmt.Errorf("the last messages were not sent in time"))
	}
	return r.out.Close()
}

// netSyslog speaks RFC 3164 over UDP or TCP. (log/syslog writes another form of
// time and waits without a limit for a receiver that hangs.)
type netSyslog struct {
	network, addr, host string
	now                 func() time.Time

	mu   sync.Mutex
	conn net.Conn
	rest time.Time // no dialling before: a dead receiver costs one timeout, not one per message
}

func (n *netSyslog) send(s severity, text string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	text = strings.ReplaceAll(text, "\n", " ")
	message := fmt.Sprintf("<%d>%s %s %s[%d]: %s", facilityUser*8+int(s), n.now().Format(time.Stamp), n.host, syslogTag, os.Getpid(), text)
	message = strings.ToValidUTF8(message[:min(len(message), syslogMax)], "") // not half a character
	if n.network == "tcp" {
		message += "\n"
	}
	fresh := n.conn == nil
	if err := n.dial(); err != nil {
		return err
	}
	err := n.write(message)
	if err != nil && !fresh {
		// The receiver may have been restarted since: once more on a new connection.
		again := n.dial()
		if again == nil {
			again = n.write(message)
		}
		// Over UDP what was refused is the message before, which is lost all the same.
		if n.network != "udp" || again != nil {
			err = again
		}
	}
	return err
}

func (n *netSyslog) dial() error {
	if n.conn != nil {
		return nil
	}
	if n.now().Before(n.rest) {
		return fmt.Errorf("%s %s does not answer", n.network, n.addr)
	}
	ctx, cancel := context.WithTimeout(context.Background(), syslogDeadline)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, n.network, n.addr)
	if err != nil {
		n.rest = n.now().Add(5 * time.Second)
		return err
	}
	n.conn = conn
	return nil
}

func (n *netSyslog) write(message string) error {
	err := n.conn.SetWriteDeadline(time.Now().Add(syslogDeadline))
	if err == nil {
		_, err = io.WriteString(n.conn, message)
	}
	if err != nil {
		n.conn.Close()
		n.conn = nil
	}
	return err
}

// Close ends the connection.
func (n *netSyslog) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conn == nil {
		return nil
	}
	return n.conn.Close()
}
