package l2

import (
	"fmt"
	"io"
	"slices"
	"sync"
)

// body is the chunks of one body, while it is written and while it is read. Its complete chunks never change; they
// are in memory until their group is committed, and in their segment from then on.
type body struct {
	store     *Store
	serial    uint64
	chunkSize int

	lane    lane // decided with the first chunk or the head that is packed; only the committer uses it
	decided bool

	mu     sync.RWMutex
	refs   []chunkRef
	tail   []byte     // written, but not a complete chunk yet
	length int64      // of all, tail included
	pins   []*segment // references that keep dropped segments readable
	err    error      // why it can no longer be stored

	mostRecent int

	cacheMu sync.Mutex // guards recent; not held during I/O
	recent  []recentChunk
	turn    int // the slot of recent to be used next, once there are mostRecent

	holders    int   // this and what follows is guarded by store.bodiesMu
	prev, next *body // in store.bodies, while somebody holds it

	one [1]chunkRef // room for the refs of a body of one chunk
}

type chunkRef struct {
	place
	frame []byte // nil once it is committed
}

// recentChunk is a chunk that was read from disk: readers ask for small pieces of it, one after the other.
type recentChunk struct {
	index int
	raw   []byte
}

// A body that is being written may have several readers at different places, a looked-up object has one.
const (
	writerRecent = 4
	readerRecent = 1
)

// readAt reads what is there. It returns io.EOF at the end of what was written so far.
func (b *body) readAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("l2: read at %d: %w", off, ErrRange)
	}
	for n < len(p) {
		c, ok, err := b.copyTail(p[n:], off+int64(n))
		if ok {
			n += c
			if err != nil {
				return n, err
			}
			continue
		}
		at := off + int64(n)
		raw, err := b.chunk(int(at / int64(b.chunkSize)))
		if err != nil {
			return n, err
		}
		skip := int(at % int64(b.chunkSize))
		if skip >= len(raw) {
			return n, errFormat // a chunk shorter than its place in the body
		}
		n += copy(p[n:], raw[skip:])
	}
	return n, nil
}

// copyTail serves an offset beyond the complete chunks; ok is false for one inside them.
func (b *body) copyTail(p []byte, off int64) (n int, ok bool, err error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if off >= b.length {
		return 0, true, io.EOF
	}
	start := b.length - int64(len(b.tail))
	if off < start {
		return 0, false, nil
	}
	return copy(p, b.tail[off-start:]), true, nil
}

// chunk returns the checked bytes of one complete chunk. They must not be changed.
func (b *body) chunk(i int) ([]byte, error) {
	b.cacheMu.Lock()
	for _, c := range b.recent {
		if c.index == i {
			b.cacheMu.Unlock()
			return c.raw, nil
		}
	}
	b.cacheMu.Unlock()
	b.mu.RLock()
	ref := b.refs[i]
	b.mu.RUnlock()
	frame := ref.frame
	if frame == nil {
		var err error
		if frame, err = b.fetch(ref.place); err != nil {
			return nil, err
		}
	}
	raw, err := openChunk(frame, b.serial, i)
	if err != nil {
		b.store.damage(ref.place, err)
		return nil, fmt.Errorf("%w: segment %d position %d: %w", ErrDamaged, ref.seg, ref.at, err)
	}
	b.remember(i, raw)
	return raw, nil
}

func (b *body) remember(i int, raw []byte) {
	b.cacheMu.Lock()
	defer b.cacheMu.Unlock()
	if len(b.recent) < b.mostRecent {
		b.recent = append(b.recent, recentChunk{i, raw})
		return
	}
	b.recent[b.turn] = recentChunk{i, raw}
	b.turn = (b.turn + 1) % len(b.recent)
}

// fetch reads a frame from its segment.
func (b *body) fetch(p place) ([]byte, error) {
	seg, err := b.segment(p.seg)
	if err != nil {
		return nil, err
	}
	defer seg.release()
	if p.n > maxChunk+chunkFrame {
		return nil, fmt.Errorf("%w: chunk of %d bytes", ErrDamaged, p.n)
	}
	frame := make([]byte, p.n)
	if err := seg.read(frame, p.at); err != nil {
		b.store.damage(p, err)
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return frame, nil
}

// segment returns a segment with a reference of the caller's own.
func (b *body) segment(id uint32) (*segment, error) {
	if g := b.store.acquire(id); g != nil {
		return g, nil
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, g := range b.pins {
		if g.id == id && g.acquire() {
			return g, nil
		}
	}
	return nil, fmt.Errorf("segment %d: %w", id, ErrDropped)
}

// pin keeps a segment readable for this body after it is dropped from the store.
func (b *body) pinLocked(g *segment) {
	if !slices.Contains(b.pins, g) && g.acquire() {
		b.pins = append(b.pins, g)
	}
}

// losing tells a body that a segment is about to be dropped: it stays readable, but what was not yet committed cannot be
// any more.
func (b *body) losing(g *segment) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.refs {
		if r.seg == g.id {
			b.pinLocked(g)
			if b.err == nil {
				b.err = ErrDropped
			}
			return
		}
	}
}

func (b *body) fail(err error) {
	b.mu.Lock()
	if b.err == nil {
		b.err = err
	}
	b.mu.Unlock()
}

func (b *body) failure() error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.err
}

// hold and unhold count who still reads or writes the body.
func (b *body) hold() {
	s := b.store
	s.bodiesMu.Lock()
	defer s.bodiesMu.Unlock()
	if b.holders++; b.holders > 1 {
		return
	}
	b.prev, b.next = nil, s.bodies
	if b.next != nil {
		b.next.prev = b
	}
	s.bodies = b
}

func (b *body) unhold() {
	if !b.letGo() {
		return
	}
	b.mu.Lock()
	pins := b.pins
	b.pins = nil
	b.mu.Unlock()
	for _, g := range pins {
		g.release()
	}
}

// letGo says whether nobody holds the body any more.
func (b *body) letGo() bool {
	s := b.store
	s.bodiesMu.Lock()
	defer s.bodiesMu.Unlock()
	if b.holders--; b.holders > 0 {
		return false
	}
	if b.prev != nil {
		b.prev.next = b.next
	} else {
		s.bodies = b.next
	}
	if b.next != nil {
		b.next.prev = b.prev
	}
	return true
}
