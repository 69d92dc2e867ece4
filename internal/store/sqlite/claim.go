package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// Claim implements the port. Called without ids it takes over
// undelivered notices of dead sessions too, and removes their lock files.
func (s *Store) Claim(ctx context.Context, ids []heddle.RunID) ([]heddle.RunID, error) {
	var claimed []openRun
	err := s.tx(ctx, "claiming runs", func(ctx context.Context) error {
		dead, err := s.deadOwners(ctx, s.conn, ids)
		if err != nil {
			return err
		}
		for _, owner := range dead {
			text, args := `UPDATE runs SET owner = ?, epoch = epoch + 1 WHERE state <> 'ended' AND owner = ?`, []any{s.session.id, owner}
			if len(ids) > 0 {
				text, args = text+` AND id IN (SELECT value FROM json_each(?))`, append(args, jsonList(ids))
			}
			rows, err := s.conn.QueryContext(ctx, text+` RETURNING id, created`, args...)
			if err != nil {
				return err
			}
			if claimed, err = appendRuns(claimed, rows); err != nil {
				return err
			}
		}
		if len(ids) > 0 {
			return nil
		}
		_, err = s.claimNotices(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		if err := s.session.sweep(); err != nil {
			s.log.Warn("sweeping up after dead sessions", "error", err)
		}
	}
	return oldestFirst(claimed), nil
}

// claimNotices takes over ended runs of dead sessions that still have notices:
// nobody claims them for anything else, and the notices are to be delivered.
func (s *Store) claimNotices(ctx context.Context) (int, error) {
	rows, err := s.conn.QueryContext(ctx, `SELECT DISTINCT r.owner FROM notices n JOIN runs r ON r.id = n.run WHERE r.state = 'ended'`)
	if err != nil {
		return 0, err
	}
	owners, err := s.keepDead(rows)
	if err != nil {
		return 0, err
	}
	claimed := 0
	for _, owner := range owners {
		n, err := affected(s.conn.ExecContext(ctx, `UPDATE runs SET owner = ?, epoch = epoch + 1
			WHERE state = 'ended' AND owner = ? AND id IN (SELECT run FROM notices)`, s.session.id, owner))
		if err != nil {
			return 0, err
		}
		claimed += int(n)
	}
	return claimed, nil
}

var _ store.NoticeClaimer = (*Store)(nil)

// ClaimNotices implements [store.NoticeClaimer].
func (s *Store) ClaimNotices(ctx context.Context) (claimed int, err error) {
	err = s.tx(ctx, "claiming notices", func(ctx context.Context) error {
		claimed, err = s.claimNotices(ctx)
		return err
	})
	return claimed, err
}

// Orphaned implements the port.
func (s *Store) Orphaned(ctx context.Context) ([]heddle.RunID, error) {
	var orphans []openRun
	err := s.view(ctx, "looking for orphaned runs", func(tx *sql.Tx) error {
		dead, err := s.deadOwners(ctx, tx, nil)
		if err != nil {
			return err
		}
		for _, owner := range dead {
			rows, err := tx.QueryContext(ctx, `SELECT id, created FROM runs WHERE state <> 'ended' AND owner = ?`, owner)
			if err != nil {
				return err
			}
			if orphans, err = appendRuns(orphans, rows); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return oldestFirst(orphans), nil
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// deadOwners returns the owners of open runs, or of those of them that are named,
// whose session is over.
func (s *Store) deadOwners(ctx context.Context, q querier, ids []heddle.RunID) ([]string, error) {
	text, args := `SELECT DISTINCT owner FROM runs WHERE state <> 'ended'`, []any(nil)
	if len(ids) > 0 {
		text, args = text+` AND id IN (SELECT value FROM json_each(?))`, append(args, jsonList(ids))
	}
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	return s.keepDead(rows)
}

// keepDead reads session names and returns those whose session is over.
func (s *Store) keepDead(rows *sql.Rows) ([]string, error) {
	defer rows.Close()
	var dead []string
	for rows.Next() {
		var owner string
		if err := rows.Scan(&owner); err != nil {
			return nil, err
		}
		alive, err := s.session.alive(owner)
		if err != nil {
			return nil, err
		}
		if !alive {
			dead = append(dead, owner)
		}
	}
	return dead, rows.Err()
}

type openRun struct {
	id      heddle.RunID
	created int64
}

func appendRuns(runs []openRun, rows *sql.Rows) ([]openRun, error) {
	defer rows.Close()
	for rows.Next() {
		var r openRun
		if err := rows.Scan(&r.id, &r.created); err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	return runs, rows.Err()
}

func oldestFirst(runs []openRun) []heddle.RunID {
	slices.SortFunc(runs, func(a, b openRun) int {
		return cmp.Or(cmp.Compare(a.created, b.created), cmp.Compare(a.id, b.id))
	})
	ids := make([]heddle.RunID, len(runs))
	for i, r := range runs {
		ids[i] = r.id
	}
	return ids
}

// RequestCancel implements the port.
func (s *Store) RequestCancel(ctx context.Context, id heddle.RunID, reason string) error {
	var owner string
	err := s.tx(ctx, "requesting a cancel", func(ctx context.Context) error {
		var state heddle.RunState
		err := s.conn.QueryRowContext(ctx, `SELECT owner, state FROM runs WHERE id = ?`, string(id)).Scan(&owner, &state)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return heddle.Errorf(heddle.CodeNotFound, "there is no run %q", id)
		case err != nil:
			return err
		case state == heddle.RunEnded:
			return heddle.Errorf(heddle.CodeConflict, "run %s has ended: there is nothing to cancel", id)
		}
		_, err = s.conn.ExecContext(ctx, `UPDATE runs SET cancels = cancels + 1, cancel_reason = ? WHERE id = ?`, reason, string(id))
		return err
	})
	if err != nil {
		return err
	}
	if owner == s.session.id {
		s.wake.waker.Kick()
		return nil
	}
	s.touch(owner)
	return nil
}

// touch wakes another session. When it cannot be, the request stands in its row
// all the same and is found with the next one, or by who claims the run.
func (s *Store) touch(owner string) {
	f, err := os.OpenFile(filepath.Join(s.session.dir, owner+wakeSuffix), os.O_WRONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return // it is over
	}
	if err == nil {
		_, err = f.WriteAt([]byte{0}, 0)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		s.log.Warn("waking the owner of a run", "owner", owner, "error", err)
	}
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
	rows, err := s.read.QueryContext(ctx, `SELECT id, cancels FROM runs WHERE state <> 'ended' AND owner = ? AND cancels > 0`, s.session.id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	counts := map[heddle.RunID]int{}
	for rows.Next() {
		var id heddle.RunID
		var cancels int
		if err := rows.Scan(&id, &cancels); err != nil {
			return nil, err
		}
		counts[id] = cancels
	}
	return counts, rows.Err()
}
