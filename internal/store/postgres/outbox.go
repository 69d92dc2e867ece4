package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// Pending implements [store.Outbox].
func (s *Store) Pending(ctx context.Context, runs []heddle.RunID) ([]heddle.Notice, error) {
	const columns = `SELECT n.id, n.run, n.target, n.event, n.body, n.created, n.tries, n.due FROM notices n `
	text, arg := columns+`JOIN runs r ON r.id = n.run WHERE r.owner = $1`, any(s.session)
	if len(runs) > 0 {
		text, arg = columns+`WHERE n.run = ANY($1)`, texts(runs)
	}
	var notices []heddle.Notice
	err := s.call(ctx, "reading notices", func(ctx context.Context) error {
		return s.rows(ctx, func(row pgx.Row) error {
			var n heddle.Notice
			var body []byte
			var created, due int64
			if err := row.Scan(&n.ID, &n.Run, &n.Target, &n.Event, &body, &created, &n.Tries, &due); err != nil {
				return err
			}
			decode(&n.ID, &n.Target, &n.Event)
			if len(body) > 0 {
				n.Body = body
			}
			n.Created, n.Due = store.Time(created), store.Time(due)
			notices = append(notices, n)
			return nil
		}, text+` ORDER BY n.created, n.n`, arg)
	})
	if err != nil {
		return nil, err
	}
	return notices, nil
}

// Delivered implements [store.Outbox].
func (s *Store) Delivered(ctx context.Context, notices []heddle.Notice) error {
	runs, ids := noticeKeys(notices)
	return s.call(ctx, "removing notices", func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, `DELETE FROM notices n USING unnest($1::text[], $2::text[]) AS u (run, id)
			WHERE n.run = u.run AND n.id = u.id`, runs, ids)
		return err
	})
}

// Postponed implements [store.Outbox].
func (s *Store) Postponed(ctx context.Context, notices []heddle.Notice) error {
	runs, ids := noticeKeys(notices)
	tries, dues := make([]int64, len(notices)), make([]int64, len(notices))
	for i := range notices {
		tries[i], dues[i] = int64(notices[i].Tries), store.Nanos(notices[i].Due)
	}
	return s.call(ctx, "postponing notices", func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, `UPDATE notices n SET tries = u.tries, due = u.due
			FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS u (run, id, tries, due)
			WHERE n.run = u.run AND n.id = u.id`, runs, ids, tries, dues)
		return err
	})
}

func noticeKeys(notices []heddle.Notice) (runs, ids []string) {
	runs, ids = make([]string, len(notices)), make([]string, len(notices))
	for i := range notices {
		runs[i], ids[i] = encode(notices[i].Run), encode(notices[i].ID)
	}
	return runs, ids
}
