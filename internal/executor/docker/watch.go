package docker

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// watch follows the daemon's events about our containers, and tells everybody who
// waits for it when the daemon is back.
func (e *Executor) watch() {
	filters := client.Filters{}.Add("type", "container").Add("event", "die", "destroy").
		Add("label", labelStore+"="+e.opts.StoreID)
	pause := executor.NewPause(0)
	for e.ctx.Err() == nil {
		stream := e.cli.Events(e.ctx, client.EventsListOptions{Filters: filters})
		select {
		case err := <-stream.Err: // could not be opened
			e.opts.Log.Debug("the daemon's events cannot be followed", "error", err)
		default:
			pause = executor.NewPause(0)
			e.isBack()
			err := e.hear(stream)
			e.isAway()
			if e.ctx.Err() == nil {
				e.opts.Log.Warn("the connection to the docker daemon broke; trying again", "error", err)
			}
		}
		pause.Wait(e.ctx, nil)
	}
}

// hear takes events until the stream ends.
func (e *Executor) hear(stream client.EventsResult) error {
	for {
		select {
		case event := <-stream.Messages:
			e.event(event)
		case err := <-stream.Err:
			return err
		}
	}
}

func (e *Executor) event(event events.Message) {
	if a := e.known(heddle.AttemptID(event.Actor.Attributes[labelAttempt])); a != nil {
		a.hasDied()
	}
}

// isBack wakes those who wait for the daemon.
func (e *Executor) isBack() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.session++
	e.hearing = true
	close(e.back)
	e.back = make(chan struct{})
}

// isAway notes that the daemon's events have ended.
func (e *Executor) isAway() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hearing = false
}

// listening returns the number of the stream of events that is open; 0: none is.
func (e *Executor) listening() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.hearing {
		return 0
	}
	return e.session
}

func (e *Executor) untilBack() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.back
}

// outlived reports whether the daemon was there all the time from the container's
// start, or from when this executor first saw it run, to its end, and goes on
// living. A daemon that shuts down ends its containers while it still serves the
// connections that it has, but it accepts no new ones; one that was killed has them
// ended by the next, which has no memory of their start.
func (a *attempt) outlived(container string, started time.Time) (bool, error) {
	cli, err := a.e.daemon.connect()
	if err != nil {
		return false, err
	}
	defer cli.Close()
	if _, err := cli.Ping(a.ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return false, err
	}
	a.mu.Lock()
	seen := a.session
	a.mu.Unlock()
	if seen != 0 && seen == a.e.listening() {
		return true, nil
	}
	return remembered(a.ctx, cli, container, started)
}

// remembered reports whether the daemon knows of the container's start. It
// remembers its last 256 events.
func remembered(ctx context.Context, cli *client.Client, container string, started time.Time) (bool, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	unix := func(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
	stream := cli.Events(ctx, client.EventsListOptions{
		Since: unix(started.Add(-time.Minute)), Until: unix(started.Add(5 * time.Second)),
		Filters: client.Filters{}.Add("type", "container").Add("event", "start").Add("container", container),
	})
	select {
	case <-stream.Messages:
		return true, nil
	case err := <-stream.Err:
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return false, err
	}
}
