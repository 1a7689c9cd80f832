package l1

import "sync/atomic"

// Stats are counts since the start, and what is held now.
type Stats struct {
	Hits      uint64 `json:"hits"`      // requests answered fresh
	Stale     uint64 `json:"stale"`     // requests answered stale
	Misses    uint64 `json:"misses"`    // requests that asked the next tier
	Blind     uint64 `json:"blind"`     // of these, those that memory could not vouch for: purges may have been missed
	Stores    uint64 `json:"stores"`    // objects stored
	Rejected  uint64 `json:"rejected"`  // objects not stored: too large, purged, or overtaken
	Evictions uint64 `json:"evictions"` // objects that gave way to others
	Codings   uint64 `json:"codings"`   // coded bodies made and kept

	Bytes   int64 `json:"bytes"`   // held, all overhead included
	Objects int64 `json:"objects"` // held
}

type counts struct {
	hits, stale, misses, blind, stores, rejected, evictions, codings atomic.Uint64

	bytes, objects atomic.Int64
}

// take adds size to what is held, if that does not exceed max.
func (c *counts) take(size, max int64) bool {
	for {
		held := c.bytes.Load()
		if held+size > max {
			return false
		}
		if c.bytes.CompareAndSwap(held, held+size) {
			return true
		}
	}
}

func (c *counts) add(e *entry, sign int64) {
	c.bytes.Add(sign * e.cost)
	c.objects.Add(sign * int64(e.n()))
}

// Stats returns the tier's counts. They are read one after the other.
func (t *Tier) Stats() Stats {
	c := &t.counts
	return Stats{
		Hits: c.hits.Load(), Stale: c.stale.Load(), Misses: c.misses.Load(),
		Blind: c.blind.Load(), Stores: c.stores.Load(), Rejected: c.rejected.Load(), Evictions: c.evictions.Load(),
		Codings: c.codings.Load(), Bytes: c.bytes.Load(), Objects: c.objects.Load(),
	}
}
