package process

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// Options are the options of [Open].
type Options struct {
	// Dir is the data directory; made if it does not exist.
	Dir  string
	Sink executor.Sink
	Log  *slog.Logger
	// Supervisor is the command line of a process that calls [Supervise] for Dir. It
	// gets next to no environment, and the root for a working directory.
	Supervisor []string
	// Env are the variables that every program has unless its step sets them. Nil:
	// [DefaultEnv].
	Env map[string]string
	// StoreID names the store whose attempts these are. It is needed for the directories
	// that attempts share only, which are kept apart by it.
	StoreID string
	// WorkDir is where programs run whose step names no directory, and what a
	// relative one is relative to. Default: the home directory.
	WorkDir string
}

// DefaultEnv returns PATH, HOME, TMPDIR and LANG, from this process where it has them.
func DefaultEnv() map[string]string {
	home, err := os.UserHomeDir()
	if err != nil {
		home = string(filepath.Separator)
	}
	env := map[string]string{"PATH": defaultPath, "HOME": home, "TMPDIR": os.TempDir(), "LANG": "C.UTF-8"}
	for _, name := range slices.Concat([]string{"PATH", "LANG"}, systemVariables()) {
		if value := os.Getenv(name); value != "" {
			env[name] = value
		}
	}
	return env
}

// Executor runs attempts as processes, by way of the supervisor of its data
// directory. It connects when there is something to do, and again when the
// connection breaks while attempts are open.
type Executor struct {
	opts  Options
	paths paths
	place string
	env   map[string]string

	// dialing is held while a connection is made.
	dialing chan struct{}
	ctx     context.Context // done when closed
	cancel  context.CancelFunc
	work    sync.WaitGroup // what runs on behalf of connections
	starter starter

	mu         sync.Mutex
	conn       *connection               // nil: none
	open       map[heddle.AttemptID]bool // started or adopted here, and not over
	calls      map[uint64]chan<- reply   // requests without an answer, by ID
	lastID     uint64
	closed     bool
	recovering bool               // after the connection broke
	warned     bool               // that volumes are ignored
	releases   []heddle.AttemptID // what to release with the next request
	releaser   *time.Timer        // does it if there is no next request
}

var (
	_ executor.Executor = (*Executor)(nil)
	_ executor.Lister   = (*Executor)(nil)
	_ executor.Sharer   = (*Executor)(nil)
)

// Open returns an executor for the data directory. It does not start anything
// yet. Errors: [heddle.CodeInvalid], [heddle.CodeUnavailable].
func Open(_ context.Context, opts Options) (*Executor, error) {
	if opts.Sink == nil || len(opts.Supervisor) == 0 || opts.Dir == "" {
		return nil, heddle.Errorf(heddle.CodeInvalid, "opening the process executor: directory, sink and supervisor are needed")
	}
	if opts.StoreID != "" && !safeID(heddle.AttemptID(opts.StoreID)) {
		return nil, heddle.Errorf(heddle.CodeInvalid, "opening the process executor: %q is not the ID of a store", opts.StoreID)
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeInvalid, "opening the process executor: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, heddle.Errorf(heddle.CodeUnavailable, "making the data directory: %w", err)
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Env == nil {
		opts.Env = DefaultEnv()
	}
	if opts.WorkDir == "" {
		opts.WorkDir = opts.Env["HOME"]
	}
	e := &Executor{
		opts: opts, paths: paths{dir}, place: place(dir), env: maps.Clone(opts.Env),
		dialing: make(chan struct{}, 1),
		open:    map[heddle.AttemptID]bool{}, calls: map[uint64]chan<- reply{},
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.starter = starter{paths: e.paths, args: opts.Supervisor, path: opts.Env["PATH"]}
	return e, nil
}

// Place returns host, boot and data directory, joined by colons.
func (e *Executor) Place() string { return e.place }

// Sees reports whether an attempt with that place can be judged here: it has the
// same host and data directory. If it has another boot, what had not ended is lost.
func (e *Executor) Sees(place string) bool { return samePlace(place, e.place) }

// Start runs an attempt. An attempt that was committed before the machine was
// restarted is acknowledged and reported lost.
func (e *Executor) Start(ctx context.Context, spec executor.Spec) error {
	r, err := e.startRequest(&spec)
	if err == nil && spec.Shared != "" {
		err = e.makeShared(spec.Shared)
	}
	if err == nil {
		_, err = e.call(ctx, &request{Start: r})
	}
	return executor.MaskError(err, spec.Mask)
}

func (e *Executor) startRequest(spec *executor.Spec) (*startRequest, error) {
	refuse := func(f *fault) (*startRequest, error) { return nil, &executor.Refusal{Message: f.Message} }
	if spec.Place != "" && !e.Sees(spec.Place) {
		return nil, heddle.Errorf(heddle.CodeUnavailable, "attempt %s belongs to %s, which cannot be seen from here", spec.Attempt, spec.Place)
	}
	args := slices.Concat(spec.Work.Entrypoint, spec.Work.Command)
	if len(args) == 0 || args[0] == "" {
		return refuse(refusal("step %q names no command; the process executor runs entrypoint and command", spec.Step))
	}
	if len(spec.Volumes) > 0 {
		e.warnOfVolumes()
	}
	env, f := e.environment(spec)
	if f != nil {
		return refuse(f)
	}
	dir := spec.Work.Dir
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(e.opts.WorkDir, dir)
	}
	r := &startRequest{
		Attempt: spec.Attempt, Step: spec.Step, OtherBoot: spec.Place != "" && spec.Place != e.place,
		Dir: dir, Timeout: spec.Timeout, Grace: spec.Grace, Files: spec.Files, Log: spec.Log,
		Mask: spec.Mask, Message: spec.Work.Message,
	}
	var err error
	if r.Args, err = pack(args); err != nil {
		return refuse(refusal("step %q: arguments: %v", spec.Step, err))
	}
	if r.Env, err = pack(env); err != nil {
		return refuse(refusal("step %q: variables: %v", spec.Step, err))
	}
	return r, nil
}

// environment returns the variables of an attempt, those aside that the
// supervisor adds.
func (e *Executor) environment(spec *executor.Spec) ([]string, *fault) {
	taken := map[string]bool{attemptVar: true, supervisorVar: true}
	for _, f := range spec.Files {
		taken[f.Env] = true
	}
	if m := spec.Work.Message; m != nil {
		taken[m.Env] = true
	}
	if spec.Shared != "" {
		taken[executor.SharedVar] = true
	}
	env := make([]string, 0, len(e.env)+len(spec.Work.Env)+2)
	for name, value := range spec.Work.Env {
		if name == "" || strings.Contains(name, "=") {
			return nil, refusal("step %q: %q cannot be the name of a variable", spec.Step, name)
		}
		if !taken[name] {
			env = append(env, name+"="+value)
		}
	}
	if spec.Shared != "" {
		env = append(env, executor.SharedVar+"="+e.sharedDir(spec.Shared))
	}
	for name, value := range e.env {
		if _, set := spec.Work.Env[name]; !set && !taken[name] {
			env = append(env, name+"="+value)
		}
	}
	return env, nil
}

func (e *Executor) warnOfVolumes() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.warned {
		e.opts.Log.Warn("volumes are ignored: the process executor runs programs on this machine's own files")
		e.warned = true
	}
}

