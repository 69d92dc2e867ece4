package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

var _ store.Keys = (*Store)(nil)

const keyColumns = `id, organization_id, role, name, api_key_hint, created, expires, last_used, revoked`

// AddKey implements [store.Keys].
func (s *Store) AddKey(ctx context.Context, k heddle.Key, hash string) error {
	return s.call(ctx, "adding a key", func(ctx context.Context) error {
		done, err := s.pool.Exec(ctx, `INSERT INTO api_keys (api_key, `+keyColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`,
			hash, encode(k.ID), encode(k.Organization), encode(k.Role), encode(k.Name), encode(k.Hint),
			store.Nanos(k.Created), store.Nanos(k.Expires), store.Nanos(k.LastUsed), store.Nanos(k.Revoked))
		if err == nil && done.RowsAffected() == 0 {
			return heddle.Errorf(heddle.CodeConflict, "key %s, or another with the same secret, exists", k.ID)
		}
		return err
	})
}

// FindKey implements [store.Keys].
func (s *Store) FindKey(ctx context.Context, hash string) (k heddle.Key, err error) {
	err = s.call(ctx, "looking for a key", func(ctx context.Context) error {
		k, err = scanKey(s.pool.QueryRow(ctx, `SELECT `+keyColumns+` FROM api_keys WHERE api_key = $1`, hash))
		if noRows(err) {
			return heddle.Errorf(heddle.CodeNotFound, "there is no such key")
		}
		return err
	})
	return k, err
}

// AllKeys implements [store.Keys].
func (s *Store) AllKeys(ctx context.Context, organization string) ([]heddle.Key, error) {
	keys := []heddle.Key{}
	err := s.call(ctx, "listing keys", func(ctx context.Context) error {
		return s.rows(ctx, func(row pgx.Row) error {
			k, err := scanKey(row)
			keys = append(keys, k)
			return err
		}, `SELECT `+keyColumns+` FROM api_keys WHERE $1 = '' OR organization_id = $1 ORDER BY created, id`, encode(organization))
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// TouchKey implements [store.Keys].
func (s *Store) TouchKey(ctx context.Context, k heddle.Key) error {
	return s.call(ctx, "changing a key", func(ctx context.Context) error {
		done, err := s.pool.Exec(ctx, `UPDATE api_keys SET expires = coalesce(nullif($1::bigint, 0), expires),
			last_used = coalesce(nullif($2::bigint, 0), last_used), revoked = coalesce(nullif($3::bigint, 0), revoked) WHERE id = $4`,
			store.Nanos(k.Expires), store.Nanos(k.LastUsed), store.Nanos(k.Revoked), encode(k.ID))
		if err == nil && done.RowsAffected() == 0 {
			return heddle.Errorf(heddle.CodeNotFound, "there is no key %q", k.ID)
		}
		return err
	})
}

func scanKey(row pgx.Row) (k heddle.Key, err error) {
	var created, expires, lastUsed, revoked int64
	err = row.Scan(&k.ID, &k.Organization, &k.Role, &k.Name, &k.Hint, &created, &expires, &lastUsed, &revoked)
	decode(&k.ID, &k.Organization, &k.Name, &k.Hint)
	decode(&k.Role)
	k.Created, k.Expires, k.LastUsed, k.Revoked = store.Time(created), store.Time(expires), store.Time(lastUsed), store.Time(revoked)
	return k, err
}
