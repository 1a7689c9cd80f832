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
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

// group is an origin of several scripted upstreams.
type group struct {
	*setup
	up map[string]*scripted
}

func startGroup(t *testing.T, origin string, defaults string) *group {
	g := &group{up: map[string]*scripted{}}
	src := fmt.Sprintf(`{"origins": {"o": %s}, "defaults": {"origin": "o"%s}}`, origin, defaults)
	for _, name := range []string{"a", "b", "c"} {
		g.up["http://"+name+".test"] = &scripted{handle: always(200, name, "Cache-Control", "no-store")}
	}
	g.setup = start(t, options{policy: src, shield: shield.Options{
		Transport: func(_ *policy.Origin, u policy.Upstream) http.RoundTripper { return g.up[u.URL] },
	}})
	return g
}

func (g *group) at(name string) *scripted { return g.up["http://"+name+".test"] }

func refused(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
}

func TestWeights(t *testing.T) {
	g := startGroup(t, `{"upstreams": [{"url": "http://a.test", "weight": 5}, {"url": "http://b.test", "weight": 2}, {"url": "http://c.test"}]}`, "")
	var order strings.Builder
	for i := range 80 {
		order.WriteString(g.get("/" + number(i)).body)
	}
	for name, want := range map[string]int{"a": 50, "b": 20, "c": 10} {
		if n := g.at(name).count(); n != want {
			t.Errorf("%s was asked %d times, want %d", name, n, want)
		}
	}
	if strings.Contains(order.String(), "aaaa") {
		t.Errorf("not smooth: %s", order.String())
	}
}

func TestRetryOnAnotherUpstream(t *testing.T) {
	const two = `{"upstreams": [{"url": "http://a.test"}, {"url": "http://b.test"}], "retries": %d}`
	for _, c := range []struct {
		name    string
		retries int
		method  string
		stream  bool
		ok      bool
	}{
		{"GET", 1, "GET", false, true},
		{"no retries", 0, "GET", false, false},
		{"PUT without body", 1, "PUT", false, true},
		{"PUT with a body that was read", 1, "PUT", true, false},
		{"POST", 1, "POST", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := startGroup(t, fmt.Sprintf(two, c.retries), "")
			g.at("a").answer(func(r *http.Request) (*http.Response, error) {
				if r.Body != nil {
					_, _ = io.Copy(io.Discard, r.Body)
				}
				return refused(r)
			})
			req := g.request(c.method + " /")
			if c.stream {
				req.Stream, req.Length = strings.NewReader("a body"), 6
			}
			r := g.fetch(context.Background(), req)
			if c.ok {
				r.want(t, "b", r.decision.Use, r.decision.Status)
			} else if !errors.Is(r.err, shield.ErrOriginUnreachable) {
				t.Errorf("error %v", r.err)
			}
		})
	}
}

func TestPassiveHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := startGroup(t, `{"upstreams": [{"url": "http://a.test"}, {"url": "http://b.test"}]}`, "")
		g.at("a").answer(refused)
		for i := range 40 {
			g.get("/"+number(i)).want(t, "b", rfc9111.Miss, rfc9111.StatusNoMaxAge)
		}
		if n := g.at("a").count(); n != 3 {
			t.Errorf("asked %d times although nobody answers", n)
		}
		up := map[string]bool{}
		for _, u := range g.shield.Stats().Upstreams {
			up[u.URL] = u.Up
		}
		if up["http://a.test"] || !up["http://b.test"] {
			t.Errorf("states %v", up)
		}
		// Out for longer and longer, and one trial each time.
		var trials []int
		for range 6 {
			time.Sleep(10 * time.Second)
			before := g.at("a").count()
			for i := range 10 {
				g.get("/x" + number(i))
			}
			trials = append(trials, g.at("a").count()-before)
		}
		if got := fmt.Sprint(trials); got != "[1 1 1 0 1 0]" && got != "[1 1 1 1 0 1]" {
			t.Errorf("trials %v", got)
		}
		g.at("a").answer(always(200, "a", "Cache-Control", "no-store"))
		time.Sleep(2 * time.Minute)
		for i := range 10 {
			g.get("/y" + number(i))
		}
		before := g.at("a").count()
		for i := range 10 {
			g.get("/z" + number(i))
		}
		if n := g.at("a").count() - before; n != 5 {
			t.Errorf("asked %d times of 10 after it came back", n)
		}
		g.close()
	})
}

func TestErrorAnswersTakeAnUpstreamOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := startGroup(t, `{"upstreams": [{"url": "http://a.test"}, {"url": "http://b.test"}]}`, "")
		g.at("a").answer(always(503, "down"))
		for i := range 100 {
			g.get("/" + number(i))
		}
		if n := g.at("a").count(); n != 10 {
			t.Errorf("asked %d times", n)
		}
		g.close()
	})
}

func TestAllUpstreamsOutAreStillTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := startGroup(t, `{"url": "http://a.test"}`, "")
		g.at("a").answer(refused)
		for i := range 10 {
			if r := g.get("/" + number(i)); !errors.Is(r.err, shield.ErrOriginUnreachable) {
				t.Errorf("error %v", r.err)
			}
		}
		g.at("a").answer(always(200, "a", "Cache-Control", cacheable))
		g.get("/").want(t, "a", rfc9111.Miss, rfc9111.StatusOK)
		g.close()
	})
}

func TestActiveHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := startGroup(t, `{"upstreams": [{"url": "http://a.test"}, {"url": "http://b.test"}],
			"health": {"path": "/healthz?x=1", "intervalSeconds": 1, "timeoutSeconds": 1, "fall": 2, "rise": 3}}`, "")
		var healthy atomic.Bool
		healthy.Store(true)
		g.at("a").answer(func(r *http.Request) (*http.Response, error) {
			if r.URL.RequestURI() == "/healthz?x=1" && !healthy.Load() {
				return respond(500, ""), nil
			}
			return respond(200, "a", "Cache-Control", "no-store"), nil
		})
		share := func() (a int) {
			for i := range 20 {
				if g.get("/"+number(i)).body == "a" {
					a++
				}
			}
			return a
		}
		synctest.Wait()
		if n := share(); n != 10 {
			t.Errorf("a got %d of 20", n)
		}
		healthy.Store(false)
		time.Sleep(5 * time.Second / 2)
		if n := share(); n != 0 {
			t.Errorf("a got %d of 20 while it is sick", n)
		}
		healthy.Store(true)
		time.Sleep(2 * time.Second)
		if n := share(); n != 0 {
			t.Errorf("a got %d of 20 too early", n)
		}
		time.Sleep(2 * time.Second)
		if n := share(); n != 10 {
			t.Errorf("a got %d of 20 after it came back", n)
		}
		g.close()
	})
}

// A new table keeps the pools of origins that it defines as before; others end,
// but not under a request.
func TestSetTable(t *testing.T) {
	made := map[string]int{}
	s := start(t, options{
		policy: `{"origins": {"keep": {"url": "http://keep.test"}, "change": {"url": "http://one.test",
		"health": {"path": "/h", "intervalSeconds": 100}}}, "defaults": {"origin": "keep"},
		"routes": [{"name": "c", "match": {"path": "/c/*"}, "origin": "change"}]}`,
		shield: shield.Options{Transport: func(_ *policy.Origin, u policy.Upstream) http.RoundTripper {
			made[u.URL]++
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				return respond(200, r.URL.Host, "Cache-Control", "no-store"), nil
			})
		}},
	})
	old := s.request("/c/1")
	s.table = compile(t, `{"origins": {"keep": {"url": "http://keep.test"}, "change": {"url": "http://two.test"}},
		"defaults": {"origin": "keep"}, "routes": [{"name": "c", "match": {"path": "/c/*"}, "origin": "change"}]}`)
	s.shield.SetTable(s.table)
	if r := s.fetch(context.Background(), old); r.body != "one.test" {
		t.Errorf("a request of the old table was answered by %q, %v", r.body, r.err)
	}
	if r := s.get("/c/2"); r.body != "two.test" {
		t.Errorf("answered by %q", r.body)
	}
	if r := s.get("/"); r.body != "keep.test" || made["http://keep.test"] != 1 {
		t.Errorf("answered by %q, %d pools made", r.body, made["http://keep.test"])
	}
	urls := []string{}
	for _, u := range s.shield.Stats().Upstreams {
		urls = append(urls, u.URL)
	}
	if got := fmt.Sprint(urls); got != "[http://two.test http://keep.test]" {
		t.Errorf("upstreams %s", got)
	}
	lost := *old
	lost.Origin = "nowhere"
	if r := s.fetch(context.Background(), &lost); !errors.Is(r.err, shield.ErrNoOrigin) {
		t.Errorf("error %v", r.err)
	}
}

