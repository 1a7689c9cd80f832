package l1

import (
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

// Values remembers values of programs under string keys, within a budget. What is put in can be had at once, and may be
// gone at once. Its methods may be called from any goroutine; Get waits for nobody.
//
// What gives way is the oldest that was not asked for since the others were looked at (SIEVE; Zhang et al., NSDI 2024):
// a hand goes from the oldest to the youngest, takes the mark from what was asked for and takes out what was not.
type Values struct {
	max   int64
	seed  maphash.Seed
	table valueTable
	count [valueStripes]valueCount

	mu        sync.Mutex // guards what follows and all changes
	newest    *valueEntry
	hand      *valueEntry // the next to be looked at; nil is the oldest
	bytes     int64
	values    int
	evictions uint64
	rejected  uint64
}

// valueEntry is a value. Only asked, older and newer ever change.
type valueEntry struct {
	key          string
	hash         uint64
	value        any
	cost         int64
	asked        atomic.Bool
	older, newer *valueEntry // a ring: the newest is older than the oldest
}

const (
	valueEntryBytes = 80
	valueStripes    = 16
)

// valueCount is a share of the hits and misses: with one counter for all, readers would wait for each other's
// processor to let go of it.
type valueCount struct {
	hits, misses atomic.Uint64
	_            [112]byte
}

// ValuesStats are counts since the start, and what is held now.
type ValuesStats struct {
	Hits      uint64 `json:"hits"`
	Misses    uint64 `json:"misses"`
	Evictions uint64 `json:"evictions"` // values that gave way to others
	Rejected  uint64 `json:"rejected"`  // values that were too large

	Bytes  int64 `json:"bytes"` // held, keys and all overhead included
	Values int   `json:"values"`
}

// NewValues returns an empty memory that holds at most maxBytes, of which one value may have a third.
func NewValues(maxBytes int64) *Values {
	v := &Values{max: maxBytes, seed: maphash.MakeSeed()}
	v.bytes = v.table.init()
	return v
}

// Get returns what is under key.
func (v *Values) Get(key string) (value any, ok bool) {
	count := &v.count[rand.Uint32()%valueStripes]
	e := v.table.get(key, maphash.String(v.seed, key))
	if e == nil {
		count.misses.Add(1)
		return nil, false
	}
	if !e.asked.Load() {
		e.asked.Store(true)
	}
	count.hits.Add(1)
	return e.value, true
}

// Peek is Get for those who do not ask for the value themselves: it counts as no use.
func (v *Values) Peek(key string) (value any, ok bool) {
	e := v.table.get(key, maphash.String(v.seed, key))
	if e == nil {
		return nil, false
	}
	return e.value, true
}

// Put puts a value of so many bytes, those of its key not included, under key. What was there is gone in any case.
func (v *Values) Put(key string, value any, bytes int64) {
	e := v.newEntry(key, value, bytes)
	v.mu.Lock()
	defer v.mu.Unlock()
	old := v.table.get(key, e.hash)
	if e.cost > v.max/3 {
		v.rejected++
		v.removeLocked(old)
		return
	}
	v.bytes += v.table.put(e)
	if old != nil {
		e.asked.Store(old.asked.Load())
		v.unlinkLocked(old)
	}
	for passed := 0; v.bytes+e.cost > v.max && v.newest != nil; passed++ {
		v.lookLocked(passed >= maxPasses)
	}
	v.linkLocked(e)
	if v.bytes > v.max { // the table alone is too large for it
		v.removeLocked(e)
	}
}

// Replace puts a value in the place of what is under key, if anything is. That is as old then as it was, and as much
// asked for: what is only written gives way like what is only kept.
func (v *Values) Replace(key string, value any, bytes int64) {
	e := v.newEntry(key, value, bytes)
	v.mu.Lock()
	defer v.mu.Unlock()
	old := v.table.get(key, e.hash)
	switch {
	case old == nil:
		return
	case e.cost > v.max/3:
		v.rejected++
		v.removeLocked(old)
		return
	}
	v.bytes += v.table.put(e)
	e.asked.Store(old.asked.Load())
	v.swapLocked(old, e)
	for passed := 0; v.bytes > v.max && v.newest != nil; passed++ {
		v.lookLocked(passed >= maxPasses)
	}
}

func (v *Values) newEntry(key string, value any, bytes int64) *valueEntry {
	e := &valueEntry{key: key, hash: maphash.String(v.seed, key), value: value}
	e.cost = max(bytes, 0) + allocated(int64(len(key))) + valueEntryBytes
	return e
}

// Delete removes what is under key.
func (v *Values) Delete(key string) {
	hash := maphash.String(v.seed, key)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.removeLocked(v.table.get(key, hash))
}

// lookLocked looks at what the hand points to, and goes on.
func (v *Values) lookLocked(enough bool) {
	e := v.hand
	if e == nil {
		e = v.newest.newer // the oldest
	}
	if e.asked.Load() && !enough {
		e.asked.Store(false)
		v.passLocked(e)
		return
	}
	v.evictions++
	v.removeLocked(e)
}

// passLocked moves the hand past e.
func (v *Values) passLocked(e *valueEntry) {
	if v.hand = e.newer; e == v.newest {
		v.hand = nil
	}
}

func (v *Values) removeLocked(e *valueEntry) {
	if e != nil {
		v.table.remove(e)
		v.unlinkLocked(e)
	}
}

func (v *Values) linkLocked(e *valueEntry) {
	v.bytes += e.cost
	v.values++
	if v.newest == nil {
		e.older, e.newer = e, e
	} else {
		oldest := v.newest.newer
		e.older, e.newer = v.newest, oldest
		v.newest.newer, oldest.older = e, e
	}
	v.newest = e
}

// swapLocked links e where old is.
func (v *Values) swapLocked(old, e *valueEntry) {
	v.bytes += e.cost - old.cost
	e.older, e.newer = old.older, old.newer
	if old.newer == old {
		e.older, e.newer = e, e
	}
	e.older.newer, e.newer.older = e, e
	if v.newest == old {
		v.newest = e
	}
	if v.hand == old {
		v.hand = e
	}
	old.older, old.newer = nil, nil
}

func (v *Values) unlinkLocked(e *valueEntry) {
	v.bytes -= e.cost
	v.values--
	if v.hand == e {
		v.passLocked(e)
	}
	if e.newer == e {
		v.newest, v.hand = nil, nil
	} else {
		e.older.newer, e.newer.older = e.newer, e.older
		if v.newest == e {
			v.newest = e.older
		}
	}
	e.older, e.newer = nil, nil
}

// Stats returns the counts.
func (v *Values) Stats() ValuesStats {
	v.mu.Lock()
	s := ValuesStats{Evictions: v.evictions, Rejected: v.rejected, Bytes: v.bytes, Values: v.values}
	v.mu.Unlock()
	for i := range v.count {
		s.Hits += v.count[i].hits.Load()
		s.Misses += v.count[i].misses.Load()
	}
	return s
}
