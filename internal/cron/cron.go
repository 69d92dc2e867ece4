// Package cron reads cron expressions in orcaoperator's dialect: 5 fields (minute,
// hour, day of month, month, day of week), 6 with a year after them, 7 with seconds
// before them too; names of months and days, L, W and #; and @yearly, @annually,
// @monthly, @weekly, @daily and @hourly. Years go from 1970 to 2099.
package cron

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/cronexpr"

	"github.com/heddle/heddle"
)

// Expr is an expression that has been read. Several goroutines may use it at once.
type Expr struct{ x cronexpr.Expression }

// Parse reads an expression. Its errors are of [heddle.CodeInvalid].
func Parse(text string) (*Expr, error) {
	for _, r := range ranges.FindAllStringSubmatch(text, -1) {
		from, to := number(r[1]), number(r[2])
		if from > to && to >= 0 { // the library takes it for nothing at all
			return nil, heddle.Errorf(heddle.CodeInvalid, "the cron expression %q cannot be read: the range %s runs backwards", text, r[0])
		}
	}
	x, err := cronexpr.Parse(text)
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeInvalid, "the cron expression %q cannot be read: %w", text, err)
	}
	return &Expr{x: *x}, nil
}

var ranges = regexp.MustCompile(`([0-9A-Za-z]+)-([0-9A-Za-z]+)`)

// number is what an end of a range stands for; -1 for no number and no name.
func number(text string) int {
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	const letters = 3 // of a name that count
	word := strings.ToLower(text)
	for _, names := range []string{"sunmontuewedthufrisat", "xxxjanfebmaraprmayjunjulaugsepoctnovdec"} {
		for i := 0; i < len(names); i += letters {
			if strings.HasPrefix(word, names[i:i+letters]) {
				return i / letters
			}
		}
	}
	return -1
}

// Next returns the first time after the given one that matches, in that one's time
// zone; ok is false when there is none. Where clocks are put forward, what falls
// into the gap is left out; where they are put back, the hour that comes twice
// counts twice.
func (e *Expr) Next(after time.Time) (next time.Time, ok bool) {
	x := e.x // the library writes into it
	next = x.Next(after)
	return next, next.After(after)
}

// Never reports whether no time at all matches, such as the 30th of February.
func (e *Expr) Never() bool {
	_, ok := e.Next(time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC))
	return !ok
}
