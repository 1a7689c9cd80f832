package api_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"weir/api"
	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

func ok() *rfc9111.Answer { return stored("ok") }

func TestTargets(t *testing.T) {
	for _, c := range []struct {
		uri  string
		want string // what is forwarded, "" for 400
	}{
		{"/", "/"},
		{"/a/../b", "/a/../b"},
		{"/static/..%2faccount", "/static/..%2faccount"},
		{"//account", "//account"},
		{"/./", "/./"},
		{"/a;x.css", "/a;x.css"},
		{"/a%3bx.css", "/a%3bx.css"},
		{"/a%3Bx.css", "/a%3Bx.css"},
		{"/a%23b", "/a%23b"},
		{"/a%2523", "/a%2523"},
		{"/?", "/?"},
		{"/?a=1;b=2&c=%zz", "/?a=1;b=2&c=%zz"},
		{"/?q=a+b&q=?", "/?q=a+b&q=?"},
		{"/é", "/é"},
		{"http://a.test/x?y", "/x?y"},
		{"http://A.TEST:80/x", "/x"},
		{"https://a.test/x", "/x"},
		{"HTTP://a.test./x", "/x"},
		{"http://a.test", "/"},
		{"http://a.test?y", "/?y"},
		{"/a#b", ""},
		{"/a?b#c", ""},
		{"/a\\b", ""},
		{"/a?b\\c", ""},
		{"/a%00b", ""},
		{"/a?b%00", ""},
		{"/a\x01b", ""},
		{"/a?b\x7f", ""},
		{"ftp://a.test/", ""},
		{"http:///x", ""},
		{"http://b.test/x", ""},
		{"http://a.test:81/x", ""},
		{"http://u@a.test/x", ""},
		{"http://a.test\\@b.test/", ""},
		{"*", ""},
		{"a.test:80", ""},
		{"/" + strings.Repeat("a", 8<<10), ""},
	} {
		t.Run(c.uri[:min(len(c.uri), 40)], func(t *testing.T) {
			s := always(ok)
			r := httptest.NewRequest("GET", "/", nil)
			r.RequestURI, r.Host = c.uri, "a.test"
			w := httptest.NewRecorder()
			newDoor(t, s, "", api.DoorOptions{}).ServeHTTP(w, r)
			if c.want == "" {
				if len(s.requests()) > 0 || w.Code < 400 {
					t.Errorf("served with %d", w.Code)
				}
				if w.Result().Header.Get("Connection") != "close" {
					t.Error("the connection of a refused request stays open")
				}
				return
			}
			if w.Code != 200 {
				t.Fatalf("refused with %d: %s", w.Code, w.Body)
			}
			if got := s.one(t).Target; got != c.want {
				t.Errorf("forwarded %q, want %q", got, c.want)
			}
		})
	}
}

func TestHosts(t *testing.T) {
	for _, c := range []struct{ host, want string }{
		{"a.test", "a.test"},
		{"A.Test", "a.test"},
		{"a.test.", "a.test"},
		{"a.test:80", "a.test"},
		{"a.test.:80", "a.test"},
		{"a.test:", "a.test"},
		{"a.test:8080", "a.test:8080"},
		{"a.test:443", "a.test:443"},
		{"a_b.test", "a_b.test"},
		{"xn--bcher-kva.test", "xn--bcher-kva.test"},
		{"169.254.169.254", "169.254.169.254"},
		{"[2001:DB8::1]", "[2001:db8::1]"},
		{"[2001:db8:0::1]:80", "[2001:db8::1]"},
		{"[::1]:8080", "[::1]:8080"},
		{"", ""},
		{".", ""},
		{"a..test", ""},
		{".a.test", ""},
		{"a.test..", ""},
		{"a,b'", ""},
		{"a/b", ""},
		{"a@b", ""},
		{"a b", ""},
		{"a%41", ""},
		{"bücher.test", ""},
		{"a:b", ""},
		{"a:1:2", ""},
		{"a:080", ""},
		{"a:65536", ""},
		{"a:123456", ""},
		{"[::1", ""},
		{"[]", ""},
		{"[1.2.3.4]", ""},
		{"[fe80::1%25eth0]", ""},
		{"[::1]x", ""},
		{"[::1]x80", ""},
		{strings.Repeat("a.", 128), ""},
	} {
		t.Run(c.host, func(t *testing.T) {
			s := always(ok)
			r := httptest.NewRequest("GET", "/", nil)
			r.RequestURI, r.Host = "/", c.host
			w := httptest.NewRecorder()
			newDoor(t, s, "", api.DoorOptions{}).ServeHTTP(w, r)
			if c.want == "" {
				wantError(t, w.Result(), 400, "bad-host")
				return
			}
			if w.Code != 200 {
				t.Fatalf("refused with %d: %s", w.Code, w.Body)
			}
			if got := s.one(t).Host; got != c.want {
				t.Errorf("host %q, want %q", got, c.want)
			}
		})
	}
}

