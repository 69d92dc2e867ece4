package engine

import "sync"

// places bounds how many attempts are open at once. Who finds none free waits in
// line, once, and is told when one has been set aside for it.
type places struct {
	mu   sync.Mutex
	free int
	line []*actor
	in   map[*actor]bool
}

func newPlaces(n int) *places { return &places{free: n, in: map[*actor]bool{}} }

// take takes a place, or puts the actor in line.
func (p *places) take(a *actor) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free > 0 {
		p.free--
		return true
	}
	if !p.in[a] {
		p.in[a] = true
		p.line = append(p.line, a)
	}
	return false
}

// waiting returns how many are in line.
func (p *places) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.line)
}

// force takes places whether free or not, for attempts that run already.
func (p *places) force(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free -= n
}

// give returns a place: it goes to whoever waits longest.
func (p *places) give() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free++; p.free <= 0 || len(p.line) == 0 {
		return
	}
	next := p.line[0]
	p.line = p.line[1:]
	delete(p.in, next)
	p.free--
	next.grant() // under the lock: who has left the line is granted nothing
}

// leave takes an actor out of the line.
func (p *places) leave(a *actor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.in[a] {
		return
	}
	delete(p.in, a)
	for i, other := range p.line {
		if other == a {
			p.line = append(p.line[:i], p.line[i+1:]...)
			return
		}
	}
}
