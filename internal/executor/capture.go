package executor

import (
	"bytes"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/heddle/heddle"
)

// maxPiece is the most text that one line of the log has; longer lines of output
// are written in parts, as container runtimes do it.
const maxPiece = 16 << 10

// resultPrefix begins kog's result line, at column 0.
const resultPrefix = "KOG:"

// CaptureOptions says what a [Capture] does with output.
type CaptureOptions struct {
	// Log takes the lines that are kept, in the CRI log format:
	//
	//	2026-03-01T10:00:00.123456789Z stdout F the text
	//
	// with P instead of F for all parts but the last of a long line. It is written
	// about once per chunk of output, by one goroutine at a time. Nil keeps nothing.
	Log io.Writer
	// Limit is how many bytes of output, line ends included, Log gets; the stamps
	// that it adds, some 45 bytes a line, do not count. 0: [DefaultLogLimit].
	Limit int64
	// ResultOnStderr lets result lines count on standard error too, where an
	// executor cannot tell the streams apart.
	ResultOnStderr bool
	// Mask is applied to all output before anything else is done with it. Nil masks
	// nothing.
	Mask *Masker
	// Now gives the time stamps. Nil: [time.Now].
	Now func() time.Time
}

// Capture takes the output of one attempt: it writes it to a log and finds the
// last line that begins with "KOG:" in it (kog). What it holds in memory does not
// grow with the output. Its methods may be called concurrently.
type Capture struct {
	opts CaptureOptions

	mu     sync.Mutex
	out    []byte // lines of the log that the current chunk gives
	stamp  []byte // the current chunk's time stamp and a space
	left   int64  // what the log still gets
	full   bool   // something was cut, and the log says so
	err    error  // of the log; after it everything is cut
	total  int64
	cut    int64
	stdout stream
	stderr stream
	latest *stream // the one with the latest result line; nil: there was none
}

// stream is one of the two, and the writer for it.
type stream struct {
	c      *Capture
	tag    string // " stdout " or " stderr ", without the first space
	counts bool   // result lines here count
	held   []byte // output that may be the beginning of a text to be masked
	part   []byte // text of the line at hand that is not in the log yet
	open   bool   // a line is at hand
	match  int    // bytes of resultPrefix matched; -1: the line is an ordinary one
	result resultLine
}

// resultLine is what followed the prefix, without surrounding white space.
type resultLine struct {
	kept []byte
	size int64 // of the whole text
	seen int64 // size with the white space that may turn out to be trailing
}

// NewCapture returns a Capture for one attempt.
func NewCapture(opts CaptureOptions) *Capture {
	if opts.Limit <= 0 {
		opts.Limit = DefaultLogLimit
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	c := &Capture{opts: opts, left: opts.Limit}
	c.stdout = stream{c: c, tag: "stdout ", counts: true}
	c.stderr = stream{c: c, tag: "stderr ", counts: opts.ResultOnStderr}
	return c
}

// Stdout takes standard output. Writing to it never fails: an attempt does not
// suffer from a log that cannot be written, see [Capture.Err].
func (c *Capture) Stdout() io.Writer { return &c.stdout }

// Stderr takes standard error, as [Capture.Stdout] does.
func (c *Capture) Stderr() io.Writer { return &c.stderr }

// Err returns the first error of the log; what came after it was not kept.
func (c *Capture) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Finish ends lines that are still open and puts what was captured into exit:
// Result, ResultSize, OutputBytes and OutputCut.
func (c *Capture) Finish(exit *heddle.Exit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stamp = c.stamp[:0]
	for _, s := range []*stream{&c.stdout, &c.stderr} {
		if len(s.held) > 0 {
			s.mask(nil, false)
		}
		if s.open {
			s.endLine(nil, 0)
		}
	}
	c.flush()
	exit.OutputBytes, exit.OutputCut = c.total, c.cut
	exit.Result, exit.ResultSize = nil, 0
	if c.latest != nil {
		exit.Result, exit.ResultSize = c.latest.result.text()
	}
}

// Write takes a chunk of the stream's output.
func (s *stream) Write(p []byte) (int, error) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total += int64(len(p))
	c.stamp = c.stamp[:0]
	if c.opts.Mask == nil {
		s.lines(p)
	} else {
		s.mask(p, true)
	}
	c.flush()
	return len(p), nil
}

// mask takes a chunk and passes it on, masked. What is not decided yet waits for
// more, if there is more to come.
func (s *stream) mask(p []byte, more bool) {
	if len(s.held) > 0 {
		s.held = append(s.held, p...)
		p = s.held
	}
	for {
		start, end, decided := s.c.opts.Mask.find(p, more)
		s.lines(p[:start])
		if !decided || start == len(p) {
			s.held = append(s.held[:0], p[start:]...)
			return
		}
		s.lines([]byte(stars))
		p = p[end:]
	}
}

// lines takes a chunk apart into lines.
func (s *stream) lines(p []byte) {
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			s.text(p)
			return
		}
		s.match = s.find(p[:end])
		s.endLine(p[:end], 1)
		p = p[end+1:]
	}
}

