package shield

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A pool is an upstream's connections. An idle one is closed before the upstream closes
// it: a request that is written into a connection which the other side is closing is
// lost, and one with a body, or a POST, cannot be sent again, RFC 9112 9.3.1. Some servers say
// how long they wait, and for some of them that is no more than five seconds.
type pool struct {
	http.RoundTripper
	direct *direct       // for requests without a body; nil: they go with the others
	idle   time.Duration // how long a connection may be unused; 0 if somebody else decides
}

// pool makes a pool of connections to where base points.
func (o *origin) pool(base *url.URL, idle time.Duration) *pool {
	d := dialer{timeout: orElse(o.def.ConnectTimeout, 5*time.Second)}
	p := &pool{RoundTripper: o.transport(d, idle), idle: idle}
	if looks && o.def.MaxConns == 0 { // or nobody would count all of them
		p.direct = newDirect(base, d, idle)
	}
	return p
}

// longestIdle holds for servers that say nothing.
const longestIdle = 90 * time.Second

// connections returns the pool for the next request.
func (o *origin) connections(u *upstream) *pool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return u.pools[len(u.pools)-1]
}

// heed begins a new pool when the upstream is less patient than the last one takes it
// for. The idle time of a pool in use cannot be changed. There are not many: each is for fewer seconds.
func (o *origin) heed(u *upstream, h http.Header) {
	limit := idleLimit(h["Keep-Alive"])
	o.mu.Lock()
	last := u.pools[len(u.pools)-1]
	if limit >= last.idle {
		o.mu.Unlock()
		return
	}
	u.pools = append(u.pools, o.pool(u.base, limit))
	o.mu.Unlock()
	last.disconnect()
}

// disconnect closes the connections that are not in use, and those in use when
// they come back.
func (p *pool) disconnect() {
	if p.direct != nil {
		p.direct.disconnect()
	}
	if c, ok := p.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// idleLimit is how long a connection may be unused after a response with these Keep-Alive
// fields, "timeout=5, max=100": a second less than the server waits, or half of one second.
func idleLimit(lines []string) time.Duration {
	limit := longestIdle
	for _, line := range lines {
		for param := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
			seconds, err := strconv.ParseUint(value, 10, 16)
			if err != nil || !strings.EqualFold(name, "timeout") {
				continue
			}
			limit = min(limit, max(time.Duration(seconds)*time.Second-time.Second, time.Second/2))
		}
	}
	return limit
}
