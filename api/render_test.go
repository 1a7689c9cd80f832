package api_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"weir/api"
	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

var update = flag.Bool("update", false, "rewrite golden files")

// golden compares got with a file under testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run with -update and look at the difference. Got:\n%s", path, got)
	}
}

// branches are answers of every kind, with what the tiers say about each.
var branches = []struct {
	name string
	line string
	d    rfc9111.Decision
	code int
	err  error
}{
	{name: "hit in memory", d: hit},
	{name: "hit on disk", d: rfc9111.Decision{Use: rfc9111.Hit, Outer: rfc9111.TierCached, Shield: rfc9111.TierHit, Status: rfc9111.StatusOK, TTL: 53 * time.Second, HasTTL: true}},
	{name: "stale while revalidating", d: rfc9111.Decision{Use: rfc9111.Stale, Outer: rfc9111.TierHit, Status: rfc9111.StatusOK, TTL: -2 * time.Second, HasTTL: true}},
	{name: "stale on error", d: rfc9111.Decision{Use: rfc9111.Stale, Outer: rfc9111.TierPass, Shield: rfc9111.TierHit, Status: rfc9111.StatusOK, Forward: rfc9111.ForwardStale, ForwardStatus: 503, TTL: -9 * time.Second, HasTTL: true}},
	{name: "miss", d: miss},
	{name: "miss in somebody's flight", d: rfc9111.Decision{Use: rfc9111.Miss, Outer: rfc9111.TierCached, Shield: rfc9111.TierCached, Status: rfc9111.StatusOK, Forward: rfc9111.ForwardMiss, Stored: true, Collapsed: true}},
	{name: "set-cookie", d: rfc9111.Decision{Use: rfc9111.Miss, Outer: rfc9111.TierPass, Shield: rfc9111.TierPass, Status: rfc9111.StatusSetCookie, Forward: rfc9111.ForwardMiss}},
	{name: "private", d: rfc9111.Decision{Use: rfc9111.Miss, Outer: rfc9111.TierPass, Shield: rfc9111.TierPass, Status: rfc9111.StatusPrivate, Forward: rfc9111.ForwardMiss}},
	{name: "no max-age", d: rfc9111.Decision{Use: rfc9111.Miss, Outer: rfc9111.TierPass, Shield: rfc9111.TierPass, Status: rfc9111.StatusNoMaxAge, Forward: rfc9111.ForwardMiss}},
	{name: "origin says 404", code: 404, d: rfc9111.Decision{Use: rfc9111.Miss, Outer: rfc9111.TierPass, Shield: rfc9111.TierPass, Status: rfc9111.StatusCode, Forward: rfc9111.ForwardMiss}},
	{name: "passed by method", line: "DELETE /", d: rfc9111.Decision{Use: rfc9111.Bypass, Outer: rfc9111.TierPass, Shield: rfc9111.TierPass, Status: rfc9111.StatusMethod, Forward: rfc9111.ForwardBypass}},
	{name: "passed by route", line: "GET /admin/x", d: rfc9111.Decision{Use: rfc9111.Bypass, Outer: rfc9111.TierPass, Shield: rfc9111.TierPass, Status: rfc9111.StatusDisabled, Forward: rfc9111.ForwardBypass}},
	{name: "refused request", line: "GET /%00"},
	{name: "options of the server", line: "OPTIONS *"},
	{name: "origin unreachable", err: shield.ErrOriginUnreachable},
	{name: "origin unreachable, passed", line: "GET /admin/x", err: shield.ErrOriginUnreachable},
	{name: "origin silent", err: shield.ErrOriginTimeout},
	{name: "origin broken", err: shield.ErrOriginProtocol},
	{name: "overloaded", err: shield.ErrOverloaded},
	{name: "only if cached", err: shield.ErrOnlyIfCached},
	{name: "draining", err: shield.ErrClosed},
	{name: "internal error", err: errors.New("disk on fire")},
}

