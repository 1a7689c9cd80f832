package l2

import (
	"hash/maphash"
	"net/http"
	"sync"

	"weir/keying"
	"weir/rfc9111"
)

// maxVariants is how many variants of one key are kept. One more starts the key anew: whoever can make an origin
// vary without end fills no memory with it.
const maxVariants = 64

const (
	shardCount = 64
	pageLen    = 512 // entries a page of a shard's slab
	maxUses    = 3
	sizeUnit   = 64
)

// entry is one stored variant in memory: 36 bytes, beside about 32 of the map that leads to it.
type entry struct {
	seg, at, pre, n uint32
	low             uint32 // the oldest segment it needs
	size            uint32 // in units of sizeUnit bytes
	expiry          uint32
	next            uint32 // the next older variant of the key, or the next free slot; 0 is none
	uses            uint8  // look-ups since it was written, at most maxUses
}

// version is what a look-up found, in one of its two forms: stored, or not yet.
type version struct {
	entry   entry
	pending *pending // nil when it is on disk
}

// index finds entries by digest. Slot 0 of a slab is never used, so that 0 can mean none.
type index struct {
	seed   maphash.Seed
	shards [shardCount]shard
}

type shard struct {
	mu      sync.Mutex // guards everything below; held for a few map operations, never during I/O
	byKey   map[keying.Digest]uint32
	slab    []*[pageLen]entry
	seqs    []*[pageLen]uint64 // of entries, only while loading
	used    uint32             // slots handed out so far
	free    uint32             // first free slot
	sels    map[uint32]rfc9111.Selection
	pending map[keying.Digest]*pending // the newest of each key
	count   int
	bytes   int64
}

func newIndex() *index {
	x := &index{seed: maphash.MakeSeed()}
	for i := range x.shards {
		s := &x.shards[i]
		s.byKey = map[keying.Digest]uint32{}
		s.sels = map[uint32]rfc9111.Selection{}
		s.pending = map[keying.Digest]*pending{}
		s.used = 1
	}
	return x
}

// hash is seeded, because clients choose keys.
func (x *index) hash(d keying.Digest) uint64 { return maphash.Bytes(x.seed, d[:]) }

func (x *index) shard(d keying.Digest) *shard { return &x.shards[shardOf(d)] }

func shardOf(d keying.Digest) int { return int(d[0]) % shardCount }

func (s *shard) entryLocked(i uint32) *entry { return &s.slab[i/pageLen][i%pageLen] }

func (s *shard) allocLocked() uint32 {
	if i := s.free; i != 0 {
		s.free = s.entryLocked(i).next
		return i
	}
	i := s.used
	if int(i/pageLen) == len(s.slab) {
		s.slab = append(s.slab, new([pageLen]entry))
	}
	s.used++
	return i
}

// findLocked returns the slot of a variant and the one before it in its chain.
func (s *shard) findLocked(d keying.Digest, sel rfc9111.Selection) (at, before uint32) {
	for i := s.byKey[d]; i != 0; i = s.entryLocked(i).next {
		if s.sels[i] == sel {
			return i, before
		}
		before = i
	}
	return 0, 0
}

func (s *shard) unlinkLocked(d keying.Digest, at, before uint32) {
	e := s.entryLocked(at)
	switch {
	case before != 0:
		s.entryLocked(before).next = e.next
	case e.next != 0:
		s.byKey[d] = e.next
	default:
		delete(s.byKey, d)
	}
	s.count--
	s.bytes -= int64(e.size) * sizeUnit
	delete(s.sels, at)
	*e = entry{next: s.free}
	s.free = at
}

// linkLocked puts e behind the variant in slot before, or first.
func (s *shard) linkLocked(d keying.Digest, sel rfc9111.Selection, e entry, before uint32) uint32 {
	i := s.allocLocked()
	if before != 0 {
		b := s.entryLocked(before)
		e.next, b.next = b.next, i
	} else {
		e.next = s.byKey[d]
		s.byKey[d] = i
	}
	*s.entryLocked(i) = e
	if sel != "" {
		s.sels[i] = sel
	}
	s.count++
	s.bytes += int64(e.size) * sizeUnit
	return i
}

func newEntry(seg uint32, r *record) entry {
	return entry{
		seg: seg, at: r.at, pre: r.pre, n: r.n, low: r.low, expiry: r.expiry,
		size: uint32((r.size + sizeUnit - 1) / sizeUnit),
	}
}

// load adds an entry while segments are read, in whatever order: the highest sequence number wins. When the
// variant was there already, other is the segment of that record, and seq the number of the one that won.
func (x *index) load(seg uint32, l *line, uses uint8) (other uint32, seq uint64) {
	s := x.shard(l.digest)
	s.mu.Lock()
	defer s.mu.Unlock()
	var before uint32
	n := 0
	for i := s.byKey[l.digest]; i != 0; {
		next := s.entryLocked(i).next
		newer := *s.seqLocked(i) > l.seq
		if s.sels[i] == l.sel {
			other, seq = s.entryLocked(i).seg, l.seq
			if newer {
				return other, *s.seqLocked(i)
			}
			s.unlinkLocked(l.digest, i, before)
		} else if newer {
			before = i
		}
		i = next
		n++
	}
	if n > 4*maxVariants {
		return other, seq
	}
	e := newEntry(seg, &l.rec)
	e.uses = uses
	i := s.linkLocked(l.digest, l.sel, e, before)
	*s.seqLocked(i) = l.seq
	return other, seq
}

func (s *shard) seqLocked(i uint32) *uint64 {
	for int(i/pageLen) >= len(s.seqs) {
		s.seqs = append(s.seqs, new([pageLen]uint64))
	}
	return &s.seqs[i/pageLen][i%pageLen]
}

