package api_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/api"
	"weir/keying"
	"weir/l1"
	"weir/policy"
	"weir/rfc9111"
)

var crowdRequests = flag.Int64("crowd", 3000, "how many requests TestCrowd answers at least")

// crowd is a node with much going on: objects live for milliseconds, everything is purged again
// and again, and two policies take turns.
type crowd struct {
	t      *testing.T
	epoch  atomic.Uint64
	table  atomic.Pointer[policy.Table]
	tier   *l1.Tier
	door   *api.Door
	hits   *api.Hits
	server *http.Server
	tested atomic.Int64
	filed  atomic.Int64 // hits whose body lay in a file
	ending atomic.Bool
}

func (c *crowd) Current() uint64                                           { return c.epoch.Load() }
func (c *crowd) Purged(_ keying.Key, r *rfc9111.Response) bool             { return r.Epoch < c.epoch.Load() }
func (c *crowd) Softened(keying.Key, *rfc9111.Response) bool               { return false }
func (c *crowd) Sight(context.Context, time.Time, uint64) (sight l1.Sight) { return sight }
func (c *crowd) Refresh(*policy.Request)                                   {}

func (c *crowd) Hit(ask *l1.Ask, found *l1.Found) bool     { return c.tier.Hit(ask, found) }
func (c *crowd) Keep(found *l1.Found, ready *l1.ReadyHead) { c.tier.Keep(found, ready) }
func (c *crowd) CountHit(found *l1.Found) {
	if found.File != nil {
		c.filed.Add(1)
	}
	c.tier.CountHit(found)
}

// Fetch makes a body that says for which target and at which epoch it was made.
func (c *crowd) Fetch(_ context.Context, req *policy.Request) (*rfc9111.Answer, error) {
	at := time.Now()
	epoch := c.epoch.Load()
	body := crowdBody(req.Target, epoch)
	resp := &rfc9111.Response{
		Status: 200, Header: http.Header{"Content-Type": {"image/png"}, "Etag": {strconv.Quote(strconv.FormatUint(epoch, 10))}},
		RequestTime: at, ResponseTime: at, Length: int64(len(body)), Epoch: epoch, Terms: rfc9111.Terms{Lifetime: 50 * time.Millisecond},
	}
	c.tier.Filled(req.Keyed.Key, resp, body)
	return &rfc9111.Answer{Head: resp, Bytes: body, Decision: rfc9111.Decision{Use: rfc9111.Miss, Shield: rfc9111.TierCached, Stored: true, Status: rfc9111.StatusOK}}, nil
}

// crowdBody is as long as its target says.
func crowdBody(target string, epoch uint64) []byte {
	size, _ := strconv.Atoi(target[strings.LastIndexByte(target, '/')+1:])
	b := fmt.Appendf(nil, "%d %s ", epoch, target)
	return append(b, bytes.Repeat([]byte{target[1]}, max(0, size-len(b)))...)
}

var crowdTargets = []string{"/a/100", "/b/1000", "/c/20000", "/d/300000", "/e/1", "/f/17000"}

// check is about one answer. since is the epoch from before its request.
func (c *crowd) check(r *bufio.Reader, target string, since uint64) (open bool) {
	if _, err := r.Peek(1); err != nil {
		if !c.ending.Load() {
			c.t.Errorf("%s: no answer: %v", target, err)
		}
		return false
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		c.t.Errorf("%s: torn head: %v", target, err)
		return false
	}
	return c.checkAnswer(resp, target, since)
}

func (c *crowd) checkAnswer(resp *http.Response, target string, since uint64) (open bool) {
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		c.t.Errorf("%s: torn body: %v", target, err)
		return false
	}
	said, _, _ := bytes.Cut(body, []byte(" "))
	epoch, err := strconv.ParseUint(string(said), 10, 64)
	if err != nil || epoch < since || !bytes.Equal(body, crowdBody(target, epoch)) {
		c.t.Errorf("%s: %.60q, not one made since %d", target, body, since)
	}
	if p := resp.Header.Get("X-Policy"); p != "one" && p != "two" {
		c.t.Errorf("%s: policy %q", target, p)
	}
	c.tested.Add(1)
	return !resp.Close
}

// client is one connection's behaviour, from its first request to its end.
type client func(c *crowd, conn net.Conn)

func steady(c *crowd, conn net.Conn) {
	r := bufio.NewReader(conn)
	for range 50 {
		target, since := crowdTargets[rand.IntN(len(crowdTargets))], c.epoch.Load()
		if _, err := io.WriteString(conn, get(target, browser...)); err != nil || !c.check(r, target, since) {
			return
		}
	}
}

func pipelining(c *crowd, conn net.Conn) {
	r := bufio.NewReader(conn)
	var all strings.Builder
	since := c.epoch.Load()
	for i := range 24 {
		all.WriteString(get(crowdTargets[i%5%3]))
	}
	if _, err := io.WriteString(conn, all.String()); err != nil {
		return
	}
	for i := range 24 {
		if !c.check(r, crowdTargets[i%5%3], since) {
			return
		}
	}
}

