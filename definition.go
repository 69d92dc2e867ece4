package heddle

import (
	"context"
	"encoding/json"
	"slices"
	"time"
)

// Definition is a stored document, and when runs of it are made.
type Definition struct {
	// ID is a UUID in its canonical form, in lower case.
	ID           string `json:"id"`
	Organization string `json:"organization"`
	Name         string `json:"name"`
	Kind         Kind   `json:"kind"`
	// Document is what the definition was made from, as its front door keeps it; Flow is
	// what it says.
	Document json.RawMessage   `json:"document,omitempty"`
	Flow     *Flow             `json:"flow,omitempty"`
	Executor string            `json:"executor"`
	Input    Input             `json:"input,omitzero"`
	Labels   map[string]string `json:"labels,omitempty"`
	Schedule Schedule          `json:"schedule,omitzero"`
	// Enabled: the schedule makes runs. What runs once is disabled by that; so is what
	// failed as often in a row as its schedule allows.
	Enabled bool `json:"enabled"`
	// Reason says why the definition is disabled, or why its last tick made no run.
	Reason string `json:"reason,omitempty"`
	// Next is the tick to come; zero: there is none. Last is the newest that is past.
	Next time.Time `json:"next,omitzero"`
	Last time.Time `json:"last,omitzero"`
	// Counter counts the runs made; Failures those since the last success that ended otherwise.
	Counter  int64 `json:"counter"`
	Failures int   `json:"failures"`
	// LatestRun is the newest run, LatestStatus its status.
	LatestRun    RunID     `json:"latestRun,omitempty"`
	LatestStatus Status    `json:"latestStatus,omitempty"`
	Created      time.Time `json:"created"`
	Updated      time.Time `json:"updated"` // by somebody, not by the schedule
	// Deleted: nobody sees the definition any more; its runs stay.
	Deleted time.Time `json:"deleted,omitzero"`
	// Version changes with every change, those of the schedule included.
	Version int64 `json:"version"`
	// Wake is when the scheduler looks at the definition. Zero: at no time.
	Wake time.Time `json:"-"`
}

// Schedule says when runs are made. At most one of Once, At, Every, Cron and After is
// set; with none of them, runs are made on request only.
type Schedule struct {
	Once  bool      `json:"once,omitempty"`  // when the definition is made
	At    time.Time `json:"at,omitzero"`     // once, then
	Every int64     `json:"every,omitempty"` // seconds from one launch to the next; the first is at once
	// Cron is an expression in orcaoperator's dialect. Zone is the time zone that it is
	// read in, by its IANA name; "": UTC.
	Cron  string `json:"cron,omitempty"`
	Zone  string `json:"zone,omitempty"`
	After *After `json:"after,omitempty"`
	// Overlap defaults to [OverlapAllow], CatchUp to [CatchUpLast].
	Overlap Overlap `json:"overlap,omitempty"`
	CatchUp CatchUp `json:"catchUp,omitempty"`
	// CatchUpLimit bounds the runs that [CatchUpAll] makes at once; the newest ticks
	// count. 0 means [DefaultCatchUp].
	CatchUpLimit int `json:"catchUpLimit,omitempty"`
	// Jitter spreads definitions with the same schedule over so many seconds: each is
	// always late by the same part of it.
	Jitter int64 `json:"jitter,omitempty"`
	// PauseAfter disables the definition after so many failures in a row. 0: never.
	PauseAfter int `json:"pauseAfter,omitempty"`
}

// After makes a run whenever a run of another definition ends with an outcome in On
// (none: success).
type After struct {
	Definition string    `json:"definition"`
	On         []Outcome `json:"on,omitempty"`
}

// Overlap says what becomes of a tick while a run of the definition is live.
type Overlap string

// The rules for overlaps.
const (
	OverlapAllow   Overlap = "allow"   // its run is made all the same
	OverlapSkip    Overlap = "skip"    // it makes no run
	OverlapQueue   Overlap = "queue"   // its run is made when none is live; ticks that wait are caught up on then
	OverlapReplace Overlap = "replace" // the live runs are cancelled, and its run is made
)

// CatchUp says what becomes of ticks that were missed because nothing was there to
// handle them.
type CatchUp string

// The rules for catching up.
const (
	CatchUpNone CatchUp = "none" // they make no runs
	CatchUpLast CatchUp = "last" // the newest of them makes one
	CatchUpAll  CatchUp = "all"  // each makes one, within the limit
)

