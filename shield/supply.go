package shield

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"weir/rfc9111"
)

const (
	maxResumes       = 4 // times that one body is asked for the rest of
	firstResumePause = 50 * time.Millisecond
)

// A supply is the body of a flight as its origin sends it. When the connection
// breaks in the middle it asks for the rest and goes on there, RFC 9110 15.3.7.3:
// whoever reads notices a pause. Only the fill uses it.
type supply struct {
	s    *Shield
	f    *flight
	head *rfc9111.Response

	at     int64 // bytes that came
	begin  int64 // where the reply in progress begins
	end    int64 // where it ends, -1 when not known
	over   bool  // it has ended there
	size   int64 // of the whole body, -1 when not known
	base   int64 // where the body begins in the representation: 0 but for slices and parts
	tries  int
	broken error // why the reply in progress ended early
}

// newSupply begins f's supply. There is one at a time.
func newSupply(s *Shield, f *flight, head *rfc9111.Response) *supply {
	b := &f.supply
	*b = supply{s: s, f: f, head: head, end: head.Length, size: head.Length}
	if parts := head.Parts; parts != nil {
		b.base = parts.Held[0].Start
	}
	if f.joined() != nil {
		b.begin, b.end = f.rest.Start, f.rest.Start+f.rest.Length
	}
	return b
}

// Read returns io.EOF only when the body is as long as its origin said.
func (b *supply) Read(p []byte) (int, error) {
	if b.broken != nil {
		if err := b.resume(); err != nil {
			return 0, err
		}
	}
	if n, ok := b.readHeld(p); ok {
		return n, nil
	}
	n, err := b.f.reply.body.Read(p)
	b.at += int64(n)
	switch ended := errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF); {
	case n > 0 && b.end >= 0 && b.at > b.end:
		return n, fmt.Errorf("%w: body longer than its length of %d", ErrOriginProtocol, b.end)
	case ended && b.at == b.end && b.held() > 0:
		b.over = true
		return n, nil
	case ended && b.at < b.size:
		b.broken = fmt.Errorf("%w: %d of %d bytes", ErrOriginTruncated, b.at, b.size)
		return n, nil
	case err != nil && !ended && b.at != b.size && brokeOff(err):
		b.broken = err
		return n, nil
	}
	return n, err
}

// brokeOff says whether a body ended with its connection, or was silent for too long.
func brokeOff(err error) bool {
	var op *net.OpError
	return hungUp(err) || errors.Is(err, ErrOriginTimeout) || errors.As(err, &op)
}

// resume asks the origin for the rest, a few times and ever more slowly. Without
// the rest it returns why the body broke off.
func (b *supply) resume() error {
	header, ok := rfc9111.Resumption(b.f.req.Header, b.head, b.base+b.at)
	if ok && b.head.Parts != nil {
		header.Set("Range", rangeOf(rfc9111.Range{Start: b.base + b.at, Length: b.size - b.at}))
	}
	for ; ok && b.tries < maxResumes && b.wanted(); b.tries++ {
		_ = b.f.reply.body.Close() // one request is over before the next begins
		if !b.pause() || !b.wanted() {
			break
		}
		again, err := b.ask(header)
		if err == nil {
			b.s.counts.resumed.Add(1)
			b.s.opts.Report(fmt.Errorf("went on at byte %d: %w", b.at, b.broken))
			b.broken, b.tries = nil, b.tries+1
			return nil
		}
		if !again {
			return fmt.Errorf("%w; %s", b.broken, err.Error())
		}
	}
	return b.broken
}

// wanted says whether anybody may have the rest: not when the flight is over, or
// when a purge has overtaken it.
func (b *supply) wanted() bool {
	return b.f.req.Method == http.MethodGet && b.f.ctx.Err() == nil && !b.f.overtaken && !b.s.purges.Purged(b.f.key, b.head)
}

// pause is false when the flight ended meanwhile.
func (b *supply) pause() bool {
	pause := firstResumePause << (2 * b.tries)
	t := time.NewTimer(pause + time.Duration(b.s.opts.Random()*float64(pause)))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-b.f.ctx.Done():
		return false
	}
}

// ask asks once for the rest, and makes the answer the reply in progress if it is
// that. again says whether asking once more may help.
func (b *supply) ask(header http.Header) (again bool, err error) {
	out := forRest(b.f.req, header)
	out.leash = &b.f.leash
	rep, err := b.s.origins.send(b.f.ctx, b.f.req, out)
	if err != nil {
		return errors.Is(err, ErrOriginUnreachable) || errors.Is(err, ErrOriginTimeout), err
	}
	rest := rfc9111.Shared(b.s.trimmed(b.f.req, rep.head), &b.f.req.Plan.Rules)
	part, size, ok := rfc9111.Resumes(verdictRequest(b.f.req), b.head, rest, &b.f.req.Plan.Rules)
	if !ok || !rep.framed || !b.fits(part, size) {
		_ = rep.body.Close()
		return rfc9111.FailedStatus(rest.Status), fmt.Errorf("status %d is not the rest of it", rest.Status)
	}
	b.f.reply, b.over = rep, false
	b.begin, b.end = b.at, b.at+part.Length
	if b.head.Parts == nil {
		b.size = size
	}
	return false, nil
}

// fits says whether part, of a representation of size bytes, begins where the body broke
// off, and ends with the slice or part if it is one.
func (b *supply) fits(part rfc9111.Range, size int64) bool {
	whole, end := b.size, size
	if p := b.head.Parts; p != nil {
		whole, end = p.Size, b.base+b.size
	}
	return part.Start == b.base+b.at && part.Start+part.Length <= end && (whole < 0 || size == whole)
}
