package machine

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	diff "github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

var update = flag.Bool("update", false, "write docs/states.md anew")

// TestStatesDocument: docs/states.md is made from the tables.
func TestStatesDocument(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "..", "docs", "states.md")
	want := statesDocument()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := diff.Diff(want, string(got)); d != "" {
		t.Errorf("run go test ./internal/machine -run TestStatesDocument -update (-tables +file): %s", d)
	}
}

func statesDocument() string {
	var b strings.Builder
	b.WriteString(`# States

This page is made from the tables in ` + "`internal/machine/event.go` and `status.go`" + ` by

    go test ./internal/machine -run TestStatesDocument -update

A transition that is not drawn here does not happen.

## Visits

A visit is one opening of a step. Only settled visits lead on to other steps and
count for the verdict.

`)
	visits := VisitTransitions()
	drawn := make([]Transition[string], len(visits))
	for i, row := range visits {
		drawn[i] = Transition[string]{From: string(row.From), Event: row.Event, To: string(row.To)}
	}
	diagram(&b, drawn)
	b.WriteString(`
| event | meaning |
|---|---|
| hold | its busy key or the limit of its matrix is taken |
| admit | it may start |
| enter | a group opens together with its members |
| place | an attempt is deployed |
| retry | the attempt did not end well, and the next may start at once |
| pause | the attempt did not end well, and the next may start later |
| wake | the back-off is over |
| settle | the visit has its outcome |

## Attempts

An attempt is one try of a visit. "Ended" stands for the statuses below that have
an outcome.

`)
	attempts := AttemptTransitions()
	drawn = make([]Transition[string], len(attempts))
	for i, row := range attempts {
		drawn[i] = Transition[string]{From: statusNode(row.From), Event: row.Event, To: statusNode(row.To)}
	}
	diagram(&b, drawn)
	b.WriteString(`
| event | meaning |
|---|---|
| place | it is committed, and the executor is told |
| acknowledge | the executor answers for it |
| run | its program runs |
| end | it is over |

## Statuses of attempts

| number | name | word | outcome |
|---|---|---|---|
`)
	for _, info := range heddle.Statuses() {
		outcome := string(info.Outcome)
		if outcome == "" {
			outcome = "open"
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", int(info.Status), info.Name, info.Word, outcome)
	}
	b.WriteString("\nWhat could not be run (PROC_ERROR) is an abort in job files and a failure elsewhere.\n")
	return b.String()
}

func statusNode(s heddle.Status) string {
	if s.Ended() {
		return "Ended"
	}
	return s.String()
}

// diagram draws a table with Mermaid. "" is before the first state; what leads
// nowhere is an end.
func diagram(b *strings.Builder, table []Transition[string]) {
	b.WriteString("```mermaid\nstateDiagram-v2\n")
	leads, ends := map[string]bool{"": true}, []string(nil)
	for _, row := range table {
		leads[row.From] = true
	}
	if table[0].From != "" {
		fmt.Fprintf(b, "    [*] --> %s\n", table[0].From)
	}
	for _, row := range table {
		from := row.From
		if from == "" {
			from = "[*]"
		}
		fmt.Fprintf(b, "    %s --> %s: %s\n", from, row.To, row.Event)
		if !leads[row.To] {
			leads[row.To] = true
			ends = append(ends, row.To)
		}
	}
	for _, end := range ends {
		fmt.Fprintf(b, "    %s --> [*]\n", end)
	}
	b.WriteString("```\n")
}

// TestEveryEventIsExplained: the document's tables name each event of the diagrams.
func TestEveryEventIsExplained(t *testing.T) {
	t.Parallel()
	text := statesDocument()
	events := map[string]bool{}
	for _, row := range VisitTransitions() {
		events[row.Event] = true
	}
	for _, row := range AttemptTransitions() {
		events[row.Event] = true
	}
	for event := range events {
		if !strings.Contains(text, "\n| "+event+" | ") {
			t.Errorf("the event %q is not explained", event)
		}
	}
}
