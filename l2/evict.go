package l2

import (
	"os"
	"slices"
)

// eviction is a segment on its way out, and what of it is still to be carried over.
type eviction struct {
	seg     *segment
	backlog []victim
	move    *moving // the object that is being copied
}

// moving is one object that is being copied chunk by chunk.
type moving struct {
	victim
	head *head
	body *body
	next int // chunk to look at
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
			s.evicting = &eviction{seg: g, backlog: s.worthCarrying(g)}
		}
		if (len(s.evicting.backlog) > 0 || s.evicting.move != nil) && !s.stalled() && !s.nearLimit() {
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

// nearLimit says that carrying over must end now, lest the folder outgrow its limit.
func (s *Store) nearLimit() bool {
	total, _ := s.folderSize()
	return total+int64(4*s.opts.GroupBytes) > s.opts.MaxBytes+s.opts.SegmentBytes
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
func (s *Store) worthCarrying(g *segment) []victim {
	var out []victim
	var bytes [maxUses + 1]int64
	now := s.opts.Now().Unix()
	s.index.within(g.id, func(v victim) {
		if v.uses > 0 && (v.expiry == 0 || int64(v.expiry) > now) {
			out = append(out, v)
			bytes[v.uses] += int64(v.size) * sizeUnit
		}
	})
	limit := s.opts.SegmentBytes * carryShare / 100
	cut, sum := uint8(maxUses+1), int64(0)
	for cut > 1 && sum+bytes[cut-1] <= limit {
		cut--
		sum += bytes[cut]
	}
	// The class that fits only in part is taken as far as it fits.
	out = slices.DeleteFunc(out, func(v victim) bool {
		if v.uses >= cut {
			return false
		}
		n := int64(v.size) * sizeUnit
		if v.uses+1 != cut || sum+n > limit {
			return true
		}
		sum += n
		return false
	})
	slices.SortFunc(out, func(a, b victim) int { return int(int64(a.at) - int64(b.at)) })
	return out
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
	return &moving{victim: v, head: h, body: b}
}

// stepMove copies the next chunk, or the head behind the last one.
func (s *Store) stepMove(m *moving) (n int, done bool) {
	if !s.current(&m.victim) || m.body.failure() != nil {
		return 1, true
	}
	from := s.evicting.seg
	for ; m.next < len(m.head.refs); m.next++ {
		ref := m.head.refs[m.next]
		if ref.seg != from.id && (from.lane == kept || s.laneOf(ref.seg) == kept) {
			continue
		}
		frame, err := m.body.fetch(ref)
		if err == nil {
			_, err = openChunk(frame, m.head.serial, m.next)
		}
		if err != nil {
			s.damage(ref, err)
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

// current says whether v is still what is stored, and nothing newer is on its way.
func (s *Store) current(v *victim) bool {
	cur, ok := s.index.get(v.digest, v.sel)
	return ok && cur.seg == v.seg && cur.at == v.at && !s.index.hasPending(v.digest, v.sel)
}

func (s *Store) moveHead(m *moving, frame []byte) int {
	moved := packedHead{moved: &m.victim}
	if s.evicting.seg.lane == kept {
		moved.uses = m.uses - 1
	}
	if err := s.appendHead(m.body, m.head, m.next, frame, m.sel, moved, m.expiry); err != nil {
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
	for b := range s.bodies {
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
