package kubernetes

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/kube"
)

const (
	// drainTime is how long the output of a container that has ended may stand still
	// before it is read another way.
	drainTime = 10 * time.Second
	// logPatience is how long a cluster that answers may fail to hand out the output of a
	// container that has ended. Time in which it does not answer does not count.
	logPatience = 30 * time.Second
	// settleTime is what a stream may end before the news of the container's end, and
	// count as complete. One that ends without such news was cut.
	settleTime = 2 * time.Second
)

// output captures the output of one attempt. It may be read in several goes, each of
// which takes up where the last one ended. Its times are those that the node noted,
// so that reading all of it again gives the same log.
type output struct {
	a       *attempt
	log     io.WriteCloser
	capture *executor.Capture
	err     error // of the log
	now     time.Time

	// What was taken of the Pod at hand: lines up to the time last, same of them with
	// that very time, of the newest of which part bytes, or all if it is whole.
	last  time.Time
	same  int
	part  int64
	whole bool

	reading sync.WaitGroup
	begun   bool
	taken   atomic.Int64  // counts pieces
	died    chan struct{} // closed when the container has ended
	all     bool          // a stream came to its end with the container
	cancel  context.CancelFunc
}

func newOutput(a *attempt) *output {
	return &output{a: a, died: make(chan struct{}), cancel: func() {}}
}

// open opens the log, once.
func (o *output) open(pod *corev1.Pod) {
	if o.capture != nil {
		return
	}
	opts := executor.CaptureOptions{
		Limit: o.a.terms(pod).Log, ResultOnStderr: true, Mask: o.a.masker(), Now: func() time.Time { return o.now },
	}
	if o.a.e.opts.Logs != nil {
		if o.log, o.err = o.a.e.opts.Logs(o.a.id); o.err == nil {
			opts.Log = o.log
		}
	}
	o.capture = executor.NewCapture(opts)
}

// begin reads the output of a Pod that runs, in the background, once.
func (o *output) begin(pod *corev1.Pod) {
	if o.begun {
		return
	}
	o.begun = true
	ctx, cancel := context.WithCancel(o.a.ctx)
	o.cancel = cancel
	o.reading.Add(1)
	go func() {
		defer o.reading.Done()
		o.follow(ctx, pod)
	}()
}

// follow reads what a Pod prints until its container has ended.
func (o *output) follow(ctx context.Context, pod *corev1.Pod) {
	for pause := executor.NewPause(0); ; {
		before := o.taken.Load()
		err := o.read(ctx, pod, true)
		if err != nil && ctx.Err() == nil {
			o.a.e.opts.Log.Debug("the output of a Pod broke off", "attempt", o.a.id, "error", err)
		}
		if o.taken.Load() > before {
			pause = executor.NewPause(0)
		}
		if err == nil {
			select { // most often the news of the end is under way
			case <-o.died:
				o.all = true
				return
			case <-time.After(settleTime):
			case <-ctx.Done():
				return
			}
		}
		if !pause.Wait(ctx, o.died) {
			return
		}
		select {
		case <-o.died:
			return
		default:
		}
	}
}

// complete reads what is left of Pods that have ended.
func (o *output) complete(pods []*corev1.Pod) error {
	if !o.begun || len(pods) > 1 {
		for _, pod := range pods {
			o.last, o.same, o.part, o.whole = time.Time{}, 0, 0, true
			if err := o.rest(pod); err != nil {
				return err
			}
		}
		return nil
	}
	close(o.died)
	if err := o.drain(); err != nil || o.all {
		return err
	}
	return o.rest(pods[0])
}

// drain waits for the background reader, for as long as it gets on.
func (o *output) drain() error {
	done := make(chan struct{})
	go func() {
		o.reading.Wait()
		close(done)
	}()
	tick := time.NewTicker(drainTime)
	defer tick.Stop()
	for before := o.taken.Load(); ; {
		select {
		case <-done:
			return nil
		case <-tick.C:
		case <-o.a.ctx.Done():
			return o.a.ctx.Err()
		}
		now := o.taken.Load()
		if now == before {
			o.cancel()
		}
		before = now
	}
}

