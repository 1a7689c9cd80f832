package shield_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

const trailing = "HTTP/1.1 200 OK\r\nCache-Control: %s\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Secret, Set-Cookie, X-Late\r\nX-Sum: head\r\n\r\n" +
	"4\r\nbody\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\nX-Secret: 3\r\nSet-Cookie: a=b\r\nContent-Type: a/b\r\nCache-Control: max-age=9\r\nX-Unannounced: 4\r\n\r\n"

// startTrailing makes an origin that answers every request with a body and a trailer section.
func startTrailing(t *testing.T, control, wire string) (s *setup, te chan string) {
	t.Helper()
	te = make(chan string, 10)
	src, _ := raw(t, func(_ int, r *http.Request, c net.Conn) {
		te <- r.Header.Get("Te") + "/" + r.Header.Get("Connection")
		if strings.Contains(wire, "%s") {
			_, _ = fmt.Fprintf(c, wire, control)
		} else {
			_, _ = io.WriteString(c, wire)
			_ = c.Close()
		}
	})
	src = strings.Replace(src, `"defaults": {`, `"defaults": {"removeResponseHeaders": ["x-secret"], `, 1)
	return startReal(t, src), te
}

// taking is a request of a client that takes trailer fields.
func (s *setup) taking(target string) *policy.Request {
	req := s.request(target)
	req.TakesTrailers = true
	return req
}

func TestTrailers(t *testing.T) {
	for _, c := range []struct{ target, control, te string }{
		{"/", "max-age=60", "/"},
		{"/", "private", "/"},
		{"/?", "no-store", "/"},
		{"POST /", "max-age=60", "trailers/TE"},
	} {
		t.Run(c.target+c.control, func(t *testing.T) {
			s, te := startTrailing(t, c.control, trailing)
			ans, err := s.shield.Fetch(context.Background(), s.taking(c.target))
			if err != nil {
				t.Fatal(err)
			}
			if got := <-te; got != c.te {
				t.Errorf("the origin saw TE %q, want %q", got, c.te)
			}
			names := []string{"X-Late", "X-Sum"}
			if ans.Trailer == nil || !reflect.DeepEqual(ans.Trailer.Names, names) {
				t.Fatalf("announced %+v, want %q", ans.Trailer, names)
			}
			trailer, head := ans.Trailer, ans.Head.Header
			if r := read(ans); r.err != nil || r.body != "body" {
				t.Fatalf("%+v", r)
			}
			want := http.Header{"X-Sum": {"1", "2"}, "X-Unannounced": {"4"}}
			if got := trailer.Fields(); !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			if head.Get("X-Sum") != "head" || head["X-Unannounced"] != nil || head["Set-Cookie"] != nil || head["Trailer"] != nil {
				t.Errorf("head %v", head)
			}
			if c.target == "/" && c.control == cacheable {
				hit, err := s.shield.Fetch(context.Background(), s.taking("/"))
				if err != nil || hit.Decision.Use != rfc9111.Hit || hit.Trailer != nil || hit.Head.Header.Get("X-Sum") != "head" {
					t.Errorf("%+v, %v", hit, err)
				}
			}
		})
	}
}

// Everybody who streams a flight has the trailer, if they take one.
func TestTrailersOfAFlight(t *testing.T) {
	step := make(chan struct{})
	src, _ := raw(t, func(_ int, r *http.Request, c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n")
		<-step
		_, _ = io.WriteString(c, "0\r\nX-Sum: 1\r\n\r\n")
	})
	s := startReal(t, src)
	var clients []*rfc9111.Answer
	for _, req := range []*policy.Request{s.taking("/"), s.taking("/"), s.request("/")} {
		ans, err := s.shield.Fetch(context.Background(), req)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, ans)
	}
	close(step)
	for i, ans := range clients {
		trailer := ans.Trailer
		if r := read(ans); r.err != nil || r.body != "body" {
			t.Errorf("%+v", r)
		}
		if i == 2 && trailer != nil || i < 2 && trailer.Fields().Get("X-Sum") != "1" {
			t.Errorf("client %d: %v", i, trailer)
		}
	}
}

// A body whose trailer section did not come whole is not whole.
func TestBrokenTrailers(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n"
	for name, rest := range map[string]string{
		"missing":    "",
		"cut":        "X-Sum: 1\r\n",
		"cut inside": "X-Su",
		"no field":   "X-Sum\r\n\r\n",
		"bad value":  "X-Sum: \x00\r\n\r\n",
		"endless":    strings.Repeat("X-Sum: "+strings.Repeat("1", 100)+"\r\n", 1000) + "\r\n",
	} {
		for _, target := range []string{"/", "POST /"} {
			t.Run(name+target, func(t *testing.T) {
				s, _ := startTrailing(t, "", head+rest)
				if r := s.fetch(context.Background(), s.taking(target)); !errors.Is(r.err, shield.ErrOriginTruncated) {
					t.Errorf("%q, %v", r.body, r.err)
				}
				if s.store.Len() != 0 || s.memory.fillCount() != 0 {
					t.Error("stored")
				}
			})
		}
	}
}

func TestTrailersOfUploads(t *testing.T) {
	for _, c := range []struct {
		length int64
		want   http.Header
	}{
		{-1, http.Header{"X-Sum": {"1", "2"}, "X-Late": nil}},
		{4, nil},
	} {
		got := make(chan http.Header, 1)
		src, _ := raw(t, func(_ int, r *http.Request, conn net.Conn) {
			_, _ = io.Copy(io.Discard, r.Body)
			got <- r.Trailer
			_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		})
		src = strings.Replace(src, `"defaults": {`, `"defaults": {"removeRequestHeaders": ["x-secret"], `, 1)
		s := startReal(t, src)
		req := s.request("POST /")
		req.Stream, req.Length = strings.NewReader("body"), c.length
		req.Trailer = &rfc9111.Trailer{
			Names: []string{"X-Late", "X-Original-Url", "X-Secret", "X-Sum", "X_sum", "X-Device"},
			Fields: func() http.Header {
				return http.Header{"X-Sum": {"1", "2"}, "X-Original-Url": {"/admin"}, "X-Secret": {"1"}, "X-Unannounced": {"1"}, "X-Device": {"tv"}}
			},
		}
		if r := s.fetch(context.Background(), req); r.err != nil || r.status != 204 {
			t.Errorf("%+v", r)
		}
		if trailer := <-got; !reflect.DeepEqual(trailer, c.want) {
			t.Errorf("length %d: the origin got %v, want %v", c.length, trailer, c.want)
		}
	}
}
