package heddle_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

func TestMergeContextLeavesItsArgumentsAlone(t *testing.T) {
	t.Parallel()
	dst := map[string]any{"o": map[string]any{"a": 1, "b": []any{1}}, "x": map[string]any{}}
	src := map[string]any{"o": map[string]any{"b": []any{2}, "c": nil}, "x": "flat"}
	want := map[string]any{"o": map[string]any{"a": 1, "b": []any{2}, "c": nil}, "x": "flat"}
	if diff := cmp.Diff(want, heddle.MergeContext(dst, src)); diff != "" {
		t.Errorf("merged (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"o": map[string]any{"a": 1, "b": []any{1}}, "x": map[string]any{}}, dst); diff != "" {
		t.Errorf("the lower one was changed:\n%s", diff)
	}
}

func TestStatusesGrowAndSayHowTheyEnd(t *testing.T) {
	t.Parallel()
	last := heddle.Status(0)
	for _, row := range heddle.Statuses() {
		if row.Status <= last {
			t.Errorf("%s stands behind %s", row.Status, last)
		}
		last = row.Status
		if row.Status.Ended() != (row.Outcome != "") {
			t.Errorf("%s: ended %v, outcome %q", row.Status, row.Status.Ended(), row.Outcome)
		}
		if row.Outcome != "" && !row.Outcome.Valid() {
			t.Errorf("%s has the strange outcome %q", row.Status, row.Outcome)
		}
	}
	if got := heddle.Status(7).String(); got != "7" {
		t.Errorf("an unknown status is called %q", got)
	}
}

func TestIDsSortByTimeAndComeApart(t *testing.T) {
	t.Parallel()
	at := time.Date(2019, 5, 10, 1, 58, 9, 942669139, time.UTC)
	first, second := heddle.NewID(at), heddle.NewID(at.Add(time.Nanosecond))
	if len(first) != 12 || !(first < second) || !heddle.RunID(first).Valid() {
		t.Errorf("IDs %s and %s", first, second)
	}
	id := heddle.NewAttemptID("nightly-2026", 7, 3)
	run, visit, n, ok := id.Split()
	if !ok || run != "nightly-2026" || visit != 7 || n != 3 {
		t.Errorf("%s comes apart as %s %d %d %v", id, run, visit, n, ok)
	}
	for _, bad := range []heddle.AttemptID{"", "a", "a-1", "-1-1", "a-0-1", "a-1-x", "../a-1-1", "a-1--1"} {
		if _, _, _, ok := bad.Split(); ok {
			t.Errorf("%q counts as the ID of an attempt", bad)
		}
	}
}

func TestAmbientKeeps(t *testing.T) {
	t.Parallel()
	a := &heddle.Ambient{Ignore: []string{"TOKEN", "AWS_*"}}
	for name, want := range map[string]bool{"PATH": true, "TOKEN": false, "TOKENS": true, "AWS_KEY": false, "AWS": true} {
		if got := a.Keeps(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if (*heddle.Ambient)(nil).Keeps("PATH") {
		t.Error("a run that asks for nothing gets PATH")
	}
}

func TestErrorsKeepTheirCodeAndCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("no such file")
	err := fmt.Errorf("opening: %w", heddle.Errorf(heddle.CodeStore, "database %s: %w", "x.db", cause))
	if heddle.CodeOf(err) != heddle.CodeStore || !errors.Is(err, cause) {
		t.Errorf("%v: code %s", err, heddle.CodeOf(err))
	}
	if got, want := err.Error(), "opening: database x.db: no such file"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if heddle.CodeOf(cause) != heddle.CodeInternal || heddle.CodeOf(nil) != "" {
		t.Error("an error without a code")
	}
	if !slices.Contains(heddle.Codes(), heddle.CodeInternal) {
		t.Error("the list of codes is not whole")
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	env := map[string]string{"A": "x", "EMPTY": "", "B": "$(A)"}
	for text, want := range map[string]string{
		"": "", "plain": "plain", "$(A)": "x", "a$(A)$(EMPTY)b": "axb", "$(B)": "$(A)", "$$(A)": "$(A)", "$$$(A)": "$x",
		"$(NONE)": "$(NONE)", "$(A": "$(A", "$A ${A} $": "$A ${A} $", "$()": "$()", "$$": "$", ")$(A)": ")x",
	} {
		if got := heddle.Expand(text, env); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
