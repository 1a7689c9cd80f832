package l1_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/keying"
	"weir/l1"
	"weir/policy"
	"weir/rfc9111"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// node is a tier with everything around it scripted.
type node struct {
	*l1.Tier
	t      testing.TB
	next   *next
	epochs *epochs
	clock  *clock
}

func newNode(t testing.TB, opts l1.Options) *node {
	t.Helper()
	n := &node{t: t, next: &next{}, epochs: &epochs{}, clock: &clock{}}
	n.clock.now.Store(start.UnixNano())
	opts.Now = n.clock.Now
	if opts.MaxBytes == 0 {
		opts.MaxBytes = 16 << 20
	}
	tier, err := l1.New(n.next, n.epochs, opts)
	if err != nil {
		t.Fatal(err)
	}
	n.Tier = tier
	t.Cleanup(tier.Close)
	return n
}

type clock struct{ now atomic.Int64 }

func (c *clock) Now() time.Time          { return time.Unix(0, c.now.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.now.Add(int64(d)) }

// next answers what the test says; by default an uncached page.
type next struct {
	mu        sync.Mutex
	fetch     func(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error)
	fetched   int
	refreshed []*policy.Request
}

func (n *next) Fetch(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
	n.mu.Lock()
	n.fetched++
	fetch := n.fetch
	n.mu.Unlock()
	if fetch != nil {
		return fetch(ctx, req)
	}
	return &rfc9111.Answer{
		Head: page(start, nil), Bytes: []byte("from below"),
		Decision: rfc9111.Decision{Use: rfc9111.Miss, Shield: rfc9111.TierPass},
	}, nil
}

func (n *next) Refresh(req *policy.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refreshed = append(n.refreshed, req)
}

func (n *next) asked() (fetched, refreshed int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.fetched, len(n.refreshed)
}

type epochs struct {
	current atomic.Uint64
	asked   atomic.Int64
	matches atomic.Pointer[func(resp *rfc9111.Response) bool] // nil: no purge matches anything
	softens atomic.Pointer[func(resp *rfc9111.Response) bool] // the same for soft purges
	sight   func(now time.Time, min uint64) l1.Sight          // nil: all is well
	looks   atomic.Int64
}

func (e *epochs) Current() uint64 { return e.current.Load() }

func (e *epochs) Purged(_ keying.Key, resp *rfc9111.Response) bool {
	e.asked.Add(1)
	matches := e.matches.Load()
	return matches != nil && resp.Epoch < e.current.Load() && (*matches)(resp)
}

func (e *epochs) Softened(_ keying.Key, resp *rfc9111.Response) bool {
	softens := e.softens.Load()
	return softens != nil && resp.Epoch < e.current.Load() && (*softens)(resp)
}

func (e *epochs) Sight(_ context.Context, now time.Time, min uint64) l1.Sight {
	e.looks.Add(1)
	if e.sight == nil {
		return l1.Sight{}
	}
	return e.sight(now, min)
}

// purge adds a rule after all that were stored before it.
func (e *epochs) purge(matches func(resp *rfc9111.Response) bool) {
	e.matches.Store(&matches)
	e.current.Add(1)
}

// soften is purge for a soft rule.
func (e *epochs) soften(matches func(resp *rfc9111.Response) bool) {
	e.softens.Store(&matches)
	e.current.Add(1)
}

func everything(*rfc9111.Response) bool { return true }
func nothing(*rfc9111.Response) bool    { return false }

// page is a response that is fresh for a minute, may be served stale for another,
// and on errors for ten.
func page(at time.Time, edit func(r *rfc9111.Response)) *rfc9111.Response {
	r := &rfc9111.Response{
		Status: 200, Header: http.Header{"Content-Type": {"text/html"}},
		RequestTime: at, ResponseTime: at, Length: -1,
		Terms: rfc9111.Terms{Lifetime: time.Minute, StaleWhileRevalidate: time.Minute, StaleIfError: 10 * time.Minute},
	}
	if edit != nil {
		edit(r)
	}
	return r
}

func keyed(t testing.TB, target, acceptEncoding string) keying.Keyed {
	t.Helper()
	h := http.Header{}
	if acceptEncoding != "" {
		h.Set("Accept-Encoding", acceptEncoding)
	}
	k, err := (&keying.Spec{Recoded: true}).Build(&keying.Request{Method: "GET", Scheme: "http", Host: "shop.example", Target: target, Header: h})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func key(t testing.TB, target string) keying.Key {
	t.Helper()
	return keyed(t, target, "").Key
}

func request(t testing.TB, target string, fields ...string) *policy.Request {
	t.Helper()
	h := http.Header{}
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	k := keyed(t, target, h.Get("Accept-Encoding"))
	h.Set("Accept-Encoding", keying.AllCodings) // as the door has it
	return &policy.Request{
		Plan: &policy.Plan{Edge: true, Compress: true}, Keyed: k, Method: "GET", Scheme: "http", Host: "shop.example",
		Target: k.Target, Header: h, At: start,
	}
}

// fill stores a page with body under target.
func (n *node) fill(target, body string, edit func(r *rfc9111.Response)) {
	n.t.Helper()
	resp := page(n.clock.Now(), func(r *rfc9111.Response) {
		r.Length, r.Epoch = int64(len(body)), n.epochs.Current()
		if edit != nil {
			edit(r)
		}
	})
	n.Filled(key(n.t, target), resp, []byte(body))
}

func (n *node) get(req *policy.Request) *rfc9111.Answer {
	n.t.Helper()
	ans, err := n.Fetch(context.Background(), req)
	if err != nil {
		n.t.Fatalf("Fetch(%s): %v", req.Target, err)
	}
	return ans
}

// expect fetches req and compares body and use.
func (n *node) expect(req *policy.Request, body string, use rfc9111.Use) *rfc9111.Answer {
	n.t.Helper()
	ans := n.get(req)
	if string(ans.Bytes) != body || ans.Decision.Use != use {
		n.t.Fatalf("Fetch(%s) = %.40q, %s; want %.40q, %s", req.Target, ans.Bytes, ans.Decision.Use, body, use)
	}
	return ans
}

const below = "from below"

func varyOn(t testing.TB, name, value string) func(r *rfc9111.Response) {
	t.Helper()
	selection, ok := rfc9111.Select([]string{name}, http.Header{name: {value}})
	if !ok {
		t.Fatal("no selection")
	}
	return func(r *rfc9111.Response) {
		r.Header.Set("Vary", name)
		r.Selection = selection
	}
}

// prose is made once: some tests want a lot of it.
var prose = sync.OnceValue(func() string {
	var b strings.Builder
	for i := 0; b.Len() < 2<<20; i++ {
		b.WriteString("<li>item number " + strconv.Itoa(i) + "</li>\n")
	}
	return b.String()
})

func text(size int) string { return prose()[:size] }

var errOrigin = errors.New("origin unreachable")

type body struct {
	io.Reader
	closed atomic.Bool
}

func (b *body) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func (b *body) Close() error {
	b.closed.Store(true)
	return nil
}
