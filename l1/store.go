package l1

import (
	"fmt"
	"sync"

	"github.com/dgraph-io/ristretto/v2"
)

const (
	youngShare   = 10 // of the budget, in percent; less is worse with few objects, more with many
	largestShare = 30 // of the budget that one entry may have, in percent
	shardCount   = 64

	maxUses   = 3   // that are counted
	keptUses  = 2   // that keep what leaves the young lane
	maxPasses = 256 // entries that are passed over for one that gives way

	rememberedShare = 150     // of the number of entries, in percent: how many that gave way are remembered
	bytesPerGhost   = 1 << 10 // of the budget, for each slot
	ghostBytes      = 8       // of a slot
	counters        = 1 << 12 // of ristretto's sketch, which decides nothing here
	counterBytes    = 4
)

// store holds entries by hash: young ones itself, those that are kept in ristretto, none in both.
// Readers take the lock of one shard. There is one writer at a time, who holds mu.
type store struct {
	counts *counts
	all    ledger
	main   *ristretto.Cache[uint64, uint32] // numbers
	shards [shardCount]shard
	max    int64
	heads  heads
	filing sync.Mutex // held while a body is put into a file; taken before mu

	mu          sync.Mutex // taken before any shard's lock; guards what follows and all changes
	closed      bool
	young, kept lane
	gone        ghost
}

// shard is a part of the young lane. Its read lock is held while ristretto is asked as
// well, so that an entry that moves from one to the other is found in either.
type shard struct {
	sync.RWMutex
	closed  bool
	entries map[uint64]uint32 // numbers
	_       [24]byte          // two shards on one cache line would slow each other down
}

func newStore(opts *Options, counts *counts) (*store, error) {
	s := &store{counts: counts}
	budget := opts.MaxBytes
	slots := budget/bytesPerGhost + 1
	s.gone.slots = make([]past, slots)
	s.max = budget - slots*ghostBytes - counters*counterBytes
	s.heads = heads{counts: counts, budget: s.max, maxFiles: opts.MaxFiles}
	s.young.all, s.kept.all = &s.all, &s.all
	for i := range s.shards {
		s.shards[i].entries = make(map[uint64]uint32)
	}
	var err error
	s.main, err = ristretto.NewCache(&ristretto.Config[uint64, uint32]{
		NumCounters:        counters,
		MaxCost:            s.max,
		BufferItems:        64,
		IgnoreInternalCost: true, // entry.cost has all of it
		KeyToHash:          func(hash uint64) (uint64, uint64) { return hash, 0 },
	})
	if err != nil {
		return nil, fmt.Errorf("l1: %w", err)
	}
	return s, nil
}

func (s *store) shard(hash uint64) *shard { return &s.shards[hash%shardCount] }

// find looks an entry up without a use.
func (s *store) find(hash uint64) *entry {
	sh := s.shard(hash)
	sh.RLock()
	defer sh.RUnlock()
	if sh.closed {
		return nil
	}
	if number, ok := s.main.Get(hash); ok {
		return s.all.at(number)
	}
	if number := sh.entries[hash]; number != 0 {
		return s.all.at(number)
	}
	return nil
}

// peekLocked looks an entry up without a use.
func (s *store) peekLocked(hash uint64) *entry {
	if s.closed {
		return nil
	}
	if number := s.shard(hash).entries[hash]; number != 0 {
		return s.all.at(number)
	}
	if number, ok := s.main.Get(hash); ok {
		return s.all.at(number)
	}
	return nil
}

// fits says whether an entry can be held at all.
func (s *store) fits(cost int64) bool { return cost <= s.max*largestShare/100 }

// replaceLocked puts e in the place of old, which is under its hash, nil for nothing, at the end of the young lane.
// Readers see the old or the new.
func (s *store) replaceLocked(old, e *entry) {
	if s.closed {
		return
	}
	if old != nil {
		e.uses.Store(max(e.uses.Load(), old.uses.Load()))
		e.proven, e.number = old.proven || old.kept, old.number
		s.lane(old).remove(old)
		s.counts.add(old, -1)
	} else {
		e.number = s.all.number()
		e.proven = s.gone.has(e.hash, (s.young.n+s.kept.n)*rememberedShare/100)
	}
	s.makeRoomLocked(e.cost)
	s.counts.objects.Add(int64(e.n()))
	sh := s.shard(e.hash)
	sh.Lock()
	sh.entries[e.hash] = e.number
	s.all.put(e.number, e)
	if old != nil && old.kept {
		s.main.Del(e.hash)
	}
	sh.Unlock()
	s.young.push(e)
	if old == nil {
		return
	}
	for o := range old.variants() {
		if !e.has(o) {
			s.heads.leave(o)
		}
	}
}

