package l2

import (
	"errors"
	"fmt"
	"time"

	"weir/rfc9111"
)

// The committer is the one goroutine that writes segments. A round takes what is queued, packs it into one
// group a lane, adds a share of what is to be carried over, and commits the groups: kept before young, so that nothing is
// gone from one lane before it is durable in the other.

// pack is a group in the making.
type pack struct {
	app    *appender // nil until something is to be written
	buf    []byte
	lines  []line
	tocN   int
	chunks []packedChunk
	heads  []packedHead
}

type packedChunk struct {
	body  *body
	index int
}

type packedHead struct {
	line  line
	seg   uint32
	uses  uint8
	pend  *pending // of an object that is new; its uses count from here
	moved *victim  // of one that is carried over
}

func (s *Store) run() {
	defer close(s.done)
	s.makeRoom() // the budget may be smaller than it was
	for {
		if s.evicting != nil && s.nearLimit(s.evicting.left+(1+carryRate)*int64(s.opts.GroupBytes)) {
			s.round(nil, 1) // what is new waits until what is old is out of the way
			continue
		}
		ops, more := s.queue.take(s.evicting != nil)
		if !more {
			break
		}
		s.round(ops, carryRate)
		s.queue.giveBack(ops)
	}
	s.shutdown()
}

// round does ops, and carries over that many groups' worth.
func (s *Store) round(ops []op, groups int) {
	s.failed = nil
	var waiting []chan error
	for i := range ops {
		if ops[i].kind == opSync {
			waiting = append(waiting, ops[i].done)
			continue
		}
		s.pack(&ops[i])
	}
	if s.evicting != nil {
		s.carry(groups * s.opts.GroupBytes)
	}
	_ = s.flush()
	for _, w := range waiting {
		w <- s.failed
	}
	s.makeRoom()
}

// pack places one operation in its lane's group.
func (s *Store) pack(o *op) {
	var err error
	switch o.kind {
	case opChunk:
		if err = o.body.failure(); err == nil {
			s.choose(o, lanes)
			_, err = s.packChunk(o.body.lane, o.body, o.index, o.frame)
		}
		if err != nil {
			o.body.fail(err)
		}
	case opHead:
		if err = s.packHead(o); err != nil {
			s.refuse(o, err)
		}
	case opDelete:
		s.packGone(line{kind: lineGoneWhole, digest: o.digest, seq: s.nextSeq()})
	case opDrop:
		s.packGone(line{kind: lineGone, digest: o.digest, sel: o.sel, seq: s.nextSeq()})
	}
}

// refuse is for an object that cannot be packed.
func (s *Store) refuse(o *op, err error) {
	o.body.fail(err)
	s.unpublish(o.pend)
	o.body.unhold()
}

// unpublish takes back what was visible and cannot be made durable. What it replaced was out of date all the same
// and does not come back.
func (s *Store) unpublish(p *pending) {
	s.stats.refused.Add(1)
	if !s.index.removePending(p) {
		return
	}
	d := p.head.digest
	if e, ok := s.index.get(d, p.sel); ok {
		s.index.drop(d, p.sel, e)
		s.owe(line{kind: lineGone, digest: d, sel: p.sel, seq: s.nextSeq()})
	}
}

// choose decides the lane of an object, once. What replaces a kept object, what left young unused a while ago and
// what is large is kept at once; the rest has to prove itself in young. stored is the lane of what it replaces.
func (s *Store) choose(o *op, stored lane) {
	b := o.body
	if b.decided {
		return
	}
	b.decided = true
	b.lane = young
	if o.large || stored == kept || o.pend != nil && stored == lanes && s.ghost.has(s.index.hash(o.pend.head.digest)) {
		b.lane = kept
	}
}

// reserve makes sure that n bytes of frames and toc bytes of contents fit into the lane's segment behind what is
// packed, if need be by committing that and beginning a new segment.
func (s *Store) reserve(l lane, n, toc int) (*pack, error) {
	p := &s.packs[l]
	if s.stalled() {
		return nil, ErrUnavailable
	}
	if p.app != nil && !p.app.room(len(p.buf)+n, p.tocN+toc) {
		if err := s.flush(); err != nil {
			return nil, err
		}
		s.retire(l)
	}
	if p.app == nil {
		if err := s.begin(l); err != nil {
			s.stall(err)
			return nil, err
		}
		if !p.app.room(n, toc) {
			return nil, ErrTooLarge
		}
	}
	return p, nil
}

