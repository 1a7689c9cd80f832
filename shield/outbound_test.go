package shield_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"weir/rfc9111"
	"weir/shield"
)

// An origin sees the very bytes of the target that the key holds.
func TestTargetsAreForwardedByteForByte(t *testing.T) {
	seen := make(chan string, 1)
	src, _ := raw(t, func(_ int, r *http.Request, c net.Conn) {
		seen <- r.RequestURI
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok")
	})
	s := startReal(t, src)
	for _, target := range []string{
		"/", "/?", "/??", "/a?b=c", "/?a=1;b=2&c=%zz", "//x", "//x?y", "///", "//", "/%2f", "/a%2Fb%2fc", "/a//b/./c/../d",
		"/%00", "/a|b", "/a\"b<c>^`{}", "/a'b", "/ä", "/a?ä=|", "/a:b@c", "/http://other/", "/;p=1", "/*",
		"//a/%2F?x=//y", "/a?#", "/a+b%20c",
	} {
		for _, method := range []string{"GET ", "POST "} {
			r := s.get(method + target)
			if r.err != nil {
				t.Errorf("%s: %v", target, r.err)
				continue
			}
			if got := <-seen; got != target {
				t.Errorf("%q arrived as %q", target, got)
			}
		}
	}
	for _, target := range []string{"//a|b", "//ä", "", "/a b", "/a\r\nX: 1", "/\x00"} {
		req := s.request("OPTIONS /")
		req.Target = target
		if r := s.fetch(context.Background(), req); !errors.Is(r.err, shield.ErrTarget) {
			t.Errorf("%q: %+v", target, r)
		}
	}
}

// An origin hears what its Surrogate-Control can be aimed at, only where it is obeyed.
func TestSurrogateCapability(t *testing.T) {
	for settings, want := range map[string]string{`{"surrogateControl": true}`: rfc9111.SurrogateCapability, `{}`: ""} {
		s := start(t, options{policy: `{"origins": {"o": {"url": "http://origin.test"}}, "defaults": {"origin": "o", "edge": ` + settings + `}}`})
		if r := s.get("/"); r.err != nil {
			t.Fatal(r.err)
		}
		if got := s.origin.last().Header.Get("Surrogate-Capability"); got != want {
			t.Errorf("%s: %q", settings, got)
		}
	}
}

func TestFieldsOfCacheableRequests(t *testing.T) {
	s := start(t, options{policy: `{"origins": {"o": {"url": "http://origin.test", "host": "inner.test"}}, "defaults": {"origin": "o",
		"key": {"excludeAllQueryParametersExcept": ["page"], "device": true, "headers": ["x-host"]}}}`})
	r := s.get("/?page=2&utm=1",
		"Accept-Encoding", "gzip;q=0.5, br, deflate",
		"User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148",
		"Cookie", "a=1", "Accept-Language", "de",
		"X-Forwarded-For", "1.2.3.4", "X-Forwarded-Host", "evil.test", "X-Forwarded-Proto", "gopher", "X-Forwarded-Prefix", "/evil",
		"Forwarded", "host=evil.test", "X-Host", "keyed.test", "X-Original-Url", "/evil", "X-Rewrite-Url", "/evil",
		"X-Http-Method-Override", "DELETE", "X-Method-Override", "DELETE", "X-Real-Ip", "1.2.3.4", "X_forwarded_host", "evil.test",
		"X-Original-Qs", "evil", "X-Device", "evil", "X-Weir-Epoch", "9", "Expect", "100-continue", "Via", "1.0 evil",
		"X-Middleware-Subrequest", "evil",
	)
	if r.err != nil {
		t.Fatal(r.err)
	}
	got := s.origin.last()
	if got.Host != "inner.test" || got.URL.RequestURI() != "/?page=2" {
		t.Errorf("asked %s for %s", got.Host, got.URL.RequestURI())
	}
	want := http.Header{
		"Accept-Encoding": {"br, gzip, zstd"}, "Cookie": {"a=1"}, "Accept-Language": {"de"}, "User-Agent": got.Header["User-Agent"],
		"X-Forwarded-Host": {"example.com"}, "X-Forwarded-Proto": {"http"}, "X-Host": {"keyed.test"},
		"X-Original-Qs": {"page=2&utm=1"}, "X-Device": {"smartphone"}, "Via": {"1.1 weir"},
	}
	for name, v := range got.Header {
		if w := want[name]; len(w) != 1 || w[0] != v[0] {
			t.Errorf("%s: %q, want %q", name, v, w)
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s is missing", name)
	}
}

func TestFieldsOfPassedRequests(t *testing.T) {
	s := start(t, options{})
	req := s.request("POST /", "X-Forwarded-For", "6.6.6.6", "X-Forwarded-Port", "1", "Forwarded", "for=6.6.6.6",
		"Accept-Encoding", "deflate", "X-Original-Url", "/x", "Connection", "Keep-Alive, X-Hop", "X-Hop", "1", "Te", "trailers", "Via", "1.0 front")
	r := s.fetch(context.Background(), req)
	r.want(t, "body", rfc9111.Bypass, rfc9111.StatusMethod)
	got := s.origin.last()
	for name, want := range map[string]string{
		"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Port": "", "Forwarded": "", "Accept-Encoding": "deflate",
		"X-Original-Url": "/x", "Connection": "", "X-Hop": "", "Te": "", "Via": "1.0 front, 1.1 weir",
		"X-Forwarded-Host": "example.com", "X-Forwarded-Proto": "http", "User-Agent": "",
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	if got.Host != "example.com" {
		t.Errorf("host %q", got.Host)
	}
}

// What a route removes is gone before anything is decided.
func TestRemovedFields(t *testing.T) {
	s := start(t, options{policy: `{"origins": {"o": {"url": "http://origin.test"}}, "defaults": {"origin": "o",
		"removeResponseHeaders": ["set-cookie", "x-powered-by"], "removeRequestHeaders": ["cookie"]}}`})
	s.origin.answer(always(200, "body", "Cache-Control", cacheable, "Set-Cookie", "a=1", "X-Powered-By", "x", "Connection", "X-Hop", "X-Hop", "1"))
	for _, use := range []rfc9111.Use{rfc9111.Miss, rfc9111.Hit} {
		r := s.get("/", "Cookie", "b=2")
		r.want(t, "body", use, rfc9111.StatusOK)
		for _, name := range []string{"Set-Cookie", "X-Powered-By", "X-Hop", "Connection"} {
			if r.header.Get(name) != "" {
				t.Errorf("%s is still there", name)
			}
		}
	}
	if s.origin.last().Header.Get("Cookie") != "" {
		t.Error("the cookie was forwarded")
	}
}

func TestKeyedBodies(t *testing.T) {
	s := start(t, options{policy: `{"origins": {"o": {"url": "http://origin.test"}}, "defaults": {"origin": "o"},
		"routes": [{"name": "g", "match": {"path": "/graphql", "methods": ["POST"]}, "edge": {"maxAgeSeconds": 30}}]}`})
	s.origin.answer(func(r *http.Request) (*http.Response, error) {
		p := make([]byte, r.ContentLength)
		if _, err := r.Body.Read(p); err != nil {
			return nil, err
		}
		return respond(200, r.Method+string(p)), nil
	})
	for range 2 {
		for _, q := range []string{"{a}", "{b}"} {
			if r := s.fetch(context.Background(), s.bodyRequest("POST /graphql", q)); r.body != "POST"+q {
				t.Errorf("%s got %q, %v", q, r.body, r.err)
			}
		}
	}
	s.wantOrigin(2)
}
