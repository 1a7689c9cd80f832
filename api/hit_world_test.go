package api_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"weir/api"
	"weir/keying"
	"weir/l1"
	"weir/policy"
	"weir/rfc9111"
)

// hitRoutes have each thing that a hit must leave to the door, and some that it must not.
const hitRoutes = `
	{"name": "tests", "match": {"path": "/split/*"}, "split": {"cookie": "side", "destinations": [{"name": "a", "origin": "shop", "weight": 1}]}},
	{"name": "beta", "match": {"path": "/beta", "headers": {"x-beta": "1"}}, "origin": "beta"},
	{"name": "cookies", "match": {"path": "/cookies"}, "key": {"cookies": ["currency"]}},
	{"name": "fields", "match": {"path": "/fields"}, "key": {"headers": ["x-a"]}},
	{"name": "device", "match": {"path": "/device"}, "key": {"device": true}},
	{"name": "search", "match": {"path": "/search"}, "key": {"noVarySearch": true}},
	{"name": "pinned", "match": {"path": "/pinned"}, "regions": ["lhr"]},
	{"name": "here", "match": {"path": "/here"}, "regions": ["fra"]},
	{"name": "graphql", "match": {"path": "/graphql", "methods": ["GET", "POST"]}, "graphql": true},
	{"name": "off", "match": {"path": "/off/*"}, "edge": false},
	{"name": "only", "match": {"path": "/only"}, "key": {"excludeAllQueryParametersExcept": ["page"], "sortQueryParameters": true}},
	{"name": "none", "match": {"path": "/none"}, "key": {"excludeAllQueryParameters": true}},
	{"name": "raw", "match": {"path": "/raw/*"}, "compress": false},
	{"name": "unasked", "match": {"path": "/unasked"}, "removeRequestHeaders": ["if-none-match"]},
	{"name": "undated", "match": {"path": "/undated"}, "removeRequestHeaders": ["if-modified-since"]},
	{"name": "heads", "match": {"path": "/two", "methods": ["HEAD"]}, "setResponseHeaders": {"x-a": "of HEAD"}},
	{"name": "set", "match": {"path": "/set"}, "setResponseHeaders": {"x-a": "1", "accept-ranges": "none", "server": "weir"}, "browser": {"maxAgeSeconds": 60, "serviceWorkerSeconds": 5}},
	{"name": "product", "match": {"path": "/products/:id"}, "tags": ["product:{id}"]},
	{"name": "hosted", "match": {"hosts": ["*.hosted.test"], "path": "/hosted"}}`

// hitWorld is a node whose origin's answers follow from the request, and whose time stands still.
type hitWorld struct {
	tier  *l1.Tier
	door  *api.Door
	hits  atomic.Int64 // answered by the hit path
	filed atomic.Int64 // of these, with a body that lay in a file
	opts  api.GuardOptions
}

func newHitWorld(t testing.TB, fast bool) *hitWorld {
	t.Helper()
	return newLoggedHitWorld(t, fast, nil, api.NewJournal())
}

