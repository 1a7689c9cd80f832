package api

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"weir/rfc9111"
)

// send writes the body of ans, or the ranges of it that out names.
func (x *exchange) send(ans *rfc9111.Answer, out outcome) error {
	src := &source{ans: ans}
	live := ans.Body != nil && ans.At == nil
	if live { // the head goes out now, the first byte of the body when it comes
		if err := x.flush(); err != nil {
			return err
		}
	}
	if len(out.ranges) == 0 {
		return x.sendWhole(ans, live)
	}
	for i, r := range out.ranges {
		if out.multi != nil {
			if err := x.write([]byte(out.multi.heads[i])); err != nil {
				return err
			}
		}
		section, err := src.section(r)
		if err != nil {
			return err
		}
		if err := x.copy(section, r.Length, live); err != nil {
			return err
		}
	}
	if out.multi != nil {
		return x.write([]byte(out.multi.tail))
	}
	return nil
}

func (x *exchange) sendWhole(ans *rfc9111.Answer, live bool) error {
	if ans.Body == nil {
		return x.write(ans.Bytes)
	}
	return x.copy(ans.Body, ans.Head.Length, live)
}

// source gives the sections of an answer's body.
type source struct {
	ans *rfc9111.Answer
	pos int64 // of Body
}

func (s *source) section(r rfc9111.Range) (io.Reader, error) {
	if parts := s.ans.Head.Parts; parts != nil {
		r.Start = parts.Below(r.Start)
	}
	switch {
	case s.ans.Body == nil:
		return bytes.NewReader(s.ans.Bytes[r.Start : r.Start+r.Length]), nil
	case s.ans.At != nil:
		return io.NewSectionReader(s.ans.At, r.Start, r.Length), nil
	}
	if _, err := io.CopyN(io.Discard, s.ans.Body, r.Start-s.pos); err != nil {
		return nil, short(err)
	}
	s.pos = r.Start + r.Length
	return io.LimitReader(s.ans.Body, r.Length), nil
}

// maxWrite is how much a client has to take within one write deadline.
const maxWrite = 64 << 10

// write sends p in pieces that a slow but living client can take in time.
func (x *exchange) write(p []byte) error {
	for len(p) > 0 {
		piece := p[:min(len(p), maxWrite)]
		x.extendWrite()
		n, err := x.w.Write(piece)
		x.record.Bytes += int64(n)
		if err != nil {
			return err
		}
		p = p[len(piece):]
	}
	return nil
}

func (x *exchange) flush() error {
	x.extendWrite()
	return x.rc.Flush()
}

// copy sends src, which must have length bytes unless length is -1, and be at its
// end after them.
func (x *exchange) copy(src io.Reader, length int64, live bool) error {
	out := &pieces{x: x, length: length, live: live}
	err := transfer(out, src)
	switch {
	case length >= 0 && out.sent == length && !errors.Is(err, errLong):
		return nil // a client that has everything may leave before the body's end is seen
	case err == nil && out.sent < length:
		return errShort
	}
	return err
}

// transfer lets a source write the bytes that it shares with others by itself.
func transfer(out *pieces, src io.Reader) error {
	if shared, ok := src.(io.WriterTo); ok {
		_, err := shared.WriteTo(out)
		return err
	}
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf) // nobody keeps a reference: Write copies or sends
	for {
		n, err := src.Read(buf[:])
		if n > 0 {
			if _, err := out.Write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// pieces is the way of a body's bytes to the client. Live bytes are flushed as
// they come: what is a moment for a file is for ever for an event.
type pieces struct {
	x            *exchange
	length, sent int64
	live         bool
}

func (p *pieces) Write(b []byte) (int, error) {
	if p.length >= 0 && p.sent+int64(len(b)) > p.length {
		return 0, errLong
	}
	if err := p.x.write(b); err != nil {
		return 0, err
	}
	p.sent += int64(len(b))
	if p.live {
		return len(b), p.x.flush()
	}
	return len(b), nil
}

func short(err error) error {
	if errors.Is(err, io.EOF) {
		return errShort
	}
	return err
}

// bufferSize is what one read of a streamed body takes at most.
const bufferSize = 32 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}
