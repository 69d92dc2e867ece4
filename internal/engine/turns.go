package engine

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/machine"
	"github.com/heddle/heddle/internal/store"
)

// regrantEvery is how often lines are looked at again while runs of this engine stand
// in any: only a word that was lost, or an engine that died as the first in line,
// makes a difference then.
const regrantEvery = 2 * time.Second

// lines counts the runs that wait for what other runs have.
type lines struct {
	waiting atomic.Int64
	begun   chan struct{}
}

func newLines() *lines { return &lines{begun: make(chan struct{}, 1)} }

// note keeps count of an actor, which keeps in known what was last noted of it.
func (l *lines) note(known *bool, waits bool) {
	if *known == waits {
		return
	}
	*known = waits
	if !waits {
		l.waiting.Add(-1)
		return
	}
	l.waiting.Add(1)
	select {
	case l.begun <- struct{}{}:
	default:
	}
}

// maxAsks bounds what is asked at once, so that nobody else waits long for the store.
const maxAsks = 100

// ask asks the store for what the run shares with others.
func (a *actor) ask(asks []store.Ask) {
	epoch := a.epoch
	a.e.tasks.Go(func() {
		for some := range slices.Chunk(asks, maxAsks) {
			a.e.persist("asking for a turn", func(ctx context.Context) error {
				replies, err := a.e.opts.Turns.Ask(ctx, a.id, epoch, some)
				if err == nil {
					a.hear(some, replies)
				}
				return err
			})
		}
	})
}

// hear tells the state machine what was replied at once.
func (a *actor) hear(asks []store.Ask, replies []store.Reply) {
	var events []machine.Event
	for i, reply := range replies {
		switch reply.Turn {
		case store.Granted:
			events = append(events, machine.Granted{Visit: asks[i].Visit, Attempt: asks[i].Attempt})
		case store.Denied:
			events = append(events, machine.Denied{Other: reply.Other})
		case store.Waits, store.Unwanted:
		}
	}
	if len(events) > 0 {
		a.post(events...)
	}
}

// turnLoop hears of turns that runs of this engine were granted later.
func (e *Engine) turnLoop() {
	again := time.NewTimer(regrantEvery)
	again.Stop()
	defer again.Stop()
	armed := false
	for {
		if !armed && e.lines.waiting.Load() > 0 {
			armed = true
			again.Reset(regrantEvery)
		}
		select {
		case turn := <-e.opts.Turns.Granted():
			if a := e.actor(turn.Run); a != nil {
				a.post(machine.Granted{Visit: turn.Visit, Attempt: turn.Attempt})
			}
		case <-e.lines.begun:
		case <-again.C:
			armed = false
			if err := e.opts.Turns.Regrant(e.ctx); err != nil && e.ctx.Err() == nil {
				e.log.Warn("looking at lines again failed", "error", err)
			}
		case <-e.ctx.Done():
			return
		}
	}
}

// checkPools refuses a flow whose steps need places that no pool has.
func (e *Engine) checkPools(ctx context.Context, organization string, flow *heddle.Flow) error {
	var sizes map[string]int
	of := "" // for the advice
	if organization != heddle.DefaultOrganization {
		of = " --organization " + organization
	}
	for i := range flow.Steps {
		step := &flow.Steps[i]
		if step.Pool == "" {
			continue
		}
		if sizes == nil {
			pools, err := e.opts.Pools.Pools(ctx, organization)
			if err != nil {
				return err
			}
			sizes = map[string]int{}
			for _, pool := range pools {
				sizes[pool.Name] = pool.Size
			}
		}
		size, ok := sizes[step.Pool]
		if !ok {
			return heddle.Errorf(heddle.CodeInvalid, "step %q needs the pool %q, which does not exist: make it with 'heddle pools set %s SIZE%s'",
				step.Name, step.Pool, step.Pool, of)
		}
		if step.Places() > size {
			return heddle.Errorf(heddle.CodeInvalid, "step %q needs %d places of the pool %q, which has %d: give it more with 'heddle pools set %s %d%s', or lower the weight",
				step.Name, step.Places(), step.Pool, size, step.Pool, step.Places(), of)
		}
	}
	return nil
}
