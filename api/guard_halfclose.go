package api

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// A halfClose keeps serving a client that has closed its side of the connection and
// still reads, as many simple ones do once they have sent their request. net/http takes
// that for a client that left, and the two look alike until something is written to them.
// So the end of what the client sends is kept from net/http for a while.
type halfClose struct {
	mu      sync.Mutex
	expired bool          // the read deadline is over
	closed  bool          // by us
	wake    chan struct{} // closed when either becomes true; nil when nobody waits
}

// wait ends with io.EOF after d, or with what would have ended a Read before.
func (h *halfClose) wait(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	h.mu.Lock()
	wake := make(chan struct{})
	h.wake = wake
	h.wakeLocked()
	h.mu.Unlock()
	select {
	case <-timer.C:
		return io.EOF
	case <-wake:
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return net.ErrClosed
	}
	return os.ErrDeadlineExceeded
}

func (h *halfClose) wakeLocked() {
	if h.wake != nil && (h.expired || h.closed) {
		close(h.wake)
		h.wake = nil
	}
}

// SetReadDeadline is how net/http ends a Read whose result it does not need any more.
func (c *guardConn) SetReadDeadline(t time.Time) error {
	c.half.mu.Lock()
	c.half.expired = !t.IsZero() && !t.After(time.Now())
	c.half.wakeLocked()
	c.half.mu.Unlock()
	return c.Conn.SetReadDeadline(t)
}

// Close ends a wait too. What is being answered is sent to its end, unless Close is called again.
func (c *guardConn) Close() error {
	if c.closeLater() {
		return nil
	}
	return c.close()
}

func (c *guardConn) close() error {
	c.half.mu.Lock()
	c.half.closed = true
	c.half.wakeLocked()
	c.half.mu.Unlock()
	c.young.leave(c)
	return c.Conn.Close()
}
