package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// example is what the comment at the head of an example says about it.
type example struct {
	commands []string // the command lines, as they stand there
	verdict  string
	exit     int
}

var (
	exampleCommand = regexp.MustCompile(`(?m)^# {2,}((?:\w+=\S+ )?heddle run .*)$`)
	exampleVerdict = regexp.MustCompile(`(?m)^# verdict: (\w+)$`)
	exampleExit    = regexp.MustCompile(`(?m)^# exit: (\d+)$`)
)

func readExample(t *testing.T, path string) example {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Ext(path) == ".json" { // which has no comments
		return example{commands: []string{"heddle run --executor process --file examples/" + filepath.Base(path)}, verdict: "success"}
	}
	var e example
	for _, match := range exampleCommand.FindAllSubmatch(data, -1) {
		e.commands = append(e.commands, string(match[1]))
	}
	verdict, exit := exampleVerdict.FindSubmatch(data), exampleExit.FindSubmatch(data)
	if len(e.commands) == 0 || verdict == nil || exit == nil {
		t.Fatalf("%s does not begin with a comment that has a command line, a verdict and an exit code", path)
	}
	e.verdict = string(verdict[1])
	if e.exit, err = strconv.Atoi(string(exit[1])); err != nil {
		t.Fatal(err)
	}
	return e
}

// TestExamples runs each example as its comment says, and wants the verdict and
// the exit code that stand there; those in JSON are to succeed.
func TestExamples(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the examples need a POSIX shell")
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, pattern := range []string{"*.yaml", "*.json"} {
		found, err := filepath.Glob(filepath.Join(root, "examples", pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("no examples: %v", err)
		}
		paths = append(paths, found...)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, ".test.yaml") {
			continue // it goes with another
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
		e := readExample(t, path)
		for _, command := range onEveryExecutor(e.commands) {
			t.Run(command, func(t *testing.T) {
				t.Parallel()
				for executor, needs := range map[string]string{"docker": "HEDDLE_TEST_DOCKER_HOST", "kubernetes": "HEDDLE_TEST_KUBECONFIG"} {
					if os.Getenv(needs) == "" && strings.Contains(command, "--executor "+executor) {
						t.Skipf("%s is not set", needs)
					}
				}
				if !strings.Contains(command, " "+name) {
					t.Errorf("the command line does not name %s", name)
				}
				stdout, stderr, exit := shell(t, root, dataDir(t), command)
				var result struct{ Status string }
				lines := bytes.Split(bytes.TrimSpace(stdout), []byte("\n"))
				if err := json.Unmarshal(lines[len(lines)-1], &result); err != nil {
					t.Errorf("the last line is not a result: %v", err)
				}
				if result.Status != e.verdict || exit != e.exit {
					t.Errorf("status %q, want %q; exit code %d, want %d\n%s%s", result.Status, e.verdict, exit, e.exit, stdout, stderr)
				}
			})
		}
	}
}

// onEveryExecutor adds to command lines for processes the same for containers.
func onEveryExecutor(commands []string) []string {
	all := slices.Clone(commands)
	for _, command := range commands {
		for _, executor := range []string{"docker", "kubernetes"} {
			all = append(all, strings.Replace(command, "--executor process", "--executor "+executor, 1))
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(all)))
}

// shell runs a command line in a folder and returns what it printed and its exit code.
func shell(t *testing.T, dir, data, command string) (stdout, stderr []byte, exit int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errs
	cmd.Env = append(os.Environ(), "HEDDLE_DATA_DIR="+data,
		"DOCKER_HOST="+os.Getenv("HEDDLE_TEST_DOCKER_HOST"), "KUBECONFIG="+os.Getenv("HEDDLE_TEST_KUBECONFIG"), "GORACE=atexit_sleep_ms=0")
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.Bytes(), errs.Bytes(), cmd.ProcessState.ExitCode()
}

// dataDir is a data directory for a test. It is not one of [testing.T.TempDir]: a
// supervisor stays for some seconds, and may write while that is removed.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "d")
}
