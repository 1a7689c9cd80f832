package api_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"weir/api"
)

// net/http would answer OPTIONS * by itself, without a word about the cache.
func TestOptionsOfTheServer(t *testing.T) {
	s := always(ok)
	conn := connect(t, serveOn(t, newDoor(t, s, "", api.DoorOptions{})))
	in := talk(t, conn, "OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n")
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 204 || resp.Header.Get("X-Cache") != "bypass" || resp.Header.Get("Allow") == "" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	if len(s.requests()) > 0 {
		t.Error("the origin was asked")
	}
	talk(t, conn, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
	if resp, err = http.ReadResponse(in, nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("the connection does not go on: %v %v", resp, err)
	}
}

// The server reads 4 KiB more than the limit; the door counts.
func TestLargeHeads(t *testing.T) {
	addr := serveOn(t, newDoor(t, always(ok), "", api.DoorOptions{}))
	for _, c := range []struct{ size, status int }{
		{15 << 10, 200}, {17 << 10, 431}, {64 << 10, 431},
	} {
		conn := connect(t, addr)
		resp, err := http.ReadResponse(talk(t, conn, "GET / HTTP/1.1\r\nHost: a\r\nX-Long: "+strings.Repeat("x", c.size)+"\r\n\r\n"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != c.status {
			t.Errorf("%d bytes: status %d, want %d", c.size, resp.StatusCode, c.status)
		}
	}
}

func TestServerBounds(t *testing.T) {
	for name, srv := range map[string]*http.Server{"clients": api.NewServer(nil, nil), "admin": api.NewAdminServer(nil, nil)} {
		if srv.ReadHeaderTimeout <= 0 || srv.IdleTimeout <= 0 || srv.MaxHeaderBytes != api.MaxHeaderBytes || srv.ErrorLog == nil || !srv.DisableGeneralOptionsHandler {
			t.Errorf("%s: %+v", name, srv)
		}
	}
}

// serveHTTP2 serves h over TLS until the end of the test.
func serveHTTP2(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config = api.NewServer(h, nil)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

// Over HTTP/2 the door answers the same.
func TestHTTP2(t *testing.T) {
	s := always(ok)
	srv := serveHTTP2(t, newDoor(t, s, "", api.DoorOptions{}))
	resp, err := srv.Client().Get(srv.URL + "/x?y")
	if err != nil {
		t.Fatal(err)
	}
	if body := bodyOf(t, resp); resp.ProtoMajor != 2 || body != "ok" || resp.Header.Get("X-Cache") != "hit" {
		t.Errorf("%s %q %v", resp.Proto, body, resp.Header)
	}
	req := s.one(t)
	if req.Scheme != "https" || req.Target != "/x?y" {
		t.Errorf("asked %+v", req)
	}
}

func TestLimit(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if api.Limit(inner, 0) != inner {
		t.Error("no limit is a limit")
	}
	ln := api.Limit(inner, 1)
	accepted := make(chan net.Conn)
	ended := make(chan error, 1)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- conn
		}
	}()
	connect(t, inner.Addr().String())
	first := <-accepted
	connect(t, inner.Addr().String())
	select {
	case <-accepted:
		t.Fatal("two connections at once")
	default:
	}
	_ = first.Close()
	_ = first.Close() // frees its place once
	second := <-accepted
	if _, ok := second.(interface{ CloseWrite() error }); !ok {
		t.Error("a TCP connection lost its half-close")
	}
	if _, ok := second.(io.ReaderFrom); !ok {
		t.Error("a TCP connection lost sendfile")
	}
	_ = ln.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("ended with %v", err)
	}
	_ = second.Close()
}
