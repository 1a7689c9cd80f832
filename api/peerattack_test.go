package api_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/api"
	"weir/api/peer"
	"weir/shield"
)

// recorder keeps what the first connection sent.
type recorder struct {
	net.Listener
	mu   sync.Mutex
	sent bytes.Buffer
	once sync.Once
}

func (l *recorder) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.once.Do(func() { conn = &recorded{conn, l} })
	}
	return conn, err
}

type recorded struct {
	net.Conn
	to *recorder
}

func (c *recorded) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.to.mu.Lock()
	defer c.to.mu.Unlock()
	c.to.sent.Write(p[:n])
	return n, err
}

// Nobody without the secret gets a word out of the peer listener, and nothing that was
// recorded does anything again.
func TestPeerStrangers(t *testing.T) {
	record := &recorder{}
	p := newPair(t, pairOptions{secret: secret, wrap: func(ln net.Listener) net.Listener { record.Listener = ln; return record }},
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "secret page") })
	p.want("POST", "/page", "x", 200, "secret page")
	asked := p.asked.Load()
	record.mu.Lock()
	replay := bytes.Clone(record.sent.Bytes())
	record.mu.Unlock()
	plain := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", peer.PathPurge)
	for name, bytes := range map[string][]byte{"replayed": replay, "plain": plain, "garbage": []byte(strings.Repeat("\x00\xff", 500)), "cut": replay[:20]} {
		if got := p.raw(bytes); strings.Contains(got, "secret page") || strings.Contains(got, "HTTP/1.1 200") {
			t.Errorf("%s: %q", name, got)
		}
	}
	for name, config := range map[string]*tls.Config{
		"no certificate": {InsecureSkipVerify: true},
		"TLS 1.2":        {InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12},
	} {
		conn, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", p.addr)
		if err != nil {
			continue
		}
		_, _ = conn.Write(plain)
		if got, _ := io.ReadAll(conn); len(got) > 0 {
			t.Errorf("%s: %q", name, got)
		}
		_ = conn.Close()
	}
	if p.asked.Load() != asked || p.log.Current() != p.follower.Current() {
		t.Error("a stranger was heard")
	}
	p.want("POST", "/page", "x", 200, "secret page")
}

