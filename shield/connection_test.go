package shield_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"weir/rfc9111"
	"weir/shield"
)

// answered is the target as an answer, in one of many shapes; what ends the connection says so, or does not.
func answered(shape int, target string) (out string, ends bool) {
	const hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
	ok := "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n"
	length := fmt.Sprintf("Content-Length: %d\r\n", len(target))
	chunked := fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x;ext=1\r\n%s\r\n", len(target), target)
	switch shape {
	case 0:
		return ok + length + "\r\n" + target, false
	case 1:
		return ok + chunked + "0\r\nX-T: 1\r\n\r\n", false
	case 2:
		return hint + hint + ok + length + "\r\n" + target, false
	case 3:
		return ok + length + "Connection: close\r\n\r\n" + target, true
	case 4:
		return ok + length + "\r\n" + target, true
	case 5:
		return "HTTP/1.0 200 OK\r\nCache-Control: no-store\r\nConnection: keep-alive\r\n" + length + "\r\n" + target, false
	case 6:
		return "HTTP/1.0 200 OK\r\nCache-Control: no-store\r\n" + length + "\r\n" + target, true
	case 7: // RFC 9112 6.3: the coding wins
		return ok + "Content-Length: 3\r\n" + chunked + "0\r\n\r\n", false
	case 8:
		return ok + length + "\r\n" + target + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", false
	case 9:
		return ok + length + "\r\n" + target[:1], true
	case 10:
		return ok + strings.TrimSuffix(chunked, "\r\n"), true
	case 11:
		return hint, true
	case 12:
		return "", true
	default:
		return ok + "\r\n" + target, true // to the end
	}
}

// Whatever shapes answers have, and whoever leaves before he has his, nobody gets another's.
func TestConnectionsMixNothingUp(t *testing.T) {
	src, _ := raw(t, func(_ int, r *http.Request, c net.Conn) {
		shape := 0
		_, _ = fmt.Sscanf(r.URL.Path, "/%d/", &shape)
		out, ends := answered(shape, r.URL.Path)
		_, _ = io.WriteString(c, out)
		if ends {
			_ = c.Close()
		}
	})
	s := startReal(t, src)
	var whole atomic.Int64
	many(10, func(i int) result {
		for j := range 100 {
			ctx, leave := context.WithCancel(context.Background())
			target := fmt.Sprintf("/%d/%d/%d", rand.IntN(14), i, j)
			req := s.request(target)
			if j%7 == 0 {
				req.Bypass = rfc9111.StatusPass
			}
			if j%5 == 0 {
				go leave()
			}
			r := s.fetch(ctx, req)
			leave()
			switch {
			case r.err == nil && r.body != target:
				t.Errorf("%s got %q", target, r.body)
			case r.err == nil:
				whole.Add(1)
			}
		}
		return result{}
	})
	if whole.Load() < 400 {
		t.Errorf("%d answers came whole", whole.Load())
	}
}

// A request is sent again where nothing of an answer came on a connection that had been used before, once, and only if
// it does no harm.
func TestWhatIsSentAgain(t *testing.T) {
	for _, c := range []struct {
		target string
		begin  string // of what should have been an answer
		want   int64  // requests, the first one included
	}{
		{"/", "", 3},
		{"HEAD /", "", 3},
		{"/", "HTTP/1.1 103 Early Hints\r\n\r\n", 2},
		{"/", "HTTP/1.1 200 OK\r\n", 2},
		{"POST /", "", 2},
	} {
		src, requests := raw(t, func(n int, r *http.Request, conn net.Conn) {
			if n == 1 {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok")
				return
			}
			_, _ = io.WriteString(conn, c.begin)
			_ = conn.Close()
		})
		s := startReal(t, src)
		first := "/first"
		if strings.HasPrefix(c.target, "POST") {
			first = "POST /first"
		}
		if r := s.get(first); r.err != nil {
			t.Fatal(r.err)
		}
		r := s.get(c.target)
		if !errors.Is(r.err, shield.ErrOriginUnreachable) && !errors.Is(r.err, shield.ErrOriginProtocol) {
			t.Errorf("%s after %q: %v", c.target, c.begin, r.err)
		}
		if n := requests.Load(); n != c.want {
			t.Errorf("%s after %q: %d requests, want %d", c.target, c.begin, n, c.want)
		}
		if st := s.shield.Stats(); st.OriginRequests != 2 || st.Retries != 0 {
			t.Errorf("%s after %q: counted %d requests and %d retries", c.target, c.begin, st.OriginRequests, st.Retries)
		}
	}
}

