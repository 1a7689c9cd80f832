package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// hitConn is what a connection keeps for its hits.
type hitConn struct {
	idle     time.Time // when the read deadline in force was set, if it was for a hit
	extended time.Time // and the write deadline
	state    atomic.Int32
	pieces   [2][]byte
	sending  net.Buffers // what is left of pieces
	file     *fileSend   // nil until it is first needed
}

// What Close has to know of a connection.
const (
	hitNone    = iota // nothing is being answered here
	hitSending        // something is
	hitLast           // something is, and its end closes the connection
	hitClosed         // nothing will be
)

// answer answers the request of h, whose head is the first size bytes of buf, if it is a plain one:
// from memory, or by asking the door.
func (c *guardConn) answer(h *head, buf []byte, size int) (answered bool, err error) {
	hits := c.opts.Hits
	if hits == nil || c.bodied || c.ending.Load() || size > maxGlance || h.fields > MaxHeaders || !h.glanced() {
		return false, nil
	}
	now := hits.door.opts.Now()
	x := hits.find(h, c.secure, now)
	if x != nil {
		defer x.free()
	}
	if !c.passed && !c.listed {
		if !c.young.add(c) {
			return false, nil
		}
		c.listed = true
	}
	if !c.hits.state.CompareAndSwap(hitNone, hitSending) {
		return false, net.ErrClosed
	}
	if x != nil {
		err = c.sending(func() error { return c.sendHit(x) })
	} else {
		err = c.sending(func() error { return c.serveDirectly(h, buf[:size], now, len(buf) > size) })
	}
	if err != nil {
		return false, err
	}
	c.later = true
	if c.listed && c.ending.Load() {
		return false, net.ErrClosed
	}
	return true, c.awaitNext(time.Now())
}

// sending has an answer made and sent, and closes the connection after it if somebody wanted to close it meanwhile.
func (c *guardConn) sending(send func() error) (err error) {
	defer func() {
		if !c.hits.state.CompareAndSwap(hitSending, hitNone) {
			c.opts.Hits.leave.left(c)
			_ = c.close() // whoever wanted it was told that it is closed
			err = net.ErrClosed
		}
	}()
	return send()
}

func (c *guardConn) sendHit(x *hit) error {
	sent, err := x.send(c, time.Now())
	x.done(c, sent, err)
	return err
}

// closeLater says whether an answer that is on its way will close the connection.
func (c *guardConn) closeLater() bool {
	if c.opts.Hits == nil {
		return false
	}
	for {
		switch c.hits.state.Load() {
		case hitNone:
			if c.hits.state.CompareAndSwap(hitNone, hitClosed) {
				return false
			}
		case hitSending:
			c.opts.Hits.leave.add(c)
			if c.hits.state.CompareAndSwap(hitSending, hitLast) {
				return true
			}
			c.opts.Hits.leave.left(c)
		default:
			return false
		}
	}
}

// awaitNext gives the client its time for the next request. A deadline costs a timer, so one is
// kept while most of it is left.
func (c *guardConn) awaitNext(now time.Time) error {
	if now.Sub(c.hits.idle) < c.opts.Idle/8 {
		return nil
	}
	c.hits.idle = now
	return c.SetReadDeadline(now.Add(c.opts.Idle))
}

// extendWrite gives the client its time to take a piece.
func (c *guardConn) extendWrite(now time.Time, allowed time.Duration) error {
	if now.Sub(c.hits.extended) < allowed/8 {
		return nil
	}
	c.hits.extended = now
	return c.SetWriteDeadline(now.Add(allowed))
}

// How long a body is copied behind its head, so that one plain write sends both: beyond maxCopied two
// pieces in one system call are cheaper, where the connection has such a call.
const (
	maxCopied = 4 << 10
	maxJoined = 16 << 10
)

