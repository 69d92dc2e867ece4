package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"heddle": main})
}

// TestScripts runs every script below testdata/script, each in a directory of its
// own with a data directory of its own.
func TestScripts(t *testing.T) {
	var scripts []string
	err := filepath.WalkDir(filepath.Join("testdata", "script"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(path, ".txtar") {
			scripts = append(scripts, path)
		}
		return err
	})
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	testscript.Run(t, testscript.Params{
		Files: scripts, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			// Not below the script's own: a supervisor stays for some seconds, and may write while that is removed.
			dir, err := os.MkdirTemp("", "hd")
			if err != nil {
				return err
			}
			env.Defer(func() { _ = os.RemoveAll(dir) })
			env.Setenv("HEDDLE_DATA_DIR", filepath.Join(dir, "d"))
			env.Setenv("HOME", env.WorkDir)
			// Or each command sleeps for a second when built with the race detector.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			return nil
		},
	})
}
