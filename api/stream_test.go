package api_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/api"
	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

// fetch requests target on a new connection and returns the response with its
// body still to be read.
func fetch(t *testing.T, addr, target string) (*http.Response, net.Conn) {
	t.Helper()
	conn := connect(t, addr)
	resp, err := http.ReadResponse(talk(t, conn, "GET "+target+" HTTP/1.1\r\nHost: a.test\r\n\r\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp, conn
}

// Each event is with the client before the origin has the next one; the head is
// there before the first.
func TestEventsFlow(t *testing.T) {
	r, w := io.Pipe()
	s := always(func() *rfc9111.Answer { return streamed(r, -1, "Content-Type: text/event-stream") })
	resp, _ := fetch(t, serveOn(t, newDoor(t, s, "", api.DoorOptions{})), "/events")
	if resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("X-Cache") != "miss" {
		t.Errorf("head %v", resp.Header)
	}
	lines := bufio.NewReader(resp.Body)
	for _, event := range []string{"data: 1\n", "data: 2\n", "data: 3\n"} {
		if _, err := io.WriteString(w, event); err != nil {
			t.Fatal(err)
		}
		if got, err := lines.ReadString('\n'); err != nil || got != event {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	_ = w.Close()
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Errorf("after the end: %q, %v", rest, err)
	}
}

// A body that fails, or is not as long as it said, must not look whole.
func TestBrokenOffBodies(t *testing.T) {
	lost := errors.New("the origin is gone")
	for _, c := range []struct {
		name   string
		body   io.Reader
		length int64
	}{
		{"error, known length", io.MultiReader(strings.NewReader("abc"), failure{lost}), 10},
		{"error, chunked", io.MultiReader(strings.NewReader("abc"), failure{lost}), -1},
		{"error at once", failure{lost}, -1},
		{"error after all of it", io.MultiReader(strings.NewReader("abc"), failure{lost}), -1},
		{"unexpected end", io.MultiReader(strings.NewReader("abc"), failure{io.ErrUnexpectedEOF}), -1},
		{"too short", strings.NewReader("abc"), 10},
		{"range of a short body", strings.NewReader("abc"), 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			closed := make(chan struct{})
			s := always(func() *rfc9111.Answer {
				return streamed(&closer{Reader: c.body, close: func() { close(closed) }}, c.length)
			})
			d := newDoor(t, s, "", api.DoorOptions{})
			conn := connect(t, serveOn(t, d))
			field := ""
			if strings.HasPrefix(c.name, "range") {
				field = "Range: bytes=5-\r\n"
			}
			resp, err := http.ReadResponse(talk(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n"+field+"\r\n"), nil)
			if err != nil {
				return // not even a head: visible enough
			}
			body, err := io.ReadAll(resp.Body)
			if err == nil {
				t.Errorf("the client takes %q for the whole", body)
			}
			<-closed
		})
	}
}

// For HTTP/1.0 the end of a body of unknown length is the end of its connection.
// One that came too early must be an error there too, through every wrapper.
func TestBrokenOffBodyForHTTP10(t *testing.T) {
	for name, wrap := range map[string]func(net.Listener) net.Listener{
		"plain":   func(ln net.Listener) net.Listener { return ln },
		"guarded": func(ln net.Listener) net.Listener { return api.Guard(api.Limit(ln, 9), api.GuardOptions{}) },
	} {
		t.Run(name, func(t *testing.T) {
			s := always(func() *rfc9111.Answer {
				return streamed(io.NopCloser(io.MultiReader(strings.NewReader("abc"), failure{errors.New("lost")})), -1)
			})
			conn := connect(t, serveOver(t, wrap, newDoor(t, s, "", api.DoorOptions{})))
			raw, err := io.ReadAll(talk(t, conn, "GET / HTTP/1.0\r\nHost: a\r\n\r\n"))
			if err == nil {
				t.Errorf("the client takes %q for the whole", raw)
			}
		})
	}
}

// A body that is longer than it said ends the connection, and what follows is
// not read as the next response.
func TestOverlongBody(t *testing.T) {
	s := always(func() *rfc9111.Answer {
		return streamed(io.NopCloser(strings.NewReader("abcHTTP/1.1 200 OK\r\n\r\n")), 3)
	})
	conn := connect(t, serveOn(t, newDoor(t, s, "", api.DoorOptions{})))
	rest, err := io.ReadAll(talk(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	if err == nil && strings.Count(string(rest), "HTTP/1.1") > 1 {
		t.Errorf("%q", rest)
	}
}

type failure struct{ err error }

func (f failure) Read([]byte) (int, error) { return 0, f.err }

// A client that leaves closes its body, even while nothing comes.
func TestClientLeaves(t *testing.T) {
	r, w := io.Pipe()
	closed := make(chan struct{})
	s := always(func() *rfc9111.Answer {
		return streamed(&closer{Reader: r, close: func() { _ = r.Close(); close(closed) }}, -1)
	})
	resp, conn := fetch(t, serveOn(t, newDoor(t, s, "", api.DoorOptions{})), "/")
	if resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
	_ = conn.Close()
	<-closed
	_ = w.Close()
}

// A client that leaves while a tier still works on its answer ends the fetch.
func TestClientLeavesEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := make(chan struct{})
		s := &tier{fetch: func(ctx context.Context, _ *policy.Request) (*rfc9111.Answer, error) {
			close(asked)
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}}
		d := newDoor(t, s, "", api.DoorOptions{})
		conn, handled := pipeTo(t, d)
		talk(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		<-asked
		_ = conn.Close()
		<-handled
		counts := d.Stats().Requests
		if len(counts) != 1 || counts[0].Class != "4xx" {
			t.Errorf("counted as %v", counts)
		}
	})
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// A client that stops reading is cut off, whatever is still to come.
func TestStalledClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := make(chan struct{})
		s := always(func() *rfc9111.Answer {
			return streamed(&closer{Reader: zeros{}, close: func() { close(closed) }}, -1)
		})
		d := newDoor(t, s, "", api.DoorOptions{WriteTimeout: time.Minute})
		conn, handled := pipeTo(t, d)
		talk(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		start := time.Now()
		<-handled
		<-closed
		if took := time.Since(start); took > time.Minute {
			t.Errorf("it took %v", took)
		}
		if d.Stats().Aborted != 1 {
			t.Errorf("aborted %d", d.Stats().Aborted)
		}
	})
}

// The limit is for one write, not for a response: a stream may take any time.
func TestLongStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		s := always(func() *rfc9111.Answer { return streamed(r, -1) })
		conn, _ := pipeTo(t, newDoor(t, s, "", api.DoorOptions{WriteTimeout: time.Second}))
		in := talk(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for range 10 {
				time.Sleep(time.Hour)
				_, _ = io.WriteString(w, "x")
			}
			time.Sleep(time.Hour)
			_ = w.Close()
		}()
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != strings.Repeat("x", 10) {
			t.Errorf("%q, %v", body, err)
		}
	})
}

