package shield_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/rfc9111"
)

// personal answers each client with a cookie and a field of its own, both reserved by
// control, and no others see its canary.
func personal(control string) handler {
	return func(r *http.Request) (*http.Response, error) {
		who := r.Header.Get("Cookie")
		return respond(200, "body", "Cache-Control", control, "Set-Cookie", "canary="+who, "X-User", "canary-"+who, "X-All", "1"), nil
	}
}

// wantNoCanary checks that nothing personal is kept anywhere.
func (s *setup) wantNoCanary() {
	s.t.Helper()
	key := s.request("/").Keyed.Key
	heads := []*rfc9111.Response{s.memory.heads[key.Bytes()]}
	if obj, err := s.store.Lookup(key, http.Header{}); err != nil {
		s.t.Error(err)
	} else if obj != nil {
		heads = append(heads, obj.Response())
		if err := obj.Close(); err != nil {
			s.t.Error(err)
		}
	}
	for _, head := range heads {
		if head != nil && strings.Contains(fmt.Sprint(head), "canary") {
			s.t.Errorf("kept: %v", head.Header)
		}
	}
}

// RFC 9111 5.2.2.4 and 5.2.2.7: named fields go to whoever caused the response, and
// the rest to everybody.
func TestReservedFields(t *testing.T) {
	const clients = 50
	for _, control := range []string{
		`max-age=60, private="set-cookie, x-user"`,
		`max-age=60, no-cache="Set-Cookie, X-User"`,
		`public, s-maxage=60, private=" x-user ", no-cache="set-cookie"`,
	} {
		t.Run(control, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, options{})
				g := closed(personal(control))
				s.origin.answer(g.handle)
				done := make(chan []result)
				go func() {
					done <- many(clients, func(i int) result { return s.get("/", "Cookie", number(i)) })
				}()
				synctest.Wait()
				close(g.open)
				personal := 0
				for i, r := range <-done {
					r.want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
					cookie, user := r.header.Get("Set-Cookie"), r.header.Get("X-User")
					if r.decision.Collapsed && cookie+user != "" {
						t.Errorf("client %d waited and got %q, %q", i, cookie, user)
					}
					if !r.decision.Collapsed {
						personal++
						if cookie != "canary="+number(i) || user != "canary-"+number(i) {
							t.Errorf("client %d caused it and got %q, %q", i, cookie, user)
						}
					}
					if r.header.Get("X-All") != "1" {
						t.Error("a field for everybody is missing")
					}
				}
				if personal != 1 {
					t.Errorf("%d clients have caused it", personal)
				}
				r := s.get("/", "Cookie", "x")
				r.want(t, "body", rfc9111.Hit, rfc9111.StatusOK)
				if strings.Contains(fmt.Sprint(r.header), "canary") || r.header.Get("X-All") != "1" {
					t.Errorf("a hit has %v", r.header)
				}
				s.wantOrigin(1)
				s.wantNoCanary()
				s.close()
			})
		})
	}
}

// What cannot be taken apart is for one client whole, as before.
func TestReservedFieldsThatStay(t *testing.T) {
	lifetime := `{"origins": {"o": {"url": "http://origin.test"}}, "defaults": {"origin": "o", "edge": {"maxAgeSeconds": 60}}}`
	for _, c := range []struct {
		name, policy, control string
		status                rfc9111.CachingStatus
	}{
		{"a cookie that is not named", "", `max-age=60, private="x-user"`, rfc9111.StatusSetCookie},
		{"a cookie beside a lifetime of the route alone", lifetime, `no-cache="set-cookie", private="x-user"`, rfc9111.StatusSetCookie},
		{"what describes the content", "", `max-age=60, private="set-cookie, content-type"`, rfc9111.StatusSetCookie},
		{"no field name", "", `max-age=60, private="set-cookie, x user"`, rfc9111.StatusSetCookie},
		{"private as a whole", "", `max-age=60, private="set-cookie, x-user", private`, rfc9111.StatusSetCookie},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, options{policy: c.policy})
			s.origin.answer(func(r *http.Request) (*http.Response, error) {
				resp, err := personal(c.control)(r)
				resp.Header.Set("Content-Type", "text/canary")
				return resp, err
			})
			for i := range 3 {
				r := s.get("/", "Cookie", number(i))
				r.want(t, "body", rfc9111.Miss, c.status)
				if r.header.Get("Set-Cookie") != "canary="+number(i) {
					t.Errorf("%v", r.header)
				}
			}
			if s.store.Len() != 0 || s.memory.fillCount() != 0 {
				t.Error("something was stored")
			}
		})
	}
}

