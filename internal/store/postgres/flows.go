package postgres

import (
	"sync"

	"github.com/heddle/heddle/internal/store"
)

// maxStored bounds the hashes that are remembered.
const maxStored = 10_000

// flowCache keeps flows by hash, and knows of which it is certain that they are stored.
type flowCache struct {
	*store.FlowCache

	mu     sync.Mutex
	hashes map[string]bool
}

func newFlowCache() *flowCache {
	return &flowCache{FlowCache: store.NewFlowCache(), hashes: map[string]bool{}}
}

// stored notes that flows are stored; isStored tells.
func (c *flowCache) stored(hashes ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.hashes)+len(hashes) > maxStored {
		clear(c.hashes)
	}
	for _, hash := range hashes {
		c.hashes[hash] = true
	}
}

func (c *flowCache) isStored(hash string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hashes[hash]
}

// forget drops what was noted.
func (c *flowCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.hashes)
}
