package shield

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// corked holds back what is written until it is told to let go.
type corked struct {
	net.Conn
	held []byte
	hold bool
}

func (c *corked) Write(p []byte) (int, error) {
	if !c.hold {
		return c.Conn.Write(p)
	}
	c.held = append(c.held, p...)
	return len(p), nil
}

// secured is a way to a secured origin, which answers with parts at once, each a record of its own, and cuts off the
// last cut bytes of them.
func secured(t *testing.T, cut int, answer func(r *http.Request) (parts []string)) *direct {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	certificate, config := server.Certificate(), server.TLS.Clone()
	server.Close()
	config.NextProtos = nil
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve := func(conn net.Conn) {
		defer func() { _ = conn.Close() }()
		below := &corked{Conn: conn}
		above := tls.Server(below, config)
		in := bufio.NewReader(above)
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			rest := below.held
			below.held, below.hold = nil, true
			_, _ = conn.Write(rest)
			for _, part := range answer(r) {
				_, _ = io.WriteString(above, part)
			}
			n := max(0, len(below.held)-cut)
			_, _ = conn.Write(below.held[:n])
			below.held = below.held[n:]
		}
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { serve(conn) })
		}
	})
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	d := &direct{addr: l.Addr().String(), idle: time.Minute, dial: dialer{timeout: time.Minute, roots: roots}.secure}
	t.Cleanup(func() {
		d.disconnect()
		_ = l.Close()
		all.Wait()
	})
	return d
}

func (d *direct) get(t *testing.T, target string) string {
	t.Helper()
	q := call{outgoing: &outgoing{method: http.MethodGet, target: target}, host: "a.test", due: time.Now().Add(time.Minute)}
	resp, err := d.ask(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// Bytes of a secured connection that belong to no request may have been received, or even decrypted, before anybody looks.
func TestSurplusOfSecuredConnections(t *testing.T) {
	const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	for name, c := range map[string]struct {
		size int // of the body
		cut  int // of the surplus, comes later
	}{
		"a record":           {10, 0},
		"a record, in part":  {10, 30},
		"a header, in part":  {10, len(evil) + 20},
		"behind a long body": {16 << 10, 0},
		"behind a longer":    {16<<10 + 1000, 30},
	} {
		t.Run(name, func(t *testing.T) {
			d := secured(t, c.cut, func(r *http.Request) []string {
				body := strings.Repeat("x", c.size-len(r.URL.Path)) + r.URL.Path
				return []string{fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", c.size, body), evil}
			})
			for i := range 5 {
				target := "/" + fmt.Sprint(i)
				if got := d.get(t, target); !strings.HasSuffix(got, target) {
					t.Errorf("%s got %.100q", target, got)
				}
			}
		})
	}
}

func TestSecuredConnectionsAreKept(t *testing.T) {
	for _, last := range []string{"llo", strings.Repeat("x", 40_000)} {
		d := secured(t, 0, func(*http.Request) []string {
			return []string{fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", 2+len(last)), "he", last}
		})
		dials, inner := 0, d.dial
		d.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials++
			return inner(ctx, network, addr)
		}
		for range 10 {
			if got := d.get(t, "/"); got != "he"+last {
				t.Errorf("%.100q", got)
			}
		}
		if dials != 1 {
			t.Errorf("%d connections, want 1", dials)
		}
	}
}

func TestRecordsAreFollowed(t *testing.T) {
	stream := []byte("\x16\x03\x01\x00\x03abc" + "\x17\x03\x03\x00\x00" + "\x17\x03\x03\x01\x01" + strings.Repeat("x", 257))
	ends := map[int]bool{0: true, 8: true, 13: true, len(stream): true}
	for step := 1; step <= len(stream); step++ {
		var r records
		for at := 0; ; at = min(at+step, len(stream)) {
			if r.partial() == ends[at] {
				t.Fatalf("by %d, at %d: partial %v", step, at, r.partial())
			}
			if at == len(stream) {
				break
			}
			r.follow(stream[at:min(at+step, len(stream))])
		}
	}
}
