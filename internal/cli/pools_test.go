package cli

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/app"
)

// TestPools goes through the life of a pool, on a real store.
func TestPools(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pools := func(args ...string) (code int, out, err string) {
		c := newConsole(t)
		c.OpenReader = func(ctx context.Context, o app.Options) (reader, error) {
			r, err := app.OpenReader(ctx, o)
			return r, err
		}
		code = c.run(t, append([]string{"--data-dir", dir, "pools"}, args...)...)
		return code, c.out.String(), c.err.String()
	}
	for _, step := range []struct {
		args []string
		code int
		out  string
		err  string
	}{
		{args: []string{"list"}, out: "NAME  SIZE  TAKEN  WAITING\n"},
		{args: []string{"set", "licences", "4"}, out: "licences has 4 places\n"},
		{args: []string{"set", "gpu", "1"}, out: "gpu has 1 place\n"},
		{args: []string{"set", "licences", "2"}, out: "licences has 2 places\n"},
		{args: []string{"list"}, out: "NAME      SIZE  TAKEN  WAITING\ngpu       1     0      0\nlicences  2     0      0\n"},
		{args: []string{"list", "-o", "yaml"}, out: "- name: gpu\n  size: 1\n  taken: 0\n  waiting: 0\n- name: licences\n  size: 2\n  taken: 0\n  waiting: 0\n"},
		{args: []string{"delete", "gpu"}, out: "gpu is deleted\n"},
		{args: []string{"delete", "gpu"}, code: exitTrouble, err: `there is no pool "gpu": see 'heddle pools list'`},
		{args: []string{"set", "gpu", "0"}, code: exitTrouble, err: `pool "gpu": the size 0 is none: it must be at least 1`},
		{args: []string{"set", "gpu", "many"}, code: exitTrouble, err: `size: "many" is not a whole number`},
		{args: []string{"set", "gpu"}, code: exitTrouble, err: "heddle pools set takes a name and a size, not 1 argument"},
		{args: []string{"delete"}, code: exitTrouble, err: "heddle pools delete takes one name, not 0"},
	} {
		code, out, err := pools(step.args...)
		if code != step.code || out != step.out || !strings.Contains(err, step.err) {
			t.Errorf("%v: exit code %d, want %d\n%s\n%s", step.args, code, step.code, cmp.Diff(step.out, out), err)
		}
	}
	_, out, _ := pools("list", "--output", "json")
	var got []heddle.Pool
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]heddle.Pool{{Name: "licences", Size: 2}}, got); diff != "" {
		t.Errorf("as JSON (-want +got):\n%s", diff)
	}
}
