package shield_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/keying"
	"weir/rfc9111"
	"weir/shield"
	"weir/shield/shieldtest"
)

func TestMissThenHit(t *testing.T) {
	s := start(t, options{})
	r := s.get("/")
	r.want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
	if d := r.decision; !d.Stored || d.Shield != rfc9111.TierCached || d.Forward != rfc9111.ForwardURIMiss || !d.HasTTL {
		t.Errorf("decision %+v", d)
	}
	r = s.get("/")
	r.want(t, "body", rfc9111.Hit, rfc9111.StatusOK)
	if d := r.decision; d.Stored || d.Shield != rfc9111.TierHit || d.TTL <= 0 {
		t.Errorf("decision %+v", d)
	}
	s.wantOrigin(1)
	if n := s.memory.fillCount(); n != 2 { // the fill, and the load from the store
		t.Errorf("listener was filled %d times", n)
	}
}

func TestUncacheable(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer handler
		status rfc9111.CachingStatus
	}{
		{"private", always(200, "mine", "Cache-Control", "private, max-age=60"), rfc9111.StatusPrivate},
		{"set-cookie", always(200, "mine", "Cache-Control", cacheable, "Set-Cookie", "a=1"), rfc9111.StatusSetCookie},
		{"no lifetime", always(200, "mine"), rfc9111.StatusNoMaxAge},
		{"no-store", always(200, "mine", "Cache-Control", "no-store"), rfc9111.StatusNoMaxAge},
		{"error", always(500, "mine", "Cache-Control", cacheable), rfc9111.StatusCode},
		{"not found", always(404, "mine", "Cache-Control", cacheable), rfc9111.StatusCode},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, options{})
			s.origin.answer(c.answer)
			for range 2 {
				r := s.get("/")
				r.want(t, "mine", rfc9111.Miss, c.status)
				if r.decision.Stored || r.decision.Shield != rfc9111.TierPass {
					t.Errorf("decision %+v", r.decision)
				}
			}
			s.wantOrigin(2)
			if s.store.Len() != 0 || s.memory.fillCount() != 0 {
				t.Error("something was stored")
			}
		})
	}
}

func TestHead(t *testing.T) {
	s := start(t, options{})
	s.origin.answer(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodHead {
			return respondWith(200, http.NoBody, 4, "Content-Length", "4", "Cache-Control", cacheable), nil
		}
		return respond(200, "body", "Cache-Control", cacheable), nil
	})
	r := s.get("HEAD /")
	if r.err != nil || r.status != 200 || r.body != "" || r.header.Get("Content-Length") != "4" {
		t.Errorf("cold HEAD: %+v", r)
	}
	if s.store.Len() != 0 {
		t.Error("an answer to HEAD was stored")
	}
	s.get("/").want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
	if r := s.get("HEAD /"); r.decision.Use != rfc9111.Hit {
		t.Errorf("HEAD of something stored: %+v", r.decision)
	}
	s.wantOrigin(2)
}

func TestBypass(t *testing.T) {
	s := start(t, options{})
	s.origin.answer(func(r *http.Request) (*http.Response, error) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		return respond(201, r.Method+" "+string(b), "Cache-Control", cacheable, "Age", "7"), nil
	})
	req := s.request("POST /form", "If-Match", `"x"`, "Range", "bytes=0-1")
	req.Stream, req.Length = strings.NewReader("a=1"), 3
	r := s.fetch(context.Background(), req)
	r.want(t, "POST a=1", rfc9111.Bypass, rfc9111.StatusMethod)
	if r.decision.Forward != rfc9111.ForwardMethod || r.decision.Outer != rfc9111.TierPass {
		t.Errorf("decision %+v", r.decision)
	}
	if r.header.Get("Age") != "7" {
		t.Error("the Age of a passed response is the origin's")
	}
	got := s.origin.last()
	if got.Header.Get("If-Match") == "" || got.Header.Get("Range") == "" || got.ContentLength != 3 {
		t.Errorf("forwarded %v, length %d", got.Header, got.ContentLength)
	}
}

func TestOnlyIfCached(t *testing.T) {
	s := start(t, options{})
	if r := s.get("/", "Cache-Control", "only-if-cached"); !errors.Is(r.err, shield.ErrOnlyIfCached) {
		t.Errorf("error %v", r.err)
	}
	s.wantOrigin(0)
	s.get("/")
	s.get("/", "Cache-Control", "only-if-cached").want(t, "body", rfc9111.Hit, rfc9111.StatusOK)
}

func TestRequestNoStoreIsPassed(t *testing.T) {
	s := start(t, options{})
	for range 2 {
		r := s.get("/", "Cache-Control", "no-store", "Range", "bytes=0-1")
		r.want(t, "body", rfc9111.Miss, rfc9111.StatusPass)
	}
	s.wantOrigin(2)
	if s.origin.last().Header.Get("Range") == "" {
		t.Error("a passed request lost its Range")
	}
	if s.store.Len() != 0 || s.shield.Stats().Uncacheable != 0 {
		t.Error("one client's no-store changed something for others")
	}
}

