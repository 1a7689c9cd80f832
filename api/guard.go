package api

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// GuardOptions bound what a [Guard] lets through. The zero value is the default.
type GuardOptions struct {
	MaxHead   int // bytes of a request head, default 16 KiB
	MaxFields int // field lines of a request head, default 100

	// HeadTimeout is how long a head may take from its first byte to its last,
	// default 5 s; give http.Server.ReadHeaderTimeout the same value. It bounds a TLS
	// handshake too.
	HeadTimeout time.Duration
	// Linger is how long a refused connection is read on, so that the client sees
	// the answer before the connection goes away, default 1 s: RFC 9112 9.6.
	Linger time.Duration

	// HalfClose is how long a client that has closed its side while it waits for an answer
	// is taken for one that still reads, default 2 s. One that left cannot be told from it.
	HalfClose time.Duration

	// Hits answers what it can before the server sees it, and gives the other plain requests
	// to its door; nil: the server sees everything. The answers are written like the server's, within WriteTimeout of the Hits' door, and
	// a connection that got one has Idle until its next request, default 60 s; give
	// http.Server.IdleTimeout the same value.
	Hits *Hits
	Idle time.Duration

	// Region names the edge in the Cache-Status of refusals, default "local".
	Region string
	// Refused is told of each refused request: the client's address, the answered
	// status, and a short stable code. It may be called concurrently; nil is allowed.
	Refused func(client net.Addr, status int, code string)
}

// Guard wraps ln so that a net/http server on it sees well-formed requests
// only, and each of them alone: a connection's Read hands out one request at a
// time, and the bytes of a pipelined one only after the response before it. A
// request that breaks the grammar is answered here and its connection closed; the
// server never sees any byte of it.
//
// Hijacked connections pass through untouched. Above a TLS listener, Guard sees
// the decrypted bytes; ALPN must not offer h2 then, because only HTTP/1 is spoken.
func Guard(ln net.Listener, opts GuardOptions) net.Listener {
	orDefault(&opts.MaxHead, 16<<10)
	orDefault(&opts.MaxFields, 100)
	orDefault(&opts.HeadTimeout, 5*time.Second)
	orDefault(&opts.Linger, time.Second)
	orDefault(&opts.HalfClose, 2*time.Second)
	orDefault(&opts.Idle, 60*time.Second)
	orDefault(&opts.Region, "local")
	return &guardListener{Listener: ln, opts: &opts}
}

func orDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

type guardListener struct {
	net.Listener
	opts   *GuardOptions
	closed atomic.Bool
	young  young
}

// Close ends the hits, too: the server is about to stop, and knows best how.
func (l *guardListener) Close() error {
	l.closed.Store(true)
	err := l.Listener.Close()
	l.young.close()
	return err
}

func (l *guardListener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	conn := &guardConn{Conn: inner, opts: l.opts, ending: &l.closed, young: &l.young}
	if inner, ok := inner.(*tls.Conn); ok {
		conn.secure = true
		return &guardTLSConn{conn, inner}, nil
	}
	if _, ok := inner.(io.ReaderFrom); ok {
		return &guardTCPConn{conn}, nil
	}
	return conn, nil
}

// guardTCPConn keeps sendfile and splice for responses.
type guardTCPConn struct{ *guardConn }

func (c *guardTCPConn) ReadFrom(r io.Reader) (int64, error) {
	return c.Conn.(io.ReaderFrom).ReadFrom(r)
}

// guardTLSConn lets net/http fill in Request.TLS.
type guardTLSConn struct {
	*guardConn
	inner *tls.Conn
}

// ConnectionState completes the handshake first: net/http asks once, before it
// reads, and knows the handshake only of a bare *tls.Conn. An error comes back
// from the first Read.
func (c *guardTLSConn) ConnectionState() tls.ConnectionState {
	ctx, cancel := context.WithTimeout(context.Background(), c.opts.HeadTimeout)
	defer cancel()
	if err := c.inner.HandshakeContext(ctx); err != nil {
		return tls.ConnectionState{}
	}
	return c.inner.ConnectionState()
}
