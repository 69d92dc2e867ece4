package docker

import (
	"context"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// attempt is one that was started or adopted here and is not released.
type attempt struct {
	e      *Executor
	id     heddle.AttemptID
	name   string // of the container
	ctx    context.Context
	cancel context.CancelFunc

	starting sync.Mutex // held while it is started
	place    string     // the message file to be made in the container; guarded by starting

	mu        sync.Mutex
	container string // its ID, once known
	mask      []string
	following bool // somebody follows it, or has to the end
	told      bool // that it runs
	end       ending
	timer     *time.Timer
	died      chan struct{} // closed when the daemon says that it has ended
	dead      bool          // died is closed
	session   int           // the stream of events under which it was first seen to run
}

// ending is why an attempt is being ended.
type ending struct {
	reason  heddle.ExitReason // "": it is not
	message string
	assumed bool // it was to be ended, but perhaps was not told
}

func (a *attempt) found(container string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.container = container
}

// masks says what is to be masked in what comes of the attempt. Who knows nothing of
// that takes nothing back.
func (a *attempt) masks(texts []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(texts) > 0 {
		a.mask = texts
	}
}

func (a *attempt) containerID() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.container
}

func (a *attempt) begun() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.following
}

// begin follows the container from now on, once.
func (a *attempt) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.following {
		a.following = true
		a.e.task(a.follow)
	}
}

// ending notes why the attempt is being ended; the first reason that is certain stays.
func (a *attempt) ending(end ending) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.end.reason == "" || a.end.assumed {
		a.end = end
	}
}

// hasDied takes the news that the container has ended or is gone.
func (a *attempt) hasDied() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.dead {
		a.dead = true
		close(a.died)
	}
}

// follow watches the container until its end is reported. It looks at it, then
// reads its output for as long as there is some, and so on; whatever goes wrong on
// the way is a reason to look again.
func (a *attempt) follow() {
	out := a.newOutput()
	defer out.close()
	pause := executor.NewPause(0)
	for a.ctx.Err() == nil {
		back, session := a.e.untilBack(), a.e.listening()
		c, err := a.look()
		switch {
		case errdefs.IsNotFound(err):
			a.report(&heddle.Exit{Reason: heddle.Lost, Message: "its container is gone"})
			return
		case err != nil:
		case c.State.Running:
			a.runs(c, session)
			if err = out.follow(c); err == nil {
				// At once if the daemon says that it has ended; else not too often.
				pause.Wait(a.ctx, a.died)
				continue
			}
		case containerTime(c.State.StartedAt).IsZero():
			a.report(&heddle.Exit{Reason: heddle.Lost, Message: "its container was never started"})
			return
		default:
			a.runs(c, session)
			if err = a.finish(c, out); err == nil {
				return
			}
		}
		a.e.opts.Log.Debug("looking at a container failed", "attempt", a.id, "error", err)
		pause.Wait(a.ctx, back)
	}
}

// look inspects the container.
func (a *attempt) look() (container.InspectResponse, error) {
	name := a.containerID()
	if name == "" {
		name = a.name
	}
	result, err := a.e.cli.ContainerInspect(a.ctx, name, client.ContainerInspectOptions{})
	if err == nil && !a.ours(result.Container) {
		return container.InspectResponse{}, errdefs.ErrNotFound
	}
	if err == nil {
		a.found(result.Container.ID)
	}
	return result.Container, err
}

// runs reports that the program runs and sets the timer, once. Session is the stream
// of events that was open before the container was looked at.
func (a *attempt) runs(c container.InspectResponse, session int) {
	a.mu.Lock()
	told := a.told
	a.told = true
	a.mu.Unlock()
	if told {
		return
	}
	started := containerTime(c.State.StartedAt)
	a.e.opts.Sink(executor.Report{Attempt: a.id, Started: started})
	if !c.State.Running {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.session = session
	t := termsOf(c.Config.Labels)
	if t.timeout <= 0 {
		return
	}
	a.timer = time.AfterFunc(time.Until(started.Add(t.timeout-a.e.skew)), func() {
		a.e.task(func() { a.timesOut(t) })
	})
}

func (a *attempt) timesOut(t terms) {
	for pause := executor.NewPause(0); ; {
		err := a.stop(a.ctx, heddle.TimedOut, timeoutMessage(t), t.grace)
		if err == nil || !pause.Wait(a.ctx, a.e.untilBack()) {
			return
		}
		a.e.opts.Log.Warn("a container is beyond its time and cannot be stopped; trying again", "attempt", a.id, "error", err)
	}
}

func timeoutMessage(t terms) string { return "ran out of its time, " + t.timeout.String() }

// stop has the daemon stop the container, in the background, if it runs.
func (a *attempt) stop(ctx context.Context, reason heddle.ExitReason, message string, grace time.Duration) error {
	result, err := a.e.cli.ContainerInspect(ctx, a.name, client.ContainerInspectOptions{})
	if errdefs.IsNotFound(err) || err == nil && (!a.ours(result.Container) || !result.Container.State.Running) {
		return nil
	}
	if err != nil {
		return temporary("stopping attempt "+string(a.id), err)
	}
	a.ending(ending{reason: reason, message: message})
	timeout := seconds(grace)
	a.e.task(func() {
		for pause := executor.NewPause(0); ; {
			_, err := a.e.cli.ContainerStop(a.ctx, result.Container.ID, client.ContainerStopOptions{Timeout: &timeout})
			if err == nil || errdefs.IsNotFound(err) || !pause.Wait(a.ctx, a.e.untilBack()) {
				return
			}
			a.e.opts.Log.Warn("stopping a container failed; trying again", "attempt", a.id, "error", err)
		}
	})
	return nil
}

// finish reports the end of a container, after what is left of its output.
func (a *attempt) finish(c container.InspectResponse, out *output) error {
	if err := out.complete(c); err != nil {
		return err
	}
	a.mu.Lock()
	end := a.end
	a.mu.Unlock()
	exit := exitOf(c, end)
	exit.Message = out.mask.String(exit.Message)
	if err := a.readMessage(c, out.mask, &exit); err != nil {
		return err
	}
	if unexplained(exit, c.State) {
		outlived, err := a.outlived(c.ID, exit.Started)
		if err != nil {
			return err
		}
		if !outlived {
			exit.Reason, exit.Signal, exit.Message = heddle.Broken, "", "it ended with the docker daemon, or with the machine"
		}
	}
	if err := out.finish(&exit); err != nil {
		a.e.opts.Log.Warn("the output could not be kept", "attempt", a.id, "error", err)
		if exit.Message == "" {
			exit.Message = "the output could not be kept: " + err.Error()
		}
	}
	a.report(&exit)
	return nil
}

func (a *attempt) report(exit *heddle.Exit) {
	a.mu.Lock()
	if a.timer != nil {
		a.timer.Stop()
	}
	a.mu.Unlock()
	if a.ctx.Err() == nil {
		a.e.opts.Sink(executor.Report{Attempt: a.id, Started: exit.Started, Exit: exit})
	}
}
