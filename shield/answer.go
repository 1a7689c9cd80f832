package shield

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

// seatBody is the stream of a client that has its response for itself.
type seatBody struct {
	io.Reader
	once  sync.Once
	leave func()
}

func (b *seatBody) Close() error {
	b.once.Do(b.leave)
	return nil
}

// sharedBody is one client's way through a shared body.
type sharedBody struct {
	reader *reader
	counts *counts
	once   sync.Once
	leave  func()
}

func (b *sharedBody) Read(p []byte) (int, error) {
	n, err := b.reader.Read(p)
	b.count(err)
	return n, err
}

func (b *sharedBody) WriteTo(w io.Writer) (int64, error) {
	n, err := b.reader.WriteTo(w)
	b.count(err)
	return n, err
}

// count counts what happened to this reader alone; the flight counts the rest.
func (b *sharedBody) count(err error) {
	if errors.Is(err, ErrStalled) || errors.Is(err, ErrStore) {
		b.counts.error(err)
	}
}

func (b *sharedBody) Close() error {
	b.once.Do(b.leave)
	return nil
}

// objectBody streams a stored body, from its beginning or from anywhere.
type objectBody struct {
	obj    Object
	size   int64
	pos    int64
	first  []byte      // what was read already to see that it can be read
	damage func(error) // called when the rest cannot be read

	mu     sync.RWMutex // held shared while obj is read: Close waits for that
	closed bool
	end    func() // gives obj back
}

// firstBlock is how much of a long stored body is checked before it is answered with.
const firstBlock = 64 << 10

func (b *objectBody) Read(p []byte) (int, error) {
	if b.pos >= b.size {
		return 0, io.EOF
	}
	if b.pos < int64(len(b.first)) {
		n := copy(p, b.first[b.pos:])
		b.pos += int64(n)
		return n, nil
	}
	n, err := b.ReadAt(p[:min(int64(len(p)), b.size-b.pos)], b.pos)
	b.pos += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// ReadAt is as in io.ReaderAt. Bytes that cannot be read are an error other than io.EOF.
func (b *objectBody) ReadAt(p []byte, off int64) (int, error) {
	if off >= b.size {
		return 0, io.EOF
	}
	short := off+int64(len(p)) > b.size
	if short {
		p = p[:b.size-off]
	}
	n, err := b.readObject(p, off)
	switch {
	case errors.Is(err, errBodyClosed):
	case n < len(p):
		err = unreadable(off+int64(n), err)
		if b.damage != nil {
			b.damage(err)
		}
	case short:
		err = io.EOF
	default:
		err = nil
	}
	return n, err
}

// unreadable is the error for stored bytes that should be there. It never is an
// io.EOF, which readers take for the end.
func unreadable(at int64, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: at %d: %w", ErrStore, at, err)
}

func (b *objectBody) readObject(p []byte, off int64) (int, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return 0, errBodyClosed
	}
	return b.obj.ReadAt(p, off)
}

func (b *objectBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		b.end()
	}
	return nil
}

// serve answers req with obj, whole when it is small. It returns nil when the
// object turned out to be damaged: then it is gone, and req misses.
func (s *Shield) serve(ctx context.Context, req *policy.Request, obj Object, d rfc9111.Decision) (*rfc9111.Answer, error) {
	head := obj.Response()
	key := req.Keyed.Key
	ans := &rfc9111.Answer{Head: head, Decision: s.withTTL(d, key, head)}
	if head.Parts == nil && head.Length <= s.opts.MemoryObject {
		defer closeObject(obj)
		whole, err := s.loads.read(ctx, key, obj, func(whole []byte) { s.filled(key, head, whole) })
		switch {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("shield: client left: %w", context.Cause(ctx))
		case err != nil:
			s.damaged(key, head, err)
			return nil, nil
		}
		ans.Bytes = whole
		return ans, nil
	}
	body := &objectBody{obj: obj, size: head.Length, end: func() { closeObject(obj) }}
	if err := body.open(); err != nil {
		closeObject(obj)
		s.damaged(key, head, err)
		return nil, nil
	}
	body.damage = func(err error) { s.damaged(key, head, err) }
	ans.Body, ans.At = body, body
	return ans, nil
}

// open reads the first block.
func (b *objectBody) open() error {
	first := make([]byte, min(firstBlock, b.size))
	if _, err := b.ReadAt(first, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	b.first = first
	return nil
}

// filled hands a whole body to the memory tier, and leaves slices to the store.
func (s *Shield) filled(key keying.Key, head *rfc9111.Response, whole []byte) {
	if s.opts.Listener != nil && head.Parts == nil {
		s.opts.Listener.Filled(key, head, whole)
	}
}

// damaged forgets what is stored under key as head says, because it cannot be read.
func (s *Shield) damaged(key keying.Key, head *rfc9111.Response, err error) {
	s.report(err)
	s.forget(key, head.Selection)
}

// forget drops a variant of key from all tiers.
func (s *Shield) forget(key keying.Key, selection rfc9111.Selection) {
	if s.store != nil {
		if err := s.store.Drop(key, selection); err != nil {
			s.report(fmt.Errorf("%w: drop: %w", ErrStore, err))
		}
	}
	if s.opts.Listener != nil {
		s.opts.Listener.Dropped(key, selection)
	}
}

// loads lets many clients that want the same small stored body read it once.
type loads struct {
	mu sync.Mutex
	m  map[loadKey]*load
}

// loadKey names one stored state of one variant.
type loadKey struct {
	key       string
	selection rfc9111.Selection
	answered  int64
	epoch     uint64
}

type load struct {
	done  chan struct{}
	whole []byte
	err   error
}

// read returns obj's whole body. The client that reads it calls first with it
// before anybody else gets it.
func (l *loads) read(ctx context.Context, key keying.Key, obj Object, first func([]byte)) ([]byte, error) {
	head := obj.Response()
	k := loadKey{key.Bytes(), head.Selection, head.ResponseTime.UnixNano(), head.Epoch}
	l.mu.Lock()
	if ld := l.m[k]; ld != nil {
		l.mu.Unlock()
		select {
		case <-ld.done:
			return ld.whole, ld.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	ld := &load{done: make(chan struct{}), err: fmt.Errorf("%w: reading it panicked", ErrStore)}
	if l.m == nil {
		l.m = map[loadKey]*load{}
	}
	l.m[k] = ld
	l.mu.Unlock()

	defer func() { // also when the store or the listener panics
		l.mu.Lock()
		delete(l.m, k)
		l.mu.Unlock()
		close(ld.done)
	}()
	whole, err := readWhole(obj)
	if err == nil {
		first(whole)
	}
	ld.whole, ld.err = whole, err
	return whole, err
}

func readWhole(obj Object) ([]byte, error) {
	whole := make([]byte, obj.Response().Length)
	if n, err := obj.ReadAt(whole, 0); n < len(whole) {
		return nil, unreadable(int64(n), err)
	}
	return whole, nil
}
