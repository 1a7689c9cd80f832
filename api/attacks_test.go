package api_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"weir/api"
	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

// The tests in this file are named after classes of attacks on caches, and hold
// the door's part of the defence.

// through puts a shield and an origin behind a door.
func through(t *testing.T, routes string, origin http.HandlerFunc) *api.Door {
	t.Helper()
	srv := httptest.NewServer(origin)
	t.Cleanup(srv.Close)
	tbl, err := policy.Compile("test.json", []byte(`{"origins": {"shop": {"url": "`+srv.URL+`"}}, "defaults": {"origin": "shop"}, "routes": [`+routes+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	purges, err := shield.NewPurges(nil)
	if err != nil {
		t.Fatal(err)
	}
	sh := shield.New(nil, purges, shield.Options{})
	sh.SetTable(tbl)
	t.Cleanup(func() {
		if err := sh.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	d := api.NewDoor(sh, func() *policy.Table { return tbl }, api.DoorOptions{})
	t.Cleanup(d.Close)
	return d
}

var unkeyed = []string{
	"X-Forwarded-Host: evil.test", "X-Forwarded-Proto: gopher", "X-Forwarded-Port: 666", "X-Forwarded-Scheme: evil",
	"X-Forwarded-Prefix: /evil", "X-Forwarded-For: 6.6.6.6", "X-Host: evil.test", "X-Original-URL: /evil",
	"X-Rewrite-URL: /evil", "Forwarded: host=evil.test", "X-HTTP-Method-Override: DELETE", "X-Method: DELETE",
	"X_Forwarded_Host: evil.test", "X-Weir-Epoch: 666", "Weir-Epoch: 666", "Weir-Cache-Control: max-age=666", "X-Device: evil", "X-Original-Qs: evil",
}

// An origin that reflects what it is sent reflects nothing that the key does not
// name, and such a field changes neither the key nor who the client is.
func TestAttackUnkeyedHeaders(t *testing.T) {
	d := through(t, "", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_ = r.Header.Write(w)
	})
	for _, field := range unkeyed {
		name, value, _ := strings.Cut(field, ": ")
		t.Run(name, func(t *testing.T) {
			if body := bodyOf(t, ask(t, d, "GET /", field)); strings.Contains(body, value) || strings.Contains(body, "evil") {
				t.Errorf("the origin saw it: %s", body)
			}
			s := always(ok)
			plain := newDoor(t, s, "", api.DoorOptions{})
			ask(t, plain, "GET /")
			ask(t, plain, "GET /", field)
			asked := s.requests()
			if asked[0].Keyed.Key != asked[1].Keyed.Key || asked[1].Client != "192.0.2.7" || asked[1].Method != "GET" || asked[1].Host != "a.test" {
				t.Errorf("it changed the request: %+v", asked[1])
			}
		})
	}
}

// Different requests never meet in one key, whatever bytes they hold.
func TestAttackKeyAmbiguity(t *testing.T) {
	const route = `{"name": "all", "match": {"path": "/*"}, "key": {"headers": ["x-tenant"], "cookies": ["currency"]}}`
	requests := [][]string{
		{"GET /b", "Host: a"},
		{"GET /a/b", "Host: a"},
		{"GET //b", "Host: a"},
		{"GET /b?", "Host: a"},
		{"GET /b?x=1&y=2", "Host: a"},
		{"GET /b?x=1%26y=2", "Host: a"},
		{"GET /b?x=1;y=2", "Host: a"},
		{"GET /b?y=2&x=1", "Host: a"},
		{"GET /b|x=1", "Host: a"},
		{"GET /b", "Host: a:8080"},
		{"GET /b", "Host: b"},
		{"GET /b", "Host: a", "X-Tenant: en,de"},
		{"GET /b", "Host: a", "X-Tenant: en", "X-Tenant: de"},
		{"GET /b", "Host: a", "X-Tenant: en"},
		{"GET /b", "Host: a", "Cookie: currency=en"},
		{"GET /b", "Host: a", "Cookie: currency=en|de"},
		{"GET /b", "Host: a", "X-Tenant: currency=en"},
	}
	s := always(ok)
	d := newDoor(t, s, route, api.DoorOptions{})
	seen := map[string][]string{}
	for _, lines := range requests {
		s.asked = nil
		ask(t, d, lines...)
		key := s.one(t).Keyed.Key.Bytes()
		// Two field lines and one with a comma are the same value, RFC 9110 5.3.
		if other := seen[key]; other != nil && !(strings.HasSuffix(lines[len(lines)-1], "de") && strings.Contains(fmt.Sprint(other), "en,de")) {
			t.Errorf("%q and %q have one key", lines, other)
		}
		seen[key] = lines
	}
	wantError(t, ask(t, d, "GET /", "Host: a/b"), 400, "bad-host")
}

// What an origin might take for another path is another key, not cached, or refused.
func TestAttackPathConfusion(t *testing.T) {
	s := always(ok)
	d := newDoor(t, s, `{"name": "account", "match": {"path": "/account"}, "edge": false}`, api.DoorOptions{})
	seen := map[keying.Key]string{}
	var ambiguous []string
	for _, uri := range []string{
		"/account", "/account/x.css", "/account;x.css", "/account%3bx.css", "/account%23x.css", "/account%3fx.css",
		"/account%0ax.css", "/account%09x.css", "/static/..%2faccount", "//account", "/./account", "/account/.", "/account/..",
		"/account%2523", "/account%5c", "/ACCOUNT", "/%61ccount", "/account/",
	} {
		s.asked = nil
		ask(t, d, "GET "+uri)
		req := s.one(t)
		if req.Target != uri {
			t.Errorf("%q is forwarded as %q", uri, req.Target)
		}
		if uri == "/account" {
			if req.Bypass != rfc9111.StatusDisabled {
				t.Errorf("bypass %q", req.Bypass)
			}
			continue
		}
		if req.Bypass == rfc9111.StatusPass {
			ambiguous = append(ambiguous, uri)
			continue
		}
		if other, ok := seen[req.Keyed.Key]; ok {
			t.Errorf("%q and %q have one key", uri, other)
		}
		seen[req.Keyed.Key] = uri
	}
	// These are /account to some origins, whose route must not be dodged.
	if want := []string{
		"/account;x.css", "/account%3bx.css", "/account%23x.css", "/account%3fx.css", "/account%0ax.css", "/account%09x.css",
		"/static/..%2faccount", "//account", "/./account", "/account%2523", "/%61ccount",
	}; !slices.Equal(ambiguous, want) {
		t.Errorf("ambiguous are %q, want %q", ambiguous, want)
	}
	for _, uri := range []string{"/account#x.css", "/account\\x.css", "/account%00x.css", "/account\x01.css"} {
		s.asked = nil
		r, err := read("GET /")
		if err != nil {
			t.Fatal(err)
		}
		r.RequestURI = uri
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		wantError(t, w.Result(), 400, "bad-target")
		if len(s.asked) > 0 {
			t.Errorf("%q reached the tier", uri)
		}
	}
}

// A request that no origin would take does not reach one, and its error is
// nobody's to keep.
func TestAttackPoisonedErrors(t *testing.T) {
	s := always(ok)
	d := newDoor(t, s, "", api.DoorOptions{})
	for _, lines := range [][]string{
		{"GET /", "X-Oversized: " + strings.Repeat("a", 20<<10)},
		append([]string{"GET /"}, slices.Repeat([]string{"X-Many: 1"}, 101)...),
	} {
		wantError(t, ask(t, d, lines...), 431, map[bool]string{true: "too-many-fields", false: "head-too-long"}[len(lines) > 50])
	}
	if len(s.requests()) > 0 {
		t.Error("the tier was asked")
	}
	for _, field := range []string{
		"X-HTTP-Method-Override: POST", "Range: bytes=a-b", "Range: cows=1-2", "If-Range: nonsense",
		"If-None-Match: nonsense", "If-Modified-Since: nonsense", "If-Unmodified-Since: nonsense",
	} {
		resp := ask(t, d, "GET /", field)
		if body := bodyOf(t, resp); resp.StatusCode != 200 || body != "ok" {
			t.Errorf("%s: %d %q", field, resp.StatusCode, body)
		}
	}
	keys := map[keying.Key]bool{}
	for _, req := range s.requests() {
		keys[req.Keyed.Key] = true
	}
	if len(keys) != 1 {
		t.Errorf("%d keys", len(keys))
	}
}

// No value ends its line, on the way through net/http and in a switch of protocols.
func TestAttackResponseSplitting(t *testing.T) {
	const hostile = "x\r\nX-Injected: 1\r\n\r\nHTTP/1.1 200 OK"
	split := func(a *rfc9111.Answer) *rfc9111.Answer {
		a.Head.Header["X-Value"] = []string{hostile}
		a.Head.Header["Location"] = []string{"/" + hostile}
		a.Head.Header["Upgrade"] = []string{"websocket"}
		a.Head.Header["X-Name\r\nX-Injected"] = []string{"1"}
		a.Decision.Detail = "x\r\nX-Injected: 1"
		return a
	}
	near, far := switched(t)
	_ = far.Close() // ends the conversation at once
	upgraded := near.fetch
	s := &tier{fetch: func(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
		if req.Bypass == "" {
			return split(ok()), nil
		}
		a, err := upgraded(ctx, req)
		return split(a), err
	}}
	addr := serveOn(t, newDoor(t, s, "", api.DoorOptions{}))
	for _, request := range []string{"GET /%0d%0aX-Injected:%201 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", handshake} {
		raw, err := io.ReadAll(talk(t, connect(t, addr), request))
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(raw), "\r\n\r\n")
		for line := range strings.SplitSeq(head, "\r\n") {
			if strings.HasPrefix(line, "X-Injected") {
				t.Errorf("injected:\n%s", raw)
			}
		}
		if strings.Count(string(raw), "\r\nHTTP/1.1") > 0 {
			t.Errorf("split:\n%s", raw)
		}
	}
}

// Host chooses a key and a route, and never an address.
func TestAttackHosts(t *testing.T) {
	s := always(ok)
	d := newDoor(t, s, "", api.DoorOptions{})
	for _, host := range []string{"169.254.169.254", "localhost", "127.0.0.1:22", "[::1]:6379", "unknown.test", "beta"} {
		s.asked = nil
		ask(t, d, "GET /", "Host: "+host)
		if req := s.one(t); req.Origin != "shop" || req.Plan.Table.Origins[req.Origin].Upstreams[0].URL != "http://127.0.0.1:3000" {
			t.Errorf("%s goes to %q", host, req.Origin)
		}
	}
	s.asked = nil
	keys := map[keying.Key]bool{}
	for _, host := range []string{"a.test", "A.TEST", "a.test:80", "a.test.", "a.test.:80"} {
		ask(t, d, "GET /", "Host: "+host)
	}
	for _, req := range s.requests() {
		keys[req.Keyed.Key] = true
	}
	if len(keys) != 1 {
		t.Errorf("one host has %d keys", len(keys))
	}
	for _, line := range []string{"GET http://other.test/", "GET gopher://a.test/", "GET http://a.test@other.test/"} {
		r, err := read(line)
		if err != nil {
			continue // net/http refuses it
		}
		r.Host = "a.test" // as it stands in Host
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		if w.Code != 400 {
			t.Errorf("%s: status %d", line, w.Code)
		}
	}
}

// However many ranges are asked for, no more bytes are sent than there are.
func TestAttackRanges(t *testing.T) {
	content := strings.Repeat("0123456789", 1000)
	s := always(func() *rfc9111.Answer { return stored(content, `ETag: "v1"`) })
	d := newDoor(t, s, "", api.DoorOptions{})
	for _, c := range []struct {
		name, field string
		status      int
	}{
		{"a thousand", "bytes=" + strings.TrimSuffix(strings.Repeat("0-0,2-2,", 500), ","), 200},
		{"overlapping", "bytes=0-,1-,2-,3-,4-,5-", 206},
		{"first and last", "bytes=0-0,-1", 206},
		{"huge", "bytes=0-99999999999999999999", 200},
		{"huge start", "bytes=99999999999999999999-", 416},
		{"suffix of nothing", "bytes=-0", 416},
		{"huge suffix", "bytes=-9999999999", 206},
		{"backwards", "bytes=5-1", 200},
		{"negative", "bytes=--1", 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := ask(t, d, "GET /", "Range: "+c.field)
			body := bodyOf(t, resp)
			// How numbers beyond any length are read is a server's choice, RFC 9110 14.1.2.
			if resp.StatusCode != c.status && !strings.Contains(c.name, "huge") {
				t.Errorf("status %d, want %d", resp.StatusCode, c.status)
			}
			if len(body) > len(content)+9*200 {
				t.Errorf("%d bytes for a body of %d", len(body), len(content))
			}
		})
	}
	if resp := ask(t, d, "GET /", "Range: bytes=0-1", `If-Range: "v0"`); resp.StatusCode != 200 {
		t.Errorf("if-range of another version: %d", resp.StatusCode)
	}
}

// Connection removes nothing that a key, an origin or a cache decides by.
func TestAttackHopByHop(t *testing.T) {
	const route = `{"name": "all", "match": {"path": "/*"}, "key": {"headers": ["x-tenant"], "device": true}}`
	kept := []string{
		"Authorization: Basic eDp5", "Cookie: id=7", "X-Tenant: blue", "Cache-Control: no-cache", "User-Agent: Mozilla/5.0 (iPhone; Mobile)",
		"Sec-Ch-Ua-Mobile: ?1",
	}
	names := "Authorization, Cookie, X-Tenant, Host, Content-Length, Cache-Control, User-Agent, Sec-CH-UA-Mobile"
	s := always(ok)
	d := newDoor(t, s, route, api.DoorOptions{})
	for _, connection := range [][]string{
		{"Connection: " + names},
		{"Connection: close, " + names},
		{"Connection: ", "Connection: " + names},
	} {
		s.asked = nil
		ask(t, d, append(append([]string{"GET /"}, kept...), connection...)...)
		ask(t, d, append([]string{"GET /"}, kept...)...)
		asked := s.requests()
		for _, field := range kept {
			name, value, _ := strings.Cut(field, ": ")
			if got := asked[0].Header.Get(name); got != value {
				t.Errorf("%q: %s is %q, want %q", connection, name, got, value)
			}
		}
		if asked[0].Keyed.Key != asked[1].Keyed.Key {
			t.Errorf("%q changes the key", connection)
		}
		if asked[0].Header.Get("Connection") != "" {
			t.Errorf("Connection goes on: %v", asked[0].Header)
		}
	}
	s.asked = nil
	ask(t, d, "GET /", "Connection: X-Private", "X-Private: 1", "TE: trailers", "Keep-Alive: 5", "Proxy-Connection: x")
	for _, req := range s.requests() {
		for _, name := range []string{"X-Private", "Te", "Keep-Alive", "Proxy-Connection"} {
			if req.Header.Get(name) != "" {
				t.Errorf("%s goes on", name)
			}
		}
	}
}

// A client's own cookie goes to that client alone, on hits too, and what is the
// origin's goes through as the tiers say.
func TestAttackCookies(t *testing.T) {
	answer := stored("page", "Cache-Control: public, max-age=60")
	s := always(func() *rfc9111.Answer { return answer })
	d := newDoor(t, s, split, api.DoorOptions{Pick: func(int) int { return 0 }})
	if resp := ask(t, d, "GET /"); len(resp.Cookies()) != 1 {
		t.Errorf("a new client got %v", resp.Cookies())
	}
	if resp := ask(t, d, "GET /", "Cookie: side=old"); len(resp.Cookies()) != 0 {
		t.Errorf("a known client got %v", resp.Cookies())
	}
	d = newDoor(t, always(func() *rfc9111.Answer { return stored("page", "Set-Cookie: id=1", "Set-Cookie: b=2") }), "", api.DoorOptions{})
	if resp := ask(t, d, "GET /"); len(resp.Cookies()) != 2 {
		t.Errorf("the origin's cookies: %v", resp.Cookies())
	}
	s = always(ok)
	ask(t, newDoor(t, s, "", api.DoorOptions{}), "GET /", "Authorization: Bearer x", "Cookie: id=1")
	if req := s.one(t); req.Header.Get("Authorization") == "" || req.Header.Get("Cookie") == "" {
		t.Error("the tiers cannot see whose request it is")
	}
}

// The port for clients has nothing of the admin listener.
func TestAttackAdminPathsOnTheClientPort(t *testing.T) {
	s := always(func() *rfc9111.Answer { return stored("origin's") })
	d := newDoor(t, s, "", api.DoorOptions{})
	for _, line := range []string{
		"GET /metrics", "GET /healthz", "GET /readyz", "GET /v1/stats", "GET /v1/policy", "GET /debug/pprof/", "POST /v1/purge", "PURGE /", "BAN /",
	} {
		if body := bodyOf(t, ask(t, d, line)); body != "origin's" {
			t.Errorf("%s answered %q", line, body)
		}
	}
}

// A page in a browser on the same machine cannot use the admin listener: not under
// a name of its own (DNS rebinding), nor by a request across sites.
func TestAttackAdminThroughABrowser(t *testing.T) {
	for _, host := range []string{"evil.test", "evil.test:8081", "127.0.0.1.evil.test", "localhost.evil.test", "10.0.0.1", "[fe80::1]", ""} {
		resp := call(t, adminOptions(), "GET /v1/stats", "Host: "+host)
		if resp.StatusCode != 403 {
			t.Errorf("host %q: status %d", host, resp.StatusCode)
		}
	}
	for _, host := range []string{"localhost", "LOCALHOST:8081", "127.0.0.1", "127.1.2.3:8081", "[::1]:8081", "[::1]"} {
		if resp := call(t, adminOptions(), "GET /v1/stats", "Host: "+host); resp.StatusCode != 200 {
			t.Errorf("host %q: status %d", host, resp.StatusCode)
		}
	}
	for _, fields := range [][]string{
		{"Sec-Fetch-Site: cross-site"}, {"Origin: http://evil.test"}, {"Origin: null"}, {"Sec-Fetch-Site: same-site"},
	} {
		resp := call(t, adminOptions(), append([]string{"POST /v1/stats"}, fields...)...)
		if resp.StatusCode != 403 {
			t.Errorf("%v: status %d", fields, resp.StatusCode)
		}
	}
}

// echo believes forwarded addresses, decodes paths and redirects by default.
func TestAttackEcho(t *testing.T) {
	opts := adminOptions()
	opts.Token = "t"
	for _, line := range []string{"GET /%09/evil.test", "GET //evil.test/..", "GET /v1/stats//", "GET /..%2f..%2fetc/passwd", "GET /healthz%2f..%2fmetrics"} {
		resp := call(t, opts, line, "X-Forwarded-For: 127.0.0.1", "X-Real-Ip: 127.0.0.1")
		if resp.StatusCode != 404 || resp.Header.Get("Location") != "" {
			t.Errorf("%s: status %d to %q", line, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
	if resp := call(t, opts, "GET /v1/stats", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: localhost", "X-HTTP-Method-Override: HEAD"); resp.StatusCode != 401 {
		t.Errorf("a forwarded address opened it: %d", resp.StatusCode)
	}
}

// Fields between our nodes mean nothing when a client or an origin sends them.
func TestAttackInternalHeaders(t *testing.T) {
	s := always(func() *rfc9111.Answer {
		return stored("x", "X-Cache: miss", "X-Cache-Tier: oc=forged", "X-Caching-Status: debug", "Age: 999")
	})
	d := newDoor(t, s, "", api.DoorOptions{})
	resp := ask(t, d, "GET /", "X-Weir-Hop: 9", "X-Weir-Epoch: 9", "X-Original-Qs: a=b", "X-Device: tablet", "X-Cache-Debug: 1", "X-Cache: hit")
	for _, name := range []string{"X-Weir-Hop", "X-Weir-Epoch", "X-Original-Qs", "X-Device", "X-Cache-Debug"} {
		if s.one(t).Header.Get(name) != "" {
			t.Errorf("%s of a client goes on", name)
		}
	}
	for name, want := range map[string]string{"X-Cache": "hit", "X-Cache-Tier": "oc=hit", "X-Caching-Status": "ok", "Age": "7"} {
		if got := resp.Header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
