package shield_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/rfc9111"
)

// Pragma in a response means nothing, RFC 9111 5.4, and makes no field that the origin
// did not send.
func TestPragmaInResponses(t *testing.T) {
	expires := "Expires: " + time.Now().Add(time.Hour).UTC().Format(http.TimeFormat) + "\r\n"
	for _, c := range []struct {
		name, head, control string
		use                 rfc9111.Use // of the second request
	}{
		{"alone", "Pragma: no-cache\r\n" + expires, "", rfc9111.Hit},
		{"without a lifetime", "Pragma: no-cache\r\n", "", rfc9111.Miss},
		{"beside the same", "Pragma: no-cache\r\nCache-Control: no-cache\r\n" + expires, "no-cache", rfc9111.Miss},
		{"after the same in capitals", "CACHE-CONTROL:no-cache\r\nPragma: no-cache\r\n" + expires, "no-cache", rfc9111.Miss},
		{"beside a lifetime", "Cache-Control: max-age=60\r\nPragma: no-cache\r\n", "max-age=60", rfc9111.Hit},
		{"beside an empty one", "Pragma: no-cache\r\nCache-Control:\r\n" + expires, "", rfc9111.Hit},
		{"beside a longer name", "Pragma: no-cache\r\nCache-Controls: no-cache\r\n" + expires, "", rfc9111.Hit},
		{"beside a value like it", "Pragma: no-cache\r\nX-A: x\r\n cache-control: no-cache\r\n" + expires, "", rfc9111.Hit},
	} {
		for _, pause := range []int{0, 1, 60} {
			t.Run(fmt.Sprint(c.name, pause), func(t *testing.T) {
				src, _ := raw(t, func(_ int, r *http.Request, conn net.Conn) {
					write := func(s string) { _, _ = io.WriteString(conn, s) }
					write("HTTP/1.1 103 Early Hints\r\nCache-Controlled: 1\r\n\r\n")
					all := "HTTP/1.1 200 OK\r\n" + c.head + "Content-Length: 4\r\n\r\n"
					if r.Method != http.MethodHead {
						all += "body"
					}
					for ; pause > 0 && len(all) > pause; all = all[pause:] {
						write(all[:pause])
					}
					write(all)
				})
				s := startReal(t, src)
				if r := s.get("/"); r.err != nil || strings.Join(r.header["Cache-Control"], ",") != c.control || r.header.Get("Pragma") != "no-cache" {
					t.Errorf("%+v, want cache-control %q", r, c.control)
				}
				if r := s.get("/"); r.err != nil || r.decision.Use != c.use {
					t.Errorf("the second is a %s, want %s", r.decision.Use, c.use)
				}
				// The answers to HEAD are over with their heads: the connection goes on at once.
				if r := s.fetch(context.Background(), s.request("HEAD /other")); r.header.Get("Cache-Control") != c.control {
					t.Errorf("HEAD: %v", r.header)
				}
			})
		}
	}
}

// Responses that follow each other on one connection, as fast as they can.
func TestPragmaOnSharedConnections(t *testing.T) {
	src, _ := raw(t, func(_ int, r *http.Request, c net.Conn) {
		field := "Pragma: no-cache\r\n"
		if strings.HasPrefix(r.URL.Path, "/said") {
			field += "Cache-Control: no-cache\r\n"
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+field+"Content-Length: 0\r\n\r\n")
	})
	s := startReal(t, src)
	many(10, func(i int) result {
		for j := range 100 {
			path, want := "/unsaid", ""
			if (i+j)%2 == 0 {
				path, want = "/said", "no-cache"
			}
			r := s.get(fmt.Sprintf("POST %s/%d/%d", path, i, j))
			if got := r.header.Get("Cache-Control"); r.err != nil || got != want {
				t.Errorf("%s: %q, %v", path, got, r.err)
			}
		}
		return result{}
	})
}
