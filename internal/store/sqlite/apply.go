package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// largeInput is the size in bytes from which an input is kept apart from its run.
const largeInput = 1 << 10

// writeStatements are prepared on the writing connection.
type writeStatements struct {
	all                     []*sql.Stmt
	begin, commit, rollback *sql.Stmt

	hasFlow, addFlow           *sql.Stmt
	addRun, addInput, addLabel *sql.Stmt
	advance, setRun, runState  *sql.Stmt
	putVisit, putAttempt       *sql.Stmt
	putNotice                  *sql.Stmt
}

func (w *writeStatements) prepare(ctx context.Context, conn *sql.Conn) error {
	for _, p := range []struct {
		to   **sql.Stmt
		text string
	}{
		{&w.begin, `BEGIN IMMEDIATE`},
		{&w.commit, `COMMIT`},
		{&w.rollback, `ROLLBACK`},
		{&w.hasFlow, `SELECT 1 FROM flows WHERE hash = ?`},
		{&w.addFlow, `INSERT INTO flows (hash, document) VALUES (?, ?)`},
		{&w.addRun, `INSERT INTO runs (id, kind, name, flow, parent, executor, input, state, outcome, message,
			created, started, ended, deadline, stop, visits, owner, epoch, seq, last_change, organization)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 1, ?, ?) ON CONFLICT (id) DO NOTHING`},
		{&w.addInput, `INSERT INTO inputs (run, input) VALUES (?, ?)`},
		{&w.addLabel, `INSERT INTO labels (run, key, value, created) VALUES (?, ?, ?, ?)`},
		// The first of the two leaves the columns alone that stand in an index.
		{&w.advance, `UPDATE runs SET message = ?, started = ?, ended = ?, deadline = ?, stop = ?, visits = ?,
			seq = seq + 1, last_change = ? WHERE id = ? AND owner = ? AND epoch = ? AND seq = ? AND state = ? AND outcome = ?`},
		{&w.setRun, `UPDATE runs SET message = ?, started = ?, ended = ?, deadline = ?, stop = ?, visits = ?,
			seq = seq + 1, last_change = ?, state = ?, outcome = ? WHERE id = ? AND owner = ? AND epoch = ? AND seq = ?`},
		{&w.runState, `SELECT owner, epoch, seq, last_change FROM runs WHERE id = ?`},
		{&w.putVisit, `INSERT INTO visits (run, no, step, idx, nth, cause, state, outcome, code, message, attempts, broken,
			opened, settled, due, output) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (run, no) DO UPDATE SET step = excluded.step, idx = excluded.idx, nth = excluded.nth,
			cause = excluded.cause, state = excluded.state, outcome = excluded.outcome, code = excluded.code,
			message = excluded.message, attempts = excluded.attempts, broken = excluded.broken, opened = excluded.opened,
			settled = excluded.settled, due = excluded.due, output = excluded.output`},
		{&w.putAttempt, `INSERT INTO attempts (run, visit, no, status, place, stop, exit_code, message, created, started, ended, infra)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (run, visit, no) DO UPDATE SET status = excluded.status, place = excluded.place, stop = excluded.stop,
			exit_code = excluded.exit_code, message = excluded.message, created = excluded.created,
			started = excluded.started, ended = excluded.ended, infra = excluded.infra`},
		{&w.putNotice, `INSERT INTO notices (run, id, target, event, body, created, tries, due) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (run, id) DO UPDATE SET target = excluded.target, event = excluded.event, body = excluded.body,
			created = excluded.created, tries = excluded.tries, due = excluded.due`},
	} {
		var err error
		if *p.to, err = conn.PrepareContext(ctx, p.text); err != nil {
			return err
		}
		w.all = append(w.all, *p.to)
	}
	return nil
}

// Apply implements [store.Store].
func (s *Store) Apply(ctx context.Context, changes []heddle.Change) ([]store.Answer, error) {
	if err := store.CheckOutputs(changes); err != nil {
		return nil, err
	}
	answers, told := make([]store.Answer, len(changes)), owners{}
	err := s.tx(ctx, "committing", func(ctx context.Context) error {
		refused := map[heddle.RunID]store.Answer{}
		lines := lineSet{}
		for i := range changes {
			answer, no := refused[changes[i].Run.ID]
			if !no {
				var err error
				if answer, err = s.apply(ctx, changes, i, lines); err != nil {
					return err
				}
				if answer != store.Committed {
					refused[changes[i].Run.ID] = answer
				}
			}
			answers[i] = answer
		}
		return s.grantAll(ctx, lines, told)
	})
	if err != nil {
		return nil, err
	}
	s.tell(told)
	return answers, nil
}

// apply writes changes[i], or says why not. It adds the lines that move on by it.
func (s *Store) apply(ctx context.Context, changes []heddle.Change, i int, lines lineSet) (store.Answer, error) {
	c := &changes[i]
	var written bool
	var err error
	if c.Flow != nil {
		written, err = s.createRun(ctx, c)
	} else {
		written, err = s.advanceRun(ctx, c)
	}
	if err != nil {
		return "", err
	}
	if written {
		if err := s.putTurns(ctx, c, lines); err != nil {
			return "", err
		}
		return store.Committed, s.putRows(ctx, c)
	}
	var owner, last string
	var epoch, seq int64
	err = s.writes.runState.QueryRowContext(ctx, string(c.Run.ID)).Scan(&owner, &epoch, &seq, &last)
	if errors.Is(err, sql.ErrNoRows) {
		return store.Conflict, nil
	}
	if err != nil {
		return "", err
	}
	return store.Judge(changes, i, s.session.id, owner, epoch, seq, last), nil
}

