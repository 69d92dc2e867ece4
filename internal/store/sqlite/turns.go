package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// Granted implements [store.Turns].
func (s *Store) Granted() <-chan store.Turn { return s.wake.waker.Granted() }

// Ask implements [store.Turns].
func (s *Store) Ask(ctx context.Context, run heddle.RunID, epoch int64, asks []store.Ask) ([]store.Reply, error) {
	replies := make([]store.Reply, len(asks))
	told := owners{}
	err := s.tx(ctx, "asking for a turn", func(ctx context.Context) error {
		var state heddle.RunState
		var organization string
		err := s.conn.QueryRowContext(ctx, `SELECT state, organization FROM runs WHERE id = ? AND owner = ? AND epoch = ? AND state <> 'ended'`,
			string(run), s.session.id, epoch).Scan(&state, &organization)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		lines := lineSet{}
		for i := range asks {
			wanted, err := s.wanted(ctx, run, state, &asks[i])
			if err != nil {
				return err
			}
			if !wanted {
				replies[i].Turn = store.Unwanted
				continue
			}
			line := asks[i].Line(organization)
			if err := s.enlist(ctx, run, line, &asks[i], told); err != nil {
				return err
			}
			lines[line] = true
		}
		if err := s.grantAll(ctx, lines, told); err != nil {
			return err
		}
		for i := range asks {
			if replies[i].Turn == "" {
				if replies[i], err = s.reply(ctx, run, asks[i].Line(organization), &asks[i]); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.tell(told)
	return replies, nil
}

// wanted reports whether the run, which is in that state ("" if it is not this
// session's), stands where it needs the turn.
func (s *Store) wanted(ctx context.Context, run heddle.RunID, state heddle.RunState, a *store.Ask) (bool, error) {
	if state == "" || a.Visit == 0 {
		return state == heddle.RunPending, nil
	}
	var one int
	err := s.conn.QueryRowContext(ctx, `SELECT 1 FROM visits WHERE run = ? AND no = ? AND state = 'ready' AND attempts = ?`,
		string(run), a.Visit, a.Attempt-1).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// stand puts a run in line if it is not there yet.
func (s *Store) stand(ctx context.Context, run heddle.RunID, line store.Line, a *store.Ask) error {
	_, err := s.conn.ExecContext(ctx, `INSERT INTO turns (organization, pool, name, run, visit, attempt, weight) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (run, visit, attempt) DO NOTHING`, line.Organization, line.Pool, line.Name, string(run), a.Visit, a.Attempt, a.Weight)
	return err
}

// enlist is stand, and for a run that is to come instead of the others, those before
// it are asked to end.
func (s *Store) enlist(ctx context.Context, run heddle.RunID, line store.Line, a *store.Ask, told owners) error {
	if err := s.stand(ctx, run, line, a); err != nil || a.Busy != heddle.ConcurrenceCancelOld {
		return err
	}
	rows, err := s.conn.QueryContext(ctx, `UPDATE runs SET cancels = 1, cancel_reason = ? WHERE cancels = 0 AND state <> 'ended' AND id IN (
		SELECT o.run FROM turns o JOIN turns t ON t.organization = o.organization AND t.pool = o.pool AND t.name = o.name WHERE t.run = ? AND t.visit = 0 AND o.n < t.n
		) RETURNING owner`, store.Superseded(run, a.Name), string(run))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var owner string
		if err := rows.Scan(&owner); err != nil {
			return err
		}
		told[owner] = true
	}
	return rows.Err()
}

// reply says how an ask stands. A run that is not to wait for its key leaves the line.
func (s *Store) reply(ctx context.Context, run heddle.RunID, line store.Line, a *store.Ask) (store.Reply, error) {
	var n int64
	var granted bool
	err := s.conn.QueryRowContext(ctx, `SELECT n, granted FROM turns WHERE run = ? AND visit = ? AND attempt = ?`,
		string(run), a.Visit, a.Attempt).Scan(&n, &granted)
	switch {
	case err != nil:
		return store.Reply{}, err
	case granted:
		return store.Reply{Turn: store.Granted}, nil
	case a.Busy != heddle.ConcurrenceReject:
		return store.Reply{Turn: store.Waits}, nil
	}
	r := store.Reply{Turn: store.Denied}
	if err := s.conn.QueryRowContext(ctx, `SELECT run FROM turns WHERE organization = ? AND pool = 0 AND name = ? AND n <> ? ORDER BY granted DESC, n LIMIT 1`,
		line.Organization, line.Name, n).Scan(&r.Other); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return r, err
	}
	_, err = s.conn.ExecContext(ctx, `DELETE FROM turns WHERE n = ?`, n)
	return r, err
}

// Regrant implements [store.Turns].
func (s *Store) Regrant(ctx context.Context) error {
	told := owners{}
	err := s.tx(ctx, "looking at lines again", func(ctx context.Context) error {
		rows, err := s.conn.QueryContext(ctx, `SELECT DISTINCT t.organization, t.pool, t.name FROM turns t JOIN runs r ON r.id = t.run
			WHERE t.granted = 0 AND r.owner = ?`, s.session.id)
		if err != nil {
			return err
		}
		lines := lineSet{}
		if err := lines.read(rows); err != nil {
			return err
		}
		return s.grantAll(ctx, lines, told)
	})
	if err != nil {
		return err
	}
	told[s.session.id] = true // in case that a word got lost
	s.tell(told)
	return nil
}

// putTurns puts a run that a change makes in the line of its key, takes what a change
// gives back, and adds the lines that may move on by it.
func (s *Store) putTurns(ctx context.Context, c *heddle.Change, lines lineSet) error {
	if key, waits := store.KeyOf(c); waits {
		lines[key] = true
		if err := s.stand(ctx, c.Run.ID, key, &store.Ask{Weight: 1}); err != nil {
			return err
		}
	}
	if len(c.Releases) == 0 {
		return nil
	}
	text, args := `DELETE FROM turns WHERE run = ?`, []any{string(c.Run.ID)}
	if !slices.Contains(c.Releases, 0) {
		text, args = text+` AND visit IN (SELECT value FROM json_each(?))`, append(args, jsonList(c.Releases))
	}
	rows, err := s.conn.QueryContext(ctx, text+` RETURNING organization, pool, name`, args...)
	if err != nil {
		return err
	}
	return lines.read(rows)
}

type lineSet map[store.Line]bool

// read adds the lines in rows of organization, pool and name.
func (l lineSet) read(rows *sql.Rows) error {
	defer rows.Close()
	for rows.Next() {
		var line store.Line
		if err := rows.Scan(&line.Organization, &line.Pool, &line.Name); err != nil {
			return err
		}
		l[line] = true
	}
	return rows.Err()
}

// owners is a set of sessions that have to be told of something.
type owners map[string]bool

func (s *Store) tell(told owners) {
	for owner := range told {
		if owner == s.session.id {
			s.wake.waker.Kick()
		} else {
			s.touch(owner)
		}
	}
}

func (s *Store) grantAll(ctx context.Context, lines lineSet, told owners) error {
	gone := s.goneOwners()
	for line := range lines {
		if err := s.grant(ctx, line, gone, told); err != nil {
			return err
		}
	}
	return nil
}

// grant gives turns to those at the head of a line, as far as what there is suffices.
func (s *Store) grant(ctx context.Context, line store.Line, gone func(string) (bool, error), told owners) error {
	size, taken := 1, 0
	if line.Pool {
		err := s.conn.QueryRowContext(ctx, `SELECT size FROM pools WHERE organization = ? AND name = ?`, line.Organization, line.Name).Scan(&size)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	if err := s.conn.QueryRowContext(ctx, `SELECT coalesce(sum(weight), 0) FROM turns WHERE organization = ? AND pool = ? AND name = ? AND granted = 1`,
		line.Organization, line.Pool, line.Name).Scan(&taken); err != nil || taken >= size {
		return err
	}
	chosen, err := s.head(ctx, line, size, size-taken, gone, told)
	if err != nil || len(chosen) == 0 {
		return err
	}
	_, err = s.conn.ExecContext(ctx, `UPDATE turns SET granted = 1 WHERE n IN (SELECT value FROM json_each(?))`, jsonList(chosen))
	return err
}

// head returns the numbers of those in a line whose turn it is.
func (s *Store) head(ctx context.Context, line store.Line, size, free int, gone func(string) (bool, error), told owners) ([]int, error) {
	rows, err := s.conn.QueryContext(ctx, `SELECT t.n, t.weight, r.owner FROM turns t JOIN runs r ON r.id = t.run
		WHERE t.organization = ? AND t.pool = ? AND t.name = ? AND t.granted = 0 AND t.weight <= ? AND (t.pool = 1 OR r.cancels = 0) ORDER BY t.n`,
		line.Organization, line.Pool, line.Name, size)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var chosen []int
	for free > 0 && rows.Next() {
		var n, weight int
		var owner string
		if err := rows.Scan(&n, &weight, &owner); err != nil {
			return nil, err
		}
		dead, err := gone(owner)
		if err != nil {
			return nil, err
		}
		if dead {
			continue
		}
		if free -= weight; free < 0 {
			break
		}
		chosen = append(chosen, n)
		told[owner] = true
	}
	return chosen, rows.Err()
}

// grants returns the turns that runs of this session have.
func (s *Store) grants(ctx context.Context) ([]store.Turn, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT t.run, t.visit, t.attempt FROM turns t JOIN runs r ON r.id = t.run WHERE t.granted = 1 AND r.owner = ?`, s.session.id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var turns []store.Turn
	for rows.Next() {
		var turn store.Turn
		if err := rows.Scan(&turn.Run, &turn.Visit, &turn.Attempt); err != nil {
			return nil, err
		}
		turns = append(turns, turn)
	}
	return turns, rows.Err()
}
