package api_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"weir/api"
)

// livingHits serves one connection of a hitWorld, in a bubble.
type livingHits struct {
	*hitWorld
	server *http.Server
	client net.Conn
	r      *bufio.Reader
}

func liveHits(t *testing.T) *livingHits {
	t.Helper()
	l := &livingHits{hitWorld: newHitWorld(t, true)}
	l.warm(get("/long"))
	l.warm(get("/"))
	inner, client := net.Pipe()
	l.client, l.r = client, bufio.NewReader(client)
	l.server = api.NewServer(l.door, nil)
	ln := newOnceThenClosed(inner, nil)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = l.server.Serve(api.Guard(ln, l.opts))
	}()
	t.Cleanup(func() {
		_ = client.Close()
		_ = l.server.Close()
		<-served
	})
	return l
}

// ask sends a request and reads the answer.
func (l *livingHits) ask(t *testing.T, in string) {
	t.Helper()
	send(t, l.client, in)
	if _, err := l.answer(t); err != nil {
		t.Fatal(err)
	}
}

func (l *livingHits) answer(t *testing.T) (*http.Response, error) {
	t.Helper()
	resp, err := http.ReadResponse(l.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp, errors.Join(err, resp.Body.Close())
}

func (l *livingHits) ends(t *testing.T) {
	t.Helper()
	if b, err := l.r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %q, %v", b, err)
	}
}

func TestIdleTimeBetweenHits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := liveHits(t)
		for range 5 {
			l.ask(t, get("/"))
			time.Sleep(50 * time.Second)
		}
		l.ask(t, get("/miss", "TE: trailers")) // and the server's own time afterwards
		time.Sleep(50 * time.Second)
		l.ask(t, get("/"))
		began := time.Now()
		l.ends(t)
		if waited := time.Since(began); waited < 50*time.Second || waited > time.Minute {
			t.Errorf("closed after %v", waited)
		}
	})
}

func TestAHeadAfterAHitIsTimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := liveHits(t)
		l.ask(t, get("/"))
		time.Sleep(30 * time.Second)
		send(t, l.client, "GET / HTTP/1.1\r\n")
		began := time.Now()
		l.ends(t)
		if waited := time.Since(began); waited != 5*time.Second {
			t.Errorf("closed after %v", waited)
		}
	})
}

// A head that came slowly leaves no deadline behind.
func TestASlowHeadOfAHit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := liveHits(t)
		l.ask(t, get("/"))
		send(t, l.client, "GET / HTTP/1.1\r\n")
		time.Sleep(4 * time.Second)
		l.ask(t, "Host: a.test\r\n\r\n")
		time.Sleep(50 * time.Second)
		l.ask(t, get("/"))
	})
}

func TestAClientThatDoesNotTakeAHit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := liveHits(t)
		send(t, l.client, get("/long"))
		time.Sleep(31 * time.Second)
		if _, err := l.r.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("%v, want the end", err)
		}
		if s := l.door.Stats(); s.Aborted != 1 {
			t.Errorf("%d aborted", s.Aborted)
		}
	})
}

