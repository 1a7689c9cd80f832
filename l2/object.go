package l2

import (
	"fmt"
	"net/http"
	"slices"
	"sync"

	"weir/keying"
	"weir/rfc9111"
)

// Object is a stored response that was looked up. It stays readable until Close, whatever happens to the store's
// contents meanwhile.
type Object struct {
	resp *rfc9111.Response
	body *body
	once sync.Once
}

// Response returns the head. It is frozen.
func (o *Object) Response() *rfc9111.Response { return o.resp }

// ReadAt reads the body. Bytes are checked before they are returned; an error that wraps ErrDamaged means that the rest
// is lost.
func (o *Object) ReadAt(p []byte, off int64) (int, error) { return o.body.readAt(p, off) }

// Close lets go of the object's segments.
func (o *Object) Close() error {
	o.once.Do(o.body.unhold)
	return nil
}

// prefetch is the longest body of one chunk that is read together with its head.
const prefetch = 64 << 10

// Lookup returns the newest object stored under key that a request with header h selects, nil when there is
// none. It counts as a use. A record that turns out to be damaged is a miss.
func (s *Store) Lookup(key keying.Key, h http.Header) (*Object, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	for range 8 { // a record may move while it is looked up
		v, sel, ok := s.index.lookup(key, h)
		if !ok {
			break
		}
		if v.pending != nil {
			v.pending.body.hold()
			s.stats.hits.Add(1)
			return &Object{resp: v.pending.resp, body: v.pending.body}, nil
		}
		o, err := s.openObject(key, v.entry)
		if err == nil {
			s.stats.hits.Add(1)
			return o, nil
		}
		if cur, ok := s.index.get(key.Digest(), sel); ok && cur.seg == v.entry.seg && cur.at == v.entry.at {
			s.damage(place{v.entry.seg, v.entry.at, v.entry.n}, err)
			s.index.drop(key.Digest(), sel, v.entry)
		}
	}
	s.stats.misses.Add(1)
	return nil, nil
}

// Varies returns the selections stored under key, for a caller that wants to know by which fields it varies.
func (s *Store) Varies(key keying.Key) []rfc9111.Selection { return s.index.selections(key.Digest()) }

// MaxObject is the longest body that can be stored.
func (s *Store) MaxObject() int64 { return s.opts.MaxObject }

func (s *Store) openObject(key keying.Key, e entry) (*Object, error) {
	g := s.acquire(e.seg)
	if g == nil {
		return nil, fmt.Errorf("segment %d: %w", e.seg, ErrDropped)
	}
	defer g.release()
	chunk, h, err := readHead(g, e, e.pre <= prefetch)
	if err != nil {
		return nil, err
	}
	resp, err := h.decode(key)
	if err != nil {
		return nil, err
	}
	b := s.bodyOf(h)
	if chunk != nil {
		raw, err := openChunk(chunk, h.serial, 0)
		if err != nil {
			return nil, err
		}
		b.remember(0, raw)
	}
	b.hold()
	if err := b.pinAll(); err != nil {
		b.unhold()
		return nil, err
	}
	return &Object{resp: resp, body: b}, nil
}

// readHead reads a record's head and, if asked for, the chunk before it.
func readHead(g *segment, e entry, withChunk bool) (chunk []byte, h *head, err error) {
	pre := uint32(0)
	if withChunk {
		pre = e.pre
	}
	buf := make([]byte, pre+e.n)
	if err := g.read(buf, e.at+e.pre-pre); err != nil {
		return nil, nil, err
	}
	if h, err = decodeHead(buf[pre:]); err != nil {
		return nil, nil, err
	}
	if pre > 0 {
		chunk = buf[:pre]
	}
	return chunk, h, nil
}

// bodyOf is the body that a stored head describes.
func (s *Store) bodyOf(h *head) *body {
	b := &body{
		store: s, serial: h.serial, chunkSize: int(h.chunkSize), length: h.length,
		mostRecent: readerRecent,
	}
	b.refs = slices.Grow(b.one[:0], len(h.refs))
	for _, r := range h.refs {
		b.refs = append(b.refs, chunkRef{place: r})
	}
	return b
}