// A server that says that it has waited for too long may have meant the time before the request.
func TestTimeoutsOfIdleConnections(t *testing.T) {
	for name, c := range map[string]struct {
		late string // answer to what comes on a connection that was used before
		want string
	}{
		"as HAProxy says it": {"HTTP/1.0 408 Request Time-out\r\nConnection: close\r\n\r\nlate", "/b"},
		"without content":    {"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "/b"},
		"and stays":          {"HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\n\r\nlate", "late"},
		"another answer":     {"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\nlate", "late"},
	} {
		var last atomic.Value
		src, requests := raw(t, func(_ int, r *http.Request, conn net.Conn) {
			if last.Swap(conn) != conn {
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(r.URL.Path), r.URL.Path)
				return
			}
			_, _ = io.WriteString(conn, c.late)
			_ = conn.Close()
		})
		s := startReal(t, src)
		s.get("/a")
		if r := s.get("/b"); r.body != c.want || r.err != nil {
			t.Errorf("%s: %d %q, %v, want %q", name, r.status, r.body, r.err, c.want)
		}
		if n := requests.Load(); n > 3 {
			t.Errorf("%s: %d requests", name, n)
		}
	}
}

// What is too long is no answer, wherever it is too long, and takes no memory.
func TestEndlessAnswers(t *testing.T) {
	hint := "HTTP/1.1 103 Early Hints\r\nLink: <" + strings.Repeat("a", 30<<10) + ">\r\n\r\n"
	const ok = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"
	for name, c := range map[string]struct {
		begin, again string
	}{
		"hints":            {"", hint},
		"a field":          {ok + "X-A: ", "aaaaaaaaaaaaaaaa"},
		"fields":           {ok, "X-A: a\r\n"},
		"a status line":    {"HTTP/1.1 200 ", "aaaaaaaaaaaaaaaa"},
		"a folded field":   {ok + "X-A: a\r\n", " a\r\n"},
		"chunk extensions": {ok + "Transfer-Encoding: chunked\r\n\r\n", "1;" + strings.Repeat("a", 3000) + "\r\nx\r\n"},
		"a chunk size":     {ok + "Transfer-Encoding: chunked\r\n\r\n", "0000000000000000"},
		"trailers":         {ok + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", "X-A: a\r\n"},
		"101":              {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "x"},
	} {
		t.Run(name, func(t *testing.T) {
			src, _ := raw(t, func(_ int, _ *http.Request, conn net.Conn) {
				_, err := io.WriteString(conn, c.begin)
				for more := strings.Repeat(c.again, 1+4096/len(c.again)); err == nil; {
					_, err = io.WriteString(conn, more)
				}
			})
			s := startReal(t, src)
			r := s.get("/")
			if !errors.Is(r.err, shield.ErrOriginProtocol) && !errors.Is(r.err, shield.ErrOriginTruncated) {
				t.Errorf("%d %.100q, %v", r.status, r.body, r.err)
			}
			if s.store.Len() != 0 {
				t.Error("stored")
			}
		})
	}
}

// Another policy leaves none of the connections of the one before open.
func TestConnectionsEndWithTheirPolicy(t *testing.T) {
	ended := make(chan struct{}, 100)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) }))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			ended <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	source := fmt.Sprintf(`{"origins": {"o": {"url": %q, "headerTimeoutMs": 60000}}, "defaults": {"origin": "o"}}`, server.URL)
	s := startReal(t, source)
	for i := range 20 {
		target := "/" + number(i)
		s.get(target).want(t, target, rfc9111.Miss, rfc9111.StatusNoMaxAge)
		s.table = compile(t, strings.Replace(source, "60000", number(60_001+i), 1))
		s.shield.SetTable(s.table)
		<-ended
	}
}
