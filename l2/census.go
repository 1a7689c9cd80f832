package l2

import (
	"weir/keying"
	"weir/rfc9111"
)

// Objects is how many objects are stored, without those that are being written.
func (s *Store) Objects() int {
	count, _ := s.index.totals()
	return count
}

// Heads calls visit for every stored object until that is false. It looks at one shard of the index after the other, so
// it needs memory for one of them, and reads the heads while no lock is held. It counts as no use. Objects that cannot be
// read are left out.
func (s *Store) Heads(visit func(key keying.Key, head *rfc9111.Response) bool) error {
	for i := range s.index.shards {
		if s.closed.Load() {
			return ErrClosed
		}
		entries, young := s.index.shards[i].snapshot()
		for _, p := range young {
			key, err := keying.Parse(p.head.key)
			if err == nil && !visit(key, p.resp) {
				return nil
			}
		}
		for _, e := range entries {
			key, resp := s.headOf(e)
			if resp == nil || young[variant{key.Digest(), resp.Selection}] != nil {
				continue
			}
			if !visit(key, resp) {
				return nil
			}
		}
	}
	return nil
}

// headOf reads the head of an entry; resp is nil when it cannot be read.
func (s *Store) headOf(e entry) (key keying.Key, resp *rfc9111.Response) {
	g := s.acquire(e.seg)
	if g == nil {
		return key, nil
	}
	defer g.release()
	_, h, err := readHead(g, e, false)
	if err != nil {
		return key, nil
	}
	if key, err = keying.Parse(h.key); err != nil {
		return key, nil
	}
	if resp, err = h.decode(key); err != nil {
		return key, nil
	}
	return key, resp
}

// variant is what an object is stored under.
type variant struct {
	digest keying.Digest
	sel    rfc9111.Selection
}

// snapshot copies the entries of a shard, and the newest of what hides some of them.
func (s *shard) snapshot() (entries []entry, young map[variant]*pending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	young = map[variant]*pending{}
	for d, p := range s.pending {
		for ; p != nil; p = p.older {
			if at := (variant{d, p.sel}); young[at] == nil && !p.dead {
				young[at] = p
			}
		}
	}
	entries = make([]entry, 0, s.count)
	for i := range s.used {
		if i == 0 {
			continue // no slot
		}
		if e := s.entryLocked(i); e.n > 0 { // otherwise it is free
			entries = append(entries, *e)
		}
	}
	return entries, young
}

// Variants returns the heads of what is stored under key, the newest first. It counts as no use, and leaves out what
// cannot be read.
func (s *Store) Variants(key keying.Key) (heads []*rfc9111.Response) {
	if s.closed.Load() {
		return nil
	}
	entries, heads := s.index.variants(key)
	hidden := map[rfc9111.Selection]bool{}
	for _, young := range heads {
		hidden[young.Selection] = true
	}
	for _, e := range entries {
		at, resp := s.headOf(e)
		if resp != nil && at == key && !hidden[resp.Selection] {
			heads = append(heads, resp)
		}
	}
	return heads
}

// variants copies what is stored under a key: the entries on disk, and the newest of what is on its way there.
func (x *index) variants(key keying.Key) (entries []entry, young []*rfc9111.Response) {
	s := x.shard(key.Digest())
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[rfc9111.Selection]bool{}
	for p := s.pending[key.Digest()]; p != nil; p = p.older {
		if p.head.key == key.Bytes() && !p.dead && !seen[p.sel] {
			seen[p.sel] = true
			young = append(young, p.resp)
		}
	}
	for i := s.byKey[key.Digest()]; i != 0; i = s.entryLocked(i).next {
		entries = append(entries, *s.entryLocked(i))
	}
	return entries, young
}