// A request body that stops coming is answered, and its connection ends; whether
// it is part of a key or on its way to an origin.
func TestStalledUpload(t *testing.T) {
	for _, target := range []string{"/graphql", "/passed"} {
		t.Run(target, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &tier{fetch: func(_ context.Context, req *policy.Request) (*rfc9111.Answer, error) {
					_, err := io.ReadAll(req.Stream)
					return nil, err
				}}
				d := newDoor(t, s, routes, api.DoorOptions{ReadTimeout: time.Minute})
				conn, _ := pipeTo(t, d)
				in := talk(t, conn, "POST "+target+" HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhi")
				resp, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				wantError(t, resp, 408, "body-timeout")
				if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
					t.Errorf("the connection goes on: %v", err)
				}
			})
		})
	}
}

// A refused upload holds its connection for a moment only.
func TestRefusedUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _ := pipeTo(t, newDoor(t, failing(shield.ErrOriginUnreachable), "", api.DoorOptions{}))
		in := talk(t, conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhi")
		start := time.Now()
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, resp, 502, "origin-unreachable")
		if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("the connection goes on: %v", err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// A long answer after a body was read is not cut by the body's deadline.
func TestReadDeadlineEndsWithTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tier{fetch: func(ctx context.Context, _ *policy.Request) (*rfc9111.Answer, error) {
			select {
			case <-time.After(time.Hour):
				return ok(), nil
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}}
		conn, _ := pipeTo(t, newDoor(t, s, routes, api.DoorOptions{ReadTimeout: time.Second}))
		in := talk(t, conn, "POST /graphql HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body := bodyOf(t, resp); body != "ok" {
			t.Errorf("body %q", body)
		}
	})
}

