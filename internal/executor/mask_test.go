package executor

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

func TestMasker(t *testing.T) {
	t.Parallel()
	const secret = "pa\"ss & word"
	tests := map[string]struct {
		texts    []string
		in, want string
	}{
		"nothing to mask":              {in: "abc", want: "abc"},
		"short ones stay":              {texts: []string{"abc", "", "ab\ncd"}, in: "abc ab cd", want: "abc ab cd"},
		"a short text as a whole":      {texts: []string{"ab\ncd"}, in: "ab\ncd", want: "***"},
		"twice":                        {texts: []string{"abcd"}, in: "abcdabcd-abcd", want: "******-***"},
		"the first and the longest":    {texts: []string{"abcd", "abcdef", "cdefgh"}, in: "abcdefgh abcde cdefgh", want: "***gh ***e ***"},
		"a beginning is none":          {texts: []string{"abcdef"}, in: "abcde abc", want: "abcde abc"},
		"each line of several":         {texts: []string{"first line\r\n  second\nab"}, in: "second, first line, ab", want: "***, ***, ab"},
		"several lines as a whole":     {texts: []string{"first\nsecond\n"}, in: "first\nsecond\n", want: "***"},
		"without the line end":         {texts: []string{"sesame\n"}, in: "sesame.", want: "***."},
		"in JSON":                      {texts: []string{secret}, in: `{"a":"pa\"ss & word"}`, want: `{"a":"***"}`},
		"in JSON that is safe in HTML": {texts: []string{secret}, in: `{"a":"pa\"ss \u0026 word"}`, want: `{"a":"***"}`},
		"in a query":                   {texts: []string{secret}, in: `?a=pa%22ss+%26+word&b`, want: `?a=***&b`},
		"in a path":                    {texts: []string{secret}, in: `/pa%22ss%20&%20word/`, want: `/***/`},
		"in base64":                    {texts: []string{secret}, in: base64.StdEncoding.EncodeToString([]byte(secret)), want: "***"},
		"in base64 for URLs":           {texts: []string{"~~~???~~~"}, in: base64.RawURLEncoding.EncodeToString([]byte("~~~???~~~")), want: "***"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := NewMasker(tc.texts).String(tc.in); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestMaskerFindsWhatIsAmidBase64(t *testing.T) {
	t.Parallel()
	const secret = "correct horse"
	m := NewMasker([]string{secret})
	for _, around := range []string{"", "a", "ab", "abc", "user:"} {
		encoded := base64.StdEncoding.EncodeToString([]byte(around + secret + around))
		masked := m.String(encoded)
		if got := strings.ReplaceAll(masked, stars, ""); len(encoded)-len(got) < len(secret)*4/3-2 {
			t.Errorf("after %q: got %s of %s", around, masked, encoded)
		}
	}
}

func TestMaskError(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("running sesame: %w", fs.ErrNotExist)
	masked := MaskError(err, []string{"sesame"})
	if want := "running ***: file does not exist"; masked.Error() != want || !errors.Is(masked, fs.ErrNotExist) {
		t.Errorf("got %v, want %s", masked, want)
	}
	if got := MaskError(err, []string{"simsim"}); got != err {
		t.Errorf("got %v", got)
	}
	message, refused := Refused(MaskError(&Refusal{Message: "no sesame"}, []string{"sesame"}))
	if !refused || message != "no ***" {
		t.Errorf("got %q, %v", message, refused)
	}
}

func TestCaptureMasks(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxPiece-3)
	tests := map[string]struct {
		writes     []string
		wantLog    []string
		wantResult string
	}{
		"in one write":                   {writes: []string{"open sesame!\n"}, wantLog: []string{"stdout F open ***!"}},
		"cut across writes":              {writes: []string{"open s", "esa", "me!\n"}, wantLog: []string{"stdout F open ***!"}},
		"cut across the parts of a line": {writes: []string{long + "sesame!\n"}, wantLog: []string{"stdout P " + long + "***", "stdout F !"}},
		"what only seemed to begin":      {writes: []string{"open ses", "ses\n"}, wantLog: []string{"stdout F open sesses"}},
		"what does not go on":            {writes: []string{"open sesam"}, wantLog: []string{"stdout F open sesam"}},
		"a result":                       {writes: []string{"KOG:{\"a\":\"sesame\"}\n"}, wantLog: []string{`stdout F KOG:{"a":"***"}`}, wantResult: `{"a":"***"}`},
		"several lines":                  {writes: []string{"a\nfirst\n", "second\nb\n"}, wantLog: []string{"stdout F a", "stdout F ***", "stdout F b"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			c := newCapture(&log, 0)
			c.opts.Mask = NewMasker([]string{"sesame", "first\nsecond"})
			size := 0
			for _, text := range tc.writes {
				size += len(text)
				fmt.Fprint(c.Stdout(), text)
			}
			var exit heddle.Exit
			c.Finish(&exit)
			var want strings.Builder
			for _, line := range tc.wantLog {
				want.WriteString(noonText + line + "\n")
			}
			if d := cmp.Diff(want.String(), log.String()); d != "" {
				t.Errorf("log (-want +got):\n%s", d)
			}
			if string(exit.Result) != tc.wantResult || exit.OutputBytes != int64(size) {
				t.Errorf("got result %q and %d bytes of output", exit.Result, exit.OutputBytes)
			}
		})
	}
}

// naiveMask looks for every text at every place.
func naiveMask(texts []string, in string) string {
	texts = slices.Clone(texts)
	slices.SortFunc(texts, func(a, b string) int { return len(b) - len(a) })
	var out strings.Builder
next:
	for len(in) > 0 {
		for _, text := range texts {
			if strings.HasPrefix(in, text) {
				out.WriteString(stars)
				in = in[len(text):]
				continue next
			}
		}
		out.WriteByte(in[0])
		in = in[1:]
	}
	return out.String()
}

func FuzzMask(f *testing.F) {
	f.Add("aabaab", "aaba", "abaabaab", uint64(1))
	f.Add("abcdabcd", "cdab", "abcdabcabcdabcd\nx", uint64(2))
	f.Fuzz(func(t *testing.T, a, b, in string, seed uint64) {
		m := NewMasker([]string{a, b})
		if m == nil {
			return
		}
		var forms []string
		for _, same := range m.texts {
			forms = append(forms, same...)
		}
		want := naiveMask(forms, in)
		if got := m.String(in); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		// In a stream, in pieces, without the capture's lines around it.
		c := NewCapture(CaptureOptions{Mask: m, Limit: 1 << 40})
		var log bytes.Buffer
		c.opts.Log = &log
		random := rand.New(rand.NewPCG(seed, 0))
		for rest := in; len(rest) > 0; {
			n := 1 + random.IntN(len(rest))
			fmt.Fprint(c.Stdout(), rest[:n])
			rest = rest[n:]
		}
		var exit heddle.Exit
		c.Finish(&exit)
		var plain bytes.Buffer
		unmasked := NewCapture(CaptureOptions{Log: &plain, Limit: 1 << 40})
		fmt.Fprint(unmasked.Stdout(), want)
		unmasked.Finish(&exit)
		if got, want := withoutTimes(log.String()), withoutTimes(plain.String()); got != want {
			t.Errorf("in a stream: got %q, want %q", got, want)
		}
	})
}

func withoutTimes(log string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		_, text, _ := strings.Cut(line, " ")
		b.WriteString(text)
	}
	return b.String()
}
