package api

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// guardConn is a connection that shows its server one request at a time.
//
// It rests on how net/http reads a connection, which the tests pin down:
//   - A request's head and body are read by Reads of more than one byte, or come
//     with such a Read; nothing is read beyond the body's end.
//   - From the end of the body until the response is written, the only Read is
//     one of exactly one byte, which waits for a hang-up. It is told of a hang-up, and
//     of nothing else: a pipelined byte stays here.
//   - The first Read of more than one byte after that asks for the next request.
//     The response before it is flushed by then, so a refusal may be written.
//   - SetDeadline is called to hijack and for nothing else.
//
// Reads never overlap: net/http orders them. So only hijacked and half are shared.
type guardConn struct {
	net.Conn
	opts *GuardOptions

	phase phase
	// kept holds bytes that were received and not handed out. The first cleared of
	// them belong to the request that is being handed out; while phase is
	// phaseBody or phaseChunked, all of them do.
	kept    []byte
	cleared int

	left   int64         // of a body with Content-Length
	chunks *chunkScanner // of a chunked body
	err    error         // in phaseFailed: what every Read returns
	later  bool          // the first head has passed
	secure bool          // TLS
	spare  [1]byte       // for the one-byte Read

	hijacked atomic.Bool
	half     halfClose

	ending *atomic.Bool // the listener is closed
	bodied bool         // a request had a body
	passed bool         // the server has had a request
	listed bool         // among young
	young  *young       // of the listener
	hits   hitConn

	caller  caller  // of the door
	absence absence // of the client that is being answered
}

// phase is what the next byte that the client sends belongs to.
type phase int

const (
	phaseHead     phase = iota // the next request, which the server waits for
	phaseBody                  // a body of c.left more bytes
	phaseChunked               // a chunked body
	phaseResponse              // the next request, while this one is being answered
	phaseFailed                // nothing
)

// Read hands out what the server may see now.
func (c *guardConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if c.hijacked.Load() {
		c.cleared = len(c.kept)
	}
	if c.cleared > 0 {
		return c.handOut(p), nil
	}
	if c.hijacked.Load() {
		return c.Conn.Read(p)
	}
	switch c.phase {
	case phaseBody, phaseChunked:
		return c.readBody(p)
	case phaseFailed:
		return 0, c.err
	case phaseResponse:
		if len(p) == 1 {
			return 0, c.watch()
		}
		c.phase = phaseHead
	}
	return c.readHead(p)
}

// readBody reads body bytes straight into p, and keeps what comes after them.
func (c *guardConn) readBody(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	size, ok := c.advance(p[:n])
	if ok {
		c.kept = append(c.kept, p[size:n]...)
		return size, err
	}
	_ = c.fail(refuseChunk) // comes after the poison
	c.kept = c.chunks.poison()
	c.cleared = len(c.kept)
	if size > 0 {
		return size, nil
	}
	return c.handOut(p), nil
}

// handOut copies cleared bytes to p.
func (c *guardConn) handOut(p []byte) int {
	n := copy(p, c.kept[:c.cleared])
	c.cleared -= n
	c.kept = c.kept[n:]
	if len(c.kept) == 0 {
		c.kept = nil
	}
	return n
}

// watch waits until the client hangs up or sends something. It has nothing to
// say in the second case, and net/http stops watching then.
func (c *guardConn) watch() error {
	if len(c.kept) > 0 {
		return nil
	}
	n, err := c.Conn.Read(c.spare[:])
	if n > 0 {
		c.kept = append(c.kept, c.spare[0])
		return nil
	}
	if errors.Is(err, io.EOF) {
		return c.half.wait(c.opts.HalfClose)
	}
	return err
}

