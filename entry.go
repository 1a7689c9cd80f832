package weir

import (
	"math"
	"sync/atomic"
	"time"

	"weir/kv"
)

// stamp is a moment: time since the cache was opened, which no clock that is set changes.
type stamp = int64

const always stamp = math.MaxInt64

func (c *Cache) now() stamp { return stamp(time.Since(c.start)) }

// stampOf is a stamp for a time that may be zero, which means always. It is reckoned from now: what has
// happened to the clock since the start is in both or in neither.
func (c *Cache) stampOf(t time.Time) stamp {
	if t.IsZero() {
		return always
	}
	now := time.Now()
	return stamp(t.Sub(now) + now.Sub(c.start))
}

// entry is what is remembered of a key: a value as it was decoded, or that there is none.
type entry struct {
	value    any   // a pointer to it, nil if there is none
	negative error // why there is none, if a fetch has said so
	version  uint64

	fresh, until stamp
	read         stamp // no later than it was read
	epoch        uint64
	tags         []string

	vouched    atomic.Uint64 // the purge log has nothing against it up to this epoch
	soft       atomic.Bool   // it was purged softly: it is stale
	refreshing atomic.Bool
	retry      atomic.Int64 // a refresh has failed: not again before this stamp
}

func (e *entry) stale(now stamp) bool { return now >= e.fresh || e.soft.Load() }

// entryBytes is about what an entry takes besides what is in it.
const entryBytes = 200

// remembered returns what memory has under key and may be used at now, or nil.
func (c *Cache) remembered(key string, now stamp) *entry {
	held, ok := c.memory.Get(key)
	if !ok {
		return nil
	}
	e := held.(*entry)
	if now >= e.until || !c.holds(key, e, now) {
		c.counts.unusable.Add(1)
		return nil
	}
	if e.stale(now) {
		c.counts.stale.Add(1)
	}
	return e
}

// holds says whether no purge, and no write elsewhere, is against e.
func (c *Cache) holds(key string, e *entry, now stamp) bool {
	if current := c.back.purges.Current(); e.vouched.Load() != current+1 {
		if c.back.purges.Outdated(key, e.tags, e.epoch) {
			return false
		}
		if c.back.purges.StaleTags(e.tags, e.epoch) {
			e.soft.Store(true)
		}
		e.vouched.Store(current + 1) // noted before it was asked
	}
	if c.back.blind == nil {
		return true
	}
	since := c.back.blind(c.start.Add(time.Duration(now)))
	return since.IsZero() || e.read >= stamp(since.Sub(c.start))
}

// entryOf is what is remembered of a value that was read at a stamp.
func (c *Cache) entryOf(v *kv.Value, decoded any, read stamp) *entry {
	return &entry{
		value: decoded, version: v.Version, tags: v.Tags, epoch: v.Epoch, read: read,
		fresh: c.stampOf(v.Fresh), until: c.stampOf(v.Until),
	}
}

// size is what e counts for, with so many bytes of encoded value.
func (e *entry) size(encoded int) int64 {
	n := int64(entryBytes + 2*encoded) // what is decoded is somewhat larger
	for _, t := range e.tags {
		n += int64(len(t)) + 16
	}
	return n
}
