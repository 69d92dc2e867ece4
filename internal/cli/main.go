// Package cli is the command line: one file per command, each with its options,
// a constructor that turns flags into them (newX) and the command itself (runX).
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/config"
	"github.com/heddle/heddle/internal/manifest/doc"
)

// The exit codes; kog's, so that scripts made for it go on working.
const (
	exitOK          = 0
	exitFailure     = 1   // the run's outcome is failure
	exitAbort       = 2   // abort
	exitTimeout     = 3   // timeout
	exitTrouble     = 125 // usage, unreadable or invalid document, no executor, no store
	exitInterrupted = 130 // interrupted with no run to wait for
)

// Streams are a process's surroundings.
type Streams struct {
	In  io.Reader
	Out io.Writer
	// Err is asked whether it is a terminal when it is an [*os.File].
	Err io.Writer
	// Environ is the environment, each entry as NAME=VALUE.
	Environ []string
	// Dir is the working directory: where steps run that name no other.
	Dir string
}

// lookup returns a variable of the environment.
func (s *Streams) lookup(name string) (string, bool) {
	for _, entry := range s.Environ {
		if key, value, ok := strings.Cut(entry, "="); ok && key == name {
			return value, true
		}
	}
	return "", false
}

// variable returns a variable of the environment, "" for none.
func (s *Streams) variable(name string) string {
	value, _ := s.lookup(name)
	return value
}

// BuildInfo says what this binary is.
type BuildInfo struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

// exitError ends the program with a code and no further word.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// usageError is a fault in how a command was called; cmd's usage is shown with it.
type usageError struct {
	cmd *cobra.Command
	err error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{cmd: cmd, err: heddle.Errorf(heddle.CodeInvalid, format, args...)}
}

// Main runs the command that args (without the program's name) ask for and
// returns the exit code. The end of ctx is an interruption: a run that was started
// is cancelled and waited for.
func Main(ctx context.Context, args []string, streams Streams, build BuildInfo) int {
	return newFactory(streams, build).main(ctx, args)
}

func (f *factory) main(ctx context.Context, args []string) int {
	if err := f.loadDotenv(args); err != nil {
		f.complain(err)
		return exitTrouble
	}
	cfg, err := config.Load(f.lookup)
	if err != nil {
		f.complain(err)
		return exitTrouble
	}
	f.Config = cfg
	root := newRoot(f)
	root.SetArgs(args)
	root.SetIn(f.In)
	root.SetOut(f.Out)
	root.SetErr(f.Err)
	err = root.ExecuteContext(ctx)

	var code exitError
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	case ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx))):
		return exitInterrupted
	case errors.As(err, &usage):
		f.complain(err)
		line := usage.cmd.UseLine()
		if usage.cmd.HasAvailableSubCommands() {
			line = usage.cmd.CommandPath() + " COMMAND"
		}
		fmt.Fprintf(f.Err, "Usage: %s\nSee '%s --help'.\n", line, usage.cmd.CommandPath())
		return exitTrouble
	default:
		f.complain(err)
		return exitTrouble
	}
}

// complain tells an error: each fault of a document, or of joined errors, on a
// line of its own.
func (f *factory) complain(err error) {
	if faults, ok := errors.AsType[doc.Error](err); ok {
		err = faults
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(f.Err, "heddle: %s\n", strings.TrimRight(line, "\n"))
	}
}

// lockedWriter lets several goroutines write whole pieces to one stream.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// terminalOf returns the file behind w, or nil when w is none.
func terminalOf(w io.Writer) *os.File {
	if l, ok := w.(*lockedWriter); ok {
		w = l.w
	}
	file, _ := w.(*os.File)
	return file
}
