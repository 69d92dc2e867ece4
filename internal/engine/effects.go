package engine

import (
	"context"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/machine"
	"github.com/heddle/heddle/internal/secret"
	"github.com/heddle/heddle/internal/store"
)

// starting is an attempt on its way to the executor, to be started or adopted.
type starting struct {
	answered chan struct{} // closed when the executor has answered
	giveUp   func()        // ends the start without an answer; nil: an adoption is not given up
	stopped  bool
}

// do performs effects, whose change is committed by now.
func (a *actor) do(effects []machine.Effect) {
	adopt := map[string][]machine.Adopt{} // by place
	var release []heddle.AttemptID
	var asks []store.Ask
	for _, effect := range effects {
		switch effect := effect.(type) {
		case machine.Start:
			a.start(effect)
		case machine.Stop:
			a.stop(effect)
		case machine.Adopt:
			adopt[effect.Attempt.Place] = append(adopt[effect.Attempt.Place], effect)
			a.starts[effect.Attempt.ID] = &starting{answered: make(chan struct{})}
		case machine.Release:
			release = append(release, effect.Attempt)
			delete(a.starts, effect.Attempt)
		case machine.Ask:
			asks = append(asks, store.Ask(effect))
		}
	}
	if len(asks) > 0 {
		a.ask(asks)
	}
	for _, effects := range adopt { // a place that cannot be seen holds up no other
		a.adopt(effects)
	}
	if len(release) > 0 {
		a.exec.release(release)
	}
}

func (a *actor) start(effect machine.Start) {
	ctx, giveUp := context.WithCancel(a.e.ctx)
	s := &starting{answered: make(chan struct{}), giveUp: giveUp}
	a.starts[effect.Attempt.ID] = s
	spec, exec := a.spec(effect), a.exec
	a.e.tasks.Go(func() {
		defer giveUp()
		defer close(s.answered)
		complete := false
		a.startUntilAnswered(ctx, spec.Attempt, func() error {
			if effect.Refuse != "" {
				return &executor.Refusal{Message: effect.Refuse}
			}
			if !complete { // once: a start is repeated with the same spec
				err := a.e.unveil(ctx, &spec)
				if _, refused := executor.Refused(err); refused && effect.Again {
					// With its secret gone it cannot be started; it may run all the same.
					return exec.Adopt(ctx, []executor.Adoption{{Attempt: effect.Attempt, Mask: spec.Mask}})
				}
				if err != nil {
					return err
				}
				complete = true
			}
			return exec.Start(ctx, spec)
		})
	})
}

// unveil gives the spec the values of its variables that come from outside; that one
// is missing is a refusal. What is left in From is the executor's to look up.
func (e *Engine) unveil(ctx context.Context, spec *executor.Spec) error {
	values, err := secret.Resolve(ctx, spec.Work.From, e.opts.Secrets)
	spec.Mask = secret.Masks(values)
	if heddle.CodeOf(err) == heddle.CodeNotFound {
		return &executor.Refusal{Message: "not started: " + err.Error()}
	}
	if err != nil {
		return err
	}
	for name, value := range values {
		spec.Work.Env[name] = value
		delete(spec.Work.From, name)
	}
	if w := &spec.Work; w.Expand {
		w.Entrypoint, w.Command = expanded(w.Entrypoint, w.Env), expanded(w.Command, w.Env)
	}
	return nil
}

func expanded(words []string, env map[string]string) []string {
	var out []string // the words are those of the flow, and stay
	for _, word := range words {
		out = append(out, heddle.Expand(word, env))
	}
	return out
}

// startUntilAnswered repeats the start until the executor has acknowledged or
// refused the attempt, or ctx is done: the attempt is to be stopped, and the executor
// has not answered for as long as the grace, or the engine stops.
func (a *actor) startUntilAnswered(ctx context.Context, id heddle.AttemptID, start func() error) {
	for delay := 50 * time.Millisecond; ; delay = min(2*delay, 5*time.Second) {
		err := start()
		if err == nil {
			a.post(machine.Acknowledged{Attempt: id})
			return
		}
		if message, refused := executor.Refused(err); refused {
			a.post(machine.Ended{Attempt: id, Exit: heddle.Exit{Reason: heddle.Refused, Message: message}})
			return
		}
		if ctx.Err() == nil {
			a.e.log.Warn("the executor does not answer; trying again", "run_id", a.id, "attempt", id, "error", err)
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			if a.e.ctx.Err() == nil {
				a.post(machine.Ended{Attempt: id, Exit: heddle.Exit{
					Reason: heddle.Stopped, Message: "stopped before the executor answered: " + err.Error(),
				}})
			}
			return
		}
	}
}

// stop ends an attempt, after its start or adoption has been answered: what an
// executor does not know it does not stop.
func (a *actor) stop(effect machine.Stop) {
	exec, s := a.exec, a.starts[effect.Attempt]
	if s != nil && !s.stopped {
		s.stopped = true
		if s.giveUp != nil {
			time.AfterFunc(a.e.opts.Grace, s.giveUp)
		}
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

func (a *actor) adopt(effects []machine.Adopt) {
	var waiting []*starting
	for _, effect := range effects {
		waiting = append(waiting, a.starts[effect.Attempt.ID])
	}
	exec := a.exec
	a.e.tasks.Go(func() {
		adoptions := make([]executor.Adoption, len(effects))
		for i, effect := range effects {
			values, err := secret.Resolve(a.e.ctx, effect.From, a.e.opts.Secrets)
			if err != nil && a.e.ctx.Err() == nil {
				a.e.log.Warn("a secret of a program that runs is gone: its value cannot be masked from here on",
					"run_id", a.id, "attempt", effect.Attempt.ID, "error", err)
			}
			adoptions[i] = executor.Adoption{Attempt: effect.Attempt, Mask: secret.Masks(values)}
		}
		a.e.persist("adopting attempts", func(ctx context.Context) error { return exec.Adopt(ctx, adoptions) })
		for _, s := range waiting {
			close(s.answered)
		}
	})
}

// persist repeats a call until it succeeds or the engine stops.
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