// send writes the answer, and returns how much of the body has gone.
func (x *hit) send(c *guardConn, now time.Time) (sent int64, err error) {
	allowed := x.hits.door.opts.WriteTimeout
	if err := c.extendWrite(now, allowed); err != nil {
		return 0, err
	}
	body := x.found.Body
	if x.status == http.StatusNotModified || x.isHead() {
		body = nil
	}
	_, tcp := plainTCP(c.Conn)
	if len(body) == 0 || !tcp {
		x.found.Body, x.found.File = nil, nil // a file is of no use here
	}
	if len(body) <= maxCopied || len(body) <= maxJoined && !tcp {
		head := len(x.out)
		x.out = append(x.out, body...)
		n, err := c.Conn.Write(x.out)
		return int64(max(0, n-head)), err
	}
	if x.found.File != nil {
		if s := c.fileSend(); s != nil {
			return x.sendFile(c, s)
		}
	}
	sent, err = c.sendPieces(x.out, body, allowed)
	return max(0, sent-int64(len(x.out))), err
}

// sendPieces sends two pieces, and returns how much of them has gone.
func (c *guardConn) sendPieces(head, body []byte, allowed time.Duration) (sent int64, err error) {
	c.hits.pieces = [2][]byte{head, body}
	c.hits.sending = c.hits.pieces[:]
	defer func() { c.hits.pieces, c.hits.sending = [2][]byte{}, nil }()
	if tcp, ok := plainTCP(c.Conn); ok {
		return c.writeVector(tcp, allowed)
	}
	return c.writePieces(allowed)
}

// plainTCP returns what is below conn, if there is nothing between it and its socket: what takes two pieces in one
// system call, and files.
func plainTCP(conn net.Conn) (*net.TCPConn, bool) {
	if limited, ok := conn.(*limitTCPConn); ok {
		conn = limited.Conn
	}
	inner, ok := conn.(*net.TCPConn)
	return inner, ok
}

// writeVector sends what is to be sent at once, as long as the client takes maxWrite within each
// deadline.
func (c *guardConn) writeVector(tcp *net.TCPConn, allowed time.Duration) (sent int64, err error) {
	for {
		var n int64
		n, err = c.hits.sending.WriteTo(tcp)
		sent += n
		if n < maxWrite || !errors.Is(err, os.ErrDeadlineExceeded) {
			return sent, err
		}
		c.hits.extended = time.Time{}
		if err := c.extendWrite(time.Now(), allowed); err != nil {
			return sent, err
		}
	}
}

// writePieces does the same for connections that are of no use once a write was late, TLS above all.
func (c *guardConn) writePieces(allowed time.Duration) (sent int64, err error) {
	for _, rest := range c.hits.pieces {
		for len(rest) > 0 {
			if err := c.extendWrite(time.Now(), allowed); err != nil {
				return sent, err
			}
			n, err := c.Conn.Write(rest[:min(len(rest), maxWrite)])
			sent += int64(n)
			if err != nil {
				return sent, err
			}
			rest = rest[n:]
		}
	}
	return sent, nil
}

// leaving are connections that were closed while something was being answered on them.
type leaving struct {
	mu    sync.Mutex
	conns map[*guardConn]struct{}
	empty chan struct{} // closed when conns is empty; nil when nobody waits
}

func (l *leaving) add(c *guardConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns == nil {
		l.conns = map[*guardConn]struct{}{}
	}
	l.conns[c] = struct{}{}
}

func (l *leaving) left(c *guardConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	if len(l.conns) == 0 && l.empty != nil {
		close(l.empty)
		l.empty = nil
	}
}

// Drain waits for the answers that are made or sent on connections that a server has closed, which
// http.Server.Shutdown does not. When ctx ends first they are cut off.
func (hits *Hits) Drain(ctx context.Context) error {
	l := &hits.leave
	l.mu.Lock()
	if len(l.conns) == 0 {
		l.mu.Unlock()
		return nil
	}
	if l.empty == nil {
		l.empty = make(chan struct{})
	}
	empty := l.empty
	l.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.close() // its answer is cut off
	}
	return context.Cause(ctx)
}
