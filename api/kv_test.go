package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/api"
	"weir/kv"
	"weir/shield"
)

// valuesNode is the listener for values over a fake store, on loopback.
type valuesNode struct {
	t     *testing.T
	store *fakeStore
	now   atomic.Int64 // nanoseconds beyond noon
	base  string
	addr  string
}

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

func newValuesNode(t *testing.T, opts api.KVOptions) *valuesNode {
	t.Helper()
	n := &valuesNode{t: t}
	clock := func() time.Time { return noon.Add(time.Duration(n.now.Load())) }
	n.store = newFakeStore(clock)
	opts.Values = api.NewValues(api.ValuesOptions{Store: func() kv.Store { return n.store }, Epoch: func() uint64 { return 99 }, Now: clock})
	n.addr = serveOn(t, api.NewKV(opts))
	n.base = "http://" + n.addr
	return n
}

func (n *valuesNode) advance(d time.Duration) { n.now.Add(int64(d)) }

// do sends a request; fields are "name: value".
func (n *valuesNode) do(method, path, body string, fields ...string) (*http.Response, string) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.base+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Add(name, value)
	}
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		n.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		n.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp, string(got)
}

// want sends a request and checks status and body; of an error, its code.
func (n *valuesNode) want(status int, body, method, path, send string, fields ...string) *http.Response {
	n.t.Helper()
	resp, got := n.do(method, path, send, fields...)
	if status >= 400 && method != http.MethodHead {
		var said struct {
			Error struct{ Code, Message, Hint string }
		}
		if json.Unmarshal([]byte(got), &said) != nil || said.Error.Message == "" || said.Error.Hint == "" {
			n.t.Errorf("%s %.60s: an error without message and hint: %.200q", method, path, got)
		}
		got = said.Error.Code
	}
	if resp.StatusCode != status || got != body {
		n.t.Errorf("%s %.60s: %d %.200q, want %d %.200q", method, path, resp.StatusCode, got, status, body)
	}
	return resp
}

func TestValueRoundTrip(t *testing.T) {
	n := newValuesNode(t, api.KVOptions{})
	n.want(404, "missing", "GET", "/v1/kv/a", "")
	put := n.want(204, "", "PUT", "/v1/kv/a?ttl=60&stale=0.5&tag=red&tag=blue", "hello",
		"Content-Type: text/plain", `Weir-Metadata: {"by": "Ünö 😀"}`)
	n.advance(1500 * time.Millisecond)
	got := n.want(200, "hello", "GET", "/v1/kv/a", "")
	for name, want := range map[string]string{
		"Etag": put.Header.Get("Etag"), "Content-Type": "text/plain", "Age": "1", "X-Cache": "hit", "Weir-Ttl": "58.5", "Weir-Stale": "0.5",
		"Weir-Epoch": "101", "Cache-Tag": "red,blue", "Weir-Metadata": `{"by": "\u00dcn\u00f6 \ud83d\ude00"}`,
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin",
		"Content-Security-Policy": "default-src 'none'; sandbox",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.Header.Get(name), want)
		}
	}
	head := n.want(200, "", "HEAD", "/v1/kv/a", "")
	if head.ContentLength != 5 || head.Header.Get("Etag") != got.Header.Get("Etag") {
		t.Errorf("HEAD: %v", head.Header)
	}
	n.advance(58600 * time.Millisecond)
	got = n.want(200, "hello", "GET", "/v1/kv/a", "")
	if h := got.Header; h.Get("X-Cache") != "stale" || h.Get("Weir-Ttl") != "0" || h.Get("Weir-Stale") != "0.4" {
		t.Errorf("stale: %v", h)
	}
	n.advance(400 * time.Millisecond)
	n.want(404, "missing", "GET", "/v1/kv/a", "")
	n.want(204, "", "PUT", "/v1/kv/a", "\x00\xff")
	got = n.want(200, "\x00\xff", "GET", "/v1/kv/a", "")
	for _, name := range []string{"Content-Type", "Weir-Ttl", "Weir-Stale", "Weir-Metadata", "Cache-Tag"} {
		if got.Header[name] != nil {
			t.Errorf("%s: %q of a plain value", name, got.Header[name])
		}
	}
	n.want(204, "", "DELETE", "/v1/kv/a", "")
	n.want(404, "missing", "DELETE", "/v1/kv/a", "")
	if head := n.want(404, "", "HEAD", "/v1/kv/a", ""); head.Header.Get("Weir-Epoch") != "99" {
		t.Errorf("a miss without the epoch: %v", head.Header)
	}
}

