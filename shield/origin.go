package shield

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"weir/policy"
)

// An origin is a group of upstreams that answer alike.
type origin struct {
	def    *policy.Origin
	opts   *Options
	counts *counts
	direct bool // requests without a body do without a transport

	mu        sync.Mutex // guards the upstreams' state
	upstreams []*upstream

	refs    int  // guarded by origins.mu: requests that use it
	current bool // guarded by origins.mu: the table has it

	stop   context.CancelFunc // of the health checks, nil without any
	checks sync.WaitGroup
}

func newOrigin(def *policy.Origin, opts *Options, c *counts) (*origin, error) {
	o := &origin{def: def, opts: opts, counts: c}
	for _, u := range def.Upstreams {
		base, err := url.Parse(u.URL)
		if err != nil || base.Host == "" {
			return nil, fmt.Errorf("%w: upstream %q", ErrNoOrigin, u.URL)
		}
		first := o.pool(base, longestIdle)
		o.direct = first.direct != nil && opts.Transport == nil
		if opts.Transport != nil {
			first = &pool{RoundTripper: opts.Transport(def, u)}
		}
		o.upstreams = append(o.upstreams, &upstream{def: u, base: base, weight: max(1, u.Weight), pools: []*pool{first}})
	}
	if len(o.upstreams) == 0 {
		return nil, fmt.Errorf("%w: %q has no upstreams", ErrNoOrigin, def.Name)
	}
	return o, nil
}

func (o *origin) headerTimeout() time.Duration { return orElse(o.def.HeaderTimeout, 30*time.Second) }
func (o *origin) idleTimeout() time.Duration   { return orElse(o.def.IdleTimeout, 30*time.Second) }
func (o *origin) totalTimeout() time.Duration  { return orElse(o.def.TotalTimeout, time.Hour) }

// transport is for what is more than a head: uploads, and connections that switch protocols.
func (o *origin) transport(d dialer, idle time.Duration) http.RoundTripper {
	return &http.Transport{
		Proxy:                  nil, // the environment does not say where origins are
		DialContext:            guarded(d.plain),
		DialTLSContext:         guarded(d.secure),
		DisableCompression:     true, // or it would ask for gzip and decode it
		MaxResponseHeaderBytes: maxHead,
		MaxConnsPerHost:        o.def.MaxConns,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idle,
		ReadBufferSize:         readAhead,
		WriteBufferSize:        8 << 10,
	}
}

// send asks one upstream after the other, at most Retries more after the first,
// and returns the first answer. The header timeout covers all of them.
func (o *origin) send(ctx context.Context, out *outgoing) (*reply, error) {
	if o.direct && out.bare() {
		return o.sendDirect(ctx, out)
	}
	return o.sendThrough(ctx, out)
}

// sendDirect is for requests without a body.
func (o *origin) sendDirect(ctx context.Context, out *outgoing) (*reply, error) {
	limit := o.headerTimeout()
	q := call{outgoing: out, host: o.hostFor(out), due: time.Now().Add(limit)}
	rep, err := o.try(ctx, out, func(u *upstream) (*http.Response, error) {
		resp, err := o.connections(u).direct.ask(ctx, q)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, fmt.Errorf("%w: no response head in %s", ErrOriginTimeout, limit)
		}
		return resp, err
	})
	if err != nil {
		return nil, err
	}
	rep.body.ctx, rep.body.idle = ctx, o.idleTimeout()
	return rep, nil
}

// sendThrough is for all that net/http has a transport for.
func (o *origin) sendThrough(ctx context.Context, out *outgoing) (*reply, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	ctx = watch(ctx, out)
	patience := o.patience(cancel)
	defer patience.end()
	if out.stream != nil {
		out.stream.patience = patience // runs while the origin has all it wants
	} else {
		patience.start()
	}
	rep, err := o.try(ctx, out, func(u *upstream) (*http.Response, error) {
		hreq, err := o.request(ctx, u, out)
		if err != nil {
			return nil, err
		}
		resp, err := o.connections(u).RoundTrip(hreq)
		if err == nil {
			out.control.correct(resp.Header)
		}
		return resp, err
	})
	if err != nil {
		cancel(nil)
		return nil, err
	}
	rep.body.arm(ctx, cancel, o)
	return rep, nil
}

// A way sends a request to an upstream, once.
type way func(u *upstream) (*http.Response, error)