// DefaultCatchUp and MaxCatchUp bound the runs that are made at once for missed ticks.
const (
	DefaultCatchUp = 10
	MaxCatchUp     = 100
)

// MaxSeconds is the longest interval of a schedule, in seconds: some 31 years.
const MaxSeconds = 1_000_000_000

// Check finds what is wrong with the schedule, time zone and cron expression aside.
// Errors are of [CodeInvalid].
func (s *Schedule) Check() error {
	kinds := 0
	for _, set := range []bool{s.Once, !s.At.IsZero(), s.Every != 0, s.Cron != "", s.After != nil} {
		if set {
			kinds++
		}
	}
	switch {
	case kinds > 1:
		return Errorf(CodeInvalid, "schedule: only one of once, at, every, cron and after can be set")
	case s.Every < 0 || s.Every > MaxSeconds:
		return Errorf(CodeInvalid, "schedule: every is %d, not between 1 and %d seconds", s.Every, MaxSeconds)
	case s.Jitter < 0 || s.Jitter > MaxSeconds:
		return Errorf(CodeInvalid, "schedule: jitter is %d, not between 0 and %d seconds", s.Jitter, MaxSeconds)
	case s.Zone != "" && s.Cron == "":
		return Errorf(CodeInvalid, "schedule: a zone is for cron expressions")
	case !slices.Contains([]Overlap{"", OverlapAllow, OverlapSkip, OverlapQueue, OverlapReplace}, s.Overlap):
		return Errorf(CodeInvalid, "schedule: overlap %q is none of allow, skip, queue and replace", s.Overlap)
	case !slices.Contains([]CatchUp{"", CatchUpNone, CatchUpLast, CatchUpAll}, s.CatchUp):
		return Errorf(CodeInvalid, "schedule: catchUp %q is none of none, last and all", s.CatchUp)
	case s.CatchUpLimit < 0 || s.CatchUpLimit > MaxCatchUp:
		return Errorf(CodeInvalid, "schedule: catchUpLimit is %d, not between 0 and %d", s.CatchUpLimit, MaxCatchUp)
	case s.PauseAfter < 0:
		return Errorf(CodeInvalid, "schedule: pauseAfter is %d, less than 0", s.PauseAfter)
	}
	if s.After == nil {
		return nil
	}
	if s.After.Definition == "" {
		return Errorf(CodeInvalid, "schedule: after names no definition")
	}
	for _, outcome := range s.After.On {
		if !outcome.Valid() {
			return Errorf(CodeInvalid, "schedule: after: %q is no outcome", outcome)
		}
	}
	return nil
}

// Wants reports whether the end of a run with this outcome makes a run.
func (a *After) Wants(outcome Outcome) bool {
	if len(a.On) == 0 {
		return outcome == Success
	}
	return slices.Contains(a.On, outcome)
}

// Definitions is the service for definitions. What belongs to another organization
// than the one given is not found. Errors: [CodeNotFound], [CodeInvalid], [CodeStore].
type Definitions interface {
	// Create stores a definition: what it says of ID, Counter, Last, Failures, Created,
	// Updated and Version is ours to say. [CodeConflict]: the ID exists.
	Create(ctx context.Context, d Definition) (Definition, error)
	Get(ctx context.Context, organization, id string) (Definition, error)
	// List returns the definitions that match, newest first, a page at a time.
	List(ctx context.Context, f DefinitionFilter) (DefinitionPage, error)
	Count(ctx context.Context, f DefinitionFilter) (int, error)
	// Update replaces a definition. The fields that Create makes are kept; so is Next where
	// it is zero or past. [CodeConflict]: the stored one has another Version.
	Update(ctx context.Context, d Definition) (Definition, error)
	// Delete hides a definition, ends its schedule and cancels its live runs.
	Delete(ctx context.Context, organization, id string) error
	// Trigger makes a run at once, whether the definition is enabled or not. An
	// interval begins anew with it, and what was to run once has run.
	Trigger(ctx context.Context, organization, id string) (Run, error)
}

// DefinitionFilter selects definitions. Empty fields select all.
type DefinitionFilter struct {
	Organization string
	Name         string
	Due          time.Time // only those whose next tick is before
	Limit        int       // of the page; 0 is 50, at most 1000
	Offset       int       // leaves out so many
	After        string    // a [DefinitionPage]'s Next: go on there
}

// DefinitionPage is one page of a list, newest first.
type DefinitionPage struct {
	Definitions []Definition `json:"definitions"`
	Next        string       `json:"next,omitempty"` // "" on the last page
}
