package shield_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"weir/rfc9111"
	"weir/shield"
)

// windowed is fresh for a minute and may be served stale for another.
const windowed = "max-age=60, stale-while-revalidate=60"

func (s *setup) soften(t *testing.T) {
	t.Helper()
	add(t, s.purges, shield.URLRule(s.request("/").Keyed.Key.Base()).Soft())
}

// After a soft purge nobody waits, one refresh is made, and then there is the new body.
func TestSoftPurgeUnderManyClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{log: new(memoryLog)})
		s.origin.answer(always(200, "old", "Cache-Control", windowed))
		s.get("/")
		s.get("/").want(t, "old", rfc9111.Hit, rfc9111.StatusOK)
		s.soften(t)
		answered := make(chan struct{})
		s.origin.answer(func(*http.Request) (*http.Response, error) {
			<-answered
			return respond(200, "new", "Cache-Control", windowed), nil
		})
		for _, r := range many(200, func(int) result { return s.get("/") }) {
			r.want(t, "old", rfc9111.Stale, rfc9111.StatusOK)
			if r.decision.TTL > 0 {
				t.Errorf("stale with %v left", r.decision.TTL)
			}
		}
		synctest.Wait()
		close(answered)
		synctest.Wait()
		s.wantOrigin(2)
		for _, r := range many(200, func(int) result { return s.get("/") }) {
			r.want(t, "new", rfc9111.Hit, rfc9111.StatusOK)
		}
		s.wantOrigin(2)
		s.close()
	})
}

// Without stale windows what was softly purged is validated before its next use, and is
// no answer to a failure.
func TestSoftPurgeWithoutWindows(t *testing.T) {
	s := start(t, options{log: new(memoryLog)})
	s.origin.answer(always(200, "old", "Cache-Control", cacheable, "Etag", `"1"`))
	s.get("/")
	s.soften(t)
	s.origin.answer(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("If-None-Match") != `"1"` {
			t.Errorf("asked with %v", r.Header)
		}
		return respond(304, "", "Cache-Control", cacheable, "Etag", `"1"`), nil
	})
	s.get("/").want(t, "old", rfc9111.Miss, rfc9111.StatusOK)
	s.get("/").want(t, "old", rfc9111.Hit, rfc9111.StatusOK)
	s.wantOrigin(2)
	s.soften(t)
	s.origin.answer(always(503, "down"))
	if r := s.get("/"); r.status != 503 {
		t.Errorf("status %d, %q", r.status, r.body)
	}
}

// What was softly purged may be used no longer than if it had gone stale by itself.
func TestSoftPurgeEndsWithTheWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{log: new(memoryLog), policy: `{"origins": {"o": {"url": "http://origin.test"}}, "defaults": {"origin": "o", "edge": {"staleIfErrorSeconds": 30}}}`})
		s.origin.answer(always(200, "old", "Cache-Control", "max-age=60"))
		s.get("/")
		s.soften(t)
		s.origin.answer(always(503, "down"))
		s.get("/").want(t, "old", rfc9111.Stale, rfc9111.StatusOK)
		time.Sleep(89 * time.Second)
		s.get("/").want(t, "old", rfc9111.Stale, rfc9111.StatusOK)
		time.Sleep(time.Second)
		if r := s.get("/"); r.status != 503 {
			t.Errorf("status %d, %q", r.status, r.body)
		}
		s.close()
	})
}

// A fetch that began before a soft purge is stale when it is stored, and nobody who came
// after the purge takes it for fresh.
func TestSoftPurgeOfAFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{log: new(memoryLog)})
		release := make(chan struct{})
		s.origin.answer(func(*http.Request) (*http.Response, error) {
			<-release
			return respond(200, "old", "Cache-Control", windowed), nil
		})
		before := make(chan result)
		go func() { before <- s.get("/") }()
		synctest.Wait()
		s.soften(t)
		close(release)
		(<-before).want(t, "old", rfc9111.Miss, rfc9111.StatusOK)
		s.origin.answer(always(200, "new", "Cache-Control", windowed))
		s.get("/").want(t, "old", rfc9111.Stale, rfc9111.StatusOK)
		synctest.Wait()
		s.get("/").want(t, "new", rfc9111.Hit, rfc9111.StatusOK)
		s.wantOrigin(2)
		s.close()
	})
}

// Who comes after a soft purge does not wait in an older flight, whose end replaces
// nothing that is newer.
func TestSoftPurgeBetweenTwoFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{log: new(memoryLog)})
		release := make(chan struct{})
		s.origin.answer(func(*http.Request) (*http.Response, error) {
			<-release
			return respond(200, "old", "Cache-Control", windowed), nil
		})
		before := make(chan result)
		go func() { before <- s.get("/") }()
		synctest.Wait()
		s.soften(t)
		s.origin.answer(always(200, "new", "Cache-Control", windowed))
		s.get("/").want(t, "new", rfc9111.Miss, rfc9111.StatusOK)
		close(release)
		(<-before).want(t, "old", rfc9111.Miss, rfc9111.StatusOK)
		synctest.Wait()
		s.get("/").want(t, "new", rfc9111.Hit, rfc9111.StatusOK)
		s.close()
	})
}
