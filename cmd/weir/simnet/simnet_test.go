package simnet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"weir/cmd/weir/simnet"
)

const delay = 50 * time.Millisecond

// network has the hosts a and b; b listens.
func network(t testing.TB, l simnet.Link) (*simnet.Network, net.Listener) {
	t.Helper()
	n := simnet.New(1)
	n.SetLink("a", "b", l)
	listener, err := n.Host("b").Listen(80)
	if err != nil {
		t.Fatal(err)
	}
	return n, listener
}

// connect makes a connection and returns both of its ends.
func connect(t testing.TB, n *simnet.Network, l net.Listener) (from, to net.Conn) {
	t.Helper()
	from, err := n.Host("a").Dial(t.Context(), "tcp", "b:80")
	if err != nil {
		t.Fatal(err)
	}
	if to, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return from, to
}

func in(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func mustWrite(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func wantRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

func wantEnd(t *testing.T, c net.Conn, want error) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, want) {
		t.Fatalf("read %d bytes, %v; want %v", n, err, want)
	}
}

func TestDelays(t *testing.T) {
	in(t, func(t *testing.T) {
		n, l := network(t, simnet.Link{Delay: delay})
		began := time.Now()
		at := func(want time.Duration) {
			t.Helper()
			if got := time.Since(began); got != want {
				t.Fatalf("at %v, want %v", got, want)
			}
		}
		from, to := connect(t, n, l)
		at(2 * delay)
		mustWrite(t, from, "ping")
		at(2 * delay)
		wantRead(t, to, "ping")
		at(3 * delay)
		mustWrite(t, to, "pong")
		wantRead(t, from, "pong")
		at(4 * delay)
		if err := from.Close(); err != nil {
			t.Fatal(err)
		}
		wantEnd(t, to, io.EOF)
		at(5 * delay)
		mustWrite(t, to, "too late")
		wantEnd(t, to, io.EOF)
		if _, err := to.Write([]byte("later")); err != nil {
			t.Fatal(err)
		}
	})
}

func TestBytesStayInOrderAndWritersWait(t *testing.T) {
	in(t, func(t *testing.T) {
		n, l := network(t, simnet.Link{Delay: delay, Jitter: 30 * time.Millisecond})
		from, to := connect(t, n, l)
		var want bytes.Buffer
		for i := range 100_000 {
			fmt.Fprintln(&want, i)
		}
		var written sync.WaitGroup
		written.Go(func() {
			for rest := want.Bytes(); len(rest) > 0; {
				k, err := from.Write(rest[:min(len(rest), 30_000)])
				if err != nil {
					t.Error(err)
					return
				}
				rest = rest[k:]
			}
			if err := from.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Error(err)
			}
			wantRead(t, from, "done")
		})
		got, err := io.ReadAll(to)
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%d bytes and %v came, other than the %d that were sent", len(got), err, want.Len())
		}
		mustWrite(t, to, "done")
		written.Wait()
		if err := from.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		k, err := to.Write(make([]byte, 10))
		if k != 10 || err != nil {
			t.Errorf("%d, %v", k, err)
		}
	})
}

func TestDeadlines(t *testing.T) {
	in(t, func(t *testing.T) {
		n, l := network(t, simnet.Link{Delay: delay})
		from, to := connect(t, n, l)
		if err := to.SetDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		wantEnd(t, to, os.ErrDeadlineExceeded)
		if _, err := to.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %v", err)
		}
		if err := to.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, from, "x")
		wantRead(t, to, "x")
		if err := from.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		sent, err := from.Write(make([]byte, 1<<20)) // nobody reads
		if sent == 0 || sent == 1<<20 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("wrote %d bytes: %v", sent, err)
		}
	})
}

func TestSilence(t *testing.T) {
	in(t, func(t *testing.T) {
		n, l := network(t, simnet.Link{Delay: delay})
		from, to := connect(t, n, l)
		mustWrite(t, from, "on its way, ")
		n.Silence("b", "a")
		mustWrite(t, from, "sent into the silence")
		if err := to.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		wantEnd(t, to, os.ErrDeadlineExceeded)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Host("a").Dial(ctx, "tcp", "b:80"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial: %v", err)
		}
		if _, err := n.Host("a").Dial(t.Context(), "tcp", "b:80"); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("dial: %v", err)
		}
		if err := to.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		n.Heal("a", "b", nil)
		wantRead(t, to, "on its way, sent into the silence")

		n.Silence("a", "b")
		n.Heal("a", "b", func() bool { return true })
		wantEnd(t, to, syscall.ECONNRESET)
		wantEnd(t, from, syscall.ECONNRESET)
	})
}

