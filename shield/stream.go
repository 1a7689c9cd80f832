package shield

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	firstChunk = 4 << 10  // of a body of unknown length
	fullChunk  = 64 << 10 // chunks of unknown length double up to this
	tightest   = 256 << 10
)

// A body is what a flight has received so far: chunks that the fill appends and
// readers share. A published byte never changes, and no chunk is used twice, so
// readers copy without a lock.
//
//	0 ........ base ............ size ..........
//	  released      in memory         to come
//
// Chunks are released from the front once more than the window is in memory and
// they are either stored (then readers behind base read them from the store) or
// behind every reader. When neither holds the fill waits, and after StallTimeout
// the readers that it waits for are cut off.
//
// Lock order: flights.mu, then body.mu, then spill.mu.
type body struct {
	opts *Options
	live *atomic.Int64 // bytes of chunks in memory, of all bodies

	spill spill

	mu      sync.Mutex
	first   reader    // most bodies have one
	readers *reader   // the latest, and through its links all others
	chunks  [][]byte  // len is what is published; the last may have room
	only    [1][]byte // room for chunks: most bodies have one
	base    int64
	size    int64
	stored  int64 // bytes that spill can read again
	keep    int64 // while size is at most keep, everything stays in memory
	expect  int64 // size at the end, -1 when not known
	closed  bool  // onRelease was called
	ended   bool
	err     error  // why it ended early, nil when it is whole
	joined  []byte // the body in one piece, when it came whole and within keep

	wake  chan struct{} // closed when there is more to read or it ended; nil when no reader waits
	moved chan struct{} // capacity 1: a reader moved while the fill waits; made when it first does
	full  bool          // the fill waits
}

func (b *body) init(opts *Options, live *atomic.Int64) {
	b.opts, b.live, b.expect, b.chunks = opts, live, -1, b.only[:0]
}

// begin is called once, before the first append: expect is the declared length
// or -1, keep says how long a body is wanted in one piece.
func (b *body) begin(w Writer, expect, keep int64) {
	b.spill.use(w)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expect, b.keep = expect, keep
}

// attach adds a reader at the beginning.
func (b *body) attach(ctx context.Context) *reader {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &b.first
	if r.body != nil {
		r = new(reader)
	}
	r.body, r.ctx = b, ctx
	if r.next = b.readers; r.next != nil {
		r.next.prev = r
	}
	b.readers = r
	return r
}

// detach removes a reader and says whether others are left.
func (b *body) detach(r *reader) (occupied bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !r.left {
		b.unlinkLocked(r)
		r.left = true
		if r.gone != nil {
			close(r.gone)
		}
		b.movedLocked()
	}
	return b.readers != nil
}

func (b *body) unlinkLocked(r *reader) {
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		b.readers = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	}
	r.prev, r.next = nil, nil
}

func (b *body) occupied() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.readers != nil
}

// room returns memory to receive into. Only the fill calls it, and only the fill
// touches what lies behind the published part of the last chunk.
func (b *body) room() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.chunks); n > 0 {
		if last := b.chunks[n-1]; len(last) < cap(last) {
			return last[len(last):cap(last)]
		}
	}
	c := make([]byte, 0, b.nextChunkLocked())
	b.live.Add(int64(cap(c)))
	if b.chunks = append(b.chunks, c); len(b.chunks) > 1 {
		b.only[0] = nil // has moved, and may go
	}
	return c[:cap(c)]
}

func (b *body) nextChunkLocked() int64 {
	switch {
	case b.expect >= 0 && b.size == 0 && b.expect <= b.keep:
		return b.expect // one piece, which becomes whole without a copy
	case b.expect >= 0:
		return min(fullChunk, b.expect-b.size)
	case len(b.chunks) == 0:
		return firstChunk
	default:
		return min(fullChunk, 2*int64(cap(b.chunks[len(b.chunks)-1])))
	}
}

// publish makes the first n bytes of room visible.
func (b *body) publish(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended || n == 0 {
		return
	}
	last := &b.chunks[len(b.chunks)-1]
	*last = (*last)[:len(*last)+n]
	b.size += int64(n)
	b.wakeLocked()
}

// storedUpTo says that the spill holds everything that was published.
func (b *body) storedUpTo() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stored = b.size
}

func (b *body) wakeLocked() {
	if b.wake != nil {
		close(b.wake)
		b.wake = nil
	}
}

func (b *body) movedLocked() {
	if b.full {
		select {
		case b.moved <- struct{}{}:
		default:
		}
	}
}