// rest reads what is new of a Pod that has ended, again and again until it has all of
// it or the cluster cannot hand it out.
func (o *output) rest(pod *corev1.Pod) error {
	var since time.Time // when the cluster first failed
	for pause := executor.NewPause(0); ; {
		err := o.read(o.a.ctx, pod, false)
		switch {
		case err == nil:
			return nil
		case apierrors.IsNotFound(err):
			return errors.New("the Pod is deleted, and its output with it")
		case away(err):
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) > logPatience:
			return err
		}
		if !pause.Wait(o.a.ctx, nil) {
			return o.a.ctx.Err()
		}
	}
}

// read takes the lines that are newer than those taken before. Nil means that there
// were no more.
func (o *output) read(ctx context.Context, pod *corev1.Pod, follow bool) error {
	o.open(pod)
	options := &corev1.PodLogOptions{Container: kube.TermsOf(pod.Annotations).Main, Follow: follow, Timestamps: true}
	if !o.last.IsZero() {
		since := metav1.NewTime(o.last.Truncate(time.Second)) // it is sent in whole seconds
		options.SinceTime = &since
	}
	stream, err := o.a.e.api.output(ctx, pod.Namespace, pod.Name, options)
	if err != nil {
		return fmt.Errorf("reading output: %w", err)
	}
	defer stream.Close()
	return o.take(bufio.NewReaderSize(stream, 32<<10))
}

// take takes lines, each with its time before it, until the stream ends.
func (o *output) take(from *bufio.Reader) error {
	caughtUp := o.last.IsZero()
	seen := 0 // lines with the time last, before we have caught up
	for {
		stamp, err := from.ReadSlice(' ')
		if errors.Is(err, io.EOF) && len(stamp) == 0 {
			return nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading output: %w", err)
		}
		at, parseErr := time.Parse(time.RFC3339Nano, string(bytes.TrimSuffix(stamp, []byte(" "))))
		if parseErr != nil {
			return fmt.Errorf("a line without its time: %.100q", stamp)
		}
		skip := int64(0)
		switch {
		case caughtUp:
		case at.Before(o.last):
			skip = -1
		case at.Equal(o.last) && seen < o.same:
			if seen++; seen < o.same || o.whole {
				skip = -1
			} else {
				skip = o.part
			}
		default:
			caughtUp = true
		}
		if caughtUp {
			if !at.Equal(o.last) {
				o.last, o.same = at, 0
			}
			o.same++
			o.part, o.whole = 0, false
		}
		o.now = at
		if err := o.line(from, skip); err != nil {
			return err
		}
	}
}

// line takes one line, but for its first bytes, or skips all of it if skip is negative.
func (o *output) line(from *bufio.Reader, skip int64) error {
	for {
		piece, err := from.ReadSlice('\n')
		o.taken.Add(1)
		whole := err == nil
		if skip >= 0 {
			cut := min(skip, int64(len(piece)))
			skip -= cut
			if text := piece[cut:]; len(text) > 0 {
				_, _ = o.capture.Stdout().Write(text) // never fails
				o.part += int64(len(text))
			}
			o.whole = o.whole || whole
		}
		switch {
		case whole, errors.Is(err, io.EOF):
			return nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("reading output: %w", err)
		}
	}
}

// finish puts what was captured into exit. Its error is that of keeping the log.
func (o *output) finish(exit *heddle.Exit) error {
	if o.capture == nil {
		return nil
	}
	o.capture.Finish(exit)
	return errors.Join(o.err, o.capture.Err(), o.close())
}

// close ends reading and closes the log. It may be called twice.
func (o *output) close() error {
	o.cancel()
	o.reading.Wait()
	log := o.log
	o.log = nil
	if log == nil {
		return nil
	}
	return log.Close()
}
