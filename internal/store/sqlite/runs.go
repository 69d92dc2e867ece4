package sqlite

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// Runs implements [store.History].
func (s *Store) Runs(ctx context.Context, f heddle.RunFilter) (heddle.RunPage, error) {
	const doing = "listing runs"
	page := heddle.RunPage{Runs: []heddle.Run{}}
	label, err := s.labelToFollow(ctx, f)
	if err != nil {
		return heddle.RunPage{}, fault(doing, s.path, err)
	}
	selects, err := selectsFor(f, label)
	if err != nil {
		return heddle.RunPage{}, err
	}
	if len(selects) == 0 {
		return page, nil
	}
	text, args := joinSelects(selects, store.PageSize(f.Limit)+1)
	rows, err := s.read.QueryContext(ctx, text, args...)
	if err != nil {
		return heddle.RunPage{}, fault(doing, s.path, err)
	}
	defer rows.Close()
	limit := store.PageSize(f.Limit)
	for rows.Next() {
		if len(page.Runs) == limit {
			last := &page.Runs[limit-1]
			page.Next = store.Cursor{Created: store.Nanos(last.Created), ID: last.ID}.String()
			break
		}
		var r heddle.Run
		if err := scanRun(rows, &r); err != nil {
			return heddle.RunPage{}, fault(doing, s.path, err)
		}
		page.Runs = append(page.Runs, r)
	}
	if err := rows.Err(); err != nil {
		return heddle.RunPage{}, fault(doing, s.path, err)
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
		c := byRun.with("r.id IN (SELECT value FROM json_each(?))", jsonList(f.IDs))
		selects = append(selects, c.organization(f).kinds(f).statuses(statuses, allStatuses).name(f).labels(f.Labels))
	case label != "":
		c, err := byLabel(f, label)
		if err != nil {
			return nil, err
		}
		selects = append(selects, c.organization(f).kinds(f).statuses(statuses, allStatuses).name(f))
	case f.Name != "":
		for _, status := range statuses {
			selects = append(selects, byRun.with("r.name = ? AND r.status = ?", f.Name, status).organization(f).kinds(f).labels(f.Labels))
		}
	case f.Organization != "" && (len(kinds) > 0 || !allStatuses):
		selects = ofOrganization(byRun, f, kinds, statuses)
	case f.Organization != "":
		selects = append(selects, byRun.organization(f).labels(f.Labels))
	case len(kinds) > 0 && len(kinds) < maxKinds:
		for _, kind := range kinds {
			for _, status := range statuses {
				selects = append(selects, byRun.with("r.kind = ? AND r.status = ?", string(kind), status).labels(f.Labels))
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

// ofOrganization makes a select for each kind and status, as the index has them.
func ofOrganization(byRun *clause, f heddle.RunFilter, kinds []heddle.Kind, statuses []string) []*clause {
	if len(kinds) == 0 || len(kinds) >= maxKinds {
		kinds = slices.DeleteFunc(heddle.Kinds(), func(k heddle.Kind) bool { return len(kinds) > 0 && !slices.Contains(kinds, k) })
	}
	var selects []*clause
	for _, kind := range kinds {
		for _, status := range statuses {
			selects = append(selects, byRun.organization(f).with("r.kind = ? AND r.status = ?", string(kind), status).labels(f.Labels))
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
	labels := f.Labels
	if len(labels) == 0 || len(f.IDs) > 0 {
		return "", nil
	}
	best, least := "", few+1
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		var n int
		if err := s.read.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM labels WHERE key = ? AND value = ? LIMIT ?)`,
			key, labels[key], few).Scan(&n); err != nil {
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
		var more int
		if err := s.read.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM runs r WHERE `+c.where()+` LIMIT ?)`,
			append(c.args, few)...).Scan(&more); err != nil {
			return "", err
		}
		if n += more; n >= few {
			return best, nil
		}
	}
	return "", nil
}

// maxKinds keeps the number of selects within SQLite's limit of 500.
const maxKinds = 20

func joinSelects(selects []*clause, limit int) (string, []any) {
	var text strings.Builder
	var args []any
	text.WriteString("SELECT " + runColumns + " FROM runs r WHERE r.n IN (SELECT n FROM (")
	for i, c := range selects {
		if i > 0 {
			text.WriteString(" UNION ALL ")
		}
		from, order := "runs r", "r.created DESC, r.id DESC"
		if c.label {
			from, order = "labels l CROSS JOIN runs r ON r.id = l.run", "l.created DESC, l.run DESC"
		}
		text.WriteString("SELECT * FROM (SELECT r.n, r.created, r.id FROM " + from + " WHERE " +
			c.where() + " ORDER BY " + order + " LIMIT ?)")
		args = append(append(args, c.args...), limit)
	}
	text.WriteString(") ORDER BY created DESC, id DESC LIMIT ?) ORDER BY r.created DESC, r.id DESC")
	return text.String(), append(args, limit)
}

// clause is the condition of one select.
type clause struct {
	terms []string
	args  []any
	label bool // goes through the labels, l
}

func (c *clause) where() string {
	return strings.Join(append([]string{"1"}, c.terms...), " AND ")
}

// with returns the clause with another term.
func (c *clause) with(term string, args ...any) *clause {
	return &clause{
		terms: append(c.terms[:len(c.terms):len(c.terms)], term),
		args:  append(c.args[:len(c.args):len(c.args)], args...),
		label: c.label,
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
	return c.with("r.organization = ?", f.Organization)
}

func (c *clause) kinds(f heddle.RunFilter) *clause {
	if len(f.Kinds) == 0 {
		return c
	}
	return c.with("r.kind IN (SELECT value FROM json_each(?))", jsonList(f.Kinds))
}

func (c *clause) statuses(statuses []string, all bool) *clause {
	if all {
		return c
	}
	return c.with("r.status IN (SELECT value FROM json_each(?))", jsonList(statuses))
}

func (c *clause) name(f heddle.RunFilter) *clause {
	if f.Name == "" {
		return c
	}
	return c.with("r.name = ?", f.Name)
}

func (c *clause) labels(labels map[string]string) *clause {
	for key, value := range labels {
		c = c.with("EXISTS (SELECT 1 FROM labels WHERE run = r.id AND key = ? AND value = ?)", key, value)
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
	c = c.with("l.key = ? AND l.value = ?", label, f.Labels[label])
	c.label = true
	return c.labels(others), nil
}

func jsonList[T ~string | ~int](values []T) string {
	data, _ := json.Marshal(values) // such can always be encoded
	return string(data)
}