// pinAll keeps the body's segments readable.
func (b *body) pinAll() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := uint32(0)
	for _, r := range b.refs {
		if r.seg == last {
			continue
		}
		last = r.seg
		g := b.store.acquire(r.seg)
		if g == nil {
			return fmt.Errorf("segment %d: %w", r.seg, ErrDropped)
		}
		b.pinLocked(g)
		g.release()
	}
	return nil
}

// uses says whether a committed chunk lies in segment id.
func (b *body) uses(id uint32) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, r := range b.refs {
		if r.seg == id {
			return true
		}
	}
	return false
}

// Freshen stores a new head over the body of the variant with resp.Selection: what a 304 brings. ErrNotStored: there
// is none, or it is not what old is the head of, and what was validated is not what is stored. A nil old is any.
func (s *Store) Freshen(key keying.Key, old, resp *rfc9111.Response) error {
	if s.closed.Load() {
		return ErrClosed
	}
	if s.stalled() {
		return ErrUnavailable
	}
	replacing := s.replacing(key)
	replacing.Lock()
	defer replacing.Unlock()
	b, err := s.currentBody(key, resp.Selection, old)
	if err != nil {
		return err
	}
	defer b.unhold()
	if resp.Length != b.length {
		whole := *resp
		whole.Length = b.length
		resp = &whole
	}
	return s.publish(key, resp, op{kind: opHead, body: b, fresh: true})
}

// replacing is held by who replaces what is stored under key.
func (s *Store) replacing(key keying.Key) *sync.Mutex { return &s.replaceMu[shardOf(key.Digest())] }

// sameHead says whether a stored head is old, as far as it was kept.
func sameHead(stored, old *rfc9111.Response) bool {
	return old == nil || stored.ResponseTime.Equal(old.ResponseTime) && stored.Epoch == old.Epoch &&
		stored.Length == old.Length && stored.Header.Get("Etag") == old.Header.Get("Etag")
}

// currentBody returns the body of a stored variant, held, if its head is old.
func (s *Store) currentBody(key keying.Key, sel rfc9111.Selection, old *rfc9111.Response) (*body, error) {
	if p := s.index.findPending(key, sel); p != nil {
		if !sameHead(p.resp, old) {
			return nil, ErrNotStored
		}
		p.body.hold()
		return p.body, nil
	}
	e, ok := s.index.get(key.Digest(), sel)
	if !ok {
		return nil, ErrNotStored
	}
	g := s.acquire(e.seg)
	if g == nil {
		return nil, ErrNotStored
	}
	defer g.release()
	_, h, err := readHead(g, e, false)
	if err != nil || h.key != key.Bytes() {
		return nil, ErrNotStored
	}
	if stored, err := rfc9111.DecodeResponse(h.resp); err != nil || !sameHead(stored, old) {
		return nil, ErrNotStored
	}
	b := s.bodyOf(h)
	b.decided, b.lane = true, g.lane
	b.hold()
	if err := b.pinAll(); err != nil {
		b.unhold()
		return nil, ErrNotStored
	}
	return b, nil
}

// Delete removes every variant of key: at once from sight, and with the next group from the disk.
func (s *Store) Delete(key keying.Key) error {
	if s.closed.Load() {
		return ErrClosed
	}
	d := key.Digest()
	if !s.index.has(d) {
		return nil
	}
	return s.queue.add(op{kind: opDelete, digest: d})
}

// Drop removes the variant of key with a selection, as Delete removes all.
func (s *Store) Drop(key keying.Key, sel rfc9111.Selection) error {
	if s.closed.Load() {
		return ErrClosed
	}
	d := key.Digest()
	if !s.index.has(d) {
		return nil
	}
	return s.queue.add(op{kind: opDrop, digest: d, sel: sel})
}
