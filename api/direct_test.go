package api_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/api"
	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

// directly serves one connection as a node does, in a bubble. What s answers never goes through net/http.
type directly struct {
	server *http.Server
	hits   *api.Hits
	client net.Conn
	r      *bufio.Reader
}

func serveDirectly(t *testing.T, s *tier) *directly {
	t.Helper()
	d := newDoor(t, s, "", api.DoorOptions{})
	inner, client := net.Pipe()
	l := &directly{hits: api.NewHits(d, empty{}), client: client, r: bufio.NewReader(client)}
	// What the server would see must have a field that keeps it from being plain.
	l.server = api.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Te") == "" {
			t.Errorf("the server got %s %s", r.Method, r.RequestURI)
		}
		d.ServeHTTP(w, r)
	}), nil)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = l.server.Serve(api.Guard(newOnceThenClosed(inner, nil), api.GuardOptions{Region: "fra", Hits: l.hits}))
	}()
	t.Cleanup(func() {
		_ = client.Close()
		_ = l.server.Close()
		<-served
	})
	return l
}

func (l *directly) answer(t *testing.T) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(l.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp, bodyOf(t, resp)
}

// lasting answers with the target after a time, unless it is not waited for.
func lasting(after time.Duration, left *error) *tier {
	return &tier{fetch: func(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
		select {
		case <-time.After(after):
			return stored(req.Target), nil
		case <-ctx.Done():
			*left = ctx.Err()
			return nil, ctx.Err()
		}
	}}
}

// What a client sends while it waits, at once or bit by bit, is its next request.
func TestNextRequestWhileOneIsAnswered(t *testing.T) {
	for _, first := range []int{0, 1, 5, len(get("/b"))} {
		for _, wait := range []time.Duration{0, time.Millisecond, time.Minute} {
			synctest.Test(t, func(t *testing.T) {
				var left error
				l := serveDirectly(t, lasting(wait, &left))
				began := time.Now()
				go func() {
					send(t, l.client, get("/a"))
					time.Sleep(wait / 2)
					send(t, l.client, get("/b")[:first])
					time.Sleep(time.Until(began.Add(wait + time.Second))) // a head may take five
					send(t, l.client, get("/b")[first:]+get("/c"))
				}()
				for _, want := range []string{"/a", "/b", "/c"} {
					if resp, body := l.answer(t); resp.StatusCode != 200 || body != want || left != nil {
						t.Errorf("%d bytes ahead, %v: %d %q, want %q; %v", first, wait, resp.StatusCode, body, want, left)
					}
				}
			})
		}
	}
}

func TestAClientThatLeavesIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left error
		l := serveDirectly(t, lasting(time.Minute, &left))
		send(t, l.client, get("/"))
		_ = l.client.Close()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if !errors.Is(left, context.Canceled) {
			t.Errorf("after three seconds: %v", left)
		}
	})
}

// Whoever has to do with a request is told when it is over, unless its answer came whole. No other
// request is told.
func TestRequestsOfOneConnectionEndByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var of []context.Context
		l := serveDirectly(t, &tier{fetch: func(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
			of = append(of, ctx)
			if err := ctx.Err(); err != nil {
				t.Errorf("%s begins with %v", req.Target, err)
			}
			switch req.Target {
			case "/live":
				return streamed(&inPieces{pieces: []string{"a"}, end: whole}, -1), nil
			case "/error":
				return nil, shield.ErrOriginTimeout
			case "/slow":
				time.Sleep(time.Second)
			}
			return stored("body"), nil
		}})
		targets := []string{"/", "/live", "/slow", "/error", "/", "/error", "/live", "/"}
		for _, target := range targets {
			send(t, l.client, get(target))
			l.answer(t)
		}
		synctest.Wait()
		for i, ctx := range of {
			if over := targets[i] == "/live" || targets[i] == "/error"; over && ctx.Err() == nil {
				t.Errorf("%d, %s: its context lives", i, targets[i])
			}
		}
		if last := of[len(of)-1]; last.Err() != nil {
			t.Error(last.Err())
		}
	})
}

