package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

var (
	_ store.Definitions = (*Store)(nil)
	_ store.Ticks       = (*Store)(nil)
)

// plain is how texts are stored.
func plain(s string) string { return s }

// AddDefinition implements [store.Definitions].
func (s *Store) AddDefinition(ctx context.Context, d heddle.Definition) error {
	row, err := store.NewDefinitionRow(&d)
	if err != nil {
		return err
	}
	return s.tx(ctx, "storing a definition", func(ctx context.Context) error {
		args := row.Args(plain)
		n, err := affected(s.conn.ExecContext(ctx, `INSERT INTO definitions (`+store.DefinitionColumns+`)
			VALUES (?`+strings.Repeat(", ?", len(args)-1)+`) ON CONFLICT (id) DO NOTHING`, args...))
		if err == nil && n == 0 {
			err = heddle.Errorf(heddle.CodeConflict, "definition %s exists", d.ID)
		}
		return err
	})
}

// Definition implements [store.Definitions].
func (s *Store) Definition(ctx context.Context, id string) (heddle.Definition, error) {
	found, err := s.definitions(ctx, `WHERE id = ?`, id)
	if err == nil && len(found) == 0 {
		err = heddle.Errorf(heddle.CodeNotFound, "there is no definition %q", id)
	}
	if err != nil {
		return heddle.Definition{}, err
	}
	return found[0], nil
}

// definitions reads the definitions that the rest of a query selects.
func (s *Store) definitions(ctx context.Context, rest string, args ...any) ([]heddle.Definition, error) {
	const doing = "reading definitions"
	rows, err := s.read.QueryContext(ctx, `SELECT `+store.DefinitionColumns+` FROM definitions `+rest, args...)
	if err != nil {
		return nil, fault(doing, s.path, err)
	}
	defer rows.Close()
	found := []heddle.Definition{}
	for rows.Next() {
		var row store.DefinitionRow
		if err := rows.Scan(row.To()...); err != nil {
			return nil, fault(doing, s.path, err)
		}
		d, err := row.Definition(plain)
		if err != nil {
			return nil, err
		}
		found = append(found, d)
	}
	return found, fault(doing, s.path, rows.Err())
}

// definitionsMatching makes the clause of a filter.
func definitionsMatching(f heddle.DefinitionFilter) *clause {
	c := (&clause{}).with("deleted = 0")
	if f.Organization != "" {
		c = c.with("organization = ?", f.Organization)
	}
	if f.Name != "" {
		c = c.with("name = ?", f.Name)
	}
	if !f.Due.IsZero() {
		c = c.with("wake > 0 AND next > 0 AND next < ?", store.Nanos(f.Due))
	}
	return c
}

// Definitions implements [store.Definitions].
func (s *Store) Definitions(ctx context.Context, f heddle.DefinitionFilter) (heddle.DefinitionPage, error) {
	c, limit := definitionsMatching(f), store.PageSize(f.Limit)
	if f.After != "" {
		cursor, err := store.ParseCursor(f.After)
		if err != nil {
			return heddle.DefinitionPage{}, err
		}
		c = c.with("(created, id) < (?, ?)", cursor.Created, string(cursor.ID))
	}
	found, err := s.definitions(ctx, `WHERE `+c.where()+` ORDER BY created DESC, id DESC LIMIT ? OFFSET ?`,
		append(c.args, limit+1, max(0, f.Offset))...)
	if err != nil {
		return heddle.DefinitionPage{}, err
	}
	return store.DefinitionPageOf(found, limit), nil
}

// CountDefinitions implements [store.Definitions].
func (s *Store) CountDefinitions(ctx context.Context, f heddle.DefinitionFilter) (n int, err error) {
	c := definitionsMatching(f)
	err = s.read.QueryRowContext(ctx, `SELECT count(*) FROM definitions WHERE `+c.where(), c.args...).Scan(&n)
	return n, fault("counting definitions", s.path, err)
}

