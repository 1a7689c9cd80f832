package api_test

import (
	"bytes"
	"testing"
)

// hitCase is what a client sends, for the second time, and how many of its requests are
// answered without net/http.
type hitCase struct {
	name string
	in   string
	hits int64
}

func hits(name, target string, fields ...string) hitCase {
	return hitCase{name, get(target, fields...), 1}
}

func passes(name, target string, fields ...string) hitCase {
	return hitCase{name, get(target, fields...), 0}
}

func head1(target string, fields ...string) string {
	return request("HEAD "+target+" HTTP/1.1", append([]string{"Host: a.test"}, fields...)...)
}

var hitCases = []hitCase{
	hits("plain", "/"),
	hits("a path of its own", "/page.html"),
	hits("a query", "/a?b=c&d"),
	hits("an empty query", "/a?"),
	hits("no parameter left", "/none?a=1"),
	hits("parameters in another order", "/only?page=2&x=1&page=1"),
	hits("an encoded name", "/only?p%61ge=2"),
	hits("a parameter of a path", "/products/42"),
	hits("a browser", "/", "User-Agent: Mozilla/5.0", "Accept: */*", "Accept-Language: en", "Cookie: a=b; c=d", "Referer: http://a.test/x"),
	hits("cookies twice", "/", "Cookie: a=b", "Cookie: c=d"),
	hits("keep-alive", "/", "Connection: keep-alive"),
	hits("Keep-Alive in capitals", "/", "CONNECTION: Keep-Alive"),
	hits("codings", "/", "Accept-Encoding: gzip, deflate, br, zstd"),
	hits("codings with weights", "/", "Accept-Encoding: gzip;q=0, *"),
	hits("no coding at all", "/", "Accept-Encoding: identity"),
	hits("codings of a route without compress", "/raw/a", "Accept-Encoding: br;q=1, gzip;q=0.001"),
	hits("Vary: Accept-Encoding", "/coded", "Accept-Encoding: gzip"),
	hits("Via of another", "/", "Via: 1.1 proxy"),
	hits("another region's neighbour", "/here"),
	hits("a name with underscores", "/", "Accept_Encoding: br"),
	hits("our own field", "/", "X-Weir-Thing: 1"),
	hits("X-Forwarded-For", "/", "X-Forwarded-For: 1.2.3.4"),
	hits("fields of the route", "/set"),
	hits("no fields", "/plain"),
	hits("few fields", "/brief"),
	hits("a weak tag", "/weak"),
	hits("a long body", "/long"),
	hits("a body of two pages", "/middle"),
	hits("an empty body", "/empty"),
	hits("404", "/status/404"),
	hits("301", "/status/301"),
	hits("200 bytes of path", "/"+string(bytes.Repeat([]byte("x"), 200))),
	hits("a host with a port", "/", "X: y"),
	{"a host in capitals", request("GET / HTTP/1.1", "Host: A.TEST"), 1},
	{"a host with a dot", request("GET / HTTP/1.1", "Host: a.test."), 1},
	{"the default port", request("GET / HTTP/1.1", "Host: a.test:80"), 1},
	{"another port", request("GET / HTTP/1.1", "Host: a.test:8080"), 1},
	{"an address", request("GET / HTTP/1.1", "Host: [::1]:8080"), 1},
	{"a host of a route", request("GET /hosted HTTP/1.1", "Host: www.hosted.test"), 1},
	{"a host of no route", request("GET /hosted HTTP/1.1", "Host: hosted.test"), 1},
	{"HEAD", get("/") + head1("/"), 2},
	{"HEAD by another route", get("/two") + head1("/two") + get("/two"), 3},
	{"HEAD of much", get("/long") + head1("/long") + get("/long"), 3},
	{"HEAD of nothing", get("/empty") + head1("/empty"), 1},
	{"five at once", get("/") + get("/a") + get("/b") + get("/") + get("/a"), 5},
	{"hits around a miss", get("/") + get("/miss") + get("/"), 2},
	{"hits around a body", get("/") + post("Content-Length: 5") + "hello" + get("/"), 1},
	{"a hit before a refusal", get("/") + get("/#"), 1},
	{"a hit before garbage", get("/") + "\x00\x01", 1},
	{"a hit before half a head", get("/") + "GET / HT", 1},
	{"a close at the end", get("/") + get("/", "Connection: close"), 1},
	hits("a tag that matches", "/", `If-None-Match: "v1"`),
	hits("a weak tag that matches", "/", `If-None-Match: W/"v1"`),
	hits("one of several tags", "/weak", `If-None-Match: "a", W/"b" , "v1"`),
	hits("any tag", "/set", `If-None-Match: *`),
	hits("another tag", "/", `If-None-Match: "v2"`),
	hits("a broken tag", "/", `If-None-Match: "v1`),
	hits("a tag without quotes", "/", `If-None-Match: v1`),
	hits("a tag of what has none", "/plain", `If-None-Match: "v1"`),
	hits("a tag and a 404", "/status/404", `If-None-Match: "v1"`),
	hits("any tag, own ranges", "/brief", `If-None-Match: *`),
	{"HEAD with a tag", get("/") + head1("/", `If-None-Match: "v1"`), 2},

	passes("a miss", "/miss"),
	passes("two tags", "/", `If-None-Match: "v1"`, `If-None-Match: "v2"`),
	passes("an empty tag", "/", "If-None-Match:"),
	passes("a tag that the route removes", "/unasked", `If-None-Match: "v1"`),
	passes("If-Unmodified-Since", "/weak", "If-Unmodified-Since: Sun, 01 Mar 2026 09:00:00 GMT"),
	passes("If-Match", "/", `If-Match: "v2"`),
	passes("a range", "/", "Range: bytes=0-3"),
	passes("If-Range", "/", "If-Range: x", "Range: bytes=0-3"),
	passes("no-cache", "/", "Cache-Control: no-cache"),
	passes("any Cache-Control", "/", "Cache-Control: x"),
	passes("Pragma", "/", "Pragma: no-cache"),
	passes("Authorization", "/", "Authorization: Basic eDp5"),
	passes("Connection: close", "/", "Connection: close"),
	passes("Connection names a field", "/", "Connection: keep-alive, cookie", "Cookie: a=b"),
	passes("TE", "/", "TE: trailers"),
	passes("Trailer", "/", "Trailer: x"),
	passes("Upgrade", "/", "Connection: Upgrade", "Upgrade: websocket"),
	passes("Upgrade alone", "/", "Upgrade: websocket"),
	passes("Expect", "/", "Expect: 100-continue"),
	passes("debugging", "/", "X-Cache-Debug: 1"),
	passes("not quite debugging", "/", "X-Cache-Debug: 0"),
	passes("an epoch", "/", "Cache-Min-Epoch: 0"),
	passes("an epoch that is none", "/", "Cache-Min-Epoch: x"),
	passes("a loop", "/", "Via: 1.1 weir"),
	passes("a loop of eight", "/", "Via: 1.1 weir, 1.1 weir, 1.1 weir, 1.1 weir, 1.1 weir, 1.1 weir, 1.1 weir, 1.1 weir"),
	passes("two lines of codings", "/", "Accept-Encoding: br", "Accept-Encoding: gzip"),
	passes("an empty coding", "/raw/a", "Accept-Encoding:"),
	passes("length 0", "/", "Content-Length: 0"),
	passes("other Vary", "/vary", "X-B: 1"),
	passes("languages", "/lang", "Accept-Language: en"),
	passes("stale", "/stale"),
	passes("too stale", "/gone"),
	passes("always validated", "/no-cache"),
	passes("204", "/status/204"),
	passes("205", "/status/205"),
	passes("a status without a name", "/status/299"),
	passes("not cached", "/off/a"),
	passes("a split test", "/split/a"),
	passes("a condition", "/beta"),
	passes("a condition that holds", "/beta", "X-Beta: 1"),
	passes("a key with cookies", "/cookies", "Cookie: currency=EUR"),
	passes("a key with fields", "/fields", "X-A: 1"),
	passes("a key with the device", "/device"),
	passes("No-Vary-Search", "/search?a"),
	passes("another region's", "/pinned"),
	passes("GraphQL", "/graphql?query={a}"),
	passes("a percent", "/a%20b"),
	passes("a percent before a route", "/products/..%2fcookies"),
	passes("dots", "/a/../b"),
	passes("two slashes", "//a.test/x"),
	passes("a semicolon", "/a;b"),
	passes("the whole URL", "http://a.test/"),
	passes("9 KiB", "/", "X: "+string(bytes.Repeat([]byte("x"), 9<<10))),
	{"HTTP/1.0", request("GET / HTTP/1.0", "Host: a.test", "Connection: keep-alive"), 0},
	{"POST", post("Content-Length: 5") + "hello", 0},
	{"a body", get("/", "Content-Length: 5") + "hello", 0},
	{"a chunked body", get("/", "Transfer-Encoding: chunked") + "0\r\n\r\n", 0},
	{"another method", request("PURGE / HTTP/1.1", "Host: a.test"), 0},
	{"a method in lower case", request("get / HTTP/1.1", "Host: a.test"), 0},
	{"an empty line before", "\r\n" + get("/"), 0},
	{"a host that is none", request("GET / HTTP/1.1", "Host: -_-..x"), 0},
	{"half a head", "GET / HTTP/1.1\r\nHost: a.t", 0},
	{"nothing", "", 0},
}