func TestHeads(t *testing.T) {
	many := func(n int) []string {
		lines := []string{"GET /"}
		for i := range n {
			lines = append(lines, "X-"+strconv.Itoa(i)+": 1")
		}
		return lines
	}
	for _, c := range []struct {
		name   string
		lines  []string
		status int
		code   string // of the error, "" when served
	}{
		{"plain", []string{"GET /"}, 200, ""},
		{"100 fields", many(100), 200, ""},
		{"101 fields", many(101), 431, "too-many-fields"},
		{"16 KiB of them", []string{"GET /", "X-A: " + strings.Repeat("a", 16<<10)}, 431, "head-too-long"},
		{"almost 16 KiB", []string{"GET /", "X-A: " + strings.Repeat("a", 16<<10-64)}, 200, ""},
		{"trace", []string{"TRACE /"}, 501, "method-not-implemented"},
		{"connect", []string{"CONNECT a.test:443"}, 501, "method-not-implemented"},
		{"expect continue", []string{"POST /", "Expect: 100-continue", "Content-Length: 1", "body=x"}, 200, ""},
		{"expect in capitals", []string{"POST /", "Expect: 100-Continue", "Content-Length: 1", "body=x"}, 200, ""},
		{"expect more", []string{"POST /", "Expect: 100-continue, tea", "Content-Length: 1", "body=x"}, 417, "bad-expect"},
		{"expect something", []string{"GET /", "Expect: tea"}, 417, "bad-expect"},
		{"round and round", []string{"GET /", "Via: 1.1 weir, 1.1 weir, 1.1 cdn, 1.1 weir, 1.1 weir", "Via: 1.1 weir, 1.1 weir, 1.1 weir, 1.1 weir"}, 508, "loop"},
		{"expect twice", []string{"GET /", "Expect: 100-continue", "Expect: 100-continue"}, 417, "bad-expect"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := always(ok)
			resp := ask(t, newDoor(t, s, "", api.DoorOptions{}), c.lines...)
			if c.code != "" {
				wantError(t, resp, c.status, c.code)
				return
			}
			if resp.StatusCode != c.status {
				t.Errorf("status %d: %s", resp.StatusCode, bodyOf(t, resp))
			}
			if s.one(t).Header.Get("Expect") != "" {
				t.Error("Expect is forwarded")
			}
		})
	}
}

// A server in front of the handler may leave a Content-Length beside
// Transfer-Encoding.
func TestTwoFramings(t *testing.T) {
	r := httptest.NewRequest("POST", "/", strings.NewReader("x"))
	r.TransferEncoding = []string{"chunked"}
	r.Header.Set("Content-Length", "1")
	w := httptest.NewRecorder()
	newDoor(t, always(ok), "", api.DoorOptions{}).ServeHTTP(w, r)
	wantError(t, w.Result(), 400, "bad-framing")
}

const routes = `
	{"name": "admin", "match": {"path": "/admin/*"}, "edge": false},
	{"name": "graphql", "match": {"path": "/graphql", "methods": ["POST"]}, "edge": {"maxAgeSeconds": 30}},
	{"name": "search", "match": {"path": "/search", "methods": ["QUERY"]}}`

