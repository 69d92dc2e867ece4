// Package keys makes keys for the REST API and tells whose they are. It keeps what
// rego keeps of a key, the SHA-256 of its secret, so that rego's keys go on working.
package keys

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

const (
	// prefix marks secrets of ours, for people and for scanners of leaked secrets.
	prefix = "heddle_"
	// minSecret bounds secrets that somebody else made up, in bytes.
	minSecret = 16
	// remember is how long an answer of the store counts: what another process
	// revokes ends so much later here.
	remember = time.Second
	// maxRemembered bounds the answers that are kept.
	maxRemembered = 10_000
	// touchEvery is how exact the time of a key's last use is.
	touchEvery = time.Minute
)

// Service implements [heddle.Keys] on a store, and checks secrets.
type Service struct {
	store store.Keys
	now   func() time.Time

	mu    sync.Mutex
	known map[string]answer // by hash
	none  time.Time         // when there was last no key at all; zero: not known, or there is one
	some  bool              // there is a key; keys are never deleted
}

type answer struct {
	key  heddle.Key
	err  error
	when time.Time
}

var _ heddle.Keys = (*Service)(nil)

// New returns the service for the keys in a store; now is the clock.
func New(st store.Keys, now func() time.Time) *Service {
	return &Service{store: st, now: now, known: map[string]answer{}}
}

// CreateKey implements [heddle.Keys].
func (s *Service) CreateKey(ctx context.Context, k heddle.NewKey) (heddle.Key, string, error) {
	secret := k.Secret
	if secret == "" {
		secret = prefix + rand.Text() + rand.Text()[:10]
	}
	key := heddle.Key{
		ID: strings.ToLower(rand.Text()[:12]), Organization: cmp.Or(k.Organization, heddle.DefaultOrganization),
		Role: cmp.Or(k.Role, heddle.RoleOperator), Name: k.Name, Hint: hint(secret), Created: s.now().UTC(), Expires: k.Expires.UTC(),
	}
	if k.Expires.IsZero() {
		key.Expires = time.Time{}
	}
	switch {
	case len(secret) < minSecret:
		return key, "", heddle.Errorf(heddle.CodeInvalid, "the secret of a key needs at least %d characters", minSecret)
	case !key.Role.Valid():
		return key, "", heddle.Errorf(heddle.CodeInvalid, "%q is no role: choose one of %v", key.Role, heddle.Roles())
	case len(key.Organization) > 63 || len(key.Name) > 200:
		return key, "", heddle.Errorf(heddle.CodeInvalid, "an organization has at most 63 bytes and the name of a key 200")
	case !key.Expires.IsZero() && !key.Expires.After(key.Created):
		return key, "", heddle.Errorf(heddle.CodeInvalid, "the key would expire at %s, which is past", key.Expires.Format(time.RFC3339))
	}
	if err := s.store.AddKey(ctx, key, hash(secret)); err != nil {
		return key, "", err
	}
	s.forget()
	return key, secret, nil
}

// hint is what people may see of a secret, at most a third of it.
func hint(secret string) string {
	return secret[:min(len(secret)/3, len(prefix)+4)]
}

// hash is what is kept of a secret. It needs neither salt nor cost: secrets are
// random and long.
func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// ListKeys implements [heddle.Keys].
func (s *Service) ListKeys(ctx context.Context, organization string) ([]heddle.Key, error) {
	return s.store.AllKeys(ctx, organization)
}

// RotateKey implements [heddle.Keys].
func (s *Service) RotateKey(ctx context.Context, id string, grace time.Duration) (heddle.Key, string, error) {
	old, err := s.find(ctx, id)
	if err != nil {
		return old, "", err
	}
	now := s.now()
	if !old.Live(now) {
		return old, "", heddle.Errorf(heddle.CodeConflict, "key %s is revoked or has expired: make a new one", id)
	}
	key, secret, err := s.CreateKey(ctx, heddle.NewKey{Organization: old.Organization, Role: old.Role, Name: old.Name, Expires: old.Expires})
	if err != nil {
		return key, "", err
	}
	end := heddle.Key{ID: id, Revoked: now}
	if grace > 0 {
		end = heddle.Key{ID: id, Expires: now.Add(grace)}
		if !old.Expires.IsZero() && old.Expires.Before(end.Expires) {
			end.Expires = old.Expires
		}
	}
	err = s.store.TouchKey(ctx, end)
	s.forget()
	return key, secret, err
}

// RevokeKey implements [heddle.Keys].
func (s *Service) RevokeKey(ctx context.Context, id string) error {
	key, err := s.find(ctx, id)
	if err != nil || !key.Revoked.IsZero() {
		return err
	}
	err = s.store.TouchKey(ctx, heddle.Key{ID: id, Revoked: s.now()})
	s.forget()
	return err
}

func (s *Service) find(ctx context.Context, id string) (heddle.Key, error) {
	all, err := s.store.AllKeys(ctx, "")
	if err != nil {
		return heddle.Key{}, err
	}
	for _, k := range all {
		if k.ID == id {
			return k, nil
		}
	}
	return heddle.Key{}, heddle.Errorf(heddle.CodeNotFound, "there is no key %q: see 'heddle keys list'", id)
}

// Any reports whether a key was ever made.
func (s *Service) Any(ctx context.Context) (bool, error) {
	now := s.now()
	s.mu.Lock()
	some, none := s.some, !s.none.IsZero() && now.Sub(s.none) < remember
	s.mu.Unlock()
	if some || none {
		return some, nil
	}
	all, err := s.store.AllKeys(ctx, "")
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.some, s.none = len(all) > 0, now
	return s.some, nil
}

// Check returns the key with that secret, or [heddle.CodeNotFound] if there is none
// that is live. The store looks for a hash, of which nobody who tries secrets can
// choose the beginning: how long that takes tells nothing.
func (s *Service) Check(ctx context.Context, secret string) (heddle.Key, error) {
	if secret == "" {
		return heddle.Key{}, errNoKey()
	}
	now, h := s.now(), hash(secret)
	s.mu.Lock()
	a, ok := s.known[h]
	s.mu.Unlock()
	if !ok || now.Sub(a.when) >= remember {
		a = answer{when: now}
		a.key, a.err = s.store.FindKey(ctx, h)
		if a.err != nil && heddle.CodeOf(a.err) != heddle.CodeNotFound {
			return heddle.Key{}, a.err
		}
		s.keep(h, a)
		s.touch(ctx, h, a, now)
	}
	if a.err != nil || !a.key.Live(now) {
		return heddle.Key{}, errNoKey()
	}
	return a.key, nil
}

func errNoKey() error {
	return heddle.Errorf(heddle.CodeNotFound, "no key with that secret lets anybody in")
}

func (s *Service) keep(h string, a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= maxRemembered {
		clear(s.known)
	}
	s.known[h] = a
}

// touch notes the use of a key. That it cannot be noted lets nobody wait outside.
func (s *Service) touch(ctx context.Context, h string, a answer, now time.Time) {
	if a.err != nil || !a.key.Live(now) || now.Sub(a.key.LastUsed) < touchEvery {
		return
	}
	if s.store.TouchKey(ctx, heddle.Key{ID: a.key.ID, LastUsed: now}) == nil {
		a.key.LastUsed = now
		s.keep(h, a)
	}
}

// forget drops what is remembered after a change.
func (s *Service) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.known)
	s.none = time.Time{}
}
