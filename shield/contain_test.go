package shield_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
	"weir/shield/shieldtest"
)

func TestPanicReachesEveryWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		g := closed(func(*http.Request) (*http.Response, error) { panic("boom") })
		s.origin.answer(g.handle)
		done := make(chan []result)
		go func() { done <- many(50, func(int) result { return s.get("/") }) }()
		synctest.Wait()
		close(g.open)
		for _, r := range <-done {
			if !errors.Is(r.err, shield.ErrPanic) {
				t.Errorf("error %v", r.err)
			}
		}
		synctest.Wait()
		s.origin.answer(always(200, "body", "Cache-Control", cacheable))
		s.get("/").want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
		s.close()
	})
}

func TestPanicsOfNeighbours(t *testing.T) {
	for _, op := range []string{"create", "write", "commit", "lookup"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				armed := true
				n := 0
				store := &shieldtest.Memory{Fault: func(o string, _ keying.Key, _ int64) error {
					if n++; armed && o == op && n > 1 { // the first look-up is the client's own
						panic("boom")
					}
					return nil
				}}
				s := start(t, options{store: store})
				r := s.get("/")
				if r.err == nil && r.body != "body" {
					t.Errorf("%+v", r)
				}
				synctest.Wait()
				armed = false
				s.get("/").want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
				s.close()
			})
		})
	}
}

// What a flight held when it panicked is given back; setup.close counts it.
func TestPanicWhileValidating(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		s.origin.answer(always(200, "body", "Etag", `"1"`, "Cache-Control", cacheable))
		s.get("/")
		time.Sleep(61 * time.Second)
		s.origin.answer(func(*http.Request) (*http.Response, error) { panic("boom") })
		if r := s.get("/"); !errors.Is(r.err, shield.ErrPanic) {
			t.Errorf("%+v", r)
		}
		s.close()
	})
}

// deaf ignores the cancellation of its requests.
type deaf struct{ until chan struct{} }

func (d deaf) RoundTrip(*http.Request) (*http.Response, error) {
	<-d.until
	return nil, errors.New("at last")
}

// A fetch that hangs and ignores its cancellation lets everybody go and frees its key.
func TestHungFetchLeavesTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung := deaf{make(chan struct{})}
		var s *setup
		var asked atomic.Bool
		s = start(t, options{shield: shield.Options{Transport: func(*policy.Origin, policy.Upstream) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				if asked.CompareAndSwap(false, true) {
					return hung.RoundTrip(r)
				}
				return s.origin.RoundTrip(r)
			})
		}}})
		began := time.Now()
		for _, r := range many(10, func(int) result { return s.get("/") }) {
			if !errors.Is(r.err, shield.ErrOriginTimeout) {
				t.Errorf("error %v", r.err)
			}
		}
		if took := time.Since(began); took > 40*time.Second {
			t.Errorf("waited for %s", took)
		}
		s.get("/").want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
		close(hung.until)
		synctest.Wait()
		s.get("/").want(t, "body", rfc9111.Hit, rfc9111.StatusOK)
		s.close()
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{shield: shield.Options{MaxFlights: 3, MaxFlightWaiters: 5, MaxWaiters: 8}})
		g := closed(always(200, "body", "Cache-Control", cacheable))
		s.origin.answer(g.handle)
		done := make(chan []result)
		// 5 fit into the first flight, 3 more into others, 1 is too many for all.
		go func() {
			done <- many(9, func(i int) result {
				if i < 6 {
					return s.get("/a")
				}
				return s.get("/" + number(i))
			})
		}()
		synctest.Wait()
		if st := s.shield.Stats(); st.Waiters > 8 || st.Flights > 3 {
			t.Errorf("%d waiters, %d flights", st.Waiters, st.Flights)
		}
		close(g.open)
		refused := 0
		for _, r := range <-done {
			if errors.Is(r.err, shield.ErrOverloaded) {
				refused++
			} else {
				r.want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
			}
		}
		if refused == 0 || refused > 4 {
			t.Errorf("%d refused", refused)
		}
		s.close()
	})
}

func TestCloseWaitsForFills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		body := feed()
		s.origin.answer(func(*http.Request) (*http.Response, error) {
			return respondWith(200, body.r, -1, "Cache-Control", cacheable), nil
		})
		ctx, leave := context.WithCancel(context.Background())
		go s.fetch(ctx, s.request("/"))
		synctest.Wait()
		leave()
		go func() {
			time.Sleep(5 * time.Second)
			_, _ = io.WriteString(body.w, strings.Repeat("x", 1000))
			_ = body.w.Close()
		}()
		s.close() // fails when it has to cut the fill off
		if s.store.Len() != 1 {
			t.Error("the fill was not completed")
		}
		if r := s.get("/"); !errors.Is(r.err, shield.ErrClosed) {
			t.Errorf("error %v after Close", r.err)
		}
		s.shield.Refresh(s.request("/"))
	})
}
