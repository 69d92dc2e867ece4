package cron

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

func TestNext(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("no time zones here: ", err)
	}
	const layout = "2006-01-02 15:04:05 MST"
	tests := map[string]struct {
		expr  string
		zone  *time.Location // nil: UTC
		after string         // in the zone's local time; "": 2026-03-01 10:30:05
		want  []string
	}{
		"every minute, from within one": {expr: "* * * * *", want: []string{"2026-03-01 10:31:00 UTC", "2026-03-01 10:32:00 UTC"}},
		"a match itself is not after":   {expr: "31 10 * * *", after: "2026-03-01 10:31:00", want: []string{"2026-03-02 10:31:00 UTC"}},
		"seconds":                       {expr: "*/15 * * * * * *", want: []string{"2026-03-01 10:30:15 UTC", "2026-03-01 10:30:30 UTC"}},
		"a year":                        {expr: "0 0 1 1 * 2028-2029", want: []string{"2028-01-01 00:00:00 UTC", "2029-01-01 00:00:00 UTC"}},
		"lists, ranges and steps":       {expr: "5,10-12/2 8 * * *", want: []string{"2026-03-02 08:05:00 UTC", "2026-03-02 08:10:00 UTC", "2026-03-02 08:12:00 UTC", "2026-03-03 08:05:00 UTC"}},
		"names":                         {expr: "0 0 * JAN-apr Mon", want: []string{"2026-03-02 00:00:00 UTC", "2026-03-09 00:00:00 UTC"}},
		"sunday is 0 and 7":             {expr: "0 0 * * 7", want: []string{"2026-03-08 00:00:00 UTC"}},
		"either day counts":             {expr: "0 0 13 * 5", want: []string{"2026-03-06 00:00:00 UTC", "2026-03-13 00:00:00 UTC"}},
		"the last day":                  {expr: "0 0 L * *", want: []string{"2026-03-31 00:00:00 UTC", "2026-04-30 00:00:00 UTC"}},
		"the last working day":          {expr: "0 0 LW * *", want: []string{"2026-03-31 00:00:00 UTC", "2026-04-30 00:00:00 UTC", "2026-05-29 00:00:00 UTC"}},
		"the working day nearest":       {expr: "0 0 15W * *", want: []string{"2026-03-16 00:00:00 UTC", "2026-04-15 00:00:00 UTC"}},
		"the third friday":              {expr: "0 0 * * 5#3", want: []string{"2026-03-20 00:00:00 UTC", "2026-04-17 00:00:00 UTC"}},
		"the last friday":               {expr: "0 0 * * 5L", want: []string{"2026-03-27 00:00:00 UTC"}},
		"leap days":                     {expr: "0 0 29 2 *", want: []string{"2028-02-29 00:00:00 UTC", "2032-02-29 00:00:00 UTC"}},
		"hourly":                        {expr: "@hourly", want: []string{"2026-03-01 11:00:00 UTC"}},
		"daily":                         {expr: "@daily", want: []string{"2026-03-02 00:00:00 UTC"}},
		"weekly":                        {expr: "@weekly", want: []string{"2026-03-08 00:00:00 UTC"}},
		"monthly":                       {expr: "@monthly", want: []string{"2026-04-01 00:00:00 UTC"}},
		"yearly":                        {expr: "@yearly", want: []string{"2027-01-01 00:00:00 UTC"}},
		"annually":                      {expr: "@annually", want: []string{"2027-01-01 00:00:00 UTC"}},
		"a past year":                   {expr: "0 0 * * * 2020", want: nil},
		"the end of time":               {expr: "0 0 31 12 *", after: "2099-01-01 00:00:00", want: []string{"2099-12-31 00:00:00 UTC"}},
		"in a zone":                     {expr: "0 9 * * *", zone: berlin, want: []string{"2026-03-02 09:00:00 CET"}},
		"what the spring has not is left out": {expr: "30 2 * * *", zone: berlin, after: "2026-03-28 01:00:00",
			want: []string{"2026-03-28 02:30:00 CET", "2026-03-30 02:30:00 CEST"}},
		"what the autumn has twice counts twice": {expr: "30 2 * * *", zone: berlin, after: "2026-10-24 23:00:00",
			want: []string{"2026-10-25 02:30:00 CEST", "2026-10-25 02:30:00 CET", "2026-10-26 02:30:00 CET"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := Parse(tc.expr)
			if err != nil {
				t.Fatal(err)
			}
			if tc.zone == nil {
				tc.zone = time.UTC
			}
			if tc.after == "" {
				tc.after = "2026-03-01 10:30:05"
			}
			at, err := time.ParseInLocation(time.DateTime, tc.after, tc.zone)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for range max(1, len(tc.want)) {
				next, ok := e.Next(at)
				if !ok {
					break
				}
				at = next
				got = append(got, at.Format(layout))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestNever(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]bool{
		"0 0 30 2 *": true, "0 0 31 4,6,9,11 *": true, "0 0 29 2 * 2023": true,
		"0 0 29 2 *": false, "0 0 * * * 1970": false, "59 59 23 31 12 * 2099": false,
	} {
		e, err := Parse(expr)
		if err != nil {
			t.Fatal(err)
		}
		if e.Never() != want {
			t.Errorf("%s: never %t, want %t", expr, e.Never(), want)
		}
	}
}

func TestWhatIsNoExpression(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "NOW", "* * * *", "@every 1m", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "0 0 * * * 1969",
		"5/0 * * * *", "0 22-3 * * *", "0 0 * * FRI-MON", "0 0 1 DEC-FEB *", "0 0 * * 5#6", "2026-01-01T00:00:00Z",
	} {
		if _, err := Parse(text); heddle.CodeOf(err) != heddle.CodeInvalid {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"* * * * *", "0 0 LW JAN-MAR 5#3 2026-2030", "*/5,7 1-3/2 15W * 6L", "@hourly", "0 0 1 12-1 *", "9-5 * * * * * *"} {
		f.Add(text, int64(1_770_000_000))
	}
	f.Fuzz(func(t *testing.T, text string, at int64) {
		e, err := Parse(text)
		if err != nil {
			return
		}
		after := time.Unix(at%5e9, 0).UTC()
		if next, ok := e.Next(after); ok && !next.After(after) {
			t.Fatalf("%s: %s is not after %s", text, next, after)
		}
	})
}
