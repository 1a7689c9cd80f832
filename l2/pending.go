package l2

import (
	"weir/keying"
	"weir/rfc9111"
)

// pending is a stored object whose group is not committed yet.
type pending struct {
	head  head // to be packed
	sel   rfc9111.Selection
	resp  *rfc9111.Response
	body  *body
	older *pending // of the same digest; this and what follows is guarded by its shard
	dead  bool     // deleted since
	uses  uint8

	one [1]place // room for the refs of a body of one chunk
}

// apply makes visible what an operation does, before it is on disk. The queue's lock is held, so that it comes in the
// log's order.
func (x *index) apply(o *op) {
	switch o.kind {
	case opHead:
		x.addPending(o.pend)
	case opDelete:
		x.forget(o.digest)
	case opDrop:
		x.forgetVariant(o.digest, o.sel)
	}
}

func (x *index) addPending(p *pending) {
	d := p.head.digest
	s := x.shard(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	p.older = s.pending[d]
	s.pending[d] = p
}

// settle replaces a pending object by its record, unless it was deleted meanwhile.
func (x *index) settle(p *pending, e entry) {
	s := x.shard(p.head.digest)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unqueueLocked(p); !p.dead {
		e.uses = p.uses
		s.putLocked(p.head.digest, p.sel, e)
	}
}

// removePending takes p out of sight and says whether it was still wanted.
func (x *index) removePending(p *pending) (wanted bool) {
	s := x.shard(p.head.digest)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unqueueLocked(p)
	return !p.dead
}

// unqueueLocked takes p out of the list of its digest, if it is there.
func (s *shard) unqueueLocked(p *pending) {
	d := p.head.digest
	newest := s.pending[d]
	if newest == p {
		s.newestLocked(d, p.older)
		return
	}
	for q := newest; q != nil; q = q.older {
		if q.older == p {
			q.older = p.older
			return
		}
	}
}

func (s *shard) newestLocked(d keying.Digest, p *pending) {
	if p == nil {
		delete(s.pending, d)
		return
	}
	s.pending[d] = p
}

// findPending returns the newest object of a variant that is not on disk yet.
func (x *index) findPending(key keying.Key, sel rfc9111.Selection) *pending {
	s := x.shard(key.Digest())
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := s.pending[key.Digest()]; p != nil; p = p.older {
		if p.sel == sel && p.head.key == key.Bytes() {
			return p
		}
	}
	return nil
}

func (x *index) hasPending(d keying.Digest, sel rfc9111.Selection) bool {
	s := x.shard(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := s.pending[d]; p != nil; p = p.older {
		if p.sel == sel {
			return true
		}
	}
	return false
}

// forget removes everything under a digest.
func (x *index) forget(d keying.Digest) {
	s := x.shard(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := s.pending[d]; p != nil; p = p.older {
		p.dead = true
	}
	delete(s.pending, d)
	for at := s.byKey[d]; at != 0; at = s.byKey[d] {
		s.unlinkLocked(d, at, 0)
	}
}

// forgetVariant removes one variant under a digest.
func (x *index) forgetVariant(d keying.Digest, sel rfc9111.Selection) {
	s := x.shard(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := s.pending[d]; p != nil; p = p.older {
		if p.sel == sel {
			p.dead = true
			s.unqueueLocked(p)
		}
	}
	if at, before := s.findLocked(d, sel); at != 0 {
		s.unlinkLocked(d, at, before)
	}
}
