package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// drainTime is how long the output of a container that has ended may stand still
// before it is read another way.
const drainTime = 10 * time.Second

// maxFrame bounds what the daemon may send in one piece, in bytes; it cuts lines
// at 16 KiB.
const maxFrame = 16 << 20

// tailLines is how many lines the end of a container is looked at for.
const tailLines = "1000"

// errGap says that more lines are missing than were looked at.
var errGap = errors.New("lines are missing")

// output captures the output of one container. It may be read in several goes,
// each of which takes up where the last one ended. Its times are those that the
// daemon noted, so that reading all of it again gives the same log.
type output struct {
	a       *attempt
	log     io.WriteCloser
	capture *executor.Capture
	mask    *executor.Masker
	err     error // of the log

	frame  bytes.Buffer
	now    time.Time // of the frame at hand
	last   time.Time // of the newest frame taken
	same   int       // frames taken that have the time last
	frames atomic.Int64
}

func (a *attempt) newOutput() *output { return &output{a: a} }

// open opens the log, once.
func (o *output) open(c container.InspectResponse) {
	if o.capture != nil {
		return
	}
	o.mask = o.a.masker(c)
	opts := executor.CaptureOptions{Limit: termsOf(c.Config.Labels).log, Mask: o.mask, Now: func() time.Time { return o.now }}
	if o.a.e.opts.Logs != nil {
		if o.log, o.err = o.a.e.opts.Logs(o.a.id); o.err == nil {
			opts.Log = o.log
		}
	}
	o.capture = executor.NewCapture(opts)
}

// follow reads what is new until the container has ended. That can miss the last
// lines: the daemon may end the stream before it has read what was just written.
func (o *output) follow(c container.InspectResponse) error {
	ctx, cancel := context.WithCancel(o.a.ctx)
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	o.a.e.task(func() { o.guard(stop, cancel) })
	return o.read(ctx, c, client.ContainerLogsOptions{Follow: true, Since: o.since()})
}

// complete reads what is new of a container that has ended. It looks at the last
// lines first, because the daemon finds a time by reading the whole log.
func (o *output) complete(c container.InspectResponse) error {
	if o.last.IsZero() {
		return o.read(o.a.ctx, c, client.ContainerLogsOptions{})
	}
	err := o.read(o.a.ctx, c, client.ContainerLogsOptions{Tail: tailLines})
	if errors.Is(err, errGap) {
		err = o.read(o.a.ctx, c, client.ContainerLogsOptions{Since: o.since()})
	}
	return err
}

// since is the time of the newest frame, as the daemon wants it.
func (o *output) since() string {
	if o.last.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d.%09d", o.last.Unix(), o.last.Nanosecond())
}

// read takes the frames that are newer than those taken before. Nil means that the
// daemon had no more.
func (o *output) read(ctx context.Context, c container.InspectResponse, opts client.ContainerLogsOptions) error {
	o.open(c)
	opts.ShowStdout, opts.ShowStderr, opts.Timestamps = true, true, true
	stream, err := o.a.e.cli.ContainerLogs(ctx, c.ID, opts)
	if err != nil {
		return fmt.Errorf("reading output: %w", err)
	}
	defer stream.Close()
	from := bufio.NewReaderSize(stream, 32<<10)
	skip, since := o.same, o.last
	for first := true; ; first = false {
		w, err := o.next(from)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading output: %w", err)
		}
		if first && opts.Tail != "" && o.now.After(since) {
			return errGap
		}
		if o.now.Before(since) || o.now.Equal(since) && skip > 0 {
			if o.now.Equal(since) {
				skip--
			}
			continue
		}
		if o.now.After(o.last) {
			o.last, o.same = o.now, 0
		}
		if o.now.Equal(o.last) {
			o.same++
		}
		_, _ = w.Write(o.frame.Bytes()) // never fails
		o.frames.Add(1)
	}
}

// guard ends the reading of a container that has ended and whose output does not end.
func (o *output) guard(stop <-chan struct{}, cancel context.CancelFunc) {
	select {
	case <-o.a.died:
	case <-stop:
		return
	}
	tick := time.NewTicker(drainTime)
	defer tick.Stop()
	for before := o.frames.Load(); ; {
		select {
		case <-tick.C:
		case <-stop:
			return
		}
		now := o.frames.Load()
		if now == before {
			cancel()
			return
		}
		before = now
	}
}

// next reads one frame of the stream: a byte that says which output, three that
// say nothing, four for the size, then the time, a space and the text.
func (o *output) next(from *bufio.Reader) (io.Writer, error) {
	var header [8]byte
	if _, err := io.ReadFull(from, header[:]); err != nil {
		return nil, err // io.EOF only between frames
	}
	size := binary.BigEndian.Uint32(header[4:])
	if size > maxFrame {
		return nil, fmt.Errorf("a frame of %d bytes", size)
	}
	o.frame.Reset()
	if _, err := io.CopyN(&o.frame, from, int64(size)); err != nil {
		return nil, fmt.Errorf("amid a frame: %v", err)
	}
	if header[0] == 3 {
		return nil, fmt.Errorf("the daemon reports: %s", bytes.TrimSpace(o.frame.Bytes()))
	}
	stamp, err := o.frame.ReadString(' ')
	if err == nil {
		o.now, err = time.Parse(time.RFC3339Nano, stamp[:len(stamp)-1])
	}
	if err != nil {
		return nil, fmt.Errorf("a frame without its time: %w", err)
	}
	if header[0] == 2 {
		return o.capture.Stderr(), nil
	}
	return o.capture.Stdout(), nil
}

// finish puts what was captured into exit. Its error is that of keeping the log.
func (o *output) finish(exit *heddle.Exit) error {
	o.capture.Finish(exit)
	return errors.Join(o.err, o.capture.Err(), o.close())
}

// close closes the log. It may be called twice.
func (o *output) close() error {
	log := o.log
	o.log = nil
	if log == nil {
		return nil
	}
	return log.Close()
}