// admit releases what may go and waits until the window has room for more. disown is called
// without locks before the first byte that is not stored is released: from then on nobody may
// start to read.
func (b *body) admit(ctx context.Context, disown func()) error {
	var stall *time.Timer
	for {
		wait, open := b.releaseOrWait()
		if !wait {
			if stall != nil {
				stall.Stop()
			}
			return context.Cause(ctx)
		}
		if open {
			// From here on bytes get lost: whoever joined by now is waited for, and
			// nobody joins any more.
			disown()
			continue
		}
		if stall == nil {
			stall = time.NewTimer(b.opts.StallTimeout)
			defer stall.Stop()
		}
		select {
		case <-b.moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-stall.C:
			b.cutOff()
			stall.Reset(b.opts.StallTimeout)
		}
	}
}

// releaseOrWait says whether the fill has to wait, and whether it is the first time.
func (b *body) releaseOrWait() (wait, open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.full = false
	window := b.windowLocked()
	if b.size-b.base <= window {
		return false, false
	}
	if !b.closed && b.stored < b.size {
		b.closed = true
		return true, true
	}
	for len(b.chunks) > 1 && b.size-b.base > window && b.passedLocked() {
		b.dropLocked()
	}
	b.full = b.size-b.base > window && len(b.chunks) > 1
	if b.full && b.moved == nil {
		b.moved = make(chan struct{}, 1)
	}
	return b.full, false
}

// windowLocked shrinks when all bodies together hold too much, but only where the
// store has what is released.
func (b *body) windowLocked() int64 {
	if b.stored == b.size && b.size > b.keep && b.live.Load() > b.opts.StreamMemory {
		return min(b.opts.FlightWindow, tightest)
	}
	return b.opts.FlightWindow
}

// passedLocked says whether the first chunk is needed by nobody.
func (b *body) passedLocked() bool {
	end := b.base + int64(len(b.chunks[0]))
	if end <= b.stored {
		return true
	}
	for r := b.readers; r != nil; r = r.next {
		if r.cut == nil && r.pos < end {
			return false
		}
	}
	return true
}

func (b *body) dropLocked() {
	b.base += int64(len(b.chunks[0]))
	b.live.Add(-int64(cap(b.chunks[0])))
	b.chunks[0] = nil
	b.chunks = b.chunks[1:]
}

// cutOff ends the readers that hold the first chunk.
func (b *body) cutOff() {
	b.mu.Lock()
	defer b.mu.Unlock()
	end := b.base + int64(len(b.chunks[0]))
	for r := b.readers; r != nil; r = r.next {
		if r.pos < end && r.cut == nil {
			r.cut = ErrStalled
		}
	}
}

// end ends the body: err is nil when it arrived whole. The first end counts. It
// says whether this one did.
func (b *body) end(err error) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return false
	}
	if errors.Is(err, io.EOF) {
		err = ErrOriginTruncated // readers take io.EOF for the proper end
	}
	b.ended, b.err = true, err
	b.wakeLocked()
	return true
}

// whole returns a body that came whole in one piece that wastes little memory,
// with its last bytes that are not published yet, or nil when it is too long.
func (b *body) whole(held int) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended || b.base > 0 || b.size+int64(held) > b.keep {
		return nil
	}
	size := b.size + int64(held)
	switch n := len(b.chunks); {
	case n == 1 && int64(cap(b.chunks[0])) <= size+size/16:
		b.joined = b.chunks[0][:size:size]
	default:
		b.joined = make([]byte, 0, size)
		for i, c := range b.chunks {
			if i == n-1 {
				c = c[:len(c)+held]
			}
			b.joined = append(b.joined, c...)
		}
	}
	return b.joined
}

// finished returns the body in one piece when it ended so.
func (b *body) finished() ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.joined, b.ended && b.err == nil && b.joined != nil
}

// released says whether bytes are gone from memory.
func (b *body) released() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.base > 0
}

// release gives everything up. It is called once, when nobody reads any more and
// the fill has ended.
func (b *body) release() {
	b.mu.Lock()
	for len(b.chunks) > 0 {
		b.dropLocked()
	}
	b.mu.Unlock()
	b.spill.release()
}

func (b *body) atLocked(pos int64) []byte {
	at := b.base
	for _, c := range b.chunks {
		if pos < at+int64(len(c)) {
			return c[pos-at : len(c) : len(c)]
		}
		at += int64(len(c))
	}
	return nil
}
