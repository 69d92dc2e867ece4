package engine

import (
	"context"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/machine"
)

// starting is an attempt on its way to the executor.
type starting struct {
	answered chan struct{} // closed when the executor has answered
	stop     chan struct{} // closed when it is to be stopped
	stopped  bool
}

// do performs effects, whose change is committed by now.
func (a *actor) do(effects []machine.Effect) {
	var adopt []heddle.Attempt
	var release []heddle.AttemptID
	for _, effect := range effects {
		switch effect := effect.(type) {
		case machine.Start:
			a.start(effect)
		case machine.Stop:
			a.stop(effect)
		case machine.Adopt:
			adopt = append(adopt, effect.Attempt)
		case machine.Release:
			release = append(release, effect.Attempt)
			delete(a.starts, effect.Attempt)
		}
	}
	if len(adopt) > 0 {
		a.e.tasks.Go(func() { a.adopt(adopt) })
	}
	if len(release) > 0 {
		a.exec.release(release)
	}
}

func (a *actor) start(effect machine.Start) {
	s := &starting{answered: make(chan struct{}), stop: make(chan struct{})}
	a.starts[effect.Attempt.ID] = s
	spec, exec := a.spec(effect), a.exec
	a.e.tasks.Go(func() {
		defer close(s.answered)
		a.startUntilAnswered(exec, spec, s)
	})
}

// startUntilAnswered repeats the start until the executor has acknowledged or
// refused the attempt. Only one that is to be stopped meanwhile is given up, when
// the executor has not answered for as long as the grace.
func (a *actor) startUntilAnswered(exec executor.Executor, spec executor.Spec, s *starting) {
	delay := 50 * time.Millisecond
	var giveUp <-chan time.Time
	stop := s.stop
	for {
		err := exec.Start(a.e.ctx, spec)
		if err == nil {
			a.post(machine.Acknowledged{Attempt: spec.Attempt})
			return
		}
		if message, refused := executor.Refused(err); refused {
			a.post(machine.Ended{Attempt: spec.Attempt, Exit: heddle.Exit{Reason: heddle.Refused, Message: message}})
			return
		}
		if a.e.ctx.Err() != nil {
			return
		}
		a.e.log.Warn("the executor does not answer; trying again", "run_id", a.id, "attempt", spec.Attempt, "error", err)
		select {
		case <-time.After(delay):
			delay = min(2*delay, 5*time.Second)
		case <-stop:
			stop, giveUp = nil, time.After(a.e.opts.Grace)
		case <-giveUp:
			a.post(machine.Ended{Attempt: spec.Attempt, Exit: heddle.Exit{
				Reason: heddle.Stopped, Message: "stopped before the executor answered: " + err.Error(),
			}})
			return
		case <-a.e.ctx.Done():
			return
		}
	}
}

// stop ends an attempt, after its start has been answered.
func (a *actor) stop(effect machine.Stop) {
	exec, s := a.exec, a.starts[effect.Attempt]
	if s != nil && !s.stopped {
		s.stopped = true
		close(s.stop)
	}
	a.e.tasks.Go(func() {
		if s != nil {
			select {
			case <-s.answered:
			case <-a.e.ctx.Done():
				return
			}
		}
		a.e.persist("stopping an attempt", func(ctx context.Context) error {
			return exec.Stop(ctx, effect.Attempt, effect.Reason, a.e.opts.Grace)
		})
	})
}

func (a *actor) adopt(attempts []heddle.Attempt) {
	exec := a.exec
	a.e.persist("adopting attempts", func(ctx context.Context) error { return exec.Adopt(ctx, attempts) })
}

// persist repeats a call to an executor until it succeeds or the engine stops.
func (e *Engine) persist(what string, call func(context.Context) error) {
	for delay := 50 * time.Millisecond; ; delay = min(2*delay, 5*time.Second) {
		err := call(e.ctx)
		if err == nil || e.ctx.Err() != nil {
			return
		}
		e.log.Warn(what+" failed; trying again", "error", err, "in", delay)
		select {
		case <-time.After(delay):
		case <-e.ctx.Done():
			return
		}
	}
}
