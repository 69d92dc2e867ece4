package cli

import (
	"bytes"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

// TestStepsAreToldInOrder has the news of a visit come before any of its lines, and
// after some of them: the log is the same.
func TestStepsAreToldInOrder(t *testing.T) {
	t.Parallel()
	const id = "run1"
	visit := heddle.Visit{No: 1, Step: "one", State: heddle.VisitSettled, Outcome: heddle.Success, Attempts: 2}
	flow := &heddle.Flow{Steps: []heddle.Step{{Name: "one", Result: heddle.ResultLine}}}
	lines := []heddle.LogLine{{Visit: 1, Try: 1, Text: "a"}, {Visit: 1, Try: 2, Text: "b"}, {Visit: 1, Try: 2, Text: "c"}}
	tests := map[string]int{"the news first": 0, "some lines first": 2, "all lines first": 3}
	for name, before := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fake{runs: []heddle.RunDetail{{Run: heddle.Run{ID: id}, Flow: flow}}, lines: map[heddle.RunID][]heddle.LogLine{id: lines}}
			book, _, err := newStepBook(t.Context(), f, id)
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			v := &viewer{show: &show{}, book: book, logs: f, log: slog.New(slog.NewTextHandler(&log, nil)), started: make(map[int]bool), told: make(map[try]int)}
			book.ahead[1] = visit
			read := make(map[try]int)
			for _, line := range lines[:before] {
				v.count(t.Context(), read, line)
			}
			v.update(t.Context(), heddle.RunUpdate{Visits: []heddle.Visit{visit}, Attempts: []heddle.Attempt{
				{Visit: 1, No: 1, Status: heddle.StatusAppError, ExitCode: 3}, {Visit: 1, No: 2, Status: heddle.StatusSuccess, ExitCode: 9},
			}})
			v.readLines(t.Context())
			var got []string
			for _, match := range regexp.MustCompile(`msg=("[^"]*"|\S+)`).FindAllStringSubmatch(log.String(), -1) {
				got = append(got, strings.Trim(match[1], `"`))
			}
			want := []string{"step started", "a", "b", "c", "the step said success, which counts, but its program ended otherwise", "step ended"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
