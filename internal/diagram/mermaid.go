package diagram

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/heddle/heddle"
)

// Mermaid draws the flow as a Mermaid flowchart: groups are subgraphs, entries are
// stadiums, or subgraphs with a thick border, what leads to a step that does not exist ends in a dashed red box.
// states is as for [Text]; outcomes among them are coloured.
func Mermaid(f *heddle.Flow, states map[string]string) string {
	g := newGraph(f)
	var b strings.Builder
	b.WriteString("flowchart TD\n")
	for _, i := range g.roots {
		g.mermaid(&b, i, "  ", states)
	}
	missing := 0
	for i, edges := range g.out {
		for _, e := range edges {
			target := fmt.Sprintf("s%d", e.to)
			if e.to < 0 {
				target = fmt.Sprintf("missing%d", missing)
				missing++
				fmt.Fprintf(&b, "  %s[%s]\n  style %s stroke:#d32f2f,stroke-dasharray:4\n", target, mermaidQuote(e.name, "no such step"), target)
			}
			fmt.Fprintf(&b, "  s%d -->|%s| %s\n", i, mermaidQuote(e.words), target)
		}
	}
	for i := range f.Steps {
		if g.entry[i] && len(g.members[i]) > 0 {
			fmt.Fprintf(&b, "  style s%d stroke-width:3px\n", i)
		}
		if c := color(states[f.Steps[i].Name]); c != "" {
			fmt.Fprintf(&b, "  style s%d fill:%s\n", i, c)
		}
	}
	return b.String()
}

func (g *graph) mermaid(b *strings.Builder, i int, indent string, states map[string]string) {
	label := mermaidQuote(append([]string{g.flow.Steps[i].Name}, g.notes(i, states)...)...)
	if len(g.members[i]) == 0 {
		shape := "[%s]"
		if g.entry[i] {
			shape = "([%s])"
		}
		fmt.Fprintf(b, "%ss%d"+shape+"\n", indent, i, label)
		return
	}
	fmt.Fprintf(b, "%ssubgraph s%d[%s]\n", indent, i, label)
	for _, m := range g.members[i] {
		g.mermaid(b, m, indent+"  ", states)
	}
	b.WriteString(indent + "end\n")
}

// mermaidQuote makes a label of lines. Mermaid's escapes are entities with # for
// the ampersand; all that could be markup is written so.
func mermaidQuote(lines ...string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, line := range lines {
		if i > 0 {
			b.WriteString("<br/>")
		}
		if line == "" {
			line = " "
		}
		for _, r := range line {
			switch {
			case strings.ContainsRune("\"#&<>`\\*_~|;%$", r):
				fmt.Fprintf(&b, "#%d;", r)
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
