package schedule

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	if text == "" {
		return time.Time{}
	}
	instant, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return instant.UTC()
}

const id = "6f1c2a34-0000-4000-8000-000000000001"

func TestDecide(t *testing.T) {
	t.Parallel()
	every := heddle.Schedule{Every: 60}
	with := func(s heddle.Schedule, edit func(*heddle.Schedule)) heddle.Schedule {
		edit(&s)
		return s
	}
	catchUp := func(s heddle.Schedule, rule heddle.CatchUp, limit int) heddle.Schedule {
		return with(s, func(s *heddle.Schedule) { s.CatchUp, s.CatchUpLimit = rule, limit })
	}
	overlap := func(s heddle.Schedule, rule heddle.Overlap) heddle.Schedule {
		return with(s, func(s *heddle.Schedule) { s.Overlap = rule })
	}
	hourly := heddle.Schedule{Cron: "0 * * * *"}
	for name, tc := range map[string]struct {
		schedule   heddle.Schedule
		next, now  string
		live       []heddle.RunID
		ownLive    bool // the tick's own run is live
		wantLaunch []string
		wantCancel []heddle.RunID
		wantNext   string
		wantWake   string // default: wantNext
		wantOff    bool
		wantReason string
	}{
		"an interval is measured from the launch": {
			schedule: every, next: "2026-01-01T00:00:00Z", now: "2026-01-01T00:00:03Z",
			wantLaunch: []string{"2026-01-01T00:00:00Z"}, wantNext: "2026-01-01T00:01:03Z",
		},
		"once is once": {
			schedule: heddle.Schedule{Once: true}, next: "2026-01-01T00:00:00Z", now: "2026-01-01T00:00:00Z",
			wantLaunch: []string{"2026-01-01T00:00:00Z"}, wantNext: "2026-01-01T00:00:00Z", wantOff: true, wantReason: "has run",
		},
		"an instant that passed while nothing ran is caught up on": {
			schedule: heddle.Schedule{At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}, next: "2026-01-01T00:00:00Z", now: "2026-03-01T00:00:00Z",
			wantLaunch: []string{"2026-01-01T00:00:00Z"}, wantNext: "2026-01-01T00:00:00Z", wantOff: true, wantReason: "has run",
		},
		"an instant that passed is left out if so asked": {
			schedule: heddle.Schedule{At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), CatchUp: heddle.CatchUpNone}, next: "2026-01-01T00:00:00Z", now: "2026-03-01T00:00:00Z",
			wantNext: "2026-01-01T00:00:00Z", wantOff: true, wantReason: "missed the tick of 2026-01-01T00:00:00Z",
		},
		"downtime of an interval gives one run": {
			schedule: every, next: "2026-01-01T00:00:00Z", now: "2026-01-01T01:00:30Z",
			wantLaunch: []string{"2026-01-01T01:00:00Z"}, wantNext: "2026-01-01T01:01:30Z",
		},
		"downtime of a cron expression gives one run": {
			schedule: hourly, next: "2026-01-01T00:00:00Z", now: "2026-01-02T05:30:00Z",
			wantLaunch: []string{"2026-01-02T05:00:00Z"}, wantNext: "2026-01-02T06:00:00Z",
		},
		"none is caught up on": {
			schedule: catchUp(hourly, heddle.CatchUpNone, 0), next: "2026-01-01T00:00:00Z", now: "2026-01-02T05:30:00Z",
			wantNext: "2026-01-02T06:00:00Z", wantReason: "missed the tick of 2026-01-01T00:00:00Z",
		},
		"a tick that is a little late was not missed": {
			schedule: catchUp(hourly, heddle.CatchUpNone, 0), next: "2026-01-01T00:00:00Z", now: "2026-01-01T00:00:09Z",
			wantLaunch: []string{"2026-01-01T00:00:00Z"}, wantNext: "2026-01-01T01:00:00Z",
		},
		"all are caught up on": {
			schedule: catchUp(hourly, heddle.CatchUpAll, 0), next: "2026-01-01T00:00:00Z", now: "2026-01-01T02:30:00Z",
			wantLaunch: []string{"2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"}, wantNext: "2026-01-01T03:00:00Z",
		},
		"all are caught up on within the limit, the newest": {
			schedule: catchUp(heddle.Schedule{Cron: "* * * * * * *"}, heddle.CatchUpAll, 2), next: "2025-01-01T00:00:00Z", now: "2026-01-01T02:30:00Z",
			wantLaunch: []string{"2026-01-01T02:29:59Z", "2026-01-01T02:30:00Z"}, wantNext: "2026-01-01T02:30:01Z",
		},
		"all of an interval": {
			schedule: catchUp(every, heddle.CatchUpAll, 2), next: "2026-01-01T00:00:00Z", now: "2026-01-01T00:03:30Z",
			wantLaunch: []string{"2026-01-01T00:02:00Z", "2026-01-01T00:03:00Z"}, wantNext: "2026-01-01T00:04:30Z",
		},
		"overlap is allowed": {
			schedule: every, next: "2026-01-01T00:00:00Z", now: "2026-01-01T00:00:00Z", live: []heddle.RunID{"other"},
			wantLaunch: []string{"2026-01-01T00:00:00Z"}, wantNext: "2026-01-01T00:01:00Z",
		},
		"overlap is skipped": {
			schedule: overlap(every, heddle.OverlapSkip), next: "2026-01-01T00:00:00Z", now: "2026-01-01T00:00:00Z", live: []heddle.RunID{"other"},
			wantNext: "2026-01-01T00:01:00Z", wantReason: "skipped the tick of 2026-01-01T00:00:00Z: run other is live",
		},
		"a tick's own run is in nobody's way": {
			schedule: overlap(every, heddle.OverlapSkip), next: "2026-01-01T00:00:00Z", now: "2026-01-01T00:00:00Z", ownLive: true,
			wantLaunch: []string{"2026-01-01T00:00:00Z"}, wantNext: "2026-01-01T00:01:00Z",
		},
		"overlap replaces": {
			schedule: overlap(every, heddle.OverlapReplace), next: "2026-01-01T00:00:00Z", now: "2026-01-01T00:00:00Z", live: []heddle.RunID{"other"},
			wantLaunch: []string{"2026-01-01T00:00:00Z"}, wantCancel: []heddle.RunID{"other"}, wantNext: "2026-01-01T00:01:00Z",
		},
		"overlap queues": {
			schedule: overlap(every, heddle.OverlapQueue), next: "2026-01-01T00:00:00Z", now: "2026-01-01T00:00:00Z", live: []heddle.RunID{"other"},
			wantNext: "2026-01-01T00:00:00Z", wantWake: "2026-01-01T00:00:30Z", wantReason: "waits for the end of run other",
		},
		"of several that queue one goes on": {
			schedule: overlap(catchUp(hourly, heddle.CatchUpAll, 2), heddle.OverlapQueue), next: "2026-01-01T00:00:00Z", now: "2026-01-01T02:30:00Z",
			wantLaunch: []string{"2026-01-01T01:00:00Z"}, wantNext: "2026-01-01T02:00:00Z",
		},
		"a tick that had to queue was not missed": {
			schedule: overlap(catchUp(hourly, heddle.CatchUpNone, 0), heddle.OverlapQueue), next: "2026-01-01T00:00:00Z", now: "2026-01-01T00:30:00Z",
			wantLaunch: []string{"2026-01-01T00:00:00Z"}, wantNext: "2026-01-01T01:00:00Z",
		},
		"the hour that is left out in spring has no tick": {
			schedule: heddle.Schedule{Cron: "30 2 * * *", Zone: "Europe/Berlin"}, next: "2026-03-28T01:30:00Z", now: "2026-03-28T01:30:00Z",
			wantLaunch: []string{"2026-03-28T01:30:00Z"}, wantNext: "2026-03-30T00:30:00Z",
		},
		"the hour that comes twice in autumn has two ticks": {
			schedule: heddle.Schedule{Cron: "30 2 * * *", Zone: "Europe/Berlin"}, next: "2026-10-25T00:30:00Z", now: "2026-10-25T00:30:00Z",
			wantLaunch: []string{"2026-10-25T00:30:00Z"}, wantNext: "2026-10-25T01:30:00Z",
		},
		"noon stays noon over a change of clocks": {
			schedule: heddle.Schedule{Cron: "0 12 * * *", Zone: "America/New_York"}, next: "2026-03-07T17:00:00Z", now: "2026-03-07T17:00:00Z",
			wantLaunch: []string{"2026-03-07T17:00:00Z"}, wantNext: "2026-03-08T16:00:00Z",
		},
		"an expression that runs out": {
			schedule: heddle.Schedule{Cron: "0 0 12 1 1 * 2026"}, next: "2026-01-01T12:00:00Z", now: "2026-01-01T12:00:00Z",
			wantLaunch: []string{"2026-01-01T12:00:00Z"},
		},
		"what another's end made a tick": {
			schedule: heddle.Schedule{After: &heddle.After{Definition: "x"}, Overlap: heddle.OverlapQueue}, next: "2026-01-01T12:00:00Z", now: "2026-01-01T14:00:00Z",
			wantLaunch: []string{"2026-01-01T12:00:00Z"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := heddle.Definition{ID: id, Schedule: tc.schedule, Enabled: true, Next: at(t, tc.next), Version: 1}
			d.Wake = d.Next
			live := tc.live
			if tc.ownLive {
				live = append(live, TickID(id, d.Next))
			}
			got, err := decide(d, live, at(t, tc.now))
			if err != nil {
				t.Fatal(err)
			}
			var launch []time.Time
			for _, text := range tc.wantLaunch {
				launch = append(launch, at(t, text))
			}
			if diff := cmp.Diff(launch, got.launch); diff != "" && len(launch)+len(got.launch) > 0 {
				t.Errorf("launch (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantCancel, got.cancel); diff != "" && len(tc.wantCancel)+len(got.cancel) > 0 {
				t.Errorf("cancel (-want +got):\n%s", diff)
			}
			wake := tc.wantWake
			if wake == "" && !tc.wantOff {
				wake = tc.wantNext
			}
			if !got.after.Next.Equal(at(t, tc.wantNext)) || !got.after.Wake.Equal(at(t, wake)) {
				t.Errorf("next %v, wake %v, want %s and %s", got.after.Next, got.after.Wake, tc.wantNext, wake)
			}
			if got.after.Enabled == tc.wantOff || got.after.Reason != tc.wantReason {
				t.Errorf("enabled %v because %q, want %v because %q", got.after.Enabled, got.after.Reason, !tc.wantOff, tc.wantReason)
			}
		})
	}
}