func TestStatusHeadersOfEachBranch(t *testing.T) {
	shown := []string{"Age", "Cache-Control", "Cache-Status", "Connection", "Retry-After", "Via", "X-Cache", "X-Cache-Tier", "X-Caching-Status"}
	var out strings.Builder
	for _, b := range branches {
		s := &tier{fetch: func(context.Context, *policy.Request) (*rfc9111.Answer, error) {
			if b.err != nil {
				return nil, b.err
			}
			a := stored("hello", "Cache-Control: max-age=60")
			a.Decision = b.d
			if b.code != 0 {
				a.Head.Status = b.code
			}
			return a, nil
		}}
		line := b.line
		if line == "" {
			line = "GET /"
		}
		resp := ask(t, newDoor(t, s, routes, api.DoorOptions{}), line)
		fmt.Fprintf(&out, "# %s\n%d\n", b.name, resp.StatusCode)
		for _, name := range shown {
			for _, v := range resp.Header.Values(name) {
				fmt.Fprintf(&out, "%s: %s\n", strings.ToLower(name), v)
			}
		}
		if resp.StatusCode >= 400 && b.code == 0 {
			out.WriteString(bodyOf(t, resp))
		}
		out.WriteString("\n")
	}
	golden(t, "status.golden", out.String())
}

// A panic once the head is out ends the connection, and only that one.
func TestPanicOfABody(t *testing.T) {
	s := always(func() *rfc9111.Answer { return streamed(io.NopCloser(bomb{}), -1) })
	d := newDoor(t, s, "", api.DoorOptions{})
	addr := serveOn(t, d)
	for range 2 {
		raw, err := io.ReadAll(talk(t, connect(t, addr), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
		if err == nil && strings.HasSuffix(string(raw), "0\r\n\r\n") {
			t.Errorf("the client takes %q for the whole", raw)
		}
	}
}

type bomb struct{}

func (bomb) Read([]byte) (int, error) { panic("secret") }

// A node that stops cancels its fetches; its clients are told, and are not taken
// for gone.
func TestFetchCancelledByTheNode(t *testing.T) {
	resp := ask(t, newDoor(t, failing(context.Canceled), "", api.DoorOptions{}), "GET /")
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no retry-after")
	}
	wantError(t, resp, 503, "closing")
	wantError(t, ask(t, newDoor(t, failing(context.DeadlineExceeded), "", api.DoorOptions{}), "GET /"), 504, "timeout")
}

// What a route sets is on its errors too, but does not make them storable.
func TestErrorsHaveTheRoutesFields(t *testing.T) {
	const route = `{"name": "all", "match": {"path": "/*"}, "setResponseHeaders": {"access-control-allow-origin": "*", "cache-control": "max-age=9"}}`
	resp := ask(t, newDoor(t, failing(shield.ErrOriginTimeout), route, api.DoorOptions{}), "GET /")
	if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "*" {
		t.Errorf("access-control-allow-origin %q", got)
	}
	wantError(t, resp, 504, "origin-timeout")
}

func TestErrorsNeverShowTheirCause(t *testing.T) {
	resp := ask(t, newDoor(t, failing(fmt.Errorf("dial 10.0.0.7: %w", shield.ErrOriginUnreachable)), "", api.DoorOptions{}), "GET /")
	body := bodyOf(t, resp)
	if strings.Contains(body, "10.0.0.7") {
		t.Errorf("an origin's address is shown: %s", body)
	}
}

func TestPanicOfATier(t *testing.T) {
	s := &tier{fetch: func(context.Context, *policy.Request) (*rfc9111.Answer, error) { panic("secret") }}
	resp := ask(t, newDoor(t, s, "", api.DoorOptions{}), "GET /")
	wantError(t, resp, 500, "internal")
}

func TestBrowserFields(t *testing.T) {
	const route = `{"name": "all", "match": {"path": "/*"}, "edge": {"maxAgeSeconds": 60},
		"browser": {"maxAgeSeconds": 5, "serviceWorkerSeconds": 3600}, "setResponseHeaders": {"x-team": "blue"}}`
	for _, c := range []struct {
		name   string
		status int
		why    rfc9111.CachingStatus
		want   string // cache-control
		sw     string
	}{
		{"cached", 200, rfc9111.StatusOK, "max-age=5", "3600"},
		{"not cached here", 200, rfc9111.StatusDisabled, "max-age=5", "3600"},
		{"cached error", 404, rfc9111.StatusOK, "max-age=5", "3600"},
		{"error", 500, rfc9111.StatusCode, "public, max-age=60", ""},
		{"private", 200, rfc9111.StatusPrivate, "public, max-age=60", ""},
		{"cookie", 200, rfc9111.StatusSetCookie, "public, max-age=60", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := ask(t, newDoor(t, always(func() *rfc9111.Answer {
				a := stored("x", "Cache-Control: public, max-age=60", "Expires: Sun, 01 Mar 2026 13:00:00 GMT", "X-Team: red")
				a.Head.Status, a.Decision.Status = c.status, c.why
				return a
			}), route, api.DoorOptions{}), "GET /")
			if got := resp.Header.Get("Cache-Control"); got != c.want {
				t.Errorf("cache-control %q, want %q", got, c.want)
			}
			if got := resp.Header.Get("X-Sw-Cache-Control"); got != c.sw {
				t.Errorf("x-sw-cache-control %q, want %q", got, c.sw)
			}
			if got := resp.Header.Get("Expires"); (got == "") != (c.sw != "") {
				t.Errorf("expires %q", got)
			}
			if got := resp.Header.Get("X-Team"); got != "blue" {
				t.Errorf("x-team %q", got)
			}
		})
	}
}