func newLoggedHitWorld(t testing.TB, fast bool, log *zap.Logger, journal *api.Journal) *hitWorld {
	t.Helper()
	w := &hitWorld{opts: api.GuardOptions{Region: "fra", HalfClose: time.Minute, Linger: time.Nanosecond}}
	clock := func() time.Time { return now }
	tier, err := l1.New(below{w}, stillEpochs{}, l1.Options{MaxBytes: 64 << 20, MaxFiles: 8, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tier.Close)
	w.tier = tier
	w.door = api.NewDoor(tier, table(t, hitRoutes), api.DoorOptions{
		Region: "fra", Log: log, Journal: journal, Now: clock, Pick: func(int) int { return 0 }, DebugAllowed: func(*http.Request) bool { return true },
	})
	t.Cleanup(w.door.Close)
	w.opts.Refused = w.door.Refused
	if fast {
		w.opts.Hits = api.NewHits(w.door, w)
	}
	return w
}

func (w *hitWorld) Hit(ask *l1.Ask, found *l1.Found) bool { return w.tier.Hit(ask, found) }

func (w *hitWorld) Keep(found *l1.Found, ready *l1.ReadyHead) { w.tier.Keep(found, ready) }

func (w *hitWorld) CountHit(found *l1.Found) {
	w.hits.Add(1)
	if found.File != nil {
		w.filed.Add(1)
	}
	w.tier.CountHit(found)
}

type stillEpochs struct{}

func (stillEpochs) Current() uint64                                           { return 0 }
func (stillEpochs) Purged(keying.Key, *rfc9111.Response) bool                 { return false }
func (stillEpochs) Softened(keying.Key, *rfc9111.Response) bool               { return false }
func (stillEpochs) Sight(context.Context, time.Time, uint64) (sight l1.Sight) { return sight }

// below answers for the tiers behind memory, and stores.
type below struct{ w *hitWorld }

func (below) Refresh(*policy.Request) {}

func (b below) Fetch(_ context.Context, req *policy.Request) (*rfc9111.Answer, error) {
	head, body := originSays(req)
	ans := &rfc9111.Answer{Head: head, Bytes: body, Decision: rfc9111.Decision{Use: rfc9111.Miss, Shield: rfc9111.TierPass, Status: rfc9111.StatusOK}}
	if req.Bypass != "" {
		ans.Decision = rfc9111.Decision{Use: rfc9111.Bypass, Status: req.Bypass}
		return ans, nil
	}
	selection, ok := rfc9111.Select(head.Header["Vary"], req.Header)
	if ok && !strings.HasPrefix(req.Target, "/miss") {
		head.Selection = selection
		ans.Decision.Shield, ans.Decision.Stored = rfc9111.TierCached, true
		b.w.tier.Filled(req.Keyed.Key, head, body)
	}
	return ans, nil
}

// originSays makes a response whose body tells the key.
func originSays(req *policy.Request) (*rfc9111.Response, []byte) {
	body := "no key for " + req.Target
	if req.Bypass == "" {
		body = req.Keyed.Key.Bytes()
	}
	r := head(200, 0, `ETag: "v1"`, "Content-Type: image/png", "Cache-Control: max-age=60")
	path, _, _ := strings.Cut(req.Target, "?")
	switch path {
	case "/coded":
		r.Header.Set("Vary", "Accept-Encoding")
	case "/vary":
		r.Header.Set("Vary", "Accept-Encoding, X-B")
	case "/lang":
		r.Header.Set("Vary", "Accept-Language")
	case "/stale":
		r.Terms.Lifetime, r.Terms.StaleWhileRevalidate = time.Second, time.Minute
	case "/gone":
		r.Terms.Lifetime = time.Second
	case "/no-cache":
		r.Terms.NoCache = true
	case "/plain":
		r.Header = http.Header{}
	case "/brief":
		r.Header = http.Header{"Cache-Status": {"origin; hit"}, "Accept-Ranges": {"none"}, "Age": {"4"}}
	case "/unclear":
		r.Header.Set("Last-Modified", "yesterday")
	case "/twice":
		r.Header["Last-Modified"] = []string{"Sun, 01 Mar 2026 10:00:00 GMT", "Sun, 01 Mar 2026 10:00:00 GMT"}
	case "/weak":
		r.Header.Set("Etag", `W/"v1"`)
		r.Header.Set("Content-Language", "en")
		r.Header.Set("Last-Modified", "Sun, 01 Mar 2026 10:00:00 GMT")
	case "/long":
		body += strings.Repeat("0123456789abcdef", 6000)
	case "/huge":
		body += strings.Repeat("0123456789abcdef", 60000)
	case "/middle":
		body += strings.Repeat("0123456789abcdef", 1000)
	case "/empty":
		body = ""
	}
	if status, err := strconv.Atoi(strings.TrimPrefix(path, "/status/")); err == nil {
		r.Status = status
	}
	if r.Status == http.StatusNoContent || r.Status == http.StatusNotModified {
		body = ""
	}
	r.Length = int64(len(body))
	return r, []byte(body)
}

// warm makes what is asked for a hit.
func (w *hitWorld) warm(in string) {
	for range 2 { // fetched, its head made
		w.play(in, 1<<20)
	}
}

// play sends bytes, a piece at a time, on a connection of its own, and returns all that comes back.
func (w *hitWorld) play(in string, piece int) []byte {
	conn := &played{scripted: scripted{in: in, piece: piece}, closed: make(chan struct{})}
	server := api.NewServer(w.door, nil)
	server.ReadHeaderTimeout, server.IdleTimeout = 0, 0
	ln := newOnceThenClosed(conn, conn.closed)
	_ = server.Serve(api.Guard(ln, w.opts)) // ends with the connection
	_ = server.Shutdown(context.Background())
	return conn.out.Bytes()
}

// played is a scripted connection that keeps what it is told.
type played struct {
	scripted
	mu     sync.Mutex
	out    bytes.Buffer
	once   sync.Once
	closed chan struct{}
}

func (c *played) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(p)
}

func (c *played) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func (c *played) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *played) SetWriteDeadline(time.Time) error { return nil }

// onceThenClosed accepts one connection, and ends when that does or when it is closed.
type onceThenClosed struct {
	conn   net.Conn
	closed chan struct{} // when the connection is
	once   sync.Once
	ended  chan struct{}
}

func newOnceThenClosed(conn net.Conn, closed chan struct{}) *onceThenClosed {
	return &onceThenClosed{conn: conn, closed: closed, ended: make(chan struct{})}
}

func (l *onceThenClosed) Accept() (net.Conn, error) {
	if conn := l.conn; conn != nil {
		l.conn = nil
		return conn, nil
	}
	select {
	case <-l.closed:
	case <-l.ended:
	}
	return nil, net.ErrClosed
}

func (l *onceThenClosed) Close() error {
	l.once.Do(func() { close(l.ended) })
	return nil
}

func (l *onceThenClosed) Addr() net.Addr { return &net.TCPAddr{} }

var dateLine = regexp.MustCompile("\r\nDate: ([^\r]*)")

// undated is out without the dates that net/http took from its own clock, which goes on between two worlds.
func undated(out []byte) []byte {
	return dateLine.ReplaceAllFunc(out, func(line []byte) []byte {
		at, err := http.ParseTime(string(dateLine.FindSubmatch(line)[1]))
		if err == nil && time.Since(at).Abs() < time.Hour {
			return []byte("\r\nDate: now")
		}
		return line
	})
}

// same plays bytes in two worlds until they may be hits in one of them, and wants the same
// answers: first they are fetched, then their heads are made. It returns the last ones, and how many were hits.
func same(t testing.TB, fast, slow *hitWorld, in string, piece int) (out []byte, hits int64) {
	t.Helper()
	for range 3 {
		before := fast.hits.Load()
		want := slow.play(in, piece)
		out = fast.play(in, piece)
		hits = fast.hits.Load() - before
		if !bytes.Equal(undated(out), undated(want)) {
			t.Fatalf("%.900q (%d hits)\n got %.900q\nwant %.900q", in, hits, out, want)
		}
	}
	return out, hits
}
