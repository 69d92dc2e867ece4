package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// runColumns are what scanRun reads, of a run that the query calls r.
const runColumns = `r.id, r.kind, r.name, r.flow, r.parent, r.executor,
	CASE r.input WHEN '' THEN coalesce((SELECT input FROM inputs WHERE run = r.id), '') ELSE r.input END,
	r.state, r.outcome, r.message, r.created, r.started, r.ended, r.deadline, r.stop, r.visits, r.organization,
	(SELECT json_group_object(key, value) FROM labels WHERE run = r.id)`

// readStatements are prepared on the reading connections.
type readStatements struct {
	all []*sql.Stmt

	run, visits, attempts, flow, status *sql.Stmt
}

func (r *readStatements) prepare(ctx context.Context, db *sql.DB) error {
	for _, p := range []struct {
		to   **sql.Stmt
		text string
	}{
		{&r.run, `SELECT ` + runColumns + `, r.epoch, r.seq, r.cancels, r.cancel_reason FROM runs r WHERE r.id = ?`},
		{&r.visits, `SELECT no, step, idx, nth, cause, state, outcome, code, message, attempts, broken, opened, settled, due, output
			FROM visits WHERE run = ? ORDER BY no`},
		{&r.attempts, `SELECT visit, no, status, place, stop, exit_code, message, created, started, ended, infra
			FROM attempts WHERE run = ? ORDER BY visit, no`},
		{&r.flow, `SELECT document FROM flows WHERE hash = ?`},
		{&r.status, `SELECT status FROM attempts WHERE run = ? AND visit = ? AND no = ?`},
	} {
		var err error
		if *p.to, err = db.PrepareContext(ctx, p.text); err != nil {
			return err
		}
		r.all = append(r.all, *p.to)
	}
	return nil
}

// Load implements [store.Store].
func (s *Store) Load(ctx context.Context, id heddle.RunID) (store.Snapshot, error) {
	var snap store.Snapshot
	// One transaction, so that all rows are of the same instant.
	err := s.view(ctx, "loading run "+string(id), func(tx *sql.Tx) error {
		var epoch, seq, cancels sql.NullInt64
		row := tx.StmtContext(ctx, s.reads.run).QueryRowContext(ctx, string(id))
		err := scanRun(row, &snap.Run, &epoch, &seq, &cancels, &snap.CancelReason)
		if errors.Is(err, sql.ErrNoRows) {
			return heddle.Errorf(heddle.CodeNotFound, "there is no run %q", id)
		}
		if err != nil {
			return err
		}
		snap.Epoch, snap.Seq, snap.Cancels = epoch.Int64, seq.Int64, int(cancels.Int64)
		if snap.Flow, err = s.flow(ctx, tx, snap.Run.FlowHash); err != nil {
			return err
		}
		if snap.Visits, err = s.visits(ctx, tx, id); err != nil {
			return err
		}
		snap.Attempts, err = s.attempts(ctx, tx, id)
		return err
	})
	if err != nil {
		return store.Snapshot{}, err
	}
	return snap, nil
}

// Run implements [store.History].
func (s *Store) Run(ctx context.Context, id heddle.RunID) (heddle.RunDetail, error) {
	snap, err := s.Load(ctx, id)
	if err != nil {
		return heddle.RunDetail{}, err
	}
	d := heddle.RunDetail{Run: snap.Run, Flow: snap.Flow, Visits: snap.Visits, Attempts: snap.Attempts}
	if !store.MayWait(&d) {
		return d, nil
	}
	err = s.view(ctx, "looking at lines", func(tx *sql.Tx) error { return s.lines(ctx, tx, &d) })
	return d, err
}

