package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/api"
	"weir/l1"
	"weir/policy"
	"weir/rfc9111"
)

// now is the time in tests that look at times.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// tier answers with a script and remembers what it was asked.
type tier struct {
	fetch func(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error)

	mu    sync.Mutex
	asked []*policy.Request
}

func (s *tier) Fetch(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
	s.mu.Lock()
	s.asked = append(s.asked, req)
	s.mu.Unlock()
	return s.fetch(ctx, req)
}

// requests returns what the tier was asked so far.
func (s *tier) requests() []*policy.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*policy.Request(nil), s.asked...)
}

// one returns the only request that the tier was asked.
func (s *tier) one(t *testing.T) *policy.Request {
	t.Helper()
	asked := s.requests()
	if len(asked) != 1 {
		t.Fatalf("the tier was asked %d times, want once", len(asked))
	}
	return asked[0]
}

// always answers every request with a fresh copy of what make returns.
func always(answer func() *rfc9111.Answer) *tier {
	return &tier{fetch: func(context.Context, *policy.Request) (*rfc9111.Answer, error) { return answer(), nil }}
}

// failing answers every request with err.
func failing(err error) *tier {
	return &tier{fetch: func(context.Context, *policy.Request) (*rfc9111.Answer, error) { return nil, err }}
}

var hit = rfc9111.Decision{
	Use: rfc9111.Hit, Outer: rfc9111.TierHit, Status: rfc9111.StatusOK, TTL: 53 * time.Second, HasTTL: true,
}

var miss = rfc9111.Decision{
	Use: rfc9111.Miss, Outer: rfc9111.TierCached, Shield: rfc9111.TierCached, Status: rfc9111.StatusOK,
	Forward: rfc9111.ForwardMiss, Stored: true,
}

// stored is an answer from memory, seven seconds old.
func stored(body string, fields ...string) *rfc9111.Answer {
	return &rfc9111.Answer{Head: head(200, int64(len(body)), fields...), Bytes: []byte(body), Decision: hit}
}

// streamed is an answer that comes as body is read.
func streamed(body io.ReadCloser, length int64, fields ...string) *rfc9111.Answer {
	return &rfc9111.Answer{Head: head(200, length, fields...), Body: body, Decision: miss}
}

func head(status int, length int64, fields ...string) *rfc9111.Response {
	return &rfc9111.Response{
		Status: status, Header: fieldsOf(fields), Length: length,
		RequestTime: now.Add(-7 * time.Second), ResponseTime: now.Add(-7 * time.Second),
		Terms: rfc9111.Terms{Lifetime: time.Minute},
	}
}

// fieldsOf makes a header of "name: value" lines, with a Date and a Content-Type.
func fieldsOf(lines []string) http.Header {
	h := http.Header{"Content-Type": {"text/plain"}, "Date": {"Sun, 01 Mar 2026 11:59:53 GMT"}}
	seen := map[string]bool{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		name = http.CanonicalHeaderKey(name)
		if !seen[name] {
			h.Del(name)
		}
		seen[name] = true
		h.Add(name, value)
	}
	return h
}

// table compiles routes, in JSON, on top of one origin.
func table(t testing.TB, routes string) func() *policy.Table {
	t.Helper()
	tbl, err := policy.Compile("test.json", []byte(`{
		"origins": {"shop": {"url": "http://127.0.0.1:3000"}, "beta": {"url": "http://127.0.0.1:3001"}},
		"defaults": {"origin": "shop"},
		"routes": [`+routes+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	return func() *policy.Table { return tbl }
}

// newDoor returns a door with test defaults, closed at the end of the test.
func newDoor(t testing.TB, s *tier, routes string, opts api.DoorOptions) *api.Door {
	t.Helper()
	if opts.Region == "" {
		opts.Region = "fra"
	}
	if opts.Now == nil {
		opts.Now = func() time.Time { return now }
	}
	d := api.NewDoor(s, table(t, routes), opts)
	t.Cleanup(d.Close)
	return d
}

// serveOn serves h as a node does and returns its address.
func serveOn(t testing.TB, h http.Handler) string {
	t.Helper()
	return serveOver(t, func(ln net.Listener) net.Listener {
		if d, ok := h.(*api.Door); ok {
			return api.Guard(ln, api.GuardOptions{Region: "fra", Refused: d.Refused, Hits: api.NewHits(d, empty{}), HalfClose: time.Nanosecond})
		}
		return ln
	}, h)
}

// empty is a memory tier without anything in it.
type empty struct{}

func (empty) Hit(*l1.Ask, *l1.Found) bool   { return false }
func (empty) Keep(*l1.Found, *l1.ReadyHead) {}
func (empty) CountHit(*l1.Found)            {}

// serveOver serves h through a wrapped listener.
func serveOver(t testing.TB, wrap func(net.Listener) net.Listener, h http.Handler) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := api.NewServer(h, nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(wrap(ln))
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return ln.Addr().String()
}

// pipeTo serves one in-memory connection, inside a synctest bubble, and returns its
// other end and a channel that is closed when the handler is through with a request.
func pipeTo(t *testing.T, h http.Handler) (conn net.Conn, handled <-chan struct{}) {
	t.Helper()
	near, far := net.Pipe()
	ln := &oneConn{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
	ln.conn <- far
	through := make(chan struct{})
	srv := api.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(through)
		h.ServeHTTP(w, r)
	}), nil)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(ln)
	}()
	t.Cleanup(func() {
		_ = near.Close()
		_ = srv.Close()
		<-served
	})
	return near, through
}