func TestBypassReasons(t *testing.T) {
	big := strings.Repeat("x", keying.MaxBody+1)
	size := "Content-Length: " + strconv.Itoa(len(big))
	loopback := func(*http.Request) bool { return true }
	never := func(*http.Request) bool { return false }
	for _, c := range []struct {
		name  string
		lines []string
		opts  api.DoorOptions
		want  rfc9111.CachingStatus
		body  string
	}{
		{name: "get", lines: []string{"GET /"}},
		{name: "head", lines: []string{"HEAD /"}},
		{name: "edge false", lines: []string{"GET /admin/x"}, want: "disabled"},
		{name: "development", lines: []string{"GET /"}, opts: api.DoorOptions{Disabled: func() bool { return true }}, want: "disabled"},
		{name: "post", lines: []string{"POST /", "Content-Length: 2", "body=hi"}, want: "method", body: "hi"},
		{name: "options", lines: []string{"OPTIONS /"}, want: "method"},
		{name: "unknown method", lines: []string{"BREW /"}, want: "method"},
		{name: "named post", lines: []string{"POST /graphql", "Content-Length: 2", "body=hi"}, body: "hi"},
		{name: "named post, empty", lines: []string{"POST /graphql", "Content-Length: 0"}},
		{name: "named post, chunked", lines: []string{"POST /graphql", "Transfer-Encoding: chunked", "body=2\r\nhi\r\n0\r\n\r\n"}, body: "hi"},
		{name: "named post, largest", lines: []string{"POST /graphql", "Content-Length: 8000", "body=" + big[1:]}, body: big[1:]},
		{name: "named post, too big", lines: []string{"POST /graphql", size, "body=" + big}, want: "body-too-big", body: big},
		{name: "query", lines: []string{"QUERY /", "Content-Length: 2", "body=hi"}, want: "method", body: "hi"},
		{name: "named query", lines: []string{"QUERY /search", "Content-Length: 2", "body=hi"}, body: "hi"},
		{name: "named query, too big", lines: []string{"QUERY /search", size, "body=" + big}, want: "body-too-big", body: big},
		{name: "get with a body", lines: []string{"GET /", "Content-Length: 2", "body=hi"}, want: "pass", body: "hi"},
		{name: "debug", lines: []string{"GET /", "X-Cache-Debug: 1"}, opts: api.DoorOptions{DebugAllowed: loopback}, want: "debug"},
		{name: "debug refused", lines: []string{"GET /", "X-Cache-Debug: 1"}, opts: api.DoorOptions{DebugAllowed: never}},
		{name: "debug from afar", lines: []string{"GET /", "X-Cache-Debug: 1"}},
		{name: "debug off", lines: []string{"GET /", "X-Cache-Debug: 0"}, opts: api.DoorOptions{DebugAllowed: loopback}},
		{name: "upgrade", lines: []string{"GET /", "Connection: Upgrade", "Upgrade: websocket"}, want: "pass"},
		{name: "upgrade without connection", lines: []string{"GET /", "Upgrade: websocket"}},
		{name: "upgrade to h2c", lines: []string{"GET /", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAM"}},
		{name: "upgrade with a body", lines: []string{"GET /", "Connection: Upgrade", "Upgrade: websocket", "Content-Length: 2", "body=hi"}, want: "pass", body: "hi"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := always(ok)
			d := newDoor(t, s, routes, c.opts)
			// The body is read where a tier reads it: before the answer.
			var streamed []byte
			fetch := s.fetch
			s.fetch = func(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
				if req.Stream != nil {
					streamed, _ = io.ReadAll(req.Stream)
				}
				return fetch(ctx, req)
			}
			if resp := ask(t, d, c.lines...); resp.StatusCode != 200 {
				t.Fatalf("status %d: %s", resp.StatusCode, bodyOf(t, resp))
			}
			req := s.one(t)
			if req.Bypass != c.want {
				t.Fatalf("bypass %q, want %q", req.Bypass, c.want)
			}
			if keyed := req.Keyed.Key.Bytes() != ""; keyed != (c.want == "") {
				t.Errorf("keyed: %v", keyed)
			}
			got := req.Body
			if c.want != "" {
				got = streamed
				if req.Body != nil {
					t.Error("a passed request has a body besides its stream")
				}
			} else if req.Stream != nil {
				t.Error("a keyed request has a stream")
			}
			if !bytes.Equal(got, []byte(c.body)) {
				t.Errorf("body of %d bytes, want %d", len(got), len(c.body))
			}
			if c.want != "" && c.body != "" && req.Length >= 0 && req.Length != int64(len(c.body)) {
				t.Errorf("length %d", req.Length)
			}
			if (req.Header.Get("Upgrade") != "") != (c.name == "upgrade") {
				t.Errorf("upgrade %q is forwarded", req.Header.Get("Upgrade"))
			}
		})
	}
}

func TestBrokenBodies(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
	}{
		{"short", []string{"POST /graphql", "Content-Length: 10", "body=hi"}},
		{"bad chunk", []string{"POST /graphql", "Transfer-Encoding: chunked", "body=zz\r\nhi"}},
		{"chunks without an end", []string{"POST /graphql", "Transfer-Encoding: chunked", "body=2\r\nhi\r\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := always(ok)
			wantError(t, ask(t, newDoor(t, s, routes, api.DoorOptions{}), c.lines...), 400, "bad-body")
			if len(s.requests()) > 0 {
				t.Error("a request without a whole body reached the tier")
			}
		})
	}
}

