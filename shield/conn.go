package shield

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"time"
)

var errUnsolicited = errors.New("bytes that belong to no request")

// A guardedConn is a connection to an upstream that gives nothing to a request
// that came before the request was sent.
//
// net/http hands a connection to the next request when the last body has ended. Let an
// upstream send more than it declared:
//
//  1. The reader of the connection has the surplus in its buffer, and puts the
//     connection back into the pool.
//  2. Another request takes the connection.
//  3. The reader finds the surplus, and takes it for that request's response.
//
// Twenty clients of such an upstream got 17 foreign responses in 6,000.
//
// So before a connection is used again, its reader must be seen to wait for new
// bytes, which it does only with an empty buffer; and bytes that come while no
// request has been written are an error.
type guardedConn struct {
	net.Conn

	mu      sync.Mutex
	asked   bool          // a request was begun since the last response
	reading bool          // the reader waits for bytes and has none buffered
	closed  bool          // by us
	changed chan struct{} // closed when reading or closed become true; nil when nobody waits
	watch   *controlWatch // of the response that comes
}

func (c *guardedConn) Read(p []byte) (int, error) {
	c.set(&c.reading)
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = false
	if n > 0 && !c.asked {
		return 0, errUnsolicited
	}
	if c.watch != nil {
		c.watch.see(p[:n])
	}
	return n, err
}

func (c *guardedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.asked = true
	c.mu.Unlock()
	return c.Conn.Write(p)
}

func (c *guardedConn) Close() error {
	c.set(&c.closed)
	return c.Conn.Close()
}

func (c *guardedConn) set(state *bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*state = true
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// reuse waits until the reader has nothing left of the last response. A
// connection that has turns out to be closed.
func (c *guardedConn) reuse(ctx context.Context) {
	for {
		c.mu.Lock()
		if c.reading || c.closed {
			c.asked = false
			c.mu.Unlock()
			return
		}
		if c.changed == nil {
			c.changed = make(chan struct{})
		}
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// begin has the next response watched.
func (c *guardedConn) begin(w *controlWatch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch = w
}

// dialer connects to upstreams.
type dialer struct {
	timeout time.Duration
	roots   *x509.CertPool // nil: those of the system
}

func (d dialer) plain(ctx context.Context, network, addr string) (net.Conn, error) {
	return (&net.Dialer{Timeout: d.timeout, KeepAlive: 30 * time.Second}).DialContext(ctx, network, addr)
}

func (d dialer) secure(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	conn, err := d.plain(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	name, _, _ := net.SplitHostPort(addr) // or it could not have been dialled
	secured := tls.Client(&records{Conn: conn}, &tls.Config{
		ServerName: name, RootCAs: d.roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
	})
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secured, nil
}

type dial func(ctx context.Context, network, addr string) (net.Conn, error)

// guarded makes the connections of a dial guarded ones.
func guarded(d dial) dial {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := d(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &guardedConn{Conn: conn}, nil
	}
}

// watch guards the connection that a request gets, has what comes before its
// response told, and its head looked at. Each try gets a watch of its own: the
// connection of the one before may still be read.
func watch(ctx context.Context, out *outgoing) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			c, ok := info.Conn.(*guardedConn)
			if !ok {
				return
			}
			if info.Reused {
				c.reuse(ctx)
			}
			out.control = new(controlWatch)
			c.begin(out.control)
		},
		Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
			return out.filter.take(status, http.Header(h))
		},
	})
}
