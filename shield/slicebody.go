package shield

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"weir/policy"
	"weir/rfc9111"
)

// A sliceBody is a body that is read slice by slice, from its beginning or from
// anywhere. It holds one slice at a time, and of that nothing but what streams through:
// what is read again is looked up again.
type sliceBody struct {
	s       *Shield
	ctx     context.Context // of the client, and of all that is asked for it
	cancel  context.CancelCauseFunc
	req     *policy.Request // for the whole
	size    int64
	version rfc9111.Version
	wanted  []rfc9111.Range // what will be read

	reading sync.Mutex // held while reading; guards what follows
	pos     int64      // of Read
	seen    time.Time  // when the version was last known to be the origin's
	fetched int64      // the slice that was fetched ahead
	err     error      // that ended it

	mu     sync.Mutex // guards what follows; taken after reading
	piece  *piece
	closed bool
}

// A piece is an open slice.
type piece struct {
	ans   *rfc9111.Answer
	index int64
	begun bool
	pos   int64 // in a body that cannot be read anywhere
}

func (s *Shield) newSliceBody(ctx context.Context, req *policy.Request, head *rfc9111.Response) *sliceBody {
	own := *req
	own.Interim = nil // they come before the head
	b := &sliceBody{s: s, req: &own, size: head.Length, fetched: -1}
	b.version, _ = head.Version() // what has none is not sliced
	b.ctx, b.cancel = context.WithCancelCause(ctx)
	return b
}

// Read is as in io.Reader.
func (b *sliceBody) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	n, err := b.read(p, b.pos)
	b.pos += int64(n)
	return n, err
}

// ReadAt is as in io.ReaderAt. Bytes that cannot be had are an error other than io.EOF.
func (b *sliceBody) ReadAt(p []byte, off int64) (n int, err error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	for n < len(p) && err == nil {
		var m int
		m, err = b.read(p[n:], off+int64(n))
		n += m
	}
	return n, err
}

// Close ends reads that are under way.
func (b *sliceBody) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.cancel(errBodyClosed)
	b.drop()
	return nil
}