func TestOddKeys(t *testing.T) {
	n := newValuesNode(t, api.KVOptions{})
	paths := map[string]string{ // as they are sent, and the key
		"a/b": "a/b", "a%2Fb/c": "a/b/c", "a//b": "a//b", "/a": "/a", "a/": "a/", "..": "..", "a/../b": "a/../b", "a/./b": "a/./b",
		"100%25": "100%", "%2541": "%41", "a%20b": "a b", "a+b": "a+b", "user:42": "user:42", "%C3%BC": "ü", "ü": "ü", "%F0%9F%98%80": "😀",
		"a%3Fb=c": "a?b=c", "a%23b": "a#b", "incr": "incr", "x/incr": "x/incr", "%00": "\x00", "a;b": "a;b", "a&b=c": "a&b=c",
	}
	for path, key := range paths {
		n.want(204, "", "PUT", "/v1/kv/"+path, key)
		n.want(200, key, "GET", "/v1/kv/"+path, "")
		n.want(200, key, "GET", "/v1/kv/"+strings.ReplaceAll(url.QueryEscape(key), "+", "%20"), "") // all of it encoded
		if v, err := n.store.Get(t.Context(), key); err != nil || string(v.Bytes) != key {
			t.Errorf("%q is not stored under %q: %v", path, key, err)
		}
	}
	long := strings.Repeat("k", kv.MaxKey)
	n.want(204, "", "PUT", "/v1/kv/"+long, "v")
	n.want(400, "bad-key", "PUT", "/v1/kv/"+long+"k", "v")
	n.want(400, "bad-key", "PUT", "/v1/kv/", "v")
	n.want(400, "bad-key", "GET", "/v1/kv/", "")
	n.want(405, "method-not-allowed", "POST", "/v1/kv/a", "")
	n.want(400, "bad-key", "POST", "/v1/kv//incr", "")
	n.want(405, "method-not-allowed", "POST", "/v1/kv/incr", "")
	n.want(200, "{\n  \"value\": 1\n}\n", "POST", "/v1/kv/a%2Fincr/incr", "")
	if _, err := n.store.Get(t.Context(), "a/incr"); err != nil {
		t.Errorf("a key that ends in /incr: %v", err)
	}
}

func TestConditionalReads(t *testing.T) {
	n := newValuesNode(t, api.KVOptions{})
	tag := n.want(204, "", "PUT", "/v1/kv/a?tag=x", "one").Header.Get("Etag")
	for _, c := range []struct {
		field  string
		status int
	}{
		{"If-None-Match: " + tag, 304},
		{"If-None-Match: W/" + tag, 304},
		{`If-None-Match: "x", ` + tag, 304},
		{"If-None-Match: *", 304},
		{`If-None-Match: "77"`, 200},
		{"If-Match: " + tag, 200},
		{"If-Match: *", 200},
		{"If-Match: W/" + tag, 412},
		{`If-Match: "77"`, 412},
		{"If-Match: 1", 400},
		{`If-None-Match: "1`, 400},
		{"If-None-Match: ", 400},
	} {
		resp, body := n.do("GET", "/v1/kv/a", "", c.field)
		if resp.StatusCode != c.status {
			t.Errorf("%s: %d %s, want %d", c.field, resp.StatusCode, body, c.status)
		}
		if c.status == 304 && (body != "" || resp.Header.Get("Etag") != tag || resp.Header.Get("Weir-Epoch") == "" || resp.Header["Content-Type"] != nil) {
			t.Errorf("%s: %q, %v", c.field, body, resp.Header)
		}
	}
	n.want(404, "missing", "GET", "/v1/kv/none", "", "If-None-Match: *")
}

