package sqlite

import (
	"context"
	"database/sql"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// Pending implements [store.Outbox].
func (s *Store) Pending(ctx context.Context, runs []heddle.RunID) ([]heddle.Notice, error) {
	const columns = `SELECT n.id, n.run, n.target, n.event, n.body, n.created, n.tries, n.due FROM notices n `
	text, args := columns+`CROSS JOIN runs r ON r.id = n.run WHERE r.owner = ?`, []any{s.session.id}
	if len(runs) > 0 {
		text, args = columns+`WHERE n.run IN (SELECT value FROM json_each(?))`, []any{jsonList(runs)}
	}
	rows, err := s.read.QueryContext(ctx, text+` ORDER BY n.created, n.n`, args...)
	if err != nil {
		return nil, fault("reading notices", s.path, err)
	}
	notices, err := scanNotices(rows)
	return notices, fault("reading notices", s.path, err)
}

func scanNotices(rows *sql.Rows) ([]heddle.Notice, error) {
	defer rows.Close()
	var notices []heddle.Notice
	for rows.Next() {
		var n heddle.Notice
		var body []byte
		var created, due int64
		if err := rows.Scan(&n.ID, &n.Run, &n.Target, &n.Event, &body, &created, &n.Tries, &due); err != nil {
			return nil, err
		}
		if len(body) > 0 {
			n.Body = body
		}
		n.Created, n.Due = store.Time(created), store.Time(due)
		notices = append(notices, n)
	}
	return notices, rows.Err()
}

// Delivered implements [store.Outbox].
func (s *Store) Delivered(ctx context.Context, notices []heddle.Notice) error {
	return s.tx(ctx, "removing notices", func(ctx context.Context) error {
		for i := range notices {
			if _, err := s.conn.ExecContext(ctx, `DELETE FROM notices WHERE run = ? AND id = ?`,
				string(notices[i].Run), notices[i].ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// Postponed implements [store.Outbox].
func (s *Store) Postponed(ctx context.Context, notices []heddle.Notice) error {
	return s.tx(ctx, "postponing notices", func(ctx context.Context) error {
		for i := range notices {
			n := &notices[i]
			if _, err := s.conn.ExecContext(ctx, `UPDATE notices SET tries = ?, due = ? WHERE run = ? AND id = ?`,
				n.Tries, store.Nanos(n.Due), string(n.Run), n.ID); err != nil {
				return err
			}
		}
		return nil
	})
}