// read returns some of what there is at off.
func (b *sliceBody) read(p []byte, off int64) (int, error) {
	switch {
	case b.err != nil:
		return 0, b.err
	case off >= b.size:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	n, err := b.readSlice(p, off)
	if err != nil {
		b.err = err
		b.s.counts.error(err)
	}
	return n, err
}

func (b *sliceBody) readSlice(p []byte, off int64) (int, error) {
	open, err := b.at(off)
	if err != nil {
		return 0, err
	}
	if !open.begun {
		open.begun = true
		b.ahead(open)
	}
	start := open.index * b.req.Plan.SliceBytes
	end := start + open.ans.Head.Length
	n, err := open.read(p[:min(int64(len(p)), end-off)], off-start)
	switch {
	case !errors.Is(err, io.EOF):
	case n > 0:
		err = nil
	default:
		err = fmt.Errorf("%w: slice ends at %d", ErrOriginTruncated, off)
	}
	return n, err
}

// at returns the slice with the byte at off, and opens it unless it is open and that byte
// has not gone by.
func (b *sliceBody) at(off int64) (*piece, error) {
	size := b.req.Plan.SliceBytes
	if p := b.current(); p != nil && p.index == off/size && p.pos <= off%size {
		return p, nil
	}
	b.drop()
	ans, err := b.same(off / size)
	if err != nil {
		return nil, err
	}
	if ans.Head.Parts == nil {
		closeAnswer(ans)
		return nil, fmt.Errorf("%w: status %d", ErrOriginFailed, ans.Head.Status)
	}
	b.hold(off/size, ans)
	if p := b.current(); p != nil {
		return p, nil
	}
	return nil, errBodyClosed
}

// same answers with slice i of the version that the body is of, or with an error status of
// the origin. What is stored of an older version is replaced; when the origin has another
// one, the body ends.
func (b *sliceBody) same(i int64) (*rfc9111.Answer, error) {
	for try := 0; ; try++ {
		ans, err := b.s.slice(b.ctx, b.req, i)
		got := edition{seen: b.s.opts.Now()}
		switch {
		case isUncuttable(err):
		case err != nil:
			return nil, err
		case ans.Head.Parts == nil && ans.Head.Status >= 400 && !isGone(ans.Head.Status):
			return ans, nil
		default:
			if got.version, _ = ans.Head.Version(); ans.Head.Parts != nil && got.version == b.version {
				return ans, nil
			}
			closeAnswer(ans)
			if at := ans.Head.ResponseTime; try == 0 && !at.IsZero() && !at.After(b.seen) {
				b.s.forget(sliceKey(b.req, i), ans.Head.Selection)
				continue
			}
		}
		b.s.changed(b.ctx, b.req, edition{version: b.version, seen: b.seen}, got)
		return nil, fmt.Errorf("%w: at slice %d", ErrChanged, i)
	}
}

// hold makes ans, which is slice i, the open slice, unless the body is closed.
func (b *sliceBody) hold(i int64, ans *rfc9111.Answer) {
	at := ans.Head.ResponseTime
	if at.IsZero() { // it is for this client alone, and new
		at = b.s.opts.Now()
	}
	if at.After(b.seen) {
		b.seen = at
	}
	b.mu.Lock()
	was := b.piece
	if b.closed {
		was = &piece{ans: ans}
	} else {
		b.piece = &piece{ans: ans, index: i}
	}
	b.mu.Unlock()
	if was != nil {
		closeAnswer(was.ans)
	}
}

// drop gives up the open slice.
func (b *sliceBody) drop() {
	b.mu.Lock()
	was := b.piece
	b.piece = nil
	b.mu.Unlock()
	if was != nil {
		closeAnswer(was.ans)
	}
}

func (b *sliceBody) current() *piece {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.piece
}

// ahead has the next slice fetched while p is read, if p had to be fetched itself and the
// next is wanted and not stored. It is a refresh: nobody waits for it, so a slow client
// holds up nothing, and it goes to the store, where it is found or met under way. A
// client that says something about caching gets nothing ahead: it might refuse that.
func (b *sliceBody) ahead(p *piece) {
	h, d := b.req.Header, &p.ans.Decision
	missed := p.index == b.fetched || d.Use == rfc9111.Miss && d.Stored
	if !missed || !shareable(p.ans.Head) || h["Cache-Control"] != nil || h["Pragma"] != nil || h["Authorization"] != nil {
		return
	}
	next := sliceOf(b.req, p.index+1)
	wanted := slices.ContainsFunc(b.wanted, func(r rfc9111.Range) bool {
		return r.Start < next.Slice.Start+next.Slice.Length && next.Slice.Start < r.Start+r.Length
	})
	if !wanted {
		return
	}
	obj, v := b.s.find(next)
	closeObject(obj)
	if v.Reuse == rfc9111.ReuseValidate {
		b.fetched = next.Slice.Start / next.Slice.Length
		b.s.Refresh(next)
	}
}

// permitted says whether a client that wants nothing but what is stored can have it all,
// RFC 9111 5.2.1.7.
func (b *sliceBody) permitted() bool {
	now := b.s.opts.Now()
	if rfc9111.Judge(verdictRequest(b.req), nil, &b.req.Plan.Rules, now).Reuse != rfc9111.ReuseGateway {
		return true
	}
	size := b.req.Plan.SliceBytes
	for _, r := range b.wanted {
		for i := r.Start / size; i*size < r.Start+r.Length; i++ {
			obj, v := b.s.find(sliceOf(b.req, i))
			closeObject(obj)
			if v.Reuse == rfc9111.ReuseGateway {
				return false
			}
		}
	}
	return true
}

// read reads from off of the slice on.
func (p *piece) read(to []byte, off int64) (int, error) {
	switch {
	case p.ans.Body == nil:
		if off >= int64(len(p.ans.Bytes)) {
			return 0, io.EOF
		}
		return copy(to, p.ans.Bytes[off:]), nil
	case p.ans.At != nil:
		return p.ans.At.ReadAt(to, off)
	}
	if skip := off - p.pos; skip > 0 {
		n, err := io.CopyN(io.Discard, p.ans.Body, skip)
		p.pos += n
		if err != nil {
			return 0, err
		}
	}
	n, err := p.ans.Body.Read(to)
	p.pos += int64(n)
	return n, err
}
