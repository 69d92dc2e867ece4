package postgres

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

var (
	_ store.Definitions = (*Store)(nil)
	_ store.Ticks       = (*Store)(nil)
)

// placeholders returns $from to $to, separated by commas.
func placeholders(from, to int) string {
	var marks []string
	for n := from; n <= to; n++ {
		marks = append(marks, "$"+strconv.Itoa(n))
	}
	return strings.Join(marks, ", ")
}

// AddDefinition implements [store.Definitions].
func (s *Store) AddDefinition(ctx context.Context, d heddle.Definition) error {
	row, err := store.NewDefinitionRow(&d)
	if err != nil {
		return err
	}
	return s.call(ctx, "storing a definition", func(ctx context.Context) error {
		args := row.Args(encode[string])
		tag, err := s.pool.Exec(ctx, `INSERT INTO definitions (`+store.DefinitionColumns+`)
			VALUES (`+placeholders(1, len(args))+`) ON CONFLICT (id) DO NOTHING`, args...)
		if err == nil && tag.RowsAffected() == 0 {
			err = heddle.Errorf(heddle.CodeConflict, "definition %s exists", d.ID)
		}
		return err
	})
}

// Definition implements [store.Definitions].
func (s *Store) Definition(ctx context.Context, id string) (heddle.Definition, error) {
	found, err := s.definitions(ctx, `WHERE id = $1`, encode(id))
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
	found := []heddle.Definition{}
	err := s.call(ctx, "reading definitions", func(ctx context.Context) error {
		return s.rows(ctx, func(row pgx.Row) error {
			var r store.DefinitionRow
			if err := row.Scan(r.To()...); err != nil {
				return err
			}
			d, err := r.Definition(decoded)
			found = append(found, d)
			return err
		}, `SELECT `+store.DefinitionColumns+` FROM definitions `+rest, args...)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// definitionsMatching makes the clause of a filter.
func definitionsMatching(f heddle.DefinitionFilter) *clause {
	c := (&clause{}).with("deleted = 0")
	if f.Organization != "" {
		organization := encode(f.Organization)
		c = c.with("left(organization, 200) = left(?, 200) AND organization = ?", organization, organization)
	}
	if f.Name != "" {
		name := encode(f.Name)
		c = c.with("left(name, 200) = left(?, 200) AND name = ?", name, name)
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
	found, err := s.definitions(ctx, numbered(`WHERE `+c.where()+` ORDER BY created DESC, id DESC LIMIT ? OFFSET ?`),
		append(c.args, limit+1, max(0, f.Offset))...)
	if err != nil {
		return heddle.DefinitionPage{}, err
	}
	return store.DefinitionPageOf(found, limit), nil
}

// CountDefinitions implements [store.Definitions].
func (s *Store) CountDefinitions(ctx context.Context, f heddle.DefinitionFilter) (n int, err error) {
	c := definitionsMatching(f)
	err = s.call(ctx, "counting definitions", func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, numbered(`SELECT count(*) FROM definitions WHERE `+c.where()), c.args...).Scan(&n)
	})
	return n, err
}

// ReplaceDefinition implements [store.Definitions].
func (s *Store) ReplaceDefinition(ctx context.Context, d heddle.Definition) (done bool, err error) {
	version := d.Version
	d.Version++
	row, err := store.NewDefinitionRow(&d)
	if err != nil {
		return false, err
	}
	err = s.call(ctx, "changing a definition", func(ctx context.Context) error {
		args := append(row.Args(encode[string]), version)
		_, columns, _ := strings.Cut(store.DefinitionColumns, ", ")
		tag, err := s.pool.Exec(ctx, `UPDATE definitions SET (`+columns+`) = (`+placeholders(2, len(args)-1)+`)
			WHERE id = $1 AND version = $`+strconv.Itoa(len(args)), args...)
		done = tag.RowsAffected() == 1
		return err
	})
	return done, err
}

// DueDefinitions implements [store.Ticks].
func (s *Store) DueDefinitions(ctx context.Context, now time.Time, limit int) (due []heddle.Definition, next time.Time, err error) {
	due, err = s.definitions(ctx, `WHERE wake > 0 AND wake <= $1 ORDER BY wake, id LIMIT $2`, store.Nanos(now), limit)
	if err != nil {
		return nil, time.Time{}, err
	}
	var wake int64
	err = s.call(ctx, "reading definitions", func(ctx context.Context) error {
		err := s.pool.QueryRow(ctx, `SELECT wake FROM definitions WHERE wake > 0 AND wake > $1 ORDER BY wake LIMIT 1`, store.Nanos(now)).Scan(&wake)
		if noRows(err) {
			return nil
		}
		return err
	})
	return due, store.Time(wake), err
}

// moveStatement moves a definition, and is done with a run's end only if it could.
const moveStatement = `WITH moved AS (
		UPDATE definitions SET enabled = $1, reason = $2, next = $3, last = $4, wake = $5, counter = $6, failures = $7,
			latest_run = $8, latest_status = $9, version = version + 1 WHERE id = $10 AND version = $11 RETURNING id
	), ended AS (
		UPDATE runs SET report = 0 WHERE id = $12 AND ($10 = '' OR EXISTS (SELECT FROM moved))
	) SELECT count(*) FROM moved`

// MoveDefinitions implements [store.Ticks].
func (s *Store) MoveDefinitions(ctx context.Context, moves []store.DefinitionMove) ([]bool, error) {
	done := make([]bool, len(moves))
	err := s.call(ctx, "moving definitions", func(ctx context.Context) error {
		batch := &pgx.Batch{} // one transaction
		for i := range moves {
			d := &moves[i].Definition
			batch.Queue(moveStatement, number(d.Enabled), encode(d.Reason), store.Nanos(d.Next), store.Nanos(d.Last), store.Nanos(d.Wake),
				d.Counter, d.Failures, encode(d.LatestRun), int(d.LatestStatus), encode(d.ID), d.Version, encode(moves[i].Ended)).
				QueryRow(func(row pgx.Row) error {
					var n int
					err := row.Scan(&n)
					done[i] = n == 1 || d.ID == ""
					return err
				})
		}
		return s.pool.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return nil, err
	}
	return done, nil
}

// EndedRuns implements [store.Ticks].
func (s *Store) EndedRuns(ctx context.Context, limit int) ([]heddle.Run, error) {
	var runs []heddle.Run
	err := s.call(ctx, "reading ended runs", func(ctx context.Context) error {
		return s.rows(ctx, func(row pgx.Row) error {
			var r heddle.Run
			err := scanRun(row, &r)
			runs = append(runs, r)
			return err
		}, `SELECT `+runColumns+` FROM runs r WHERE r.report = 1 AND r.state = 'ended' ORDER BY r.ended, r.id LIMIT $1`, limit)
	})
	return runs, err
}

// Followers implements [store.Ticks].
func (s *Store) Followers(ctx context.Context, id string) ([]heddle.Definition, error) {
	return s.definitions(ctx, `WHERE follows <> '' AND deleted = 0 AND follows = $1 ORDER BY id`, encode(id))
}