func (s *Store) packChunk(l lane, b *body, index int, frame []byte) (*pack, error) {
	p, err := s.reserve(l, len(frame), 0)
	if err != nil {
		return nil, err
	}
	at := p.app.next + uint32(len(p.buf))
	p.buf = append(p.buf, frame...)
	b.mu.Lock()
	b.refs[index].place = place{seg: p.app.id, at: at, n: uint32(len(frame))}
	b.mu.Unlock()
	p.chunks = append(p.chunks, packedChunk{b, index})
	return p, nil
}

// packHead packs the last chunk, if there is one, and the head right behind it, so that one read gets both.
func (s *Store) packHead(o *op) error {
	b := o.body
	if err := b.failure(); err != nil {
		return err
	}
	if o.fresh && s.evicting != nil && b.uses(s.evicting.seg.id) {
		if err := s.rescue(b); err != nil {
			return err
		}
	}
	h, sel := &o.pend.head, o.pend.sel
	stored := lanes // none
	if live, ok := s.index.get(h.digest, sel); ok {
		stored = s.laneOf(live.seg)
	}
	s.choose(o, stored)
	if stored != lanes && stored != b.lane {
		// The new record may leave its lane before the old one leaves the other.
		s.packGoneIn(stored, line{kind: lineGone, digest: h.digest, sel: sel, seq: s.nextSeq()})
	}
	ph := packedHead{pend: o.pend, line: line{sel: sel, rec: record{expiry: expiry(o.pend.resp)}}}
	return s.appendHead(b, h, o.index, o.frame, ph)
}

// appendHead packs the head of a body whose other chunks are packed. ph has the selection and expiry.
func (s *Store) appendHead(b *body, h *head, index int, frame []byte, ph packedHead) error {
	toc := lineBound(len(ph.line.sel))
	if _, err := s.reserve(b.lane, len(frame)+h.bound(), toc); err != nil {
		return err
	}
	pre := uint32(0)
	if frame != nil {
		if _, err := s.packChunk(b.lane, b, index, frame); err != nil {
			return err
		}
		if index == 0 {
			pre = uint32(len(frame))
		}
	}
	p := &s.packs[b.lane]
	rec := &ph.line.rec
	rec.at, rec.pre, rec.low = p.app.next+uint32(len(p.buf))-pre, pre, p.app.id
	b.mu.RLock()
	for i := range b.refs {
		h.refs[i] = b.refs[i].place
		rec.low = min(rec.low, h.refs[i].seg)
		rec.size += int64(h.refs[i].n)
	}
	b.mu.RUnlock()
	before := len(p.buf)
	p.buf = h.append(p.buf)
	rec.n = uint32(len(p.buf) - before)
	rec.size += int64(rec.n)
	ph.seg = p.app.id
	ph.line.kind, ph.line.digest, ph.line.seq = lineObject, h.digest, s.nextSeq()
	p.lines = append(p.lines, ph.line)
	p.tocN += toc
	p.heads = append(p.heads, ph)
	return nil
}

// packGone packs a tombstone into both lanes. One that cannot be written now is owed. Its sequence number says what it
// buries, so it may be written late.
func (s *Store) packGone(l line) {
	for ln := range lanes {
		s.packGoneIn(ln, l)
	}
}

func (s *Store) packGoneIn(ln lane, l line) {
	p, err := s.reserve(ln, 0, lineBound(len(l.sel)))
	if err != nil {
		s.owe(l)
		return
	}
	p.lines = append(p.lines, l)
	p.tocN += lineBound(len(l.sel))
}

// owe remembers a tombstone for the next time something can be written.
func (s *Store) owe(l line) {
	if len(s.owed) < maxOwed {
		s.owed = append(s.owed, l)
	}
}

func (s *Store) nextSeq() uint64 {
	s.seq++
	return s.seq
}

