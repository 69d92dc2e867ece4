package logs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

const stamp = "2026-11-21T07:39:00.123456789Z"

func instant() time.Time { return time.Date(2026, 11, 21, 7, 39, 0, 123456789, time.UTC) }

func line(visit, try int, stream, text string) heddle.LogLine {
	return heddle.LogLine{Time: instant(), Visit: visit, Try: try, Stream: stream, Text: text}
}

// write appends to an attempt's log, and closes it.
func write(t testing.TB, d *Dir, id heddle.AttemptID, texts ...string) {
	t.Helper()
	w, err := d.Create(id)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, d *Dir, q heddle.LogQuery) []heddle.LogLine {
	t.Helper()
	var lines []heddle.LogLine
	for l, err := range NewReader(d, nil).Lines(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	return lines
}

func TestLines(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		written string
		want    []heddle.LogLine
	}{
		"whole lines of both streams": {written: stamp + " stdout F a\n" + stamp + " stderr F b c\n",
			want: []heddle.LogLine{line(1, 1, "stdout", "a"), line(1, 1, "stderr", "b c")}},
		"empty text, with and without its blank": {written: stamp + " stdout F \n" + stamp + " stdout F\n",
			want: []heddle.LogLine{line(1, 1, "stdout", ""), line(1, 1, "stdout", "")}},
		"blanks of the text stay": {written: stamp + " stdout F   a  \n", want: []heddle.LogLine{line(1, 1, "stdout", "  a  ")}},
		"parts, with another stream between": {written: stamp + " stdout P a\n" + stamp + " stderr F x\n" + stamp + " stdout P  b\n" + stamp + " stdout F c\n",
			want: []heddle.LogLine{line(1, 1, "stderr", "x"), line(1, 1, "stdout", "a bc")}},
		"a letter cut between parts":      {written: stamp + " stdout P \xc3\n" + stamp + " stdout F \xa9\n", want: []heddle.LogLine{line(1, 1, "stdout", "é")}},
		"bytes that are not UTF-8":        {written: stamp + " stdout F a\xff\xfeb\x00\n", want: []heddle.LogLine{line(1, 1, "stdout", "a\uFFFDb\x00")}},
		"another zone":                    {written: "2026-11-21T08:39:00.123456789+01:00 stdout F a\n", want: []heddle.LogLine{line(1, 1, "stdout", "a")}},
		"a line of another form":          {written: "hello\n", want: []heddle.LogLine{{Visit: 1, Try: 1, Stream: "heddle", Text: "hello"}}},
		"a last part without the rest":    {written: stamp + " stdout P a\n", want: []heddle.LogLine{line(1, 1, "stdout", "a")}},
		"a last line without its end":     {written: stamp + " stdout F a", want: []heddle.LogLine{line(1, 1, "stdout", "a")}},
		"a last line cut before its text": {written: stamp + " stdout F a\n2026-11-2", want: []heddle.LogLine{line(1, 1, "stdout", "a")}},
		"a long line of many parts":       {written: strings.Repeat(stamp+" stdout P "+strings.Repeat("x", 1000)+"\n", 100) + stamp + " stdout F y\n", want: []heddle.LogLine{line(1, 1, "stdout", strings.Repeat("x", 100000)+"y")}},
		"nothing was written":             {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := Open(t.TempDir())
			var texts []string
			if test.written != "" {
				texts = append(texts, test.written)
			}
			write(t, d, "r-1-1", texts...)
			if diff := cmp.Diff(test.want, read(t, d, heddle.LogQuery{Run: "r"})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			last, ok := d.Last("r-1-1")
			if ok != (len(test.want) > 0) {
				t.Fatalf("there is a last line: %v", ok)
			}
			if ok && !cmp.Equal(last, test.want[len(test.want)-1]) {
				t.Errorf("last line %+v, want the last of %+v", last, test.want)
			}
		})
	}
}

func TestEndlessLineComesInPieces(t *testing.T) {
	t.Parallel()
	d := Open(t.TempDir())
	write(t, d, "r-1-1", strings.Repeat(stamp+" stdout P "+strings.Repeat("x", 1<<16)+"\n", 40))
	lines := read(t, d, heddle.LogQuery{Run: "r"})
	total := 0
	for _, l := range lines {
		total += len(l.Text)
		if len(l.Text) > maxLine {
			t.Errorf("a piece of %d bytes", len(l.Text))
		}
	}
	if total != 40<<16 || len(lines) != 3 {
		t.Fatalf("%d bytes in %d pieces, want %d in 3", total, len(lines), 40<<16)
	}
}