// The origin may answer while the client still sends, and both get everything.
func TestBothWaysAtOnce(t *testing.T) {
	s := &tier{fetch: func(_ context.Context, req *policy.Request) (*rfc9111.Answer, error) {
		return streamed(io.NopCloser(req.Stream), -1), nil
	}}
	conn := connect(t, serveOn(t, newDoor(t, s, "", api.DoorOptions{})))
	in := talk(t, conn, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	echoed := bufio.NewReader(resp.Body)
	for _, word := range []string{"one\n", "two\n", "three\n"} {
		if _, err := io.WriteString(conn, "4\r\n"+word[:4]+"\r\n"); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 4)
		if _, err := io.ReadFull(echoed, got); err != nil || string(got) != word[:4] {
			t.Fatalf("echoed %q, %v", got, err)
		}
	}
	if _, err := io.WriteString(conn, "0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(echoed); err != nil || len(rest) > 0 {
		t.Errorf("rest %q, %v", rest, err)
	}
	// Nothing is left to chance about where the next request would begin.
	if _, err := in.ReadByte(); !resp.Close || !errors.Is(err, io.EOF) {
		t.Errorf("the connection goes on: %v", err)
	}
}

// After a request whose body was over first, the next one gets its own answer.
func TestConnectionGoesOnAfterABody(t *testing.T) {
	s := &tier{fetch: func(_ context.Context, req *policy.Request) (*rfc9111.Answer, error) {
		body, err := io.ReadAll(req.Stream)
		return stored(string(body)), err
	}}
	conn := connect(t, serveOn(t, newDoor(t, s, "", api.DoorOptions{})))
	in := talk(t, conn, "")
	for _, word := range []string{"one", "two"} {
		talk(t, conn, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n"+word+"\r\n0\r\n\r\n")
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body := bodyOf(t, resp); body != word {
			t.Errorf("body %q", body)
		}
	}
}

// A client that has all bytes and leaves at once has had a whole response.
func TestClientLeavesWithEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		d := newDoor(t, always(func() *rfc9111.Answer { return streamed(r, 3) }), "", api.DoorOptions{})
		conn, handled := pipeTo(t, d)
		go func() { _, _ = io.WriteString(w, "abc") }() // and no end
		resp, err := http.ReadResponse(talk(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body := bodyOf(t, resp); body != "abc" {
			t.Errorf("body %q", body)
		}
		_ = conn.Close()
		<-handled
		if d.Stats().Aborted != 0 {
			t.Error("counted as aborted")
		}
	})
}

// A client that waits for leave to send its body gets it.
func TestExpectContinue(t *testing.T) {
	for _, target := range []string{"/graphql", "/passed"} {
		s := &tier{fetch: func(_ context.Context, req *policy.Request) (*rfc9111.Answer, error) {
			body := req.Body
			if req.Stream != nil {
				body, _ = io.ReadAll(req.Stream)
			}
			return stored(string(body)), nil
		}}
		conn := connect(t, serveOn(t, newDoor(t, s, routes, api.DoorOptions{})))
		in := talk(t, conn, "POST "+target+" HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
		if line, err := in.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
		_, _ = in.ReadString('\n')
		say(t, conn, "hi")
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body := bodyOf(t, resp); body != "hi" {
			t.Errorf("%s: body %q", target, body)
		}
	}
}