// The client that caused a response leaves before its headers come: nobody else gets
// what was meant for it.
func TestReservedFieldsOfOneWhoLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		g := closed(personal(`max-age=60, private="set-cookie, x-user"`))
		s.origin.answer(g.handle)
		ctx, leave := context.WithCancel(context.Background())
		left := make(chan result)
		go func() { left <- s.fetch(ctx, s.request("/", "Cookie", "leader")) }()
		synctest.Wait()
		stays := make(chan result)
		go func() { stays <- s.get("/", "Cookie", "follower") }()
		synctest.Wait()
		leave()
		<-left
		close(g.open)
		r := <-stays
		r.want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
		if strings.Contains(fmt.Sprint(r.header), "canary") {
			t.Errorf("got %v", r.header)
		}
		s.wantNoCanary()
		s.close()
	})
}

// Who joins while the body streams gets what everybody gets.
func TestReservedFieldsOfAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		body := feed()
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			resp, err := personal(`max-age=60, private="set-cookie, x-user"`)(r)
			resp.Body, resp.ContentLength, resp.TransferEncoding = body.r, -1, []string{"chunked"}
			return resp, err
		})
		leader, err := s.shield.Fetch(t.Context(), s.request("/", "Cookie", "leader"))
		if err != nil {
			t.Fatal(err)
		}
		follower, err := s.shield.Fetch(t.Context(), s.request("/", "Cookie", "follower"))
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = body.w.Write([]byte("body")); _ = body.w.Close() }()
		if r := read(leader); r.body != "body" || r.header.Get("Set-Cookie") != "canary=leader" {
			t.Errorf("%+v", r)
		}
		if r := read(follower); r.body != "body" || strings.Contains(fmt.Sprint(r.header), "canary") {
			t.Errorf("%+v", r)
		}
		s.wantNoCanary()
		s.close()
	})
}

// The same for a 304: what it has for one client is that client's, and does not stay.
func TestReservedFieldsOfAValidation(t *testing.T) {
	for _, control := range []string{`max-age=60, private="x-user"`, `max-age=60, no-cache="x-user, set-cookie"`} {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, options{})
			s.origin.answer(always(200, "body", "Etag", `"1"`, "Cache-Control", "max-age=60", "X-User", "nobody"))
			s.get("/")
			time.Sleep(61 * time.Second)
			g := closed(func(r *http.Request) (*http.Response, error) {
				resp, err := personal(control)(r)
				resp.StatusCode, resp.Body, resp.ContentLength = 304, http.NoBody, 0
				return resp, err
			})
			s.origin.answer(g.handle)
			done := make(chan []result)
			go func() { done <- many(10, func(i int) result { return s.get("/", "Cookie", number(i)) }) }()
			synctest.Wait()
			close(g.open)
			for i, r := range <-done {
				r.want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
				want := [2]string{}
				if !r.decision.Collapsed {
					want = [2]string{"canary=" + number(i), "canary-" + number(i)}
				}
				if got := [2]string{r.header.Get("Set-Cookie"), r.header.Get("X-User")}; got != want {
					t.Errorf("client %d got %q, want %q", i, got, want)
				}
			}
			r := s.get("/")
			r.want(t, "body", rfc9111.Hit, rfc9111.StatusOK)
			if r.header.Get("Set-Cookie")+r.header.Get("X-User") != "" || r.header.Get("X-All") != "1" {
				t.Errorf("a hit has %v", r.header)
			}
			s.wantOrigin(2)
			s.wantNoCanary()
			s.close()
		})
	}
}

