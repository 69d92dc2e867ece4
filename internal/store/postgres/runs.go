package postgres

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// planEachTime has the server plan a query for the values that it comes with. What
// suits one label or name does not suit another, and after a few times the server
// would settle for one plan.
const planEachTime = pgx.QueryExecModeCacheDescribe

// Runs implements [store.History].
func (s *Store) Runs(ctx context.Context, f heddle.RunFilter) (heddle.RunPage, error) {
	page, limit := heddle.RunPage{Runs: []heddle.Run{}}, store.PageSize(f.Limit)
	err := s.call(ctx, "listing runs", func(ctx context.Context) error {
		label, err := s.labelToFollow(ctx, f)
		if err != nil {
			return err
		}
		selects, err := selectsFor(f, label)
		if err != nil || len(selects) == 0 {
			return err
		}
		text, args := joinSelects(selects, limit+1)
		args = append([]any{planEachTime}, args...)
		return s.rows(ctx, func(row pgx.Row) error {
			var r heddle.Run
			err := scanRun(row, &r)
			page.Runs = append(page.Runs, r)
			return err
		}, text, args...)
	})
	if err != nil {
		return heddle.RunPage{}, err
	}
	if len(page.Runs) > limit {
		page.Runs = page.Runs[:limit]
		last := &page.Runs[limit-1]
		page.Next = store.Cursor{Created: store.Nanos(last.Created), ID: last.ID}.String()
	}
	return page, nil
}

// selectsFor makes the selects whose newest runs together are the page; none when
// nothing can match. With a label, that one leads to the runs.
//
// Each index ends in (created, id), but gives that order only below a single value
// of the columns before. So there is one select per value, each of which stops by
// itself at the limit.
func selectsFor(f heddle.RunFilter, label string) ([]*clause, error) {
	statuses, allStatuses := store.RunStatuses(f)
	byRun, err := window("r.created", "r.id", f)
	if err != nil {
		return nil, err
	}
	kinds := slices.Compact(slices.Sorted(slices.Values(f.Kinds)))
	var selects []*clause
	switch {
	case len(statuses) == 0:
	case len(f.IDs) > 0:
		c := byRun.with("r.id = ANY(?)", texts(f.IDs))
		selects = append(selects, c.organization(f).kinds(f).statuses(statuses, allStatuses).name(f).definition(f).labels(f.Labels))
	case f.Definition != "":
		for _, status := range statuses {
			selects = append(selects, byRun.definition(f).organization(f).with("r.status = ?", status).kinds(f).name(f).labels(f.Labels))
		}
	case label != "":
		c, err := byLabel(f, label)
		if err != nil {
			return nil, err
		}
		selects = append(selects, c.organization(f).kinds(f).statuses(statuses, allStatuses).name(f))
	case f.Name != "":
		for _, status := range statuses {
			selects = append(selects, byRun.name(f).with("r.status = ?", status).organization(f).kinds(f).labels(f.Labels))
		}
	case f.Organization != "" && (len(kinds) > 0 || !allStatuses):
		selects = ofOrganization(byRun, f, kinds, statuses)
	case f.Organization != "":
		selects = append(selects, byRun.organization(f).labels(f.Labels))
	case len(kinds) > 0 && len(kinds) < maxKinds:
		for _, kind := range kinds {
			for _, status := range statuses {
				selects = append(selects, byRun.with("r.kind = ? AND r.status = ?", encode(kind), status).labels(f.Labels))
			}
		}
	case !allStatuses:
		for _, status := range statuses {
			selects = append(selects, byRun.with("r.status = ?", status).kinds(f).labels(f.Labels))
		}
	default:
		selects = append(selects, byRun.kinds(f).labels(f.Labels))
	}
	return selects, nil
}

// maxKinds keeps the number of selects small.
const maxKinds = 20

// ofOrganization makes a select for each kind and status, as the index has them.
func ofOrganization(byRun *clause, f heddle.RunFilter, kinds []heddle.Kind, statuses []string) []*clause {
	if len(kinds) == 0 || len(kinds) >= maxKinds {
		kinds = slices.DeleteFunc(heddle.Kinds(), func(k heddle.Kind) bool { return len(kinds) > 0 && !slices.Contains(kinds, k) })
	}
	var selects []*clause
	for _, kind := range kinds {
		for _, status := range statuses {
			selects = append(selects, byRun.organization(f).with("r.kind = ? AND r.status = ?", encode(kind), status).labels(f.Labels))
		}
	}
	return selects
}

// few is a number of rows that can be gone through in no time.
const few = 2000

// labelToFollow chooses which of the wanted labels leads to the runs: the one that
// the fewest have, or "" when the rest of the filter leads to fewer. Counting stops
// at a few, so of conditions that many runs meet any is as good.
func (s *Store) labelToFollow(ctx context.Context, f heddle.RunFilter) (string, error) {
	if len(f.Labels) == 0 || len(f.IDs) > 0 || f.Definition != "" {
		return "", nil
	}
	best, least := "", few+1
	for _, key := range slices.Sorted(maps.Keys(f.Labels)) {
		n, err := s.count(ctx, "labels l", (&clause{}).label(key, f.Labels[key]))
		if err != nil {
			return "", err
		}
		if n < least {
			best, least = key, n
		}
	}
	if least < few {
		return best, nil
	}
	f.Labels = nil
	rest, err := selectsFor(f, "")
	if err != nil {
		return "", err
	}
	n := 0
	for _, c := range rest {
		more, err := s.count(ctx, "runs r", c)
		if err != nil {
			return "", err
		}
		if n += more; n >= few {
			return best, nil
		}
	}
	return "", nil
}