func (o *origin) try(ctx context.Context, out *outgoing, by way) (*reply, error) {
	tried := make(map[*upstream]bool, 1)
	for try := 0; ; try++ {
		u := o.pick(tried)
		tried[u] = true
		rep, err := o.ask(ctx, u, out, by)
		if err == nil {
			return rep, nil
		}
		again := try < o.def.Retries && len(tried) < len(o.upstreams) &&
			errors.Is(err, ErrOriginUnreachable) && out.repeatable() && ctx.Err() == nil
		if !again {
			return nil, err
		}
		o.counts.retries.Add(1)
	}
}

// ask asks one upstream once.
func (o *origin) ask(ctx context.Context, u *upstream, out *outgoing, by way) (*reply, error) {
	o.counts.originRequests.Add(1)
	u.requests.Add(1)
	asked := o.opts.Now()
	resp, err := by(u)
	if err != nil {
		err = classify(ctx, err)
		o.judge(u, err, 0)
		return nil, fmt.Errorf("%s: %w", u.def.URL, err)
	}
	o.judge(u, nil, resp.StatusCode)
	o.heed(u, resp.Header)
	rep, err := check(resp, out, asked, o.opts.Now())
	if err != nil {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s: %w", u.def.URL, err)
	}
	rep.body = &rep.own
	rep.body.src, rep.body.switched = resp.Body, resp.StatusCode == http.StatusSwitchingProtocols
	return rep, nil
}

// hostFor is the Host that out is sent with.
func (o *origin) hostFor(out *outgoing) string {
	if o.def.Host != "" {
		return o.def.Host
	}
	return out.host
}

func (o *origin) request(ctx context.Context, u *upstream, out *outgoing) (*http.Request, error) {
	at, err := locate(u.base, out.target)
	if err != nil {
		return nil, err
	}
	hreq := (&http.Request{
		Method:     out.method,
		URL:        at,
		Host:       o.hostFor(out),
		Header:     out.fields.header(),
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
	}).WithContext(ctx)
	if out.method == methodQuery && hreq.Header["Idempotency-Key"] == nil {
		hreq.Header["Idempotency-Key"] = []string{} // is not sent; says that a connection which broke may be replaced
	}
	switch {
	case out.stream != nil:
		hreq.Body, hreq.ContentLength, hreq.Trailer = out.stream, out.stream.length, out.stream.trailer
	case len(out.body) > 0:
		hreq.ContentLength = int64(len(out.body))
		hreq.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.body)), nil }
		hreq.Body, _ = hreq.GetBody()
	}
	return hreq, nil
}

// repeatable says whether the request may be sent again, RFC 9110 9.2.2, and still can be.
func (out *outgoing) repeatable() bool {
	if out.stream != nil && out.stream.used.Load() {
		return false
	}
	switch out.method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete, methodQuery:
		return true
	}
	return false
}

// methodQuery is safe and idempotent although it has a body, RFC 10008.
const methodQuery = "QUERY"

// classify turns a round trip's error into one of the package's.
func classify(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if errors.Is(err, ErrOriginTimeout) || errors.Is(err, ErrTarget) {
		return err
	}
	var op *net.OpError
	var timeout net.Error
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%w: %w", ErrOriginTimeout, err)
	case errors.As(err, &op), errors.As(err, &cert),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		err.Error() == "http: server closed idle connection":
		return fmt.Errorf("%w: %w", ErrOriginUnreachable, err)
	}
	return fmt.Errorf("%w: %w", ErrOriginProtocol, err)
}

// patience cancels a request whose origin owes a response head for too long. It is
// over when the head is there, although an upload may go on.
type patience struct {
	mu    sync.Mutex // guards over
	over  bool
	timer *time.Timer
	limit time.Duration
}

func (o *origin) patience(cancel context.CancelCauseFunc) *patience {
	limit := o.headerTimeout()
	p := &patience{limit: limit, timer: time.AfterFunc(limit, func() {
		cancel(fmt.Errorf("%w: no response head in %s", ErrOriginTimeout, limit))
	})}
	p.timer.Stop()
	return p
}

func (p *patience) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.timer.Reset(p.limit)
	}
}

func (p *patience) pause() { p.timer.Stop() }

func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.timer.Stop()
}

// An upload is the body of a passed request. While the client is waited for, the
// origin owes nothing.
type upload struct {
	src      io.Reader
	length   int64
	trailer  http.Header        // what of it was announced and goes on, nil for nothing
	fields   func() http.Header // the trailer fields that have come
	patience *patience
	used     atomic.Bool
}

func (u *upload) Read(p []byte) (int, error) {
	u.used.Store(true)
	u.patience.pause()
	n, err := u.src.Read(p)
	u.patience.start()
	if errors.Is(err, io.EOF) {
		u.complete()
	}
	return n, err
}

// Close leaves the client's body to whoever gave it.
func (u *upload) Close() error { return nil }
