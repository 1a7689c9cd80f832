//go:build unix

package shield

import (
	"context"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// An answer that is there before the request ends its connection: the origin may answer the request, too.
func TestHastyConnectionsAreNotKept(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			})
		}
	})
	dials := 0
	d := &direct{addr: l.Addr().String(), idle: time.Minute, dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials++
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		socket, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			return nil, err
		}
		return conn, untilSpoken(socket)
	}}
	for n := 1; n <= 3; n++ {
		if got := d.get(t, "/"); got != "hello" || dials != n {
			t.Errorf("%d: %q on %d connections", n, got, dials)
		}
	}
	d.disconnect()
	_ = l.Close()
	all.Wait()
}

// untilSpoken waits until there is something to read.
func untilSpoken(socket syscall.RawConn) error {
	return socket.Read(func(fd uintptr) bool { return !silent(fd) })
}

// A connection that nobody uses is closed when it has been idle for as long as it may, and not before; that others
// are used meanwhile makes no difference.
func TestIdleConnectionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &direct{idle: time.Minute}
		conns := make([]*connection, 3)
		for i := range conns {
			inner, _ := net.Pipe()
			conns[i] = newConnection(inner)
			d.put(conns[i])
			time.Sleep(time.Second)
		}
		ended := func(c *connection) bool { return c.SetDeadline(time.Time{}) != nil }
		for range 100 { // the one that was used last is used again
			time.Sleep(575 * time.Millisecond)
			if c := d.take(); c != conns[2] {
				t.Fatal("another connection")
			}
			d.put(conns[2])
		}
		for i, want := range [][]bool{{true, false, false}, {true, true, false}} { // after 60.5 s, after 61.5
			if got := []bool{ended(conns[0]), ended(conns[1]), ended(conns[2])}; !slices.Equal(got, want) {
				t.Errorf("%d: ended %v, want %v", i, got, want)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(58*time.Second - time.Millisecond) // the last was put back after 60.5
		synctest.Wait()
		if ended(conns[2]) {
			t.Error("ended too early")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if !ended(conns[2]) || d.take() != nil {
			t.Error("still open")
		}
		d.put(conns[2])
		d.disconnect()
	})
}

// A deadline stays while it ends a wait neither early nor much later.
func TestDeadlinesStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := &deadlines{}
		c := newConnection(set)
		for range 100 {
			c.allow(30 * time.Second)
			if left := time.Until(set.until); left < 30*time.Second || left > 30500*time.Millisecond {
				t.Fatalf("%s left of 30 s", left)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if set.n != 2 {
			t.Errorf("set %d times in a second", set.n)
		}
		for _, silence := range []time.Duration{time.Second, 40 * time.Second, 80 * time.Millisecond} {
			c.allow(silence)
			if left := time.Until(set.until); left < silence || left > silence+min(silence/8, time.Second/2) {
				t.Errorf("%s left of %s", left, silence)
			}
		}
		if c.allow(0); !set.until.IsZero() {
			t.Error("ends although it may wait for ever")
		}
	})
}

// deadlines is a connection that has nothing but deadlines.
type deadlines struct {
	net.Conn
	until time.Time
	n     int
}

func (d *deadlines) SetDeadline(until time.Time) error {
	d.until = until
	d.n++
	return nil
}