// bury applies a tombstone while loading.
func (x *index) bury(l *line) {
	s := x.shard(l.digest)
	s.mu.Lock()
	defer s.mu.Unlock()
	var before uint32
	for i := s.byKey[l.digest]; i != 0; {
		next := s.entryLocked(i).next
		if *s.seqLocked(i) < l.seq && (l.kind == lineGoneWhole || s.sels[i] == l.sel) {
			s.unlinkLocked(l.digest, i, before)
		} else {
			before = i
		}
		i = next
	}
}

// loaded ends loading.
func (x *index) loaded() {
	for i := range x.shards {
		x.shards[i].seqs = nil
	}
}

// reserve makes room for n entries.
func (x *index) reserve(n int) {
	for i := range x.shards {
		x.shards[i].byKey = make(map[keying.Digest]uint32, n/shardCount)
	}
}

// putLocked makes e the current record of a variant. It inherits the uses of the one it replaces.
func (s *shard) putLocked(d keying.Digest, sel rfc9111.Selection, e entry) {
	if at, before := s.findLocked(d, sel); at != 0 {
		e.uses = max(e.uses, s.entryLocked(at).uses)
		s.unlinkLocked(d, at, before)
	}
	s.linkLocked(d, sel, e, 0)
}

// move replaces old, if it is still the current record, by the copy of it that was carried over.
func (x *index) move(d keying.Digest, sel rfc9111.Selection, old, e entry) bool {
	s := x.shard(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	at, _ := s.findLocked(d, sel)
	if at == 0 {
		return false
	}
	cur := s.entryLocked(at)
	if cur.seg != old.seg || cur.at != old.at {
		return false
	}
	s.bytes += (int64(e.size) - int64(cur.size)) * sizeUnit
	e.next = cur.next
	*cur = e
	return true
}

// drop removes a record that turned out to be unreadable, if it is still the current one.
func (x *index) drop(d keying.Digest, sel rfc9111.Selection, old entry) bool {
	s := x.shard(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	at, before := s.findLocked(d, sel)
	if at == 0 {
		return false
	}
	if cur := s.entryLocked(at); cur.seg != old.seg || cur.at != old.at {
		return false
	}
	s.unlinkLocked(d, at, before)
	return true
}

// get returns the current record of a variant on disk.
func (x *index) get(d keying.Digest, sel rfc9111.Selection) (entry, bool) {
	s := x.shard(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	at, _ := s.findLocked(d, sel)
	if at == 0 {
		return entry{}, false
	}
	return *s.entryLocked(at), true
}

// lookup returns the newest variant that header selects, and counts a use.
func (x *index) lookup(key keying.Key, h http.Header) (version, rfc9111.Selection, bool) {
	d := key.Digest()
	s := x.shard(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := s.pending[d]; p != nil; p = p.older {
		if p.head.key == key.Bytes() && p.sel.Matches(h) {
			p.uses = min(p.uses+1, maxUses)
			return version{pending: p}, p.sel, true
		}
	}
	for i := s.byKey[d]; i != 0; i = s.entryLocked(i).next {
		if sel := s.sels[i]; sel == "" || sel.Matches(h) {
			e := s.entryLocked(i)
			e.uses = min(e.uses+1, maxUses)
			return version{entry: *e}, sel, true
		}
	}
	return version{}, "", false
}

// selections lists the distinct selections under a digest, without that of responses that do not vary.
func (x *index) selections(d keying.Digest) (out []rfc9111.Selection) {
	s := x.shard(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := s.pending[d]; p != nil; p = p.older {
		if p.sel != "" {
			out = append(out, p.sel)
		}
	}
	for i := s.byKey[d]; i != 0; i = s.entryLocked(i).next {
		if sel := s.sels[i]; sel != "" {
			out = append(out, sel)
		}
	}
	return out
}

// victim is an entry of a segment that is about to be dropped.
type victim struct {
	digest keying.Digest
	sel    rfc9111.Selection
	entry
}

// within lists the entries that need segment seg, which is the oldest of its lane. fn must be quick.
func (x *index) within(seg uint32, fn func(v victim)) {
	x.each(func(v victim) {
		if v.low == seg {
			fn(v)
		}
	})
}

// each calls fn for every entry on disk, under its shard's lock.
func (x *index) each(fn func(v victim)) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		for d, at := range s.byKey {
			for ; at != 0; at = s.entryLocked(at).next {
				fn(victim{digest: d, sel: s.sels[at], entry: *s.entryLocked(at)})
			}
		}
		s.mu.Unlock()
	}
}

func (x *index) totals() (count int, bytes int64) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		count += s.count
		bytes += s.bytes
		s.mu.Unlock()
	}
	return count, bytes
}

// full says whether a variant would be one too many for its key.
func (x *index) full(d keying.Digest, sel rfc9111.Selection) bool {
	s := x.shard(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for p := s.pending[d]; p != nil; p = p.older {
		n++
	}
	for at := s.byKey[d]; at != 0; at = s.entryLocked(at).next {
		if s.sels[at] == sel {
			return false
		}
		n++
	}
	return n >= maxVariants
}

// has says whether anything is stored under a digest.
func (x *index) has(d keying.Digest) bool {
	s := x.shard(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byKey[d] != 0 || s.pending[d] != nil
}

// dropMissing removes entries that need a segment which is not there.
func (x *index) dropMissing(have map[uint32]*segment) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		for d := range s.byKey {
			var before uint32
			for at := s.byKey[d]; at != 0; {
				e := s.entryLocked(at)
				next := e.next
				if have[e.low] == nil || have[e.seg] == nil {
					s.unlinkLocked(d, at, before)
				} else {
					before = at
				}
				at = next
			}
		}
		s.mu.Unlock()
	}
}
