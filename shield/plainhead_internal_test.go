package shield

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// plainHeads are read here, and otherHeads by net/http, or not at all.
var (
	plainHeads = []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
		"HTTP/1.1 200 \r\nContent-Length:4\r\n\r\nbody and more",
		"HTTP/1.1 404 Not Found\r\nDate: Mon, 23 Nov 2026 06:00:00 GMT\r\ncache-control:  max-age=60 \r\nX-A: 1\r\nx-a: 2\r\nconnection: Keep-Alive\r\ncontent-length: 0\r\n\r\n",
		"HTTP/1.1 206 Partial Content\r\nEMPTY:\r\n-: \r\n1: a:b\r\nContent-Length: 0004\r\nContent-Range: bytes 0-3/9\r\n\r\nbo",
		"HTTP/1.1 599 ~\r\nContent-Length: 4611686018427387903\r\n\r\nbody",
	}
	otherHeads = []string{
		"HTTP/1.1 200 OK\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 4\n\nbody\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: a\n\r\nContent-Length: 4\r\n\r\nbody",
		"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody",
		"HTTP/1.1 2000 OK\r\nContent-Length: 4\r\n\r\nbody",
		"HTTP/1.1 +20 OK\r\nContent-Length: 4\r\n\r\nbody",
		"HTTP/1.1 100 Continue\r\nContent-Length: 4\r\n\r\nbody",
		"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nbody",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nContent-Length: 4, 4\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nContent-Length: +4\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: keep-alive, x-a\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX: a\r\n b\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\n Content-Length: 4\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX : a\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n: a\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX\r: a\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX: \x00\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX: \xe4\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nPragma: no-cache\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTrailer: X\r\n\r\nbody",
		"",
	}
)

func buffered(head string) *bufio.Reader {
	in := bufio.NewReaderSize(strings.NewReader(head), readAhead)
	_, _ = in.Peek(1)
	return in
}

func TestPlainHeads(t *testing.T) {
	for _, head := range plainHeads {
		if plainResponse(buffered(head)) == nil {
			t.Errorf("not read: %q", head)
		}
	}
	for _, head := range otherHeads {
		in := buffered(head)
		before := in.Buffered()
		if plainResponse(in) != nil || in.Buffered() != before {
			t.Errorf("read: %q", head)
		}
	}
}

// What is read here, net/http reads alike, and leaves the same.
func FuzzPlainResponse(f *testing.F) {
	for _, head := range slices.Concat(plainHeads, otherHeads) {
		f.Add(head)
	}
	f.Fuzz(func(t *testing.T, head string) {
		mine, theirs := buffered(head), buffered(head)
		got := plainResponse(mine)
		if got == nil {
			return
		}
		want, err := http.ReadResponse(theirs, bareGet)
		if err != nil {
			t.Fatalf("%q: net/http says %v", head, err)
		}
		if got.StatusCode != want.StatusCode || got.ContentLength != want.ContentLength || got.Close != want.Close ||
			got.ProtoMajor != want.ProtoMajor || got.ProtoMinor != want.ProtoMinor || len(want.TransferEncoding)+len(want.Trailer) > 0 {
			t.Errorf("%q: %+v, want %+v", head, got, want)
		}
		if !maps.EqualFunc(got.Header, want.Header, slices.Equal) {
			t.Errorf("%q: %v, want %v", head, got.Header, want.Header)
		}
		if (got.Body == http.NoBody) != (want.Body == http.NoBody) {
			t.Errorf("%q: body %v, want %v", head, got.Body, want.Body)
		}
		for _, size := range []int{1, 3, 1000} {
			p, q := make([]byte, size), make([]byte, size)
			n, err := got.Body.Read(p)
			m, wanted := want.Body.Read(q)
			if string(p[:n]) != string(q[:m]) || !errors.Is(err, wanted) || !errors.Is(wanted, err) {
				t.Errorf("%q: read %q, %v, want %q, %v", head, p[:n], err, q[:m], wanted)
			}
			if err != nil {
				break // a second time net/http takes a body that was cut for a whole one
			}
		}
		rest, _ := io.ReadAll(mine)
		left, _ := io.ReadAll(theirs)
		if string(rest) != string(left) {
			t.Errorf("%q: left %q, want %q", head, rest, left)
		}
	})
}
