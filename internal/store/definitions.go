package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/heddle/heddle"
)

// Definitions is what front doors need of a store for definitions. Errors are those
// of [Store].
type Definitions interface {
	// AddDefinition stores a definition; [heddle.CodeConflict] if its ID exists.
	AddDefinition(ctx context.Context, d heddle.Definition) error
	// Definition returns a definition, deleted ones too, or [heddle.CodeNotFound].
	Definition(ctx context.Context, id string) (heddle.Definition, error)
	// Definitions returns a page of those that match and are not deleted, newest first.
	Definitions(ctx context.Context, f heddle.DefinitionFilter) (heddle.DefinitionPage, error)
	// CountDefinitions counts those that match; Limit, Offset and After do not count.
	CountDefinitions(ctx context.Context, f heddle.DefinitionFilter) (int, error)
	// ReplaceDefinition stores all of a definition but ID, Organization and Created, if
	// the stored one has its Version, which then is one higher; else it answers false.
	ReplaceDefinition(ctx context.Context, d heddle.Definition) (bool, error)
}

// Ticks is what the scheduler needs of a store.
type Ticks interface {
	// DueDefinitions returns the definitions to be looked at by now, those that have
	// waited longest first, at most limit; and when the next one is due. Zero: none is.
	DueDefinitions(ctx context.Context, now time.Time, limit int) (due []heddle.Definition, next time.Time, err error)
	// MoveDefinitions does all moves with one flush, and answers each by position:
	// false means that the definition has another version by now.
	MoveDefinitions(ctx context.Context, moves []DefinitionMove) ([]bool, error)
	// EndedRuns returns runs of definitions that have ended and whose end was in no
	// move yet, oldest first.
	EndedRuns(ctx context.Context, limit int) ([]heddle.Run, error)
	// Followers returns the definitions that run after the runs of another.
	Followers(ctx context.Context, id string) ([]heddle.Definition, error)
}

// DefinitionMove is what the scheduler changes in a definition.
type DefinitionMove struct {
	// Definition stands for Enabled, Reason, Next, Last, Wake, Counter, Failures,
	// LatestRun and LatestStatus, if the stored one has its Version, which then is one
	// higher. Without an ID there is nothing to change.
	Definition heddle.Definition
	// Ended is a run whose end is done with by the move; "" for none.
	Ended heddle.RunID
}

// DefinitionColumns are the columns of a [DefinitionRow], in its order.
const DefinitionColumns = `id, organization, name, kind, executor, follows, reason, latest_run, ` +
	`document, flow, input, labels, schedule, ` +
	`enabled, next, last, wake, counter, failures, latest_status, created, updated, deleted, version`

// DefinitionRow is a definition as an SQL database keeps it.
type DefinitionRow struct {
	Texts     [8]string
	Documents [5][]byte
	Numbers   [11]int64
}

// NewDefinitionRow encodes a definition, or fails with [heddle.CodeInvalid].
func NewDefinitionRow(d *heddle.Definition) (*DefinitionRow, error) {
	r := &DefinitionRow{
		Texts: [8]string{d.ID, d.Organization, d.Name, string(d.Kind), d.Executor, "", d.Reason, string(d.LatestRun)},
		Numbers: [11]int64{0, Nanos(d.Next), Nanos(d.Last), Nanos(d.Wake), d.Counter, int64(d.Failures), int64(d.LatestStatus),
			Nanos(d.Created), Nanos(d.Updated), Nanos(d.Deleted), d.Version},
	}
	if d.Schedule.After != nil {
		r.Texts[5] = d.Schedule.After.Definition
	}
	if d.Enabled {
		r.Numbers[0] = 1
	}
	r.Documents[0] = append([]byte{}, d.Document...)
	for i, value := range []any{d.Flow, d.Input, d.Labels, d.Schedule} {
		data, err := json.Marshal(value)
		if err != nil {
			return nil, heddle.Errorf(heddle.CodeInvalid, "encoding definition %s: %w", d.ID, err)
		}
		r.Documents[i+1] = data
	}
	return r, nil
}

// Args returns the values in the order of [DefinitionColumns], texts through text.
func (r *DefinitionRow) Args(text func(string) string) []any {
	args := make([]any, 0, len(r.Texts)+len(r.Documents)+len(r.Numbers))
	for _, t := range r.Texts {
		args = append(args, text(t))
	}
	for _, d := range r.Documents {
		args = append(args, d)
	}
	for _, n := range r.Numbers {
		args = append(args, n)
	}
	return args
}

// To returns where a row's columns are to be scanned to.
func (r *DefinitionRow) To() []any {
	var to []any
	for i := range r.Texts {
		to = append(to, &r.Texts[i])
	}
	for i := range r.Documents {
		to = append(to, &r.Documents[i])
	}
	for i := range r.Numbers {
		to = append(to, &r.Numbers[i])
	}
	return to
}

// Definition decodes the row, texts through text.
func (r *DefinitionRow) Definition(text func(string) string) (heddle.Definition, error) {
	t, n := r.Texts, r.Numbers
	d := heddle.Definition{
		ID: text(t[0]), Organization: text(t[1]), Name: text(t[2]), Kind: heddle.Kind(text(t[3])), Executor: text(t[4]),
		Reason: text(t[6]), LatestRun: heddle.RunID(text(t[7])),
		Enabled: n[0] != 0, Next: Time(n[1]), Last: Time(n[2]), Wake: Time(n[3]), Counter: n[4], Failures: int(n[5]),
		LatestStatus: heddle.Status(n[6]), Created: Time(n[7]), Updated: Time(n[8]), Deleted: Time(n[9]), Version: n[10],
	}
	if len(r.Documents[0]) > 0 {
		d.Document = r.Documents[0]
	}
	for i, to := range []any{&d.Flow, &d.Input, &d.Labels, &d.Schedule} {
		if err := json.Unmarshal(r.Documents[i+1], to); err != nil {
			return d, heddle.Errorf(heddle.CodeStore, "decoding definition %s: %w", d.ID, err)
		}
	}
	return d, nil
}

// DefinitionPageOf makes a page of up to limit definitions of those found; one more
// than limit says that there are more.
func DefinitionPageOf(found []heddle.Definition, limit int) heddle.DefinitionPage {
	page := heddle.DefinitionPage{Definitions: found}
	if len(found) > limit {
		page.Definitions = found[:limit]
		last := &found[limit-1]
		page.Next = Cursor{Created: Nanos(last.Created), ID: heddle.RunID(last.ID)}.String()
	}
	return page
}
