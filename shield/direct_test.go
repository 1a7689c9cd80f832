package shield_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"weir/rfc9111"
)

// talkers answers every request with its target, and remembers on which connection it came.
type talkers struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (k *talkers) serve(_ int, r *http.Request, c net.Conn) {
	k.mu.Lock()
	k.conns = append(k.conns, c)
	k.mu.Unlock()
	_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: %d\r\n\r\n%s", len(r.URL.Path), r.URL.Path)
}

func (k *talkers) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	different := map[net.Conn]bool{}
	for _, c := range k.conns {
		different[c] = true
	}
	return len(different)
}

func (k *talkers) last() net.Conn {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.conns[len(k.conns)-1]
}

func (k *talkers) want(t *testing.T, s *setup, target string, conns int) {
	t.Helper()
	s.get(target).want(t, target, rfc9111.Miss, rfc9111.StatusNoMaxAge)
	if got := k.count(); got != conns {
		t.Errorf("%s: %d connections, want %d", target, got, conns)
	}
}

// One connection serves requests one after the other. What came on it while nobody asked is nobody's answer.
func TestConnectionsAreKept(t *testing.T) {
	var k talkers
	src, _ := raw(t, k.serve)
	s := startReal(t, src)
	for i := range 20 {
		k.want(t, s, "/"+number(i), 1)
	}
	if _, err := io.WriteString(k.last(), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"); err != nil {
		t.Fatal(err)
	}
	k.want(t, s, "/after", 2)
	k.want(t, s, "/again", 2)
	if err := k.last().Close(); err != nil {
		t.Fatal(err)
	}
	k.want(t, s, "/closed", 3)
}

// A connection whose body nobody reads to its end serves nobody else, and ends.
func TestConnectionsOfBodiesThatAreLeft(t *testing.T) {
	ended := make(chan error, 1)
	var k talkers
	src, _ := raw(t, func(n int, r *http.Request, c net.Conn) {
		if r.URL.Path != "/long" {
			k.serve(n, r, c)
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 1000000\r\n\r\nbegin")
		_, err := c.Read(make([]byte, 1))
		ended <- err
	})
	s := startReal(t, src)
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	ans, err := s.shield.Fetch(ctx, s.request("/long"))
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 5)
	if _, err := io.ReadFull(ans.Body, p); err != nil || string(p) != "begin" {
		t.Fatalf("%q, %v", p, err)
	}
	if err := ans.Body.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("the connection is still open")
	}
	k.want(t, s, "/next", 1)
}

// What is sent to an origin is one request, whatever stands in its fields.
func TestFieldsThatWouldBeMore(t *testing.T) {
	for _, c := range []struct{ name, value string }{
		{"X-A", "1\r\nX-Evil: 1"},
		{"X-A", "1\n"},
		{"X-A", "1\r"},
		{"X-A", "1\x00"},
		{"X-A\r\nX-Evil", "1"},
		{"X A", "1"},
		{"", "1"},
	} {
		src, requests := raw(t, func(_ int, _ *http.Request, conn net.Conn) { _ = conn.Close() })
		s := startReal(t, src)
		req := s.request("/")
		req.Header[c.name] = []string{c.value}
		if r := s.fetch(context.Background(), req); r.err == nil || !strings.Contains(r.err.Error(), "request field") {
			t.Errorf("%q: %q: error %v", c.name, c.value, r.err)
		}
		if n := requests.Load(); n != 0 {
			t.Errorf("%q: %q: %d requests", c.name, c.value, n)
		}
	}
}

// What is passed on when a shield closes ends visibly, although its flight has nothing more to do.
func TestPassesEndWithTheirShield(t *testing.T) {
	src, _ := raw(t, func(_ int, _ *http.Request, c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 10\r\n\r\nbegin")
	})
	s := startReal(t, src)
	ans, err := s.shield.Fetch(context.Background(), s.request("/"))
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 5)
	if _, err := io.ReadFull(ans.Body, p); err != nil || string(p) != "begin" {
		t.Fatalf("%q, %v", p, err)
	}
	if err := s.shield.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if n, err := ans.Body.Read(p); n > 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if err := ans.Body.Close(); err != nil {
		t.Error(err)
	}
}
