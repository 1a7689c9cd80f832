package shield

import (
	"bufio"
	"bytes"
	"net/textproto"
	"testing"
)

// Whatever comes, in whatever pieces: a Cache-Control line that a parser of heads sees is
// not missed.
func FuzzControlWatch(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\n\r\nbody",
		"HTTP/1.1 200 OK\nPragma: no-cache\ncache-control:x\n\nbody",
		"HTTP/1.1 103 \r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n c\r\nCACHE-CONTROL :x\r\n\r\nCache-Control: y\r\n",
		"HTTP/1.1   200\r\n\r\nCache-Control: y\r\n",
		"\r\n\r\n", "HTTP/1.1 200", "\r\r\n\n\nCache-Control: x\n\n",
	} {
		f.Add([]byte(seed), 1)
		f.Add([]byte(seed), 7)
	}
	f.Fuzz(func(t *testing.T, raw []byte, size int) {
		w, rest := new(controlWatch), raw
		for size = min(max(1, size), 1<<10); len(rest) > size; rest = rest[size:] {
			w.see(rest[:size])
		}
		w.see(rest)
		in := textproto.NewReader(bufio.NewReader(bytes.NewReader(raw)))
		for {
			status, err := in.ReadLine()
			if err != nil {
				return
			}
			head, err := in.ReadMIMEHeader()
			if err != nil {
				return // no response: the request fails
			}
			if _, there := head["Cache-Control"]; there && !w.found.Load() {
				t.Fatalf("missed in %q", raw)
			}
			if isFinal([]byte(status)) {
				return
			}
		}
	})
}