// readHead waits for a whole head and hands it out once it has passed, along
// with what is there of its body. It reads into p and, when the head does not
// fit there, into a buffer of its own.
func (c *guardConn) readHead(p []byte) (int, error) {
	buf, n := p, 0
	if len(c.kept) < len(p) {
		n = copy(p, c.kept)
	} else {
		buf, n = c.kept, len(c.kept)
	}
	c.kept = nil
	timed := !c.later // net/http times the first head by itself
	parse := n > 0
	for {
		if parse {
			h, size, no := parseHead(buf[:n], c.opts.MaxHead, c.opts.MaxFields)
			if no != nil {
				return 0, c.refuse(no)
			}
			if size > 0 {
				answered, err := c.answer(&h, buf[:n], size)
				if err != nil {
					return 0, c.fail(err)
				}
				if !answered {
					return c.accept(&h, size, buf[:n], p)
				}
				n = copy(buf, buf[size:n])
				n += copy(buf[n:], c.kept) // by who watched the client
				c.kept = nil
				timed, parse = false, n > 0
				continue
			}
		}
		if n > 0 && !timed {
			// net/http starts its own timer only once this Read has returned.
			timed = true
			c.hits.idle = time.Time{}
			if err := c.SetReadDeadline(time.Now().Add(c.opts.HeadTimeout)); err != nil {
				return 0, c.fail(err)
			}
		}
		if n == len(buf) {
			larger := make([]byte, 2*len(buf))
			copy(larger, buf)
			buf = larger
		}
		m, err := c.Conn.Read(buf[n:])
		if m == 0 && err != nil {
			return 0, c.fail(err)
		}
		// Parsing again pays only when a line has ended or the limit is reached: a
		// head that comes byte by byte is not parsed for each of them.
		parse = n == 0 || n+m >= c.opts.MaxHead || bytes.IndexByte(buf[n:n+m], '\n') >= 0
		n += m
	}
}

// accept begins the request whose head is the first size bytes of buf, and
// hands out what buf holds of it. buf is p or a buffer to keep.
func (c *guardConn) accept(h *head, size int, buf, p []byte) (int, error) {
	if h.plain && c.secure || h.secure && !c.secure {
		return 0, c.refuse(refuseAuthority)
	}
	if c.listed && !c.young.leave(c) {
		return 0, c.fail(net.ErrClosed)
	}
	c.later, c.passed, c.listed = true, true, false
	c.bodied = c.bodied || h.chunked || h.length > 0
	c.hits.idle, c.hits.extended = time.Time{}, time.Time{} // deadlines are the server's again
	c.left, c.chunks = h.length, nil
	switch {
	case h.chunked:
		c.phase, c.chunks = phaseChunked, new(chunkScanner)
	case h.length > 0:
		c.phase = phaseBody
	default:
		c.phase = phaseResponse
	}
	n, ok := c.advance(buf[size:])
	if !ok {
		return 0, c.refuse(refuseChunk)
	}
	if &buf[0] != &p[0] {
		c.kept, c.cleared = buf[h.skip:], size+n-h.skip
		return c.handOut(p), nil
	}
	c.kept = append(c.kept, buf[size+n:]...)
	return copy(p, buf[h.skip:size+n]), nil
}

// advance moves the phase on through b, bytes that follow those already handed
// out, and returns how many of them belong to the request. ok is false when the
// body is malformed after them.
func (c *guardConn) advance(b []byte) (n int, ok bool) {
	switch c.phase {
	case phaseBody:
		n = int(min(c.left, int64(len(b))))
		if c.left -= int64(n); c.left == 0 {
			c.phase = phaseResponse
		}
	case phaseChunked:
		if n, ok = c.chunks.scan(b); !ok {
			return n, false
		}
		if c.chunks.part == chunkEnd {
			c.phase = phaseResponse
		}
	}
	return n, true
}

// fail makes err the answer to every further Read: nothing that the client sends
// from here on is ever taken for a request.
func (c *guardConn) fail(err error) error {
	c.phase, c.err = phaseFailed, err
	return err
}

// maxLinger is how many bytes of a refused request are read on.
const maxLinger = 1 << 20

// refuse answers instead of the server, waits for the client to take note, and
// reports the end of the connection to the server, which closes it.
func (c *guardConn) refuse(no *fault) error {
	if c.opts.Refused != nil {
		c.opts.Refused(c.RemoteAddr(), no.status, no.code)
	}
	// Errors end nothing that does not end here anyway.
	deadline := time.Now().Add(c.opts.Linger)
	_ = c.Conn.SetDeadline(deadline)
	if _, err := c.Write(renderRefusal(no, c.opts.Region)); err == nil {
		// A close with unread bytes in the socket is a reset, which can overtake the
		// answer, RFC 9112 9.6.
		_ = c.CloseWrite()
		_, _ = io.CopyN(io.Discard, c.Conn, maxLinger)
	}
	return c.fail(io.EOF)
}

// CloseWrite lets net/http close gently after an early answer.
func (c *guardConn) CloseWrite() error {
	if inner, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return inner.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SetDeadline marks the connection as hijacked.
func (c *guardConn) SetDeadline(t time.Time) error {
	c.hijacked.Store(true)
	return c.Conn.SetDeadline(t)
}
