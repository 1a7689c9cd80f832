package shield

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"time"
)

// maxIdle is how many unused connections an upstream has at most.
const maxIdle = 256

// A direct is the way to one upstream for requests without a body: connections that stay open.
//
// net/http's Transport has two goroutines for each connection, to which every request and every
// response is handed over.
type direct struct {
	dial dial
	addr string
	idle time.Duration // how long a connection may be unused

	mu     sync.Mutex    // guards what follows
	free   []*connection // what was used last is last
	closed bool

	sweep    *time.Timer // closes what has been unused for too long; nil before it is needed
	sweeping bool        // it is set
}

// newDirect returns the way to where base points.
func newDirect(base *url.URL, d dialer, idle time.Duration) *direct {
	w := &direct{dial: d.plain, addr: base.Host, idle: idle}
	port := "80"
	if base.Scheme == "https" {
		w.dial, port = d.secure, "443"
	}
	if base.Port() == "" {
		w.addr = net.JoinHostPort(base.Hostname(), port)
	}
	return w
}

// A call is a request without a body, and when the head of the answer is due.
type call struct {
	*outgoing
	host string
	due  time.Time
}

// ask asks once. A kept connection that turns out to be closed costs nothing but another
// one: that the origin closed it while it was idle is all that is likely, RFC 9112 9.3.1.
func (d *direct) ask(ctx context.Context, q call) (*http.Response, error) {
	if c := d.take(); c != nil {
		resp, err := d.on(ctx, c, q)
		switch {
		case err == nil && waited(resp):
			_ = resp.Body.Close()
		case err == nil, c.begun, !stale(err), ctx.Err() != nil:
			return resp, err
		}
	}
	c, err := d.connect(ctx, q.due)
	if err != nil {
		return nil, err
	}
	return d.on(ctx, c, q)
}

// waited says whether a server has closed a connection because nothing came for too long, RFC 9110 15.5.9. It
// may have said so before the request was there.
func waited(resp *http.Response) bool {
	return resp.StatusCode == http.StatusRequestTimeout && resp.Close
}

// stale says whether a connection had ended, or had something left, before it was used again.
func stale(err error) bool {
	return hungUp(err) || errors.Is(err, syscall.EPIPE) || errors.Is(err, errUnsolicited)
}

func (d *direct) connect(ctx context.Context, due time.Time) (*connection, error) {
	ctx, cancel := context.WithDeadline(ctx, due)
	defer cancel()
	conn, err := d.dial(ctx, "tcp", d.addr)
	if err != nil {
		return nil, err
	}
	return newConnection(conn), nil
}

// on asks on a connection, which ends with the request until the body has been read.
func (d *direct) on(ctx context.Context, c *connection, q call) (*http.Response, error) {
	l := q.leash
	if l == nil {
		l = leashTo(ctx)
	}
	l.hold(c)
	resp, err := c.ask(q)
	if err != nil {
		l.free()
		_ = c.Close()
		return nil, err
	}
	body := &incoming{ReadCloser: resp.Body, conn: c, leash: l}
	if !resp.Close && !c.last && resp.StatusCode != http.StatusSwitchingProtocols {
		body.home = d
	}
	if resp.Body == http.NoBody {
		body.end(true)
		return resp, nil
	}
	resp.Body = body
	return resp, nil
}

// take returns the connection that was used last, or nil.
func (d *direct) take() *connection {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.free) - 1
	if n < 0 {
		return nil
	}
	c := d.free[n]
	d.free[n], d.free = nil, d.free[:n]
	return c
}

func (d *direct) put(c *connection) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.free) >= maxIdle {
		_ = c.Close()
		return
	}
	c.since = time.Now()
	d.free = append(d.free, c)
	switch {
	case d.sweep == nil:
		d.sweep = time.AfterFunc(d.idle, d.drop)
		d.sweeping = true
	case !d.sweeping:
		d.sweep.Reset(d.idle)
		d.sweeping = true
	}
}

// drop closes what nobody has used for long, and comes again when the next one may be due.
func (d *direct) drop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	long := 0
	for long < len(d.free) && time.Since(d.free[long].since) >= d.idle {
		_ = d.free[long].Close()
		long++
	}
	d.free = slices.Delete(d.free, 0, long)
	if d.sweeping = len(d.free) > 0; d.sweeping {
		d.sweep.Reset(d.idle - time.Since(d.free[0].since))
	}
}

// disconnect closes the connections that are not in use, and those in use when they come back.
func (d *direct) disconnect() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, c := range d.free {
		_ = c.Close()
	}
	d.free = nil
	if d.sweep != nil {
		d.sweep.Stop()
	}
}