// Stop ends an attempt.
func (e *Executor) Stop(ctx context.Context, id heddle.AttemptID, reason string, grace time.Duration) error {
	_, err := e.call(ctx, &request{Stop: &stopRequest{Attempt: id, Reason: reason, Grace: grace}})
	return err
}

// Adopt takes attempts over. Those that it cannot judge, see [Executor.Sees], are
// left alone, with a warning. Their masks the supervisor has in its memory.
func (e *Executor) Adopt(ctx context.Context, adoptions []executor.Adoption) error {
	ids := make([]heddle.AttemptID, 0, len(adoptions))
	for _, adoption := range adoptions {
		a := adoption.Attempt
		if a.Place != "" && !e.Sees(a.Place) {
			e.opts.Log.Warn("an attempt belongs to a place that cannot be seen from here", "attempt", a.ID, "place", a.Place)
			continue
		}
		ids = append(ids, a.ID)
	}
	return e.adopt(ctx, ids)
}

func (e *Executor) adopt(ctx context.Context, ids []heddle.AttemptID) error {
	for part := range slices.Chunk(ids, 1000) {
		if _, err := e.call(ctx, &request{Adopt: part}); err != nil {
			return err
		}
	}
	return nil
}

// releaseDelay is how long a release waits for another request to go along with.
const releaseDelay = 50 * time.Millisecond

// Release lets go of attempts that have ended: with the next request, or soon.
// Should the supervisor not hear of it, they are in [Executor.Held] later on.
func (e *Executor) Release(_ context.Context, ids []heddle.AttemptID) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errClosed()
	}
	if len(ids) == 0 {
		return nil
	}
	e.releases = append(e.releases, ids...)
	if e.releaser == nil {
		e.releaser = time.AfterFunc(releaseDelay, e.flushReleases)
	} else {
		e.releaser.Reset(releaseDelay)
	}
	return nil
}

// Held returns the attempts that run, or have ended and are not released.
func (e *Executor) Held(ctx context.Context) ([]heddle.AttemptID, error) {
	r, err := e.call(ctx, &request{Held: true})
	return r.Held, err
}

// flushReleases sends the releases that found no request to go along with.
func (e *Executor) flushReleases() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || len(e.releases) == 0 {
		return
	}
	e.work.Go(func() {
		if _, err := e.call(e.ctx, &request{}); err != nil {
			e.opts.Log.Warn("attempts are not released yet", "error", err)
		}
	})
}

// Close ends the connection. No report comes after it has returned; it must not
// be called from the sink.
func (e *Executor) Close() error {
	e.mu.Lock()
	conn, owed := e.conn, len(e.releases) > 0
	e.mu.Unlock()
	if conn != nil && owed {
		ctx, cancel := context.WithTimeout(e.ctx, time.Second)
		_, err := e.call(ctx, &request{})
		cancel()
		if err != nil {
			e.opts.Log.Warn("attempts are not released yet", "error", err)
		}
	}
	e.mu.Lock()
	e.closed = true
	conn = e.conn
	if e.releaser != nil {
		e.releaser.Stop()
	}
	e.mu.Unlock()
	e.cancel()
	if conn != nil {
		_ = conn.Close() // nothing is lost by it
	}
	e.work.Wait()
	e.starter.collect()
	return nil
}
