// Package app builds the object graph for a mode of Heddle: an engine at work on a
// data directory, a reader of one, the supervisor. It is the only package that
// knows every adapter.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/engine"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/executor/process"
	"github.com/heddle/heddle/internal/notify"
	"github.com/heddle/heddle/internal/schedule"
	"github.com/heddle/heddle/internal/secret"
	"github.com/heddle/heddle/internal/store/logs"
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
	// DBURL names a PostgreSQL database that keeps the runs instead of the one in
	// the data directory: postgres://user:password@host/database. Logs and the
	// supervisor's files stay in the data directory.
	DBURL string
	// Environ, in the form of os.Environ, is what runs that import the current
	// environment get, where fromEnv looks, and by which Docker is found.
	Environ []string
	Log     *slog.Logger
	// ConsoleNotices takes what the console notifier prints.
	ConsoleNotices io.Writer
	// Retention bounds what is kept in the data directory of runs that have ended; what
	// is beyond it is deleted when the App is closed.
	Retention Retention
	// SecretsDir is, of a server, the directory below which runs may read files; an
	// absolute path. "": they may read none.
	SecretsDir string
	// AllowHostVolumes lets runs of a server mount paths of the machines that they run on.
	AllowHostVolumes bool
	// Kube is for the kubernetes executor.
	Kube Kube
}

// App is an engine at work on a data directory.
type App struct {
	store    backend
	engine   *engine.Engine
	schedule *schedule.Scheduler // makes no runs unless it is started
	notifier *notify.Notifier
	logs     heddle.Logs
	opts     Options
	tidy     func(ctx context.Context)
}

// Open opens the data directory and starts an engine on it. Several may be open
// at once: each owns its runs.
func Open(ctx context.Context, o Options) (*App, error) {
	return open(ctx, o, engine.Options{Ambient: o.Environ, Secrets: secret.Places{LookupEnv: o.lookupEnv}})
}

// open is Open with some of the engine's options.
func open(ctx context.Context, o Options, e engine.Options) (*App, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := realDir(o.DataDir)
	if err != nil {
		return nil, err
	}
	o.DataDir = dir
	st, identity, err := openStore(ctx, o)
	if err != nil {
		return nil, err
	}
	// Who follows the first run waits for its folder to appear in here.
	if err := os.MkdirAll(logDir(dir), 0o700); err != nil {
		return nil, errors.Join(heddle.Errorf(heddle.CodeStore, "making the folder of the logs: %w", err), st.Close())
	}
	a := &App{store: st, opts: o}
	var once sync.Once
	a.tidy = func(ctx context.Context) {
		once.Do(func() {
			if o.DBURL == "" { // else it is for the servers to do
				o.tidy(ctx, st)
			}
		})
	}
	a.notifier = notify.New(notify.Options{
		Outbox: st, Console: o.ConsoleNotices, Log: o.Log,
		Lookup: func(name string) (string, bool) { v := o.lookup(name); return v, v != "" },
		Flow: func(ctx context.Context, run heddle.RunID) (*heddle.Flow, error) {
			snap, err := st.Load(ctx, run)
			return snap.Flow, err
		},
	})
	e.Store, e.History, e.Turns, e.Pools, e.Notices = st, st, st, st, a.notifier.Tell
	e.Open = func(ctx context.Context, name string, sink executor.Sink) (executor.Executor, error) {
		return o.openExecutor(ctx, identity, name, sink)
	}
	// What a run imports wins over what its document says: a server has nothing to import.
	ambient := func(name string) (string, bool) { return "", false }
	if e.Ambient != nil {
		ambient = o.lookupEnv
	}
	g := guard{places: e.Secrets, hostVolumes: o.AllowHostVolumes}
	e.Check = func(sub *heddle.Submission) error {
		if err := g.check(sub.Flow, sub.Input); err != nil {
			return err
		}
		return CheckSources(sub.Executor, sub.Flow, sub.Input, ambient)
	}
	e.CheckOrphan = func(d *heddle.RunDetail) error { return g.checkSources(d.Flow, d.Run.Input) }
	e.Parallel, e.Log = o.Parallel, o.Log
	a.schedule = o.newScheduler(st, g)
	e.Ended = func(heddle.Run) { a.schedule.Kick() }
	a.engine = engine.Start(ctx, e)
	a.schedule.Use(a.engine)
	a.logs = logs.NewReader(logs.Open(logDir(dir)), ended(a.engine))
	return a, nil
}

// CheckNotifier finds what is wrong with the target of a run's notices, see
// [heddle.NoticeEvent]; lookup finds variables of the environment.
func CheckNotifier(target string, lookup func(string) (string, bool)) error {
	return notify.CheckTarget(target, lookup)
}

// lookup returns a variable of the environment, "" if it is not set.
func (o Options) lookup(name string) string {
	value, _ := o.lookupEnv(name)
	return value
}

// lookupEnv reads the environment as [os.LookupEnv] does.
func (o Options) lookupEnv(name string) (string, bool) {
	for i := len(o.Environ) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(o.Environ[i], name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// realDir makes a data directory and returns its one true path: by that attempts know
// where they belong, whatever link the directory is called by.
func realDir(dir string) (string, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", heddle.Errorf(heddle.CodeInvalid, "data directory %q: %w", dir, err)
	}
	if os.MkdirAll(path, 0o700) == nil {
		if resolved, err := filepath.EvalSymlinks(path); err == nil {
			path = resolved
		}
	}
	return path, nil // who opens it says what is wrong with it
}

func logDir(dataDir string) string { return filepath.Join(dataDir, "logs") }

// Runs is the service for runs.
func (a *App) Runs() heddle.Runs { return a.engine }

// Logs is the service for what steps print.
func (a *App) Logs() heddle.Logs { return a.logs }

// Resume takes up runs whose engine is gone: those named, or all. It returns the
// ones that it took. Notices that such runs left undelivered are delivered; those of
// runs that have ended only if no run is named.
func (a *App) Resume(ctx context.Context, ids ...heddle.RunID) ([]heddle.RunID, error) {
	taken, err := a.engine.Resume(ctx, ids...)
	of := taken
	switch {
	case len(ids) == 0:
		of = nil // of all runs that are owned here
	case len(taken) == 0:
		return taken, err
	}
	notices, outboxErr := a.store.Pending(ctx, of)
	if outboxErr != nil {
		return taken, errors.Join(err, fmt.Errorf("reading undelivered notices: %w", outboxErr))
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
// of the notifier, and closes the store; the error tells of notices that are left,
// too. Attempts go on running.
func (a *App) Close(ctx context.Context) error {
	a.schedule.Stop()
	a.engine.Stop()
	var tidying sync.WaitGroup
	tidying.Go(func() { a.tidy(ctx) })
	err := a.notifier.Drain(ctx)
	tidying.Wait()
	return errors.Join(err, a.store.Close())
}

// Supervise is the main loop of a data directory's supervisor process.
func Supervise(ctx context.Context, dataDir string, log *slog.Logger) error {
	dir, err := realDir(dataDir)
	if err != nil {
		return err
	}
	return process.Supervise(ctx, process.SuperviseOptions{Dir: dir, Logs: logs.Open(logDir(dir)).Create, Log: log})
}
