package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// Who writes to the table of turns first locks the row of the run that it writes for,
// if it does, then the advisory locks of all the lines that it touches, in one order:
// so nobody waits for somebody who waits for him.

// Granted implements [store.Turns].
func (s *Store) Granted() <-chan store.Turn { return s.wake.Granted() }

// Ask implements [store.Turns].
func (s *Store) Ask(ctx context.Context, run heddle.RunID, epoch int64, asks []store.Ask) ([]store.Reply, error) {
	replies := make([]store.Reply, len(asks))
	err := s.call(ctx, "asking for a turn", func(ctx context.Context) error {
		err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			// The lock keeps changes of the run away until it stands in line, or sees to
			// it that they are seen here.
			var state heddle.RunState
			var organization string
			err := tx.QueryRow(ctx, `SELECT state, organization FROM runs WHERE id = $1 AND owner = $2 AND epoch = $3 AND state <> 'ended' FOR NO KEY UPDATE`,
				encode(run), s.session, epoch).Scan(&state, &organization)
			if err != nil && !noRows(err) {
				return err
			}
			return s.ask(ctx, tx, asker{run, state, decoded(organization)}, asks, replies)
		})
		if err != nil {
			return err
		}
		for i := range asks {
			if asks[i].Busy == heddle.ConcurrenceCancelOld && replies[i].Turn == store.Waits {
				return s.supersede(ctx, run, asks[i].Name)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return replies, nil
}

// asker is a run that asks for turns.
type asker struct {
	run          heddle.RunID
	state        heddle.RunState // "" if it is not this session's
	organization string
}

// ask enlists the run.
func (s *Store) ask(ctx context.Context, tx pgx.Tx, by asker, asks []store.Ask, replies []store.Reply) error {
	var lines lineList
	for i := range asks {
		wanted, err := wants(ctx, tx, by, &asks[i])
		if err != nil {
			return err
		}
		if !wanted {
			replies[i].Turn = store.Unwanted
			continue
		}
		lines.add(asks[i].Line(by.organization))
	}
	if err := lines.lock(ctx, tx); err != nil {
		return err
	}
	for i := range asks {
		if a := &asks[i]; replies[i].Turn == "" {
			if _, err := tx.Exec(ctx, `INSERT INTO turns (organization, pool, name, run, visit, attempt, weight) VALUES ($1, $2, $3, $4, $5, $6, $7)
				ON CONFLICT (run, visit, attempt) DO NOTHING`, encode(by.organization), a.Visit > 0, encode(a.Name), encode(by.run), a.Visit, a.Attempt, a.Weight); err != nil {
				return err
			}
		}
	}
	if err := s.grantAll(ctx, tx, lines); err != nil {
		return err
	}
	for i := range asks {
		if replies[i].Turn != "" {
			continue
		}
		var err error
		if replies[i], err = reply(ctx, tx, by, &asks[i]); err != nil {
			return err
		}
	}
	return nil
}

// wants reports whether the run stands where it needs the turn.
func wants(ctx context.Context, tx pgx.Tx, by asker, a *store.Ask) (wanted bool, err error) {
	if by.state == "" || a.Visit == 0 {
		return by.state == heddle.RunPending, nil
	}
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM visits WHERE run = $1 AND no = $2 AND state = 'ready' AND attempts = $3)`,
		encode(by.run), a.Visit, a.Attempt-1).Scan(&wanted)
	return wanted, err
}

// reply says how an ask stands. A run that is not to wait for its key leaves the line.
func reply(ctx context.Context, tx pgx.Tx, by asker, a *store.Ask) (store.Reply, error) {
	var n int64
	var granted bool
	err := tx.QueryRow(ctx, `SELECT n, granted FROM turns WHERE run = $1 AND visit = $2 AND attempt = $3`,
		encode(by.run), a.Visit, a.Attempt).Scan(&n, &granted)
	switch {
	case err != nil:
		return store.Reply{}, err
	case granted:
		return store.Reply{Turn: store.Granted}, nil
	case a.Busy != heddle.ConcurrenceReject:
		return store.Reply{Turn: store.Waits}, nil
	}
	r := store.Reply{Turn: store.Denied}
	if err := tx.QueryRow(ctx, `SELECT run FROM turns WHERE organization = $1 AND NOT pool AND name = $2 AND n <> $3 ORDER BY granted DESC, n LIMIT 1`,
		encode(by.organization), encode(a.Name), n).Scan(&r.Other); err != nil && !noRows(err) {
		return r, err
	}
	_, err = tx.Exec(ctx, `DELETE FROM turns WHERE n = $1`, n)
	return r, err
}

// supersede asks those to end that stand before the run in the line of its key. The
// run stands there itself by now, so that it asks again if this fails; one row at a
// time, so that it waits for nobody's commit while it holds up another's.
func (s *Store) supersede(ctx context.Context, run heddle.RunID, key string) error {
	others, err := s.ids(ctx, `SELECT o.run FROM turns o JOIN turns t ON NOT o.pool AND t.organization = o.organization AND t.name = o.name AND o.n < t.n WHERE t.run = $1 AND t.visit = 0`, encode(run))
	if err != nil {
		return err
	}
	for _, other := range others {
		if _, err := s.pool.Exec(ctx, `WITH r AS (UPDATE runs SET cancels = 1, cancel_reason = $2 WHERE id = $1 AND cancels = 0 AND state <> 'ended' RETURNING owner)
			SELECT pg_notify('heddle_' || owner, $1) FROM r`, encode(other), encode(store.Superseded(run, key))); err != nil {
			return err
		}
	}
	return nil
}

// Regrant implements [store.Turns].
func (s *Store) Regrant(ctx context.Context) error {
	err := s.call(ctx, "looking at lines again", func(ctx context.Context) error {
		lines, err := linesOf(ctx, s.pool, `SELECT DISTINCT t.organization, t.pool, t.name FROM turns t JOIN runs r ON r.id = t.run WHERE NOT t.granted AND r.owner = $1`, s.session)
		if err != nil {
			return err
		}
		for i := range lines.pools {
			one := lineList{lines.organizations[i : i+1], lines.pools[i : i+1], lines.names[i : i+1]}
			if err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
				if err := one.lock(ctx, tx); err != nil {
					return err
				}
				return s.grantAll(ctx, tx, one)
			}); err != nil {
				return err
			}
		}
		return nil
	})
	s.wake.Kick() // in case that a word got lost
	return err
}

// turns takes what runs give back, each of them with its row locked by a change in the
// same transaction, and gives it to those whose turn it is. Runs that were made and
// wait for their key are put in line.
func (s *Store) turns(ctx context.Context, tx pgx.Tx, done []heddle.RunID, g *group) error {
	const given = `FROM unnest($1::text[], $2::bigint[]) AS u (run, visit) WHERE t.run = u.run AND (u.visit = 0 OR u.visit = t.visit)`
	var runs, made, organizations, keys []string
	var visits []int64
	for _, id := range done {
		for _, visit := range g.releases[id] {
			runs, visits = append(runs, encode(id)), append(visits, int64(visit))
		}
		if key, ok := g.keys[id]; ok && !slices.Contains(g.releases[id], 0) {
			made, organizations, keys = append(made, encode(id)), append(organizations, encode(key.Organization)), append(keys, encode(key.Name))
		}
	}
	lines, err := linesOf(ctx, tx, `SELECT DISTINCT t.organization, t.pool, t.name FROM turns t WHERE EXISTS (SELECT `+given+`)
		UNION SELECT k.organization, false, k.name FROM unnest($3::text[], $4::text[]) AS k (organization, name)`, runs, visits, organizations, keys)
	if err != nil || len(lines.pools) == 0 {
		return err
	}
	if err := lines.lock(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO turns (organization, pool, name, run, visit, attempt, weight)
		SELECT u.organization, false, u.name, u.run, 0, 0, 1 FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY
		AS u (organization, run, name, nth) ORDER BY u.nth`, organizations, made, keys); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM turns t WHERE EXISTS (SELECT `+given+`)`, runs, visits); err != nil {
		return err
	}
	return s.grantAll(ctx, tx, lines)
}

// lineList is lines by column.
type lineList struct {
	organizations []string // encoded
	pools         []bool
	names         []string // encoded
}

func (l *lineList) add(line store.Line) {
	organization, name := encode(line.Organization), encode(line.Name)
	for i := range l.pools {
		if l.organizations[i] == organization && l.pools[i] == line.Pool && l.names[i] == name {
			return
		}
	}
	l.organizations, l.pools, l.names = append(l.organizations, organization), append(l.pools, line.Pool), append(l.names, name)
}

// lock keeps others away from the lines until the end of the transaction.
func (l *lineList) lock(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `WITH h AS MATERIALIZED (
			SELECT DISTINCT hashtextextended(concat(current_schema(), ' ', organization, ' ', pool, ' ', name), 4004) AS line
			FROM unnest($1::text[], $2::boolean[], $3::text[]) AS u (organization, pool, name) ORDER BY line
		) SELECT pg_advisory_xact_lock(line) FROM h`, l.organizations, l.pools, l.names)
	return err
}

// querier is a pool of connections, or a transaction.
type querier interface {
	Query(ctx context.Context, text string, args ...any) (pgx.Rows, error)
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// linesOf reads lines as columns organization, pool and name.
func linesOf(ctx context.Context, q querier, text string, args ...any) (lineList, error) {
	var l lineList
	rows, err := q.Query(ctx, text, args...)
	if err != nil {
		return l, err
	}
	return l, each(rows, func(row pgx.Row) error {
		var pool bool
		var organization, name string
		err := row.Scan(&organization, &pool, &name)
		l.organizations, l.pools, l.names = append(l.organizations, organization), append(l.pools, pool), append(l.names, name)
		return err
	})
}

// grantAll gives turns to those at the heads of lines that are locked, as far as what
// there is suffices, and notifies their owners.
func (s *Store) grantAll(ctx context.Context, tx pgx.Tx, lines lineList) error {
	for i := range lines.pools {
		if err := s.grant(ctx, tx, lines.organizations[i], lines.pools[i], lines.names[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) grant(ctx context.Context, tx pgx.Tx, organization string, pool bool, name string) error {
	var size, taken int
	if err := tx.QueryRow(ctx, `SELECT CASE WHEN $1 THEN coalesce((SELECT size FROM pools WHERE organization = $3 AND name = $2), 0) ELSE 1 END,
		(SELECT coalesce(sum(weight), 0) FROM turns WHERE organization = $3 AND pool = $1 AND name = $2 AND granted)`, pool, name, organization).Scan(&size, &taken); err != nil {
		return err
	}
	free := size - taken
	if free <= 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT t.n, t.weight FROM turns t JOIN runs r ON r.id = t.run
		WHERE t.organization = $6 AND t.pool = $1 AND t.name = $2 AND NOT t.granted AND t.weight <= $3 AND (t.pool OR r.cancels = 0)
		AND (r.owner = $4 OR EXISTS (SELECT FROM sessions s WHERE s.id = r.owner AND s.expires > clock_timestamp()))
		ORDER BY t.n LIMIT $5`, pool, name, size, s.session, free, organization)
	if err != nil {
		return err
	}
	var chosen []int64
	if err := each(rows, func(row pgx.Row) error {
		var n int64
		var weight int
		err := row.Scan(&n, &weight)
		if free -= weight; free >= 0 {
			chosen = append(chosen, n)
		}
		return err
	}); err != nil || len(chosen) == 0 {
		return err
	}
	_, err = tx.Exec(ctx, `WITH g AS (UPDATE turns SET granted = true WHERE n = ANY($1) RETURNING run)
		SELECT pg_notify('heddle_' || owner, '') FROM (SELECT DISTINCT r.owner FROM g JOIN runs r ON r.id = g.run) o`, chosen)
	return err
}

// grants returns the turns that runs of this session have.
func (s *Store) grants(ctx context.Context) ([]store.Turn, error) {
	var turns []store.Turn
	err := s.call(ctx, "looking for turns", func(ctx context.Context) error {
		return s.rows(ctx, func(row pgx.Row) error {
			var turn store.Turn
			err := row.Scan(&turn.Run, &turn.Visit, &turn.Attempt)
			turns = append(turns, turn)
			return err
		}, `SELECT t.run, t.visit, t.attempt FROM turns t JOIN runs r ON r.id = t.run WHERE t.granted AND r.owner = $1`, s.session)
	})
	return turns, err
}