func halfClosing(c *crowd, conn net.Conn) {
	since := c.epoch.Load()
	if _, err := io.WriteString(conn, get("/b/1000")+get("/d/300000")); err != nil {
		return
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	r := bufio.NewReader(conn)
	_ = c.check(r, "/b/1000", since) && c.check(r, "/d/300000", since)
}

func slow(c *crowd, conn net.Conn) {
	since := c.epoch.Load()
	in := get("/d/300000")
	for len(in) > 0 {
		n := min(7, len(in))
		if _, err := io.WriteString(conn, in[:n]); err != nil {
			return
		}
		in = in[n:]
	}
	c.check(bufio.NewReaderSize(conn, 64), "/d/300000", since)
}

func leaving(_ *crowd, conn net.Conn) {
	_, _ = io.WriteString(conn, get("/d/300000")+"GET / HT")
	_, _ = io.ReadFull(conn, make([]byte, 5000))
}

// multiplex asks over HTTP/2.
func (c *crowd) multiplex(addr string) {
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // its own certificate
		ForceAttemptHTTP2: true, DisableCompression: true,
	}
	defer transport.CloseIdleConnections()
	for !c.ending.Load() {
		target, since := crowdTargets[rand.IntN(len(crowdTargets))], c.epoch.Load()
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://"+addr+target, nil)
		if err != nil {
			c.t.Error(err)
			return
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			if !c.ending.Load() {
				c.t.Errorf("HTTP/2: %v", err)
			}
			return
		}
		if resp.ProtoMajor != 2 {
			c.t.Errorf("not HTTP/2: %s", resp.Proto)
		}
		c.checkAnswer(resp, target, since)
	}
}

func encrypted(next client) client {
	return func(c *crowd, conn net.Conn) {
		next(c, tls.Client(conn, &tls.Config{InsecureSkipVerify: true})) //nolint:gosec // its own certificate
	}
}

func TestCrowd(t *testing.T) {
	c := &crowd{t: t}
	var err error
	if c.tier, err = l1.New(c, c, l1.Options{MaxBytes: 16 << 20, MaxFiles: 4}); err != nil {
		t.Fatal(err)
	}
	defer c.tier.Close()
	tables := [2]*policy.Table{}
	for i, name := range []string{"one", "two"} {
		tables[i] = table(t, `{"name": "`+name+`", "match": {"path": "/*"}, "setResponseHeaders": {"x-policy": "`+name+`"}}`)()
	}
	c.table.Store(tables[0])
	c.door = api.NewDoor(c.tier, c.table.Load, api.DoorOptions{})
	defer c.door.Close()
	c.hits = api.NewHits(c.door, c)
	c.server = api.NewServer(c.door, nil)
	open, secure := listen(t), listen(t)
	var all sync.WaitGroup
	serve := func(ln net.Listener) {
		_ = c.server.Serve(api.Guard(ln, api.GuardOptions{Hits: c.hits}))
	}
	all.Go(func() { serve(api.Limit(open, 40)) })
	all.Go(func() {
		serve(tls.NewListener(secure, &tls.Config{Certificates: []tls.Certificate{certificate(t)}, MinVersion: tls.VersionTLS12}))
	})
	both := listen(t)
	modern := api.NewServer(c.door, nil) // HTTP/2 has no use for a Guard
	modern.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate(t)}, MinVersion: tls.VersionTLS12}
	all.Go(func() { _ = modern.ServeTLS(both, "", "") })
	all.Go(func() { c.multiplex(both.Addr().String()) })
	stop := make(chan struct{})
	all.Go(func() { c.unrest(tables, stop) })
	for _, kind := range []struct {
		ln     net.Listener
		client client
	}{
		{open, steady},
		{open, steady},
		{open, pipelining},
		{open, halfClosing},
		{open, slow},
		{open, leaving},
		{secure, encrypted(steady)},
		{secure, encrypted(pipelining)},
		{secure, encrypted(leaving)},
	} {
		all.Go(func() {
			for !c.ending.Load() {
				conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", kind.ln.Addr().String())
				if err != nil {
					return
				}
				kind.client(c, conn)
				_ = conn.Close()
			}
		})
	}
	for c.tested.Load() < *crowdRequests && !t.Failed() {
		<-time.After(time.Millisecond)
	}
	c.ending.Store(true) // in the middle of everything
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := errors.Join(c.server.Shutdown(ctx), modern.Shutdown(ctx), c.hits.Drain(ctx)); err != nil {
		t.Error(err)
	}
	close(stop)
	all.Wait()
	s := c.door.Stats()
	if s.Active != 0 {
		t.Errorf("%d requests are still active", s.Active)
	}
	t.Logf("%d answers checked, %d hits in memory, %d of them from files, %d misses", c.tested.Load(), c.tier.Stats().Hits, c.filed.Load(), c.tier.Stats().Misses)
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	ts := httptest.NewUnstartedServer(nil)
	ts.StartTLS()
	defer ts.Close()
	return ts.TLS.Certificates[0]
}

// unrest purges and changes the policy.
func (c *crowd) unrest(tables [2]*policy.Table, stop chan struct{}) {
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		c.table.Store(tables[i%2])
		switch {
		case i%11 == 0:
			c.epoch.Add(1)
		case i%101 == 0:
			c.tier.Clear()
		}
	}
}
