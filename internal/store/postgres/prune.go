package postgres

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

var _ store.Pruner = (*Store)(nil)

const (
	// noneToTell: of a run that ended here, r, nothing may be left to be told to
	// others. $1 is the caller's session.
	noneToTell = `r.owner = $1 AND NOT EXISTS (SELECT FROM notices n WHERE n.run = r.id)`
	// prunableRuns are those of one status, in the order of its index.
	prunableRuns = `SELECT r.id, r.outcome, r.created, r.ended FROM runs r WHERE r.status = s.status AND r.report = 0
		AND (r.owner <> $1 AND r.owner <> ALL(ARRAY(SELECT id FROM sessions WHERE expires > now())) OR ` + noneToTell + `)`
	namedOwners = `SELECT DISTINCT owner FROM runs WHERE id = ANY($2)`
)

// prunableStatement lists runs of the statuses $2, $3 at most; those named in $4 only, or any.
func prunableStatement(named bool) string {
	inner := prunableRuns
	if named {
		inner += ` AND r.id = ANY($4)`
	}
	return `SELECT r.id, r.outcome, r.created, r.ended FROM unnest($2::text[]) AS s (status)
		CROSS JOIN LATERAL (` + inner + ` ORDER BY r.created, r.id LIMIT $3::bigint) r ORDER BY r.created, r.id LIMIT $3::bigint`
}

