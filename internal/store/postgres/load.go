package postgres

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// What scanRun, scanVisit and scanAttempt read; runs are called r by the query.
const (
	runColumns = `r.id, r.kind, r.name, r.flow, r.parent, r.executor, r.input, r.state, r.outcome, r.message,
		r.created, r.started, r.ended, r.deadline, r.stop, r.visits, r.organization,
		ARRAY(SELECT unnest(ARRAY[key, value]) FROM labels WHERE run = r.id)`
	visitColumns   = `no, step, idx, nth, cause, state, outcome, code, message, attempts, broken, opened, settled, due, output`
	attemptColumns = `visit, no, status, place, stop, exit_code, message, created, started, ended, infra`
)

// Load implements [store.Store].
func (s *Store) Load(ctx context.Context, id heddle.RunID) (store.Snapshot, error) {
	var snap store.Snapshot
	err := s.call(ctx, "loading run "+string(id), func(ctx context.Context) (err error) {
		if snap, err = s.snapshot(ctx, id); err != nil {
			return err
		}
		snap.Flow, err = s.flow(ctx, snap.Run.FlowHash)
		if noRows(err) {
			return notFound(id) // run and flow were removed in between
		}
		return err
	})
	if err != nil {
		return store.Snapshot{}, err
	}
	return snap, nil
}

// snapshot reads all but the flow, in one round trip and as of one instant.
func (s *Store) snapshot(ctx context.Context, id heddle.RunID) (snap store.Snapshot, err error) {
	found := false
	batch := &pgx.Batch{}
	batch.Queue(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`)
	query := func(scan func(row pgx.Row) error, text string) {
		batch.Queue(text, encode(id)).Query(func(rows pgx.Rows) error { return each(rows, scan) })
	}
	query(func(row pgx.Row) error {
		found = true
		err := scanRun(row, &snap.Run, &snap.Epoch, &snap.Seq, &snap.Cancels, &snap.CancelReason)
		decode(&snap.CancelReason)
		return err
	}, `SELECT `+runColumns+`, r.epoch, r.seq, r.cancels, r.cancel_reason FROM runs r WHERE r.id = $1`)
	query(func(row pgx.Row) error {
		v, err := scanVisit(row)
		snap.Visits = append(snap.Visits, v)
		return err
	}, `SELECT `+visitColumns+` FROM visits WHERE run = $1 ORDER BY no`)
	query(func(row pgx.Row) error {
		a, err := scanAttempt(row, id)
		snap.Attempts = append(snap.Attempts, a)
		return err
	}, `SELECT `+attemptColumns+` FROM attempts WHERE run = $1 ORDER BY visit, no`)
	batch.Queue(`COMMIT`)
	err = s.pool.SendBatch(ctx, batch).Close()
	if err == nil && !found {
		err = notFound(id)
	}
	return snap, err
}

// Run implements [store.History].
func (s *Store) Run(ctx context.Context, id heddle.RunID) (heddle.RunDetail, error) {
	snap, err := s.Load(ctx, id)
	if err != nil {
		return heddle.RunDetail{}, err
	}
	d := heddle.RunDetail{Run: snap.Run, Flow: snap.Flow, Visits: snap.Visits, Attempts: snap.Attempts}
	if store.MayWait(&d) {
		err = s.lines(ctx, &d)
	}
	return d, err
}

// AttemptStatus implements [store.History].
func (s *Store) AttemptStatus(ctx context.Context, ids []heddle.AttemptID) (map[heddle.AttemptID]heddle.Status, error) {
	var runs []string
	var visits, numbers []int64
	for _, id := range ids {
		if run, visit, no, ok := id.Split(); ok {
			runs, visits, numbers = append(runs, string(run)), append(visits, int64(visit)), append(numbers, int64(no))
		}
	}
	statuses := make(map[heddle.AttemptID]heddle.Status, len(ids))
	err := s.call(ctx, "reading attempts", func(ctx context.Context) error {
		return s.rows(ctx, func(row pgx.Row) error {
			var run heddle.RunID
			var visit, no, status int
			err := row.Scan(&run, &visit, &no, &status)
			statuses[heddle.NewAttemptID(run, visit, no)] = heddle.Status(status)
			return err
		}, `SELECT a.run, a.visit, a.no, a.status FROM attempts a
			JOIN unnest($1::text[], $2::bigint[], $3::bigint[]) AS u (run, visit, no) USING (run, visit, no)`, runs, visits, numbers)
	})
	if err != nil {
		return nil, err
	}
	return statuses, nil
}

// scanRun reads runColumns and what follows them.
func scanRun(row pgx.Row, r *heddle.Run, more ...any) error {
	var input []byte
	var labels []string
	var created, started, ended, deadline int64
	to := append([]any{&r.ID, &r.Kind, &r.Name, &r.FlowHash, &r.Parent, &r.Executor, &input, &r.State, &r.Outcome, &r.Message,
		&created, &started, &ended, &deadline, &r.Stop, &r.Visits, &r.Organization, &labels}, more...)
	if err := row.Scan(to...); err != nil {
		return err
	}
	decode(&r.Name, &r.Executor, &r.Message, &r.Organization)
	decode(&r.ID, &r.Parent)
	decode(&r.Kind)
	r.Created, r.Started, r.Ended, r.Deadline = store.Time(created), store.Time(started), store.Time(ended), store.Time(deadline)
	for i := 0; i+1 < len(labels); i += 2 {
		if r.Labels == nil {
			r.Labels = map[string]string{}
		}
		r.Labels[decoded(labels[i])] = decoded(labels[i+1])
	}
	if len(input) == 0 {
		return nil
	}
	return json.Unmarshal(input, &r.Input)
}

func scanVisit(row pgx.Row) (v heddle.Visit, err error) {
	var opened, settled, due int64
	var output []byte
	err = row.Scan(&v.No, &v.Step, &v.Index, &v.Nth, &v.Cause, &v.State, &v.Outcome, &v.Code, &v.Message,
		&v.Attempts, &v.Broken, &opened, &settled, &due, &output)
	decode(&v.Step, &v.Message)
	v.Opened, v.Settled, v.Due = store.Time(opened), store.Time(settled), store.Time(due)
	if len(output) > 0 {
		v.Output = output
	}
	return v, err
}

func scanAttempt(row pgx.Row, run heddle.RunID) (a heddle.Attempt, err error) {
	var created, started, ended, infra int64
	err = row.Scan(&a.Visit, &a.No, &a.Status, &a.Place, &a.Stop, &a.ExitCode, &a.Message, &created, &started, &ended, &infra)
	decode(&a.Place, &a.Stop, &a.Message)
	a.ID, a.Infra = heddle.NewAttemptID(run, a.Visit, a.No), infra != 0
	a.Created, a.Started, a.Ended = store.Time(created), store.Time(started), store.Time(ended)
	return a, err
}

// flow returns a flow by its hash. The value is shared: nobody changes flows.
func (s *Store) flow(ctx context.Context, hash string) (*heddle.Flow, error) {
	if f := s.flows.Get(hash); f != nil {
		return f, nil
	}
	var document []byte
	if err := s.pool.QueryRow(ctx, `SELECT document FROM flows WHERE hash = $1`, hash).Scan(&document); err != nil {
		return nil, err
	}
	f := new(heddle.Flow)
	if err := json.Unmarshal(document, f); err != nil {
		return nil, err
	}
	s.flows.Put(hash, f, len(document))
	return f, nil
}