func TestConditionalWrites(t *testing.T) {
	n := newValuesNode(t, api.KVOptions{})
	n.want(412, "condition-failed", "PUT", "/v1/kv/a", "x", "If-Match: *")
	first := n.want(204, "", "PUT", "/v1/kv/a", "1", "If-None-Match: *").Header.Get("Etag")
	n.want(412, "condition-failed", "PUT", "/v1/kv/a", "x", "If-None-Match: *")
	second := n.want(204, "", "PUT", "/v1/kv/a", "2", "If-Match: "+first).Header.Get("Etag")
	n.want(412, "condition-failed", "PUT", "/v1/kv/a", "x", "If-Match: "+first)
	n.want(204, "", "PUT", "/v1/kv/a", "3", "If-Match: *")
	for _, never := range []string{"W/" + second, `"x"`, `"0"`, `"-1"`, `"03"`} {
		n.want(412, "condition-failed", "PUT", "/v1/kv/a", "x", "If-Match: "+never)
		n.want(412, "condition-failed", "DELETE", "/v1/kv/a", "", "If-Match: "+never)
	}
	for _, bad := range []string{`If-None-Match: "1"`, `If-Match: "1", "2"`, "If-Match: 3", "Weir-If-Epoch: x", "Weir-If-Epoch: 0"} {
		n.want(400, "bad-request", "PUT", "/v1/kv/a", "x", bad)
	}
	n.want(200, "3", "GET", "/v1/kv/a", "")
	n.want(400, "bad-request", "DELETE", "/v1/kv/a", "", "If-None-Match: *")
	n.want(412, "condition-failed", "DELETE", "/v1/kv/a", "", "If-Match: "+first)
	n.want(204, "", "DELETE", "/v1/kv/a", "", "If-Match: *")
	n.want(204, "", "PUT", "/v1/kv/a", "x", "Weir-If-Epoch: 41")
	if n.store.lastSet != (kv.Condition{Since: 41}) {
		t.Errorf("%+v", n.store.lastSet)
	}
}

func TestRefusedWritesChangeNothing(t *testing.T) {
	n := newValuesNode(t, api.KVOptions{})
	for _, query := range []string{
		"ttl=-1", "ttl=0", "ttl=0.0", "ttl=", "ttl=1e3", "ttl=x", "ttl=1&ttl=2", "ttl=1h", "ttl=99999999999", "ttl=.5", "ttl=1.", "ttl=0.1234567890", "ttl=+1",
		"stale=60", "ttl=1&stale=-1", "ttl=1&stale=1&stale=1", "TTL=1", "tag=a,b", "tags=a", "expire=1", "ttl=1;stale=2", "tag=%zz", "=",
	} {
		n.want(400, "bad-value", "PUT", "/v1/kv/a?"+query, "x")
	}
	for _, fields := range [][]string{
		{"Weir-Metadata: {"},
		{"Weir-Metadata: \xff"},
		{`Weir-Metadata: "\x`},
		{"Weir-Metadata: 1", "Weir-Metadata: 2"},
		{"Weir-Metadata: \"" + strings.Repeat("m", kv.MaxMetadata) + `"`},
		{"Content-Type: a/b", "Content-Type: c/d"},
	} {
		n.want(400, "bad-value", "PUT", "/v1/kv/a", "x", fields...)
	}
	for _, method := range []string{"GET", "DELETE"} {
		n.want(400, "bad-request", method, "/v1/kv/a?ttl=1", "")
		n.want(400, "bad-request", method, "/v1/kv/a?", "")
	}
	n.want(400, "bad-request", "POST", "/v1/kv/a/incr?by=2", "")
	n.want(405, "method-not-allowed", "PATCH", "/v1/kv/a", "x")
	if n.store.len() != 0 || n.store.calls > 1 {
		t.Errorf("%d values, %d calls", n.store.len(), n.store.calls)
	}
	n.want(204, "", "PUT", "/v1/kv/a?ttl=3153600000&stale=0", "x")
	n.want(204, "", "PUT", "/v1/kv/a?ttl=0.000000001&tag=a%2Fb%26c", "x")
}