func (s *store) takeOutLocked(e *entry) {
	s.lane(e).remove(e)
	sh := s.shard(e.hash)
	sh.Lock()
	if e.kept {
		s.main.Del(e.hash)
	} else {
		delete(sh.entries, e.hash)
	}
	s.all.put(e.number, nil)
	sh.Unlock()
	s.counts.add(e, -1)
	for o := range e.variants() {
		s.heads.leave(o)
	}
}

func (s *store) lane(e *entry) *lane {
	if e.kept {
		return &s.kept
	}
	return &s.young
}

// makeRoomLocked makes entries give way until there is room for cost bytes, and counts them.
func (s *store) makeRoomLocked(cost int64) {
	for passes := 0; !s.counts.take(cost, s.max-s.heads.unused()); passes++ {
		switch {
		case s.kept.n == 0 && s.young.n == 0: // cannot be, since they fit
			s.counts.bytes.Add(cost)
			return
		case s.kept.n == 0, s.young.n > 0 && s.young.bytes > s.max*youngShare/100:
			s.growUpLocked(s.young.oldest)
		default:
			s.passLocked(s.kept.oldest, passes >= maxPasses)
		}
	}
}

// growUpLocked decides about the oldest of the young: it is kept, or it gives way.
func (s *store) growUpLocked(e *entry) {
	if !e.proven && e.uses.Load() < min(keptUses+s.handicapLocked(e), maxUses) {
		s.evictLocked(e)
		return
	}
	if !e.proven {
		e.uses.Store(0) // what it had has been rewarded
	}
	ok := s.main.Set(e.hash, e.number, e.cost)
	s.main.Wait()
	if ok {
		_, ok = s.main.GetTTL(e.hash)
	}
	if !ok { // cannot be: there is room, and little is queued
		s.evictLocked(e)
		return
	}
	s.young.remove(e)
	sh := s.shard(e.hash)
	sh.Lock()
	delete(sh.entries, e.hash) // only now, so that readers find it in one or the other
	sh.Unlock()
	e.kept = true
	s.kept.push(e)
}

// passLocked gives the oldest that is kept another round for its uses, or lets it give way.
func (s *store) passLocked(e *entry, enough bool) {
	uses, due := e.uses.Load(), 1+s.handicapLocked(e)
	if enough || uses < due {
		s.evictLocked(e)
		return
	}
	e.uses.Store(uses - due)
	s.kept.oldest = s.all.at(e.next)
}

// handicapLocked is how many uses more than others an entry needs because it takes more room.
func (s *store) handicapLocked(e *entry) uint32 {
	mean := (s.young.bytes + s.kept.bytes) / int64(s.young.n+s.kept.n)
	return uint32(min(e.cost/(2*mean), 2))
}

func (s *store) evictLocked(e *entry) {
	s.gone.add(e.hash)
	s.counts.evictions.Add(uint64(e.n()))
	s.takeOutLocked(e)
}

// sweep removes all entries that are not current.
func (s *store) sweep(current func(*entry) bool) {
	var old []uint64
	collect := func(e *entry) {
		if !current(e) {
			old = append(old, e.hash)
		}
	}
	s.mu.Lock()
	s.young.each(collect)
	s.kept.each(collect)
	s.mu.Unlock()
	for _, hash := range old {
		s.mu.Lock()
		if e := s.peekLocked(hash); e != nil && !current(e) {
			s.takeOutLocked(e)
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
	s.heads.close()
	for i := range s.shards {
		s.shards[i].Lock()
		s.shards[i].closed = true
		s.shards[i].entries = nil
		s.shards[i].Unlock()
	}
	s.young, s.kept, s.gone = lane{}, lane{}, ghost{}
	s.all.pages.Store(nil)
	s.main.Close()
	s.counts.bytes.Store(0)
	s.counts.objects.Store(0)
}
