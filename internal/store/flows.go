package store

import (
	"sync"

	"github.com/heddle/heddle"
)

// flowCacheSize bounds the documents whose flows are kept, in bytes.
const flowCacheSize = 16 << 20

// FlowCache keeps flows by hash, for stores that would decode them again for each
// run. When it is full, any are dropped to make room.
type FlowCache struct {
	mu    sync.Mutex
	flows map[string]cachedFlow
	size  int
}

type cachedFlow struct {
	flow *heddle.Flow
	size int
}

// NewFlowCache returns an empty cache.
func NewFlowCache() *FlowCache { return &FlowCache{flows: map[string]cachedFlow{}} }

// Get returns the flow with that hash, or nil.
func (c *FlowCache) Get(hash string) *heddle.Flow {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flows[hash].flow
}

// Put keeps a flow whose document has so many bytes, unless it is too large.
func (c *FlowCache) Put(hash string, f *heddle.Flow, size int) {
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
