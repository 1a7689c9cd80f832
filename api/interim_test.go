package api_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"weir/api"
	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

var hint = http.Header{"Link": {"</a.css>; rel=preload"}, "X-Hint": {"1"}, "Connection": {"close"}, "Content-Length": {"7"}}

// hinting answers after two interim responses, or fails.
func hinting(err error) *tier {
	return &tier{fetch: func(_ context.Context, req *policy.Request) (*rfc9111.Answer, error) {
		if req.Interim != nil {
			req.Interim(103, hint)
			req.Interim(102, nil)
		}
		if err != nil {
			return nil, err
		}
		return stored("hello"), nil
	}}
}

const hinted = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nVia: 1.1 weir\r\nX-Hint: 1\r\n\r\n" +
	"HTTP/1.1 102 Processing\r\nVia: 1.1 weir\r\n\r\n"

func TestInterimResponses(t *testing.T) {
	for _, c := range []struct {
		name, request string
		err           error
		early         string
		status        int
	}{
		{"page", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", nil, hinted, 200},
		{"body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", nil, hinted, 200},
		{"failure", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", shield.ErrOriginUnreachable, hinted, 502},
		{"HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", nil, "", 200},
		{"refused", "GET /%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", nil, "", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			wrap := func(ln net.Listener) net.Listener { return api.Guard(ln, api.GuardOptions{}) }
			d := newDoor(t, hinting(c.err), "", api.DoorOptions{})
			raw, err := io.ReadAll(talk(t, connect(t, serveOver(t, wrap, d)), c.request))
			if err != nil {
				t.Fatal(err)
			}
			final, ok := strings.CutPrefix(string(raw), c.early)
			if !ok {
				t.Fatalf("got %q", raw)
			}
			resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(final)), nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != c.status || resp.Header["X-Hint"] != nil || resp.Header["Link"] != nil {
				t.Errorf("%d %v", resp.StatusCode, resp.Header)
			}
			if hint["Via"] != nil {
				t.Error("the tier's fields were edited")
			}
			_ = resp.Body.Close()
		})
	}
}

// The next request on the connection is not mistaken for anything.
func TestInterimThenNext(t *testing.T) {
	conn := connect(t, serveOn(t, newDoor(t, hinting(nil), "", api.DoorOptions{})))
	plain, odd := "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n"
	in := talk(t, conn, plain+plain+odd+odd+plain)
	for range 5 {
		for _, want := range []int{103, 102, 200} {
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if want == 200 && bodyOf(t, resp) != "hello" || resp.StatusCode != want {
				t.Fatalf("%d, want %d", resp.StatusCode, want)
			}
		}
	}
}

// A client that waits for 100 gets it whole, whatever comes at that time.
func TestInterimAndContinue(t *testing.T) {
	s := &tier{fetch: func(_ context.Context, req *policy.Request) (*rfc9111.Answer, error) {
		read := make(chan struct{})
		go func() { // as a transport does
			defer close(read)
			_, _ = io.ReadFull(req.Stream, make([]byte, 1))
		}()
		req.Interim(103, hint) // before or after 100, or left out
		<-read
		req.Interim(102, nil)
		return stored("hello"), nil
	}}
	addr := serveOn(t, newDoor(t, s, "", api.DoorOptions{}))
	for range 20 {
		conn := connect(t, addr)
		in := talk(t, conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
		var seen []int
		for len(seen) == 0 || seen[len(seen)-1] < 200 {
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("%v after %v", err, seen)
			}
			_ = resp.Body.Close()
			if seen = append(seen, resp.StatusCode); resp.StatusCode == 100 {
				if _, err := io.WriteString(conn, "hi"); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n := len(seen); seen[n-1] != 200 || seen[n-2] != 102 || n > 4 {
			t.Errorf("saw %v", seen)
		}
	}
}

func TestInterimOverHTTP2(t *testing.T) {
	var early []int
	trace := &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
		if status == 103 && h.Get("X-Hint") != "1" {
			t.Errorf("%v", h)
		}
		early = append(early, status)
		return nil
	}}
	srv := serveHTTP2(t, newDoor(t, hinting(nil), "", api.DoorOptions{}))
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if bodyOf(t, resp) != "hello" || resp.ProtoMajor != 2 || resp.Header["X-Hint"] != nil || len(early) != 2 {
		t.Errorf("%s %v, before it %v", resp.Proto, resp.Header, early)
	}
}