// Whatever a client sends, the hit path changes nothing about the answers but who gives them.
func TestHitsAreWhatTheDoorAnswers(t *testing.T) {
	fast, slow := newHitWorld(t, true), newHitWorld(t, false)
	for _, c := range hitCases {
		t.Run(c.name, func(t *testing.T) {
			for _, piece := range []int{1 << 20, 7} {
				if out, n := same(t, fast, slow, c.in, piece); n != c.hits {
					t.Errorf("%d hits, want %d: %.900q", n, c.hits, out)
				}
			}
		})
	}
}

func TestHitsOnWhatAGuardKnows(t *testing.T) {
	fast, slow := newHitWorld(t, true), newHitWorld(t, false)
	for _, c := range wireCases {
		t.Run(c.name, func(t *testing.T) {
			same(t, fast, slow, c.in+canary, 1<<20)
			same(t, fast, slow, get("/")+c.in+canary, 64)
		})
	}
	if fast.hits.Load() == 0 {
		t.Error("no hit among them")
	}
}

// FuzzHits compares whatever is sent.
func FuzzHits(f *testing.F) {
	for _, c := range hitCases {
		f.Add([]byte(c.in), 64)
	}
	for _, c := range sinceCases {
		f.Add([]byte(c.in), 64)
	}
	for _, c := range wireCases {
		if len(c.in) < 4000 {
			f.Add([]byte(get("/")+c.in+canary), 1<<20)
		}
	}
	fast, slow := newHitWorld(f, true), newHitWorld(f, false)
	played := 0
	f.Fuzz(func(t *testing.T, in []byte, piece int) {
		if len(in) > 20<<10 || piece < 1 {
			return
		}
		if played++; played%1000 == 0 { // before anything is evicted: chance decides on that
			fast.tier.Clear()
			slow.tier.Clear()
		}
		same(t, fast, slow, string(in), piece)
	})
}
