package api_test

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weir/api"
)

func TestGuardNoticesHangUp(t *testing.T) {
	t.Parallel()
	running, gone := make(chan struct{}), make(chan struct{})
	addr := serveGuarded(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(running)
		<-r.Context().Done()
		close(gone)
	}), api.GuardOptions{HalfClose: 1})
	conn := dial(t, addr)
	send(t, conn, get("/"))
	<-running
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	<-gone
}

func TestGuardWatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, next string
		want       error
	}{
		{"hang-up", "", io.EOF},
		{"one byte, then a hang-up", "G", nil},
		{"the next request, then a hang-up", get("/next"), nil},
	} {
		for _, piece := range []int{len(get("/")), 1000} {
			conn := guardScripted(t, get("/")+c.next, piece)
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
				t.Fatal(err)
			}
			if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, c.want) {
				t.Errorf("%s: %d bytes, %v; want none, %v", c.name, n, err, c.want)
			}
			if c.want != nil || len(c.next) == 1 {
				continue
			}
			req, err := http.ReadRequest(bufio.NewReader(conn))
			if err != nil || req.RequestURI != "/next" {
				t.Errorf("%s: %v, %v", c.name, req, err)
			}
		}
	}
}

func TestGuardLingers(t *testing.T) {
	t.Parallel()
	addr := serveGuarded(t, http.NotFoundHandler(), api.GuardOptions{Linger: time.Minute})
	conn := dial(t, addr)
	send(t, conn, get("/#"))
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
		t.Fatalf("%q, %v", answer, err)
	}
	for range 200 {
		send(t, conn, strings.Repeat("x", 1000))
	}
}

func TestGuardAboveTLS(t *testing.T) {
	t.Parallel()
	// httptest has a certificate at hand.
	ts := httptest.NewUnstartedServer(nil)
	ts.StartTLS()
	defer ts.Close()
	ln := tls.NewListener(listen(t), &tls.Config{Certificates: ts.TLS.Certificates, MinVersion: tls.VersionTLS12})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || !r.TLS.HandshakeComplete {
			t.Error("the handler does not see TLS")
		}
		_, _ = io.WriteString(w, r.URL.Path)
	})}
	addr := startGuarded(t, srv, ln, api.GuardOptions{})
	config := ts.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	config.ServerName = "example.com"
	for in, want := range map[string]int{
		get("/x"):               200,
		get("https://a.test/x"): 200,
		get("http://a.test/x"):  400,
		get("/x#"):              400,
	} {
		conn := tls.Client(dial(t, addr), config)
		send(t, conn, in+canary)
		r := bufio.NewReader(conn)
		if status, body := readAnswer(t, r, "GET"); status != want {
			t.Errorf("%q: %d %q, want %d", in, status, body, want)
		}
		if want == 200 {
			if _, body := readAnswer(t, r, "GET"); body != "/canary" {
				t.Errorf("%q: the canary got %q", in, body)
			}
		}
		if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil {
			t.Errorf("%q: then %q, %v", in, rest, err)
		}
	}
	// A client that does not speak TLS at all harms nobody.
	plain := dial(t, addr)
	send(t, plain, get("/"))
	_, _ = io.Copy(io.Discard, plain)
}

func TestGuardEndsSlowHeads(t *testing.T) {
	t.Parallel()
	const short = 20 * time.Millisecond
	for name, c := range map[string]struct {
		srv  *http.Server
		opts api.GuardOptions
		sent []string // requests to be answered before the slow one
		slow string
	}{
		"nothing sent":       {srv: &http.Server{ReadHeaderTimeout: short}},
		"first head":         {srv: &http.Server{ReadHeaderTimeout: short}, slow: "GET / HTTP/1.1\r\nHost:"},
		"second head":        {opts: api.GuardOptions{HeadTimeout: short}, sent: []string{get("/")}, slow: "GET / HTTP/1.1\r\nHost:"},
		"one byte":           {opts: api.GuardOptions{HeadTimeout: short}, sent: []string{get("/")}, slow: "G"},
		"head after a body":  {opts: api.GuardOptions{HeadTimeout: short}, sent: []string{post("Content-Length: 1") + "x"}, slow: "GET"},
		"large head":         {opts: api.GuardOptions{HeadTimeout: short}, sent: []string{get("/")}, slow: get("/", "X: "+strings.Repeat("x", 8000))[:8000]},
		"nothing after one":  {srv: &http.Server{IdleTimeout: short}, sent: []string{get("/")}},
		"body, net/http's":   {srv: &http.Server{ReadTimeout: short}, slow: post("Content-Length: 5") + "x"},
		"chunks, net/http's": {srv: &http.Server{ReadTimeout: short}, slow: chunked("5\r\nx")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := cmp.Or(c.srv, &http.Server{})
			srv.Handler = &echo{seen: make(map[string][]string)}
			conn := dial(t, startGuarded(t, srv, listen(t), c.opts))
			r := bufio.NewReader(conn)
			for _, in := range c.sent {
				send(t, conn, in)
				if status, _ := readAnswer(t, r, "GET"); status != 200 {
					t.Fatalf("status %d", status)
				}
			}
			send(t, conn, c.slow)
			rest, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.Contains(name, "net/http"); strings.HasPrefix(string(rest), "HTTP/1.1 400") != want {
				t.Errorf("the end came with %q", rest)
			}
		})
	}
}

func TestGuardDeadlinesAreRenewed(t *testing.T) {
	t.Parallel()
	addr := serveGuarded(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
		_, _ = io.WriteString(w, r.URL.Path)
	}), api.GuardOptions{})
	conn := dial(t, addr)
	r := bufio.NewReader(conn)
	for _, path := range []string{"/1", "/2", "/3"} {
		send(t, conn, get(path))
		if status, body := readAnswer(t, r, "GET"); status != 200 || body != path {
			t.Fatalf("%d %q", status, body)
		}
	}
}

func TestGuardShutdown(t *testing.T) {
	t.Parallel()
	srv := &http.Server{Handler: http.NotFoundHandler()}
	addr := startGuarded(t, srv, listen(t), api.GuardOptions{})
	for _, then := range []string{"", "GET / HT"} { // idle, and in the middle of the next head
		conn := dial(t, addr)
		send(t, conn, get("/"))
		if status, _ := readAnswer(t, bufio.NewReader(conn), "GET"); status != 404 {
			t.Fatal(status)
		}
		send(t, conn, then)
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}
