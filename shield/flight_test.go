package shield_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/keying"
	"weir/rfc9111"
	"weir/shield"
	"weir/shield/shieldtest"
)

// gate is an origin that answers when it is told to.
type gate struct {
	open chan struct{}
	then handler
}

func closed(then handler) *gate { return &gate{make(chan struct{}), then} }

func (g *gate) handle(r *http.Request) (*http.Response, error) {
	<-g.open
	return g.then(r)
}

func TestManyClientsOneRequest(t *testing.T) {
	const clients = 14_000
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		g := closed(always(200, "body", "Cache-Control", cacheable))
		s.origin.answer(g.handle)
		done := make(chan []result)
		go func() { done <- many(clients, func(int) result { return s.get("/") }) }()
		synctest.Wait()
		if st := s.shield.Stats(); st.Waiters != clients || st.Flights != 1 {
			t.Errorf("%d waiters, %d flights", st.Waiters, st.Flights)
		}
		close(g.open)
		leaders := 0
		for _, r := range <-done {
			r.want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
			if !r.decision.Collapsed {
				leaders++
			}
		}
		s.wantOrigin(1)
		if leaders != 1 {
			t.Errorf("%d leaders", leaders)
		}
		s.close()
	})
}

func TestManyKeys(t *testing.T) {
	const keys, each = 1000, 14
	s := start(t, options{})
	s.origin.answer(func(r *http.Request) (*http.Response, error) {
		return respond(200, r.URL.RequestURI(), "Cache-Control", cacheable), nil
	})
	for i, r := range many(keys*each, func(i int) result { return s.get("/" + number(i%keys)) }) {
		if r.err != nil || r.body != "/"+number(i%keys) {
			t.Fatalf("client %d got %q, %v", i, r.body, r.err)
		}
	}
	s.wantOrigin(keys)
}

func TestStaleUnderManyClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{policy: stalePolicy})
		s.get("/")
		time.Sleep(61 * time.Second)
		g := closed(always(200, "new"))
		s.origin.answer(g.handle)
		// Nobody waits: all have their answer while the origin is closed.
		for _, r := range many(14_000, func(int) result { return s.get("/") }) {
			r.want(t, "body", rfc9111.Stale, rfc9111.StatusOK)
		}
		synctest.Wait()
		s.wantOrigin(2)
		close(g.open)
		synctest.Wait()
		s.get("/").want(t, "new", rfc9111.Hit, rfc9111.StatusOK)
		s.close()
	})
}

// Followers of an uncacheable answer are let go when its headers come, all at
// once; and when the key is known nobody waits at all.
func TestUncacheableUnderManyClients(t *testing.T) {
	const clients, trip = 200, time.Second
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			time.Sleep(trip)
			return respond(200, r.Header.Get("Cookie"), "Cache-Control", "private"), nil
		})
		round := func() time.Duration {
			began := time.Now()
			for i, r := range many(clients, func(i int) result { return s.get("/", "Cookie", number(i)) }) {
				r.want(t, number(i), rfc9111.Miss, rfc9111.StatusPrivate)
				if r.decision.Collapsed {
					t.Errorf("client %d shared an answer", i)
				}
			}
			return time.Since(began)
		}
		if took := round(); took != 2*trip {
			t.Errorf("cold took %s", took)
		}
		if took := round(); took != trip {
			t.Errorf("known as uncacheable took %s", took)
		}
		s.wantOrigin(2 * clients)
		s.close()
	})
}

func TestFollowersOfStreamThatIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		first, n := feed(), 0
		s.origin.answer(func(*http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			if n++; n == 1 {
				return respondWith(200, first.r, -1, "Content-Type", "text/event-stream"), nil
			}
			return respond(200, "own", "Cache-Control", "no-store"), nil
		})
		leader, err := make(chan *rfc9111.Answer, 1), error(nil)
		go func() {
			ans, e := s.shield.Fetch(context.Background(), s.request("/"))
			err = e
			leader <- ans
		}()
		synctest.Wait()
		follower := s.get("/") // returns although the leader's stream goes on
		follower.want(t, "own", rfc9111.Miss, rfc9111.StatusNoMaxAge)
		ans := <-leader
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 10)
		for _, event := range []string{"one", "two"} {
			go func() { _, _ = io.WriteString(first.w, event) }()
			if n, err := ans.Body.Read(p); string(p[:n]) != event || err != nil {
				t.Errorf("read %q, %v", p[:n], err)
			}
			time.Sleep(10 * time.Minute) // event streams may be silent
		}
		if err := ans.Body.Close(); err != nil {
			t.Error(err)
		}
		if _, err := first.w.Write([]byte("x")); err == nil {
			t.Error("the origin's stream outlives its only reader")
		}
		s.close()
	})
}

// The leader leaves: those who wait with it get the response all the same, and
// so does the cache when nobody is left.
func TestLeaderLeaves(t *testing.T) {
	for _, followers := range []int{0, 3} {
		t.Run(fmt.Sprint(followers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, options{})
				g := closed(always(200, "body", "Cache-Control", cacheable))
				s.origin.answer(g.handle)
				ctx, leave := context.WithCancel(context.Background())
				left := make(chan result)
				go func() { left <- s.fetch(ctx, s.request("/")) }()
				synctest.Wait()
				done := make(chan []result)
				go func() { done <- many(followers, func(int) result { return s.get("/") }) }()
				synctest.Wait()
				leave()
				if r := <-left; !errors.Is(r.err, context.Canceled) {
					t.Errorf("error %v", r.err)
				}
				close(g.open)
				for _, r := range <-done {
					r.want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
				}
				synctest.Wait()
				s.get("/").want(t, "body", rfc9111.Hit, rfc9111.StatusOK)
				s.wantOrigin(1)
				s.close()
			})
		})
	}
}

// The leader leaves before an uncacheable answer comes: nobody else gets it, and
// it is not read.
func TestLeaderOfUncacheableLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		body := feed()
		g := closed(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Cookie") == "leader" {
				return respondWith(200, body.r, -1, "Cache-Control", "private"), nil
			}
			return respond(200, "own", "Cache-Control", "private"), nil
		})
		s.origin.answer(g.handle)
		ctx, leave := context.WithCancel(context.Background())
		go s.fetch(ctx, s.request("/", "Cookie", "leader"))
		synctest.Wait()
		done := make(chan result)
		go func() { done <- s.get("/", "Cookie", "follower") }()
		synctest.Wait()
		leave()
		synctest.Wait()
		close(g.open)
		r := <-done
		r.want(t, "own", rfc9111.Miss, rfc9111.StatusPrivate)
		synctest.Wait()
		if _, err := body.w.Write([]byte("x")); err == nil {
			t.Error("a stream that nobody wants is kept open")
		}
		s.close()
	})
}

// Nothing is stored. The last reader leaves, which ends the fetch, and a newcomer
// gets a fetch of its own instead of the cancellation.
func TestLastLeavesAndNewcomerJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{noStore: true, shield: shield.Options{MemoryObject: 1000}})
		body := string(shieldtest.Body(1, 100_000)) // too long for the listener
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			f := feed()
			go func() { // honours the cancellation, like a connection
				_, err := io.WriteString(f.w, body)
				f.w.CloseWithError(err)
			}()
			context.AfterFunc(r.Context(), func() { f.r.CloseWithError(context.Cause(r.Context())) })
			return respondWith(200, f.r, int64(len(body)), "Cache-Control", cacheable), nil
		})
		for i := range 100 {
			first, err := s.shield.Fetch(context.Background(), s.request("/"))
			if err != nil {
				t.Fatal(err)
			}
			second := make(chan result)
			go func() { second <- s.get("/") }()
			if i%2 == 0 {
				synctest.Wait() // the newcomer has joined
			}
			if err := first.Body.Close(); err != nil {
				t.Fatal(err)
			}
			(<-second).want(t, body, rfc9111.Miss, rfc9111.StatusOK)
			synctest.Wait()
		}
		s.close()
	})
}

