// Package app builds the object graph for a mode of Heddle: an engine at work on a
// data directory, a reader of one, the supervisor. It is the only package that
// knows every adapter.
package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/engine"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/executor/process"
	"github.com/heddle/heddle/internal/notify"
	"github.com/heddle/heddle/internal/store/logs"
	"github.com/heddle/heddle/internal/store/sqlite"
)

// Options says what to build.
type Options struct {
	// DataDir holds the database, the logs and the supervisor's files. It is made
	// when missing.
	DataDir string
	// WorkDir is where programs start that name no directory of their own.
	WorkDir string
	// Parallel bounds the attempts that are open at once; 0 leaves it to the engine.
	Parallel int
	// Environ, in the form of os.Environ, is what runs that import the current
	// environment get.
	Environ []string
	Log     *slog.Logger
	// ConsoleNotices takes what the console notifier prints.
	ConsoleNotices io.Writer
}

// App is an engine at work on a data directory.
type App struct {
	store    *sqlite.Store
	engine   *engine.Engine
	notifier *notify.Notifier
	logs     heddle.Logs
}

// Open opens the data directory and starts an engine on it. Several may be open
// at once: each owns its runs.
func Open(ctx context.Context, o Options) (*App, error) {
	dir, err := filepath.Abs(o.DataDir)
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeInvalid, "data directory %q: %w", o.DataDir, err)
	}
	o.DataDir = dir
	st, err := sqlite.Open(ctx, sqlite.Options{Dir: dir, Log: o.Log})
	if err != nil {
		return nil, err
	}
	a := &App{store: st}
	a.notifier = notify.New(notify.Options{
		Outbox: st, Console: o.ConsoleNotices, Log: o.Log,
		Flow: func(ctx context.Context, run heddle.RunID) (*heddle.Flow, error) {
			snap, err := st.Load(ctx, run)
			return snap.Flow, err
		},
	})
	a.engine = engine.Start(ctx, engine.Options{
		Store: st, History: st, Notices: a.notifier.Tell,
		Open: func(ctx context.Context, name string, sink executor.Sink) (executor.Executor, error) {
			return openExecutor(ctx, o, name, sink)
		},
		Ambient: o.Environ, Parallel: o.Parallel, Log: o.Log,
	})
	a.logs = logs.NewReader(logs.Open(logDir(dir)), ended(a.engine))
	return a, nil
}

func logDir(dataDir string) string { return filepath.Join(dataDir, "logs") }

func openExecutor(ctx context.Context, o Options, name string, sink executor.Sink) (executor.Executor, error) {
	if name != Process {
		return nil, heddle.Errorf(heddle.CodeUnavailable, "executor %q is not available in this build; choose --executor process", name)
	}
	binary, err := os.Executable()
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeInternal, "finding this program's own file: %w", err)
	}
	return process.Open(ctx, process.Options{
		Dir: o.DataDir, Sink: sink, Log: o.Log, WorkDir: o.WorkDir,
		Supervisor: []string{binary, "supervise", "--data-dir", o.DataDir},
	})
}

// Process is the name of the executor that runs steps as processes of this machine.
const Process = "process"

// Runs is the service for runs.
func (a *App) Runs() heddle.Runs { return a.engine }

// Logs is the service for what steps print.
func (a *App) Logs() heddle.Logs { return a.logs }

// Resume takes up runs whose engine is gone: those named, or all. It returns the
// ones that it took.
func (a *App) Resume(ctx context.Context, ids ...heddle.RunID) ([]heddle.RunID, error) {
	taken, err := a.engine.Resume(ctx, ids...)
	if len(taken) == 0 {
		return taken, err
	}
	notices, outboxErr := a.store.Pending(ctx, taken)
	if outboxErr != nil {
		return taken, fmt.Errorf("reading undelivered notices: %w", outboxErr)
	}
	a.notifier.Tell(notices)
	return taken, err
}

// Orphaned returns open runs whose engine is gone, oldest first.
func (a *App) Orphaned(ctx context.Context) ([]heddle.RunID, error) { return a.store.Orphaned(ctx) }

// NoticeResult returns kog's notify_status and notify_message for a run. It is
// final once the App is closed.
func (a *App) NoticeResult(run heddle.RunID) (status, message string) {
	return a.notifier.Result(run)
}

// Err returns why the engine ended by itself; nil if it did not.
func (a *App) Err() error { return a.engine.Err() }

// Close stops the engine, delivers what notices it can within the bound of ctx and
// of the notifier, and closes the store. Attempts go on running.
func (a *App) Close(ctx context.Context) error {
	a.engine.Stop()
	a.notifier.Drain(ctx)
	return a.store.Close()
}

// Supervise is the main loop of a data directory's supervisor process.
func Supervise(ctx context.Context, dataDir string, log *slog.Logger) error {
	dir, err := filepath.Abs(dataDir)
	if err != nil {
		return heddle.Errorf(heddle.CodeInvalid, "data directory %q: %w", dataDir, err)
	}
	return process.Supervise(ctx, process.SuperviseOptions{Dir: dir, Logs: logs.Open(logDir(dir)).Create, Log: log})
}
