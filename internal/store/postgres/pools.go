package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// Pools implements [heddle.Pools].
func (s *Store) Pools(ctx context.Context, organization string) ([]heddle.Pool, error) {
	pools := []heddle.Pool{}
	err := s.call(ctx, "listing pools", func(ctx context.Context) error {
		return s.rows(ctx, func(row pgx.Row) error {
			var p heddle.Pool
			err := row.Scan(&p.Name, &p.Size, &p.Taken, &p.Waiting)
			decode(&p.Name)
			pools = append(pools, p)
			return err
		}, `SELECT p.name, p.size, coalesce(sum(t.weight) FILTER (WHERE t.granted), 0), count(t.n) FILTER (WHERE NOT t.granted)
			FROM pools p LEFT JOIN turns t ON t.organization = p.organization AND t.pool AND t.name = p.name
			WHERE p.organization = $1 GROUP BY p.name, p.size ORDER BY p.name`, encode(organization))
	})
	if err != nil {
		return nil, err
	}
	return pools, nil
}

// SetPool implements [heddle.Pools].
func (s *Store) SetPool(ctx context.Context, organization, name string, size int) error {
	if err := (heddle.Pool{Name: name, Size: size}).Check(); err != nil {
		return err
	}
	return s.onPool(ctx, "setting a pool", organization, name, func(tx pgx.Tx, line lineList) error {
		if _, err := tx.Exec(ctx, `INSERT INTO pools (organization, name, size) VALUES ($1, $2, $3)
			ON CONFLICT (organization, name) DO UPDATE SET size = excluded.size`, encode(organization), encode(name), size); err != nil {
			return err
		}
		return s.grantAll(ctx, tx, line)
	})
}

// DeletePool implements [heddle.Pools].
func (s *Store) DeletePool(ctx context.Context, organization, name string) error {
	return s.onPool(ctx, "deleting a pool", organization, name, func(tx pgx.Tx, _ lineList) error {
		var run heddle.RunID
		err := tx.QueryRow(ctx, `SELECT run FROM turns WHERE organization = $1 AND pool AND name = $2 ORDER BY granted DESC, n LIMIT 1`, encode(organization), encode(name)).Scan(&run)
		if err == nil {
			return store.PoolInUse(name, run)
		}
		if !noRows(err) {
			return err
		}
		done, err := tx.Exec(ctx, `DELETE FROM pools WHERE organization = $1 AND name = $2`, encode(organization), encode(name))
		if err == nil && done.RowsAffected() == 0 {
			err = store.NoPool(name)
		}
		return err
	})
}

// onPool does something in a transaction that keeps others away from a pool.
func (s *Store) onPool(ctx context.Context, doing, organization, name string, do func(tx pgx.Tx, line lineList) error) error {
	return s.call(ctx, doing, func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			var line lineList
			line.add(store.Line{Organization: organization, Pool: true, Name: name})
			if err := line.lock(ctx, tx); err != nil {
				return err
			}
			return do(tx, line)
		})
	})
}

// lines fills in the lines in which a run stands.
func (s *Store) lines(ctx context.Context, d *heddle.RunDetail) error {
	return s.call(ctx, "looking at lines", func(ctx context.Context) error {
		err := s.rows(ctx, func(row pgx.Row) error {
			var at heddle.Line
			err := row.Scan(&at.Visit, &at.Name, &at.Weight, &at.Size, &at.Ahead)
			decode(&at.Name)
			d.Lines = append(d.Lines, at)
			return err
		}, `SELECT t.visit, t.name, t.weight, coalesce(p.size, CASE WHEN t.pool THEN 0 ELSE 1 END),
			(SELECT count(*) FROM turns o WHERE o.organization = t.organization AND o.pool = t.pool AND o.name = t.name AND NOT o.granted AND o.n < t.n)
			FROM turns t LEFT JOIN pools p ON t.pool AND p.organization = t.organization AND p.name = t.name WHERE t.run = $1 AND NOT t.granted ORDER BY t.visit`, encode(d.Run.ID))
		if err != nil {
			return err
		}
		holders := map[store.Line][]heddle.Holder{}
		for i := range d.Lines {
			line := store.Line{Organization: d.Run.Organization, Pool: d.Lines[i].Visit > 0, Name: d.Lines[i].Name}
			if _, known := holders[line]; !known {
				if holders[line], err = s.holders(ctx, line); err != nil {
					return err
				}
			}
			d.Lines[i].Holders = holders[line]
		}
		return nil
	})
}

func (s *Store) holders(ctx context.Context, line store.Line) ([]heddle.Holder, error) {
	var holders []heddle.Holder
	err := s.rows(ctx, func(row pgx.Row) error {
		var h heddle.Holder
		err := row.Scan(&h.Run, &h.Weight, &h.Orphan)
		holders = append(holders, h)
		return err
	}, `SELECT t.run, sum(t.weight), r.owner <> $3 AND NOT EXISTS (SELECT FROM sessions s WHERE s.id = r.owner AND s.expires > now())
		FROM turns t JOIN runs r ON r.id = t.run WHERE t.organization = $4 AND t.pool = $1 AND t.name = $2 AND t.granted GROUP BY t.run, r.owner ORDER BY min(t.n)`,
		line.Pool, encode(line.Name), s.session, encode(line.Organization))
	return holders, err
}
