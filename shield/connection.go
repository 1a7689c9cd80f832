package shield

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	maxHead    = 64 << 10 // bytes of a response head
	readAhead  = 16 << 10
	writeAhead = 4 << 10
)

// A connection to an upstream carries one request at a time, in the goroutine that wants the answer.
//
// What belongs to no request is given to none: a connection on which something has come while
// nobody asked, be it left over from a body or sent later, is not used again.
type connection struct {
	net.Conn
	socket syscall.RawConn // nil: cannot be looked at
	below  *records        // nil without TLS
	in     *bufio.Reader
	out    *bufio.Writer

	head    int64        // bytes that may still come before the body
	control controlWatch // of the head that comes
	begun   bool         // something of the answer has come

	idle *time.Timer // nil until it is first unused
}

func newConnection(conn net.Conn) *connection {
	c := &connection{Conn: conn}
	if secured, ok := conn.(*tls.Conn); ok {
		if c.below, ok = secured.NetConn().(*records); ok {
			conn = c.below.Conn
		}
	}
	if socket, ok := conn.(syscall.Conn); ok {
		c.socket, _ = socket.SyscallConn() // nil with an error
	}
	c.in, c.out = bufio.NewReaderSize(headReader{c}, readAhead), bufio.NewWriterSize(c.Conn, writeAhead)
	return c
}

// A headReader bounds the head of a response, and looks at it.
type headReader struct{ c *connection }

func (r headReader) Read(p []byte) (int, error) {
	c := r.c
	if c.head <= 0 {
		return 0, fmt.Errorf("response head of more than %d bytes", maxHead)
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.head)])
	c.head -= int64(n)
	c.control.see(p[:n])
	return n, err
}

// ask sends a request and reads the head of the final response to it.
func (c *connection) ask(q call) (*http.Response, error) {
	c.begun = false
	if !c.quiet(q.due) {
		return nil, errUnsolicited
	}
	if err := q.write(c.out, q.host); err != nil {
		return nil, err
	}
	c.control = controlWatch{} // sees all heads until the final one
	for {
		c.head = maxHead
		if _, err := c.in.Peek(1); err != nil {
			return nil, err
		}
		c.begun = true
		resp, err := http.ReadResponse(c.in, q.asked())
		if err != nil {
			return nil, err
		}
		if s := resp.StatusCode; s < 100 || s >= 200 || s == http.StatusSwitchingProtocols {
			c.control.correct(resp.Header)
			c.head = math.MaxInt64
			return resp, nil
		}
		if err := q.filter.take(resp.StatusCode, resp.Header); err != nil {
			return nil, err
		}
	}
}

// quiet says whether nothing has come, the end of the connection included.
func (c *connection) quiet(due time.Time) bool {
	fresh := c.idle == nil
	switch {
	case c.below != nil && fresh: // what came belongs to the handshake
		return true
	case c.in.Buffered() > 0, c.socket != nil && !nothingCame(c.socket):
		return false
	}
	return c.below == nil || !c.below.partial() && c.decrypted(due)
}

// decrypted says whether TLS has nothing left of what it has received: a late Read finds that, and waits for nothing.
func (c *connection) decrypted(due time.Time) bool {
	_ = c.SetReadDeadline(time.Unix(1, 0))
	_, err := c.in.Peek(1)
	_ = c.SetReadDeadline(due) // fails where the next read does
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// An incoming is the body of a response on a connection.
type incoming struct {
	io.ReadCloser
	conn *connection
	stop func() bool // takes the connection away from the request's context
	back func()      // gives the connection back; nil when nobody can use it again
	over atomic.Bool // the connection is not ours any more
}

// Read gives the connection back with the last byte.
func (b *incoming) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.end(err == io.EOF) //nolint:errorlint // a wrapped one is no end
	}
	return n, err
}

// Close ends a read in progress, and the connection unless the body has come whole.
func (b *incoming) Close() error {
	b.end(false)
	return nil
}

func (b *incoming) end(whole bool) {
	if !b.over.CompareAndSwap(false, true) {
		return
	}
	if b.stop() && whole && b.back != nil {
		b.back()
		return
	}
	_ = b.conn.Close()
}

// allow has the next read wait for so long, or for ever if it is 0.
func (b *incoming) allow(silence time.Duration) {
	if b.over.Load() {
		return
	}
	var until time.Time
	if silence > 0 {
		until = time.Now().Add(silence)
	}
	_ = b.conn.SetReadDeadline(until) // fails where the read does
}
