package api_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"weir/api"
)

// filedHits serves a hitWorld over TCP.
type filedHits struct {
	*hitWorld
	addr string
}

// shortBuffer leaves little between the server and a client that does not read.
type shortBuffer struct{ net.Listener }

func (l shortBuffer) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		err = conn.(*net.TCPConn).SetWriteBuffer(64 << 10)
	}
	return conn, err
}

// serveFiled serves one in which what is at /huge lies in a file.
func serveFiled(t *testing.T, opts api.DoorOptions) *filedHits {
	t.Helper()
	f := newFiled(t, opts)
	c := f.connect(t)
	for range 40 {
		c.ask(t, get("/huge"))
	}
	if f.filed.Load() == 0 {
		t.Fatal("no body came from a file")
	}
	return f
}

func newFiled(t *testing.T, opts api.DoorOptions) *filedHits {
	t.Helper()
	w := newLoggedHitWorld(t, true, nil, nil)
	if opts.WriteTimeout > 0 {
		opts.Region, opts.Now = "fra", func() time.Time { return now }
		w.door = api.NewDoor(w.tier, table(t, hitRoutes), opts)
		t.Cleanup(w.door.Close)
		w.opts.Hits = api.NewHits(w.door, w)
	}
	inner, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(w.door, nil)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(api.Guard(api.Limit(shortBuffer{inner}, 100), w.opts))
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return &filedHits{hitWorld: w, addr: inner.Addr().String()}
}

// filedClient is a connection with a short buffer.
type filedClient struct {
	*net.TCPConn
	r *bufio.Reader
}

func (f *filedHits) connect(t *testing.T) *filedClient {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &filedClient{TCPConn: conn.(*net.TCPConn), r: bufio.NewReader(conn)}
	if err := c.SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	return c
}

// ask returns the answer to one request, whole.
func (c *filedClient) ask(t *testing.T, in string) (resp *http.Response, body string) {
	t.Helper()
	send(t, c, in)
	method, _, _ := strings.Cut(in, " ")
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(all)
}

func TestHitsFromFiles(t *testing.T) {
	f := serveFiled(t, api.DoorOptions{})
	plain := newHitWorld(t, false)
	before := f.filed.Load()
	for range 2 {
		for _, in := range []string{get("/huge"), head1("/huge"), get("/huge", `If-None-Match: "v1"`), get("/huge?other=1"), get("/huge", "Range: bytes=500000-500009")} {
			c := f.connect(t)
			for range 2 { // the next answer begins where the one before it ends
				_, body := c.ask(t, in)
				raw := plain.play(in, 1<<20)
				resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), &http.Request{Method: in[:strings.IndexByte(in, ' ')]})
				if err != nil {
					t.Fatal(err)
				}
				want, err := io.ReadAll(resp.Body)
				if err != nil || resp.Body.Close() != nil || body != string(want) {
					t.Errorf("%.60q: %d bytes, want %d, %v", in, len(body), len(want), err)
				}
			}
		}
	}
	if f.filed.Load() == before {
		t.Error("no body came from a file")
	}
}

// A file may go while it is being sent; the rest is in memory.
func TestAFileThatGoesWhileItIsSent(t *testing.T) {
	f := serveFiled(t, api.DoorOptions{})
	c := f.connect(t)
	_, want := c.ask(t, get("/huge"))
	before := f.filed.Load()
	send(t, c, get("/huge"))
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.tier.Clear()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.Body.Close() != nil || string(got) != want {
		t.Errorf("%d bytes, want %d, %v", len(got), len(want), err)
	}
	_, again := c.ask(t, get("/huge")) // fetched again
	if again != want || f.filed.Load() == before {
		t.Errorf("%d bytes, and %d answers from files", len(again), f.filed.Load()-before)
	}
}

// bodyFiles are the descriptors of bodies that lie in files of this process.
func bodyFiles(t *testing.T) (all []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name, _ := os.Readlink(filepath.Join("/proc/self/fd", e.Name())) // the directory itself is closed by now
		if fd, err := strconv.Atoi(e.Name()); err == nil && strings.Contains(name, "weir-body") {
			all = append(all, fd)
		}
	}
	return all
}