// All tiers have a fill before its readers have its last byte, and before its
// flight leaves the table: whoever asks again is answered from a cache.
func TestVisibleBeforeRelease(t *testing.T) {
	for _, length := range []int64{4, -1} {
		synctest.Test(t, func(t *testing.T) {
			store := &shieldtest.Memory{}
			s := start(t, options{store: store})
			s.origin.answer(func(*http.Request) (*http.Response, error) {
				return respondWith(200, strings.NewReader("body"), length, "Cache-Control", cacheable), nil
			})
			stall := make(chan struct{})
			s.memory.onFill = func() { <-stall }
			done := make(chan result)
			go func() { done <- s.get("/") }()
			synctest.Wait()
			if n := s.shield.Stats().Flights; n != 1 {
				t.Errorf("%d flights while the listener is told", n)
			}
			if store.Len() != 1 {
				t.Error("not stored before the listener is told")
			}
			select {
			case r := <-done:
				t.Errorf("a client has its whole response already: %+v", r)
			default:
			}
			close(stall)
			r := <-done
			r.want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
			s.get("/").want(t, "body", rfc9111.Hit, rfc9111.StatusOK)
			s.wantOrigin(1)
			s.close()
		})
	}
}

// The second look into the store, inside the flight.
func TestSecondLook(t *testing.T) {
	store := &shieldtest.Memory{}
	s := start(t, options{store: store})
	s.get("/")
	looks := 0
	store.Fault = func(op string, _ keying.Key, _ int64) error {
		if op == "lookup" {
			if looks++; looks == 1 {
				return errors.New("as if another flight had not stored it yet")
			}
		}
		return nil
	}
	s.get("/").want(t, "body", rfc9111.Hit, rfc9111.StatusOK)
	s.wantOrigin(1)
}

func TestVariants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return respond(200, r.Header.Get("Accept-Language"), "Cache-Control", cacheable, "Vary", "Accept-Language"), nil
		})
		const languages = 14
		round := func(use rfc9111.Use) {
			for i, r := range many(1000, func(i int) result { return s.get("/", "Accept-Language", number(i%languages)) }) {
				r.want(t, number(i%languages), use, rfc9111.StatusOK)
			}
			s.wantOrigin(languages)
		}
		round(rfc9111.Miss)
		round(rfc9111.Hit)
		r := s.get("/", "Accept-Language", "other")
		r.want(t, "other", rfc9111.Miss, rfc9111.StatusOK)
		if r.decision.Forward != rfc9111.ForwardVary {
			t.Errorf("decision %+v", r.decision)
		}
		s.close()
	})
}

func TestTooManyVariantsGoAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{shield: shield.Options{MaxVariants: 3}})
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return respond(200, r.Header.Get("Accept-Language"), "Cache-Control", cacheable, "Vary", "Accept-Language"), nil
		})
		for i, r := range many(20, func(i int) result { return s.get("/", "Accept-Language", number(i)) }) {
			if r.err != nil || r.body != number(i) {
				t.Errorf("client %d got %q, %v", i, r.body, r.err)
			}
		}
		s.close()
	})
}

// Authorization waits for nobody, and its answers are shared only when the origin
// says so.
func TestAuthorization(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		control := "max-age=60"
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return respond(200, "for "+r.Header.Get("Authorization"), "Cache-Control", control), nil
		})
		began := time.Now()
		for i, r := range many(20, func(i int) result { return s.get("/", "Authorization", number(i)) }) {
			r.want(t, "for "+number(i), rfc9111.Miss, rfc9111.StatusPrivate)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %s", took)
		}
		if n := s.shield.Stats().Uncacheable; n != 0 {
			t.Error("private by Authorization was remembered for everyone")
		}
		s.get("/").want(t, "for ", rfc9111.Miss, rfc9111.StatusOK)

		control = "public, max-age=60"
		s.get("/pub", "Authorization", "a").want(t, "for a", rfc9111.Miss, rfc9111.StatusOK)
		s.get("/pub", "Authorization", "b").want(t, "for a", rfc9111.Hit, rfc9111.StatusOK)
		s.close()
	})
}

