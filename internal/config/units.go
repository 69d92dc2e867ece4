package config

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/heddle/heddle"
)

// Retention is how much is kept of runs that have ended; 0 of anything: all.
type Retention struct {
	Age   time.Duration
	Runs  int
	Bytes int64
}

// Retention returns what the settings say, or all faults in them.
func (c *Config) Retention() (Retention, []error) {
	var r Retention
	var faults []error
	for _, s := range Settings() {
		var err error
		switch s.Flag {
		case "retention-age":
			r.Age, err = ParseDuration(c.RetentionAge)
		case "retention-runs":
			if r.Runs, err = strconv.Atoi(c.RetentionRuns); err != nil || r.Runs < 0 {
				err = heddle.Errorf(heddle.CodeInvalid, "%q is not a whole number from 0", c.RetentionRuns)
			}
		case "retention-bytes":
			r.Bytes, err = ParseBytes(c.RetentionBytes)
		}
		if err != nil {
			faults = append(faults, fault(s, err.Error()))
		}
	}
	return r, faults
}

// ParseDuration reads a length of time from 0, such as 30d, 2w, 1d12h or 90m: weeks
// and days, then what [time.ParseDuration] reads.
func ParseDuration(text string) (time.Duration, error) {
	bad := heddle.Errorf(heddle.CodeInvalid, "%q is no length of time: write 30d, 2w, 12h or 90m", text)
	rest, sum := text, time.Duration(0)
	for _, unit := range []struct {
		name   string
		length time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		number, after, ok := strings.Cut(rest, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || !(n >= 0 && n*float64(unit.length) < math.MaxInt64/4) {
			return 0, bad
		}
		sum += time.Duration(n * float64(unit.length))
		if rest = after; rest == "" {
			return sum, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || d > math.MaxInt64/4 {
		return 0, bad
	}
	return sum + d, nil
}

// ParseBytes reads a number of bytes from 0, such as 10GiB, 500MB or 1048576.
func ParseBytes(text string) (int64, error) {
	n, err := humanize.ParseBytes(text)
	if err != nil || n > math.MaxInt64 {
		return 0, heddle.Errorf(heddle.CodeInvalid, "%q is no size: write 10GiB, 500MB or a number of bytes", text)
	}
	return int64(n), nil
}