// Prunable implements [store.Pruner].
func (s *Store) Prunable(ctx context.Context, q store.PruneQuery) ([]store.Prunable, error) {
	outcomes := q.Outcomes
	if len(outcomes) == 0 {
		outcomes = heddle.Outcomes()
	}
	var limit *int
	if q.Limit > 0 {
		limit = &q.Limit
	}
	args := []any{planEachTime, s.session, texts(outcomes), limit}
	if len(q.IDs) > 0 {
		args = append(args, texts(q.IDs))
	}
	var found []store.Prunable
	err := s.call(ctx, "looking for runs to delete", func(ctx context.Context) error {
		return s.rows(ctx, func(row pgx.Row) error {
			var p store.Prunable
			var created, ended int64
			err := row.Scan(&p.ID, &p.Outcome, &created, &ended)
			p.Created, p.Ended = store.Time(created), store.Time(ended)
			found = append(found, p)
			return err
		}, prunableStatement(len(q.IDs) > 0), args...)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// The bounds of one transaction that deletes: it is to stay well below the time
// that the server gives a statement.
const (
	maxDeleteRuns   = 500
	maxDeleteVisits = 20_000
)

// Delete implements [store.Pruner]. Runs that others are at in this very moment are
// left alone too.
func (s *Store) Delete(ctx context.Context, ids []heddle.RunID) ([]heddle.RunID, error) {
	var deleted []heddle.RunID
	for some := range slices.Chunk(ids, maxDeleteRuns) {
		pieces, err := s.pieces(ctx, some)
		if err != nil {
			return deleted, err
		}
		for _, piece := range pieces {
			gone, err := s.deleteRuns(ctx, piece)
			deleted = append(deleted, gone...)
			if err != nil {
				return deleted, err
			}
		}
	}
	return deleted, nil
}

// pieces splits those of the runs that have ended, so that each piece but one of a
// single run has few enough visits to be deleted at once.
func (s *Store) pieces(ctx context.Context, ids []heddle.RunID) ([][]string, error) {
	var pieces [][]string
	err := s.call(ctx, "counting what is to be deleted", func(ctx context.Context) error {
		sum := 0
		return s.rows(ctx, func(row pgx.Row) error {
			var id string
			var visits int
			if err := row.Scan(&id, &visits); err != nil {
				return err
			}
			if sum += visits; sum > maxDeleteVisits || len(pieces) == 0 {
				pieces, sum = append(pieces, nil), visits
			}
			last := &pieces[len(pieces)-1]
			*last = append(*last, id)
			return nil
		}, `SELECT id, visits FROM runs WHERE id = ANY($1) AND state = 'ended' ORDER BY created, id`, texts(ids))
	})
	return pieces, err
}

// deleteRuns deletes a few runs, and the flows that nobody has any more, in one
// transaction. What else belongs to a run goes with its row.
func (s *Store) deleteRuns(ctx context.Context, ids []string) ([]heddle.RunID, error) {
	// Whoever holds a run's row claims or deletes it: nothing to wait for.
	const free = `WITH free AS (SELECT r.id FROM runs r WHERE r.id = ANY($2) AND r.state = 'ended' AND r.report = 0 AND (r.owner = ANY(`
	const gone = `) OR ` + noneToTell + `) FOR UPDATE SKIP LOCKED) DELETE FROM runs r USING free WHERE r.id = free.id RETURNING r.id, r.flow`
	var deleted []heddle.RunID
	var orphans []string
	err := s.call(ctx, "deleting runs", func(ctx context.Context) error {
		// Each statement is to see what was committed before it.
		return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, free+deadOwners(namedOwners)+gone, s.session, ids)
			if err != nil {
				return err
			}
			var flows []string
			err = each(rows, func(row pgx.Row) error {
				var id heddle.RunID
				var flow string
				err := row.Scan(&id, &flow)
				deleted, flows = append(deleted, id), append(flows, flow)
				return err
			})
			if err != nil || len(deleted) == 0 {
				return err
			}
			slices.Sort(flows)
			orphans, err = deleteFlows(ctx, tx, slices.Compact(flows))
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	if len(orphans) > 0 {
		s.flows.forget()
	}
	return deleted, nil
}

// deleteFlows deletes those of the flows that no run has, and returns their hashes.
//
// One deletion at a time comes here, else of two that each delete a flow's last runs
// neither would see the other's gone. A flow is locked before it is asked once more
// whether a run has it: whoever makes one now waits, and then brings the flow again.
// One that is locked already is about to get a run. Should nothing come of that, it
// stays until another of its runs is deleted.
func deleteFlows(ctx context.Context, tx pgx.Tx, hashes []string) ([]string, error) {
	// Not by NOT EXISTS, which may be planned as a join over all runs.
	const unused = ` FROM flows f WHERE f.hash = ANY($1) AND coalesce((SELECT false FROM runs r WHERE r.flow = f.hash LIMIT 1), true)`
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('heddle deletion'), hashtext(current_schema()))`); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `SELECT f.hash`+unused+` FOR UPDATE SKIP LOCKED`, hashes)
	if err != nil {
		return nil, err
	}
	locked, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(locked) == 0 {
		return nil, err
	}
	_, err = tx.Exec(ctx, `DELETE`+unused, locked)
	return locked, err
}

// usageStatement counts ended runs, in indexes alone, and about how many bytes the
// rows of all tables have. The size of the tables' files is no measure: they do not
// get smaller when rows are deleted, and who deletes until they do deletes all.
func usageStatement() string {
	const (
		perRow  = "300"     // bytes of a row and its index entries, but for its large column
		sampled = "2097152" // bytes of a table that are looked at
	)
	var sums []string
	for _, t := range []struct{ table, large string }{
		{"flows", "document"}, {"runs", "input"}, {"visits", "output"}, {"attempts", "message"}, {"labels", "value"}, {"notices", "body"},
	} {
		percent := `least(100, 100.0 * ` + sampled + ` / greatest(pg_relation_size('` + t.table + `'), 1))`
		sums = append(sums, `(SELECT coalesce(sum(pg_column_size(`+t.large+`) + `+perRow+`), 0) * 100 / `+percent+
			` FROM `+t.table+` TABLESAMPLE SYSTEM (`+percent+`))`)
	}
	return `SELECT (SELECT count(*) FROM runs) - (SELECT count(*) FROM runs WHERE state <> 'ended'), (` + strings.Join(sums, " + ") + `)::bigint`
}

// Usage implements [store.Pruner].
func (s *Store) Usage(ctx context.Context) (store.Usage, error) {
	var u store.Usage
	err := s.call(ctx, "measuring", func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, usageStatement()).Scan(&u.Ended, &u.Bytes)
	})
	return u, err
}
