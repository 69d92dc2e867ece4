package cli

import (
	"strings"
	"testing"
	"time"
)

func TestTimes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		3 * time.Second: "just now", 42 * time.Second: "42s ago", 119 * time.Second: "1m ago",
		47 * time.Hour: "47h ago", 72 * time.Hour: "3d ago", -2 * time.Second: "in 2.0s",
	} {
		if got := ago(now.Add(-d), now); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		12 * time.Millisecond: "12ms", 9999 * time.Millisecond: "9.9s", 59 * time.Second: "59s",
		61 * time.Second: "1m01s", 90 * time.Minute: "1h30m", 50 * time.Hour: "2d02h",
	} {
		if got := short(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
	if ago(time.Time{}, now) != "" || span(time.Time{}, now, now) != "" {
		t.Error("the zero time is shown")
	}
}

func TestSinceTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	for s, want := range map[string]time.Time{
		"90m": now.Add(-90 * time.Minute), "2d": now.AddDate(0, 0, -2), "2026-01-02": time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC),
		"2026-01-02T03:04:05Z": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"yesterday":            {}, "-3h": {}, "d": {},
	} {
		got, err := sinceTime(s, now)
		if !got.Equal(want) || (err != nil) != want.IsZero() {
			t.Errorf("%q: %s, %v", s, got, err)
		}
	}
}

func TestHarmless(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":                 "plain",
		"\x1b[31mred\x1b[0m":    "red",
		"a\x1b]0;title\x07b":    "ab",
		"a\x1b]8;;url\x1b\\b":   "ab",
		"tab\there\r":           "tab here",
		"cut\x1b[3":             "cut",
		"cut\x1b":               "cut",
		"bell\x07\x00 \u009b2J": "bell 2J",
		"bad\xff\tutf":          "bad\uFFFD utf",
	} {
		if got := harmless(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestWriteYAMLKeepsTheOrderOfKeys(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	err := writeYAML(&b, struct {
		Z string            `json:"z"`
		A []int             `json:"a"`
		M map[string]string `json:"m"`
		N string            `json:"last"`
	}{"yes", []int{1, 2}, map[string]string{"k": "two\nlines"}, "1"})
	want := "z: \"yes\"\na:\n  - 1\n  - 2\nm:\n  k: |-\n    two\n    lines\nlast: \"1\"\n"
	if err != nil || b.String() != want {
		t.Errorf("%v\n%s", err, b.String())
	}
}
