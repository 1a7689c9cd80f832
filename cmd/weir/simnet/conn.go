package simnet

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"syscall"
	"time"
)

// window is how many bytes may be on their way or unread.
const window = 256 << 10

// wire is a connection with both of its ends.
type wire struct {
	net     *Network
	link    *link
	number  uint64
	random  *rand.Rand
	extra   time.Duration // on top of the link's delay
	ends    [2]*conn
	changed chan struct{} // closed and replaced when anything about the wire changes
}

func newWire(n *Network, l *link, random *rand.Rand) *wire {
	w := &wire{net: n, link: l, number: l.opened, random: random, changed: make(chan struct{})}
	w.extra = w.jitter()
	l.wires[w] = struct{}{}
	return w
}

func (w *wire) jitter() time.Duration {
	if w.link.Jitter <= 0 {
		return 0
	}
	return time.Duration(w.random.Int64N(int64(w.link.Jitter)))
}

func (w *wire) wakeLocked() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// inOrder lists connections in the order in which they were made.
func (l *link) inOrder() []*wire {
	all := make([]*wire, 0, len(l.wires))
	for w := range l.wires {
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b *wire) int { return cmp.Compare(a.number, b.number) })
	return all
}

// segment is what one Write sent, or an end.
type segment struct {
	at    time.Time // when it arrives
	held  bool      // the link is silent: not yet
	bytes []byte
	end   error // after the bytes: io.EOF or a reset
}

// conn is one end of a wire.
type conn struct {
	wire          *wire
	host          string
	local, remote addr

	arriving   []segment
	unread     int // bytes in arriving
	failed     error
	closed     bool
	finished   bool // nothing can be written any more: CloseWrite
	readUntil  time.Time
	writeUntil time.Time
}

func (c *conn) other() *conn {
	if c.wire.ends[0] == c {
		return c.wire.ends[1]
	}
	return c.wire.ends[0]
}

// postLocked sends a segment to an end.
func (w *wire) postLocked(to *conn, s segment) {
	s.at = time.Now().Add(w.link.Delay + w.extra + w.jitter())
	s.held = w.link.silent
	if n := len(to.arriving); n > 0 {
		last := to.arriving[n-1]
		s.held = s.held || last.held
		if s.at.Before(last.at) {
			s.at = last.at
		}
	}
	to.arriving = append(to.arriving, s)
	to.unread += len(s.bytes)
	w.wakeLocked()
}

func (w *wire) holdLocked(now time.Time) {
	for _, c := range w.ends {
		for i := range c.arriving {
			if c.arriving[i].at.After(now) {
				c.arriving[i].held = true
			}
		}
	}
	w.wakeLocked()
}

func (w *wire) releaseLocked() {
	at := time.Now().Add(w.link.Delay + w.extra)
	for _, c := range w.ends {
		for i := range c.arriving {
			if c.arriving[i].held {
				c.arriving[i].held = false
				c.arriving[i].at = at
			}
		}
	}
	w.wakeLocked()
}

// resetLocked ends the connection for both sides at once.
func (w *wire) resetLocked() {
	for _, c := range w.ends {
		c.failLocked(syscall.ECONNRESET)
	}
	w.wakeLocked()
	delete(w.link.wires, w)
}

// crashLocked ends the connection at once on a host, and for the other as soon as it
// can hear of it.
func (w *wire) crashLocked(host string) {
	for _, c := range w.ends {
		if c.host == host && c.failed == nil && !c.closed {
			c.failLocked(syscall.ECONNRESET)
			w.postLocked(c.other(), segment{end: syscall.ECONNRESET})
		}
	}
	w.wakeLocked()
}

func (c *conn) failLocked(err error) {
	if c.failed == nil {
		c.failed = err
	}
	c.arriving, c.unread = nil, 0
}

// takeLocked gives what has arrived. done is false when there is nothing yet, for wait
// or, when wait is negative, until something changes.
func (c *conn) takeLocked(p []byte) (n int, done bool, wait time.Duration, err error) {
	now := time.Now()
	switch {
	case c.closed:
		return 0, true, 0, net.ErrClosed
	case c.failed != nil:
		return 0, true, 0, c.failed
	case len(p) == 0:
		return 0, true, 0, nil
	case !c.readUntil.IsZero() && !now.Before(c.readUntil):
		return 0, true, 0, os.ErrDeadlineExceeded
	}
	wait = -1
	for n < len(p) && len(c.arriving) > 0 {
		s := &c.arriving[0]
		if s.held {
			break
		}
		if late := s.at.Sub(now); late > 0 {
			wait = late
			break
		}
		k := copy(p[n:], s.bytes)
		n += k
		c.unread -= k
		s.bytes = s.bytes[k:]
		if len(s.bytes) > 0 {
			break
		}
		if s.end != nil {
			if n > 0 {
				break
			}
			if errors.Is(s.end, io.EOF) {
				return 0, true, 0, io.EOF // again and again
			}
			c.failLocked(s.end)
			return 0, true, 0, s.end
		}
		c.arriving = c.arriving[1:]
	}
	if n > 0 {
		c.wire.wakeLocked()
		return n, true, 0, nil
	}
	return 0, false, earlier(wait, c.readUntil, now), nil
}