func TestLargeValues(t *testing.T) {
	n := newValuesNode(t, api.KVOptions{})
	largest := strings.Repeat("0123456789abcdef", kv.MaxValue/16)
	n.want(204, "", "PUT", "/v1/kv/a", largest)
	n.want(200, largest, "GET", "/v1/kv/a", "")
	chunked := func(path, body string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "PUT", n.base+path, struct{ io.Reader }{strings.NewReader(body)})
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp
	}
	for _, body := range []string{"", "short", largest[:64<<10], largest[:64<<10+1], largest} {
		if resp := chunked("/v1/kv/chunked", body); resp.StatusCode != 204 {
			t.Errorf("%d bytes in chunks: %d", len(body), resp.StatusCode)
		}
		n.want(200, body, "GET", "/v1/kv/chunked", "")
	}
	if resp := chunked("/v1/kv/chunked", largest+"x"); resp.StatusCode != 413 {
		t.Errorf("too many chunks: %d", resp.StatusCode)
	}
	n.want(200, largest, "GET", "/v1/kv/chunked", "")

	// One that says that it is too large is refused before it has come.
	conn := n.dial()
	_, _ = fmt.Fprintf(conn, "PUT /v1/kv/large HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n", kv.MaxValue+1)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != 413 || !strings.Contains(string(body), `"too-large"`) || err != nil || !resp.Close {
		t.Errorf("%d %s, %v", resp.StatusCode, body, err)
	}
	n.want(404, "missing", "GET", "/v1/kv/large", "")
}

