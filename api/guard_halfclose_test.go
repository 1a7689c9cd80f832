package api_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/api"
	"weir/policy"
	"weir/rfc9111"
)

// ending is a listener whose connections say when their client has closed its side.
type ending struct {
	net.Listener
	seen func()
}

func (l *ending) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &endingConn{conn, l.seen}, nil
}

type endingConn struct {
	net.Conn
	seen func()
}

func (c *endingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, io.EOF) {
		c.seen()
	}
	return n, err
}

// sendAndClose sends a request to srv, and closes the client's side of the connection.
// seen is closed when srv's side has noticed.
func sendAndClose(t *testing.T, srv *http.Server, seen chan struct{}, hold time.Duration) net.Conn {
	t.Helper()
	ln := &ending{listen(t), sync.OnceFunc(func() { close(seen) })}
	conn := dial(t, startGuarded(t, srv, ln, api.GuardOptions{HalfClose: hold}))
	send(t, conn, get("/"))
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	return conn
}

// A client may close its side once it has sent its request, and gets its answer.
func TestHalfClosedClient(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]int{"short": 5, "long": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := make(chan struct{})
			s := &tier{fetch: func(ctx context.Context, _ *policy.Request) (*rfc9111.Answer, error) {
				<-seen
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				return stored(strings.Repeat("x", body)), nil
			}}
			srv := api.NewServer(newDoor(t, s, "", api.DoorOptions{}), nil)
			conn := sendAndClose(t, srv, seen, time.Hour)
			answer, err := io.ReadAll(conn)
			if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 OK\r\n") || strings.Count(string(answer), "x") < body {
				t.Errorf("%.300q, %v", answer, err)
			}
		})
	}
}

// One that left is not waited for much longer, and holds up neither end of a server.
func TestHalfClosedClientThatLeft(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		hold time.Duration
		end  func(*http.Server) error
	}{
		{"in time", 1, func(*http.Server) error { return nil }},
		{"server closed", time.Hour, (*http.Server).Close},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			seen, left := make(chan struct{}), make(chan struct{})
			srv := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				<-r.Context().Done()
				close(left)
			})}
			conn := sendAndClose(t, srv, seen, c.hold)
			<-seen
			_ = conn.Close()
			if err := c.end(srv); err != nil {
				t.Error(err)
			}
			<-left
		})
	}
}

// While a client is waited for, an upgraded connection is not held up, nor what
// reads it then.
func TestHalfCloseAndHijack(t *testing.T) {
	t.Parallel()
	seen := make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-seen
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		rest, err := io.ReadAll(conn)
		if len(rest) > 0 || err != nil {
			t.Errorf("%q, %v", rest, err)
		}
		_, _ = io.WriteString(conn, "bye")
		_ = conn.Close()
	})}
	conn := sendAndClose(t, srv, seen, time.Hour)
	if got, err := io.ReadAll(conn); string(got) != "bye" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
