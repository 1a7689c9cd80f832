package weir

import "sync/atomic"

// Stats is what a cache has done since it was opened, and what it holds in this process. A
// look-up is an SWR, a Get or a Has: each is a hit, stale or a miss.
type Stats struct {
	Hits    uint64 // answered from memory, also with what is known to be missing
	Stale   uint64 // answered from memory with what was stale by then
	Misses  uint64 // memory had nothing that could be used
	Fetches uint64 // calls of a fetch, refreshes included
	Errors  uint64 // of these those that came to nothing; ErrMissing is an answer

	Refreshing int    // refreshes in the background now
	Entries    int    // in memory
	Bytes      int64  // that they are reckoned to take, at most Options.MemoryBytes
	Evictions  uint64 // entries that went to make room
}

// counters are those that memory does not have itself.
type counters struct {
	stale, unusable, fetches, errors atomic.Uint64
}

// Stats returns what was counted up to now.
func (c *Cache) Stats() Stats {
	stale, unusable := c.counts.stale.Load(), c.counts.unusable.Load() // first: each of them is a hit of memory
	held := c.memory.Stats()
	return Stats{
		Hits: held.Hits - stale - unusable, Stale: stale, Misses: held.Misses + unusable,
		Fetches: c.counts.fetches.Load(), Errors: c.counts.errors.Load(),
		Refreshing: int(c.refreshes.Load()), Entries: held.Values, Bytes: held.Bytes, Evictions: held.Evictions,
	}
}