func (n *valuesNode) dial() net.Conn {
	n.t.Helper()
	conn, err := new(net.Dialer).DialContext(n.t.Context(), "tcp", n.addr)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// A client that hangs up in the middle has stored nothing, however it says how long its body is.
func TestHangingUp(t *testing.T) {
	n := newValuesNode(t, api.KVOptions{})
	n.want(204, "", "PUT", "/v1/kv/a", "before")
	for _, request := range []string{
		"Content-Length: 10\r\n\r\nhalf",
		"Content-Length: 1000000\r\n\r\n" + strings.Repeat("x", 500_000),
		"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"Transfer-Encoding: chunked\r\n\r\n186a0\r\n" + strings.Repeat("x", 100_000) + "\r\n",
	} {
		conn := n.dial()
		_, _ = io.WriteString(conn, "PUT /v1/kv/a HTTP/1.1\r\nHost: 127.0.0.1\r\n"+request)
		_ = conn.(*net.TCPConn).CloseWrite()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 400 {
			t.Errorf("%.40q: %d", request, resp.StatusCode)
		}
		n.want(200, "before", "GET", "/v1/kv/a", "")
	}
}

func TestIncrements(t *testing.T) {
	n := newValuesNode(t, api.KVOptions{})
	n.want(200, "{\n  \"value\": 1\n}\n", "POST", "/v1/kv/n/incr", "")
	n.want(200, "{\n  \"value\": -4\n}\n", "POST", "/v1/kv/n/incr", `{"by": -5}`)
	n.want(200, "-4", "GET", "/v1/kv/n", "")
	n.want(200, "{\n  \"value\": 2,\n  \"ttl\": 60\n}\n", "POST", "/v1/kv/window/incr", ` {"ttl": 60, "by": 2} `)
	n.advance(1234567 * time.Microsecond)
	resp := n.want(200, "{\n  \"value\": 3,\n  \"ttl\": 58.765\n}\n", "POST", "/v1/kv/window/incr", `{"ttl": 9999}`)
	if resp.Header.Get("Etag") == "" {
		t.Error("no entity tag")
	}
	for _, body := range []string{
		"1", "[]", "null", `{"by": "1"}`, `{"by": 1.5}`, `{"by": 1e3}`, `{"by": null}`, `{"by": true}`, `{"by": 9223372036854775808}`,
		`{"by": 1, "by": 2}`, `{"of": 1}`, `{"by": 1} x`, `{"by": 1`, `{"ttl": -1}`, `{"ttl": "60"}`, `{"ttl": null}`, `{"ttl": 1e9999}`, `by=1`,
	} {
		n.want(400, "bad-request", "POST", "/v1/kv/n/incr", body)
	}
	n.want(400, "bad-value", "POST", "/v1/kv/n/incr", `{"ttl": 0}`)
	n.want(413, "body-too-large", "POST", "/v1/kv/n/incr", strings.Repeat(" ", 5000))
	n.want(200, "-4", "GET", "/v1/kv/n", "")
	n.want(204, "", "PUT", "/v1/kv/text", "four")
	n.want(409, "not-a-number", "POST", "/v1/kv/text/incr", "")
	n.want(204, "", "PUT", "/v1/kv/most", "9223372036854775807")
	n.want(409, "overflow", "POST", "/v1/kv/most/incr", "")
	n.want(200, "9223372036854775807", "GET", "/v1/kv/most", "")
}

func TestManyValues(t *testing.T) {
	n := newValuesNode(t, api.KVOptions{})
	n.want(204, "", "PUT", "/v1/kv/a?ttl=60&stale=60&tag=t", "\x00bytes", "Content-Type: a/b", `Weir-Metadata: {"m":1}`)
	n.want(204, "", "PUT", "/v1/kv/%C3%BC", "")
	n.advance(61 * time.Second)
	resp := n.want(200, `{"values":[`+
		`{"key":"a","type":"a/b","metadata":{"m":1},"tags":["t"],"etag":"\"1\"","epoch":"101","age":61,"ttl":0,"staleFor":59,"stale":true,"value":"AGJ5dGVz"},`+
		`null,`+
		`{"key":"ü","type":"","metadata":null,"tags":[],"etag":"\"2\"","epoch":"102","age":61,"stale":false,"value":""}]}`+"\n",
		"POST", "/v1/kv", `{"get": ["a", "none", "\u00fc"]}`)
	if resp.Header.Get("Weir-Epoch") != "99" {
		t.Errorf("%v", resp.Header)
	}
	n.want(200, `{"values":[]}`+"\n", "POST", "/v1/kv", `{"get": []}`)
	n.want(200, `{"values":[`+strings.TrimSuffix(strings.Repeat("null,", kv.MaxMany), ",")+"]}\n", "POST", "/v1/kv",
		`{"get": [`+strings.TrimSuffix(strings.Repeat(`"k",`, kv.MaxMany), ",")+`]}`)
	for _, body := range []string{
		"", "{}", `{"get": "a"}`, `{"get": [1]}`, `{"get": null}`, `{"get": [null]}`, `{"get": ["a"], "set": []}`, `{"get": ["a"], "get": []}`,
		`{"get": [` + strings.TrimSuffix(strings.Repeat(`"k",`, kv.MaxMany+1), ",") + `]}`, `["a"]`, `{"get": ["a"`,
	} {
		n.want(400, "bad-request", "POST", "/v1/kv", body)
	}
	n.want(400, "bad-key", "POST", "/v1/kv", `{"get": ["a", ""]}`)
	n.want(413, "body-too-large", "POST", "/v1/kv", `{"get": ["`+strings.Repeat("x", 3<<20)+`"]}`)
	large := strings.Repeat("x", kv.MaxValue)
	for i := range 9 {
		n.want(204, "", "PUT", fmt.Sprint("/v1/kv/large", i), large)
	}
	if resp, body := n.do("POST", "/v1/kv", `{"get": ["large1", "large2", "large3"]}`); resp.StatusCode != 200 || len(body) < 4*len(large) {
		t.Errorf("%d, %d bytes", resp.StatusCode, len(body))
	}
	n.want(413, "too-large", "POST", "/v1/kv", `{"get": ["large0","large1","large2","large3","large4","large5","large6","large7","large8"]}`)
	n.want(405, "method-not-allowed", "GET", "/v1/kv", "")
}

func TestValueFaults(t *testing.T) {
	n := newValuesNode(t, api.KVOptions{})
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{fmt.Errorf("%w: dial tcp", kv.ErrUnavailable), 503, "shield-unreachable"},
		{fmt.Errorf("%w: too long; shorten it", kv.ErrInvalid), 400, "bad-value"},
		{fmt.Errorf("edge: %w", kv.ErrCondition), 412, "condition-failed"},
		{errors.New("disk"), 500, "internal"},
	} {
		n.store.fails = c.err
		n.want(c.status, c.code, "PUT", "/v1/kv/a", "x")
		n.want(c.status, c.code, "GET", "/v1/kv/a", "")
		n.want(c.status, c.code, "POST", "/v1/kv/a/incr", "")
		n.want(c.status, c.code, "POST", "/v1/kv", `{"get": ["a"]}`)
	}
	none := api.NewValues(api.ValuesOptions{Store: func() kv.Store { return nil }, Epoch: func() uint64 { return 0 }})
	n.base = "http://" + serveOn(t, api.NewKV(api.KVOptions{Values: none}))
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		n.want(503, "not-ready", method, "/v1/kv/a", "")
	}
}

