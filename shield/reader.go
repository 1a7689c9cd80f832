package shield

import (
	"context"
	"errors"
	"io"
	"sync"

	"weir/rfc9111"
)

// A reader reads a body from its beginning at its own pace. Read and Close may be
// called from different goroutines.
type reader struct {
	body *body
	ctx  context.Context // of the client
	buf  []byte          // for WriteTo behind the window

	// Guarded by body.mu.
	pos        int64
	cut        error
	left       bool          // it is detached
	gone       chan struct{} // closed then; nil before it waits
	prev, next *reader       // of body.readers
}

// readable returns published bytes at the reader's position, waiting for them. With
// behind it returns none: they have to be read from the spill.
func (r *reader) readable() (p []byte, behind bool, err error) {
	b := r.body
	for {
		b.mu.Lock()
		switch {
		case r.left:
			err = errBodyClosed
		case r.cut != nil:
			err = r.cut
		case r.pos < b.base:
			behind = true
		case r.pos < b.size:
			p = b.atLocked(r.pos)
		case b.ended && b.err == nil:
			err = io.EOF
		case b.ended:
			err = b.err
		}
		if p != nil || behind || err != nil {
			b.mu.Unlock()
			return p, behind, err
		}
		wake, gone := r.waitLocked()
		b.mu.Unlock()
		select {
		case <-wake:
		case <-gone:
			return nil, false, errBodyClosed
		case <-r.ctx.Done():
			return nil, false, context.Cause(r.ctx)
		}
	}
}

// waitLocked returns what is closed when there is more to read, and when r is detached.
func (r *reader) waitLocked() (wake, gone <-chan struct{}) {
	if r.body.wake == nil {
		r.body.wake = make(chan struct{})
	}
	if r.gone == nil {
		r.gone = make(chan struct{})
	}
	return r.body.wake, r.gone
}

func (r *reader) moved(n int) {
	r.body.mu.Lock()
	defer r.body.mu.Unlock()
	r.pos += int64(n)
	r.body.movedLocked()
}

// readBehind reads what is no longer in memory. What the spill holds ends at
// stored, which is never before base while a reader is behind.
func (r *reader) readBehind(p []byte) (int, error) {
	r.body.mu.Lock()
	at, limit := r.pos, r.body.stored-r.pos
	r.body.mu.Unlock()
	if int64(len(p)) > limit {
		p = p[:limit]
	}
	n, err := r.body.spill.ReadAt(p, at)
	if n == len(p) {
		err = nil
	} else if err == nil || errors.Is(err, io.EOF) {
		err = ErrStore
	}
	return n, err
}

func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	chunk, behind, err := r.readable()
	n := 0
	switch {
	case err != nil:
		return 0, err
	case behind:
		n, err = r.readBehind(p)
	default:
		n = copy(p, chunk)
	}
	r.moved(n)
	return n, err
}

// WriteTo writes the shared chunks as they are.
func (r *reader) WriteTo(w io.Writer) (total int64, err error) {
	for {
		chunk, behind, err := r.readable()
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err == nil && behind {
			if r.buf == nil {
				r.buf = make([]byte, 32<<10)
			}
			var n int
			n, err = r.readBehind(r.buf)
			chunk = r.buf[:n]
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(chunk)
		total += int64(n)
		r.moved(n)
		if err != nil {
			return total, err
		}
	}
}

// spill is where readers behind the window read: the store's writer while it
// fills, and the stored object afterwards. mu is held shared during reads, so that
// the fill ends the writer only between them.
type spill struct {
	mu  sync.RWMutex
	w   Writer
	obj Object
}

func (s *spill) use(w Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w = w
}

func (s *spill) ReadAt(p []byte, off int64) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.obj != nil:
		return s.obj.ReadAt(p, off)
	case s.w != nil:
		return s.w.ReadAt(p, off)
	default:
		return 0, ErrStore
	}
}

// commit makes the response visible. reopen finds it again for readers that are
// behind; it may return nil.
func (s *spill) commit(resp *rfc9111.Response, reopen func() Object) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.w.Commit(resp); err != nil {
		s.w.Abort()
		s.w = nil
		return err
	}
	s.w = nil
	s.obj = reopen()
	return nil
}

func (s *spill) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.w != nil {
		s.w.Abort()
		s.w = nil
	}
	if s.obj != nil {
		// What could not be closed is the store's to report.
		_ = s.obj.Close()
		s.obj = nil
	}
}