func TestJitterIsTheDefinitionsOwn(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	delays := map[time.Duration]bool{}
	for i := range 50 {
		d := heddle.Definition{ID: fmt.Sprintf("6f1c2a34-0000-4000-8000-%012d", i), Enabled: true, Next: noon,
			Schedule: heddle.Schedule{Cron: "0 * * * *", Jitter: 600}}
		c, err := clockOf(&d)
		if err != nil {
			t.Fatal(err)
		}
		delay := c.wake(&d).Sub(noon)
		if delay < 0 || delay >= 600*time.Second {
			t.Fatalf("delay %v", delay)
		}
		delays[delay] = true
		got, err := decide(d, nil, noon.Add(delay))
		if err != nil || len(got.launch) != 1 || !got.launch[0].Equal(noon) || !got.after.Next.Equal(noon.Add(time.Hour)) ||
			got.after.Wake.Sub(got.after.Next) != delay {
			t.Fatalf("delay %v: %+v, error %v", delay, got, err)
		}
	}
	if len(delays) < 40 {
		t.Fatalf("50 definitions have %d delays", len(delays))
	}
}

func TestTickIDs(t *testing.T) {
	t.Parallel()
	tick := time.Date(2026, 1, 1, 0, 0, 0, 1, time.UTC)
	seen := map[heddle.RunID]bool{}
	for _, made := range []heddle.RunID{TickID(id, tick), TickID(id, tick.Add(1)), TickID("6f1c2a34-0000-4000-8000-000000000002", tick), followID(id, "run")} {
		if !made.Valid() || len(made) != 36 {
			t.Errorf("%q is no ID", made)
		}
		seen[made] = true
	}
	if len(seen) != 4 || TickID(id, tick) != TickID(id, tick.In(time.FixedZone("x", 3600))) {
		t.Errorf("IDs are not one for each tick: %v", seen)
	}
}