// Of two that fetch the same alone one stores it, and the other passes on what it got: with
// its Age, RFC 9111 5.1.
func TestPassedOnBesideAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			body := feed()
			go func() {
				time.Sleep(time.Second)
				_, _ = io.WriteString(body.w, "body") // both are read to their ends
				_ = body.w.Close()
			}()
			return respondWith(200, body.r, 4, "Cache-Control", "public, max-age=600", "Age", "7"), nil
		})
		passed := 0
		for _, r := range many(2, func(i int) result { return s.get("/", "Authorization", number(i)) }) {
			if r.decision.Status == rfc9111.StatusPass {
				passed++
				r.want(t, "body", rfc9111.Miss, rfc9111.StatusPass)
				if age := r.header.Get("Age"); age != "7" {
					t.Errorf("passed on with Age %q", age)
				}
			}
		}
		if passed != 1 {
			t.Errorf("%d passed on, want 1", passed)
		}
		s.close()
	})
}

// A response that says no-cache is stored, and each use is validated.
func TestNoCacheIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			if r.Header.Get("If-None-Match") != "" {
				return respondWith(304, http.NoBody, 0, "Etag", `"1"`), nil
			}
			return respond(200, "body", "Cache-Control", "no-cache, max-age=60", "Etag", `"1"`), nil
		})
		for range 2 {
			for _, r := range many(5, func(int) result { return s.get("/") }) {
				r.want(t, "body", rfc9111.Miss, r.decision.Status)
				if r.decision.Collapsed {
					t.Error("shared without a validation")
				}
			}
		}
		s.wantOrigin(10)
		s.close()
	})
}

// Where a stored page is refreshed, those without Authorization do not wait for somebody's
// own answer: they have a flight of their own.
func TestAuthorizationLeadsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		asked := map[bool]int{}
		var mu sync.Mutex
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			own := r.Header.Get("Authorization")
			mu.Lock()
			asked[own != ""]++
			mu.Unlock()
			time.Sleep(time.Second)
			return respond(200, "for "+own, "Cache-Control", "max-age=60"), nil
		})
		s.get("/").want(t, "for ", rfc9111.Miss, rfc9111.StatusOK)
		time.Sleep(2 * time.Minute)
		for i, r := range many(20, func(i int) result {
			if i == 0 {
				return s.get("/", "Authorization", "x")
			}
			time.Sleep(time.Millisecond)
			return s.get("/")
		}) {
			want := "for "
			if i == 0 {
				want = "for x"
			}
			if r.err != nil || r.body != want {
				t.Errorf("client %d got %q, %v", i, r.body, r.err)
			}
		}
		if asked[true] != 1 || asked[false] != 2 {
			t.Errorf("asked with Authorization and without: %v", asked)
		}
		s.close()
	})
}

// A refresh that somebody with Authorization begins is one for everybody.
func TestAuthorizationRefreshesForAll(t *testing.T) {
	for _, fresh := range []bool{false, true} { // as an edge's refresh, as the node's own
		synctest.Test(t, func(t *testing.T) {
			s := start(t, options{})
			version := "1"
			s.origin.answer(func(r *http.Request) (*http.Response, error) {
				return respond(200, version+r.Header.Get("Authorization"), "Cache-Control", "max-age=60, stale-while-revalidate=600"), nil
			})
			s.get("/").want(t, "1", rfc9111.Miss, rfc9111.StatusOK)
			time.Sleep(2 * time.Minute)
			version = "2"
			req := s.request("/", "Authorization", "x")
			req.MustBeFresh = fresh
			r := s.fetch(t.Context(), req)
			if want := map[bool]string{false: "1", true: "2"}[fresh]; r.body != want {
				t.Errorf("got %q, want %q", r.body, want)
			}
			synctest.Wait()
			s.get("/").want(t, "2", rfc9111.Hit, rfc9111.StatusOK)
			s.close()
		})
	}
}
