package shield_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/rfc9111"
	"weir/shield"
)

// raw is an origin on a real connection that writes what it is told to.
func raw(t *testing.T, serve func(n int, r *http.Request, c net.Conn)) (policySource string, requests *atomic.Int64) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	requests = new(atomic.Int64)
	done := make(chan struct{})
	var mu sync.Mutex
	var conns []net.Conn
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			go func() {
				defer func() { _ = c.Close() }()
				br := bufio.NewReader(c)
				for {
					r, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					serve(int(requests.Add(1)), r, c)
				}
			}()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return fmt.Sprintf(`{"origins": {"o": {"url": "http://%s", "headerTimeoutMs": 60000, "idleTimeoutMs": 60000, "retries": 0}}, "defaults": {"origin": "o"}}`, l.Addr()), requests
}

// startReal makes a shield with connections of its own.
func startReal(t *testing.T, policySource string) *setup {
	t.Helper()
	return start(t, options{policy: policySource, real: true})
}

func TestOriginsOnTheWire(t *testing.T) {
	write := func(s string) func(int, *http.Request, net.Conn) {
		return func(_ int, _ *http.Request, c net.Conn) {
			_, _ = io.WriteString(c, s)
			_ = c.Close()
		}
	}
	for _, c := range []struct {
		name  string
		serve func(int, *http.Request, net.Conn)
		want  error
	}{
		{"closes at once", write(""), shield.ErrOriginUnreachable},
		{"not HTTP", write("SSH-2.0-OpenSSH\r\n\r\n"), shield.ErrOriginProtocol},
		{"bad status", write("HTTP/1.1 xyz OK\r\n\r\n"), shield.ErrOriginProtocol},
		{"status 999", write("HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n"), shield.ErrOriginProtocol},
		{"space in name", write("HTTP/1.1 200 OK\r\nX A: 1\r\nContent-Length: 0\r\n\r\n"), shield.ErrOriginProtocol},
		{"two lengths", write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), shield.ErrOriginProtocol},
		{"head cut", write("HTTP/1.1 200 OK\r\nContent-Le"), shield.ErrOriginProtocol},
		{"10 MB of headers", func(_ int, _ *http.Request, c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			line := "X-A: " + strings.Repeat("a", 1000) + "\r\n"
			for range 10_000 {
				if _, err := io.WriteString(c, line); err != nil {
					return
				}
			}
			_, _ = io.WriteString(c, "Content-Length: 0\r\n\r\n")
		}, shield.ErrOriginProtocol},
		{"endless 1xx", func(_ int, _ *http.Request, c net.Conn) {
			for {
				if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"); err != nil {
					return
				}
			}
		}, shield.ErrOriginProtocol},
		{"short body", write("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nabc"), shield.ErrOriginTruncated},
		{"chunks cut", write("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"), shield.ErrOriginTruncated},
		{"silent body", func(_ int, r *http.Request, c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nabc")
			_, _ = c.Read(make([]byte, 1)) // until the other side gives up
		}, shield.ErrOriginTimeout},
		{"hangs", func(_ int, r *http.Request, c net.Conn) { _, _ = c.Read(make([]byte, 1)) }, shield.ErrOriginTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			src, _ := raw(t, c.serve)
			for _, target := range []string{"/", "POST /"} {
				if errors.Is(c.want, shield.ErrOriginTimeout) {
					src = strings.ReplaceAll(src, "60000", "500")
				}
				s := startReal(t, src) // and with it new connections
				r := s.get(target)
				if !errors.Is(r.err, c.want) {
					t.Errorf("%s: %d %q, error %v, want %v", target, r.status, r.body, r.err, c.want)
				}
				if s.store.Len() != 0 || s.memory.fillCount() != 0 {
					t.Error("stored")
				}
			}
		})
	}
}

func TestOriginUnreachable(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	s := startReal(t, fmt.Sprintf(`{"origins": {"o": {"url": "http://%s"}}, "defaults": {"origin": "o"}}`, l.Addr()))
	if r := s.get("/"); !errors.Is(r.err, shield.ErrOriginUnreachable) {
		t.Errorf("error %v", r.err)
	}
}

// More bytes than were declared are not part of the response, nor of any other.
func TestExtraBytesOnTheWire(t *testing.T) {
	log.SetOutput(io.Discard) // net/http says each time that it saw them
	defer log.SetOutput(os.Stderr)
	src, _ := raw(t, func(_ int, r *http.Request, c net.Conn) {
		body := r.URL.Path
		if strings.HasSuffix(body, "0") {
			body = ""
		}
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n%s"+
			"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", len(body), body)
	})
	s := startReal(t, src)
	many(20, func(i int) result {
		for j := range 60 {
			target := fmt.Sprintf("/%d/%d", i, j)
			if r := s.get(target); r.err == nil && r.body != target && r.body != "" {
				t.Errorf("%s got %q", target, r.body)
			}
		}
		return result{}
	})
}

