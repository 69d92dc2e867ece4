package docker

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// maxAtOnce is how much of a context, in bytes, is certain to fit into the buffers
// on the way to a container that does not read it yet.
const maxAtOnce = 64 << 10

// maxTries is how often the daemon is asked for what it says it cannot do. Some of
// that is the fault of the step, some passes by itself, and its answers do not
// tell which: version 20.10 has internal errors for volumes that are malformed.
const maxTries = 3

// firstRetry is the wait before the second try.
const firstRetry = 300 * time.Millisecond

// Start makes and starts the container of an attempt, after pulling its image if
// that is absent. A container that is there already is taken as it is.
func (e *Executor) Start(ctx context.Context, spec executor.Spec) error {
	if e.ctx.Err() != nil {
		return heddle.Errorf(heddle.CodeUnavailable, "starting attempt %s: the docker executor is closed", spec.Attempt)
	}
	if spec.Place != e.place {
		return e.elsewhere(spec.Attempt, spec.Place)
	}
	if spec.Work.Image == "" {
		return refusal("the step names no image; give it one, or choose the process executor")
	}
	if _, err := reference.ParseAnyReference(spec.Work.Image); err != nil {
		return refusal("image %q: %v; a reference looks like busybox:1.36 or registry.example/name:tag", spec.Work.Image, err)
	}
	a := e.attempt(spec.Attempt)
	a.starting.Lock()
	defer a.starting.Unlock()
	if a.begun() {
		return nil
	}
	a.masks(spec.Mask)
	err := executor.MaskError(a.start(ctx, spec), spec.Mask)
	if _, refused := executor.Refused(err); refused {
		a.abandon(ctx)
	}
	if err == nil {
		a.begin()
	}
	return err
}

// abandon removes what there is of an attempt that can never be started.
func (a *attempt) abandon(ctx context.Context) {
	a.e.forget(a.id)
	err := a.e.removeMessage(a.id)
	if id := a.containerID(); id != "" {
		err = errors.Join(err, a.e.remove(ctx, id))
	}
	if err != nil {
		a.e.opts.Log.Debug("a container that could not be started is left behind", "attempt", a.id, "error", err)
	}
}

func (a *attempt) start(ctx context.Context, spec executor.Spec) error {
	text, err := a.e.input(ctx, spec)
	if err != nil {
		return err
	}
	status, err := a.create(ctx, spec, len(text) > 0)
	if err != nil || status != container.StateCreated {
		return err
	}
	if err := a.furnish(ctx, spec); err != nil {
		return err
	}
	if len(text) > 0 {
		if err := a.feed(ctx, text); err != nil {
			return err
		}
	}
	retry := executor.NewPause(firstRetry)
	for try := 1; ; try++ {
		_, err := a.e.cli.ContainerStart(ctx, a.containerID(), client.ContainerStartOptions{})
		if err == nil {
			return nil
		}
		again, err := a.startFailed(ctx, spec, err)
		if !again || try == maxTries || !retry.Wait(ctx, nil) {
			return err
		}
		a.e.opts.Log.Warn("starting a container failed; trying again", "attempt", a.id, "error", executor.MaskError(err, spec.Mask))
	}
}

// furnish puts into a container that is not started yet what is to be in it.
func (a *attempt) furnish(ctx context.Context, spec executor.Spec) error {
	if len(spec.Files) > 0 {
		content, err := archive(spec.Files)
		if err != nil {
			return err
		}
		if _, err := a.e.cli.CopyToContainer(ctx, a.containerID(), client.CopyToContainerOptions{DestinationPath: "/", Content: content}); err != nil {
			return temporary("copying files to the container", err)
		}
	}
	if spec.Shared != "" {
		if err := a.openShared(ctx); err != nil {
			return err
		}
	}
	if a.place != "" {
		return a.placeMessage(ctx, a.place)
	}
	return nil
}

// startFailed says what the error of a start means, and whether to try again first.
func (a *attempt) startFailed(ctx context.Context, spec executor.Spec, err error) (again bool, means error) {
	result, lookErr := a.e.cli.ContainerInspect(ctx, a.containerID(), client.ContainerInspectOptions{})
	if lookErr != nil {
		return false, temporary("starting the container", err)
	}
	state := result.Container.State
	if state.Status != container.StateCreated {
		return false, nil // only the answer was lost
	}
	if code := state.ExitCode; userError(err) && (code == 126 || code == 127) {
		return false, refusal("the command %s cannot be run in image %s: %v", result.Container.Path, spec.Work.Image, err)
	}
	if userError(err) || state.Error != "" {
		return !userError(err), refusal("the container cannot be started: %v", err)
	}
	return false, temporary("starting the container", err)
}

// userError reports whether the daemon blames what it was asked for.
func userError(err error) bool {
	return errdefs.IsNotFound(err) || errdefs.IsInvalidArgument(err) || errdefs.IsPermissionDenied(err)
}

