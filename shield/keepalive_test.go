package shield_test

import (
	"io"
	"net"
	"net/http"
	"testing"

	"weir/rfc9111"
)

// What an origin says about its patience holds from the next connection on.
func TestKeepAliveIsHeeded(t *testing.T) {
	for _, c := range []struct {
		field string // of the third response
		conns int    // for six
	}{
		{"", 1},
		{"Keep-Alive: timeout=5\r\n", 2},
		{"Keep-Alive: max=100, Timeout=5\r\n", 2},
		{"Keep-Alive: timeout=0\r\n", 2},
		{"Keep-Alive: timeout=300\r\n", 1},
		{"Keep-Alive: timeout=soon\r\n", 1},
		{"Keep-Alive: timeout=-1\r\n", 1},
		{"Keep-Alive: timeout\r\n", 1},
	} {
		seen := make(chan string, 6)
		src, _ := raw(t, func(n int, _ *http.Request, conn net.Conn) {
			seen <- conn.RemoteAddr().String()
			field := ""
			if n == 3 {
				field = c.field
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n"+field+"Content-Length: 2\r\n\r\nok")
		})
		s := startReal(t, src)
		for i := range 6 {
			s.get("/"+number(i)).want(t, "ok", rfc9111.Miss, rfc9111.StatusNoMaxAge)
		}
		conns := make(map[string]bool)
		for range 6 {
			conns[<-seen] = true
		}
		if len(conns) != c.conns {
			t.Errorf("%q: %d connections, want %d", c.field, len(conns), c.conns)
		}
	}
}
