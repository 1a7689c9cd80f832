package l2

import (
	"cmp"
	"fmt"
	"os"
	"slices"
)

// eviction is a segment on its way out, and what of it is still to be carried over.
type eviction struct {
	seg     *segment
	backlog []victim
	left    int64   // bytes that are still to be carried over, more or less
	move    *moving // the object that is being copied
}

// moving is one object that is being copied chunk by chunk.
type moving struct {
	victim
	head *head
	body *body
	next int // chunk to look at

	first bool // the first chunk is on the move: once for each time the whole object is carried over
}

const (
	youngShare = 15 // percent of the budget, where less is measurably worse and more hardly better
	carryShare = 75 // percent of a segment that is carried over at most, the most used first
	carryRate  = 3  // groups carried over for each one of new objects, so that 75 % and what comes meanwhile make one segment
)

// makeRoom begins to drop the oldest segment of a lane whenever the folder is over its budget, and drops at once
// those of which nothing is left to carry.
func (s *Store) makeRoom() {
	for {
		if s.evicting == nil {
			if !s.overBudget() {
				return
			}
			g := s.chooseVictim()
			if g == nil {
				return
			}
			s.evicting = s.worthCarrying(g)
		}
		if (len(s.evicting.backlog) > 0 || s.evicting.move != nil) && !s.stalled() && !s.nearLimit(int64(s.opts.GroupBytes)) {
			return // the next rounds carry it
		}
		if s.flush() != nil {
			return
		}
		s.dropSegment()
	}
}

func (s *Store) overBudget() bool {
	total, n := s.folderSize()
	return total > s.opts.MaxBytes || n > s.maxSegments
}

// nearLimit says that the folder might outgrow its limit by n bytes more.
func (s *Store) nearLimit(n int64) bool {
	total, _ := s.folderSize()
	step := s.opts.SegmentBytes / 32 // segment files grow in such steps
	return total+n+2*step > s.opts.MaxBytes+s.opts.SegmentBytes
}

// chooseVictim picks the oldest segment of the lane that has more than its share.
func (s *Store) chooseVictim() *segment {
	var oldest [lanes]*segment
	var bytes [lanes]int64
	s.segMu.RLock()
	for _, g := range s.segments {
		bytes[g.lane] += g.size.Load()
		if o := oldest[g.lane]; o == nil || g.id < o.id {
			oldest[g.lane] = g
		}
	}
	s.segMu.RUnlock()
	l := kept
	if bytes[young] >= s.opts.MaxBytes*youngShare/100 || !s.sealed(oldest[kept]) {
		l = young
	}
	if l == young && !s.sealed(oldest[young]) && s.sealed(oldest[kept]) {
		l = kept
	}
	if oldest[l] == nil {
		l = kept + young - l
	}
	if g := oldest[l]; g != nil && !s.sealed(g) {
		if s.flush() != nil {
			return nil
		}
		s.retire(l)
	}
	return oldest[l]
}

func (s *Store) sealed(g *segment) bool {
	if g == nil {
		return false
	}
	a := s.packs[g.lane].app
	return a == nil || a.segment != g
}

// worthCarrying lists what was used since it was written, in the order of the log. When that is too much, the
// least used is left behind.
func (s *Store) worthCarrying(g *segment) *eviction {
	ev := &eviction{seg: g}
	var bytes [maxUses + 1]int64
	now := s.opts.Now().Unix()
	limit := s.opts.SegmentBytes * carryShare / 100
	s.index.within(g.id, func(v victim) {
		if v.uses > 0 && (v.expiry == 0 || int64(v.expiry) > now) {
			ev.backlog = append(ev.backlog, v)
		}
	})
	for i := range ev.backlog {
		bytes[ev.backlog[i].uses] += s.share(&ev.backlog[i], g)
	}
	cut := uint8(maxUses + 1)
	for cut > 1 && ev.left+bytes[cut-1] <= limit {
		cut--
		ev.left += bytes[cut]
	}
	// The class that fits only in part is taken as far as it fits.
	ev.backlog = slices.DeleteFunc(ev.backlog, func(v victim) bool {
		if v.uses >= cut {
			return false
		}
		n := s.share(&v, g)
		if v.uses+1 != cut || ev.left+n > limit {
			return true
		}
		ev.left += n
		return false
	})
	slices.SortFunc(ev.backlog, func(a, b victim) int { return cmp.Compare(a.at, b.at) })
	return ev
}

// share is about how many bytes of an object are to be copied out of g: all of them from the young lane, else
// what lies in g if the object is spread evenly over the segments it spans.
func (s *Store) share(v *victim, g *segment) int64 {
	n := int64(v.size) * sizeUnit
	if g.lane == young || v.seg == g.id {
		return n
	}
	span := int64(0)
	s.segMu.RLock()
	for id, other := range s.segments {
		if other.lane == g.lane && id >= v.low && id <= v.seg {
			span++
		}
	}
	s.segMu.RUnlock()
	return n / max(span, 1)
}

