package manifest

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/heddle/heddle"
)

var (
	envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
	envRef  = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_.-]*)\}`)
)

// Dotenv reads a file of variables, one NAME=value a line; blank lines and lines
// that begin with # do not count, and a leading "export " is allowed. The rules
// are those that kog's --env-file is described by, which no library follows:
//
//   - 'single quotes' are literal; "double quotes" know \n, \" and \\;
//   - a value without quotes is trimmed, and " #" begins a comment;
//   - ${NAME} is the value that an earlier line gave, "" if none did, except in
//     single quotes; nothing else is expanded.
//
// A later line wins over an earlier one of the same name. Any other line is an
// error of [heddle.CodeInvalid] that names it as name:line.
func Dotenv(name string, data []byte) (map[string]string, error) {
	d := &dotenv{env: map[string]string{}, room: maxFetch}
	text := strings.TrimPrefix(string(data), "\uFEFF")
	no := 0
	for line := range strings.Lines(text) {
		no++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, wrong := d.line(line)
		if d.room < 0 {
			wrong = fmt.Sprintf("expanding ${NAME} has made more than %d MiB by here", maxFetch>>20)
		}
		if wrong != "" {
			return nil, heddle.Errorf(heddle.CodeInvalid, "%s:%d: %s", name, no, wrong)
		}
		d.env[key] = value
	}
	return d.env, nil
}

// dotenv is a file that is being read. room is how many bytes expansion may still
// add: lines that double each other would soon fill the memory.
type dotenv struct {
	env  map[string]string
	room int
}

func (d *dotenv) expand(s string) string {
	return envRef.ReplaceAllStringFunc(s, func(ref string) string {
		value := d.env[ref[2:len(ref)-1]]
		if d.room -= len(value); d.room < 0 {
			return ""
		}
		return value
	})
}

// line reads one line. What is wrong is told without the line's text, which
// may hold a secret.
func (d *dotenv) line(line string) (key, value, wrong string) {
	if !utf8.ValidString(line) || strings.Contains(line, "\x00") {
		return "", "", "the line is not text in UTF-8"
	}
	if rest, ok := strings.CutPrefix(line, "export"); ok && rest != strings.TrimLeft(rest, " \t") {
		line = strings.TrimLeft(rest, " \t")
	}
	key, raw, ok := strings.Cut(line, "=")
	key, rest := strings.TrimSpace(key), strings.TrimSpace(raw)
	switch {
	case !ok:
		return "", "", "the line has no ="
	case !envName.MatchString(key):
		return "", "", "what stands before the = cannot be the name of a variable"
	case rest == "":
		return key, "", ""
	}
	if rest[0] != '\'' && rest[0] != '"' {
		return key, d.expand(uncomment(raw)), ""
	}
	value, tail, closed := quoted(rest)
	switch {
	case !closed:
		return "", "", "the quote is not closed in this line"
	case uncomment(" "+tail) != "":
		return "", "", "there is more after the closing quote"
	case rest[0] == '"':
		return key, unescape(value, d.expand), ""
	}
	return key, value, ""
}

// uncomment cuts a comment off and trims what is left.
func uncomment(s string) string {
	for i := 1; i < len(s); i++ {
		if s[i] == '#' && (s[i-1] == ' ' || s[i-1] == '\t') {
			s = s[:i]
			break
		}
	}
	return strings.TrimSpace(s)
}

// quoted returns what stands within the quotes that s begins with, and what follows.
func quoted(s string) (inside, tail string, closed bool) {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && s[0] == '"':
			i++
		case s[i] == s[0]:
			return s[1:i], s[i+1:], true
		}
	}
	return "", "", false
}

// unescape resolves the three escapes and expands what stands between them, so
// that nothing is read twice. Other backslashes stay.
func unescape(s string, expand func(string) string) string {
	escapes := map[byte]string{'n': "\n", '"': `"`, '\\': `\`}
	var out strings.Builder
	from := 0
	for i := 0; i+1 < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		if plain, ok := escapes[s[i+1]]; ok {
			out.WriteString(expand(s[from:i]) + plain)
			from = i + 2
		}
		i++
	}
	return out.String() + expand(s[from:])
}
