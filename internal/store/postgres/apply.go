package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// applyStatement is the one statement that commits a group: it makes and moves
// runs, and writes the rows below those that it could make or move, whose IDs it
// returns. $1 is the session; the columns of the group's rows follow.
//
// All of a group in one statement is one round trip, one transaction and one
// flush, and each run's condition is looked at in the row while it is locked.
func applyStatement() string {
	n := 1
	made, moved, labels, visits, attempts, notices := madeShape(), movedShape(), labelShape(), visitShape(), attemptShape(), noticeShape()
	return `WITH made AS (
		INSERT INTO runs (` + made.columns("") + `, owner, epoch) SELECT ` + made.columns("u.") + `, $1, 1 FROM ` + made.unnest(&n, "") + `
		ON CONFLICT (id) DO NOTHING RETURNING id
	), moved AS (
		UPDATE runs r SET state = u.state, outcome = u.outcome, message = u.message, stop = u.stop, last_change = u.last_change,
			started = u.started, ended = u.ended, deadline = u.deadline, visits = u.visits, seq = u.seq + u.steps
		FROM ` + moved.unnest(&n, "") + ` WHERE r.id = u.id AND r.owner = $1 AND r.epoch = u.epoch AND r.seq = u.seq RETURNING r.id
	), done AS (
		SELECT id FROM made UNION ALL SELECT id FROM moved
	), put_labels AS (
		INSERT INTO labels (` + labels.columns("") + `) SELECT ` + labels.columns("u.") + ` FROM ` + labels.unnest(&n, "") + ` JOIN made ON made.id = u.run
	), put_visits AS (
		INSERT INTO visits (` + visits.columns("") + `) SELECT ` + visits.columns("u.") + ` FROM ` + visits.unnest(&n, "") + ` JOIN done ON done.id = u.run
		ON CONFLICT (run, no) DO UPDATE SET step = excluded.step, idx = excluded.idx, nth = excluded.nth, cause = excluded.cause,
			state = excluded.state, outcome = excluded.outcome, code = excluded.code, message = excluded.message,
			attempts = excluded.attempts, broken = excluded.broken, opened = excluded.opened, settled = excluded.settled,
			due = excluded.due, output = excluded.output
	), put_attempts AS (
		INSERT INTO attempts (` + attempts.columns("") + `) SELECT ` + attempts.columns("u.") + ` FROM ` + attempts.unnest(&n, "") + ` JOIN done ON done.id = u.run
		ON CONFLICT (run, visit, no) DO UPDATE SET status = excluded.status, place = excluded.place, stop = excluded.stop,
			exit_code = excluded.exit_code, message = excluded.message, created = excluded.created, started = excluded.started,
			ended = excluded.ended, infra = excluded.infra
	), put_notices AS (
		INSERT INTO notices (` + notices.columns("") + `) SELECT ` + notices.columns("u.") + ` FROM ` + notices.unnest(&n, "nth") + ` JOIN done ON done.id = u.run
		ORDER BY u.nth
		ON CONFLICT (run, id) DO UPDATE SET target = excluded.target, event = excluded.event, body = excluded.body,
			created = excluded.created, tries = excluded.tries, due = excluded.due
	) SELECT id FROM done`
}

// chain is the positions of changes of one run that follow upon each other: they
// are committed together when the run is as the first demands.
type chain []int

// maxGroup bounds what is sent at once, in bytes of outputs; what is over goes in
// another round.
const maxGroup = 64 << 20