func TestOrderAndFilter(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d := Open(root)
	var all []heddle.LogLine
	for _, visit := range []int{1, 2, 10} {
		for _, try := range []int{1, 2, 11} {
			id := heddle.NewAttemptID("r-1", visit, try)
			write(t, d, id, stamp+" stdout F "+string(id)+"\n")
			all = append(all, line(visit, try, "stdout", string(id)))
		}
	}
	write(t, d, "r-2-1", stamp+" stdout F of another run\n")
	for _, name := range []string{"x.log", "01-1.log", "1-1.log.swp", "3-0x.log"} {
		if err := os.WriteFile(filepath.Join(root, "r-1", name), []byte("stray\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(all, read(t, d, heddle.LogQuery{Run: "r-1"})); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(all[6:], read(t, d, heddle.LogQuery{Run: "r-1", Visit: 10})); diff != "" {
		t.Errorf("of visit 10 (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(all[8:], read(t, d, heddle.LogQuery{Run: "r-1", Visit: 10, Try: 11})); diff != "" {
		t.Errorf("of the 11th attempt of visit 10 (-want +got):\n%s", diff)
	}
	if err := d.Remove("r-1"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, d, heddle.LogQuery{Run: "r-1"}); len(got) > 0 {
		t.Errorf("after they were removed: %v", got)
	}
	if got := read(t, d, heddle.LogQuery{Run: "r"}); len(got) != 1 {
		t.Errorf("of the other run: %v", got)
	}
}

func TestAppending(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d := Open(root)
	w, err := d.Create("r-1-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "r")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("something was made before the first write: %v", err)
	}
	if _, err := w.Write([]byte(stamp + " stdout F torn")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(root, "r", "1-1.log"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, error %v; want 0600", info.Mode(), err)
	}
	for range 2 {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Fatalf("writing after closing: %v", err)
	}
	write(t, d, "r-1-1", stamp+" stdout F next\n")
	want := []heddle.LogLine{line(1, 1, "stdout", "torn"), line(1, 1, "stdout", "next")}
	if diff := cmp.Diff(want, read(t, d, heddle.LogQuery{Run: "r"})); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
}

func TestLastReadsTheTail(t *testing.T) {
	t.Parallel()
	d := Open(t.TempDir())
	write(t, d, "r-1-1", strings.Repeat(stamp+" stdout F filler\n", 10000), stamp+" stderr F the end\n")
	want := line(1, 1, "stderr", "the end")
	if got, ok := d.Last("r-1-1"); !ok || got != want {
		t.Fatalf("got %+v, %v; want %+v", got, ok, want)
	}
	long := strings.Repeat("x", 100000)
	write(t, d, "r-1-1", stamp+" stdout F "+long+"\n")
	if got, ok := d.Last("r-1-1"); !ok || got.Text != long {
		t.Fatalf("got a last line of %d bytes, %v; want %d", len(got.Text), ok, len(long))
	}
}

func TestIDsThatAreNone(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "logs")
	d := Open(root)
	if err := os.WriteFile(filepath.Join(filepath.Dir(root), "1-1.log"), []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, run := range []heddle.RunID{"", ".", "..", "../x", "a/b", "/etc", "A", `a\b`, "a\x00"} {
		for _, err := range NewReader(d, nil).Lines(t.Context(), heddle.LogQuery{Run: run}) {
			if heddle.CodeOf(err) != heddle.CodeInvalid {
				t.Errorf("lines of %q: %v", run, err)
			}
		}
		if err := d.Remove(run); heddle.CodeOf(err) != heddle.CodeInvalid {
			t.Errorf("removing %q: %v", run, err)
		}
		id := heddle.AttemptID(run) + "-1-1"
		if _, err := d.Create(id); heddle.CodeOf(err) != heddle.CodeInvalid {
			t.Errorf("creating %q: %v", id, err)
		}
		if _, ok := d.Last(id); ok {
			t.Errorf("%q has a last line", id)
		}
	}
}

// following starts to follow a run and returns the lines as they come; the channel
// is closed at their end.
func following(ctx context.Context, t *testing.T, d *Dir, run heddle.RunID, ended <-chan struct{}) <-chan heddle.LogLine {
	t.Helper()
	lines := make(chan heddle.LogLine)
	r := NewReader(d, func(context.Context, heddle.RunID) (<-chan struct{}, error) { return ended, nil })
	go func() {
		defer close(lines)
		for l, err := range r.Lines(ctx, heddle.LogQuery{Run: run, Follow: true}) {
			if err != nil {
				t.Error(err)
			}
			lines <- l
		}
	}()
	return lines
}

func next(t *testing.T, lines <-chan heddle.LogLine) (l heddle.LogLine, ok bool) {
	t.Helper()
	select {
	case l, ok = <-lines:
		return l, ok
	case <-time.After(20 * time.Second):
		t.Fatal("no line came and no end")
		return
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	d := Open(t.TempDir())
	ended := make(chan struct{})
	lines := following(t.Context(), t, d, "r", ended)
	w, err := d.Create("r-1-1")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for i := range 20 {
		// In two writes: a line counts once it is whole.
		text := fmt.Sprint("line ", i)
		for _, half := range []string{stamp + " stdo", "ut F " + text + "\n"} {
			if _, err := w.Write([]byte(half)); err != nil {
				t.Fatal(err)
			}
		}
		if got, _ := next(t, lines); got != line(1, 1, "stdout", text) {
			t.Fatalf("got %+v, want %q", got, text)
		}
	}
	write(t, d, "r-2-1", stamp+" stdout F of a new file\n")
	if got, _ := next(t, lines); got != line(2, 1, "stdout", "of a new file") {
		t.Fatalf("got %+v, want the new file's line", got)
	}
	// What is there when the run ends still comes, and then the end.
	write(t, d, "r-2-1", stamp+" stdout F last\n", stamp+" stdout P part\n")
	close(ended)
	var rest []string
	for l, ok := next(t, lines); ok; l, ok = next(t, lines) {
		rest = append(rest, l.Text)
	}
	if diff := cmp.Diff([]string{"last", "part"}, rest); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
}

func TestFollowStops(t *testing.T) {
	t.Parallel()
	d := Open(t.TempDir())
	write(t, d, "r-1-1", stamp+" stdout F a\n"+stamp+" stdout F b\n")
	ctx, cancel := context.WithCancel(t.Context())
	lines := following(ctx, t, d, "r", nil)
	for range 2 {
		if _, ok := next(t, lines); !ok {
			t.Fatal("ended early")
		}
	}
	cancel()
	if l, ok := next(t, lines); ok {
		t.Fatalf("got %+v after the context was cancelled", l)
	}

	r := NewReader(d, func(context.Context, heddle.RunID) (<-chan struct{}, error) {
		return nil, heddle.Errorf(heddle.CodeNotFound, "there is no such run")
	})
	for _, err := range r.Lines(t.Context(), heddle.LogQuery{Run: "r", Follow: true}) {
		if heddle.CodeOf(err) != heddle.CodeNotFound {
			t.Fatalf("got %v, want not found", err)
		}
	}
	n := 0
	for range NewReader(d, nil).Lines(t.Context(), heddle.LogQuery{Run: "r"}) {
		n++
		break
	}
	if n != 1 {
		t.Fatalf("%d lines after one was enough", n)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{stamp + " stdout F text", stamp + " stderr P:x ", " ", "", stamp, stamp + " stdout F", stamp + "  F x", "x stdout F x", stamp + " a F \xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, stream, rest, _, ok := decode(text)
		if ok && (stream == "" || at.Location() != time.UTC || !strings.HasSuffix(text, rest)) {
			t.Errorf("%q: time %v, stream %q, text %q", text, at, stream, rest)
		}
		j := joiner{visit: 1, try: 1}
		var lines []heddle.LogLine
		keep := func(l heddle.LogLine) bool {
			lines = append(lines, l)
			return true
		}
		j.add(text, keep)
		j.flush(keep)
		want := 1
		if text == "" {
			want = 0
		}
		if len(lines) != want {
			t.Fatalf("%q gave %d lines, want %d", text, len(lines), want)
		}
		for _, l := range lines {
			if !utf8.ValidString(l.Text) {
				t.Errorf("%q: text %q is not UTF-8", text, l.Text)
			}
		}
		if len(j.open) > 0 {
			t.Errorf("%d parts are left", len(j.open))
		}
	})
}
