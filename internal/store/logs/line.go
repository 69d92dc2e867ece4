package logs

import (
	"strings"
	"time"

	"github.com/heddle/heddle"
)

// maxLine bounds a line that is joined from parts, in bytes. A longer one is
// yielded in pieces.
const maxLine = 1 << 20

// decode takes a line of the format apart; ok is false when it is not one.
func decode(line string) (at time.Time, stream, text string, partial, ok bool) {
	stamp, rest, ok1 := strings.Cut(line, " ")
	stream, rest, ok2 := strings.Cut(rest, " ")
	// A line with empty text may end in its tag.
	tags, text, _ := strings.Cut(rest, " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	// There may be more tags one day, after a colon.
	tag, _, _ := strings.Cut(tags, ":")
	if !ok1 || !ok2 || err != nil || stream == "" || tag != "F" && tag != "P" {
		return time.Time{}, "", "", false, false
	}
	return at.UTC(), stream, text, tag == "P", true
}

// joiner makes lines of an attempt of what stands in its file. Parts of one line
// follow each other within a stream, but streams may be mixed.
type joiner struct {
	visit, try int
	open       []*part
}

type part struct {
	at     time.Time
	stream string
	text   strings.Builder
}

// add takes one line of the file, without its end, and yields what is whole. What
// is not of the format is yielded as a remark, so that nothing is hidden.
func (j *joiner) add(line string, yield func(heddle.LogLine) bool) bool {
	if line == "" {
		return true
	}
	at, stream, text, partial, ok := decode(line)
	if !ok {
		return yield(j.line(time.Time{}, "heddle", line))
	}
	i := j.find(stream)
	if i < 0 && !partial {
		return yield(j.line(at, stream, text))
	}
	if i < 0 {
		j.open = append(j.open, &part{at: at, stream: stream})
		i = len(j.open) - 1
	}
	p := j.open[i]
	p.text.WriteString(text)
	if partial && p.text.Len() < maxLine {
		return true
	}
	whole := j.line(p.at, stream, p.text.String())
	j.open = append(j.open[:i:i], j.open[i+1:]...)
	return yield(whole)
}

// flush yields the lines whose end is missing.
func (j *joiner) flush(yield func(heddle.LogLine) bool) bool {
	open := j.open
	j.open = nil
	for i := range open {
		if !yield(j.line(open[i].at, open[i].stream, open[i].text.String())) {
			return false
		}
	}
	return true
}

func (j *joiner) find(stream string) int {
	for i := range j.open {
		if j.open[i].stream == stream {
			return i
		}
	}
	return -1
}

func (j *joiner) line(at time.Time, stream, text string) heddle.LogLine {
	return heddle.LogLine{Time: at, Visit: j.visit, Try: j.try, Stream: stream, Text: strings.ToValidUTF8(text, "\uFFFD")}
}
