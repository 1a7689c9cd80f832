package l2

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"

	"weir/keying"
	"weir/rfc9111"
)

// Writer takes the body of one object. Write and Commit or Abort are for one goroutine; ReadAt is for any
// number, at any time until Close of the last of them, and sees what was written so far.
type Writer struct {
	key  keying.Key
	resp *rfc9111.Response
	body body
	try  bool // compression pays
	once sync.Once

	// The last chunk, which goes with the head, of a body that ended where it was said to.
	index int
	frame []byte
}

// Create begins to store an object. resp.Length says how long the body will be, -1 when that is not known. ErrUnavailable:
// nothing can be stored for now; ErrTooLarge: this never can.
func (s *Store) Create(key keying.Key, resp *rfc9111.Response) (*Writer, error) {
	switch {
	case s.closed.Load():
		return nil, ErrClosed
	case s.stalled():
		return nil, ErrUnavailable
	case resp.Length > s.opts.MaxObject:
		return nil, fmt.Errorf("body of %d bytes: %w", resp.Length, ErrTooLarge)
	}
	w := &Writer{key: key, resp: resp, try: compressible(resp.Header)}
	b := &w.body
	b.store, b.serial, b.chunkSize, b.mostRecent = s, rand.Uint64(), s.chunkSize, writerRecent
	b.refs = b.one[:0]
	b.hold()
	return w, nil
}

// Write takes p; the caller may reuse it. It waits while too much is queued for the disk. What would be longer than was said
// is not taken: ErrLength.
func (w *Writer) Write(p []byte) (n int, err error) {
	b := &w.body
	if err := b.failure(); err != nil {
		return 0, err
	}
	if w.resp.Length >= 0 && b.length+int64(len(p)) > w.resp.Length {
		err := fmt.Errorf("more than %d bytes: %w", w.resp.Length, ErrLength)
		b.fail(err)
		return 0, err
	}
	for len(p) > 0 {
		c := min(len(p), b.chunkSize-len(b.tail))
		if len(b.tail) == 0 && b.length+int64(c) == w.resp.Length { // most short bodies come so
			w.index, w.frame = w.cut(p[:c])
			n += c
			p = p[c:]
			continue
		}
		b.mu.Lock()
		if b.tail == nil {
			b.tail = make([]byte, 0, w.tailSize(c))
		}
		b.tail = append(b.tail, p[:c]...)
		b.length += int64(c)
		full, length := len(b.tail) == b.chunkSize, b.length
		b.mu.Unlock()
		n += c
		p = p[c:]
		if length > b.store.opts.MaxObject {
			b.fail(ErrTooLarge)
			return n, ErrTooLarge
		}
		// The last chunk goes with the head.
		if full && length != w.resp.Length {
			i, frame := w.cut(nil)
			if err := b.store.queue.add(op{kind: opChunk, body: b, index: i, frame: frame, large: w.large()}); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// tailSize is the room for a chunk that begins with n bytes.
func (w *Writer) tailSize(n int) int {
	if left := w.resp.Length - w.body.length; w.resp.Length >= 0 && left < int64(w.body.chunkSize) {
		return max(n, int(left))
	}
	return n
}

// large objects, and those that may become so, do not pass through the young lane.
func (w *Writer) large() bool {
	return w.resp.Length < 0 && w.body.length >= int64(w.body.chunkSize) || max(w.resp.Length, w.body.length) > w.body.store.youngObject
}

// cut makes a complete chunk of the tail, or of p where there is none.
func (w *Writer) cut(p []byte) (index int, frame []byte) {
	b := &w.body
	raw := b.tail
	if len(raw) == 0 {
		raw = p
	}
	frame, coding := newChunkFrame(b.serial, len(b.refs), raw, w.try)
	w.try = w.try && coding == codingZstd
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refs = append(b.refs, chunkRef{frame: frame})
	b.tail = nil
	b.length += int64(len(p))
	return len(b.refs) - 1, frame
}

// ReadAt reads what was written so far, from memory or from the disk; io.EOF is the end of that.
func (w *Writer) ReadAt(p []byte, off int64) (int, error) { return w.body.readAt(p, off) }

// Commit makes the object visible, at once, in place of what was stored for its key and selection, and durable with the next
// group. A nil resp is the one given to Create. A length that is known must be that of what was written.
func (w *Writer) Commit(resp *rfc9111.Response) error {
	err := ErrCommitted
	w.once.Do(func() { err = w.commit(resp) })
	return err
}

func (w *Writer) commit(resp *rfc9111.Response) error {
	b := &w.body
	defer b.unhold()
	if resp == nil {
		resp = w.resp
	}
	if err := b.failure(); err != nil {
		return err
	}
	if resp.Length >= 0 && resp.Length != b.length {
		err := fmt.Errorf("%d bytes written of %d: %w", b.length, resp.Length, ErrLength)
		b.fail(err)
		return err
	}
	if resp.Length < 0 {
		whole := *resp
		whole.Length = b.length
		resp = &whole
	}
	o := op{kind: opHead, body: b, large: w.large(), index: w.index, frame: w.frame}
	if len(b.tail) > 0 {
		o.index, o.frame = w.cut(nil)
	}
	w.frame = nil // readers may hold the body for long
	replacing := b.store.replacing(w.key)
	replacing.Lock()
	defer replacing.Unlock()
	return b.store.publish(w.key, resp, o)
}

// Abort forgets the object. What was written stays readable for those who read it until they are done.
func (w *Writer) Abort() {
	w.once.Do(func() {
		w.body.fail(ErrAborted)
		w.body.unhold()
	})
}

// publish queues a head and makes it visible, in one step, so that what is visible and what is on disk come in the same order.
func (s *Store) publish(key keying.Key, resp *rfc9111.Response, o op) error {
	var room [1 << 10]byte // enough for most
	p := &pending{sel: resp.Selection, resp: resp, body: o.body}
	p.head = head{
		digest: key.Digest(), serial: o.body.serial, chunkSize: uint32(o.body.chunkSize), length: resp.Length,
		key: key.Bytes(), resp: bytes.Clone(resp.Encode(room[:0])), refs: p.one[:],
	}
	if n := len(o.body.refs); n != len(p.one) {
		p.head.refs = make([]place, n)
	}
	if p.head.bound() > s.maxHead || resp.Length > s.opts.MaxObject {
		o.body.fail(ErrTooLarge)
		return ErrTooLarge
	}
	// There is one without a selection at most.
	if resp.Selection != "" && s.index.full(key.Digest(), resp.Selection) {
		s.stats.variantsReset.Add(1)
		if err := s.Delete(key); err != nil {
			return err
		}
	}
	o.pend = p
	o.body.hold()
	err := s.queue.add(o)
	if err != nil {
		o.body.unhold()
		return err
	}
	return nil
}
