package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

var _ store.Pruner = (*Store)(nil)

// Prunable implements [store.Pruner].
func (s *Store) Prunable(ctx context.Context, q store.PruneQuery) ([]store.Prunable, error) {
	outcomes := q.Outcomes
	if len(outcomes) == 0 {
		outcomes = heddle.Outcomes()
	}
	var found []store.Prunable
	err := s.view(ctx, "looking for runs to delete", func(tx *sql.Tx) error {
		gone := s.goneOwners()
		for _, outcome := range outcomes { // each in the order of its index
			text, args := `SELECT r.id, r.created, r.ended, r.owner, r.owner = ? AND EXISTS (SELECT 1 FROM notices WHERE run = r.id)
				FROM runs r WHERE r.status = ? AND r.report = 0`, []any{s.session.id, string(outcome)}
			if len(q.IDs) > 0 {
				text, args = strings.Replace(text, "r.status = ?", "+r.status = ?", 1)+` AND r.id IN (SELECT value FROM json_each(?))`, append(args, jsonList(q.IDs))
			}
			rows, err := tx.QueryContext(ctx, text+` ORDER BY r.created, r.id`, args...)
			if err != nil {
				return err
			}
			if found, err = s.appendPrunable(found, rows, outcome, q.Limit, gone); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b store.Prunable) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	if q.Limit > 0 && len(found) > q.Limit {
		found = found[:q.Limit]
	}
	return found, nil
}

// appendPrunable reads rows until limit of them may be deleted.
func (s *Store) appendPrunable(found []store.Prunable, rows *sql.Rows, outcome heddle.Outcome, limit int,
	gone func(string) (bool, error),
) ([]store.Prunable, error) {
	defer rows.Close()
	for n := 0; (limit <= 0 || n < limit) && rows.Next(); {
		p := store.Prunable{Outcome: outcome}
		var created, ended int64
		var owner string
		var busy bool
		if err := rows.Scan(&p.ID, &created, &ended, &owner, &busy); err != nil {
			return nil, err
		}
		free, err := gone(owner)
		if err != nil {
			return nil, err
		}
		if free || owner == s.session.id && !busy {
			p.Created, p.Ended = store.Time(created), store.Time(ended)
			found = append(found, p)
			n++
		}
	}
	return found, rows.Err()
}

// goneOwners returns a function that says whether an owner's session is over, and
// looks once for each.
func (s *Store) goneOwners() func(owner string) (bool, error) {
	known := map[string]bool{}
	return func(owner string) (bool, error) {
		gone, ok := known[owner]
		if ok {
			return gone, nil
		}
		alive, err := s.session.alive(owner)
		if err == nil {
			known[owner] = !alive
		}
		return !alive, err
	}
}

// The bounds of one transaction that deletes, some milliseconds of work.
const (
	maxDeleteRuns   = 200
	maxDeleteVisits = 1000
)

// Delete implements [store.Pruner].
func (s *Store) Delete(ctx context.Context, ids []heddle.RunID) ([]heddle.RunID, error) {
	var deleted []heddle.RunID
	for len(ids) > 0 {
		begun := time.Now()
		n, err := s.fitting(ctx, ids[:min(len(ids), maxDeleteRuns)])
		if err != nil {
			return deleted, err
		}
		gone, err := s.deleteRuns(ctx, ids[:n])
		deleted = append(deleted, gone...)
		if err != nil {
			return deleted, err
		}
		if ids = ids[n:]; len(ids) == 0 {
			break
		}
		// Another process that waits to write looks now and then whether it can, and
		// would hardly ever find the database free.
		select {
		case <-time.After(max(time.Since(begun), minPause)):
		case <-ctx.Done():
			return deleted, fault("deleting runs", s.path, context.Cause(ctx))
		}
	}
	return deleted, nil
}

// minPause is the least time that is left to others between two pieces.
const minPause = 5 * time.Millisecond

// fitting returns how many of the runs, from the first, have few enough visits to be
// deleted at once; 1 at least.
func (s *Store) fitting(ctx context.Context, ids []heddle.RunID) (int, error) {
	const doing = "counting what is to be deleted"
	rows, err := s.read.QueryContext(ctx, `SELECT coalesce((SELECT visits FROM runs WHERE id = j.value), 0) FROM json_each(?) j ORDER BY j.key`, jsonList(ids))
	if err != nil {
		return 0, fault(doing, s.path, err)
	}
	defer rows.Close()
	fit, sum := 0, 0
	for rows.Next() {
		var visits int
		if err := rows.Scan(&visits); err != nil {
			return 0, fault(doing, s.path, err)
		}
		if sum += visits; sum > maxDeleteVisits && fit > 0 {
			break
		}
		fit++
	}
	return fit, fault(doing, s.path, rows.Err())
}

// deleteRuns deletes a few runs, and the flows that nobody has any more, in one
// transaction. What else belongs to a run goes with its row.
func (s *Store) deleteRuns(ctx context.Context, ids []heddle.RunID) ([]heddle.RunID, error) {
	var deleted []heddle.RunID
	err := s.tx(ctx, "deleting runs", func(ctx context.Context) error {
		rows, err := s.conn.QueryContext(ctx, `SELECT DISTINCT owner FROM runs WHERE id IN (SELECT value FROM json_each(?))`, jsonList(ids))
		if err != nil {
			return err
		}
		gone, err := s.keepDead(rows)
		if err != nil {
			return err
		}
		// Of a run that ended here nothing may be left to be told to others.
		rows, err = s.conn.QueryContext(ctx, `DELETE FROM runs WHERE id IN (SELECT value FROM json_each(?)) AND state = 'ended' AND report = 0
			AND (owner IN (SELECT value FROM json_each(?)) OR owner = ? AND NOT EXISTS (SELECT 1 FROM notices n WHERE n.run = runs.id))
			RETURNING id, flow`, jsonList(ids), jsonList(gone), s.session.id)
		if err != nil {
			return err
		}
		var flows []string
		if deleted, flows, err = scanDeleted(rows); err != nil || len(deleted) == 0 {
			return err
		}
		_, err = s.conn.ExecContext(ctx, `DELETE FROM flows WHERE hash IN (SELECT value FROM json_each(?))
			AND NOT EXISTS (SELECT 1 FROM runs WHERE flow = flows.hash)`, jsonList(flows))
		return err
	})
	if err != nil {
		return nil, err
	}
	return deleted, nil
}

func scanDeleted(rows *sql.Rows) (ids []heddle.RunID, flows []string, err error) {
	defer rows.Close()
	for rows.Next() {
		var id heddle.RunID
		var flow string
		if err := rows.Scan(&id, &flow); err != nil {
			return nil, nil, err
		}
		ids, flows = append(ids, id), append(flows, flow)
	}
	slices.Sort(flows)
	return ids, slices.Compact(flows), rows.Err()
}

// Usage implements [store.Pruner].
func (s *Store) Usage(ctx context.Context) (store.Usage, error) {
	var u store.Usage
	err := s.view(ctx, "measuring", func(tx *sql.Tx) error {
		// Both counts are taken in an index alone, which one by status could not be.
		if err := tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM runs) - (SELECT count(*) FROM runs WHERE state <> 'ended')`).Scan(&u.Ended); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT (p.page_count - f.freelist_count) * s.page_size
			FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size s`).Scan(&u.Bytes)
	})
	return u, err
}