// A route's max-age for browsers does not let caches in front of this node store
// what the origin keeps from them, although nobody judged what was passed on.
func TestBrowserFieldsOfRestrictedAnswers(t *testing.T) {
	const route = `{"name": "all", "match": {"path": "/*"}, "edge": false, "browser": {"maxAgeSeconds": 5, "serviceWorkerSeconds": 3600}}`
	for field, want := range map[string]string{
		"Cache-Control: private, max-age=60":       "private, max-age=60",
		`Cache-Control: max-age=60, Private="x-a"`: `max-age=60, Private="x-a"`,
		"Cache-Control: no-store":                  "no-store",
		"Set-Cookie: a=b":                          "",
		"Cache-Control: no-cache":                  "max-age=5",
	} {
		for _, why := range []rfc9111.CachingStatus{rfc9111.StatusDisabled, rfc9111.StatusPass, rfc9111.StatusMethod} {
			resp := ask(t, newDoor(t, always(func() *rfc9111.Answer {
				a := stored("x", field)
				a.Decision.Status = why
				return a
			}), route, api.DoorOptions{}), "GET /")
			if got := resp.Header.Get("Cache-Control"); got != want {
				t.Errorf("%s, %s: cache-control %q, want %q", field, why, got, want)
			}
			if got := resp.Header.Get("X-Sw-Cache-Control") != ""; got != (want == "max-age=5") {
				t.Errorf("%s, %s: x-sw-cache-control is there: %v", field, why, got)
			}
		}
	}
}

// The client that caused a response gets fields that are for nobody else. Caches in front
// of this node hear that from the origin's Cache-Control, which stays.
func TestBrowserFieldsOfPersonalAnswers(t *testing.T) {
	const route = `{"name": "all", "match": {"path": "/*"}, "edge": {"maxAgeSeconds": 60}, "browser": {"maxAgeSeconds": 5}}`
	for _, c := range []struct {
		field, want string
		use         rfc9111.Use
	}{
		{"X-A: 1", `private="x-a"`, rfc9111.Miss},
		{"Set-Cookie: a=b", `private="x-a"`, rfc9111.Miss},
		{"X-B: 1", "max-age=5", rfc9111.Miss},
		{"X-B: 1", "max-age=5", rfc9111.Hit},
	} {
		resp := ask(t, newDoor(t, always(func() *rfc9111.Answer {
			a := stored("x", `Cache-Control: private="x-a"`, c.field)
			a.Decision.Use, a.Decision.Status = c.use, rfc9111.StatusOK
			return a
		}), route, api.DoorOptions{}), "GET /")
		if got := resp.Header.Get("Cache-Control"); got != c.want {
			t.Errorf("%s, %s: cache-control %q, want %q", c.field, c.use, got, c.want)
		}
	}
}

func TestAge(t *testing.T) {
	for _, c := range []struct {
		name    string
		use     rfc9111.Use
		before  time.Duration // age when it came
		elapsed time.Duration // since it came
		took    time.Duration // to come
		want    string
	}{
		{"hit", rfc9111.Hit, 0, 7900 * time.Millisecond, 0, "7"},
		{"hit at once", rfc9111.Hit, 0, 0, 0, "0"},
		{"stale", rfc9111.Stale, 0, 90 * time.Second, 0, "90"},
		{"hit of a cache before us", rfc9111.Hit, time.Minute, time.Second, 0, "61"},
		{"miss", rfc9111.Miss, 0, 0, 0, ""},
		{"slow miss", rfc9111.Miss, 3 * time.Second, 0, 3 * time.Second, ""},
		{"miss that a cache before us had", rfc9111.Miss, 33 * time.Second, 0, 3 * time.Second, "30"},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := ask(t, newDoor(t, always(func() *rfc9111.Answer {
				a := stored("x")
				a.Decision.Use = c.use
				a.Head.ResponseTime = now.Add(-c.elapsed)
				a.Head.RequestTime = a.Head.ResponseTime.Add(-c.took)
				a.Head.Terms.InitialAge = c.before
				return a
			}), "", api.DoorOptions{}), "GET /")
			if got := resp.Header.Get("Age"); got != c.want {
				t.Errorf("age %q, want %q", got, c.want)
			}
		})
	}
}