// raw sends bytes to the peer listener and returns all that comes back.
func (p *pair) raw(send []byte) string {
	p.t.Helper()
	conn, err := new(net.Dialer).DialContext(p.t.Context(), "tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = conn.Write(send)
	if c, ok := conn.(*net.TCPConn); ok && !bytes.Contains(send, []byte("Connection: close")) {
		_ = c.CloseWrite() // whoever waits for more gives up
	}
	got, _ := io.ReadAll(conn)
	return string(got)
}

func TestPeerSecrets(t *testing.T) {
	for _, other := range []string{"another secret of sixteen bytes", secret + " "} {
		p := newPair(t, pairOptions{secret: secret, edgeSecret: other, grace: time.Millisecond}, func(http.ResponseWriter, *http.Request) {})
		if _, err := p.client.Fetch(t.Context(), asking(t, p.table, "/")); !errors.Is(err, shield.ErrParent) {
			t.Errorf("%v", err)
		}
		if p.asked.Load() != 0 {
			t.Error("the origin was asked")
		}
	}
	p := newPair(t, pairOptions{edgeSecret: secret, grace: time.Millisecond}, func(http.ResponseWriter, *http.Request) {})
	if _, err := p.client.Fetch(t.Context(), asking(t, p.table, "/")); !errors.Is(err, shield.ErrParent) {
		t.Errorf("a shield without the secret is believed: %v", err)
	}
	for _, o := range []peer.ClientOptions{
		{URLs: []string{"http://127.0.0.1:1"}, Secret: "short"},
		{URLs: []string{"http://192.0.2.1:1"}},
		{URLs: []string{"https://127.0.0.1:1"}},
		{URLs: []string{"http://127.0.0.1"}, Secret: secret},
		{URLs: []string{"ftp://127.0.0.1:1"}, Secret: secret},
		{Secret: secret},
	} {
		o.Purges = shield.NewFollower()
		if _, err := peer.NewClient(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

// What a peer sends that makes no sense is refused, and harms nobody.
func TestPeerNonsense(t *testing.T) {
	p := newPair(t, pairOptions{}, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	good := &peer.Ask{Method: "GET", Scheme: "http", Host: "shop.test", Target: "/", Header: http.Header{}, Region: "fra", Hops: 1}
	edit := func(change func(a *peer.Ask)) []byte {
		a := *good
		change(&a)
		return peer.AppendFrame(nil, a.Encode())
	}
	for _, c := range []struct {
		name, path string
		body       []byte
		status     int
	}{
		{"good", peer.PathFetch, edit(func(*peer.Ask) {}), 200},
		{"garbage", peer.PathFetch, []byte("garbage"), 400},
		{"nothing", peer.PathFetch, nil, 400},
		{"a frame that is too long", peer.PathFetch, []byte("\xff\xff\xff\xff\x7f"), 400},
		{"hops", peer.PathFetch, edit(func(a *peer.Ask) { a.Hops = 2 }), 508},
		{"a target in another form", peer.PathFetch, edit(func(a *peer.Ask) { a.Target = "http://evil.test/" }), 400},
		{"a target with a line", peer.PathFetch, edit(func(a *peer.Ask) { a.Target = "/ HTTP/1.1\r\nX: y" }), 400},
		{"a host that is none", peer.PathFetch, edit(func(a *peer.Ask) { a.Host = "a,b" }), 400},
		{"a scheme that is none", peer.PathFetch, edit(func(a *peer.Ask) { a.Scheme = "gopher" }), 400},
		{"a method that is none", peer.PathFetch, edit(func(a *peer.Ask) { a.Method = "TRACE" }), 501},
		{"an explanation", peer.PathExplain, edit(func(*peer.Ask) {}), 200},
		{"an explanation of garbage", peer.PathExplain, []byte("garbage"), 400},
		{"an explanation for hops", peer.PathExplain, edit(func(a *peer.Ask) { a.Hops = 2 }), 508},
		{"an explanation of what is refused", peer.PathExplain, edit(func(a *peer.Ask) { a.Host = "a,b" }), 200},
		{"a place that is none", peer.PathCatchUp + "?after=x&log=y", nil, 400},
		{"an order that is none", peer.PathPurge, []byte("[]"), 400},
		{"an order with more in it", peer.PathPurge, []byte(`{"tags": ["a"], "regexps": ["b"]}`), 400},
		{"rules that are none", peer.PathOwed, []byte("\x05rules"), 400},
		{"a path that is none", "/v1/purge", nil, 404},
	} {
		got := p.raw(append(fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", c.path, len(c.body)), c.body...))
		if !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", c.status)) {
			t.Errorf("%s: %.300q, want %d", c.name, got, c.status)
		}
	}
	p.want("GET", "/", "", 200, "ok")
}

// A page that a browser on the same machine shows cannot purge.
func TestPeerPages(t *testing.T) {
	p := newPair(t, pairOptions{}, func(http.ResponseWriter, *http.Request) {})
	before := p.log.Current()
	for _, field := range []string{"Origin: http://evil.test", "Origin: null", "Sec-Fetch-Site: same-site"} {
		got := p.raw(fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: x\r\n%s\r\nContent-Length: 12\r\nConnection: close\r\n\r\n{\"all\":true}", peer.PathPurge, field))
		if !strings.HasPrefix(got, "HTTP/1.1 403 ") || p.log.Current() != before {
			t.Errorf("%s: %.60q", field, got)
		}
	}
}

// A node with a shield of its own is none.
func TestPeerNotShield(t *testing.T) {
	d := api.NewPeerDoor(api.PeerOptions{Table: table(t, ""), HasParent: true})
	defer d.Close()
	log := shield.NewFollower()
	c, err := peer.NewClient(peer.ClientOptions{URLs: []string{"http://" + serveOn(t, d)}, Purges: log})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Fetch(t.Context(), asking(t, table(t, "")(), "/")); !errors.Is(err, peer.ErrNotShield) || !errors.Is(err, shield.ErrParent) {
		t.Errorf("%v", err)
	}
}

// An edge that takes nothing from its stream is dropped, and keeps no purge waiting.
func TestPeerStopsReading(t *testing.T) {
	p := newPair(t, pairOptions{purgeWait: time.Millisecond}, func(http.ResponseWriter, *http.Request) {})
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(conn, "GET %s?after=0&log=%032d&region=lhr&node=x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", peer.PathLog, 0, peer.LogProtocol)
	eventually(t, "it is there", func() bool { r := p.peers.Regions(); return len(r) == 1 && r[0].Connected })
	rules := make([]shield.Rule, 100_000)
	for i := range rules {
		rules[i] = shield.TagRule(fmt.Sprint(i))
	}
	if _, err := p.log.Add(rules...); err != nil {
		t.Fatal(err)
	}
	report, err := p.peers.Purge(t.Context(), shield.PurgeOrder{Tags: []string{"a"}})
	if err != nil || len(report.Pending) != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	eventually(t, "it is dropped", func() bool { return !p.peers.Regions()[0].Connected })
}
