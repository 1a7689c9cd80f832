package shield_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"weir/rfc9111"
)

// headed answers GET with body and HEAD with the given status and fields.
func headed(body string, status int, fields ...string) handler {
	return func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodHead {
			return respondWith(status, http.NoBody, 0, fields...), nil
		}
		return respond(200, body, "Cache-Control", cacheable, "Etag", `"1"`, "X-A", "1", "X-B", "1"), nil
	}
}

// RFC 9111 4.3.5: a 200 to HEAD freshens what is stored, and its client gets what a
// GET gets from then on.
func TestHeadFreshens(t *testing.T) {
	for _, long := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			o := options{}
			if long {
				o.shield.MemoryObject = 2
			}
			s := start(t, o)
			s.origin.answer(headed("body", 200, "Content-Length", "4", "Etag", `"1"`, "X-B", "2", "Cache-Control", "max-age=1000"))
			s.get("/")
			time.Sleep(61 * time.Second)
			r := s.get("HEAD /")
			if r.err != nil || r.header.Get("X-A") != "1" || r.header.Get("X-B") != "2" || r.header.Get("Set-Cookie") != "" {
				t.Errorf("%+v", r)
			}
			if d := r.decision; d.Use != rfc9111.Miss || d.Forward != rfc9111.ForwardStale || d.Shield != rfc9111.TierHit || !d.Stored || d.TTL != 1000*time.Second {
				t.Errorf("decision %+v", d)
			}
			r = s.get("/")
			r.want(t, "body", rfc9111.Hit, rfc9111.StatusOK)
			if r.header.Get("X-A") != "1" || r.header.Get("X-B") != "2" {
				t.Errorf("header %v", r.header)
			}
			s.wantOrigin(2)
			if head := s.memory.heads[s.request("/").Keyed.Key.Bytes()]; !long && head.Header.Get("X-B") != "2" {
				t.Errorf("the memory tier has %v", head.Header)
			}
			s.close()
		})
	}
}

// What the answer to HEAD contradicts is validated before its next use, and never
// used because the origin fails.
func TestHeadOutdates(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer handler
	}{
		{"another entity tag", headed("body", 200, "Etag", `"2"`)},
		{"another length", headed("body", 200, "Content-Length", "5")},
		{"private", headed("body", 200, "Etag", `"1"`, "Cache-Control", "private")},
		{"gone", headed("body", 410)},
		{"not found", headed("body", 404)},
	} {
		t.Run(c.name, synced(func(t *testing.T) {
			s := start(t, options{policy: stalePolicy})
			s.origin.answer(c.answer)
			s.get("/").want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
			synctest.Wait() // for flights that are about to end
			r := s.get("HEAD /", "Cache-Control", "no-cache")
			if r.err != nil || r.header.Get("X-A") != "" || r.decision.Stored {
				t.Errorf("the client did not get the origin's answer: %+v", r)
			}
			if s.memory.dropped != 1 {
				t.Errorf("dropped from memory %d times", s.memory.dropped)
			}
			s.origin.answer(refused)
			if r := s.get("/"); r.err == nil {
				t.Errorf("used on an error: %+v", r)
			}
			synctest.Wait()
			s.origin.answer(func(r *http.Request) (*http.Response, error) {
				if r.Header.Get("If-None-Match") != `"1"` {
					t.Error("not validated")
				}
				return respondWith(304, http.NoBody, 0, "Etag", `"1"`, "Cache-Control", cacheable), nil
			})
			if r := s.get("/"); r.body != "body" || r.decision.ForwardStatus != 304 {
				t.Errorf("%+v", r)
			}
			s.close()
		}))
	}
}

func synced(f func(*testing.T)) func(*testing.T) {
	return func(t *testing.T) { synctest.Test(t, f) }
}

// A cookie that comes with an answer to HEAD is its client's, and nobody else's.
func TestHeadWithCookie(t *testing.T) {
	s := start(t, options{})
	s.origin.answer(headed("body", 200, "Etag", `"1"`, "Cache-Control", cacheable, "X-B", "2", "Set-Cookie", "a=b"))
	s.get("/")
	if r := s.get("HEAD /", "Cache-Control", "no-cache"); r.header.Get("Set-Cookie") != "a=b" {
		t.Errorf("%+v", r)
	}
	r := s.get("/")
	r.want(t, "body", rfc9111.Hit, rfc9111.StatusOK)
	if r.header.Get("Set-Cookie") != "" || r.header.Get("X-B") != "2" {
		t.Errorf("%v", r.header)
	}
}