func TestBodiesAndLengths(t *testing.T) {
	body := func(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }
	for _, c := range []struct {
		name   string
		method string
		answer *rfc9111.Answer
		length string // content-length
		body   string
	}{
		{"get from memory", "GET", stored("hello"), "5", "hello"},
		{"get nothing", "GET", stored(""), "0", ""},
		{"head of memory", "HEAD", stored("hello"), "5", ""},
		{"get of a stream", "GET", streamed(body("hello"), 5), "5", "hello"},
		{"get of a stream without a length", "GET", streamed(body("hello"), -1), "", "hello"},
		{"its own length is not believed", "GET", streamed(body("hello"), -1, "Content-Length: 7"), "", "hello"},
		{"head of a stream", "HEAD", streamed(body(""), 5), "5", ""},
		{"head passed on", "HEAD", streamed(body(""), -1, "Content-Length: 7"), "7", ""},
		{"no content", "GET", with(stored(""), 204), "", ""},
		{"no content with a length", "GET", with(stored("", "Content-Length: 0"), 204), "", ""},
		{"reset content", "GET", with(streamed(body("hello"), 5), 205), "0", ""},
		{"not modified, passed on", "GET", with(streamed(body(""), -1), 304), "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := ask(t, newDoor(t, always(func() *rfc9111.Answer { return c.answer }), "", api.DoorOptions{}), c.method+" /")
			if got := resp.Header.Get("Content-Length"); got != c.length {
				t.Errorf("content-length %q, want %q", got, c.length)
			}
			if got := bodyOf(t, resp); got != c.body {
				t.Errorf("body %q, want %q", got, c.body)
			}
		})
	}
}

func with(a *rfc9111.Answer, status int) *rfc9111.Answer {
	a.Head.Status = status
	return a
}