// carry packs up to n bytes of what is to be carried over.
func (s *Store) carry(n int) {
	ev := s.evicting
	for n > 0 && !s.stalled() {
		if ev.move == nil {
			if len(ev.backlog) == 0 {
				return
			}
			v := ev.backlog[0]
			ev.backlog = ev.backlog[1:]
			ev.move = s.startMove(v)
			continue
		}
		c, done := s.stepMove(ev.move)
		n -= c
		ev.left = max(ev.left-int64(c), 0)
		if done {
			ev.move.body.unhold()
			ev.move = nil
		}
	}
}

// startMove reads the head of an object that is to be carried over; nil when that is pointless or impossible.
func (s *Store) startMove(v victim) *moving {
	if !s.current(&v) {
		return nil
	}
	g := s.acquire(v.seg)
	if g == nil {
		return nil
	}
	defer g.release()
	_, h, err := readHead(g, v.entry, false)
	if err != nil {
		s.damage(place{v.seg, v.at, v.n}, err)
		s.index.drop(v.digest, v.sel, v.entry)
		return nil
	}
	b := s.bodyOf(h)
	b.lane, b.decided = kept, true
	b.hold()
	s.evicting.left -= s.share(&v, s.evicting.seg) // was an estimate
	for _, ref := range h.refs {
		if s.leaving(ref) {
			s.evicting.left += int64(ref.n)
		}
	}
	first := len(h.refs) == 0 || h.refs[0].seg == s.evicting.seg.id
	return &moving{victim: v, head: h, body: b, first: first}
}

// stepMove copies the next chunk, or the head behind the last one.
func (s *Store) stepMove(m *moving) (n int, done bool) {
	if !s.current(&m.victim) || m.body.failure() != nil {
		return 1, true
	}
	for ; m.next < len(m.head.refs); m.next++ {
		ref := m.head.refs[m.next]
		if !s.leaving(ref) {
			continue
		}
		frame, err := s.copyOf(m.body, m.next, ref)
		if err != nil {
			s.index.drop(m.digest, m.sel, m.entry)
			return 1, true
		}
		if m.next == len(m.head.refs)-1 {
			return len(frame) + s.moveHead(m, frame), true
		}
		if _, err := s.packChunk(kept, m.body, m.next, frame); err != nil {
			return 1, true
		}
		m.next++
		return len(frame), false
	}
	return s.moveHead(m, nil), true
}

// leaving says whether a chunk must be copied to keep an object of the segment that is evicted: what leaves young
// leaves it whole.
func (s *Store) leaving(ref place) bool {
	from := s.evicting.seg
	return ref.seg == from.id || from.lane == young && s.laneOf(ref.seg) == young
}

// copyOf reads a chunk's frame and checks it.
func (s *Store) copyOf(b *body, i int, ref place) ([]byte, error) {
	frame, err := b.fetch(ref)
	if err != nil {
		return nil, err
	}
	if _, err := openChunk(frame, b.serial, i); err != nil {
		s.damage(ref, err)
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return frame, nil
}

// rescue copies the chunks of a body that is about to get a new head out of the segment that is evicted.
func (s *Store) rescue(b *body) error {
	for i := range b.refs {
		b.mu.RLock()
		ref := b.refs[i]
		b.mu.RUnlock()
		if ref.frame != nil || !s.leaving(ref.place) {
			continue
		}
		frame, err := s.copyOf(b, i, ref.place)
		if err == nil {
			_, err = s.packChunk(kept, b, i, frame)
		}
		if err != nil {
			return err
		}
	}
	b.lane, b.decided = kept, true
	return nil
}

// current says whether v is still what is stored, and nothing newer is on its way.
func (s *Store) current(v *victim) bool {
	cur, ok := s.index.get(v.digest, v.sel)
	return ok && cur.seg == v.seg && cur.at == v.at && !s.index.hasPending(v.digest, v.sel)
}

func (s *Store) moveHead(m *moving, frame []byte) int {
	moved := packedHead{moved: &m.victim, line: line{sel: m.sel, rec: record{expiry: m.expiry}}}
	if s.evicting.seg.lane == kept {
		moved.uses = m.uses
		if m.first {
			moved.uses--
		}
	}
	if err := s.appendHead(m.body, m.head, m.next, frame, moved); err != nil {
		return 1
	}
	return m.head.bound()
}

// dropSegment removes the segment that is being evicted, with all that still needs it.
func (s *Store) dropSegment() {
	g := s.evicting.seg
	if m := s.evicting.move; m != nil {
		m.body.unhold()
	}
	s.evicting = nil
	var gone []victim
	s.index.within(g.id, func(v victim) { gone = append(gone, v) })
	count, _ := s.index.totals()
	s.ghost.fit(count)
	for _, v := range gone {
		if g.lane == young {
			s.ghost.add(s.index.hash(v.digest))
		}
		if s.index.drop(v.digest, v.sel, v.entry) {
			s.stats.dropped.Add(1)
		}
	}
	s.bodiesMu.Lock()
	for b := s.bodies; b != nil; b = b.next {
		b.losing(g)
	}
	s.bodiesMu.Unlock()
	s.removeSegment(g)
	if err := os.Remove(g.path); err != nil {
		s.stall(err) // without room nothing more can be stored
		return
	}
	g.release()
	s.stats.segmentsDropped.Add(1)
}
