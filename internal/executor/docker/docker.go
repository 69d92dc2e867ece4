package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// Options are the options of [Open].
type Options struct {
	// StoreID names the store that the attempts are of. Containers with another
	// store's label are never touched.
	StoreID string
	// Dir is the data directory, where message files are kept for a daemon that sees
	// the files of this machine. "": they go through the daemon.
	Dir  string
	Sink executor.Sink
	// Logs returns the log of an attempt, emptied: all of the output is written to
	// it, again if it was read before. The same output makes the same log. Nil: no
	// logs are kept.
	Logs func(heddle.AttemptID) (io.WriteCloser, error)
	// Env looks variables of the environment up, to find the daemon and docker's
	// configuration. Nil: [os.Getenv].
	Env func(name string) string
	// WorkDir is what relative paths in volumes are relative to. Default: the
	// working directory.
	WorkDir string
	Log     *slog.Logger
}

// Executor runs attempts as containers of one daemon.
type Executor struct {
	opts  Options
	cli   *client.Client
	place string
	skew  time.Duration // by which the daemon's clock is ahead of ours
	// jsonFile: the daemon's default is not to keep logs where they can be read.
	jsonFile bool
	messages string      // the directory of the message files; "": there is none
	apart    atomic.Bool // the daemon does not see the files of this machine
	daemon   *Daemon
	pulls    singleflight.Group

	ctx    context.Context // done when closed
	cancel context.CancelFunc

	mu       sync.Mutex
	tasks    sync.WaitGroup // added to under mu while not closed
	closed   bool
	attempts map[heddle.AttemptID]*attempt
	back     chan struct{} // closed when the daemon answers again
	session  int           // counts the streams of events
	hearing  bool          // the last of them is open
}

var (
	_ executor.Executor = (*Executor)(nil)
	_ executor.Lister   = (*Executor)(nil)
	_ executor.Sharer   = (*Executor)(nil)
)

// Open finds the daemon and connects to it. An error is [heddle.CodeUnavailable]
// and says what was tried, or [heddle.CodeInvalid].
func Open(ctx context.Context, opts Options) (*Executor, error) {
	if opts.Sink == nil || opts.StoreID == "" {
		return nil, heddle.Errorf(heddle.CodeInvalid, "opening the docker executor: sink and store are needed")
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Env == nil {
		opts.Env = os.Getenv
	}
	daemon, err := Find(opts.Env)
	if err != nil {
		return nil, err
	}
	cli, err := daemon.connect()
	if err != nil {
		return nil, err
	}
	info, err := cli.Info(ctx, client.InfoOptions{})
	if err != nil {
		return nil, errors.Join(daemon.unavailable(err), cli.Close())
	}
	e := &Executor{
		opts: opts, cli: cli, place: "docker:" + info.Info.ID, daemon: daemon,
		skew:     skew(info.Info.SystemTime, time.Now()),
		jsonFile: !readable(info.Info.LoggingDriver),
		attempts: map[heddle.AttemptID]*attempt{}, back: make(chan struct{}),
	}
	if opts.Dir != "" {
		// Stores that have a data directory in common do not delete each other's.
		e.messages = filepath.Join(opts.Dir, "messages", url.PathEscape(opts.StoreID))
	}
	e.ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	e.task(e.watch)
	return e, nil
}

// skew returns how much a daemon's clock is ahead; what the way to it explains is nothing.
func skew(systemTime string, now time.Time) time.Duration {
	at, err := time.Parse(time.RFC3339Nano, systemTime)
	if d := at.Sub(now); err == nil && d.Abs() > 2*time.Second {
		return d
	}
	return 0
}

// readable reports whether logs of this driver can be read back on any daemon.
func readable(driver string) bool {
	return driver == "json-file" || driver == "local" || driver == "journald"
}

// Place names the daemon.
func (e *Executor) Place() string { return e.place }

// Close stops reporting. Containers go on running.
func (e *Executor) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel()
	e.tasks.Wait()
	return e.cli.Close()
}

// task runs f in the background, until the executor is closed.
func (e *Executor) task(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.tasks.Go(f)
	}
}

