package l1

import (
	"fmt"
	"sync"

	"github.com/dgraph-io/ristretto/v2"
)

const (
	windowShare  = 30 // of the budget, in percent
	shardCount   = 64
	counterBytes = 4  // of ristretto's frequency sketch and filter, per counter
	maxRounds    = 64 // used entries that are passed over for one that leaves the window
)

// store holds entries by hash, in the window or in ristretto, never in both.
// Readers take the lock of one shard. There is one writer at a time, who holds mu.
type store struct {
	counts *counts
	main   *ristretto.Cache[uint64, *entry]
	shards [shardCount]shard

	mu          sync.Mutex // taken before any shard's lock; guards what follows and all changes
	closed      bool
	oldest      *entry // of the window; its list is a ring
	windowBytes int64
	windowMax   int64
}

// shard is a part of the window. Its read lock is held while ristretto is asked as
// well, so that an entry that moves from one to the other is found in either.
type shard struct {
	sync.RWMutex
	closed  bool
	entries map[uint64]*entry
	_       [24]byte // two shards on one cache line would slow each other down
}

func newStore(budget int64, counts *counts) (*store, error) {
	s := &store{counts: counts}
	// Ten counters for each object, if objects have 4 KiB on average. Ristretto
	// rounds the number up to a power of two itself; the budget must know.
	counters := int64(1 << 10)
	for counters*4<<10 < budget*10 && counters < 1<<24 {
		counters *= 2
	}
	budget -= counters * counterBytes
	s.windowMax = budget * windowShare / 100
	for i := range s.shards {
		s.shards[i].entries = make(map[uint64]*entry)
	}
	var err error
	s.main, err = ristretto.NewCache(&ristretto.Config[uint64, *entry]{
		NumCounters:        counters,
		MaxCost:            budget - s.windowMax,
		BufferItems:        64,
		IgnoreInternalCost: true, // entry.cost has all of it
		KeyToHash:          func(hash uint64) (uint64, uint64) { return hash, 0 },
		OnEvict:            s.left,
		OnReject:           s.left,
	})
	if err != nil {
		return nil, fmt.Errorf("l1: %w", err)
	}
	return s, nil
}

func (s *store) shard(hash uint64) *shard { return &s.shards[hash%shardCount] }

// get looks an entry up and counts the use.
func (s *store) get(hash uint64) *entry {
	sh := s.shard(hash)
	sh.RLock()
	defer sh.RUnlock()
	if sh.closed {
		return nil
	}
	// First, because this also counts how often the hash is asked for.
	if e, ok := s.main.Get(hash); ok {
		return e
	}
	e := sh.entries[hash]
	if e != nil && !e.used.Load() {
		e.used.Store(true)
	}
	return e
}

// peekLocked looks an entry up without a use in the window.
func (s *store) peekLocked(hash uint64) *entry {
	if s.closed {
		return nil
	}
	if e := s.shard(hash).entries[hash]; e != nil {
		return e
	}
	if _, ok := s.main.GetTTL(hash); !ok { // the look-up that does not count
		return nil
	}
	e, _ := s.main.Get(hash)
	return e
}

// fits says whether an entry can be held at all: the window must take it.
func (s *store) fits(cost int64) bool { return cost <= s.windowMax }

// replaceLocked puts e in the place of what is under its hash, at the young end of
// the window. An entry without variants only removes. Readers see the old or the new.
func (s *store) replaceLocked(e *entry) {
	if s.closed {
		return
	}
	if len(e.variants) == 0 {
		s.removeLocked(e.hash)
		return
	}
	sh := s.shard(e.hash)
	old := sh.entries[e.hash]
	if old != nil {
		s.unlinkLocked(old)
	}
	s.makeRoomLocked(e.cost)
	sh.Lock()
	sh.entries[e.hash] = e
	if old == nil {
		if _, ok := s.main.GetTTL(e.hash); ok {
			old, _ = s.main.Get(e.hash)
			s.main.Del(e.hash)
		}
	}
	sh.Unlock()
	s.linkLocked(e)
	s.counts.add(e, 1)
	if old != nil {
		s.counts.add(old, -1)
	}
}

func (s *store) removeLocked(hash uint64) {
	e := s.peekLocked(hash)
	if e == nil {
		return
	}
	sh := s.shard(hash)
	if sh.entries[hash] != nil {
		s.unlinkLocked(e)
		sh.Lock()
		delete(sh.entries, hash)
		sh.Unlock()
	} else {
		s.main.Del(hash)
	}
	s.counts.add(e, -1)
}

// makeRoomLocked hands the oldest entries of the window on to ristretto until cost fits.
func (s *store) makeRoomLocked(cost int64) {
	var leaving []*entry
	for s.oldest != nil && s.windowBytes+cost > s.windowMax {
		for range maxRounds {
			if !s.oldest.used.Swap(false) {
				break
			}
			s.oldest = s.oldest.next
		}
		e := s.oldest
		s.unlinkLocked(e)
		leaving = append(leaving, e)
		if !s.main.Set(e.hash, e, e.cost) { // cannot be: its queue is empty when a writer begins
			s.left(&ristretto.Item[*entry]{Value: e})
		}
	}
	if leaving == nil {
		return
	}
	s.main.Wait()
	// Only now, so that readers find what was admitted in one or the other.
	for _, e := range leaving {
		sh := s.shard(e.hash)
		sh.Lock()
		delete(sh.entries, e.hash)
		sh.Unlock()
	}
}

// left counts an entry that ristretto evicts or does not admit. It runs in
// ristretto's goroutine, where nothing may wait for ristretto or for mu.
func (s *store) left(item *ristretto.Item[*entry]) {
	if e := item.Value; e != nil && !s.closed { // closing is not eviction
		s.counts.add(e, -1)
		s.counts.evictions.Add(uint64(len(e.variants)))
	}
}

// sweep removes all entries that are not current.
func (s *store) sweep(current func(*entry) bool) {
	var old []uint64
	collect := func(e *entry) bool {
		if !current(e) {
			old = append(old, e.hash)
		}
		return false
	}
	s.mu.Lock()
	for i := range s.shards {
		for _, e := range s.shards[i].entries {
			collect(e)
		}
	}
	if !s.closed {
		s.main.IterValues(collect)
	}
	s.mu.Unlock()
	for _, hash := range old {
		s.mu.Lock()
		if e := s.peekLocked(hash); e != nil && !current(e) {
			s.removeLocked(hash)
		}
		s.mu.Unlock()
	}
}

// close lets go of everything. No reader is inside ristretto when it is closed,
// which it could not bear.
func (s *store) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	for i := range s.shards {
		s.shards[i].Lock()
		s.shards[i].closed = true
		s.shards[i].entries = nil
		s.shards[i].Unlock()
	}
	s.oldest, s.windowBytes = nil, 0
	s.main.Close()
	s.counts.bytes.Store(0)
	s.counts.objects.Store(0)
}

// linkLocked puts e at the young end of the window's list.
func (s *store) linkLocked(e *entry) {
	s.windowBytes += e.cost
	if s.oldest == nil {
		e.prev, e.next = e, e
		s.oldest = e
		return
	}
	youngest := s.oldest.prev
	e.prev, e.next = youngest, s.oldest
	youngest.next, s.oldest.prev = e, e
}

func (s *store) unlinkLocked(e *entry) {
	s.windowBytes -= e.cost
	if e.next == e {
		s.oldest = nil
	} else {
		e.prev.next, e.next.prev = e.next, e.prev
		if s.oldest == e {
			s.oldest = e.next
		}
	}
	e.prev, e.next = nil, nil
}
