package rfc9111_test

import (
	"net/http"
	"reflect"
	"testing"

	"weir/rfc9111"
)

// RFC 9110 10.1.4.
func TestAcceptsTrailers(t *testing.T) {
	for _, tt := range []struct {
		lines []string
		want  bool
	}{
		{nil, false},
		{[]string{"TE: trailers"}, true},
		{[]string{"TE: Trailers"}, true},
		{[]string{"TE:"}, false},
		{[]string{"TE: gzip;q=0.5,\ttrailers ,deflate"}, true},
		{[]string{"TE: gzip", "TE: trailers"}, true},
		{[]string{"TE: trailers;q=0"}, false},
		{[]string{"TE: trailersx"}, false},
		{[]string{"TE: trailer"}, false},
		{[]string{"Connection: TE", "Trailer: trailers"}, false},
	} {
		if got := rfc9111.AcceptsTrailers(header(tt.lines...)); got != tt.want {
			t.Errorf("%q: %v", tt.lines, got)
		}
	}
}

// RFC 9110 6.5.1.
func TestTrailer(t *testing.T) {
	allowed := header("Etag: \"a\"", "Content-Digest: sha-256=:YQ==:", "Repr-Digest: x", "Server-Timing: db;dur=5", "Grpc-Status: 0",
		"X-A: 1", "X-A: 2", "Authentication-Info: a", "Signature: b")
	forbidden := header(
		"Transfer-Encoding: chunked", "Content-Length: 5", "Trailer: X", // framing
		"Host: a", "Forwarded: for=a", "X-Forwarded-For: a", "Via: 1.1 a", "Location: /", // routing
		"Cache-Control: no-store", "Expect: 100-continue", "Max-Forwards: 1", "Pragma: no-cache", "Range: bytes=0-", "TE: gzip",
		"If-Match: *", "If-None-Match: *", "Accept: */*", "Accept-Encoding: br", // request modifiers
		"Authorization: a", "Proxy-Authorization: a", "Proxy-Authenticate: a", "WWW-Authenticate: a", "Cookie: a=b", "Set-Cookie: a=b",
		"Age: 1", "Expires: 0", "Date: x", "Retry-After: 1", "Vary: *", "Warning: 1", "Last-Modified: x", // response control
		"CDN-Cache-Control: no-store", "Weir-Cache-Control: no-store", "Surrogate-Control: a", "Surrogate-Key: a", "Cache-Tag: a",
		"Cache-Groups: a", "Cache-Group-Invalidation: a", "Cache-Status: a; hit", "X-Cache: hit", "X-Cache-Tier: oc=hit", "X-Caching-Status: ok",
		"Content-Encoding: gzip", "Content-Type: a/b", "Content-Range: bytes 0-0/1", "Content-Location: /", "Content-Security-Policy: a",
		"Connection: close", "Keep-Alive: a", "Upgrade: a", "Proxy-Connection: a", "Access-Control-Allow-Origin: *", "X-Weir-Epoch: 1", "Sec-Fetch-Mode: a",
	)
	for _, name := range []string{"", "X A", "X-A:", "X-A\r\nB", "X-ä", "x\x00"} {
		forbidden[name] = []string{"1"}
	}
	both := allowed.Clone()
	for name, values := range forbidden {
		both[name] = values
	}
	both["X-Announced"] = nil
	got := rfc9111.TrailerFields(both)
	if !reflect.DeepEqual(got, allowed) {
		for name := range got {
			if allowed[name] == nil {
				t.Errorf("%q is let through", name)
			}
		}
		t.Errorf("got %v", got)
	}
	got.Set("X-A", "changed")
	if both.Get("X-A") != "1" {
		t.Error("the received fields are shared")
	}
	want := []string{"Authentication-Info", "Content-Digest", "Etag", "Grpc-Status", "Repr-Digest", "Server-Timing", "Signature", "X-A", "X-Announced"}
	if names := rfc9111.TrailerNames(both); !reflect.DeepEqual(names, want) {
		t.Errorf("names %q", names)
	}
	if rfc9111.TrailerFields(forbidden) != nil || rfc9111.TrailerFields(http.Header{}) != nil || rfc9111.TrailerNames(nil) != nil {
		t.Error("something of nothing")
	}
}