func TestShutdownLetsAHitFinish(t *testing.T) {
	for _, first := range []string{"", get("/miss", "TE: trailers")} { // new to net/http, and idle
		synctest.Test(t, func(t *testing.T) {
			l := liveHits(t)
			if first != "" {
				l.ask(t, first)
			}
			send(t, l.client, get("/long"))
			synctest.Wait()
			if err := l.server.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			drained := make(chan error, 1)
			go func() { drained <- l.opts.Hits.Drain(t.Context()) }()
			synctest.Wait()
			select {
			case err := <-drained:
				t.Errorf("drained while a hit is being sent: %v", err)
			default:
			}
			if resp, err := l.answer(t); err != nil || resp.StatusCode != 200 {
				t.Errorf("%v, %v", resp.Status, err)
			}
			l.ends(t)
			if err := <-drained; err != nil {
				t.Error(err)
			}
			if err := l.opts.Hits.Drain(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestShutdownCutsAHitOffInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := liveHits(t)
		l.ask(t, get("/miss", "TE: trailers"))
		send(t, l.client, get("/long"))
		synctest.Wait()
		if err := l.server.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.opts.Hits.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if b, err := io.ReadAll(l.r); err != nil || len(b) > 1000 {
			t.Errorf("%d bytes, %v, want the end", len(b), err)
		}
	})
}

// From the moment that the listener closes on, requests are the server's, which says so.
func TestHitsEndWithTheListener(t *testing.T) {
	addr := ""
	w := newHitWorld(t, true)
	w.warm(get("/"))
	server := api.NewServer(w.door, nil)
	ln := &lateClose{listen(t)}
	guarded := api.Guard(ln, w.opts)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(guarded)
	}()
	addr = ln.Addr().String()
	conn := dial(t, addr)
	r := bufio.NewReader(conn)
	before := w.hits.Load()
	for i, in := range []string{get("/", "TE: trailers"), get("/"), get("/")} { // the server knows the connection by the first
		send(t, conn, in)
		if status, _ := readAnswer(t, r, "GET"); status != 200 {
			t.Fatal(status)
		}
		if i == 1 {
			_ = guarded.Close()
		}
	}
	if n := w.hits.Load() - before; n != 1 {
		t.Errorf("%d hits, want one", n)
	}
	_ = conn.Close()
	_ = ln.Listener.Close()
	_ = server.Close()
	<-ended
}

// lateClose is a listener that only seems to close.
type lateClose struct{ net.Listener }

func (*lateClose) Close() error { return nil }

// Hits are counted and logged like any request.
func TestHitsAreCounted(t *testing.T) {
	fast, slow := newHitWorld(t, true), newHitWorld(t, false)
	for _, c := range hitCases {
		if strings.HasPrefix(c.name, "half") || c.name == "nothing" {
			continue
		}
		same(t, fast, slow, c.in, 1<<20)
	}
	got, want := fast.door.Stats(), slow.door.Stats()
	if got.BytesSent != want.BytesSent || got.Aborted != want.Aborted || got.Active != 0 {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	for i := range max(len(got.Requests), len(want.Requests)) {
		if i >= len(got.Requests) || i >= len(want.Requests) || got.Requests[i] != want.Requests[i] {
			t.Fatalf("%+v\nwant %+v", got.Requests, want.Requests)
		}
	}
	for reason, n := range want.Reasons {
		if got.Reasons[reason] != n {
			t.Errorf("%s: %d, want %d", reason, got.Reasons[reason], n)
		}
	}
	for use, h := range want.Durations {
		if got.Durations[use].Total() != h.Total() {
			t.Errorf("%s: %d durations, want %d", use, got.Durations[use].Total(), h.Total())
		}
	}
	if got, want := fast.tier.Stats().Hits, slow.tier.Stats().Hits; got != want {
		t.Errorf("the tier counts %d hits, want %d", got, want)
	}
}

func TestHitsAreLogged(t *testing.T) {
	quick, gotLines := observer.New(zap.InfoLevel)
	usual, wantLines := observer.New(zap.InfoLevel)
	fast, slow := newLoggedHitWorld(t, true, zap.New(quick), nil), newLoggedHitWorld(t, false, zap.New(usual), nil)
	same(t, fast, slow, get("/products/42?a", browser...)+head1("/products/42?a")+get("/products/42?a", `If-None-Match: "v1"`), 1<<20)
	got, want := gotLines.All(), wantLines.All()
	if len(got) != 9 || len(want) != 9 {
		t.Fatalf("%d lines, want %d", len(got), len(want))
	}
	for i := range want {
		if g, w := got[i].ContextMap(), want[i].ContextMap(); got[i].Level != want[i].Level || !maps.Equal(g, w) {
			t.Errorf("%v\nwant %v", g, w)
		}
	}
}

// A server that ends does not wait for connections that have had hits alone.
func TestHitsDoNotHoldUpShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := liveHits(t)
		for range 3 {
			l.ask(t, get("/"))
		}
		synctest.Wait()
		began := time.Now()
		if err := l.server.Shutdown(t.Context()); err != nil || time.Since(began) > time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		if _, err := l.r.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("the connection: %v", err)
		}
	})
}

// A request that the server has is answered, whatever its connection had before.
func TestARequestAfterHitsOutlivesShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := liveHits(t)
		l.ask(t, get("/"))
		send(t, l.client, get("/miss"))
		synctest.Wait()
		down := make(chan error)
		go func() { down <- l.server.Shutdown(t.Context()) }()
		if resp, err := l.answer(t); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%+v, %v", resp, err)
		}
		if err := <-down; err != nil {
			t.Error(err)
		}
	})
}