func TestTokenOfTheListenerForValues(t *testing.T) {
	purged := make(chan shield.PurgeOrder, 1)
	opts := api.KVOptions{Token: "kv token", Purge: func(_ context.Context, order shield.PurgeOrder) (shield.PurgeReport, error) {
		purged <- order
		return shield.PurgeReport{}, nil
	}}
	n := newValuesNode(t, opts)
	right := "Authorization: Bearer kv token"
	for _, field := range []string{"X: y", "Authorization: Bearer admin token", "Authorization: Basic a3YgdG9rZW4=", "Authorization: Bearer "} {
		for _, request := range []string{"GET /v1/kv/a", "PUT /v1/kv/a", "DELETE /v1/kv/a", "POST /v1/kv/a/incr", "POST /v1/kv", "POST /v1/purge"} {
			method, path, _ := strings.Cut(request, " ")
			n.want(401, "unauthorized", method, path, "", field)
		}
	}
	n.want(204, "", "PUT", "/v1/kv/a", "x", right, "Host: cache.example")
	n.want(200, "x", "GET", "/v1/kv/a", "", right)
	for _, path := range []string{"/v1/stats", "/v1/policy", "/metrics", "/v1/logs", "/v1/explain"} {
		n.want(404, "not-found", "GET", path, "", right)
	}
	if resp, _ := n.do("POST", "/v1/purge", `{"tags": ["a"]}`, right); resp.StatusCode != 200 || !slices.Equal((<-purged).Tags, []string{"a"}) {
		t.Errorf("a purge by tag: %d", resp.StatusCode)
	}
	for _, order := range []string{`{"all": true}`, `{"tags": ["a"], "urls": ["http://a/"]}`, `{"hosts": ["a"]}`, `{"prefixes": ["http://a/"]}`, `{"keys": ["00"]}`} {
		n.want(403, "tags-alone", "POST", "/v1/purge", order, right)
	}
	if resp, _ := n.do("GET", "/healthz", ""); resp.StatusCode != 200 {
		t.Errorf("health needs a token: %d", resp.StatusCode)
	}
}

// Without a token no page in a browser gets in, whatever name it has for this machine.
func TestValuesAndBrowsers(t *testing.T) {
	n := newValuesNode(t, api.KVOptions{})
	for _, fields := range [][]string{
		{"Host: evil.example"}, {"Sec-Fetch-Site: cross-site"}, {"Origin: https://evil.example"},
	} {
		for _, method := range []string{"PUT", "DELETE", "POST"} {
			resp, body := n.do(method, "/v1/kv/a", "x", fields...)
			if resp.StatusCode != 403 || !strings.Contains(body, "foreign-") {
				t.Errorf("%s with %s: %d %s", method, fields, resp.StatusCode, body)
			}
		}
	}
	n.want(403, "foreign-host", "GET", "/v1/kv/a", "", "Host: evil.example")
	if n.store.calls != 0 {
		t.Error("a page got to the store")
	}
}