// create makes the container, or finds it, and returns its state.
func (a *attempt) create(ctx context.Context, spec executor.Spec, stdin bool) (container.ContainerState, error) {
	message := a.e.makeMessage(a.id, spec.Work.Message)
	creation, err := a.e.creation(a, spec, stdin, message)
	if err != nil {
		return "", refusal("%v", err)
	}
	retry := executor.NewPause(firstRetry)
	pulled, apart := false, false
	for try := 1; ; {
		made, err := a.e.cli.ContainerCreate(ctx, creation)
		wrong := userError(err) || errdefs.IsInternal(err) && try == maxTries
		switch {
		case err == nil:
			a.made(made, creation)
			if apart {
				a.e.runsApart(a.id)
			}
			return container.StateCreated, nil
		case errdefs.IsConflict(err):
			return a.existing(ctx)
		case errdefs.IsNotFound(err) && !pulled:
			pulled = true
			if err := a.e.pull(ctx, spec.Work.Image); err != nil {
				return "", err
			}
		case wrong && message != "" && !apart:
			// Perhaps the daemon does not see the file. If it is something else, the
			// daemon says so again.
			apart = true
			if creation, err = a.e.creation(a, spec, stdin, ""); err != nil {
				return "", refusal("%v", err)
			}
		case wrong:
			return "", refusal("the container cannot be made: %v", err)
		case errdefs.IsInternal(err) && retry.Wait(ctx, nil):
			try++
		default:
			return "", temporary("making the container", err)
		}
	}
}

// made notes the container that was made.
func (a *attempt) made(made client.ContainerCreateResult, creation client.ContainerCreateOptions) {
	a.found(made.ID)
	for _, warning := range made.Warnings {
		a.e.opts.Log.Debug("the docker daemon warns", "attempt", a.id, "warning", warning)
	}
	a.place = copiedTo(creation.Config, creation.HostConfig)
}

// existing returns the state of the container that has the attempt's name.
func (a *attempt) existing(ctx context.Context) (container.ContainerState, error) {
	result, err := a.e.cli.ContainerInspect(ctx, a.name, client.ContainerInspectOptions{})
	if err != nil {
		return "", temporary("looking at the container "+a.name, err)
	}
	if !a.ours(result.Container) {
		return "", refusal("there is a container %s that another data directory, or somebody else, has made; "+
			"remove it (docker rm %s) or choose another run ID", a.name, a.name)
	}
	a.found(result.Container.ID)
	a.place = copiedTo(result.Container.Config, result.Container.HostConfig)
	return result.Container.State.Status, nil
}

// input returns what the container is to get on standard input: the context, for
// images of kog's old kind.
func (e *Executor) input(ctx context.Context, spec executor.Spec) ([]byte, error) {
	text, ok := contextText(spec)
	if !ok {
		return nil, nil
	}
	value, set := spec.Work.Env[envNoStdin]
	if !set {
		env, err := e.imageEnv(ctx, spec.Work.Image)
		if err != nil {
			return nil, err
		}
		for _, variable := range env {
			if name, v, _ := strings.Cut(variable, "="); name == envNoStdin {
				value = v
			}
		}
	}
	if isTrue(value) {
		return nil, nil
	}
	return append(text[:len(text):len(text)], '\n'), nil
}

// imageEnv returns the variables that an image sets; it is pulled if absent.
func (e *Executor) imageEnv(ctx context.Context, image string) ([]string, error) {
	for pulled := false; ; pulled = true {
		result, err := e.cli.ImageInspect(ctx, image)
		switch {
		case err == nil && result.Config == nil:
			return nil, nil
		case err == nil:
			return result.Config.Env, nil
		case errdefs.IsNotFound(err) && !pulled:
			if err := e.pull(ctx, image); err != nil {
				return nil, err
			}
		case errdefs.IsInvalidArgument(err):
			return nil, refusal("image %q: %v", image, err)
		default:
			return nil, temporary("looking at image "+image, err)
		}
	}
}

// feed sends text to the standard input of a container that is not started yet.
// What fits into the buffers on the way is there, and its end too, when this
// returns, so that an end of this process cannot cut it.
func (a *attempt) feed(ctx context.Context, text []byte) error {
	// Attaching cannot be given up by its context once the connection is there.
	conn, err := a.e.cli.ContainerAttach(a.ctx, a.containerID(), client.ContainerAttachOptions{Stream: true, Stdin: true})
	if err != nil {
		return temporary("attaching to the container's standard input", err)
	}
	written := make(chan error, 1)
	a.e.task(func() {
		stop := context.AfterFunc(a.ctx, conn.Close)
		defer stop()
		_, err := conn.Conn.Write(text)
		if err == nil {
			err = conn.CloseWrite()
		}
		written <- err
		if err == nil {
			_, _ = io.Copy(io.Discard, conn.Reader) // until the daemon has passed it on
		}
		conn.Close()
	})
	if len(text) > maxAtOnce {
		return nil
	}
	select {
	case err := <-written:
		if err != nil {
			return temporary("writing to the container's standard input", err)
		}
		return nil
	case <-a.ctx.Done():
		return a.ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
