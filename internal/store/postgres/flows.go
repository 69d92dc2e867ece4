package postgres

import (
	"sync"

	"github.com/heddle/heddle"
)

const (
	// flowCacheSize bounds the documents whose flows are kept, in bytes.
	flowCacheSize = 16 << 20
	// maxStored bounds the hashes that are remembered.
	maxStored = 10_000
)

// flowCache keeps flows by hash, and knows of which it is certain that they are
// stored. When it is full, any are dropped to make room.
type flowCache struct {
	mu     sync.Mutex
	flows  map[string]cachedFlow
	size   int
	hashes map[string]bool
}

type cachedFlow struct {
	flow *heddle.Flow
	size int
}

func newFlowCache() *flowCache {
	return &flowCache{flows: map[string]cachedFlow{}, hashes: map[string]bool{}}
}

func (c *flowCache) get(hash string) *heddle.Flow {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flows[hash].flow
}

func (c *flowCache) put(hash string, f *heddle.Flow, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.flows[hash]; ok || size > flowCacheSize {
		return
	}
	for other, cached := range c.flows {
		if c.size+size <= flowCacheSize {
			break
		}
		delete(c.flows, other)
		c.size -= cached.size
	}
	c.flows[hash] = cachedFlow{flow: f, size: size}
	c.size += size
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