// What net/http would add or guess on its own does not appear.
func TestNothingIsGuessed(t *testing.T) {
	a := stored("<html>")
	a.Head.Header.Del("Content-Type")
	a.Head.Header.Del("Date")
	a.Head.Header.Set("Connection", "close")
	a.Head.Header.Set("Transfer-Encoding", "chunked")
	a.Head.Header.Set("Trailer", "X")
	addr := serveOn(t, newDoor(t, always(func() *rfc9111.Answer { return a }), "", api.DoorOptions{}))
	conn := connect(t, addr)
	resp, err := http.ReadResponse(talk(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body := bodyOf(t, resp); body != "<html>" {
		t.Errorf("body %q", body)
	}
	if ct, ok := resp.Header["Content-Type"]; ok {
		t.Errorf("content-type %q was guessed", ct)
	}
	if got := resp.Header.Get("Date"); got != "Sun, 01 Mar 2026 11:59:53 GMT" {
		t.Errorf("date %q is not when the response came", got)
	}
	if resp.Close || len(resp.TransferEncoding) > 0 || resp.Header.Get("Trailer") != "" {
		t.Error("the origin's hop-by-hop fields came through")
	}
}

func TestStatusesNobodyCanSend(t *testing.T) {
	for _, status := range []int{-1, 0, 100, 103, 199, 600, 999, 1000} {
		resp := ask(t, newDoor(t, always(func() *rfc9111.Answer { return with(stored("x"), status) }), "", api.DoorOptions{}), "GET /")
		wantError(t, resp, 502, "origin-protocol")
	}
}

func TestConditions(t *testing.T) {
	const modified = "Sun, 01 Mar 2026 10:00:00 GMT"
	for _, c := range []struct {
		name  string
		lines []string
		want  int
	}{
		{"none", []string{"GET /"}, 200},
		{"etag matches", []string{"GET /", `If-None-Match: "v1"`}, 304},
		{"etag in a list", []string{"GET /", `If-None-Match: "v0", W/"v1"`}, 304},
		{"any etag", []string{"GET /", `If-None-Match: *`}, 304},
		{"etag differs", []string{"GET /", `If-None-Match: "v2"`}, 200},
		{"head", []string{"HEAD /", `If-None-Match: "v1"`}, 304},
		{"not modified since", []string{"GET /", "If-Modified-Since: " + modified}, 304},
		{"modified since", []string{"GET /", "If-Modified-Since: Sun, 01 Mar 2026 09:00:00 GMT"}, 200},
		{"etag wins over date", []string{"GET /", `If-None-Match: "v2"`, "If-Modified-Since: " + modified}, 200},
		{"match", []string{"GET /", `If-Match: "v1"`}, 200},
		{"no match", []string{"GET /", `If-Match: "v2"`}, 412},
		{"unmodified since", []string{"GET /", "If-Unmodified-Since: Sun, 01 Mar 2026 09:00:00 GMT"}, 412},
		{"range", []string{"GET /", "Range: bytes=1-2"}, 206},
		{"if-range matches", []string{"GET /", "Range: bytes=1-2", `If-Range: "v1"`}, 206},
		{"if-range differs", []string{"GET /", "Range: bytes=1-2", `If-Range: "v2"`}, 200},
		{"if-range by date", []string{"GET /", "Range: bytes=1-2", "If-Range: " + modified}, 206},
		{"not modified before range", []string{"GET /", "Range: bytes=9-", `If-None-Match: "v1"`}, 304},
		{"range past the end", []string{"GET /", "Range: bytes=5-"}, 416},
		{"last no bytes", []string{"GET /", "Range: bytes=-0"}, 416},
		{"range of a head", []string{"HEAD /", "Range: bytes=1-2"}, 200},
		{"two range fields", []string{"GET /", "Range: bytes=1-2", "Range: bytes=3-4"}, 200},
		{"passed on", []string{"GET /admin/x", `If-None-Match: "v1"`, "Range: bytes=1-2"}, 200},
		{"query", []string{"QUERY /search", `If-None-Match: "v1"`, "Content-Length: 1", "body=q"}, 304},
		{"query, etag differs", []string{"QUERY /search", `If-None-Match: "v2"`, "Content-Length: 1", "body=q"}, 200},
		{"query, no match", []string{"QUERY /search", `If-Match: "v2"`, "Content-Length: 1", "body=q"}, 412},
		{"query, not named", []string{"QUERY /", `If-None-Match: "v1"`, "Content-Length: 1", "body=q"}, 200},
		{"range of a query", []string{"QUERY /search", "Range: bytes=1-2", "Content-Length: 1", "body=q"}, 200},
		{"post", []string{"POST /graphql", `If-None-Match: "v1"`, "Range: bytes=1-2", "Content-Length: 0"}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			closed := false
			resp := ask(t, newDoor(t, always(func() *rfc9111.Answer {
				body := &closer{Reader: strings.NewReader("hello"), close: func() { closed = true }}
				return streamed(body, 5, `ETag: "v1"`, "Last-Modified: "+modified, "Content-Language: en", "Cache-Control: max-age=60")
			}), routes, api.DoorOptions{}), c.lines...)
			if resp.StatusCode != c.want {
				t.Fatalf("status %d, want %d", resp.StatusCode, c.want)
			}
			if !closed {
				t.Error("the body was not closed")
			}
			if ranges := resp.Header.Get("Accept-Ranges"); ranges != "" && strings.HasPrefix(c.lines[0], "QUERY") {
				t.Errorf("ranges of a query are offered: %s", ranges)
			}
			body := bodyOf(t, resp)
			switch c.want {
			case 304:
				if body != "" || resp.Header.Get("Content-Type")+resp.Header.Get("Content-Length")+resp.Header.Get("Content-Language") != "" {
					t.Errorf("a 304 describes content: %v %q", resp.Header, body)
				}
				if resp.Header.Get("ETag") == "" || resp.Header.Get("Cache-Control") == "" || resp.Header.Get("Date") == "" || resp.Header.Get("X-Cache") == "" {
					t.Errorf("a 304 lacks fields: %v", resp.Header)
				}
			case 206:
				if body != "el" || resp.Header.Get("Content-Range") != "bytes 1-2/5" {
					t.Errorf("%q %q", resp.Header.Get("Content-Range"), body)
				}
			case 416:
				if resp.Header.Get("Content-Range") != "bytes */5" {
					t.Errorf("content-range %q", resp.Header.Get("Content-Range"))
				}
			}
		})
	}
}

// closer is a body that tells when it is closed.
type closer struct {
	io.Reader
	close func()
}

func (c *closer) Close() error {
	c.close()
	return nil
}