// count counts rows, up to a few.
func (s *Store) count(ctx context.Context, from string, c *clause) (n int, err error) {
	text := numbered(`SELECT count(*) FROM (SELECT FROM ` + from + ` WHERE ` + c.where() + ` LIMIT ?) x`)
	args := append([]any{planEachTime}, c.args...)
	err = s.pool.QueryRow(ctx, text, append(args, few)...).Scan(&n)
	return n, err
}

func joinSelects(selects []*clause, limit int) (string, []any) {
	var text strings.Builder
	var args []any
	text.WriteString("SELECT " + runColumns + " FROM (SELECT * FROM (")
	for i, c := range selects {
		if i > 0 {
			text.WriteString(" UNION ALL ")
		}
		text.WriteString("(" + c.query() + ")")
		args = append(append(args, c.args...), limit)
	}
	text.WriteString(") every ORDER BY created DESC, id DESC LIMIT ?) page JOIN runs r ON r.id = page.id ORDER BY r.created DESC, r.id DESC")
	return numbered(text.String()), append(args, limit)
}

// numbered replaces each ? by $1, $2 and so on, as PostgreSQL wants parameters.
func numbered(text string) string {
	var b strings.Builder
	for n := 1; ; n++ {
		head, rest, found := strings.Cut(text, "?")
		b.WriteString(head)
		if !found {
			return b.String()
		}
		b.WriteString("$" + strconv.Itoa(n))
		text = rest
	}
}

// clause is the condition of one select.
type clause struct {
	terms []string
	args  []any
	// outer are the terms on labels, l, of a select that goes through these; their
	// arguments come first.
	outer []string
}

// query returns the select of the newest runs, with a limit as last argument.
func (c *clause) query() string {
	if c.outer == nil {
		return "SELECT r.created, r.id FROM runs r WHERE " + c.where() + " ORDER BY r.created DESC, r.id DESC LIMIT ?"
	}
	// OFFSET 0 keeps the planner from any other way than through the labels in
	// their order, which by its statistics it may not find the best.
	return "SELECT l.created, l.run AS id FROM (SELECT l.created, l.run FROM labels l WHERE " + strings.Join(c.outer, " AND ") +
		") l CROSS JOIN LATERAL (SELECT FROM runs r WHERE r.id = l.run AND " + c.where() + " OFFSET 0) x ORDER BY l.created DESC, l.run DESC LIMIT ?"
}

func (c *clause) where() string {
	return strings.Join(append([]string{"true"}, c.terms...), " AND ")
}

// with returns the clause with another term.
func (c *clause) with(term string, args ...any) *clause {
	return &clause{
		terms: append(c.terms[:len(c.terms):len(c.terms)], term),
		args:  append(c.args[:len(c.args):len(c.args)], args...),
		outer: c.outer,
	}
}

// window makes a clause for the time and the place in the list to go on at, on the
// columns with these names.
func window(created, id string, f heddle.RunFilter) (*clause, error) {
	c := &clause{}
	if !f.Since.IsZero() {
		c = c.with(created+" >= ?", store.Nanos(f.Since))
	}
	if !f.Until.IsZero() {
		c = c.with(created+" < ?", store.Nanos(f.Until))
	}
	if f.After == "" {
		return c, nil
	}
	cursor, err := store.ParseCursor(f.After)
	if err != nil {
		return nil, err
	}
	return c.with("("+created+", "+id+") < (?, ?)", cursor.Created, string(cursor.ID)), nil
}

func (c *clause) organization(f heddle.RunFilter) *clause {
	if f.Organization == "" {
		return c
	}
	return c.with("r.organization = ?", encode(f.Organization))
}

func (c *clause) kinds(f heddle.RunFilter) *clause {
	if len(f.Kinds) == 0 {
		return c
	}
	return c.with("r.kind = ANY(?)", texts(f.Kinds))
}

func (c *clause) statuses(statuses []string, all bool) *clause {
	if all {
		return c
	}
	return c.with("r.status = ANY(?)", statuses)
}

func (c *clause) definition(f heddle.RunFilter) *clause {
	if f.Definition == "" {
		return c
	}
	return c.with("r.definition <> '' AND r.definition = ?", encode(f.Definition))
}

func (c *clause) name(f heddle.RunFilter) *clause {
	if f.Name == "" {
		return c
	}
	name := encode(f.Name)
	return c.with("left(r.name, 200) = left(?, 200) AND r.name = ?", name, name)
}

// label adds the condition that l is this label.
func (c *clause) label(key, value string) *clause {
	key, value = encode(key), encode(value)
	return c.with("left(l.key, 200) = left(?, 200) AND left(l.value, 200) = left(?, 200) AND l.key = ? AND l.value = ?", key, value, key, value)
}

// labels adds a look for each label. A subquery that gives a value is done once per
// run, where EXISTS may be planned as a join over all runs that have the label.
func (c *clause) labels(labels map[string]string) *clause {
	for key, value := range labels {
		c = c.with("coalesce((SELECT true FROM labels WHERE run = r.id AND key = ? AND value = ? LIMIT 1), false)", encode(key), encode(value))
	}
	return c
}

// byLabel makes a clause that goes through the runs with one of the wanted labels,
// in the order of the list, and looks the others up.
func byLabel(f heddle.RunFilter, label string) (*clause, error) {
	c, err := window("l.created", "l.run", f)
	if err != nil {
		return nil, err
	}
	others := maps.Clone(f.Labels)
	delete(others, label)
	c = c.label(label, f.Labels[label])
	c.outer, c.terms = c.terms, nil
	return c.labels(others), nil
}
