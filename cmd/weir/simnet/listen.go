package simnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"time"
)

// dialTimeout is when an operating system gives up.
const dialTimeout = 2 * time.Minute

// Host is where connections begin and end.
type Host struct {
	net  *Network
	name string
}

// Host returns the host of a name.
func (n *Network) Host(name string) *Host { return &Host{n, name} }

type addr string

func (a addr) Network() string { return "tcp" }
func (a addr) String() string  { return string(a) }

// listener is a net.Listener.
type listener struct {
	net    *Network
	host   string
	addr   addr
	closed bool
	queue  []arrival
}

// arrival is a connection that can be accepted from a moment on.
type arrival struct {
	at   time.Time
	conn *conn
}

// Listen listens on a port of the host.
func (h *Host) Listen(port int) (net.Listener, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	address := net.JoinHostPort(h.name, fmt.Sprint(port))
	if h.net.downs[h.name] {
		return nil, opError("listen", addr(address), syscall.ENETDOWN)
	}
	if h.net.listeners[address] != nil {
		return nil, opError("listen", addr(address), syscall.EADDRINUSE)
	}
	l := &listener{net: h.net, host: h.name, addr: addr(address)}
	h.net.listeners[address] = l
	return l, nil
}

func (l *listener) Addr() net.Addr { return l.addr }

// Accept waits for a connection to arrive.
func (l *listener) Accept() (net.Conn, error) {
	for {
		l.net.mu.Lock()
		if l.closed {
			l.net.mu.Unlock()
			return nil, opError("accept", l.addr, net.ErrClosed)
		}
		changed, wait := l.net.changed, time.Duration(-1)
		if len(l.queue) > 0 {
			if wait = time.Until(l.queue[0].at); wait <= 0 {
				c := l.queue[0].conn
				l.queue = l.queue[1:]
				l.net.mu.Unlock()
				return c, nil
			}
		}
		l.net.mu.Unlock()
		_ = await(context.Background(), changed, wait)
	}
}

// Close makes Accept fail. Connections that nobody accepted are reset.
func (l *listener) Close() error {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	if l.closed {
		return opError("close", l.addr, net.ErrClosed)
	}
	l.closeLocked()
	l.net.wakeLocked()
	return nil
}

func (l *listener) closeLocked() {
	l.closed = true
	delete(l.net.listeners, string(l.addr))
	for _, a := range l.queue {
		a.conn.wire.resetLocked()
	}
	l.queue = nil
}

// Dial connects to an address of another host. It takes one round trip. On a silent
// link it waits, for as long as an operating system would.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "tcp" {
		return nil, opError("dial", addr(address), net.UnknownNetworkError(network))
	}
	to, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, opError("dial", addr(address), err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, dialTimeout, os.ErrDeadlineExceeded)
	defer cancel()
	c, wait, err := h.send(ctx, to, address)
	if err == nil || wait > 0 {
		if late := await(ctx, nil, wait); late != nil {
			err = late
		}
	}
	if err != nil {
		if c != nil {
			_ = c.Close()
		}
		return nil, opError("dial", addr(address), err)
	}
	return c, nil
}

// send has a connection, or its refusal, arrive; wait is how long the answer takes.
func (h *Host) send(ctx context.Context, to, address string) (_ *conn, wait time.Duration, err error) {
	n := h.net
	for {
		n.mu.Lock()
		l, changed := n.linkLocked(h.name, to), n.changed
		switch {
		case n.downs[h.name]:
			n.mu.Unlock()
			return nil, 0, syscall.ENETDOWN
		case l.silent:
			n.mu.Unlock()
			if err := await(ctx, changed, -1); err != nil {
				return nil, 0, err
			}
			continue
		}
		defer n.mu.Unlock()
		door := n.listeners[address]
		if door == nil {
			return nil, 2 * l.Delay, syscall.ECONNREFUSED
		}
		l.opened++
		w := newWire(n, l, n.random(between(h.name, to), l.opened))
		local := addr(fmt.Sprintf("%s:%d", h.name, 30000+l.opened%30000))
		w.ends[0] = &conn{wire: w, host: h.name, local: local, remote: addr(address)}
		w.ends[1] = &conn{wire: w, host: to, local: addr(address), remote: local}
		one := l.Delay + w.extra
		door.queue = append(door.queue, arrival{time.Now().Add(one), w.ends[1]})
		slices.SortStableFunc(door.queue, func(a, b arrival) int { return a.at.Compare(b.at) })
		n.wakeLocked()
		return w.ends[0], 2 * one, nil
	}
}

// await waits for one of three: a change, the end of a while (for ever if it is
// negative), the end of ctx, which is an error.
func await(ctx context.Context, changed <-chan struct{}, while time.Duration) error {
	var over <-chan time.Time
	if while >= 0 {
		t := time.NewTimer(while)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-changed:
		return nil
	case <-over:
		return nil
	case <-ctx.Done():
		if errors.Is(context.Cause(ctx), os.ErrDeadlineExceeded) {
			return syscall.ETIMEDOUT
		}
		return ctx.Err()
	}
}

func opError(op string, a addr, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: a, Err: err}
}
