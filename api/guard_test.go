package api_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"weir/api"
)

// serveGuarded serves handler behind a Guard on loopback until the test ends.
func serveGuarded(t *testing.T, handler http.Handler, opts api.GuardOptions) (addr string) {
	t.Helper()
	return startGuarded(t, &http.Server{Handler: handler}, listen(t), opts)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func startGuarded(t *testing.T, srv *http.Server, ln net.Listener, opts api.GuardOptions) (addr string) {
	t.Helper()
	srv.DisableGeneralOptionsHandler = true
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := srv.Serve(api.Guard(ln, opts)); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-ended
	})
	return ln.Addr().String()
}

func TestGuardAnswersRefusalsInFull(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var told []string
	addr := serveGuarded(t, http.NotFoundHandler(), api.GuardOptions{
		Region: "fra",
		Refused: func(client net.Addr, status int, code string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprintf("%s %d %s", client, status, code))
		},
	})
	conn := dial(t, addr)
	send(t, conn, get("/a#b"))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for name, want := range map[string]string{
		"Cache-Control":    "no-store",
		"Content-Type":     "application/json",
		"X-Cache":          "bypass",
		"X-Cache-Tier":     "oc=pass",
		"X-Caching-Status": "pass",
		"Cache-Status":     "weir-fra; fwd=bypass; detail=bad-target",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if !resp.Close {
		t.Error("the answer does not announce the close")
	}
	var body struct {
		Error struct{ Code, Message, Hint string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	if e := body.Error; e.Code != "bad-target" || e.Message == "" || e.Hint == "" {
		t.Errorf("error %+v", e)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := conn.LocalAddr().String() + " 400 bad-target"; len(told) != 1 || told[0] != want {
		t.Errorf("told of %q, want %q", told, want)
	}
}

// A refusal may not overtake the response to the request before it, and a
// pipelined request may not reach a handler while another one runs.
func TestGuardKeepsPipelinedRequestsBack(t *testing.T) {
	t.Parallel()
	for _, second := range []string{get("/second"), get("/second#"), post("Content-Length: 5") + "hello"} {
		running, release := make(chan struct{}), make(chan struct{})
		var mu sync.Mutex
		inside := 0
		addr := serveGuarded(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			inside++
			if inside > 1 {
				t.Error("two handlers at once on one connection")
			}
			mu.Unlock()
			if r.URL.Path == "/first" {
				running <- struct{}{}
				<-release
			}
			_, _ = io.WriteString(w, r.URL.Path)
			mu.Lock()
			inside--
			mu.Unlock()
		}), api.GuardOptions{})
		conn := dial(t, addr)
		send(t, conn, get("/first"))
		<-running
		// The first byte goes to the read that watches for a hang-up, or so it
		// would without a Guard.
		send(t, conn, second[:1])
		send(t, conn, second[1:])
		close(release)
		r := bufio.NewReader(conn)
		if status, body := readAnswer(t, r, "GET"); status != 200 || body != "/first" {
			t.Errorf("first answer: %d %q", status, body)
		}
		want := 200
		if strings.Contains(second, "#") {
			want = 400
		}
		if status, body := readAnswer(t, r, "GET"); status != want {
			t.Errorf("second answer: %d %q", status, body)
		}
	}
}

// Two requests and the end of the client's side arrive at once: both are
// answered, and the first is not taken for abandoned.
func TestGuardServesWhatCameBeforeHalfClose(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	addr := serveGuarded(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/first" {
			<-release
			if err := r.Context().Err(); err != nil {
				t.Errorf("first request: %v", err)
			}
		}
		_, _ = io.WriteString(w, r.URL.Path)
	}), api.GuardOptions{})
	conn := dial(t, addr)
	send(t, conn, get("/first")+get("/second"))
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	close(release)
	r := bufio.NewReader(conn)
	for _, want := range []string{"/first", "/second"} {
		if status, body := readAnswer(t, r, "GET"); status != 200 || body != want {
			t.Errorf("%d %q, want %q", status, body, want)
		}
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the answers: %v", err)
	}
}

// The read that waits for a hang-up is told of nothing else.
// What can never become a request is refused before its end comes.
func TestGuardRefusesEarly(t *testing.T) {
	t.Parallel()
	addr := serveGuarded(t, http.NotFoundHandler(), api.GuardOptions{})
	for in, want := range map[string]int{
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc":                                400,
		"GET / HTTP/1.1\rHost: a.test":                                        400,
		"GET /" + strings.Repeat("a", 17<<10):                                 414,
		"GET / HTTP/1.1\r\nHost: a.test\r\nX: " + strings.Repeat("a", 17<<10): 431,
		"GET /# HTTP/1.1\r\n":                                                 400,
	} {
		conn := dial(t, addr)
		send(t, conn, in)
		if status, body := readAnswer(t, bufio.NewReader(conn), "GET"); status != want {
			t.Errorf("%.20q: %d %s, want %d", in, status, body, want)
		}
	}
}