// flush commits what is packed and publishes it.
func (s *Store) flush() error {
	if len(s.owed) > 0 && !s.stalled() {
		owed := s.owed
		s.owed = nil
		for _, l := range owed {
			s.packGone(l)
		}
	}
	var errs []error
	for _, l := range [...]lane{kept, young} {
		p := &s.packs[l]
		if p.app == nil || len(p.buf)+len(p.lines) == 0 {
			continue
		}
		err := p.app.commit(p.buf, p.lines)
		if err != nil {
			errs = append(errs, err)
			s.lost(p, err)
			s.stall(err)
			s.retireUnsealed(l)
		} else {
			s.committed(p)
		}
		clear(p.lines)
		p.buf, p.lines, p.chunks, p.heads, p.tocN = p.buf[:0], p.lines[:0], p.chunks[:0], p.heads[:0], 0
	}
	return errors.Join(errs...)
}

// committed moves what a group holds from memory to the index.
func (s *Store) committed(p *pack) {
	s.stats.commits.Add(1)
	s.stats.lastCommit.Store(s.opts.Now().UnixNano())
	s.unstall()
	for _, c := range p.chunks {
		c.body.mu.Lock()
		c.body.refs[c.index].frame = nil
		c.body.mu.Unlock()
	}
	for i := range p.heads {
		h := &p.heads[i]
		e := newEntry(h.seg, &h.line.rec)
		e.uses = h.uses
		switch {
		case h.moved != nil:
			if s.index.move(h.line.digest, h.line.sel, h.moved.entry, e) {
				s.stats.carried.Add(1)
			}
		default:
			s.index.settle(h.pend, e)
			h.pend.body.unhold()
			s.stats.stored.Add(1)
		}
	}
	clear(p.chunks)
	clear(p.heads)
}

// lost is for a group that could not be committed. It may be on disk all the same, so tombstones follow it.
func (s *Store) lost(p *pack, err error) {
	for _, c := range p.chunks {
		c.body.fail(err)
	}
	for _, l := range p.lines {
		if l.kind == lineObject {
			l = line{kind: lineGone, digest: l.digest, sel: l.sel, seq: s.nextSeq()}
		}
		s.owe(l)
	}
	for i := range p.heads {
		if h := &p.heads[i]; h.pend != nil {
			s.unpublish(h.pend)
			h.pend.body.fail(err)
			h.pend.body.unhold()
		}
	}
	clear(p.chunks)
	clear(p.heads)
}

// begin starts a new segment for a lane.
func (s *Store) begin(l lane) error {
	id := s.nextID
	s.nextID++
	a, err := createSegment(s.dir, id, l, s.opts.SegmentBytes)
	if err != nil {
		return err
	}
	s.packs[l].app = a
	s.addSegment(a.segment)
	return nil
}

// retire seals a lane's segment. What was packed for it must be committed.
func (s *Store) retire(l lane) {
	p := &s.packs[l]
	if p.app == nil {
		return
	}
	if err := p.app.seal(); err != nil {
		s.report(err) // it stays readable, and is slower to open
	}
	p.app = nil
	if s.opts.Now().Sub(s.usesSaved) >= usesEvery {
		s.saveUses()
	}
}

// retireUnsealed gives up writing to a lane's segment after a failure. What was committed stays readable.
func (s *Store) retireUnsealed(l lane) {
	p := &s.packs[l]
	p.app.closeDB()
	p.app = nil
}

// A store that cannot write refuses new objects for stallTime, then tries again.
const (
	stallTime = 5 * time.Second
	maxOwed   = 1 << 16
)

func (s *Store) stalled() bool {
	until := s.stalledUntil.Load()
	return until != 0 && s.opts.Now().UnixNano() < until
}

func (s *Store) stall(err error) {
	s.failed = errors.Join(s.failed, err)
	s.stats.failures.Add(1)
	if s.stalledUntil.Swap(s.opts.Now().Add(stallTime).UnixNano()) == 0 {
		s.report(fmt.Errorf("storing stops, serving goes on: %w", err))
	}
}

func (s *Store) unstall() {
	if s.stalledUntil.Load() != 0 {
		s.stalledUntil.Store(0)
		s.report(errors.New("storing works again"))
	}
}

// expiry is when a response has passed all its windows, in Unix seconds; 0 when it may be validated for ever.
func expiry(r *rfc9111.Response) uint32 {
	if first(r.Header["Etag"]) != "" || first(r.Header["Last-Modified"]) != "" {
		return 0
	}
	t := &r.Terms
	end := r.ResponseTime.Add(t.Lifetime - t.InitialAge + max(t.StaleWhileRevalidate, t.StaleIfError))
	return uint32(min(max(end.Unix()+1, 1), 1<<32-1))
}

func first(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[0]
}