// ReplaceDefinition implements [store.Definitions].
func (s *Store) ReplaceDefinition(ctx context.Context, d heddle.Definition) (done bool, err error) {
	version := d.Version
	d.Version++
	row, err := store.NewDefinitionRow(&d)
	if err != nil {
		return false, err
	}
	err = s.tx(ctx, "changing a definition", func(ctx context.Context) error {
		args := row.Args(plain)
		marks := strings.Split(store.DefinitionColumns, ", ")
		n, err := affected(s.conn.ExecContext(ctx, `UPDATE definitions SET (`+strings.Join(marks[1:], ", ")+`)
			= (?`+strings.Repeat(", ?", len(args)-2)+`) WHERE id = ? AND version = ?`, append(args[1:], d.ID, version)...))
		done = n == 1
		return err
	})
	return done, err
}

// DueDefinitions implements [store.Ticks].
func (s *Store) DueDefinitions(ctx context.Context, now time.Time, limit int) (due []heddle.Definition, next time.Time, err error) {
	due, err = s.definitions(ctx, `WHERE wake > 0 AND wake <= ? ORDER BY wake, id LIMIT ?`, store.Nanos(now), limit)
	if err != nil {
		return nil, time.Time{}, err
	}
	var wake sql.NullInt64
	err = s.read.QueryRowContext(ctx, `SELECT wake FROM definitions WHERE wake > 0 AND wake > ? ORDER BY wake LIMIT 1`, store.Nanos(now)).Scan(&wake)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return due, store.Time(wake.Int64), fault("reading definitions", s.path, err)
}

// MoveDefinitions implements [store.Ticks].
func (s *Store) MoveDefinitions(ctx context.Context, moves []store.DefinitionMove) ([]bool, error) {
	done := make([]bool, len(moves))
	err := s.tx(ctx, "moving definitions", func(ctx context.Context) error {
		for i := range moves {
			d := &moves[i].Definition
			done[i] = d.ID == ""
			if d.ID != "" {
				n, err := affected(s.conn.ExecContext(ctx, `UPDATE definitions SET enabled = ?, reason = ?, next = ?, last = ?, wake = ?,
					counter = ?, failures = ?, latest_run = ?, latest_status = ?, version = version + 1 WHERE id = ? AND version = ?`,
					d.Enabled, d.Reason, store.Nanos(d.Next), store.Nanos(d.Last), store.Nanos(d.Wake), d.Counter, d.Failures,
					string(d.LatestRun), int(d.LatestStatus), d.ID, d.Version))
				if err != nil {
					return err
				}
				done[i] = n == 1
			}
			if !done[i] || moves[i].Ended == "" {
				continue
			}
			if _, err := s.conn.ExecContext(ctx, `UPDATE runs SET report = 0 WHERE id = ?`, string(moves[i].Ended)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return done, nil
}

// EndedRuns implements [store.Ticks].
func (s *Store) EndedRuns(ctx context.Context, limit int) ([]heddle.Run, error) {
	const doing = "reading ended runs"
	rows, err := s.read.QueryContext(ctx, `SELECT `+runColumns+` FROM runs r WHERE r.report = 1 AND r.state = 'ended' ORDER BY r.ended, r.id LIMIT ?`, limit)
	if err != nil {
		return nil, fault(doing, s.path, err)
	}
	defer rows.Close()
	var runs []heddle.Run
	for rows.Next() {
		var r heddle.Run
		if err := scanRun(rows, &r); err != nil {
			return nil, fault(doing, s.path, err)
		}
		runs = append(runs, r)
	}
	return runs, fault(doing, s.path, rows.Err())
}

// Followers implements [store.Ticks].
func (s *Store) Followers(ctx context.Context, id string) ([]heddle.Definition, error) {
	return s.definitions(ctx, `WHERE follows <> '' AND deleted = 0 AND follows = ? ORDER BY id`, id)
}
