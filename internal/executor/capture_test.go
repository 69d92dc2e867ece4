package executor

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 5000, time.UTC)

const noonText = "2026-03-01T12:00:00.000005Z "

func newCapture(log *bytes.Buffer, limit int64) *Capture {
	return NewCapture(CaptureOptions{Log: log, Limit: limit, Now: func() time.Time { return noon }})
}

func TestCapture(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxPiece)
	tests := map[string]struct {
		stdout, stderr string
		limit          int64
		wantLog        []string // without the time
		wantResult     string
		wantSize       int64
		wantCut        int64
	}{
		"no output":                             {},
		"lines of both streams":                 {stdout: "a\n\nb\n", stderr: "c\n", wantLog: []string{"stdout F a", "stdout F ", "stdout F b", "stderr F c"}},
		"an open line ends with the output":     {stdout: "a", stderr: "b", wantLog: []string{"stdout F a", "stderr F b"}},
		"bytes that are not UTF-8 pass":         {stdout: "a\xff\xfe\x00b\n", wantLog: []string{"stdout F a\xff\xfe\x00b"}},
		"a line that fills a part":              {stdout: long + "\n", wantLog: []string{"stdout F " + long}},
		"a line one longer":                     {stdout: long + "y\n", wantLog: []string{"stdout P " + long, "stdout F y"}},
		"a line of three parts":                 {stdout: long + long + "yy", wantLog: []string{"stdout P " + long, "stdout P " + long, "stdout F yy"}},
		"the cap cuts a line":                   {stdout: "abc\ndefg\nh\n", limit: 6, wantLog: []string{"stdout F abc", "stdout F de", "heddle F output beyond 6 bytes is not kept"}, wantCut: 5},
		"the cap falls between lines":           {stdout: "abc\nd\n", limit: 4, wantLog: []string{"stdout F abc", "heddle F output beyond 4 bytes is not kept"}, wantCut: 2},
		"the cap is just enough":                {stdout: "abc\n", limit: 3, wantLog: []string{"stdout F abc"}},
		"a result":                              {stdout: "KOG: {\"a\":1} \r\n", wantLog: []string{"stdout F KOG: {\"a\":1} \r"}, wantResult: `{"a":1}`, wantSize: 7},
		"a result without an end of line":       {stdout: "KOG:{}", wantLog: []string{"stdout F KOG:{}"}, wantResult: "{}", wantSize: 2},
		"the last of two results":               {stdout: "KOG:{\"long\":true}\nKOG:{}\n", wantLog: []string{`stdout F KOG:{"long":true}`, "stdout F KOG:{}"}, wantResult: "{}", wantSize: 2},
		"an empty result replaces an older one": {stdout: "KOG:{}\nKOG: \n", wantLog: []string{"stdout F KOG:{}", "stdout F KOG: "}},
		"a result on standard error":            {stderr: "KOG:{}\n", wantLog: []string{"stderr F KOG:{}"}},
		"no result at a later column":           {stdout: " KOG:{}\nkog:{}\nKOKOG:{}\n", wantLog: []string{"stdout F  KOG:{}", "stdout F kog:{}", "stdout F KOKOG:{}"}},
		"a result beyond the cap":               {stdout: "ab\nKOG:{}\n", limit: 2, wantLog: []string{"stdout F ab", "heddle F output beyond 2 bytes is not kept"}, wantResult: "{}", wantSize: 2, wantCut: 7},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			c := newCapture(&log, tc.limit)
			fmt.Fprint(c.Stdout(), tc.stdout)
			fmt.Fprint(c.Stderr(), tc.stderr)
			var exit heddle.Exit
			c.Finish(&exit)
			var wantLog strings.Builder
			for _, line := range tc.wantLog {
				wantLog.WriteString(noonText + line + "\n")
			}
			if d := cmp.Diff(wantLog.String(), log.String()); d != "" {
				t.Errorf("log (-want +got):\n%s", d)
			}
			want := heddle.Exit{ResultSize: tc.wantSize, OutputCut: tc.wantCut, OutputBytes: int64(len(tc.stdout) + len(tc.stderr))}
			if tc.wantResult != "" {
				want.Result = []byte(tc.wantResult)
			}
			if d := cmp.Diff(want, exit); d != "" {
				t.Errorf("exit (-want +got):\n%s", d)
			}
		})
	}
}

func TestCaptureOfStreamsThatAreMixed(t *testing.T) {
	t.Parallel()
	c := NewCapture(CaptureOptions{ResultOnStderr: true})
	fmt.Fprint(c.Stdout(), "KOG:1\n")
	fmt.Fprint(c.Stderr(), "KOG:2\n")
	var exit heddle.Exit
	c.Finish(&exit)
	if string(exit.Result) != "2" {
		t.Errorf("got result %q, want the one on standard error", exit.Result)
	}
}

