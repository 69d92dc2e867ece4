package diagram

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/heddle/heddle"
)

// Text lists the flow's steps in document order, members below their group, and
// below each step what leads where. A * marks the entries. states, which may be
// nil, gives a word to say about a step, by its name.
func Text(f *heddle.Flow, states map[string]string) string {
	g := newGraph(f)
	var b strings.Builder
	b.WriteString(plain(f.Name))
	if f.Workflow != "" {
		b.WriteString(" / " + plain(f.Workflow))
	}
	b.WriteString("\n")
	for _, i := range g.roots {
		g.text(&b, i, "", states)
	}
	return b.String()
}

func (g *graph) text(b *strings.Builder, i int, indent string, states map[string]string) {
	mark := "  "
	if g.entry[i] {
		mark = "* "
	}
	b.WriteString(indent + mark + plain(g.flow.Steps[i].Name))
	if notes := g.notes(i, states); len(notes) > 0 {
		for k := range notes {
			notes[k] = clean(notes[k])
		}
		b.WriteString(" (" + strings.Join(notes, "; ") + ")")
	}
	b.WriteString("\n")
	for _, e := range g.out[i] {
		b.WriteString(indent + "      " + e.words + " -> " + plain(e.name))
		switch {
		case e.to < 0:
			b.WriteString(" (no such step)")
		case e.back:
			b.WriteString(" (loop)")
		}
		b.WriteString("\n")
	}
	for _, m := range g.members[i] {
		g.text(b, m, indent+"    ", states)
	}
}

// plain quotes a name that would not stand out as one word of the text.
func plain(name string) string {
	odd := func(r rune) bool { return !unicode.IsPrint(r) || strings.ContainsRune(`"(),;*`, r) }
	if name == "" || strings.TrimSpace(name) != name || strings.ContainsFunc(name, odd) {
		return strconv.Quote(name)
	}
	return name
}

// clean quotes a remark only if it could not be printed.
func clean(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}