func TestSplitIsPartOfTheKey(t *testing.T) {
	s := start(t, options{
		policy: `{"origins": {"o": {"url": "http://o.test"}, "n": {"url": "http://n.test"}}, "defaults": {"origin": "o"}}`,
		shield: shield.Options{Transport: func(_ *policy.Origin, u policy.Upstream) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				return respond(200, r.URL.Host, "Cache-Control", cacheable), nil
			})
		}},
	})
	for range 2 {
		for _, name := range []string{"o", "n"} {
			if r := s.fetch(context.Background(), s.splitRequest("/", name)); r.body != name+".test" {
				t.Errorf("%s was answered by %q", name, r.body)
			}
		}
	}
}

func TestAnswersThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer handler
		fields []string
	}{
		{"999", always(999, ""), nil},
		{"600", always(600, ""), nil},
		{"100", always(100, ""), nil},
		{"unsolicited 101", always(101, "", "Upgrade", "websocket", "Connection", "Upgrade"), nil},
		{"unsolicited 206", always(206, "bo", "Content-Range", "bytes 0-1/4"), nil},
		{"206 in a flight", always(206, "bo", "Content-Range", "bytes 0-1/4"), []string{"Range", "bytes=0-1"}},
		{"unsolicited 304", always(304, ""), nil},
		{"304 in a flight", always(304, ""), []string{"If-None-Match", `"x"`}},
		{"space in name", always(200, "", "X-A ", "1"), nil},
		{"empty name", func(*http.Request) (*http.Response, error) {
			r := respond(200, "")
			r.Header[""] = []string{"x"}
			return r, nil
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, options{})
			s.origin.answer(c.answer)
			if r := s.get("/", c.fields...); !errors.Is(r.err, shield.ErrOriginProtocol) {
				t.Errorf("%d %q, error %v", r.status, r.body, r.err)
			}
			if s.store.Len() != 0 {
				t.Error("stored")
			}
			if n := s.shield.Stats().Errors.Protocol; n != 1 {
				t.Errorf("counted %d times", n)
			}
		})
	}
}

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
	return fmt.Sprintf(`{"origins": {"o": {"url": "http://%s", "headerTimeoutMs": 2000, "idleTimeoutMs": 300, "retries": 0}}, "defaults": {"origin": "o"}}`, l.Addr()), requests
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
			s := startReal(t, src)
			for _, target := range []string{"/", "POST /"} {
				r := s.get(target)
				if !errors.Is(r.err, c.want) {
					t.Errorf("%s: %d %q, error %v, want %v", target, r.status, r.body, r.err, c.want)
				}
			}
			if s.store.Len() != 0 || s.memory.fillCount() != 0 {
				t.Error("stored")
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
	ended := make(chan struct{})
	src, _ := raw(t, func(_ int, _ *http.Request, c net.Conn) {
		_, _ = c.Read(make([]byte, 1))
		close(ended)
	})
	s := startReal(t, src)
	ctx, leave := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, leave)
	if r := s.fetch(ctx, s.request("POST /")); !errors.Is(r.err, context.Canceled) {
		t.Errorf("error %v", r.err)
	}
	<-ended
	if n := s.shield.Stats().Errors; n != (shield.Errors{}) {
		t.Errorf("counted as an error: %+v", n)
	}
}