func TestCut(t *testing.T) {
	in(t, func(t *testing.T) {
		n, l := network(t, simnet.Link{Delay: delay})
		from, to := connect(t, n, l)
		kept, keptTo := connect(t, n, l)
		mustWrite(t, from, "lost")
		first := true
		if cut := n.Cut("a", "b", func() bool { pick := first; first = false; return pick }); cut != 1 {
			t.Errorf("%d were cut", cut)
		}
		wantEnd(t, from, syscall.ECONNRESET)
		wantEnd(t, to, syscall.ECONNRESET)
		if _, err := from.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write: %v", err)
		}
		mustWrite(t, kept, "still here")
		wantRead(t, keptTo, "still here")
		if c := n.Connections("a", "b"); c != 1 {
			t.Errorf("%d connections left", c)
		}
	})
}

func TestCrash(t *testing.T) {
	in(t, func(t *testing.T) {
		n, l := network(t, simnet.Link{Delay: delay})
		from, to := connect(t, n, l)
		began := time.Now()
		n.Crash("b")
		wantEnd(t, to, syscall.ECONNRESET)
		wantEnd(t, from, syscall.ECONNRESET)
		if late := time.Since(began); late != delay {
			t.Errorf("the other side knew after %v", late)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v", err)
		}
		if _, err := n.Host("a").Dial(t.Context(), "tcp", "b:80"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial: %v", err)
		}
		if _, err := n.Host("b").Dial(t.Context(), "tcp", "a:80"); !errors.Is(err, syscall.ENETDOWN) {
			t.Errorf("dial from what is down: %v", err)
		}
		if _, err := n.Host("b").Listen(80); !errors.Is(err, syscall.ENETDOWN) {
			t.Errorf("listen: %v", err)
		}
		n.Revive("b")
		l, err := n.Host("b").Listen(80)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Host("b").Listen(80); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("listen twice: %v", err)
		}
		connect(t, n, l)
	})
}

// order is the order in which connections with jitter bring what was sent at once.
func order(t *testing.T, seed uint64) (got []string) {
	in(t, func(t *testing.T) {
		n := simnet.New(seed)
		n.SetLink("a", "b", simnet.Link{Delay: delay, Jitter: delay})
		l, err := n.Host("b").Listen(80)
		if err != nil {
			t.Fatal(err)
		}
		var conns []net.Conn
		var all sync.WaitGroup
		var mu sync.Mutex
		for range 20 {
			from, to := connect(t, n, l)
			conns = append(conns, from)
			all.Go(func() {
				b := make([]byte, 2)
				_, _ = io.ReadFull(to, b)
				mu.Lock()
				defer mu.Unlock()
				got = append(got, string(b))
			})
		}
		for i, c := range conns {
			mustWrite(t, c, fmt.Sprintf("%02d", i))
		}
		all.Wait()
	})
	return got
}

func TestConnectionsOvertakeEachOther(t *testing.T) {
	first := order(t, 1)
	if slices.IsSorted(first) {
		t.Error("all came in order")
	}
	if again := order(t, 1); !slices.Equal(first, again) {
		t.Errorf("the same seed gave %q and %q", first, again)
	}
	if other := order(t, 2); slices.Equal(first, other) {
		t.Error("another seed gave the same")
	}
}

func TestHTTP(t *testing.T) {
	in(t, func(t *testing.T) {
		n, l := network(t, simnet.Link{Delay: delay, Jitter: time.Millisecond})
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, r.Body)
		})}
		var served sync.WaitGroup
		served.Go(func() { _ = server.Serve(l) })
		transport := &http.Transport{DialContext: n.Host("a").Dial}
		for _, size := range []int{0, 1, 1 << 20} {
			want := bytes.Repeat([]byte("x"), size)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://b:80/", bytes.NewReader(want))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes came back as %d, %v", size, len(got), err)
			}
			_ = resp.Body.Close()
		}
		transport.CloseIdleConnections()
		_ = server.Close()
		served.Wait()
		time.Sleep(time.Second) // the server lingers over connections that it ends
	})
}

// The suite for implementations of net.Conn, in real time.
func TestConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		n, l := network(t, simnet.Link{})
		c1, c2 = connect(t, n, l)
		return c1, c2, func() { _, _, _ = c1.Close(), c2.Close(), l.Close() }, nil
	})
}

func TestRegions(t *testing.T) {
	all := simnet.Regions()
	if len(all) != 28 {
		t.Errorf("%d regions", len(all))
	}
	names := map[string]bool{}
	for _, r := range all {
		if r.RoundTrip < 10*time.Millisecond || r.RoundTrip > 280*time.Millisecond {
			t.Errorf("%s is %v away", r.Name, r.RoundTrip)
		}
		names[r.Name] = true
	}
	if len(names) != len(all) {
		t.Error("a region is named twice")
	}
}
