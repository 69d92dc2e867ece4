package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

var _ store.Keys = (*Store)(nil)

const keyColumns = `id, organization_id, role, name, api_key_hint, created, expires, last_used, revoked`

// AddKey implements [store.Keys].
func (s *Store) AddKey(ctx context.Context, k heddle.Key, hash string) error {
	return s.tx(ctx, "adding a key", func(ctx context.Context) error {
		n, err := affected(s.conn.ExecContext(ctx, `INSERT INTO api_keys (api_key, `+keyColumns+`)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, hash, k.ID, k.Organization, string(k.Role), k.Name, k.Hint,
			store.Nanos(k.Created), store.Nanos(k.Expires), store.Nanos(k.LastUsed), store.Nanos(k.Revoked)))
		if err == nil && n == 0 {
			return heddle.Errorf(heddle.CodeConflict, "key %s, or another with the same secret, exists", k.ID)
		}
		return err
	})
}

// FindKey implements [store.Keys].
func (s *Store) FindKey(ctx context.Context, hash string) (heddle.Key, error) {
	k, err := scanKey(s.read.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM api_keys WHERE api_key = ?`, hash))
	if errors.Is(err, sql.ErrNoRows) {
		return k, heddle.Errorf(heddle.CodeNotFound, "there is no such key")
	}
	return k, fault("looking for a key", s.path, err)
}

// AllKeys implements [store.Keys].
func (s *Store) AllKeys(ctx context.Context, organization string) ([]heddle.Key, error) {
	const doing = "listing keys"
	rows, err := s.read.QueryContext(ctx, `SELECT `+keyColumns+` FROM api_keys WHERE ?1 = '' OR organization_id = ?1 ORDER BY created, id`, organization)
	if err != nil {
		return nil, fault(doing, s.path, err)
	}
	defer rows.Close()
	keys := []heddle.Key{}
	for rows.Next() {
		k, err := scanKey(rows)
		if err != nil {
			return nil, fault(doing, s.path, err)
		}
		keys = append(keys, k)
	}
	return keys, fault(doing, s.path, rows.Err())
}

// TouchKey implements [store.Keys].
func (s *Store) TouchKey(ctx context.Context, k heddle.Key) error {
	return s.tx(ctx, "changing a key", func(ctx context.Context) error {
		n, err := affected(s.conn.ExecContext(ctx, `UPDATE api_keys SET expires = CASE ?1 WHEN 0 THEN expires ELSE ?1 END,
			last_used = CASE ?2 WHEN 0 THEN last_used ELSE ?2 END, revoked = CASE ?3 WHEN 0 THEN revoked ELSE ?3 END WHERE id = ?4`,
			store.Nanos(k.Expires), store.Nanos(k.LastUsed), store.Nanos(k.Revoked), k.ID))
		if err == nil && n == 0 {
			return heddle.Errorf(heddle.CodeNotFound, "there is no key %q", k.ID)
		}
		return err
	})
}

func scanKey(row scanner) (k heddle.Key, err error) {
	var created, expires, lastUsed, revoked int64
	err = row.Scan(&k.ID, &k.Organization, &k.Role, &k.Name, &k.Hint, &created, &expires, &lastUsed, &revoked)
	k.Created, k.Expires, k.LastUsed, k.Revoked = store.Time(created), store.Time(expires), store.Time(lastUsed), store.Time(revoked)
	return k, err
}
