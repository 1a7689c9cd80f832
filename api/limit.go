package api

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
)

// Limit wraps ln so that no more than n connections are open at once; the next
// ones wait in the operating system's queue. 0 is no limit.
func Limit(ln net.Listener, n int) net.Listener {
	if n <= 0 {
		return ln
	}
	return &limitListener{Listener: ln, slots: make(chan struct{}, n), closed: make(chan struct{})}
}

type limitListener struct {
	net.Listener
	slots  chan struct{} // one element per open connection
	closed chan struct{}
	once   sync.Once
}

func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	limited := &limitConn{Conn: conn, free: sync.OnceFunc(func() { <-l.slots })}
	if _, ok := conn.(*net.TCPConn); ok {
		return &limitTCPConn{limited}, nil
	}
	return limited, nil
}

func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitConn struct {
	net.Conn
	free func()
}

func (c *limitConn) Close() error {
	err := c.Conn.Close()
	c.free()
	return err
}

// limitTCPConn keeps what a TCP connection can do besides: half-close and
// sendfile.
type limitTCPConn struct{ *limitConn }

func (c *limitTCPConn) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

func (c *limitTCPConn) ReadFrom(r io.Reader) (int64, error) {
	return c.Conn.(*net.TCPConn).ReadFrom(r)
}

// reset closes a connection so that its client gets an error rather than an end.
// Below TLS it does the same: nothing says there that the end was meant.
func reset(conn net.Conn) {
	defer func() { _ = conn.Close() }() // frees what the wrappers hold
	for inner := conn; ; {
		switch c := inner.(type) {
		case *limitTCPConn:
			inner = c.Conn
		case *limitConn:
			inner = c.Conn
		case *guardTCPConn:
			inner = c.Conn
		case *guardTLSConn:
			inner = c.inner
		case *guardConn:
			inner = c.Conn
		case *tls.Conn:
			inner = c.NetConn()
		case *net.TCPConn:
			_ = c.SetLinger(0) // fails only on a connection that is gone
			_ = c.Close()
			return
		default:
			return
		}
	}
}