// Apply implements [store.Store]. In all but rare cases it is one round trip.
func (s *Store) Apply(ctx context.Context, changes []heddle.Change) ([]store.Answer, error) {
	if err := store.CheckOutputs(changes); err != nil {
		return nil, err
	}
	answers := make([]store.Answer, len(changes))
	left := make([]int, len(changes))
	for i := range left {
		left[i] = i
	}
	err := s.call(ctx, "committing", func(ctx context.Context) error {
		for removed := 0; len(left) > 0; {
			chains, err := s.round(ctx, changes, left, answers)
			if flowRemoved(err) {
				s.flows.forget() // so that the next try sends it again
				if removed++; removed < maxRemoved {
					continue
				}
				err = store.Temporary(err)
			}
			if err != nil {
				return err
			}
			if err := s.judge(ctx, changes, left, answers, chains); err != nil {
				return err
			}
			rest := left[:0]
			for _, i := range left {
				if answers[i] == "" {
					rest = append(rest, i)
				}
			}
			left = rest
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return answers, nil
}

// maxRemoved bounds how often in a row a call finds a flow removed that was there
// when it looked: runs are deleted all the time, but hardly that often.
const maxRemoved = 10

// flowRemoved reports whether a run could not be made for want of its flow, which
// was there before and went with the last run that had it.
func flowRemoved(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23503" // foreign_key_violation
}

// round tries the first chain of each run among the changes that are left, answers
// the changes of those that are committed, and returns the chains that are not.
func (s *Store) round(ctx context.Context, changes []heddle.Change, left []int, answers []store.Answer) (map[heddle.RunID]chain, error) {
	chains, order := chainsOf(changes, left)
	g, flows := newGroup(), map[string]*heddle.Change{}
	for _, id := range order {
		c := chains[id]
		first, last := &changes[c[0]], &changes[c[len(c)-1]]
		if first.Flow == nil {
			g.move(first, last, len(c))
		} else {
			if err := g.create(first, last, len(c)); err != nil {
				return nil, err
			}
			if !s.flows.isStored(first.Run.FlowHash) {
				flows[first.Run.FlowHash] = first
			}
		}
		for _, i := range c {
			g.add(&changes[i])
		}
	}
	done, err := s.commit(ctx, g, flows)
	if err != nil {
		return nil, err
	}
	for _, id := range done {
		for _, i := range chains[id] {
			answers[i] = store.Committed
		}
		delete(chains, id)
	}
	return chains, nil
}

// chainsOf finds the first chain of each run, and the order in which they begin.
func chainsOf(changes []heddle.Change, left []int) (chains map[heddle.RunID]chain, order []heddle.RunID) {
	chains = map[heddle.RunID]chain{}
	broken := map[heddle.RunID]bool{}
	size := 0
	for _, i := range left {
		c := &changes[i]
		for j := range c.Visits {
			size += len(c.Visits[j].Output)
		}
		if size > maxGroup && len(order) > 0 {
			break
		}
		so, ok := chains[c.Run.ID]
		if !ok {
			chains[c.Run.ID] = chain{i}
			order = append(order, c.Run.ID)
			continue
		}
		before := &changes[so[len(so)-1]]
		if broken[c.Run.ID] || c.Flow != nil || c.Seq != before.Seq+1 || c.Epoch != max(before.Epoch, 1) {
			broken[c.Run.ID] = true
			continue
		}
		chains[c.Run.ID] = append(so, i)
	}
	return chains, order
}

// commit sends a group, and returns the runs whose chains are committed. What these
// wait for and give back is noted in the same transaction.
func (s *Store) commit(ctx context.Context, g *group, flows map[string]*heddle.Change) (done []heddle.RunID, err error) {
	if len(g.releases)+len(g.keys) == 0 {
		done, err = s.send(ctx, s.pool, g, flows)
	} else {
		err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			if done, err = s.send(ctx, tx, g, flows); err != nil {
				return err
			}
			return s.turns(ctx, tx, done, g)
		})
	}
	if err == nil {
		s.flows.stored(slices.Collect(maps.Keys(flows))...)
	}
	return done, err
}

func (s *Store) send(ctx context.Context, q querier, g *group, flows map[string]*heddle.Change) (done []heddle.RunID, err error) {
	if len(flows) == 0 {
		rows, err := q.Query(ctx, s.applyText, g.args(s.session)...)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, pgx.RowTo[heddle.RunID])
	}
	var hashes []string
	var documents [][]byte
	for hash, c := range flows {
		document, err := encodeFlow(c)
		if err != nil {
			return nil, err
		}
		hashes, documents = append(hashes, hash), append(documents, document)
	}
	batch := &pgx.Batch{} // one transaction
	batch.Queue(`INSERT INTO flows (hash, document) SELECT * FROM unnest($1::text[], $2::bytea[]) ON CONFLICT (hash) DO NOTHING`, hashes, documents)
	batch.Queue(s.applyText, g.args(s.session)...).Query(func(rows pgx.Rows) (err error) {
		done, err = pgx.CollectRows(rows, pgx.RowTo[heddle.RunID])
		return err
	})
	err = q.SendBatch(ctx, batch).Close()
	return done, err
}

// encodeFlow returns the document of the flow that a change brings.
func encodeFlow(c *heddle.Change) ([]byte, error) {
	document, err := json.Marshal(c.Flow)
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeInvalid, "encoding the flow of run %s: %w", c.Run.ID, err)
	}
	// Other runs will be given this document by its hash.
	if sum := sha256.Sum256(document); hex.EncodeToString(sum[:]) != c.Run.FlowHash {
		return nil, heddle.Errorf(heddle.CodeInternal, "flow hash %q of run %s is not that of its flow %q", c.Run.FlowHash, c.Run.ID, c.Flow.Name)
	}
	return document, nil
}

// judge answers the first change of each chain that was not committed. Where that
// says more than that it is committed already, it goes for all that is left of the run.
func (s *Store) judge(ctx context.Context, changes []heddle.Change, left []int, answers []store.Answer, chains map[heddle.RunID]chain) error {
	if len(chains) == 0 {
		return nil
	}
	var ids []string
	for id := range chains {
		ids = append(ids, encode(id))
	}
	refused := map[heddle.RunID]store.Answer{}
	for id := range chains {
		refused[id] = store.Conflict // unless the run is found
	}
	err := s.rows(ctx, func(row pgx.Row) error {
		var id heddle.RunID
		var owner, last string
		var epoch, seq int64
		if err := row.Scan(&id, &owner, &epoch, &seq, &last); err != nil {
			return err
		}
		decode(&last)
		first := chains[id][0]
		answers[first] = store.Judge(changes, first, s.session, owner, epoch, seq, last)
		refused[id] = answers[first]
		return nil
	}, `SELECT id, owner, epoch, seq, last_change FROM runs WHERE id = ANY($1)`, ids)
	if err != nil {
		return err
	}
	for _, i := range left {
		if answer, ok := refused[changes[i].Run.ID]; ok && answer != store.Committed && answers[i] == "" {
			answers[i] = answer
		}
	}
	return nil
}