func TestPreview(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 10, 24, 23, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		d    heddle.Definition
		want []string
	}{
		"cron in a zone": {d: heddle.Definition{Enabled: true, Next: now.Add(90 * time.Minute), Schedule: heddle.Schedule{Cron: "30 2 * * *", Zone: "Europe/Berlin"}},
			want: []string{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"}},
		"an interval": {d: heddle.Definition{Enabled: true, Next: now, Schedule: heddle.Schedule{Every: 10}},
			want: []string{"2026-10-24T23:00:00Z", "2026-10-24T23:00:10Z", "2026-10-24T23:00:20Z"}},
		"once":        {d: heddle.Definition{Enabled: true, Next: now, Schedule: heddle.Schedule{Once: true}}, want: []string{"2026-10-24T23:00:00Z"}},
		"disabled":    {d: heddle.Definition{Next: now, Schedule: heddle.Schedule{Every: 10}}},
		"on request":  {d: heddle.Definition{Enabled: true}},
		"it runs out": {d: heddle.Definition{Enabled: true, Next: now.Add(time.Hour), Schedule: heddle.Schedule{Cron: "0 0 0 25 10 * 2026"}}, want: []string{"2026-10-25T00:00:00Z"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ticks, err := Preview(tc.d, now, 3)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, tick := range ticks {
				got = append(got, tick.Format(time.RFC3339))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
		})
	}
}