// text takes a piece of a line whose end has not come yet.
func (s *stream) text(p []byte) {
	s.match = s.find(p)
	s.open = true
	if s.c.full {
		s.c.cut += int64(len(p))
		return
	}
	p = s.parts(p)
	if s.c.full {
		s.c.cut += int64(len(p))
		return
	}
	s.part = append(s.part, p...)
}

// endLine ends the line at hand with the text last and lineEnd bytes of line end.
func (s *stream) endLine(last []byte, lineEnd int64) {
	s.open, s.match = false, 0
	if s.c.full {
		s.c.cut += int64(len(last)) + lineEnd
		return
	}
	last = s.parts(last)
	if len(s.part) > 0 {
		last = append(s.part, last...)
		s.part = last[:0]
	}
	s.c.line(s.tag, 'F', last, lineEnd)
}

// parts logs what makes full parts of a long line, together with what is in
// s.part, and returns the rest of p, which fits into one more part. A part that is
// exactly full stays: its line may end there.
func (s *stream) parts(p []byte) []byte {
	for len(s.part)+len(p) > maxPiece {
		n := maxPiece - len(s.part)
		if len(s.part) == 0 {
			s.c.line(s.tag, 'P', p[:n], 0)
		} else {
			s.part = append(s.part, p[:n]...)
			s.c.line(s.tag, 'P', s.part, 0)
			s.part = s.part[:0]
		}
		p = p[n:]
	}
	return p
}

// line adds one line to the log, or what still fits of it. An end of line is not
// cut from a text that fits.
func (c *Capture) line(tag string, kind byte, text []byte, lineEnd int64) {
	if c.full {
		c.cut += int64(len(text)) + lineEnd
		return
	}
	kept := text
	if int64(len(text)) > c.left {
		kept, kind = text[:c.left], 'F'
	}
	c.left = max(0, c.left-int64(len(text))-lineEnd)
	if len(kept) == len(text) {
		c.logLine(tag, kind, kept)
		return
	}
	if len(kept) > 0 {
		c.logLine(tag, kind, kept)
	}
	c.full = true
	c.cut += int64(len(text)-len(kept)) + lineEnd
	remark := "output beyond " + strconv.FormatInt(c.opts.Limit, 10) + " bytes is not kept"
	c.logLine("heddle ", 'F', []byte(remark))
	// What waits in the other stream came before, but would be logged after.
	for _, s := range []*stream{&c.stdout, &c.stderr} {
		if len(s.part) > 0 && s.tag != tag {
			c.cut += int64(len(s.part))
			s.part = s.part[:0]
		}
	}
}

func (c *Capture) logLine(tag string, kind byte, text []byte) {
	if c.opts.Log == nil {
		return
	}
	if len(c.stamp) == 0 {
		c.stamp = c.opts.Now().UTC().AppendFormat(c.stamp, time.RFC3339Nano)
		c.stamp = append(c.stamp, ' ')
	}
	c.out = append(c.out, c.stamp...)
	c.out = append(c.out, tag...)
	c.out = append(c.out, kind, ' ')
	c.out = append(c.out, text...)
	c.out = append(c.out, '\n')
	if len(c.out) > 4*maxPiece {
		c.flush()
	}
}

// flush hands the lines of a chunk to the log.
func (c *Capture) flush() {
	if len(c.out) > 0 && c.err == nil {
		_, c.err = c.opts.Log.Write(c.out)
	}
	c.out = c.out[:0]
}

// find looks for a result line in a piece of the line at hand and returns how
// much of the prefix the line has.
func (s *stream) find(p []byte) int {
	if !s.counts || s.match < 0 {
		return -1
	}
	m := s.match
	for m < len(resultPrefix) {
		if len(p) == 0 {
			return m
		}
		if p[0] != resultPrefix[m] {
			return -1
		}
		m, p = m+1, p[1:]
		if m == len(resultPrefix) {
			s.result = resultLine{kept: s.result.kept[:0]}
			s.c.latest = s
		}
	}
	s.result.add(p)
	return m
}

func (r *resultLine) add(p []byte) {
	if r.size == 0 {
		p = bytes.TrimLeft(p, space)
	}
	if len(p) == 0 {
		return
	}
	if room := heddle.MaxResult - len(r.kept); room > 0 {
		r.kept = append(r.kept, p[:min(room, len(p))]...)
	}
	if text := bytes.TrimRight(p, space); len(text) > 0 {
		r.size = r.seen + int64(len(text))
	}
	r.seen += int64(len(p))
}

// text returns a copy of what was kept, and the size of the whole.
func (r *resultLine) text() ([]byte, int64) {
	kept := r.kept[:min(int64(len(r.kept)), r.size)]
	if len(kept) == 0 {
		return nil, 0
	}
	return bytes.Clone(kept), r.size
}

// space is what JSON and line ends have for white space.
const space = " \t\r\n\v\f"