// createRun adds the run, its flow and its labels; false when the ID is taken.
func (s *Store) createRun(ctx context.Context, c *heddle.Change) (bool, error) {
	if err := s.createFlow(ctx, c); err != nil {
		return false, err
	}
	r := &c.Run
	input, err := encodeInput(r.Input)
	if err != nil {
		return false, err
	}
	inline := input
	if len(input) >= largeInput {
		inline = ""
	}
	created := store.Nanos(r.Created)
	n, err := affected(s.writes.addRun.ExecContext(ctx, string(r.ID), string(r.Kind), r.Name, r.FlowHash, string(r.Parent),
		r.Executor, inline, string(r.State), string(r.Outcome), r.Message, created, store.Nanos(r.Started),
		store.Nanos(r.Ended), store.Nanos(r.Deadline), string(r.Stop), r.Visits, s.session.id, c.ID, r.Organization))
	if err != nil || n == 0 {
		return false, err
	}
	if inline != input {
		if _, err := s.writes.addInput.ExecContext(ctx, string(r.ID), input); err != nil {
			return false, err
		}
	}
	for key, value := range r.Labels {
		if _, err := s.writes.addLabel.ExecContext(ctx, string(r.ID), key, value, created); err != nil {
			return false, err
		}
	}
	return true, nil
}

// createFlow adds the flow's document unless one of its hash is there.
func (s *Store) createFlow(ctx context.Context, c *heddle.Change) error {
	var one int
	err := s.writes.hasFlow.QueryRowContext(ctx, c.Run.FlowHash).Scan(&one)
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	document, err := json.Marshal(c.Flow)
	if err != nil {
		return heddle.Errorf(heddle.CodeInvalid, "encoding the flow of run %s: %w", c.Run.ID, err)
	}
	// Other runs will be given this document by its hash.
	if sum := sha256.Sum256(document); hex.EncodeToString(sum[:]) != c.Run.FlowHash {
		return heddle.Errorf(heddle.CodeInternal, "flow hash %q of run %s is not that of its flow %q", c.Run.FlowHash, c.Run.ID, c.Flow.Name)
	}
	_, err = s.writes.addFlow.ExecContext(ctx, c.Run.FlowHash, string(document))
	return err
}

// advanceRun updates the run's row; false when it is not as the change demands.
func (s *Store) advanceRun(ctx context.Context, c *heddle.Change) (bool, error) {
	r := &c.Run
	started, ended, deadline := store.Nanos(r.Started), store.Nanos(r.Ended), store.Nanos(r.Deadline)
	if r.State == heddle.RunRunning {
		// Most likely it was running before.
		n, err := affected(s.writes.advance.ExecContext(ctx, r.Message, started, ended, deadline, string(r.Stop), r.Visits,
			c.ID, string(r.ID), s.session.id, c.Epoch, c.Seq, string(r.State), string(r.Outcome)))
		if err != nil || n == 1 {
			return n == 1, err
		}
	}
	n, err := affected(s.writes.setRun.ExecContext(ctx, r.Message, started, ended, deadline, string(r.Stop), r.Visits,
		c.ID, string(r.State), string(r.Outcome), string(r.ID), s.session.id, c.Epoch, c.Seq))
	return n == 1, err
}

// putRows adds or replaces the change's visits, attempts and notices.
func (s *Store) putRows(ctx context.Context, c *heddle.Change) error {
	run := string(c.Run.ID)
	for i := range c.Visits {
		v := &c.Visits[i]
		if _, err := s.writes.putVisit.ExecContext(ctx, run, v.No, v.Step, v.Index, v.Nth, v.Cause, string(v.State),
			string(v.Outcome), v.Code, v.Message, v.Attempts, v.Broken, store.Nanos(v.Opened), store.Nanos(v.Settled),
			store.Nanos(v.Due), string(v.Output)); err != nil {
			return err
		}
	}
	for i := range c.Attempts {
		a := &c.Attempts[i]
		if _, err := s.writes.putAttempt.ExecContext(ctx, run, a.Visit, a.No, int(a.Status), a.Place, a.Stop, a.ExitCode,
			a.Message, store.Nanos(a.Created), store.Nanos(a.Started), store.Nanos(a.Ended), a.Infra); err != nil {
			return err
		}
	}
	for i := range c.Notices {
		n := &c.Notices[i]
		if _, err := s.writes.putNotice.ExecContext(ctx, run, n.ID, n.Target, n.Event, string(n.Body),
			store.Nanos(n.Created), n.Tries, store.Nanos(n.Due)); err != nil {
			return err
		}
	}
	return nil
}

func affected(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// encodeInput returns an input as JSON, "" for one that says nothing.
func encodeInput(in heddle.Input) (string, error) {
	data, err := json.Marshal(in)
	if err != nil {
		return "", heddle.Errorf(heddle.CodeInvalid, "encoding the input: %w", err)
	}
	if string(data) == "{}" {
		return "", nil
	}
	return string(data), nil
}
