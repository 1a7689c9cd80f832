package shield

import (
	"bufio"
	"cmp"
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
	writeAhead = 4 << 10 // bytes of requests that a connection keeps room for
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
	out    []byte   // room for a request
	first  exchange // of a socket without TLS: the request, and what comes first

	head    int64        // bytes that may still come before the body
	control controlWatch // of the head that comes
	begun   bool         // something of the answer has come
	refused error        // the other side has hung up before it had the whole request
	last    bool         // nobody else may ask

	until time.Time // the deadline that is set, zero for none
	since time.Time // when it was last used, zero before
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
	c.in = bufio.NewReaderSize(headReader{c}, readAhead)
	c.first.step = c.step
	return c
}

// A headReader bounds the head of a response, and looks at it.
type headReader struct{ c *connection }

func (r headReader) Read(p []byte) (n int, err error) {
	c := r.c
	if c.head <= 0 {
		return 0, fmt.Errorf("response head of more than %d bytes", maxHead)
	}
	p = p[:min(int64(len(p)), c.head)]
	if c.first.request != nil {
		n, err = c.exchange(p)
	} else {
		n, err = c.Conn.Read(p)
	}
	c.head -= int64(n)
	c.control.see(p[:n])
	return n, err
}

// ask sends a request and reads the head of the final response to it.
func (c *connection) ask(q call) (*http.Response, error) {
	c.begun, c.refused, c.control = false, nil, controlWatch{} // which sees all heads until the final one
	if err := c.begin(q); err != nil {
		return nil, err
	}
	for {
		c.head = maxHead
		if _, err := c.in.Peek(1); err != nil {
			return nil, cmp.Or(c.refused, err)
		}
		c.begun = true
		resp, err := readResponse(c.in, q.asked())
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

// begin sends a request, or has the first read send it.
func (c *connection) begin(q call) error {
	request, err := q.appendTo(c.out[:0], q.host)
	if err != nil {
		return err
	}
	if cap(request) <= writeAhead {
		c.out = request
	}
	c.allow(max(time.Until(q.due), 1))
	switch {
	case c.in.Buffered() > 0:
		return errUnsolicited
	case c.socket != nil && c.below == nil:
		c.first.request = request
		return nil
	case !c.quiet():
		return errUnsolicited
	}
	return c.send(request)
}

// send writes a request. That the other side has hung up is no error yet: it may have answered before, RFC 9112 9.5.
func (c *connection) send(request []byte) error {
	_, err := c.Write(request)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		c.refused, c.last, err = err, true, nil
	}
	return err
}

// An exchange is a request that is sent and the beginning of what comes then, as one thing: reading before
// there is anything to read costs a system call.
type exchange struct {
	request []byte // nil: is sent
	into    []byte
	n       int // bytes that came
	err     error
	step    func(fd uintptr) (done bool)
}

func (c *connection) exchange(p []byte) (int, error) {
	x := &c.first
	x.into, x.n, x.err = p, 0, nil
	err := c.socket.Read(x.step)
	x.request, x.into = nil, nil
	return x.n, cmp.Or(x.err, err)
}

// quiet says whether nothing has come, the end of a secured connection included.
func (c *connection) quiet() bool {
	switch {
	case c.below == nil, c.since.IsZero(): // what came belongs to the handshake
		return true
	case c.socket != nil && !nothingCame(c.socket):
		return false
	}
	return !c.below.partial() && c.decrypted()
}

// decrypted says whether TLS has nothing left of what it has received: a late Read finds that, and waits for nothing.
func (c *connection) decrypted() bool {
	_ = c.SetReadDeadline(time.Unix(1, 0))
	_, err := c.in.Peek(1)
	_ = c.SetReadDeadline(c.until) // fails where the next read does
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// allow has reads and writes wait for so long, for ever if it is 0, or a little longer: while the deadline that is there
// will do, it stays. A flight that waits for its head gives up a second later.
func (c *connection) allow(silence time.Duration) {
	until, slack := time.Time{}, time.Duration(0)
	if silence > 0 {
		until, slack = time.Now().Add(silence), min(silence/8, time.Second/2)
	}
	if late := c.until.Sub(until); late < 0 || late > slack {
		c.until = until.Add(slack)
		_ = c.SetDeadline(c.until) // fails where the next read does
	}
}

// An incoming is the body of a response on a connection.
type incoming struct {
	io.ReadCloser
	conn  *connection
	leash *leash
	home  *direct     // takes the connection back; nil when nobody can use it again
	over  atomic.Bool // the connection is not ours any more
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
	if b.leash.free() && whole && b.home != nil {
		b.home.put(b.conn)
		return
	}
	_ = b.conn.Close()
}

// allow has the next read wait for so long, or for ever if it is 0.
func (b *incoming) allow(silence time.Duration) {
	if !b.over.Load() {
		b.conn.allow(silence)
	}
}