const split = `
	{"name": "split", "match": {"path": "/*"},
	 "split": {"cookie": "side", "destinations": [
		{"name": "old", "origin": "shop", "weight": 3}, {"name": "new", "origin": "beta", "weight": 1}]}}`

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		name, cookie string
		pick         int
		origin       string
		set          string // value of the cookie that is set
	}{
		{"first by weight", "", 2, "shop", "old"},
		{"second by weight", "", 3, "beta", "new"},
		{"sticky", "side=new", 0, "beta", ""},
		{"sticky among others", "a=b; side=old; c=d", 3, "shop", ""},
		{"unknown side", "side=gone", 3, "beta", "new"},
		{"first known of two", "side=gone; side=old", 3, "shop", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := always(ok)
			d := newDoor(t, s, split, api.DoorOptions{Pick: func(n int) int {
				if n != 4 {
					t.Errorf("picked among %d, want 4", n)
				}
				return c.pick
			}})
			lines := []string{"GET /"}
			if c.cookie != "" {
				lines = append(lines, "Cookie: "+c.cookie)
			}
			resp := ask(t, d, lines...)
			if got := s.one(t).Origin; got != c.origin {
				t.Errorf("origin %q, want %q", got, c.origin)
			}
			set := ""
			for _, cookie := range resp.Cookies() {
				set = cookie.Value
				if cookie.Path != "/" || !cookie.HttpOnly || cookie.MaxAge <= 0 {
					t.Errorf("cookie %v", cookie)
				}
			}
			if set != c.set {
				t.Errorf("set-cookie %q, want %q", set, c.set)
			}
			if got := resp.Header.Values("Vary"); !slices.Equal(got, []string{"Cookie"}) {
				t.Errorf("vary %q: caches in front of this node would mix the sides", got)
			}
		})
	}
}

// The two sides of a split never share a key, and the answer that both a cache
// and the client hold is without the client's cookie.
func TestSplitKeys(t *testing.T) {
	answer := ok()
	s := always(func() *rfc9111.Answer { return answer })
	pick := 0
	d := newDoor(t, s, split, api.DoorOptions{Pick: func(int) int { return pick }})
	ask(t, d, "GET /")
	pick = 3
	ask(t, d, "GET /")
	asked := s.requests()
	if asked[0].Keyed.Key == asked[1].Keyed.Key {
		t.Error("both sides have one key")
	}
	if h := answer.Head.Header; h.Get("Set-Cookie") != "" || h.Get("Vary") != "" {
		t.Errorf("the stored answer has the split's fields: %v", h)
	}
}
