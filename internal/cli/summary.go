package cli

import (
	"fmt"
	"strings"

	"github.com/heddle/heddle"
)

// summaryVisits bounds the steps in a summary.
const summaryVisits = 200

// summary is what stays on a terminal after a run that was shown live: a line for
// each visit, the verdict and why, and where to read more.
func summary(d heddle.RunDetail, colour bool) string {
	var b strings.Builder
	visits := d.Visits
	if skip := len(visits) - summaryVisits; skip > 0 {
		visits = visits[skip:]
		fmt.Fprintf(&b, "... %d earlier steps: heddle runs show %s\n", skip, d.Run.ID)
	}
	var plain strings.Builder
	t := newTable(&plain)
	for _, v := range visits {
		row(t, visitName(d.Flow, v), string(v.Outcome), span(v.Opened, v.Settled, v.Settled), v.Message)
	}
	_ = t.Flush() // to a string
	// Colour comes after the alignment, which would count its control sequences.
	i := 0
	for line := range strings.Lines(plain.String()) {
		mark, c := markOf(visits[i])
		b.WriteString(paint(colour, c, mark) + " " + line)
		i++
	}
	_, c := markOf(heddle.Visit{State: heddle.VisitSettled, Outcome: d.Run.Outcome})
	fmt.Fprintf(&b, "%s after %s", paint(colour, c, string(d.Run.Outcome)), span(d.Run.Created, d.Run.Ended, d.Run.Ended))
	if d.Run.Message != "" {
		b.WriteString(": " + harmless(d.Run.Message))
	}
	fmt.Fprintf(&b, "\nlogs: heddle runs logs %s\n", d.Run.ID)
	return b.String()
}