func TestCaptureOfAHugeResult(t *testing.T) {
	t.Parallel()
	c := NewCapture(CaptureOptions{})
	fmt.Fprint(c.Stdout(), "KOG:")
	chunk := bytes.Repeat([]byte("z"), 1<<20)
	for range 32 {
		if _, err := c.Stdout().Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if held := cap(c.stdout.part) + cap(c.stdout.result.kept) + cap(c.out); held > 4<<20 {
		t.Errorf("holds %d bytes of a line of 32 MiB", held)
	}
	var exit heddle.Exit
	c.Finish(&exit)
	if len(exit.Result) != heddle.MaxResult || exit.ResultSize != 32<<20 {
		t.Errorf("got %d bytes of a size of %d", len(exit.Result), exit.ResultSize)
	}
}

type brokenLog struct{ err error }

func (b brokenLog) Write([]byte) (int, error) { return 0, b.err }

func TestCaptureOutlivesABrokenLog(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	c := NewCapture(CaptureOptions{Log: brokenLog{full}})
	if n, err := fmt.Fprint(c.Stdout(), "KOG:{}\n"); n != 7 || err != nil {
		t.Errorf("write gave %d, %v", n, err)
	}
	var exit heddle.Exit
	c.Finish(&exit)
	if !errors.Is(c.Err(), full) || string(exit.Result) != "{}" {
		t.Errorf("got error %v and result %q", c.Err(), exit.Result)
	}
}

// naive does what a Capture does, a byte at a time and with all of it in memory.
type naive struct {
	limit, left, total, cut int64
	full                    bool
	log                     strings.Builder
	lines                   [2][]byte // the part of the open line that is not logged
	whole                   [2][]byte // the open line
	open                    [2]bool
	result                  []byte
}

func (n *naive) byte(stream int, b byte) {
	n.total++
	if b == '\n' {
		n.emit(stream, 'F', 1)
		n.open[stream], n.whole[stream] = false, nil
		return
	}
	n.open[stream] = true
	if len(n.lines[stream]) == maxPiece {
		n.emit(stream, 'P', 0)
	}
	n.lines[stream] = append(n.lines[stream], b)
	n.whole[stream] = append(n.whole[stream], b)
	if stream == 0 && bytes.HasPrefix(n.whole[0], []byte(resultPrefix)) {
		n.result = n.whole[0]
	}
}

func (n *naive) emit(stream int, kind byte, lineEnd int64) {
	text := n.lines[stream]
	n.lines[stream] = nil
	size := int64(len(text))
	tag := []string{"stdout", "stderr"}[stream]
	switch {
	case n.full:
		n.cut += size + lineEnd
	case size <= n.left:
		fmt.Fprintf(&n.log, "%s%s %c %s\n", noonText, tag, kind, text)
		n.left = max(0, n.left-size-lineEnd)
	default:
		if n.left > 0 {
			fmt.Fprintf(&n.log, "%s%s F %s\n", noonText, tag, text[:n.left])
		}
		fmt.Fprintf(&n.log, "%sheddle F output beyond %d bytes is not kept\n", noonText, n.limit)
		n.cut += size - n.left + lineEnd
		n.full, n.left = true, 0
	}
}

func (n *naive) exit() heddle.Exit {
	for stream, open := range n.open {
		if open {
			n.emit(stream, 'F', 0)
		}
	}
	e := heddle.Exit{OutputBytes: n.total, OutputCut: n.cut}
	if text := bytes.Trim(bytes.TrimPrefix(n.result, []byte(resultPrefix)), space); len(text) > 0 {
		e.Result, e.ResultSize = text[:min(len(text), heddle.MaxResult)], int64(len(text))
	}
	return e
}

func FuzzCapture(f *testing.F) {
	f.Add([]byte("KOG: {}\nKO"), []byte("KOG:x\r\n"), uint16(0), uint64(1), uint16(1))
	f.Add([]byte("a\nKOG:\n  KOG:\nKOG: \t b \t\r\n\n"), []byte("err"), uint16(5), uint64(2), uint16(0))
	f.Add([]byte("xyz\n12"), []byte("KOG:1\n\xff"), uint16(900), uint64(3), uint16(9000))
	f.Fuzz(func(t *testing.T, stdout, stderr []byte, limit uint16, seed uint64, repeat uint16) {
		// Repeating the middle of the text makes lines that are longer than a part.
		half := len(stdout) / 2
		stdout = append(bytes.Repeat(stdout[:half], int(repeat%9000)+1), stdout[half:]...)
		rest := [2][]byte{stdout, stderr}
		var log bytes.Buffer
		max64 := int64(limit) * 7
		c := newCapture(&log, max64)
		if max64 == 0 {
			max64 = DefaultLogLimit
		}
		oracle := naive{limit: max64, left: max64}
		random := rand.New(rand.NewPCG(seed, 0))
		for len(rest[0])+len(rest[1]) > 0 {
			s := random.IntN(2)
			n := min(random.IntN(1<<random.IntN(17)), len(rest[s]))
			for _, b := range rest[s][:n] {
				oracle.byte(s, b)
			}
			w := c.Stdout()
			if s == 1 {
				w = c.Stderr()
			}
			if _, err := w.Write(rest[s][:n]); err != nil {
				t.Fatal(err)
			}
			rest[s] = rest[s][n:]
		}
		var got heddle.Exit
		c.Finish(&got)
		if d := cmp.Diff(oracle.exit(), got); d != "" {
			t.Errorf("exit (-want +got):\n%s", d)
		}
		if want := oracle.log.String(); want != log.String() {
			t.Errorf("log differs: want %d bytes, got %d", len(want), log.Len())
		}
	})
}

func BenchmarkCapture(b *testing.B) { benchmarkCapture(b, nil) }

func BenchmarkCaptureWithMasks(b *testing.B) {
	var secrets []string
	for i := range 10 {
		secrets = append(secrets, fmt.Sprintf("%d-correct-horse-battery-staple", i*i))
	}
	benchmarkCapture(b, NewMasker(secrets))
}

func benchmarkCapture(b *testing.B, mask *Masker) {
	chunk := bytes.Repeat([]byte("a line of output, as programs print them by the million\n"), 500)
	c := NewCapture(CaptureOptions{Log: &discard{}, Limit: 1 << 60, Mask: mask})
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Stdout().Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
}

type discard struct{ n int }

func (d *discard) Write(p []byte) (int, error) { d.n += len(p); return len(p), nil }