// AttemptStatus implements [store.History].
func (s *Store) AttemptStatus(ctx context.Context, ids []heddle.AttemptID) (map[heddle.AttemptID]heddle.Status, error) {
	statuses := make(map[heddle.AttemptID]heddle.Status, len(ids))
	err := s.view(ctx, "reading attempts", func(tx *sql.Tx) error {
		stmt := tx.StmtContext(ctx, s.reads.status)
		for _, id := range ids {
			run, visit, no, ok := id.Split()
			if !ok {
				continue
			}
			var status int
			err := stmt.QueryRowContext(ctx, string(run), visit, no).Scan(&status)
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			if err != nil {
				return err
			}
			statuses[id] = heddle.Status(status)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return statuses, nil
}

// view reads in one transaction.
func (s *Store) view(ctx context.Context, doing string, do func(tx *sql.Tx) error) error {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fault(doing, s.path, err)
	}
	defer tx.Rollback()
	return fault(doing, s.path, do(tx))
}

// scanner is a row that stands at its values.
type scanner interface{ Scan(to ...any) error }

// scanRun reads runColumns and what follows them.
func scanRun(row scanner, r *heddle.Run, more ...any) error {
	var input, labels []byte
	var created, started, ended, deadline int64
	to := append([]any{&r.ID, &r.Kind, &r.Name, &r.FlowHash, &r.Parent, &r.Executor, &input, &r.State, &r.Outcome, &r.Message,
		&created, &started, &ended, &deadline, &r.Stop, &r.Visits, &r.Organization, &labels}, more...)
	if err := row.Scan(to...); err != nil {
		return err
	}
	r.Created, r.Started, r.Ended, r.Deadline = store.Time(created), store.Time(started), store.Time(ended), store.Time(deadline)
	if len(input) > 0 {
		if err := json.Unmarshal(input, &r.Input); err != nil {
			return err
		}
	}
	if string(labels) != "{}" {
		return json.Unmarshal(labels, &r.Labels)
	}
	return nil
}

func (s *Store) visits(ctx context.Context, tx *sql.Tx, id heddle.RunID) ([]heddle.Visit, error) {
	rows, err := tx.StmtContext(ctx, s.reads.visits).QueryContext(ctx, string(id))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var visits []heddle.Visit
	for rows.Next() {
		var v heddle.Visit
		var opened, settled, due int64
		var output []byte
		if err := rows.Scan(&v.No, &v.Step, &v.Index, &v.Nth, &v.Cause, &v.State, &v.Outcome, &v.Code, &v.Message,
			&v.Attempts, &v.Broken, &opened, &settled, &due, &output); err != nil {
			return nil, err
		}
		v.Opened, v.Settled, v.Due = store.Time(opened), store.Time(settled), store.Time(due)
		if len(output) > 0 {
			v.Output = output
		}
		visits = append(visits, v)
	}
	return visits, rows.Err()
}

func (s *Store) attempts(ctx context.Context, tx *sql.Tx, id heddle.RunID) ([]heddle.Attempt, error) {
	rows, err := tx.StmtContext(ctx, s.reads.attempts).QueryContext(ctx, string(id))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var attempts []heddle.Attempt
	for rows.Next() {
		var a heddle.Attempt
		var created, started, ended int64
		if err := rows.Scan(&a.Visit, &a.No, &a.Status, &a.Place, &a.Stop, &a.ExitCode, &a.Message,
			&created, &started, &ended, &a.Infra); err != nil {
			return nil, err
		}
		a.ID = heddle.NewAttemptID(id, a.Visit, a.No)
		a.Created, a.Started, a.Ended = store.Time(created), store.Time(started), store.Time(ended)
		attempts = append(attempts, a)
	}
	return attempts, rows.Err()
}

// flow returns a flow by its hash. The value is shared: nobody changes flows.
func (s *Store) flow(ctx context.Context, tx *sql.Tx, hash string) (*heddle.Flow, error) {
	if f := s.flows.Get(hash); f != nil {
		return f, nil
	}
	var document []byte
	if err := tx.StmtContext(ctx, s.reads.flow).QueryRowContext(ctx, hash).Scan(&document); err != nil {
		return nil, err
	}
	f := new(heddle.Flow)
	if err := json.Unmarshal(document, f); err != nil {
		return nil, err
	}
	s.flows.Put(hash, f, len(document))
	return f, nil
}