// A connection that the origin closed while it was idle is not an error.
func TestStaleKeepAlive(t *testing.T) {
	src, _ := raw(t, func(n int, r *http.Request, c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok")
		if n%2 == 0 {
			_ = c.Close()
		}
	})
	s := startReal(t, src)
	for i := range 20 {
		s.get("/"+number(i)).want(t, "ok", rfc9111.Miss, rfc9111.StatusNoMaxAge)
	}
}

func TestUpgrade(t *testing.T) {
	src, _ := raw(t, func(_ int, r *http.Request, c net.Conn) {
		if r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Connection") != "Upgrade" {
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
		p := make([]byte, 4)
		_, _ = io.ReadFull(c, p)
		_, _ = io.WriteString(c, strings.ToUpper(string(p)))
		_ = c.Close()
	})
	s := startReal(t, src)
	req := s.request("/", "Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Key", "x")
	req.Bypass = rfc9111.StatusPass
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	ans, err := s.shield.Fetch(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	if ans.Head.Status != 101 || ans.Head.Header.Get("Upgrade") != "websocket" {
		t.Fatalf("%d %v", ans.Head.Status, ans.Head.Header)
	}
	both, ok := ans.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatal("not writable")
	}
	if _, err := io.WriteString(both, "ping"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(both)
	if string(got) != "helloPING" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if err := both.Close(); err != nil {
		t.Error(err)
	}
}

// What a client sends goes on as it comes, and the answer too.
func TestStreamingBothWays(t *testing.T) {
	src, _ := raw(t, func(_ int, r *http.Request, c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
		p := make([]byte, 100)
		for {
			n, err := r.Body.Read(p)
			if n > 0 {
				_, _ = fmt.Fprintf(c, "%x\r\n%s\r\n", n, p[:n])
			}
			if err != nil {
				_, _ = io.WriteString(c, "0\r\n\r\n")
				return
			}
		}
	})
	s := startReal(t, src)
	up, in := io.Pipe()
	req := s.request("POST /chat")
	req.Stream, req.Length = up, -1
	ans, err := s.shield.Fetch(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 100)
	for _, word := range []string{"one", "two", "three"} {
		if _, err := io.WriteString(in, word); err != nil {
			t.Fatal(err)
		}
		if n, err := ans.Body.Read(p); string(p[:n]) != word {
			t.Fatalf("read %q, %v", p[:n], err)
		}
	}
	_ = in.Close()
	if rest, err := io.ReadAll(ans.Body); len(rest) != 0 || err != nil {
		t.Errorf("rest %q, %v", rest, err)
	}
	if err := ans.Body.Close(); err != nil {
		t.Error(err)
	}
}

// The deadline of the response head is over with the head, although the request's
// body still comes, and does not run while the client is waited for.
func TestSlowUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			echo := feed()
			if _, err := io.ReadFull(r.Body, make([]byte, 5)); err != nil { // slowly
				return nil, err
			}
			go func() {
				_, err := io.Copy(echo.w, r.Body)
				echo.w.CloseWithError(err)
			}()
			return respondWith(200, echo.r, -1, "Content-Type", "text/event-stream"), nil
		})
		up := feed()
		go func() {
			for _, c := range "firstrest" {
				time.Sleep(time.Minute)
				_, _ = io.WriteString(up.w, string(c))
			}
			_ = up.w.Close()
		}()
		req := s.request("POST /")
		req.Stream, req.Length = up.r, -1
		r := s.fetch(context.Background(), req)
		r.want(t, "rest", rfc9111.Bypass, rfc9111.StatusMethod)
		s.close()
	})
}

func TestOriginWithUnknownCertificate(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	s := startReal(t, fmt.Sprintf(`{"origins": {"o": {"url": %q}}, "defaults": {"origin": "o"}}`, server.URL))
	if r := s.get("/"); !errors.Is(r.err, shield.ErrOriginUnreachable) || !strings.Contains(r.err.Error(), "certificate") {
		t.Errorf("error %v", r.err)
	}
}

// A client that leaves ends what was only for it.
func TestClientLeavesPass(t *testing.T) {
	ctx, leave := context.WithCancel(context.Background())
	ended := make(chan struct{})
	src, _ := raw(t, func(_ int, _ *http.Request, c net.Conn) {
		leave() // now that its request is here
		_, _ = c.Read(make([]byte, 1))
		close(ended)
	})
	s := startReal(t, src)
	if r := s.fetch(ctx, s.request("POST /")); !errors.Is(r.err, context.Canceled) {
		t.Errorf("error %v", r.err)
	}
	<-ended
	if n := s.shield.Stats().Errors; n != (shield.Errors{}) {
		t.Errorf("counted as an error: %+v", n)
	}
}
