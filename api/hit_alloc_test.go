package api_test

import (
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"testing"
	"time"

	"weir/api"
)

// endless is a connection whose client sends the same request for ever, each after the
// answer before it.
type endless struct {
	net.Conn // nil: what is not below is never called
	request  []byte
	next     func(left int) []byte // another request each time, nil for the same
	left     int
}

func (c *endless) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	c.left--
	if c.next != nil {
		c.request = c.next(c.left)
	}
	return copy(p, c.request), nil
}

func (c *endless) Write(p []byte) (int, error)      { return len(p), nil }
func (c *endless) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *endless) SetReadDeadline(time.Time) error  { return nil }
func (c *endless) SetWriteDeadline(time.Time) error { return nil }

var browser = []string{
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Accept: text/html,*/*;q=0.8",
	"Accept-Language: en-GB,en;q=0.5", "Accept-Encoding: gzip, deflate, br, zstd", "Referer: http://a.test/list?page=2",
	"Cookie: session=4f9a1c0e7b2d4e63a5f8c1d2e3b4a596; theme=dark", "Connection: keep-alive", "Upgrade-Insecure-Requests: 1",
}

// A hit costs no memory, its route and its key included.
func TestHitsDoNotAllocate(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // or it empties the pools
	w := newHitWorld(t, true)
	for name, in := range map[string]string{
		"plain":       get("/products/42?page=3", browser...),
		"a host":      request("GET / HTTP/1.1", "Host: a.test:8080"),
		"parameters":  get("/only?page=2&x=1&page=1", browser...),
		"HEAD":        head1("/", browser...),
		"unchanged":   get("/", append(browser, `If-None-Match: "v0", "v1"`)...),
		"not since":   get("/weak", append(browser, "If-Modified-Since: Sun, 01 Mar 2026 10:00:00 GMT")...),
		"long":        get("/long", browser...),
		"two pages":   get("/middle", browser...),
		"not changed": get("/coded", browser...),
	} {
		t.Run(name, func(t *testing.T) {
			if name == "HEAD" {
				w.warm(get("/", browser...))
			}
			w.warm(in)
			p := make([]byte, 4096)
			read := func(requests int) float64 {
				before, runs := w.hits.Load(), int64(0)
				allocated := testing.AllocsPerRun(10, func() {
					runs++
					guarded, err := api.Guard(once{&endless{request: []byte(in), left: requests}}, w.opts).Accept()
					if err != nil {
						t.Fatal(err)
					}
					_, _ = guarded.Read(p) // until the client has nothing more to say
				})
				if n := w.hits.Load() - before; n != runs*int64(requests) {
					t.Fatalf("%d hits, want %d", n, runs*int64(requests))
				}
				return allocated
			}
			// The memory tier's store has a new list of uses for every 64.
			if one, many := read(1), read(501); many > one+500/64 && !forgetful {
				t.Errorf("%v allocations with one hit on a connection, %v with 501", one, many)
			}
		})
	}
}

// BenchmarkConnectionHit is a hit without system calls.
func BenchmarkConnectionHit(b *testing.B) {
	w := newHitWorld(b, true)
	in := get("/products/42?page=3", browser...)
	w.warm(in)
	conn := &endless{request: []byte(in)}
	guarded, err := api.Guard(once{conn}, w.opts).Accept()
	if err != nil {
		b.Fatal(err)
	}
	p := make([]byte, 4096)
	b.ReportAllocs()
	b.ResetTimer()
	conn.left = b.N
	_, _ = guarded.Read(p)
	if n := w.hits.Load(); n < int64(b.N) {
		b.Fatalf("%d hits of %d", n, b.N)
	}
}

// BenchmarkColdHit is a hit of an object whose head is not open, because too many others were asked for.
func BenchmarkColdHit(b *testing.B) {
	const objects = 8000 // four times what has room
	w := newHitWorld(b, true)
	var in []byte
	for i := range objects {
		in = append(in, get(fmt.Sprintf("/products/%05d?page=3", i), browser...)...)
	}
	w.warm(string(in))
	conn := &endless{request: in[:len(in)/objects]}
	guarded, err := api.Guard(once{conn}, w.opts).Accept()
	if err != nil {
		b.Fatal(err)
	}
	before := w.hits.Load()
	p := make([]byte, 4096)
	b.ReportAllocs()
	b.ResetTimer()
	conn.left, conn.next = b.N, func(i int) []byte { i %= objects; return in[i*len(in)/objects : (i+1)*len(in)/objects] }
	_, _ = guarded.Read(p)
	if n := w.hits.Load() - before; n < int64(b.N) {
		b.Fatalf("%d hits of %d", n, b.N)
	}
}
