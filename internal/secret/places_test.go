package secret

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/heddle/heddle"
)

func TestBoundedPlacesGiveOnlyWhatIsForRuns(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	dir := filepath.Join(parent, "secrets")
	for path, text := range map[string]string{"secrets/sub/token": "given", "outside": "kept", "secrets2/token": "kept"} {
		path = filepath.Join(parent, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"inside": "sub/token", "out": "../outside", "absolute": filepath.Join(parent, "outside"), "up": ".."} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Skip(err)
		}
	}
	at := func(path string) heddle.Source { return heddle.Source{File: filepath.Join(parent, path)} }
	environ := func(name string) (string, bool) { return "given", true }
	none := Places{Bounded: true, LookupEnv: environ}
	for name, tc := range map[string]struct {
		source heddle.Source
		places Places // default: with the directory
		why    string
	}{
		"a file below":                  {source: at("secrets/sub/token")},
		"a link that stays":             {source: at("secrets/inside")},
		"a variable for runs":           {source: heddle.Source{Env: "HEDDLE_SECRET_TOKEN"}},
		"a file outside":                {source: at("outside"), why: "is not for runs of this server: they may read files below " + dir},
		"a name that begins alike":      {source: at("secrets2/token"), why: "is not for runs"},
		"a path that leads out":         {source: heddle.Source{File: dir + "/../outside"}, why: "is not for runs"},
		"a relative path":               {source: heddle.Source{File: "sub/token"}, why: "is not for runs"},
		"the directory itself":          {source: at("secrets"), why: "is not for runs"},
		"a link that leads out":         {source: at("secrets/out"), why: "cannot be read"},
		"one with an absolute path":     {source: at("secrets/absolute"), why: "cannot be read"},
		"a folder that leads out":       {source: at("secrets/up/outside"), why: "cannot be read"},
		"no such file":                  {source: at("secrets/gone"), why: "is not there"},
		"another variable":              {source: heddle.Source{Env: "PATH"}, why: "call it HEDDLE_SECRET_PATH"},
		"the setting of the directory":  {source: heddle.Source{Env: "HEDDLE_SECRETS_DIR"}, why: "is not for runs"},
		"a file without a directory":    {source: at("secrets/sub/token"), places: none, why: "--secrets-dir (or HEDDLE_SECRETS_DIR)"},
		"a variable without directory":  {source: heddle.Source{Env: "HEDDLE_SECRET_TOKEN"}, places: none},
		"a directory that is not there": {source: at("gone/token"), places: Places{Bounded: true, Dir: filepath.Join(parent, "gone")}, why: "is not there"},
	} {
		if !tc.places.Bounded {
			tc.places = Places{Bounded: true, Dir: dir, LookupEnv: environ}
		}
		values, err := Resolve(context.Background(), map[string]heddle.Source{"V": tc.source}, tc.places)
		if tc.why == "" && (err != nil || values["V"] != "given") {
			t.Errorf("%s: %q, %v", name, values["V"], err)
		}
		if tc.why != "" && (err == nil || !strings.Contains(err.Error(), tc.why) || len(values) > 0) {
			t.Errorf("%s: %v, %v", name, values, err)
		}
	}
}