// earlier is how long to wait for what comes first.
func earlier(wait time.Duration, deadline, now time.Time) time.Duration {
	if deadline.IsZero() {
		return wait
	}
	if left := max(0, deadline.Sub(now)); wait < 0 || left < wait {
		return left
	}
	return wait
}

// Read takes what has arrived.
func (c *conn) Read(p []byte) (int, error) {
	for {
		c.wire.net.mu.Lock()
		n, done, wait, err := c.takeLocked(p)
		changed := c.wire.changed
		c.wire.net.mu.Unlock()
		if done {
			return n, c.wrap("read", err)
		}
		_ = await(context.Background(), changed, wait)
	}
}

// Write sends p. It waits while the other side does not read.
func (c *conn) Write(p []byte) (int, error) {
	sent := 0
	for {
		c.wire.net.mu.Lock()
		n, wait, err := c.putLocked(p[sent:])
		changed := c.wire.changed
		c.wire.net.mu.Unlock()
		sent += n
		if err != nil || sent == len(p) {
			return sent, c.wrap("write", err)
		}
		if n == 0 {
			_ = await(context.Background(), changed, wait)
		}
	}
}

func (c *conn) putLocked(p []byte) (n int, wait time.Duration, err error) {
	now := time.Now()
	switch {
	case c.closed:
		return 0, 0, net.ErrClosed
	case c.failed != nil:
		return 0, 0, c.failed
	case c.finished:
		return 0, 0, syscall.EPIPE
	case !c.writeUntil.IsZero() && !now.Before(c.writeUntil):
		return 0, 0, os.ErrDeadlineExceeded
	}
	to := c.other()
	if to.closed || to.failed != nil {
		// It goes to nobody, and a reset comes back, unless one is on its way.
		if len(c.arriving) == 0 || !errors.Is(c.arriving[len(c.arriving)-1].end, syscall.ECONNRESET) {
			c.wire.postLocked(c, segment{end: syscall.ECONNRESET})
		}
		return len(p), 0, nil
	}
	if n = min(len(p), window-to.unread); n > 0 {
		c.wire.postLocked(to, segment{bytes: slices.Clone(p[:n])})
		return n, 0, nil
	}
	return 0, earlier(-1, c.writeUntil, now), nil
}

// CloseWrite says that nothing more will be written.
func (c *conn) CloseWrite() error {
	c.wire.net.mu.Lock()
	defer c.wire.net.mu.Unlock()
	if c.closed || c.failed != nil {
		return c.wrap("close", net.ErrClosed)
	}
	c.finishLocked()
	return nil
}

func (c *conn) finishLocked() {
	if !c.finished {
		c.finished = true
		if to := c.other(); !to.closed && to.failed == nil {
			c.wire.postLocked(to, segment{end: io.EOF})
		}
	}
}

// Close ends this side. What was written still arrives.
func (c *conn) Close() error {
	c.wire.net.mu.Lock()
	defer c.wire.net.mu.Unlock()
	if c.closed {
		return c.wrap("close", net.ErrClosed)
	}
	if c.failed == nil {
		c.finishLocked()
	}
	c.closed = true
	c.arriving, c.unread = nil, 0
	if to := c.other(); to.closed || to.failed != nil {
		delete(c.wire.link.wires, c.wire)
	}
	c.wire.wakeLocked()
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error { return c.setDeadlines(&t, &t) }

// SetReadDeadline bounds reads, those that wait included.
func (c *conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(&t, nil) }

// SetWriteDeadline bounds writes, those that wait included.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(nil, &t) }

func (c *conn) setDeadlines(read, write *time.Time) error {
	c.wire.net.mu.Lock()
	defer c.wire.net.mu.Unlock()
	if c.closed {
		return c.wrap("set", net.ErrClosed)
	}
	if read != nil {
		c.readUntil = *read
	}
	if write != nil {
		c.writeUntil = *write
	}
	c.wire.wakeLocked()
	return nil
}

func (c *conn) wrap(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}
