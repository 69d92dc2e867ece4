package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// Pools implements [heddle.Pools].
func (s *Store) Pools(ctx context.Context, organization string) ([]heddle.Pool, error) {
	const doing = "listing pools"
	rows, err := s.read.QueryContext(ctx, `SELECT p.name, p.size, coalesce(sum(t.weight) FILTER (WHERE t.granted = 1), 0), count(t.n) FILTER (WHERE t.granted = 0)
		FROM pools p LEFT JOIN turns t ON t.organization = p.organization AND t.pool = 1 AND t.name = p.name
		WHERE p.organization = ? GROUP BY p.name ORDER BY p.name`, organization)
	if err != nil {
		return nil, fault(doing, s.path, err)
	}
	defer rows.Close()
	pools := []heddle.Pool{}
	for rows.Next() {
		var p heddle.Pool
		if err := rows.Scan(&p.Name, &p.Size, &p.Taken, &p.Waiting); err != nil {
			return nil, fault(doing, s.path, err)
		}
		pools = append(pools, p)
	}
	return pools, fault(doing, s.path, rows.Err())
}

// SetPool implements [heddle.Pools].
func (s *Store) SetPool(ctx context.Context, organization, name string, size int) error {
	if err := (heddle.Pool{Name: name, Size: size}).Check(); err != nil {
		return err
	}
	told := owners{}
	err := s.tx(ctx, "setting a pool", func(ctx context.Context) error {
		if _, err := s.conn.ExecContext(ctx, `INSERT INTO pools (organization, name, size) VALUES (?, ?, ?)
			ON CONFLICT (organization, name) DO UPDATE SET size = excluded.size`, organization, name, size); err != nil {
			return err
		}
		return s.grantAll(ctx, lineSet{{Organization: organization, Pool: true, Name: name}: true}, told)
	})
	if err == nil {
		s.tell(told)
	}
	return err
}

// DeletePool implements [heddle.Pools].
func (s *Store) DeletePool(ctx context.Context, organization, name string) error {
	return s.tx(ctx, "deleting a pool", func(ctx context.Context) error {
		var run heddle.RunID
		err := s.conn.QueryRowContext(ctx, `SELECT run FROM turns WHERE organization = ? AND pool = 1 AND name = ? ORDER BY granted DESC, n LIMIT 1`, organization, name).Scan(&run)
		if err == nil {
			return store.PoolInUse(name, run)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		n, err := affected(s.conn.ExecContext(ctx, `DELETE FROM pools WHERE organization = ? AND name = ?`, organization, name))
		if err == nil && n == 0 {
			err = store.NoPool(name)
		}
		return err
	})
}

// lines fills in the lines in which a run stands.
func (s *Store) lines(ctx context.Context, tx *sql.Tx, d *heddle.RunDetail) error {
	rows, err := tx.QueryContext(ctx, `SELECT t.visit, t.name, t.weight, coalesce(p.size, 1 - t.pool),
		(SELECT count(*) FROM turns o WHERE o.organization = t.organization AND o.pool = t.pool AND o.name = t.name AND o.granted = 0 AND o.n < t.n)
		FROM turns t LEFT JOIN pools p ON t.pool = 1 AND p.organization = t.organization AND p.name = t.name WHERE t.run = ? AND t.granted = 0 ORDER BY t.visit`, string(d.Run.ID))
	if err != nil {
		return err
	}
	if err := scanLines(rows, d); err != nil {
		return err
	}
	holders := map[store.Line][]heddle.Holder{}
	for i := range d.Lines {
		line := store.Line{Organization: d.Run.Organization, Pool: d.Lines[i].Visit > 0, Name: d.Lines[i].Name}
		if _, known := holders[line]; !known {
			if holders[line], err = s.holders(ctx, tx, line); err != nil {
				return err
			}
		}
		d.Lines[i].Holders = holders[line]
	}
	return nil
}

func scanLines(rows *sql.Rows, d *heddle.RunDetail) error {
	defer rows.Close()
	for rows.Next() {
		var at heddle.Line
		if err := rows.Scan(&at.Visit, &at.Name, &at.Weight, &at.Size, &at.Ahead); err != nil {
			return err
		}
		d.Lines = append(d.Lines, at)
	}
	return rows.Err()
}

func (s *Store) holders(ctx context.Context, tx *sql.Tx, line store.Line) ([]heddle.Holder, error) {
	rows, err := tx.QueryContext(ctx, `SELECT t.run, sum(t.weight), r.owner FROM turns t JOIN runs r ON r.id = t.run
		WHERE t.organization = ? AND t.pool = ? AND t.name = ? AND t.granted = 1 GROUP BY t.run, r.owner ORDER BY min(t.n)`,
		line.Organization, line.Pool, line.Name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	gone := s.goneOwners()
	var holders []heddle.Holder
	for rows.Next() {
		var h heddle.Holder
		var owner string
		if err := rows.Scan(&h.Run, &h.Weight, &owner); err != nil {
			return nil, err
		}
		if h.Orphan, err = gone(owner); err != nil {
			return nil, err
		}
		holders = append(holders, h)
	}
	return holders, rows.Err()
}