// oneConn is a listener of one connection.
type oneConn struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error {
	close(l.closed)
	return nil
}

func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

// ask lets d answer a request line and fields, without a connection.
func ask(t testing.TB, d http.Handler, lines ...string) *http.Response {
	t.Helper()
	r, err := read(lines...)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result()
}

// read parses a request as net/http does. The host is a.test unless a line says otherwise.
func read(lines ...string) (*http.Request, error) {
	head, hasHost := lines[0]+" HTTP/1.1\r\n", false
	body := ""
	for _, line := range lines[1:] {
		if b, ok := strings.CutPrefix(line, "body="); ok {
			body = b
			continue
		}
		hasHost = hasHost || strings.HasPrefix(line, "Host:")
		head += line + "\r\n"
	}
	if !hasHost {
		head += "Host: a.test\r\n"
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head + "\r\n" + body)))
	if err != nil {
		return nil, err
	}
	r.RemoteAddr = "192.0.2.7:4711"
	delete(r.Header, "Host")
	return r, nil
}

func bodyOf(t testing.TB, resp *http.Response) string {
	t.Helper()
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read body: %v", err)
	}
	return string(b)
}

// wantError checks that resp is the JSON error code, and that nobody may keep it.
func wantError(t *testing.T, resp *http.Response, status int, code string) {
	t.Helper()
	body := bodyOf(t, resp)
	var got struct {
		Error *struct{ Code, Message, Hint *string }
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || got.Error == nil || got.Error.Code == nil || got.Error.Message == nil || got.Error.Hint == nil {
		t.Fatalf("not a JSON error: %q (%v)", body, err)
	}
	if resp.StatusCode != status || *got.Error.Code != code {
		t.Errorf("got %d %s, want %d %s", resp.StatusCode, *got.Error.Code, status, code)
	}
	if cc := resp.Header.Get("Cache-Control"); cc != "no-store" {
		t.Errorf("an error has cache-control %q", cc)
	}
	for _, name := range []string{"X-Cache", "X-Cache-Tier", "X-Caching-Status", "Cache-Status"} {
		if resp.Header.Get(name) == "" {
			t.Errorf("an error is without %s", name)
		}
	}
}

// connect opens a connection that is closed at the end of the test, and fails the
// test rather than wait for ever.
func connect(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// talk writes raw bytes and returns the connection's reader.
func talk(t testing.TB, conn net.Conn, raw string) *bufio.Reader {
	t.Helper()
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(conn)
}

func TestDoorServesWhatTheTierAnswers(t *testing.T) {
	s := always(func() *rfc9111.Answer { return stored("hello", "ETag: \"v1\"", "X-App: 1") })
	addr := serveOn(t, newDoor(t, s, "", api.DoorOptions{}))
	resp, err := http.Get("http://" + addr + "/a/b?c=d")
	if err != nil {
		t.Fatal(err)
	}
	if body := bodyOf(t, resp); body != "hello" {
		t.Errorf("body %q", body)
	}
	http.DefaultClient.CloseIdleConnections()
	for name, want := range map[string]string{
		"X-Cache": "hit", "Age": "7", "Via": "1.1 weir", "Content-Length": "5", "X-App": "1",
		"Date": "Sun, 01 Mar 2026 11:59:53 GMT", "Etag": `"v1"`, "X-Caching-Status": "ok",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	req := s.one(t)
	if req.Target != "/a/b?c=d" || req.Host != addr || req.Method != "GET" || req.Bypass != "" || req.Client != "127.0.0.1" {
		t.Errorf("asked %+v", req)
	}
}

func TestAnswersAreNotEdited(t *testing.T) {
	values := make([]string, 1, 4) // room that an append would use
	values[0] = "1.0 before"
	answer := stored("x")
	answer.Head.Header["Via"] = values
	before := fmt.Sprint(answer.Head)
	d := newDoor(t, always(func() *rfc9111.Answer { return answer }), "", api.DoorOptions{})
	for range 2 {
		resp := ask(t, d, "GET /")
		if got := strings.Join(resp.Header.Values("Via"), ", "); got != "1.0 before, 1.1 weir" {
			t.Errorf("via %q", got)
		}
	}
	if after := fmt.Sprint(answer.Head); after != before || values[:2][1] != "" {
		t.Errorf("the answer was edited:\n%s\n%s", before, after)
	}
}