// A client that is still sending must not lose the refusal to a reset.
func TestGuardContinues(t *testing.T) {
	t.Parallel()
	e := &echo{seen: make(map[string][]string)}
	addr := serveGuarded(t, e, api.GuardOptions{})
	for _, fields := range [][]string{{"Content-Length: 5"}, {"Transfer-Encoding: chunked"}} {
		conn := dial(t, addr)
		r := bufio.NewReader(conn)
		send(t, conn, post(append(fields, "Expect: 100-continue")...))
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != 100 {
			t.Fatalf("%v, %v, want 100", resp, err)
		}
		_ = resp.Body.Close()
		if body := "hello"; strings.HasPrefix(fields[0], "C") {
			send(t, conn, body)
		} else {
			send(t, conn, "5\r\n"+body+"\r\n0\r\n\r\n")
		}
		if status, body := readAnswer(t, r, "POST"); status != 200 || body != "POST /p a.test hello" {
			t.Errorf("%d %q", status, body)
		}
		send(t, conn, get("/after"))
		if status, body := readAnswer(t, r, "GET"); status != 200 || body != "GET /after a.test " {
			t.Errorf("%d %q", status, body)
		}
	}
}

// A hijacked connection is the handler's, bytes that came early included.
func TestGuardLetsHijackedConnectionsThrough(t *testing.T) {
	t.Parallel()
	addr := serveGuarded(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: mirror\r\nConnection: upgrade\r\n\r\n")
		_, _ = io.Copy(conn, rw)
	}), api.GuardOptions{})
	conn := dial(t, addr)
	early := "early\x00\n" + get("/#")
	send(t, conn, get("/", "Connection: upgrade", "Upgrade: mirror")+early)
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v, %v, want 101", resp, err)
	}
	_ = resp.Body.Close()
	late := strings.Repeat("GET / HTTP/0.9\n\n", 5000)
	go func() {
		send(t, conn, late)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(r)
	if err != nil || string(got) != early+late {
		t.Errorf("mirrored %d bytes, %v; want %d", len(got), err, len(early+late))
	}
}

func TestGuardPassesLargeBodies(t *testing.T) {
	t.Parallel()
	body := bytes.Repeat([]byte("0123456789abcdef\r\n\r\n0\r\n\r\n"), 400_000)
	want := sha256.Sum256(body)
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	addr := serveGuarded(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		if _, err := io.Copy(h, r.Body); err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Sum", fmt.Sprintf("%x", h.Sum(nil)))
		http.ServeFile(w, r, file)
	}), api.GuardOptions{})
	client := &http.Client{}
	defer client.CloseIdleConnections()
	for name, sent := range map[string]io.Reader{
		"length":  bytes.NewReader(body),
		"chunked": io.MultiReader(bytes.NewReader(body)),
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/", sent)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || sha256.Sum256(got) != want {
			t.Errorf("%s: %d bytes came back, %v", name, len(got), err)
		}
		if sum := fmt.Sprintf("%x", want); resp.Header.Get("X-Sum") != sum {
			t.Errorf("%s: the handler read other bytes", name)
		}
	}
}

// net/http must find on a guarded connection what it looks for on a bare one.
func TestGuardKeepsWhatNetHTTPLooksFor(t *testing.T) {
	t.Parallel()
	found := make(chan net.Conn, 1)
	srv := &http.Server{
		Handler: http.NotFoundHandler(),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			found <- c
			return ctx
		},
	}
	conn := dial(t, startGuarded(t, srv, listen(t), api.GuardOptions{}))
	guarded := <-found
	if _, ok := guarded.(io.ReaderFrom); !ok {
		t.Error("no ReadFrom: responses would lose sendfile")
	}
	if _, ok := guarded.(interface{ CloseWrite() error }); !ok {
		t.Error("no CloseWrite: early answers would be reset")
	}
	if guarded.RemoteAddr().String() != conn.LocalAddr().String() {
		t.Error("another remote address")
	}
}

// Every way to be slow ends the connection without help from the client.
// A deadline that passed during the response must not hurt the next request.
func TestGuardOptionsBound(t *testing.T) {
	t.Parallel()
	e := &echo{seen: make(map[string][]string)}
	addr := serveGuarded(t, e, api.GuardOptions{MaxHead: 200, MaxFields: 3})
	for in, want := range map[string]int{
		get("/", lines(2)...):                                  200,
		get("/", lines(3)...):                                  431,
		get("/", "X: "+strings.Repeat("x", 200)):               431,
		get("/" + strings.Repeat("x", 200)):                    414,
		post("Content-Length: 500") + strings.Repeat("x", 500): 200,
	} {
		conn := dial(t, addr)
		send(t, conn, in)
		if status, body := readAnswer(t, bufio.NewReader(conn), "GET"); status != want {
			t.Errorf("%.30q: %d %s, want %d", in, status, body, want)
		}
	}
}

func send(t *testing.T, conn net.Conn, bytes string) {
	t.Helper()
	if _, err := io.WriteString(conn, bytes); err != nil {
		t.Error(err)
	}
}