// attempt returns an attempt's entry, made when there is none.
func (e *Executor) attempt(id heddle.AttemptID) *attempt {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.attempts[id]
	if a == nil {
		a = &attempt{e: e, id: id, name: "heddle-" + string(id), died: make(chan struct{})}
		a.ctx, a.cancel = context.WithCancel(e.ctx)
		e.attempts[id] = a
	}
	return a
}

// known returns an attempt's entry, or nil.
func (e *Executor) known(id heddle.AttemptID) *attempt {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.attempts[id]
}

// forget drops an attempt's entry and returns it, or nil.
func (e *Executor) forget(id heddle.AttemptID) *attempt {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.attempts[id]
	delete(e.attempts, id)
	if a != nil {
		a.cancel()
	}
	return a
}

// elsewhere is the error for an attempt that another daemon has.
func (e *Executor) elsewhere(id heddle.AttemptID, place string) error {
	return heddle.Errorf(heddle.CodeUnavailable,
		"attempt %s runs at %s, and the daemon here is %s; point DOCKER_HOST or the docker context at the other daemon", id, place, e.place)
}

// Adopt takes acknowledged attempts over. Those that another daemon has are left
// alone, and named in the error.
func (e *Executor) Adopt(_ context.Context, adoptions []executor.Adoption) error {
	var faults []error
	for _, adoption := range adoptions {
		at := adoption.Attempt
		if at.Place != e.place {
			faults = append(faults, e.elsewhere(at.ID, at.Place))
			continue
		}
		a := e.attempt(at.ID)
		a.masks(adoption.Mask)
		if at.Stop != "" {
			a.ending(ending{reason: heddle.Stopped, message: at.Stop, assumed: true})
		}
		a.begin()
	}
	return errors.Join(faults...)
}

// Stop ends an attempt as docker stop does: by the image's stop signal, and by
// SIGKILL when grace, in whole seconds, has passed.
func (e *Executor) Stop(ctx context.Context, id heddle.AttemptID, reason string, grace time.Duration) error {
	a := e.known(id)
	if a == nil {
		return nil
	}
	return a.stop(ctx, heddle.Stopped, reason, grace)
}

// Held returns the attempts of the store that have a container, or a message file
// on this machine.
func (e *Executor) Held(ctx context.Context) ([]heddle.AttemptID, error) {
	containers, err := e.containers(ctx)
	if err != nil {
		return nil, err
	}
	ids, err := e.heldMessages()
	for _, id := range ids {
		delete(containers, id)
	}
	return slices.AppendSeq(ids, maps.Keys(containers)), err
}

// containers returns the IDs of the store's containers.
func (e *Executor) containers(ctx context.Context) (map[heddle.AttemptID]string, error) {
	filters := client.Filters{}.Add("label", labelStore+"="+e.opts.StoreID)
	list, err := e.cli.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeUnavailable, "listing containers: %w", err)
	}
	found := map[heddle.AttemptID]string{}
	for _, c := range list.Items {
		found[heddle.AttemptID(c.Labels[labelAttempt])] = c.ID
	}
	return found, nil
}

// Release removes the containers of attempts, running or not, with their
// anonymous volumes and message files.
func (e *Executor) Release(ctx context.Context, ids []heddle.AttemptID) error {
	var ours map[heddle.AttemptID]string
	var g errgroup.Group
	g.SetLimit(4)
	var faults []error
	for _, id := range ids {
		container := ""
		if a := e.forget(id); a != nil {
			container = a.containerID()
		}
		if container == "" && ours == nil {
			var err error
			if ours, err = e.containers(ctx); err != nil {
				faults = append(faults, err)
				break
			}
		}
		if container == "" {
			container = ours[id]
		}
		g.Go(func() error {
			if container != "" {
				if err := e.remove(ctx, container); err != nil {
					return err
				}
			}
			return e.removeMessage(id)
		})
	}
	return errors.Join(append(faults, g.Wait())...)
}

func (e *Executor) remove(ctx context.Context, container string) error {
	_, err := e.cli.ContainerRemove(ctx, container, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) { // gone, or being removed
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing container %s: %w", container, err)
	}
	return nil
}
