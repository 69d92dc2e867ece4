package executor

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

const (
	// minMask is the least that a text must have to be masked, in bytes: shorter ones
	// would eat ordinary output.
	minMask = 4
	// minEncoded is the least for a part of a base64 text, in characters.
	minEncoded = 8
	// stars is what stands for a masked text.
	stars = "***"
)

// Masker replaces texts, the values of secrets, by three asterisks wherever they
// occur: each as a whole, each of its lines, and both as they look in JSON, in
// URLs and within a base64 text. What is shorter than four bytes is let through.
// Of texts that overlap the first counts, and the longest of those that begin
// together. A nil Masker masks nothing. It may be used concurrently.
type Masker struct {
	heads   [1 << 10]uint64      // the first two bytes of every text, as a set
	texts   map[[4]byte][]string // by their first four bytes, the longest first
	longest int
}

// NewMasker returns a Masker for the texts; nil if there is nothing to mask.
func NewMasker(texts []string) *Masker {
	forms := map[string]bool{}
	for _, text := range texts {
		addForms(forms, text)
		for line := range strings.Lines(text) {
			addForms(forms, strings.TrimSpace(line))
		}
	}
	if len(forms) == 0 {
		return nil
	}
	m := &Masker{texts: map[[4]byte][]string{}}
	for form := range forms {
		head := uint(form[0])<<8 | uint(form[1])
		m.heads[head>>6] |= 1 << (head & 63)
		key := [4]byte([]byte(form[:4]))
		m.texts[key] = append(m.texts[key], form)
		m.longest = max(m.longest, len(form))
	}
	for _, same := range m.texts {
		slices.SortFunc(same, func(a, b string) int { return len(b) - len(a) })
	}
	return m
}

// addForms adds what a text may look like.
func addForms(forms map[string]bool, text string) {
	if len(text) < minMask {
		return
	}
	forms[text] = true
	forms[url.QueryEscape(text)] = true
	forms[url.PathEscape(text)] = true
	for _, escapeHTML := range []bool{true, false} {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(escapeHTML)
		if err := enc.Encode(text); err == nil {
			forms[string(b.Bytes()[1:b.Len()-2])] = true // without quotes and line end
		}
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		addEncoded(forms, encoding, text)
	}
}

// addEncoded adds a text in base64: by itself, and what is the same of it wherever
// it stands in a longer one, which depends on the bytes before it by threes.
func addEncoded(forms map[string]bool, encoding *base64.Encoding, text string) {
	for before := range 3 {
		encoded := encoding.EncodeToString([]byte("\x00\x00"[:before] + text))
		first := (before*8 + 5) / 6         // the first character of the text alone
		end := (before + len(text)) * 8 / 6 // after the last such
		if end-first < minEncoded {
			continue
		}
		forms[encoded[first:end]] = true
		if before == 0 {
			forms[encoded] = true
			forms[strings.TrimRight(encoded, "=")] = true
		}
	}
}

// String returns s with what is to be masked replaced.
func (m *Masker) String(s string) string {
	if m == nil || s == "" {
		return s
	}
	return string(m.after([]byte(s), 0))
}

// after returns p, masked, without its first skip bytes; a text that lies across
// that edge is masked.
func (m *Masker) after(p []byte, skip int) []byte {
	if m == nil {
		return p[skip:]
	}
	var out []byte
	for at := 0; ; {
		start, end, _ := m.find(p[at:], false)
		start, end = at+start, at+end
		if start > skip {
			out = append(out, p[max(at, skip):start]...)
		}
		if start == len(p) {
			return out
		}
		if end > skip {
			out = append(out, stars...)
		}
		at = end
	}
}

// find returns where the first text to be masked is in p; both ends are len(p) if
// there is none. With more to come, it is not decided whether p[start:] begins one
// when its end depends on that.
func (m *Masker) find(p []byte, more bool) (start, end int, decided bool) {
	for i := range p {
		if i+1 < len(p) {
			head := uint(p[i])<<8 | uint(p[i+1])
			if m.heads[head>>6]&(1<<(head&63)) == 0 {
				continue
			}
		}
		if n, decided := m.begins(p[i:], more); !decided {
			return i, len(p), false
		} else if n > 0 {
			return i, i + n, true
		}
	}
	return len(p), len(p), true
}

// begins returns the length of the text to be masked that p begins with; 0: none.
func (m *Masker) begins(p []byte, more bool) (n int, decided bool) {
	if len(p) < minMask {
		if more {
			for key := range m.texts {
				if bytes.HasPrefix(key[:], p) {
					return 0, false
				}
			}
		}
		return 0, true
	}
	for _, text := range m.texts[[4]byte(p)] {
		if len(text) <= len(p) {
			if string(p[:len(text)]) == text {
				return len(text), true
			}
		} else if more && text[:len(p)] == string(p) {
			return 0, false
		}
	}
	return 0, true
}

// cutHead returns how many bytes at the beginning of p are the end of a text that
// was cut there.
func (m *Masker) cutHead(p []byte) (longest int) {
	for _, same := range m.texts {
		for _, text := range same {
			for n := min(len(text)-1, len(p)); n >= minMask && n > longest; n-- {
				if text[len(text)-n:] == string(p[:n]) {
					longest = n
				}
			}
		}
	}
	return longest
}

// MaskError masks the text of an error; what it wraps stays.
func MaskError(err error, texts []string) error {
	if err == nil || len(texts) == 0 {
		return err
	}
	m := NewMasker(texts)
	if message, refused := Refused(err); refused {
		return &Refusal{Message: m.String(message)}
	}
	if masked := m.String(err.Error()); masked != err.Error() {
		return &maskedError{message: masked, err: err}
	}
	return err
}

type maskedError struct {
	message string
	err     error
}

func (e *maskedError) Error() string { return e.message }

func (e *maskedError) Unwrap() error { return e.err }
