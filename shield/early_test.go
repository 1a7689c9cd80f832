package shield_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"weir/rfc9111"
)

// hasty is an origin that serves the n-th connection by serve, and closes it then.
func hasty(t *testing.T, serve func(n int, c net.Conn)) (policySource string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = c.Close() }()
				serve(n, c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return fmt.Sprintf(`{"origins": {"o": {"url": "http://%s", "headerTimeoutMs": 60000}}, "defaults": {"origin": "o"}}`, l.Addr())
}

// served reads a request and answers it.
func served(t *testing.T, c net.Conn) {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		t.Error(err)
		return
	}
	_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(r.URL.Path), r.URL.Path)
}

// An origin may answer before it has read the request, and hang up: what it said is the answer, RFC 9112 9.5.
func TestAnswersBeforeTheRequest(t *testing.T) {
	const busy = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
	long := strings.Repeat("x", 16<<20) // fits into no socket
	for name, c := range map[string]struct {
		serve  func(n int, c net.Conn)
		fields []string // of the second request
		want   string
	}{
		"at once": {
			func(n int, c net.Conn) {
				if n == 1 {
					served(t, c)
					return
				}
				_, _ = io.WriteString(c, busy)
			}, nil, "busy",
		},
		"in the middle of the head": {
			func(n int, c net.Conn) {
				if n == 1 {
					served(t, c)
					return
				}
				_, _ = io.ReadFull(c, make([]byte, 1<<20))
				_, _ = io.WriteString(c, busy)
			},
			[]string{"X-Long", long},
			"busy",
		},
		"in the middle of the head, on a connection that is kept": {
			func(_ int, c net.Conn) {
				served(t, c)
				_, _ = io.ReadFull(c, make([]byte, 1<<20))
				_, _ = io.WriteString(c, busy)
			},
			[]string{"X-Long", long},
			"busy",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := startReal(t, hasty(t, c.serve))
			s.get("/first").want(t, "/first", rfc9111.Miss, rfc9111.StatusNoMaxAge)
			if r := s.get("/second", c.fields...); r.err != nil || r.body != c.want {
				t.Errorf("%d %.100q, %v, want %q", r.status, r.body, r.err, c.want)
			}
			if st := s.shield.Stats(); st.OriginRequests != 2 {
				t.Errorf("%d requests", st.OriginRequests)
			}
		})
	}
}
