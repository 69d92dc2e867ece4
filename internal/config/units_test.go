package config

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"0": 0, "30d": 30 * day, "2w": 14 * day, "1w2d": 9 * day, "1d12h": 36 * time.Hour, "1.5d": 36 * time.Hour,
		"90m": 90 * time.Minute, "12h": 12 * time.Hour, "0d": 0,
	} {
		if got, err := ParseDuration(text); got != want || err != nil {
			t.Errorf("%q is %v, error %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "30", "-1d", "-1h", "1d-2h", "2d1w", "1h2d", "1y", "9999999999d", "NaNd", "1dd"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestParseBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"0": 0, "1024": 1024, "10GiB": 10 << 30, "1 KiB": 1024, "500MB": 500e6} {
		if got, err := ParseBytes(text); got != want || err != nil {
			t.Errorf("%q is %d, error %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "many", "10Gibber", "99EiB"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	c, err := Load(func(name string) (string, bool) {
		return map[string]string{"HEDDLE_RETENTION_AGE": "1w", "HEDDLE_RETENTION_RUNS": "0"}[name], true
	})
	if err != nil {
		t.Fatal(err)
	}
	r, faults := c.Retention()
	if want := (Retention{Age: 7 * 24 * time.Hour, Bytes: 10 << 30}); r != want || len(faults) > 0 {
		t.Errorf("retention %+v, faults %v; want %+v", r, faults, want)
	}
	c.RetentionAge, c.RetentionRuns, c.RetentionBytes = "x", "-1", "x"
	if _, faults := c.Retention(); len(faults) != 3 {
		t.Errorf("faults %v, want three", faults)
	}
}