func TestHeadThatSaysNothing(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer handler
		fields []string
	}{
		{"a failure", headed("body", 503), nil},
		{"no HEAD here", headed("body", 405), nil},
		{"not modified since what the client has", headed("body", 304, "Etag", `"2"`), []string{"If-None-Match", `"2"`, "Accept-Encoding", "*"}},
		{"a client that keeps out of caches", headed("body", 200, "Etag", `"2"`), []string{"Cache-Control", "no-store, no-cache"}},
		{"one user's", headed("body", 200, "Etag", `"2"`), []string{"Authorization", "x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, options{})
			s.origin.answer(c.answer)
			s.get("/")
			if r := s.get("HEAD /", append([]string{"Cache-Control", "no-cache"}, c.fields...)...); r.err != nil {
				t.Error(r.err)
			}
			s.get("/").want(t, "body", rfc9111.Hit, rfc9111.StatusOK)
			s.wantOrigin(2)
			if s.memory.dropped != 0 {
				t.Error("dropped from memory")
			}
		})
	}
}

// A purge that comes while HEAD is answered is not undone by the answer.
func TestPurgeDuringHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		s.origin.answer(headed("old", 200, "Etag", `"1"`, "Cache-Control", cacheable))
		s.get("/")
		time.Sleep(61 * time.Second)
		g := closed(headed("new", 200, "Etag", `"1"`, "Cache-Control", cacheable))
		s.origin.answer(g.handle)
		done := make(chan result)
		go func() { done <- s.get("HEAD /") }()
		synctest.Wait()
		s.purge("/")
		close(g.open)
		if r := <-done; r.err != nil || r.decision.Stored {
			t.Errorf("%+v", r)
		}
		s.get("/").want(t, "new", rfc9111.Miss, rfc9111.StatusOK)
		s.close()
	})
}

// What is stored was replaced while HEAD was answered: the answer is about neither.
func TestReplacedDuringHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		s.origin.answer(headed("old", 0))
		s.get("/")
		time.Sleep(61 * time.Second)
		g := closed(headed("", 200, "Content-Length", "3", "X-B", "2"))
		s.origin.answer(g.handle)
		done := make(chan result)
		go func() { done <- s.get("HEAD /") }()
		synctest.Wait()
		s.origin.answer(always(200, "new", "Etag", `"2"`, "Cache-Control", cacheable))
		s.get("/").want(t, "new", rfc9111.Miss, rfc9111.StatusOK)
		close(g.open)
		if r := <-done; r.err != nil || r.decision.Stored {
			t.Errorf("%+v", r)
		}
		r := s.get("/")
		r.want(t, "new", rfc9111.Hit, rfc9111.StatusOK)
		if r.header.Get("X-B") != "" {
			t.Error("freshened by an answer about another response")
		}
		s.close()
	})
}

// Only the variant that the origin disowns goes; the others are still answered with.
func TestGoneVariant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		lifetime := map[string]string{"de": "max-age=60", "en": "max-age=600"}
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			lang := r.Header.Get("Accept-Language")
			return respond(200, lang, "Cache-Control", lifetime[lang], "Vary", "Accept-Language", "Etag", `"1"`), nil
		})
		for lang := range lifetime {
			s.get("/", "Accept-Language", lang)
		}
		time.Sleep(61 * time.Second)
		s.origin.answer(always(404, "gone"))
		s.get("/", "Accept-Language", "de").want(t, "gone", rfc9111.Miss, rfc9111.StatusCode)
		s.get("/", "Accept-Language", "en").want(t, "en", rfc9111.Hit, rfc9111.StatusOK)
		if n := s.store.Len(); n != 1 {
			t.Errorf("%d variants are stored", n)
		}
		s.close()
	})
}

// A client that leaves while HEAD is answered ends nothing but its own part.
func TestHeadClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		s.origin.answer(headed("body", 200))
		s.get("/")
		time.Sleep(61 * time.Second)
		ctx, leave := context.WithCancel(context.Background())
		s.origin.answer(func(*http.Request) (*http.Response, error) { leave(); return nil, context.Canceled })
		if r := s.fetch(ctx, s.request("HEAD /")); r.err == nil {
			t.Errorf("%+v", r)
		}
		s.origin.answer(headed("body", 200))
		s.get("/").want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
		s.close()
	})
}
