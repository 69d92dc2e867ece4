package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// The variables by which a process is recognised as belonging to an attempt.
const (
	attemptVar    = "HEDDLE_ATTEMPT"
	supervisorVar = "HEDDLE_SUPERVISOR"
)

// maxWord is what Linux allows for one argument or variable, in bytes, without
// the NUL that ends it.
const maxWord = 128<<10 - 1

// command is a process to be started.
type command struct {
	path           string
	args           []string
	env            []string
	dir            string
	stdin          *os.File
	stdout, stderr *os.File
}

func refusal(format string, args ...any) *fault {
	return &fault{Message: fmt.Sprintf(format, args...), Refused: true}
}

// prepare makes the command of an attempt, or says why there cannot be one.
func (s *supervisor) prepare(r *startRequest) (command, *fault) {
	if !safeID(r.Attempt) {
		return command{}, refusal("step %q: attempt ID %q has characters that are not allowed", r.Step, r.Attempt)
	}
	cmd := command{args: unpack(r.Args), env: unpack(r.Env), dir: r.Dir, stdin: s.null}
	for _, f := range r.Files {
		if f.Name == "" || f.Name != filepath.Base(f.Name) || f.Name == "." || f.Name == ".." || f.Name == messageName {
			return command{}, refusal("step %q: %q is not the name of a file", r.Step, f.Name)
		}
		if f.Env != "" {
			cmd.env = append(cmd.env, f.Env+"="+filepath.Join(s.paths.files(r.Attempt), f.Name))
		}
	}
	if r.Message != nil && r.Message.Env != "" {
		cmd.env = append(cmd.env, r.Message.Env+"="+s.paths.message(r.Attempt))
	}
	cmd.env = append(cmd.env, attemptVar+"="+string(r.Attempt), supervisorVar+"="+s.paths.mark())
	if f := tooLarge(r.Step, cmd); f != nil {
		return command{}, f
	}
	path, err := findProgram(cmd.args[0], cmd.dir, variable(cmd.env, "PATH"))
	if err != nil {
		return command{}, refusal("step %q: %v", r.Step, err)
	}
	cmd.path = path
	return cmd, nil
}

// tooLarge names what the kernel would answer with a bare "argument list too long".
func tooLarge(step string, cmd command) *fault {
	if runtime.GOOS != "linux" {
		return nil
	}
	for i, arg := range cmd.args {
		if len(arg) > maxWord {
			return refusal("step %q: argument %d has %d bytes, the system allows %d", step, i, len(arg), maxWord)
		}
	}
	for _, kv := range cmd.env {
		if len(kv) > maxWord {
			name, value, _ := strings.Cut(kv, "=")
			return refusal("step %q: variable %s has %d bytes, the system allows %d with its name",
				step, name, len(value), maxWord-1)
		}
	}
	return nil
}

// variable returns the value of a variable; the last one counts.
func variable(env []string, name string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(env[i], name+"="); ok {
			return value
		}
	}
	return ""
}

// hasFiles reports whether an attempt has a directory of its own.
func (r *startRequest) hasFiles() bool { return len(r.Files) > 0 || r.Message != nil }

// writeFiles writes an attempt's files into a directory of its own.
func (s *supervisor) writeFiles(r *startRequest) error {
	if !r.hasFiles() {
		return nil
	}
	dir, files := s.paths.files(r.Attempt), r.Files
	if r.Message != nil {
		files = append(files[:len(files):len(files)], executor.File{Name: messageName})
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, fs.FileMode(0o600)); err != nil {
			return err
		}
	}
	return nil
}

func (s *supervisor) removeFiles(id heddle.AttemptID) {
	if err := os.RemoveAll(s.paths.files(id)); err != nil {
		s.log.Warn("files of an attempt stay", "attempt", id, "error", err)
	}
}

// sweepFiles removes the files of attempts that are not in the journal: of one that
// did not start, if its supervisor was killed just then.
func (s *supervisor) sweepFiles() {
	found, err := os.ReadDir(s.paths.attempts())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("looking for files of attempts", "error", err)
	}
	for _, dir := range found {
		if id := heddle.AttemptID(dir.Name()); s.attempts[id] == nil {
			s.removeFiles(id)
		}
	}
}

// supervisorEnv is the environment of the supervisor itself, which must not depend
// on who happens to start it.
func supervisorEnv(path string) []string {
	env := []string{"PATH=" + path, "TMPDIR=" + os.TempDir()}
	for _, name := range append(systemVariables(), "HOME") {
		if value := os.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}
