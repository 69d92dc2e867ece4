package cli

import (
	"context"
	"sync"

	"github.com/heddle/heddle"
)

// stepBook knows which step each visit of a run opened. It is safe for concurrent use.
type stepBook struct {
	runs heddle.Runs
	id   heddle.RunID
	flow *heddle.Flow

	mu     sync.Mutex
	visits map[int]heddle.Visit // as last told
	ahead  map[int]heddle.Visit // read before the news came
}

// newStepBook makes a book of the run, which is returned as it is now, too. Its
// visits can be asked for but count as untold.
func newStepBook(ctx context.Context, runs heddle.Runs, id heddle.RunID) (*stepBook, heddle.Run, error) {
	detail, err := runs.Get(ctx, id)
	if err != nil {
		return nil, heddle.Run{}, err
	}
	b := &stepBook{runs: runs, id: id, flow: detail.Flow, visits: make(map[int]heddle.Visit), ahead: make(map[int]heddle.Visit)}
	if b.flow == nil {
		b.flow = &heddle.Flow{}
	}
	for _, v := range detail.Visits {
		b.ahead[v.No] = v
	}
	return b, detail.Run, nil
}

// learn takes visits up, and returns those that were unknown or in another state.
func (b *stepBook) learn(visits []heddle.Visit) []heddle.Visit {
	b.mu.Lock()
	defer b.mu.Unlock()
	var changed []heddle.Visit
	for _, v := range visits {
		known, ok := b.visits[v.No]
		if ok && (known.State == v.State || known.State == heddle.VisitSettled) {
			continue
		}
		b.visits[v.No] = v
		changed = append(changed, v)
	}
	return changed
}

// visit returns the visit with that number. A line of output may come before the
// news of its visit; then the run is read again.
func (b *stepBook) visit(ctx context.Context, no int) heddle.Visit {
	b.mu.Lock()
	defer b.mu.Unlock()
	if v, ok := b.visits[no]; ok {
		return v
	}
	if v, ok := b.ahead[no]; ok {
		return v
	}
	detail, err := b.runs.Get(ctx, b.id)
	if err != nil {
		return heddle.Visit{No: no}
	}
	for _, v := range detail.Visits {
		b.ahead[v.No] = v
	}
	return b.ahead[no]
}
