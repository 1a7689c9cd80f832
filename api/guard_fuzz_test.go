package api_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/api"
)

// scripted is a connection whose client sends fixed bytes, a piece at a time,
// and then hangs up. What is written to it is discarded.
type scripted struct {
	net.Conn // nil: what is not below is never called
	in       string
	piece    int
}

// guardScripted returns the guarded side of a scripted connection.
func guardScripted(t *testing.T, in string, piece int) net.Conn {
	t.Helper()
	conn, err := api.Guard(once{&scripted{in: in, piece: piece}}, api.GuardOptions{HalfClose: 1}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func (c *scripted) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.piece)], c.in)
	c.in = c.in[n:]
	return n, nil
}

func (c *scripted) Write(p []byte) (int, error)     { return len(p), nil }
func (c *scripted) RemoteAddr() net.Addr            { return &net.TCPAddr{} }
func (c *scripted) SetDeadline(time.Time) error     { return nil }
func (c *scripted) SetReadDeadline(time.Time) error { return nil }

// once is a listener that accepts one connection.
type once struct{ conn net.Conn }

func (l once) Accept() (net.Conn, error) { return l.conn, nil }
func (l once) Close() error              { return nil }
func (l once) Addr() net.Addr            { return nil }

// tap notes the bytes that are read through it.
type tap struct {
	net.Conn
	passed []byte
	err    error
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.passed = append(t.passed, p[:n]...)
	t.err = err
	return n, err
}

// FuzzGuard plays net/http on a guarded connection. Whatever the client sends,
// each request that comes through is one that net/http takes, means what its raw
// head says, and ends where the Guard says it ends.
func FuzzGuard(f *testing.F) {
	for _, c := range wireCases {
		if len(c.in) < 4000 {
			f.Add([]byte(c.in+canary), 1)
			f.Add([]byte(c.in+canary), 64)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, piece int) {
		if len(in) > 32<<10 || piece < 1 {
			return
		}
		conn := &tap{Conn: guardScripted(t, string(in), piece)}
		r := bufio.NewReader(conn)
		for readGuarded(t, conn, r) {
			continue
		}
		if n, err := conn.Read(make([]byte, 100)); n != 0 || err == nil {
			t.Fatalf("after the end: %d bytes, %v", n, err)
		}
	})
}

// readGuarded reads one request as net/http does and checks it; false is the end.
func readGuarded(t *testing.T, conn *tap, r *bufio.Reader) bool {
	conn.passed = nil
	if _, err := r.Peek(4); err != nil {
		if len(conn.passed) > 0 {
			t.Fatalf("handed out %q of a request, then %v", conn.passed, err)
		}
		return false
	}
	req, err := http.ReadRequest(r)
	if err != nil {
		t.Fatalf("net/http refuses %q: %v", conn.passed, err)
	}
	checkHead(t, req, conn.passed)
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		// A body may break off. Then nothing may follow. Unless the client hung up,
		// net/http must find the fault by itself.
		if conn.err != nil && !errors.Is(conn.err, io.EOF) {
			t.Fatalf("%q: net/http was told %v before %v", conn.passed, conn.err, err)
		}
		if n, err := conn.Read(make([]byte, 100)); n != 0 || err == nil {
			t.Fatalf("after a broken body: %d bytes, %v", n, err)
		}
		return false
	}
	if r.Buffered() > 0 {
		t.Fatalf("%d bytes of %q lie beyond the request", r.Buffered(), conn.passed)
	}
	// net/http watches for a hang-up while the handler runs.
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("watching for a hang-up read %d bytes, %v", n, err)
	}
	return true
}

// checkHead compares what net/http understood with the plainest reading of the
// raw head.
func checkHead(t *testing.T, req *http.Request, raw []byte) {
	head, _, ok := bytes.Cut(raw, []byte("\r\n\r\n"))
	if !ok {
		t.Fatalf("a request came through without a whole head: %q", raw)
	}
	fields := strings.Split(string(head), "\r\n")
	line := strings.Split(fields[0], " ")
	if len(line) != 3 || line[0] != req.Method || line[1] != req.RequestURI || line[2] != req.Proto {
		t.Fatalf("request line %q, but net/http has %s %s %s", fields[0], req.Method, req.RequestURI, req.Proto)
	}
	hosts, lengths, codings := 0, 0, 0
	want := make(map[string]int)
	for _, field := range fields[1:] {
		name, value, ok := strings.Cut(field, ":")
		value = strings.Trim(value, " \t")
		switch name = http.CanonicalHeaderKey(name); {
		case !ok:
			t.Fatalf("field line %q", field)
		case name == "Host":
			hosts++
			if !strings.EqualFold(value, req.Host) {
				t.Fatalf("Host is %q, but net/http has %q", value, req.Host)
			}
		case name == "Content-Length":
			lengths++
		case name == "Transfer-Encoding":
			codings++
		case name == "Trailer", name == "Pragma", name == "Cache-Control":
			continue // net/http edits them
		}
		want[name]++
	}
	if hosts != 1 || lengths+codings > 1 {
		t.Fatalf("%d Host, %d Content-Length, %d Transfer-Encoding", hosts, lengths, codings)
	}
	if lengths == 1 != (req.Header["Content-Length"] != nil) || codings == 1 != (req.TransferEncoding != nil) {
		t.Fatalf("net/http frames the body otherwise: %q", head)
	}
	for name, values := range req.Header {
		if n := want[name]; n != len(values) && name != "Pragma" && name != "Cache-Control" {
			t.Fatalf("%d lines of %s, but net/http has %q", n, name, values)
		}
		delete(want, name)
	}
	delete(want, "Host")
	delete(want, "Transfer-Encoding")
	if len(want) > 0 {
		t.Fatalf("net/http lost %v", want)
	}
}