func TestRangeAndConditionsAreStrippedInFlights(t *testing.T) {
	s := start(t, options{})
	r := s.get("/", "Range", "bytes=1-2", "If-None-Match", `"x"`, "If-Modified-Since", "Mon, 01 Jan 2024 00:00:00 GMT")
	r.want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
	for _, name := range []string{"Range", "If-None-Match", "If-Modified-Since"} {
		if s.origin.last().Header.Get(name) != "" {
			t.Errorf("%s was forwarded", name)
		}
	}
}

func TestValidation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("If-None-Match") == `"1"` {
				return respondWith(304, http.NoBody, 0, "Etag", `"1"`, "Cache-Control", cacheable, "X-New", "1"), nil
			}
			return respond(200, "body", "Etag", `"1"`, "Cache-Control", cacheable), nil
		})
		s.get("/").want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
		time.Sleep(61 * time.Second)
		r := s.get("/")
		r.want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
		if d := r.decision; d.ForwardStatus != 304 || d.Forward != rfc9111.ForwardStale || d.Shield != rfc9111.TierHit {
			t.Errorf("decision %+v", d)
		}
		if r.header.Get("X-New") != "1" {
			t.Error("the 304's fields are missing")
		}
		r = s.get("/")
		r.want(t, "body", rfc9111.Hit, rfc9111.StatusOK)
		s.wantOrigin(2)
		s.close()
	})
}

func TestValidationThatReplaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		s.origin.answer(always(200, "one", "Etag", `"1"`, "Cache-Control", cacheable))
		s.get("/")
		time.Sleep(61 * time.Second)
		s.origin.answer(always(200, "two", "Etag", `"2"`, "Cache-Control", cacheable))
		s.get("/").want(t, "two", rfc9111.Miss, rfc9111.StatusOK)
		s.get("/").want(t, "two", rfc9111.Hit, rfc9111.StatusOK)
		if s.origin.last().Header.Get("If-None-Match") != `"1"` {
			t.Error("the request was not conditional")
		}
		s.close()
	})
}

// A 304 that is about something else is worth nothing: the whole is asked for.
func TestForeignNotModified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		s.origin.answer(always(200, "one", "Etag", `"1"`, "Cache-Control", cacheable))
		s.get("/")
		time.Sleep(61 * time.Second)
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("If-None-Match") != "" {
				return respondWith(304, http.NoBody, 0, "Etag", `"other"`), nil
			}
			return respond(200, "two", "Etag", `"2"`, "Cache-Control", cacheable), nil
		})
		s.get("/").want(t, "two", rfc9111.Miss, rfc9111.StatusOK)
		s.wantOrigin(3)
		s.close()
	})
}

const stalePolicy = `{"origins": {"o": {"url": "http://origin.test"}}, "defaults": {"origin": "o",
	"edge": {"maxAgeSeconds": 60, "staleWhileRevalidateSeconds": 600, "staleIfErrorSeconds": 86400}}}`

func TestStaleWhileRevalidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{policy: stalePolicy})
		s.origin.answer(always(200, "one"))
		s.get("/")
		time.Sleep(61 * time.Second)
		release := make(chan struct{})
		s.origin.answer(func(*http.Request) (*http.Response, error) {
			<-release
			return respond(200, "two"), nil
		})
		for range 50 {
			r := s.get("/")
			r.want(t, "one", rfc9111.Stale, rfc9111.StatusOK)
			if r.decision.TTL >= 0 {
				t.Error("ttl of something stale is not negative")
			}
		}
		synctest.Wait()
		s.wantOrigin(2)
		close(release)
		synctest.Wait()
		s.get("/").want(t, "two", rfc9111.Hit, rfc9111.StatusOK)
		s.wantOrigin(2)
		if st := s.shield.Stats(); st.Refreshes != 1 || st.StaleHits != 50 {
			t.Errorf("%+v", st)
		}
		s.close()
	})
}

func TestStaleIfError(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer handler
	}{
		{"unreachable", func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }},
		{"503", always(503, "down")},
		{"hung", func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }},
		{"protocol", always(999, "?")},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, options{policy: stalePolicy})
				s.origin.answer(always(200, "one"))
				s.get("/")
				time.Sleep(time.Hour)
				s.origin.answer(c.answer)
				s.get("/").want(t, "one", rfc9111.Stale, rfc9111.StatusOK)
				s.wantOrigin(2)
				// For a moment nobody asks again.
				s.get("/").want(t, "one", rfc9111.Stale, rfc9111.StatusOK)
				s.wantOrigin(2)
				time.Sleep(5 * time.Second)
				s.get("/").want(t, "one", rfc9111.Stale, rfc9111.StatusOK)
				s.wantOrigin(3)
				time.Sleep(25 * time.Hour)
				if r := s.get("/"); r.err == nil && r.status == 200 {
					t.Error("served stale after the window")
				}
				s.origin.answer(always(200, "two"))
				time.Sleep(5 * time.Second)
				s.get("/").want(t, "two", rfc9111.Miss, rfc9111.StatusOK)
				s.close()
			})
		})
	}
}

