package diagram

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/heddle/heddle"
)

// Dot draws the flow in Graphviz's language: groups are clusters, entries have a
// double border, what leads to a step that does not exist ends in a dashed red
// box. states is as for [Text]; outcomes among them are coloured.
func Dot(f *heddle.Flow, states map[string]string) string {
	g := newGraph(f)
	var b strings.Builder
	b.WriteString("digraph flow {\n")
	fmt.Fprintf(&b, "  label=%s;\n  node [shape=box, style=\"rounded,filled\", fillcolor=\"#ffffff\"];\n", dotQuote(f.Name))
	for _, i := range g.roots {
		g.dot(&b, i, "  ", states)
	}
	missing := 0
	for i, edges := range g.out {
		for _, e := range edges {
			target := fmt.Sprintf("s%d", e.to)
			if e.to < 0 {
				target = fmt.Sprintf("missing%d", missing)
				missing++
				fmt.Fprintf(&b, "  %s [label=%s, style=dashed, color=red];\n", target, dotQuote(e.name, "no such step"))
			}
			fmt.Fprintf(&b, "  s%d -> %s [label=%s];\n", i, target, dotQuote(e.words))
		}
	}
	b.WriteString("}\n")
	return b.String()
}

// dot writes a step. A group is a cluster that holds its own node, to which its
// edges lead, and its members.
func (g *graph) dot(b *strings.Builder, i int, indent string, states map[string]string) {
	s := &g.flow.Steps[i]
	if len(g.members[i]) > 0 {
		fmt.Fprintf(b, "%ssubgraph cluster_s%d {\n%s  label=%s;\n", indent, i, indent, dotQuote(s.Name))
		defer fmt.Fprintf(b, "%s}\n", indent)
		indent += "  "
	}
	fmt.Fprintf(b, "%ss%d [label=%s", indent, i, dotQuote(append([]string{s.Name}, g.notes(i, states)...)...))
	if g.entry[i] {
		b.WriteString(", peripheries=2")
	}
	if c := color(states[s.Name]); c != "" {
		fmt.Fprintf(b, ", fillcolor=%q", c)
	}
	b.WriteString("];\n")
	for _, m := range g.members[i] {
		g.dot(b, m, indent, states)
	}
}

// dotQuote makes a label of lines. Within its quotes Graphviz knows only \" and
// reads backslashes again when it draws the label.
func dotQuote(lines ...string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, line := range lines {
		if i > 0 {
			b.WriteString(`\n`)
		}
		for _, r := range line {
			switch {
			case r == '"' || r == '\\':
				b.WriteString(`\` + string(r))
			case r == '&': // else it begins an HTML entity
				b.WriteString("&amp;")
			case r == '\n':
				b.WriteString(`\n`)
			case unicode.IsControl(r):
				b.WriteByte(' ')
			default:
				b.WriteRune(r)
			}
		}
	}
	b.WriteByte('"')
	return b.String()
}
