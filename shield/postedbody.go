package shield

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// A postedBody is the body of an answer to a POST on its way to the client, who sets the
// pace. It is stored if the client reads it to its proper end, and forgotten otherwise.
type postedBody struct {
	io.ReadCloser
	s      *Shield
	posted *posted

	mu       sync.Mutex // guards what follows: Close may come during a Read
	w        Writer     // nil: not for the store
	small    bool       // for the listener
	whole    []byte
	size     int64
	over     bool
	reserved int64 // bytes of memory that are counted for it
}

// Read stores what comes before it returns it. Its last bytes are in the caches
// before the client has them.
func (b *postedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return n, err
	}
	length := b.posted.head.Length
	b.size += int64(n)
	if err == nil && b.size == length {
		err = expectEnd(b.ReadCloser)
	}
	ended := errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
	switch {
	case err != nil && !ended, length >= 0 && (b.size > length || ended && b.size < length):
		b.endLocked()
	case !b.takeLocked(p[:n]):
		b.s.counts.notStored.Add(1)
		b.endLocked()
	case ended:
		b.keepLocked()
		b.endLocked()
	}
	return n, err
}

// takeLocked is false when the body cannot be stored.
func (b *postedBody) takeLocked(p []byte) bool {
	if b.small = b.small && b.size <= b.s.opts.MemoryObject; b.small {
		b.whole = append(b.whole, p...)
	} else {
		b.whole = nil
	}
	if b.w == nil {
		return b.small
	}
	if b.s.tooLong(b.size) {
		return false
	}
	if len(p) > 0 {
		if _, err := b.w.Write(p); err != nil {
			b.s.report(fmt.Errorf("%w: write: %w", ErrStore, err))
			return false
		}
	}
	return true
}

// keepLocked puts the whole body into the caches, unless a purge or something newer came.
func (b *postedBody) keepLocked() {
	s, head := b.s, *b.posted.head
	head.Length = b.size
	if s.purges.Purged(b.posted.key, &head) || s.storesNewer(b.posted) {
		s.counts.notStored.Add(1)
		return
	}
	if b.w != nil {
		if err := b.w.Commit(&head); err != nil {
			s.counts.notStored.Add(1)
			s.report(fmt.Errorf("%w: commit: %w", ErrStore, err))
			return
		}
		b.w = nil
	}
	if b.small {
		s.filled(b.posted.key, &head, append(make([]byte, 0, b.size), b.whole...))
	}
	s.counts.filled.Add(1)
}

func (b *postedBody) endLocked() {
	if b.over {
		return
	}
	b.over = true
	if b.w != nil {
		b.w.Abort()
	}
	b.w, b.whole = nil, nil
	b.s.flights.memory.Add(-b.reserved)
}

func (b *postedBody) Close() error {
	b.mu.Lock()
	b.endLocked()
	b.mu.Unlock()
	return b.ReadCloser.Close()
}

// storesNewer says whether a GET has brought something newer meanwhile.
func (s *Shield) storesNewer(p *posted) bool {
	if s.store == nil {
		return false
	}
	obj, err := s.store.Lookup(p.key, p.header)
	if err != nil || obj == nil {
		return false
	}
	defer closeObject(obj)
	stored := obj.Response()
	return stored.ResponseTime.After(p.head.ResponseTime) && !s.purges.Purged(p.key, stored)
}