// Whatever is wrong with a file, the body is in memory.
func TestAFileThatCannotBeSent(t *testing.T) {
	for name, instead := range map[string]func(dir, body string) string{
		"shorter":     func(dir, body string) string { return write(t, dir, body[:300_000]) },
		"empty":       func(dir, _ string) string { return write(t, dir, "") },
		"of no bytes": func(dir, _ string) string { return dir },
	} {
		t.Run(name, func(t *testing.T) {
			f := serveFiled(t, api.DoorOptions{})
			c := f.connect(t)
			_, want := c.ask(t, get("/huge"))
			before := f.filed.Load()
			other, err := os.Open(instead(t.TempDir(), want))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = other.Close() }()
			for _, fd := range bodyFiles(t) {
				if err := syscall.Dup3(int(other.Fd()), fd, syscall.O_CLOEXEC); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				if _, got := c.ask(t, get("/huge")); got != want {
					t.Errorf("%d bytes, want %d", len(got), len(want))
				}
			}
			if f.filed.Load() == before {
				t.Error("no file was tried")
			}
		})
	}
}

func write(t *testing.T, dir, text string) (name string) {
	t.Helper()
	name = filepath.Join(dir, "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// What is sent without a body, or to where no file goes, is no reason for one.
func TestAnswersThatNeedNoFile(t *testing.T) {
	f := newFiled(t, api.DoorOptions{})
	c := f.connect(t)
	_, want := c.ask(t, get("/huge"))
	before := f.hits.Load()
	for range 40 {
		c.ask(t, get("/huge", `If-None-Match: "v1"`))
		c.ask(t, head1("/huge"))
		if got := f.play(get("/huge"), 1<<20); !bytes.HasSuffix(got, []byte(want)) { // on what is no TCP connection
			t.Fatalf("%d bytes", len(got))
		}
	}
	if files := len(bodyFiles(t)); files > 0 || f.hits.Load()-before != 120 {
		t.Errorf("%d files after %d hits", files, f.hits.Load()-before)
	}
}

func TestAClientThatDoesNotTakeAFile(t *testing.T) {
	core, logged := observer.New(zap.InfoLevel)
	broken := make(chan struct{}, 1)
	told := zap.Hooks(func(zapcore.Entry) error {
		if logged.FilterField(zap.Bool("aborted", true)).Len() == 1 {
			broken <- struct{}{}
		}
		return nil
	})
	f := serveFiled(t, api.DoorOptions{WriteTimeout: 50 * time.Millisecond, Log: zap.New(core, told)})
	c := f.connect(t)
	send(t, c, get("/huge"))
	<-broken
	if s := f.door.Stats(); s.Aborted != 1 {
		t.Errorf("%d aborted", s.Aborted)
	}
	if n, err := io.Copy(io.Discard, c.r); n > 960_000 || err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestHitsFromFilesDoNotAllocate(t *testing.T) {
	if forgetful {
		return
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // or it empties the pools
	f := serveFiled(t, api.DoorOptions{})
	c := f.connect(t)
	send(t, c, get("/huge"))
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.Body.Close() != nil {
		t.Fatal(err)
	}
	in, p, size := []byte(get("/huge")), make([]byte, 64<<10), 0
	before := f.filed.Load()
	round := func() {
		if _, err := c.Write(in); err != nil {
			t.Fatal(err)
		}
		for n := 0; size == 0 || n < size; {
			m, err := c.Read(p)
			if err != nil {
				t.Fatal(err)
			}
			if n += m; size == 0 && bytes.HasPrefix(p[:m], []byte("HTTP/1.1 200")) {
				size = bytes.Index(p[:m], []byte("\r\n\r\n")) + 4 + int(resp.ContentLength)
			}
		}
	}
	if got := testing.AllocsPerRun(50, round); got != 0 {
		t.Errorf("%v allocations", got)
	}
	if f.filed.Load()-before < 50 {
		t.Error("not all bodies came from files")
	}
}
