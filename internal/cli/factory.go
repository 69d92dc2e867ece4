package cli

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/app"
	"github.com/heddle/heddle/internal/config"
)

// reader gives access to what a data directory holds: an [app.Reader].
type reader interface {
	Runs() heddle.Runs
	Logs() heddle.Logs
	Pools() heddle.Pools
	Close() error
}

// session is an engine at work on a data directory: an [app.App].
type session interface {
	Runs() heddle.Runs
	Logs() heddle.Logs
	Resume(ctx context.Context, ids ...heddle.RunID) ([]heddle.RunID, error)
	Orphaned(ctx context.Context) ([]heddle.RunID, error)
	NoticeResult(run heddle.RunID) (status, message string)
	Err() error
	Close(ctx context.Context) error
}

var (
	_ reader  = (*app.Reader)(nil)
	_ session = (*app.App)(nil)
)

// factory holds what commands are made of, as functions where making it costs
// something, so that nothing is opened before it is needed.
type factory struct {
	Streams
	Build  BuildInfo
	Config config.Config
	Now    func() time.Time

	Open       func(ctx context.Context, o app.Options) (session, error)
	OpenReader func(ctx context.Context, o app.Options) (reader, error)
	OpenServer func(ctx context.Context, o app.Options, version string) (*app.Server, error)
	Supervise  func(ctx context.Context, dataDir string, log *slog.Logger) error

	// What heddle doctor asks.
	CheckProcess  func(ctx context.Context, o app.Options) error
	DockerVersion func(ctx context.Context, env func(string) string) (where, version string, err error)
	CheckKube     func(ctx context.Context, o app.Options) []app.Finding
}

func newFactory(streams Streams, build BuildInfo) *factory {
	streams.Out = &lockedWriter{w: streams.Out}
	streams.Err = &lockedWriter{w: streams.Err}
	return &factory{
		Streams: streams, Build: build, Now: time.Now, Supervise: app.Supervise, OpenServer: app.OpenServer,
		CheckProcess: app.CheckProcess, DockerVersion: app.DockerVersion, CheckKube: app.CheckKube,
		Open: func(ctx context.Context, o app.Options) (session, error) {
			a, err := app.Open(ctx, o)
			if err != nil {
				return nil, err // not a, which would be a session that is not nil
			}
			return a, nil
		},
		OpenReader: func(ctx context.Context, o app.Options) (reader, error) {
			r, err := app.OpenReader(ctx, o)
			if err != nil {
				return nil, err
			}
			return r, nil
		},
	}
}

// options are what a data directory is opened with.
func (f *factory) options(log *slog.Logger) app.Options {
	keep, _ := f.Config.Retention() // its faults were told before any command ran
	kube, _ := f.Config.Kube()
	return app.Options{
		Retention: app.Retention(keep), Kube: app.Kube(kube),
		DataDir: f.Config.DataDir, DBURL: f.Config.DBURL, WorkDir: f.Dir, Parallel: f.Config.Parallel, Environ: f.Environ,
		Log: log, ConsoleNotices: f.Out,
	}
}

// log is the log of commands that run nothing.
func (f *factory) log() *slog.Logger {
	return slog.New(newHandler(f.Err, f.Config.LogFormat, max(slog.LevelWarn, levelOf(f.Config.LogLevel))))
}

// history opens the data directory for reading and calls do with it.
func (f *factory) history(ctx context.Context, do func(reader) error) error {
	done := f.waitingFor("opening " + f.Config.DataDir)
	r, err := f.OpenReader(ctx, f.options(f.log()))
	done()
	if err != nil {
		return err
	}
	defer r.Close()
	return do(r)
}

// patience is how long a command works silently before it says what it does.
const patience = time.Second

// waitingFor tells on the console what takes long, if it does. The caller calls
// done when it is over.
func (f *factory) waitingFor(what string) (done func()) {
	timer := time.AfterFunc(patience, func() { fmt.Fprintf(f.Err, "heddle: %s ...\n", what) })
	return func() { timer.Stop() }
}

// complete reads the data directory for shell completion, silently.
func (f *factory) complete(ctx context.Context, do func(reader) []string) []string {
	o := f.options(slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	r, err := f.OpenReader(ctx, o)
	if err != nil {
		return nil
	}
	defer r.Close()
	return do(r)
}