// A hung origin costs the first few requests their wait. Then it is known to be
// out, and what can be answered stale is, for every key, but for one that tries.
func TestHungOriginIsNotWaitedForTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{policy: stalePolicy})
		for i := range 100 {
			s.get("/" + number(i))
		}
		time.Sleep(time.Hour)
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		many(3, func(i int) result { return s.get("/" + number(i)) })
		began := time.Now()
		for i := range 100 {
			s.get("/"+number(i)).want(t, "body", rfc9111.Stale, rfc9111.StatusOK)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("waited for %s", took)
		}
		s.wantOrigin(103)
		s.close()
	})
}

func TestNegativeCachingOnlyByRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{policy: `{"origins": {"o": {"url": "http://origin.test"}}, "defaults": {"origin": "o",
			"edge": {"statusMaxAgeSeconds": {"404": 10}}}}`})
		s.origin.answer(always(404, "none"))
		s.get("/").want(t, "none", rfc9111.Miss, rfc9111.StatusOK)
		s.get("/").want(t, "none", rfc9111.Hit, rfc9111.StatusOK)
		time.Sleep(11 * time.Second)
		s.origin.answer(always(410, "gone"))
		s.get("/").want(t, "gone", rfc9111.Miss, rfc9111.StatusCode)
		if s.store.Len() != 0 {
			t.Error("what the origin says is gone is still stored")
		}
		s.close()
	})
}

func TestHitForPassIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		s.origin.answer(always(200, "mine", "Cache-Control", "private"))
		s.get("/")
		s.get("/")
		if st := s.shield.Stats(); st.Uncacheable != 1 || st.HitForPass != 1 {
			t.Errorf("%+v", st)
		}
		s.origin.answer(always(200, "ours", "Cache-Control", cacheable))
		s.get("/").want(t, "ours", rfc9111.Miss, rfc9111.StatusOK)
		if n := s.shield.Stats().Uncacheable; n != 0 {
			t.Errorf("%d keys remembered after a storable answer", n)
		}
		s.get("/").want(t, "ours", rfc9111.Hit, rfc9111.StatusOK)
		s.wantOrigin(3)

		s.origin.answer(always(200, "mine", "Cache-Control", "private"))
		s.get("/other")
		time.Sleep(11 * time.Second)
		s.get("/other")
		if st := s.shield.Stats(); st.HitForPass != 2 {
			t.Errorf("a key was remembered for too long: %+v", st)
		}
		s.close()
	})
}

func TestLongObjectsStreamFromStore(t *testing.T) {
	s := start(t, options{})
	body := string(shieldtest.Body(1, 3<<20))
	s.origin.answer(always(200, body, "Cache-Control", cacheable))
	s.get("/").want(t, body, rfc9111.Miss, rfc9111.StatusOK)
	ans, err := s.shield.Fetch(context.Background(), s.request("/"))
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 100)
	if n, err := ans.At.ReadAt(p, 2<<20); n != 100 || err != nil || string(p) != body[2<<20:2<<20+100] {
		t.Errorf("read %d bytes in the middle: %v", n, err)
	}
	if n, err := ans.At.ReadAt(p, int64(len(body))-50); n != 50 || !errors.Is(err, io.EOF) {
		t.Errorf("read %d bytes at the end: %v", n, err)
	}
	read(ans).want(t, body, rfc9111.Hit, rfc9111.StatusOK)
	if s.memory.fillCount() != 0 {
		t.Error("a long body was handed to the listener")
	}
}

func TestDamagedObjects(t *testing.T) {
	body := string(shieldtest.Body(1, 3<<20))
	for _, c := range []struct {
		name    string
		body    string
		from    int64 // first offset that cannot be read
		aborted bool
	}{
		{"small", "body", 0, false},
		{"long, first block", body, 0, false},
		{"long, later", body, 1 << 20, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				damaged := false
				store := &shieldtest.Memory{}
				store.Fault = func(op string, _ keying.Key, at int64) error {
					if op == "read" && damaged && at >= c.from {
						return errors.New("bad checksum")
					}
					return nil
				}
				s := start(t, options{store: store})
				s.origin.answer(always(200, c.body, "Cache-Control", cacheable))
				s.get("/")
				synctest.Wait() // or the next one may still find the flight
				damaged = true
				r := s.get("/")
				if c.aborted {
					if !errors.Is(r.err, shield.ErrStore) {
						t.Errorf("error %v, want a visible end", r.err)
					}
					if !strings.HasPrefix(c.body, r.body) {
						t.Error("wrong bytes before the damage")
					}
				} else {
					r.want(t, c.body, rfc9111.Miss, rfc9111.StatusOK)
				}
				damaged = false
				s.get("/")
				s.wantOrigin(2)
				s.close()
			})
		})
	}
}
