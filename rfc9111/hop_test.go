package rfc9111_test

import (
	"net/http"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"weir/rfc9111"
)

// RFC 9110 7.6.1.
func TestEndToEnd(t *testing.T) {
	tests := []struct {
		name string
		in   http.Header
		want http.Header
	}{
		{"nothing", nil, http.Header{}},
		{"end-to-end", header("Accept: */*", "X-A: 1", "X-A: 2"), header("Accept: */*", "X-A: 1", "X-A: 2")},
		{
			"hop-by-hop, named or not",
			header("Connection: close", "Keep-Alive: timeout=5", "TE: trailers", "Trailer: X", "Transfer-Encoding: chunked",
				"Upgrade: h2c", "HTTP2-Settings: AAA", "Proxy-Connection: close", "Proxy-Authorization: Basic eA==",
				"Proxy-Authenticate: Basic", "Proxy-Authentication-Info: a", "X-A: 1"),
			header("X-A: 1"),
		},
		{"what proxies tell clients, RFC 9209", header("Proxy-Status: a; error=dns_timeout"), header("Proxy-Status: a; error=dns_timeout")},
		{"named", header("Connection: a, B ,, c", "A: 1", "B: 2", "C: 3", "D: 4"), header("D: 4")},
		{"named on the second line", header("Connection:", "Connection: a", "A: 1", "B: 2"), header("B: 2")},
		{"named with dashes", header("Connection: x-hop", "X-Hop: 1"), header()},
		{
			"what decides stays",
			header("Connection: Authorization, cookie, cache-control, host, vary, content-length, content-type, accept-encoding, set-cookie, "+
				"etag, if-none-match, range, expires, age, date, x-forwarded-for, location, cdn-cache-control, surrogate-key",
				"Authorization: Basic eA==", "Cookie: a=b", "Cache-Control: private", "Host: h", "Vary: Foo", "Content-Length: 1",
				"Content-Type: text/html", "Accept-Encoding: gzip", "Set-Cookie: a=b", `Etag: "a"`, "If-None-Match: *", "Range: bytes=0-",
				"Expires: 0", "Age: 1", "Date: x", "X-Forwarded-For: 192.0.2.1", "Location: /", "Cdn-Cache-Control: private", "Surrogate-Control: no-store", "Surrogate-Key: a"),
			header("Authorization: Basic eA==", "Cookie: a=b", "Cache-Control: private", "Host: h", "Vary: Foo", "Content-Length: 1",
				"Content-Type: text/html", "Accept-Encoding: gzip", "Set-Cookie: a=b", `Etag: "a"`, "If-None-Match: *", "Range: bytes=0-",
				"Expires: 0", "Age: 1", "Date: x", "X-Forwarded-For: 192.0.2.1", "Location: /", "Cdn-Cache-Control: private", "Surrogate-Control: no-store", "Surrogate-Key: a"),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := tt.in.Clone()
			got := rfc9111.EndToEnd(tt.in)
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			for _, values := range got {
				values[0] = "edited"
			}
			if !reflect.DeepEqual(before, tt.in) {
				t.Error("the copy is not one")
			}
			if all := len(got) == len(tt.in); rfc9111.IsEndToEnd(tt.in) != all {
				t.Errorf("IsEndToEnd says %v", !all)
			}
		})
	}
}

func TestEndToEndProperties(t *testing.T) {
	names := []string{"Connection", "Te", "Upgrade", "Cookie", "Vary", "X-A", "X-B", "Proxy-Foo", "Content-Type"}
	rapid.Check(t, func(t *rapid.T) {
		h := http.Header{}
		for range rapid.IntRange(0, 8).Draw(t, "lines") {
			name := rapid.SampledFrom(names).Draw(t, "name")
			h.Add(name, rapid.SampledFrom(append(names, "close", "X-A, X-B", ",", "")).Draw(t, "value"))
		}
		once := rfc9111.EndToEnd(h)
		if twice := rfc9111.EndToEnd(once); !reflect.DeepEqual(once, twice) {
			t.Fatalf("%v, again %v", once, twice)
		}
		for _, name := range []string{"Cookie", "Vary", "Content-Type"} {
			if !reflect.DeepEqual(h[name], once[name]) {
				t.Fatalf("%s is gone: %v", name, once)
			}
		}
	})
}