// Nobody takes the answer, which is there before it is noticed.
func TestAnAnswerForAClientThatHasLeft(t *testing.T) {
	for _, wait := range []time.Duration{0, 5 * time.Millisecond, 39 * time.Millisecond, 41 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			var left error
			l := serveDirectly(t, lasting(wait, &left))
			send(t, l.client, get("/"))
			_ = l.client.Close()
			time.Sleep(time.Second)
			synctest.Wait()
			if left != nil {
				t.Errorf("%v: %v", wait, left)
			}
		})
	}
}

// An answer that takes longer than a head may is none the worse, and the connection has its
// whole idle time after it.
func TestDeadlinesAroundASlowAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left error
		l := serveDirectly(t, lasting(2*time.Minute, &left))
		for range 3 {
			send(t, l.client, get("/"))
			if resp, _ := l.answer(t); resp.StatusCode != 200 || left != nil {
				t.Fatalf("%d, %v", resp.StatusCode, left)
			}
			time.Sleep(50 * time.Second)
		}
		began := time.Now()
		if _, err := l.r.ReadByte(); !errors.Is(err, io.EOF) || time.Since(began) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// Shutdown closes connections that net/http takes for idle, Drain waits for what is answered on them.
func TestDrainLetsAnAnswerFinish(t *testing.T) {
	for _, known := range []bool{false, true} { // to net/http
		synctest.Test(t, func(t *testing.T) {
			var left error
			l := serveDirectly(t, lasting(time.Minute, &left))
			if known {
				send(t, l.client, get("/", "TE: trailers"))
				l.answer(t)
			}
			send(t, l.client, get("/"))
			time.Sleep(10 * time.Second)
			drained := make(chan error, 1)
			go func() { drained <- errors.Join(l.server.Shutdown(t.Context()), l.hits.Drain(t.Context())) }()
			if resp, body := l.answer(t); body != "/" || !resp.Close || left != nil {
				t.Errorf("%q, %v, %v", body, resp.Header, left)
			}
			if _, err := l.r.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("%v, want the end", err)
			}
			if err := <-drained; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDrainCutsAnAnswerOffInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left error
		l := serveDirectly(t, lasting(time.Hour, &left))
		send(t, l.client, get("/"))
		time.Sleep(10 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := errors.Join(l.server.Shutdown(ctx), l.hits.Drain(ctx)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if b, err := io.ReadAll(l.r); err != nil || len(b) > 0 {
			t.Errorf("%q, %v, want the end", b, err)
		}
		synctest.Wait()
		if !errors.Is(left, context.Canceled) {
			t.Errorf("whoever works on it is told %v", left)
		}
	})
}

func TestAClientThatDoesNotTakeItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := serveDirectly(t, always(func() *rfc9111.Answer { return stored(strings.Repeat("x", 1<<20)) }))
		send(t, l.client, get("/"))
		time.Sleep(31 * time.Second)
		if _, err := l.r.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("%v, want the end", err)
		}
	})
}

// What the door and a connection need for a request that memory has no answer to.
func TestDirectAllocations(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // or it empties the pools
	ans := stored(strings.Repeat("x", 1024), "Content-Type: image/png", "Cache-Control: max-age=60")
	s := always(func() *rfc9111.Answer { a := *ans; return &a })
	opts := api.GuardOptions{Hits: api.NewHits(newDoor(t, s, "", api.DoorOptions{}), empty{})}
	p := make([]byte, 4096)
	read := func(requests int) float64 {
		return testing.AllocsPerRun(10, func() {
			guarded, err := api.Guard(once{&endless{request: []byte(get("/page?a=b", browser...)), left: requests}}, opts).Accept()
			if err != nil {
				t.Fatal(err)
			}
			_, _ = guarded.Read(p) // until the client has nothing more to say
		})
	}
	each := (read(1001) - read(1)) / 1000
	t.Logf("%.1f allocations a request", each)
	if each > 14 && !forgetful {
		t.Errorf("%.1f allocations a request, at most 14 are expected", each)
	}
}
