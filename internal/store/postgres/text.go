package postgres

import (
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// mark precedes the two hexadecimal digits of a byte that a text of PostgreSQL
// cannot hold. It is not a character (Unicode guarantees that none will be there).
const mark = "\U0010FFFF"

// encode returns s in a form that PostgreSQL takes for text: as it is, but for
// zero bytes and bytes that are not UTF-8, which are spelled out. Names, messages
// and paths come from programs and users, and no store may turn one away in the
// middle of a run.
func encode[T ~string](value T) string {
	s := string(value)
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 && !strings.Contains(s, mark) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == 0 || r == utf8.RuneError && size == 1 || s[:size] == mark {
			for i := range size {
				b.WriteString(mark + hex.EncodeToString([]byte{s[i]}))
			}
		} else {
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

// decode undoes what encode did to each of the values.
func decode[T ~string](values ...*T) {
	for _, value := range values {
		*value = T(decoded(string(*value)))
	}
}

func decoded(s string) string {
	head, rest, found := strings.Cut(s, mark)
	if !found {
		return s
	}
	var b strings.Builder
	for found {
		b.WriteString(head)
		if raw, err := hex.DecodeString(rest[:min(2, len(rest))]); err == nil && len(raw) == 1 {
			b.Write(raw)
			rest = rest[2:]
		}
		head, rest, found = strings.Cut(rest, mark)
	}
	b.WriteString(head)
	return b.String()
}

// texts encodes values for an array parameter.
func texts[T ~string](values []T) []string {
	encoded := make([]string, len(values))
	for i, value := range values {
		encoded[i] = encode(value)
	}
	return encoded
}