// A refresh in the background has nobody to give what is personal to.
func TestReservedFieldsOfARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{policy: stalePolicy})
		s.get("/")
		time.Sleep(61 * time.Second)
		s.origin.answer(personal(`max-age=60, private="set-cookie, x-user"`))
		s.get("/", "Cookie", "a").want(t, "body", rfc9111.Stale, rfc9111.StatusOK)
		synctest.Wait()
		r := s.get("/", "Cookie", "b")
		r.want(t, "body", rfc9111.Hit, rfc9111.StatusOK)
		if r.header.Get("X-All") != "1" || strings.Contains(fmt.Sprint(r.header), "canary") {
			t.Errorf("%v", r.header)
		}
		s.wantNoCanary()
		s.close()
	})
}

// A reserved field may come in the trailer section, too.
func TestReservedTrailerFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		body := feed()
		s.origin.answer(func(*http.Request) (*http.Response, error) {
			resp := respondWith(200, body.r, -1, "Cache-Control", `max-age=60, private="x-user"`)
			resp.Trailer = http.Header{"X-User": {"canary"}, "X-All": {"1"}}
			return resp, nil
		})
		var answers []*rfc9111.Answer
		for range 2 {
			req := s.request("/")
			req.TakesTrailers = true
			ans, err := s.shield.Fetch(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			answers = append(answers, ans)
		}
		go func() { _, _ = body.w.Write([]byte("body")); _ = body.w.Close() }()
		for i, ans := range answers {
			r := read(ans)
			got := ans.Trailer.Fields()
			want := []string{"canary", ""}[i]
			if r.body != "body" || got.Get("X-User") != want || got.Get("X-All") != "1" {
				t.Errorf("client %d: %+v, trailer %v", i, r, got)
			}
			if announced := strings.Contains(strings.Join(ans.Trailer.Names, " "), "X-User"); announced != (want != "") {
				t.Errorf("client %d: announced %v", i, ans.Trailer.Names)
			}
		}
		s.close()
	})
}

// A 304 to a client whose answers are its own, RFC 9111 3.5, costs nobody else the stored
// response.
func TestAuthorizedValidationDropsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("If-None-Match") != "" {
				return respondWith(304, http.NoBody, 0, "Etag", `"1"`), nil
			}
			return respond(200, "for "+r.Header.Get("Authorization"), "Cache-Control", cacheable, "Etag", `"1"`), nil
		})
		s.get("/").want(t, "for ", rfc9111.Miss, rfc9111.StatusOK)
		s.get("/", "Authorization", "x", "Cache-Control", "no-cache").want(t, "for x", rfc9111.Miss, rfc9111.StatusPrivate)
		s.get("/").want(t, "for ", rfc9111.Hit, rfc9111.StatusOK)
		s.wantOrigin(3)
		if s.memory.dropped != 0 {
			t.Error("dropped from memory")
		}
		s.close()
	})
}

// While a body comes whose head is for everybody, a request with Authorization gets what it would get from a
// store: that, or, if it asks for more, its own.
func TestAuthorizationBesideAnOpenFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		body := feed()
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			if own := r.Header.Get("Authorization"); own != "" {
				return respond(200, "for "+own, "Cache-Control", cacheable), nil
			}
			return respondWith(200, body.r, 4, "Cache-Control", cacheable), nil
		})
		done := make(chan result)
		for _, fields := range [][]string{nil, {"Authorization", "x"}} {
			go func() { done <- s.get("/", fields...) }()
			synctest.Wait()
		}
		time.Sleep(2 * time.Second)
		for _, control := range []string{"no-cache", "max-age=1"} {
			s.get("/", "Authorization", "x", "Cache-Control", control).want(t, "for x", rfc9111.Miss, rfc9111.StatusPrivate)
		}
		_, _ = io.WriteString(body.w, "body")
		_ = body.w.Close()
		for range 2 {
			r := <-done
			r.want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
		}
		s.wantOrigin(3)
		s.close()
	})
}
