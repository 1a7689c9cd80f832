package api_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"weir/api"
	"weir/policy"
	"weir/rfc9111"
)

// sum is a trailer section of which one field was announced.
func sum() *rfc9111.Trailer {
	return &rfc9111.Trailer{
		Names:  []string{"X-Late", "X-Sum"},
		Fields: func() http.Header { return http.Header{"X-Sum": {"1"}, "X-More": {"2"}} },
	}
}

// trailed answers with a body of that length and a trailer section.
func trailed(length int64) *tier {
	return always(func() *rfc9111.Answer {
		ans := streamed(io.NopCloser(strings.NewReader("hello")), length, "X-Sum: head", "X-Late: head")
		ans.Trailer = sum()
		return ans
	})
}

func TestTrailers(t *testing.T) {
	const section = "0\r\nX-More: 2\r\nX-Sum: 1\r\n\r\n"
	for _, c := range []struct {
		name, request string
		tier          *tier
		ends          string
		announced     bool
	}{
		{"asked for", "GET / HTTP/1.1\r\nTE: trailers\r\nConnection: TE, close\r\n", trailed(-1), "5\r\nhello\r\n" + section, true},
		{"asked for among codings", "GET / HTTP/1.1\r\nTE: gzip;q=0.1, Trailers\r\nConnection: close\r\n", trailed(-1), "5\r\nhello\r\n" + section, true},
		{"of a passed request", "POST / HTTP/1.1\r\nTE: trailers\r\nContent-Length: 0\r\nConnection: close\r\n", trailed(-1), "5\r\nhello\r\n" + section, true},
		{"not asked for", "GET / HTTP/1.1\r\nConnection: close\r\n", trailed(-1), "5\r\nhello\r\n0\r\n\r\n", false},
		{"HTTP/1.0", "GET / HTTP/1.0\r\nTE: trailers\r\n", trailed(-1), "\r\n\r\nhello", false},
		{"known length", "GET / HTTP/1.1\r\nTE: trailers\r\nConnection: close\r\n", trailed(5), "\r\n\r\nhello", false},
		{"range", "GET / HTTP/1.1\r\nTE: trailers\r\nRange: bytes=1-2\r\nConnection: close\r\n", trailed(5), "\r\n\r\nel", false},
		{"HEAD", "HEAD / HTTP/1.1\r\nTE: trailers\r\nConnection: close\r\n", trailed(-1), "\r\n\r\n", false},
		{"from memory", "GET / HTTP/1.1\r\nTE: trailers\r\nConnection: close\r\n", always(func() *rfc9111.Answer { return stored("hello") }), "\r\n\r\nhello", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			wrap := func(ln net.Listener) net.Listener { return api.Guard(ln, api.GuardOptions{}) }
			addr := serveOver(t, wrap, newDoor(t, c.tier, "", api.DoorOptions{}))
			got, err := io.ReadAll(talk(t, connect(t, addr), c.request+"Host: a\r\n\r\n"))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(string(got), c.ends) || strings.Contains(string(got), "\r\nTrailer: X-Late, X-Sum\r\n") != c.announced {
				t.Errorf("got %q", got)
			}
		})
	}
}

// A body that fails has no trailer section: the client sees that it is not whole.
func TestNoTrailersAfterAFailure(t *testing.T) {
	s := always(func() *rfc9111.Answer {
		ans := streamed(io.NopCloser(io.MultiReader(strings.NewReader("hello"), failure{errors.New("lost")})), -1)
		ans.Trailer = sum()
		return ans
	})
	got, _ := io.ReadAll(talk(t, connect(t, serveOn(t, newDoor(t, s, "", api.DoorOptions{}))), "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n"))
	if strings.Contains(string(got), "X-More") || strings.HasSuffix(string(got), "0\r\n\r\n") {
		t.Errorf("got %q", got)
	}
}

func TestTrailersOverHTTP2(t *testing.T) {
	srv := serveHTTP2(t, newDoor(t, trailed(-1), "", api.DoorOptions{}))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Te", "trailers")
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body := bodyOf(t, resp)
	want := http.Header{"X-Sum": {"1"}, "X-More": {"2"}, "X-Late": nil}
	if body != "hello" || resp.ProtoMajor != 2 || resp.Header.Get("X-Sum") != "head" || !reflect.DeepEqual(resp.Trailer, want) {
		t.Errorf("%s %q %v, trailer %v", resp.Proto, body, resp.Header, resp.Trailer)
	}
}

func TestTrailersOfRequests(t *testing.T) {
	for _, c := range []struct {
		name, request string
		names         []string
		fields        http.Header
	}{
		{
			"announced", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X_Sum, Cookie, X-Weir-Epoch\r\n",
			[]string{"X-Sum"},
			http.Header{"X-Sum": {"1"}, "X-More": {"2"}},
		},
		{"not announced", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", nil, nil},
		{"keyed", "POST /graphql HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &tier{fetch: func(_ context.Context, req *policy.Request) (*rfc9111.Answer, error) {
				if req.Stream != nil {
					if _, err := io.Copy(io.Discard, req.Stream); err != nil {
						return nil, err
					}
				}
				switch {
				case req.Trailer == nil && c.names != nil, req.Trailer != nil && !reflect.DeepEqual(req.Trailer.Names, c.names):
					t.Errorf("announced %+v, want %q", req.Trailer, c.names)
				case req.Trailer != nil && !reflect.DeepEqual(req.Trailer.Fields(), c.fields):
					t.Errorf("got %v, want %v", req.Trailer.Fields(), c.fields)
				}
				if req.TakesTrailers || len(req.Header["X-Sum"]) > 0 {
					t.Errorf("%+v", req)
				}
				return ok(), nil
			}}
			wrap := func(ln net.Listener) net.Listener { return api.Guard(ln, api.GuardOptions{}) }
			conn := connect(t, serveOver(t, wrap, newDoor(t, s, routes, api.DoorOptions{})))
			in := talk(t, conn, c.request+"Host: a\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\nCookie: a=b\r\n\r\n")
			resp, err := http.ReadResponse(in, nil)
			if err != nil || bodyOf(t, resp) != "ok" {
				t.Errorf("%v, %v", resp, err)
			}
			s.one(t)
		})
	}
}
