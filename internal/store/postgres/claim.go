package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// deadOwners is a list, as an array, of those in the query's column owner who have
// no lease that lasts. $1 is the caller's session, which knows itself to be alive.
//
// It stands in the claiming statements as an array that is made once, not as a
// condition on the table of sessions: where two claim the same run, the second
// waits for the first and then looks at the row once more, and of that second look
// only the row's own columns are certain to be new.
func deadOwners(owners string) string {
	return `ARRAY(SELECT o.owner FROM (` + owners + `) o WHERE o.owner <> $1
		AND NOT EXISTS (SELECT FROM sessions s WHERE s.id = o.owner AND s.expires > now()))`
}

const (
	openOwners     = `SELECT DISTINCT owner FROM runs WHERE state <> 'ended'`
	openOwnersOf   = openOwners + ` AND id = ANY($2)`
	noticesOwners  = `SELECT DISTINCT r.owner FROM notices n JOIN runs r ON r.id = n.run WHERE r.state = 'ended'`
	claimNamedText = `WITH claimed AS (UPDATE runs SET owner = $1, epoch = epoch + 1 WHERE state <> 'ended' AND id = ANY($2) AND owner = ANY(`
	claimAllText   = `WITH claimed AS (UPDATE runs SET owner = $1, epoch = epoch + 1 WHERE state <> 'ended' AND owner = ANY(`
	claimedText    = `) RETURNING id, created) SELECT id FROM claimed ORDER BY created, id`
	// Ended runs of dead sessions that still have notices: nobody claims them for
	// anything else, and the notices are to be delivered.
	claimNoticesText = `UPDATE runs SET owner = $1, epoch = epoch + 1 WHERE state = 'ended' AND id IN (SELECT run FROM notices) AND owner = ANY(`
	// A lease that has run out is as good as none; this only keeps the table small.
	sweepText = `DELETE FROM sessions WHERE expires < now() - interval '1 minute'`
)

// Claim implements [store.Store], with the oldest runs first. Called without ids it
// takes over undelivered notices of dead sessions too.
func (s *Store) Claim(ctx context.Context, ids []heddle.RunID) ([]heddle.RunID, error) {
	var claimed []heddle.RunID
	err := s.call(ctx, "claiming runs", func(ctx context.Context) (err error) {
		if len(ids) > 0 {
			claimed, err = s.ids(ctx, claimNamedText+deadOwners(openOwnersOf)+claimedText, s.session, texts(ids))
			return err
		}
		batch := &pgx.Batch{} // one transaction
		batch.Queue(claimAllText+deadOwners(openOwners)+claimedText, s.session).Query(func(rows pgx.Rows) (err error) {
			claimed, err = pgx.CollectRows(rows, pgx.RowTo[heddle.RunID])
			return err
		})
		batch.Queue(claimNoticesText+deadOwners(noticesOwners)+`)`, s.session)
		batch.Queue(sweepText)
		return s.pool.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

var _ store.Lapser = (*Store)(nil)

// Lapsed implements [store.Lapser].
func (s *Store) Lapsed() <-chan struct{} { return s.lease.lapsed }

// Lost implements [store.Lapser].
func (s *Store) Lost(ctx context.Context, runs []heddle.RunID) (lost []heddle.RunID, err error) {
	err = s.call(ctx, "looking for lost runs", func(ctx context.Context) (err error) {
		lost, err = s.ids(ctx, `SELECT id FROM runs WHERE id = ANY($1) AND owner <> $2`, texts(runs), s.session)
		return err
	})
	return lost, err
}

var _ store.NoticeClaimer = (*Store)(nil)

// ClaimNotices implements [store.NoticeClaimer].
func (s *Store) ClaimNotices(ctx context.Context) (claimed int, err error) {
	err = s.call(ctx, "claiming notices", func(ctx context.Context) error {
		done, err := s.pool.Exec(ctx, claimNoticesText+deadOwners(noticesOwners)+`)`, s.session)
		claimed = int(done.RowsAffected())
		return err
	})
	return claimed, err
}

// Orphaned implements [store.History].
func (s *Store) Orphaned(ctx context.Context) ([]heddle.RunID, error) {
	var orphans []heddle.RunID
	err := s.call(ctx, "looking for orphaned runs", func(ctx context.Context) (err error) {
		orphans, err = s.ids(ctx, `SELECT id FROM runs WHERE state <> 'ended' AND owner = ANY(`+deadOwners(openOwners)+`) ORDER BY created, id`, s.session)
		return err
	})
	return orphans, err
}

// RequestCancel implements [store.Store]. The owner is notified when the request
// is durable; while it does not listen the request stands in its row, and is found
// when the owner listens again or somebody claims the run.
func (s *Store) RequestCancel(ctx context.Context, id heddle.RunID, reason string) error {
	const request = `WITH r AS (UPDATE runs SET cancels = cancels + 1, cancel_reason = $2 WHERE id = $1 AND state <> 'ended' RETURNING owner)
		SELECT pg_notify('heddle_' || owner, $1) FROM r`
	return s.call(ctx, "requesting a cancel", func(ctx context.Context) error {
		for {
			done, err := s.pool.Exec(ctx, request, encode(id), encode(reason))
			if err != nil || done.RowsAffected() > 0 {
				return err
			}
			var state heddle.RunState
			err = s.pool.QueryRow(ctx, `SELECT state FROM runs WHERE id = $1`, encode(id)).Scan(&state)
			switch {
			case noRows(err):
				return notFound(id)
			case err != nil:
				return err
			case state == heddle.RunEnded:
				return heddle.Errorf(heddle.CodeConflict, "run %s has ended: there is nothing to cancel", id)
			}
			// It was created in between.
		}
	})
}

// news returns what others may have left for this session.
func (s *Store) news(ctx context.Context) (store.News, error) {
	cancels, err := s.requests(ctx)
	if err != nil {
		return store.News{}, err
	}
	granted, err := s.grants(ctx)
	return store.News{Cancels: cancels, Granted: granted}, err
}

// requests returns how often each of this session's open runs was asked to stop.
func (s *Store) requests(ctx context.Context) (map[heddle.RunID]int, error) {
	counts := map[heddle.RunID]int{}
	err := s.call(ctx, "looking for requests", func(ctx context.Context) error {
		return s.rows(ctx, func(row pgx.Row) error {
			var id heddle.RunID
			var cancels int
			err := row.Scan(&id, &cancels)
			counts[id] = cancels
			return err
		}, `SELECT id, cancels FROM runs WHERE state <> 'ended' AND owner = $1 AND cancels > 0`, s.session)
	})
	return counts, err
}
