package api_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/api"
	"weir/api/peer"
	"weir/kv"
	"weir/policy"
	"weir/shield"
)

const secret = "a secret of more than sixteen bytes"

// pair is an edge and a shield in one process, with real connections between them.
type pair struct {
	t      *testing.T
	origin *httptest.Server
	asked  atomic.Int64 // requests that the origin got
	table  *policy.Table

	log    *shield.Purges
	shield *shield.Shield
	peers  *api.PeerDoor
	stop   func() // the shield's listener and its connections
	addr   string

	follower *shield.Purges
	client   *peer.Client
	door     *api.Door
	base     string // of the edge
}

// pairOptions are what tests of pairs differ in.
type pairOptions struct {
	routes             string
	secret, edgeSecret string // the latter "" for the same
	shieldClock        time.Duration
	run                bool // the edge follows the log
	grace, purgeWait   time.Duration
	region             string
	wrap               func(net.Listener) net.Listener
	maxBlind           time.Duration
	values             kv.Store // of the shield
	pushRate           int64
}

func newPair(t *testing.T, o pairOptions, origin http.HandlerFunc) *pair {
	t.Helper()
	p := &pair{t: t}
	p.origin = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		origin(w, r)
	}))
	t.Cleanup(p.origin.Close)
	var err error
	p.table, err = policy.Compile("test.json", []byte(`{"origins": {"shop": {"url": "`+p.origin.URL+`"}}, "defaults": {"origin": "shop"}, "shield": {"fallback": "none"}, "routes": [`+o.routes+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	if p.log, err = shield.NewPurges(nil); err != nil {
		t.Fatal(err)
	}
	p.startShield(o, "127.0.0.1:0")
	t.Cleanup(func() { p.stop() })
	p.startEdge(o)
	return p
}

func (p *pair) tableNow() *policy.Table { return p.table }

func (p *pair) startShield(o pairOptions, addr string) {
	p.t.Helper()
	clock := func() time.Time { return time.Now().Add(o.shieldClock) }
	p.shield = shield.New(nil, p.log, shield.Options{Now: clock})
	p.shield.SetTable(p.table)
	p.peers = api.NewPeerDoor(api.PeerOptions{
		Tier: p.shield, Explains: p.shield, Table: p.tableNow, Purges: p.log, Now: clock, PurgeWait: o.purgeWait, Values: o.values, PushRate: o.pushRate,
		Purge: func(_ context.Context, order shield.PurgeOrder) (shield.PurgeReport, error) {
			return p.shield.Purge(p.table, order)
		},
	})
	ln, err := new(net.ListenConfig).Listen(p.t.Context(), "tcp", addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.addr = ln.Addr().String()
	if o.wrap != nil {
		ln = o.wrap(ln)
	}
	creds, err := peer.NewCredentials(o.secret)
	if err != nil {
		p.t.Fatal(err)
	}
	srv := api.NewServer(p.peers, nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(peer.Listener(ln, creds))
	}()
	sh, peers := p.shield, p.peers
	p.stop = sync.OnceFunc(func() {
		_ = srv.Close()
		<-done
		peers.Close()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = sh.Close(ctx) // cuts off what runs
	})
}

func (p *pair) startEdge(o pairOptions) {
	p.t.Helper()
	if o.edgeSecret == "" {
		o.edgeSecret = o.secret
	}
	if o.region == "" {
		o.region = "fra"
	}
	p.follower = shield.NewFollower()
	var err error
	p.client, err = peer.NewClient(peer.ClientOptions{
		URLs: []string{"http://" + p.addr}, Secret: o.edgeSecret, Region: o.region, Node: "one", Purges: p.follower, Grace: o.grace,
		MaxBlind: func() time.Duration { return max(o.maxBlind, time.Millisecond) },
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(p.client.Close)
	if o.run {
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { p.client.Run(ctx) })
		p.t.Cleanup(func() { cancel(); running.Wait() })
	}
	edge := shield.New(nil, p.follower, shield.Options{Parent: p.client})
	edge.SetTable(p.table)
	p.t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = edge.Close(ctx)
	})
	p.door = api.NewDoor(edge, p.tableNow, api.DoorOptions{Region: o.region})
	p.t.Cleanup(p.door.Close)
	p.base = "http://" + serveOn(p.t, p.door)
}

// do sends a request to the edge; fields are "name: value".
func (p *pair) do(method, path string, body io.Reader, fields ...string) (*http.Response, string, error) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.base+path, body)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		req.Header.Add(name, value)
	}
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	return resp, string(got), err
}

// want gets a page whole and checks it.
func (p *pair) want(method, path, send string, status int, body string, fields ...string) *http.Response {
	p.t.Helper()
	var src io.Reader
	if send != "" {
		src = strings.NewReader(send)
	}
	resp, got, err := p.do(method, path, src, fields...)
	if err != nil || resp.StatusCode != status || got != body {
		p.t.Fatalf("%s %s: %d, %.200q, %v; want %d, %.200q\n%v", method, path, resp.StatusCode, got, err, status, body, resp.Header)
	}
	return resp
}

func TestPeerFetch(t *testing.T) {
	for _, secret := range []string{"", secret} {
		t.Run(fmt.Sprintf("secret %t", secret != ""), func(t *testing.T) {
			long := strings.Repeat("0123456789abcdef", 3<<20/16)
			p := newPair(t, pairOptions{secret: secret}, func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/page":
					w.Header().Set("Cache-Control", "max-age=60")
					w.Header().Set("ETag", `"a"`)
					_, _ = io.WriteString(w, "page "+r.URL.RawQuery)
				case "/echo":
					w.Header().Set("X-Method", r.Method)
					body, _ := io.ReadAll(r.Body)
					_, _ = w.Write(body)
				case "/long":
					w.Header().Set("Cache-Control", "max-age=60")
					http.ServeContent(w, r, "", time.Unix(1e9, 0), strings.NewReader(long))
				case "/none":
					w.WriteHeader(http.StatusNoContent)
				}
			})
			got := p.want("GET", "/page?a=1", "", 200, "page a=1")
			if got.Header.Get("Etag") != `"a"` || got.Header.Get("X-Cache") != "miss" {
				t.Errorf("%v", got.Header)
			}
			p.want("HEAD", "/page?a=1", "", 200, "")
			p.want("GET", "/none", "", 204, "")
			p.want("GET", "/long", "", 200, long)
			p.want("GET", "/page", "", 206, "age", "Range: bytes=1-3")
			p.want("POST", "/echo", "hello", 200, "hello")
			p.want("PUT", "/echo", long, 200, long)
			resp, body, err := p.do("POST", "/echo", struct{ io.Reader }{strings.NewReader(long)}) // chunked
			if err != nil || body != long {
				t.Errorf("chunked upload: %d, %d bytes, %v", resp.StatusCode, len(body), err)
			}
		})
	}
}

// What comes before and after a response goes through both nodes.
func TestPeerInterimAndTrailer(t *testing.T) {
	p := newPair(t, pairOptions{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Trailer", "Server-Timing")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = io.WriteString(w, "page")
		_ = http.NewResponseController(w).Flush()
		w.Header().Set("Server-Timing", "db;dur=1")
	})
	hints := 0
	trace := &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
		if status == http.StatusEarlyHints && h.Get("Link") != "" {
			hints++
		}
		return nil
	}}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, p.base+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Te", "trailers")
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "page" || hints != 1 || resp.Trailer.Get("Server-Timing") != "db;dur=1" {
		t.Errorf("%q, %v, %d hints, trailer %v", body, err, hints, resp.Trailer)
	}
}
