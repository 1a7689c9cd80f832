package api_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/api"
)

// wireCase is a sequence of raw bytes on a connection and what must come of it.
// The runner sends a canary request after it, on the same connection.
type wireCase struct {
	name string
	in   string
	// want holds the statuses of the final answers to in, in order. After a status
	// of 400 or more the connection must be closed and the canary unanswered;
	// otherwise the canary must get its own answer.
	want []int
	// sees is what handlers may see: "METHOD target host body" of each request.
	sees []string
	// eof ends the client's side after the canary: the case swallows it.
	eof bool
}

// closes says whether the connection must end with the case.
func (c wireCase) closes() bool {
	return c.eof || len(c.want) > 0 && c.want[len(c.want)-1] >= 400
}

// get is a GET request for target with further field lines.
func get(target string, fields ...string) string {
	return request("GET "+target+" HTTP/1.1", append([]string{"Host: a.test"}, fields...)...)
}

// post is a POST request with further field lines; the caller appends the body.
func post(fields ...string) string {
	return request("POST /p HTTP/1.1", append([]string{"Host: a.test"}, fields...)...)
}

func request(line string, fields ...string) string {
	return line + "\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n"
}

// chunked is a POST request with a raw chunked body.
func chunked(body string) string { return post("Transfer-Encoding: chunked") + body }

// refused is a case whose one request no handler may see.
func refused(name, in string, status int) wireCase {
	return wireCase{name: name, in: in, want: []int{status}}
}

// passed is a case whose one request is answered.
func passed(name, in, sees string) wireCase {
	return wireCase{name: name, in: in, want: []int{200}, sees: []string{sees}}
}

func lines(n int) []string {
	fields := make([]string, n)
	for i := range fields {
		fields[i] = fmt.Sprintf("X-%d: v", i)
	}
	return fields
}

// wireTarget is a server that wire cases are played against.
type wireTarget struct {
	addr   string
	sees   func(client string) []string // what its handler saw from a client's address; nil is not looked at
	broken string                       // in the answer to a body that broke off
}

// echo records what a handler sees and answers with it.
type echo struct {
	mu   sync.Mutex
	seen map[string][]string
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "broken body", http.StatusBadRequest)
		return
	}
	line := fmt.Sprintf("%s %s %s %s", r.Method, r.RequestURI, r.Host, body)
	e.mu.Lock()
	e.seen[r.RemoteAddr] = append(e.seen[r.RemoteAddr], line)
	e.mu.Unlock()
	if r.RequestURI == "*" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	_, _ = io.WriteString(w, line)
}

// of returns what came from an address and forgets it: another connection may have
// the same one later.
func (e *echo) of(client string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer delete(e.seen, client)
	return e.seen[client]
}

const canary = "GET /canary HTTP/1.1\r\nHost: canary.test\r\nConnection: close\r\n\r\n"

// TestGuardWire plays every case in one piece and byte by byte.
func TestGuardWire(t *testing.T) {
	t.Parallel()
	e := &echo{seen: make(map[string][]string)}
	addr := serveGuarded(t, e, api.GuardOptions{})
	playWire(t, wireTarget{addr, e.of, "broken body"}, wireCases)
}

func playWire(t *testing.T, target wireTarget, cases []wireCase) {
	if len(cases) < 150 {
		t.Errorf("%d cases, want at least 150", len(cases))
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			target.play(t, c, len(c.in)+len(canary))
			if len(c.in) < 500 {
				target.play(t, c, 1)
			}
		})
	}
}

// play sends the case and the canary in writes of size bytes and checks what
// comes back.
func (target wireTarget) play(t *testing.T, c wireCase, size int) {
	t.Helper()
	conn := dial(t, target.addr)
	go func() {
		for piece := range slices.Chunk([]byte(c.in+canary), size) {
			if _, err := conn.Write(piece); err != nil {
				return // refused and closed: the answer tells
			}
		}
		if c.eof {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
	}()
	r := bufio.NewReader(conn)
	said := ""
	for i, want := range c.want {
		method := "GET"
		if strings.HasPrefix(c.in, "HEAD") {
			method = "HEAD"
		}
		status, body := readAnswer(t, r, method)
		if said = body; status != want {
			t.Fatalf("answer %d: status %d, want %d: %s", i+1, status, want, body)
		}
	}
	sees := c.sees
	if !c.closes() {
		sees = append(slices.Clone(sees), "GET /canary canary.test ")
		if status, body := readAnswer(t, r, "GET"); status != 200 || body != sees[len(sees)-1] {
			t.Fatalf("the canary got %d %q", status, body)
		}
	}
	rest, err := io.ReadAll(r)
	if strings.Contains(said, target.broken) && errors.Is(err, syscall.ECONNRESET) {
		err = nil // an end too: net/http does not read on what follows a broken body
	}
	if len(rest) > 0 || err != nil {
		t.Fatalf("after the last answer: %q, %v; want a closed connection", rest, err)
	}
	if target.sees == nil {
		return
	}
	if got := target.sees(conn.LocalAddr().String()); !slices.Equal(got, sees) {
		t.Errorf("the handler saw %q, want %q", got, sees)
	}
}

// readAnswer reads one final answer.
func readAnswer(t *testing.T, r *bufio.Reader, method string) (status int, body string) {
	t.Helper()
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("no answer: %v", err)
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatalf("answer %d broke off: %v", resp.StatusCode, err)
		}
		if resp.StatusCode >= 200 {
			return resp.StatusCode, string(b)
		}
	}
}

// dial connects with a deadline that only a hanging test meets.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestDoorWire plays the same cases through a door and a shield to an origin.
func TestDoorWire(t *testing.T) {
	t.Parallel()
	origin := &echo{seen: make(map[string][]string)}
	server := api.NewServer(through(t, "", origin.ServeHTTP), nil)
	addr := startGuarded(t, server, listen(t), api.GuardOptions{})
	playWire(t, wireTarget{addr, nil, "bad-body"}, wireCases)
	for _, lines := range origin.seen {
		for _, line := range lines {
			if strings.HasPrefix(line, "GET /evil") || strings.Contains(line, " evil.test ") {
				t.Errorf("the origin saw %q", line)
			}
		}
	}
}
