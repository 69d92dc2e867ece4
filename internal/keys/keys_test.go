package keys_test

import (
	"strings"
	"testing"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/keys"
	"github.com/heddle/heddle/internal/store/sqlite"
)

// bench is a service on a store of its own, with a clock that the test moves.
type bench struct {
	*keys.Service
	now time.Time
}

func newBench(t *testing.T) *bench {
	t.Helper()
	st, err := sqlite.Open(t.Context(), sqlite.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	b := &bench{now: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)}
	b.Service = keys.New(st, func() time.Time { return b.now })
	return b
}

func (b *bench) create(t *testing.T, k heddle.NewKey) (heddle.Key, string) {
	t.Helper()
	key, secret, err := b.CreateKey(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	return key, secret
}

func (b *bench) letsIn(t *testing.T, secret string, want bool) {
	t.Helper()
	_, err := b.Check(t.Context(), secret)
	if (err == nil) != want || err != nil && heddle.CodeOf(err) != heddle.CodeNotFound {
		t.Errorf("%s lets in: error %v, want %v", secret, err, want)
	}
}

func TestAKeyLetsInUntilItEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if some, err := b.Any(t.Context()); some || err != nil {
		t.Errorf("a key in an empty store: %v, error %v", some, err)
	}
	key, secret := b.create(t, heddle.NewKey{})
	if some, err := b.Any(t.Context()); !some || err != nil {
		t.Errorf("no key was made: error %v", err)
	}
	if key.Organization != heddle.DefaultOrganization || key.Role != heddle.RoleOperator {
		t.Errorf("the key is %+v", key)
	}
	if len(key.Hint) < 5 || !strings.HasPrefix(secret, key.Hint) || len(secret) < 3*len(key.Hint) {
		t.Errorf("hint %q of %q", key.Hint, secret)
	}
	b.letsIn(t, secret, true)
	b.letsIn(t, secret+"x", false)
	b.letsIn(t, "", false)
	if err := b.RevokeKey(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	b.letsIn(t, secret, false)
	if err := b.RevokeKey(t.Context(), key.ID); err != nil {
		t.Errorf("revoking again: %v", err)
	}
	if err := b.RevokeKey(t.Context(), "nope"); heddle.CodeOf(err) != heddle.CodeNotFound {
		t.Errorf("revoking what is not there: %v", err)
	}

	_, short := b.create(t, heddle.NewKey{Expires: b.now.Add(time.Hour)})
	b.letsIn(t, short, true)
	b.now = b.now.Add(time.Hour)
	b.letsIn(t, short, false)
}

func TestTheLastUseIsNotedByTheMinute(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, secret := b.create(t, heddle.NewKey{})
	first := b.now
	for _, want := range []time.Time{first, first, first.Add(100 * time.Second)} {
		b.letsIn(t, secret, true)
		all, err := b.ListKeys(t.Context(), "")
		if err != nil || !all[0].LastUsed.Equal(want) {
			t.Errorf("last used %v, want %v; error %v", all[0].LastUsed, want, err)
		}
		b.now = b.now.Add(50 * time.Second)
	}
}

func TestARotatedKeyGoesOnForItsGrace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	old, oldSecret := b.create(t, heddle.NewKey{Organization: "o", Role: heddle.RoleViewer, Name: "n"})
	key, secret, err := b.RotateKey(t.Context(), old.ID, time.Hour)
	if err != nil || key.Organization != "o" || key.Role != heddle.RoleViewer || key.Name != "n" || key.ID == old.ID {
		t.Fatalf("rotated to %+v, error %v", key, err)
	}
	b.letsIn(t, oldSecret, true)
	b.letsIn(t, secret, true)
	b.now = b.now.Add(2 * time.Hour)
	b.letsIn(t, oldSecret, false)
	b.letsIn(t, secret, true)
	if _, _, err := b.RotateKey(t.Context(), old.ID, 0); heddle.CodeOf(err) != heddle.CodeConflict {
		t.Errorf("rotating a key that has expired: %v", err)
	}
	if _, _, err := b.RotateKey(t.Context(), key.ID, 0); err != nil {
		t.Fatal(err)
	}
	b.letsIn(t, secret, false)
}

func TestCreateKeyRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, tc := range map[string]heddle.NewKey{
		"a role that is none":         {Role: "owner"},
		"a short secret":              {Secret: "test"},
		"an end in the past":          {Expires: b.now.Add(-time.Second)},
		"an organization without end": {Organization: strings.Repeat("x", 64)},
	} {
		if _, _, err := b.CreateKey(t.Context(), tc); heddle.CodeOf(err) != heddle.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.create(t, heddle.NewKey{Secret: "a-secret-of-somebody"})
	if _, _, err := b.CreateKey(t.Context(), heddle.NewKey{Secret: "a-secret-of-somebody"}); heddle.CodeOf(err) != heddle.CodeConflict {
		t.Errorf("the same secret again: %v", err)
	}
	b.letsIn(t, "a-secret-of-somebody", true)
}
