package shield_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/rfc9111"
	"weir/shield"
)

// numbered answers with the number of the request.
func numbered(fields ...string) handler {
	var mu sync.Mutex
	n := 0
	return func(*http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		n++
		return respond(200, number(n), fields...), nil
	}
}

func (s *setup) purge(target string) {
	s.t.Helper()
	if _, err := s.purges.Add(shield.URLRule(s.request(target).Keyed.Key.Base())); err != nil {
		s.t.Fatal(err)
	}
}

func TestPurgeOfStored(t *testing.T) {
	s := start(t, options{})
	s.origin.answer(numbered("Cache-Control", cacheable))
	s.get("/a").want(t, "1", rfc9111.Miss, rfc9111.StatusOK)
	s.get("/b").want(t, "2", rfc9111.Miss, rfc9111.StatusOK)
	s.purge("/a")
	s.get("/a").want(t, "3", rfc9111.Miss, rfc9111.StatusOK)
	s.get("/a").want(t, "3", rfc9111.Hit, rfc9111.StatusOK)
	s.get("/b").want(t, "2", rfc9111.Hit, rfc9111.StatusOK)
}

// A purge comes while a flight waits for its headers, or while its body streams:
// who was there before gets the response, who comes after does not, and it is not
// stored.
func TestPurgeDuringFill(t *testing.T) {
	for _, streaming := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, options{})
			f, release := feed(), make(chan struct{})
			s.origin.answer(func(*http.Request) (*http.Response, error) {
				if !streaming {
					<-release
				}
				return respondWith(200, f.r, -1, "Cache-Control", cacheable), nil
			})
			before := make(chan []result)
			go func() { before <- many(3, func(int) result { return s.get("/") }) }()
			synctest.Wait()
			s.purge("/")
			later := feed() // both are under way at the same time
			s.origin.answer(func(*http.Request) (*http.Response, error) {
				return respondWith(200, later.r, -1, "Cache-Control", cacheable), nil
			})
			after := make(chan result)
			go func() { after <- s.get("/") }()
			synctest.Wait()
			close(release)
			synctest.Wait()
			_, _ = later.w.Write([]byte("new"))
			_ = later.w.Close()
			(<-after).want(t, "new", rfc9111.Miss, rfc9111.StatusOK)
			go func() {
				_, _ = f.w.Write([]byte("old"))
				_ = f.w.Close()
			}()
			for _, r := range <-before {
				r.want(t, "old", rfc9111.Miss, rfc9111.StatusOK)
			}
			synctest.Wait()
			s.get("/").want(t, "new", rfc9111.Hit, rfc9111.StatusOK)
			s.wantOrigin(2)
			if string(s.memory.filled[s.request("/").Keyed.Key.Bytes()]) != "new" {
				t.Error("the listener was given the old body last")
			}
			s.close()
		})
	}
}

// A purge comes while a stored response is validated: the 304 cannot undo it.
func TestPurgeDuringValidation(t *testing.T) {
	for _, refresh := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			src := plainPolicy
			if refresh {
				src = stalePolicy
			}
			s := start(t, options{policy: src})
			s.origin.answer(always(200, "old", "Etag", `"1"`, "Cache-Control", cacheable))
			s.get("/")
			time.Sleep(61 * time.Second)
			g := closed(func(*http.Request) (*http.Response, error) {
				return respondWith(304, http.NoBody, 0, "Etag", `"1"`, "Cache-Control", cacheable), nil
			})
			s.origin.answer(g.handle)
			before := make(chan result)
			go func() { before <- s.get("/") }()
			synctest.Wait()
			s.purge("/")
			close(g.open)
			if r := <-before; r.body != "old" {
				t.Errorf("%+v", r)
			}
			synctest.Wait()
			s.origin.answer(always(200, "new", "Cache-Control", cacheable))
			s.get("/").want(t, "new", rfc9111.Miss, rfc9111.StatusOK)
			if s.origin.last().Header.Get("If-None-Match") != "" {
				t.Error("asked conditionally for what was purged")
			}
			s.close()
		})
	}
}

// A purged object is not served because the origin fails, either.
func TestPurgedIsNotServedOnError(t *testing.T) {
	s := start(t, options{policy: stalePolicy})
	s.get("/")
	s.purge("/")
	s.origin.answer(refused)
	if r := s.get("/"); !errors.Is(r.err, shield.ErrOriginUnreachable) {
		t.Errorf("%+v", r)
	}
}

func TestUnsafeMethodsInvalidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		target string
		answer handler
		gone   []string
	}{
		{"POST", "POST /a", always(200, ""), []string{"/a"}},
		{"DELETE", "DELETE /a", always(204, ""), []string{"/a"}},
		{"POST with locations", "POST /x", always(201, "", "Location", "/a", "Content-Location", "http://example.com/b?page=1"), []string{"/a", "/b?page=1"}},
		{"location elsewhere", "POST /x", always(201, "", "Location", "http://other.test/a"), nil},
		{"failed", "POST /a", always(500, ""), nil},
		{"refused", "POST /a", always(403, ""), nil},
		{"safe", "OPTIONS /a", always(200, ""), nil},
		{"parameters that the key drops", "POST /b?page=1&utm=2", always(200, ""), []string{"/b?page=1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, options{policy: `{"origins": {"o": {"url": "http://origin.test"}}, "defaults": {"origin": "o"}, "routes": [
				{"name": "b", "match": {"path": "/b"}, "key": {"excludeAllQueryParametersExcept": ["page"]}}]}`})
			targets := []string{"/a", "/b?page=1", "/c"}
			for _, target := range targets {
				s.get(target)
			}
			s.origin.answer(c.answer)
			if r := s.get(c.target); r.err != nil {
				t.Fatal(r.err)
			}
			s.origin.answer(always(200, "new", "Cache-Control", cacheable))
			var gone []string
			for _, target := range targets {
				if s.get(target).body == "new" {
					gone = append(gone, target)
				}
			}
			if len(gone) != len(c.gone) || len(gone) > 0 && gone[0] != c.gone[0] {
				t.Errorf("invalidated %v, want %v", gone, c.gone)
			}
		})
	}
}

func TestRoutesThatStoreNothingNeedNoRules(t *testing.T) {
	s := start(t, options{policy: `{"origins": {"o": {"url": "http://origin.test"}}, "defaults": {"origin": "o"},
		"routes": [{"name": "admin", "match": {"path": "/admin/*"}, "edge": false}]}`})
	s.get("POST /admin/x")
	if n := s.shield.Stats().Rules; n != 0 {
		t.Errorf("%d rules", n)
	}
}

// Which route stored a page can depend on more than its URL, and each route can
// have a query rule of its own.
func TestUnsafeMethodsReachEveryRouteOfAURL(t *testing.T) {
	s := start(t, options{policy: `{"origins": {"o": {"url": "http://origin.test"}}, "defaults": {"origin": "o"},
		"routes": [
			{"name": "beta", "match": {"path": "/bi", "cookies": {"beta": "1"}}, "key": {"excludeAllQueryParameters": true}},
			{"name": "plain", "match": {"path": "/bi"}, "key": {"excludeQueryParameters": ["utm"]}}]}`})
	s.origin.answer(always(200, "old", "Cache-Control", "max-age=600"))
	pages := func() [2]string {
		return [2]string{s.get("/bi?x=1", "Cookie", "beta=1").body, s.get("/bi?x=1&utm=mail").body}
	}
	if got, want := pages(), [2]string{"old", "old"}; got != want {
		t.Fatalf("%q, want %q", got, want)
	}
	s.get("POST /bi?x=1")
	s.origin.answer(always(200, "new", "Cache-Control", "max-age=600"))
	if got, want := pages(), [2]string{"new", "new"}; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Answers to methods that a route names are stored for a URL, too.
func TestUnsafeMethodsReachWhatOtherMethodsStored(t *testing.T) {
	s := start(t, options{policy: `{"origins": {"o": {"url": "http://origin.test"}}, "defaults": {"origin": "o"}, "routes": [
		{"name": "search", "match": {"path": "/s", "methods": ["QUERY", "POST"]}, "key": {"excludeAllQueryParameters": true}},
		{"name": "api", "match": {"path": "/g", "methods": ["POST"]}, "graphql": true}]}`})
	s.origin.answer(always(200, "old", "Cache-Control", "max-age=600"))
	pages := func() string {
		return strings.Join([]string{s.get("QUERY /s?x=1").body, s.get("POST /s").body, s.get("POST /g").body, s.get("POST /g?x=2").body}, " ")
	}
	if got := pages(); got != "old old old old" {
		t.Fatal(got)
	}
	s.get("PUT /s?x=2")
	mutation := s.request("POST /g?x=1")
	mutation.Bypass = rfc9111.StatusPass // as the door says of it
	s.fetch(t.Context(), mutation)
	s.origin.answer(always(200, "new", "Cache-Control", "max-age=600"))
	if got := pages(); got != "new new new new" {
		t.Error(got)
	}
}

// slowLog acknowledges when it is told to.
type slowLog struct {
	memoryLog
	ack chan error
}

func (l *slowLog) Append(epoch uint64, rule []byte) error {
	if rule[0] == 'a' || rule[0] == 'y' || rule[0] == 'i' {
		return nil // of a new log
	}
	if err := <-l.ack; err != nil {
		return err
	}
	return l.memoryLog.Append(epoch, rule)
}

// An invalidation is durable before the client of the unsafe request hears of its
// success, and in force before that.
func TestInvalidationIsDurableFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &slowLog{ack: make(chan error)}
		s := start(t, options{log: log})
		s.origin.answer(numbered("Cache-Control", cacheable))
		s.get("/")
		done := make(chan result, 1)
		go func() { done <- s.get("POST /") }()
		synctest.Wait()
		select {
		case <-done:
			t.Error("answered before the rule was durable")
		default:
		}
		// In between: not from the cache, and not stored under an epoch that could be lost.
		s.get("/").want(t, "3", rfc9111.Miss, rfc9111.StatusOK)
		s.get("/").want(t, "4", rfc9111.Miss, rfc9111.StatusOK)
		log.ack <- nil
		if r := <-done; r.err != nil {
			t.Error(r.err)
		}
		s.get("/").want(t, "5", rfc9111.Miss, rfc9111.StatusOK)
		s.get("/").want(t, "5", rfc9111.Hit, rfc9111.StatusOK)
		s.close()
	})
}

func TestInvalidationThatCannotBeLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &slowLog{ack: make(chan error, 1)}
		s := start(t, options{log: log})
		s.origin.answer(numbered("Cache-Control", cacheable))
		s.get("/")
		log.ack <- errors.New("disk full")
		if r := s.get("POST /"); r.err != nil {
			t.Errorf("the origin's answer was lost: %v", r.err)
		}
		if len(s.reports) != 1 || !errors.Is(s.reports[0], shield.ErrLog) {
			t.Errorf("reports %v", s.reports)
		}
		s.get("/").want(t, "3", rfc9111.Miss, rfc9111.StatusOK)
		s.close()
	})
}

// A restart: the rules are replayed, and what was stored before them stays purged.
func TestPurgesSurviveRestart(t *testing.T) {
	log := new(memoryLog)
	s := start(t, options{log: log})
	s.origin.answer(numbered("Cache-Control", cacheable))
	for _, target := range []string{"/a", "/b"} {
		s.get(target)
	}
	s.purge("/a")
	s.close()
	after := start(t, options{log: log, store: s.store})
	after.origin.answer(always(200, "new", "Cache-Control", cacheable))
	after.get("/a").want(t, "new", rfc9111.Miss, rfc9111.StatusOK)
	after.get("/b").want(t, "2", rfc9111.Hit, rfc9111.StatusOK)
	after.close()

	// The log is lost: what it could have said something about is not reused.
	lost := start(t, options{store: s.store})
	lost.get("/a").want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
	lost.get("/b").want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
}

func TestRefreshAfterFailurePauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{policy: stalePolicy})
		s.get("/")
		time.Sleep(61 * time.Second)
		s.origin.answer(refused)
		for range 100 {
			s.get("/").want(t, "body", rfc9111.Stale, rfc9111.StatusOK)
			time.Sleep(100 * time.Millisecond)
		}
		if n := s.origin.count(); n < 5 || n > 12 {
			t.Errorf("%d origin requests in 10 s", n)
		}
		s.close()
	})
}

func TestRefreshesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{policy: stalePolicy, shield: shield.Options{MaxRefreshes: 3}})
		for i := range 10 {
			s.get("/" + number(i))
		}
		time.Sleep(61 * time.Second)
		g := closed(always(200, "new"))
		s.origin.answer(g.handle)
		for i := range 10 {
			s.get("/"+number(i)).want(t, "body", rfc9111.Stale, rfc9111.StatusOK)
		}
		synctest.Wait()
		s.wantOrigin(13)
		close(g.open)
		s.close()
	})
}

func TestRefreshOfHeadGets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{policy: stalePolicy})
		s.get("/")
		time.Sleep(61 * time.Second)
		if r := s.get("HEAD /"); r.decision.Use != rfc9111.Stale {
			t.Errorf("%+v", r.decision)
		}
		synctest.Wait()
		if m := s.origin.last().Method; m != http.MethodGet {
			t.Errorf("refreshed with %s", m)
		}
		s.get("/").want(t, "body", rfc9111.Hit, rfc9111.StatusOK)
		s.close()
	})
}

// A client that leaves while it waits gets its context's error and counts as nobody.
func TestWaiterLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		g := closed(always(200, "body", "Cache-Control", cacheable))
		s.origin.answer(g.handle)
		stays := make(chan result)
		go func() { stays <- s.get("/") }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if r := s.fetch(ctx, s.request("/")); !errors.Is(r.err, context.DeadlineExceeded) {
			t.Errorf("error %v", r.err)
		}
		if n := s.shield.Stats().Waiters; n != 1 {
			t.Errorf("%d waiters", n)
		}
		close(g.open)
		(<-stays).want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
		s.close()
	})
}
