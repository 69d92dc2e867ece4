package docker

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/dustin/go-humanize"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"

	"github.com/heddle/heddle/internal/executor"
)

// pull pulls an image. Those who want the same one at the same time share one
// pull, which goes on when they have given up.
func (e *Executor) pull(ctx context.Context, image string) error {
	done := e.pulls.DoChan(image, func() (any, error) { return nil, e.pullTries(image) })
	select {
	case result := <-done:
		return result.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *Executor) pullTries(image string) error {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return refusal("image %s is not there, and only a name can be pulled: %v", image, err)
	}
	domain := reference.Domain(named)
	credentials := e.credentials(domain)
	retry := executor.NewPause(time.Second)
	for try := 1; ; try++ {
		err := e.pullOnce(image, credentials)
		switch {
		case err == nil:
			return nil
		case userError(err), errdefs.IsUnauthorized(err):
			return refusal("image %s cannot be pulled: %v; see that name and tag are right and, if it is private, do docker login %s",
				image, err, domain)
		case !errdefs.IsInternal(err) && !errdefs.IsUnavailable(err):
			return temporary("pulling image "+image, err) // the daemon did not answer
		case try == maxTries:
			return refusal("image %s cannot be pulled, after %d tries: %v; see that the docker daemon can reach the registry %s",
				image, try, err, domain)
		}
		e.opts.Log.Warn("pulling an image failed; trying again", "image", image, "error", err)
		if !retry.Wait(e.ctx, nil) {
			return e.ctx.Err()
		}
	}
}

// credentials returns what docker's configuration has for a registry, encoded for
// the daemon. Without any the registry is asked all the same.
func (e *Executor) credentials(domain string) string {
	auth, err := e.daemon.config.GetAuthConfig(domain)
	if err != nil {
		e.opts.Log.Warn("the credentials for a registry cannot be read; going on without", "registry", domain, "error", err)
		return ""
	}
	encoded, err := authconfig.Encode(registry.AuthConfig(auth))
	if err != nil {
		return ""
	}
	return encoded
}

// pullOnce pulls an image and tells, at most once a second, how far that is. An
// error that the daemon answered with has its class; what the registry did wrong
// on the way counts as the daemon's internal error.
func (e *Executor) pullOnce(image, credentials string) error {
	response, err := e.cli.ImagePull(e.ctx, image, client.ImagePullOptions{RegistryAuth: credentials})
	if err != nil {
		return err
	}
	e.opts.Log.Info("pulling an image", "image", image)
	layers := map[string]*jsonstream.Progress{}
	told := time.Now()
	for message, err := range response.JSONMessages(e.ctx) {
		if err != nil {
			return err
		}
		if message.Error != nil {
			return fmt.Errorf("%w: %w", streamClass(message.Error.Code), message.Error)
		}
		if message.Progress == nil || message.Status != "Downloading" {
			continue
		}
		layers[message.ID] = message.Progress
		if time.Since(told) >= time.Second {
			told = time.Now()
			current, total := sum(layers)
			e.opts.Log.Info("pulling an image", "image", image, "done", humanize.Bytes(current), "of", humanize.Bytes(total))
		}
	}
	return nil
}

func sum(layers map[string]*jsonstream.Progress) (current, total uint64) {
	for _, layer := range layers {
		current += uint64(max(0, layer.Current))
		total += uint64(max(0, layer.Total))
	}
	return current, total
}

// streamClass is the class of an error that came amid a pull, by its HTTP code.
func streamClass(code int) error {
	switch code {
	case http.StatusNotFound:
		return errdefs.ErrNotFound
	case http.StatusUnauthorized:
		return errdefs.ErrUnauthenticated
	case http.StatusForbidden:
		return errdefs.ErrPermissionDenied
	default:
		return errdefs.ErrInternal
	}
}
