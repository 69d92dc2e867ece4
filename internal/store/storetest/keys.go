package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

func organizations(t *testing.T, open func() Store) {
	s := open()
	for i, org := range []string{"a", "b", "a", "b", "a"} {
		create := Create(t, heddle.RunID(fmt.Sprintf("r%d", i)), "n", func(c *heddle.Change) {
			c.Run.Organization, c.Run.Created = org, Epoch().Add(time.Duration(i)*time.Minute)
			c.Run.Labels = map[string]string{"k": "v"}
			if i >= 3 {
				c.Run.Kind = heddle.KindPipeline
			}
		})
		Commit(t, s, create)
		if i == 0 {
			Commit(t, s, Next(create, Ended(heddle.Failure)))
		}
	}
	for name, test := range map[string]struct {
		f    heddle.RunFilter
		want []heddle.RunID
	}{
		"all of it":      {want: []heddle.RunID{"r4", "r2", "r0"}},
		"by ID":          {f: heddle.RunFilter{IDs: []heddle.RunID{"r0", "r1"}}, want: []heddle.RunID{"r0"}},
		"by name":        {f: heddle.RunFilter{Name: "n"}, want: []heddle.RunID{"r4", "r2", "r0"}},
		"by label":       {f: heddle.RunFilter{Labels: map[string]string{"k": "v"}}, want: []heddle.RunID{"r4", "r2", "r0"}},
		"by kind":        {f: heddle.RunFilter{Kinds: []heddle.Kind{heddle.KindPipeline}}, want: []heddle.RunID{"r4"}},
		"by outcome":     {f: heddle.RunFilter{Outcomes: []heddle.Outcome{heddle.Failure}}, want: []heddle.RunID{"r0"}},
		"by kind, state": {f: heddle.RunFilter{Kinds: []heddle.Kind{heddle.KindJob}, States: []heddle.RunState{heddle.RunPending}}, want: []heddle.RunID{"r2"}},
		"by many kinds":  {f: heddle.RunFilter{Kinds: append(manyKinds(), heddle.KindPipeline)}, want: []heddle.RunID{"r4"}},
		"after another":  {f: heddle.RunFilter{After: store.Cursor{Created: Epoch().Add(4 * time.Minute).UnixNano(), ID: "r4"}.String()}, want: []heddle.RunID{"r2", "r0"}},
	} {
		test.f.Organization = "a"
		t.Run(name, func(t *testing.T) { wantList(t, s, test.f, test.want...) })
	}
	wantList(t, s, heddle.RunFilter{Organization: "c"})
}

func keys(t *testing.T, open func() Store) {
	s, ok := open().(store.Keys)
	if !ok {
		t.Skip("the store keeps no keys")
	}
	odd := "o'; DROP TABLE api_keys; -- 雪"
	first := heddle.Key{ID: "k1", Organization: odd, Role: heddle.RoleViewer, Name: odd, Hint: "hdl_a", Created: Epoch(), Expires: Epoch().Add(time.Hour)}
	second := heddle.Key{ID: "k2", Organization: "b", Role: heddle.RoleAdmin, Created: Epoch().Add(1)}
	for hash, k := range map[string]heddle.Key{"h1": first, "h2": second} {
		if err := s.AddKey(t.Context(), k, hash); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, s.AddKey(t.Context(), heddle.Key{ID: "k3", Role: heddle.RoleAdmin}, "h1"), heddle.CodeConflict)
	wantCode(t, s.AddKey(t.Context(), heddle.Key{ID: "k1", Role: heddle.RoleAdmin}, "h3"), heddle.CodeConflict)
	if got, err := s.FindKey(t.Context(), "h1"); err != nil || !cmp.Equal(got, first) {
		t.Fatalf("error %v, %s", err, cmp.Diff(first, got))
	}
	_, err := s.FindKey(t.Context(), "h3")
	wantCode(t, err, heddle.CodeNotFound)

	if err := s.TouchKey(t.Context(), heddle.Key{ID: "k1", LastUsed: Epoch().Add(2), Revoked: Epoch().Add(3)}); err != nil {
		t.Fatal(err)
	}
	first.LastUsed, first.Revoked = Epoch().Add(2), Epoch().Add(3)
	wantCode(t, s.TouchKey(t.Context(), heddle.Key{ID: "k3"}), heddle.CodeNotFound)
	for organization, want := range map[string][]heddle.Key{"": {first, second}, odd: {first}, "c": {}} {
		got, err := s.AllKeys(t.Context(), organization)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("of %q (-want +got):\n%s", organization, diff)
		}
	}
}
