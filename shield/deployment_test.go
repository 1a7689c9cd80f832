package shield_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"weir/rfc9111"
)

// deployed is a policy of one deployment, with whatever routes.
func deployed(id, routes string) string {
	return `{"origins": {"o": {"url": "http://origin.test"}}, "deployment": "` + id + `", "isolate": true,
		"defaults": {"origin": "o", "edge": {"staleWhileRevalidateSeconds": 600}}, "routes": [` + routes + `]}`
}

// What an unsafe request made outdated does not come back with an older deployment,
// however each deployment treats the query, and whether it stores the page or not.
func TestInvalidationReachesEveryDeployment(t *testing.T) {
	routes := map[string]string{
		"as it stands": ``,
		"one query":    `{"name": "p", "match": {"path": "/p"}, "key": {"excludeAllQueryParameters": true}}`,
		"sorted":       `{"name": "p", "match": {"path": "/p"}, "key": {"sortQueryParameters": true}}`,
		"some":         `{"name": "p", "match": {"path": "/p"}, "key": {"excludeQueryParameters": ["a"]}}`,
		"permanent":    `{"name": "p", "match": {"path": "/p"}, "key": {"excludeAllQueryParametersExcept": ["b"]}, "permanent": true}`,
	}
	for older, a := range routes {
		for newer, b := range routes {
			for _, b := range []string{b, `{"name": "p", "match": {"path": "/p"}, "edge": false}`} {
				s := start(t, options{policy: deployed("a", a)})
				first := s.table
				s.get("/p?b=2&a=1")
				s.table = compile(t, deployed("b", b))
				s.get("POST /p?b=2&a=1")
				s.origin.answer(always(200, "new", "Cache-Control", cacheable))
				s.table = first
				if r := s.get("/p?b=2&a=1"); r.body != "new" {
					t.Errorf("%s, then %s: the older deployment answers %q", older, newer, r.body)
				}
			}
		}
	}
}

// settling is a request in the first moments of a deployment.
func (s *setup) settling(target string, fields ...string) result {
	req := s.request(target, fields...)
	req.Settling = true
	return s.fetch(s.t.Context(), req)
}

func TestSettlingDeployment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{policy: deployed("b", "")})
		f := feed()
		s.origin.answer(func(*http.Request) (*http.Response, error) {
			return respondWith(200, f.r, -1, "Cache-Control", cacheable), nil
		})
		done := make(chan []result)
		go func() { done <- many(10, func(int) result { return s.settling("/") }) }()
		synctest.Wait()
		_, _ = f.w.Write([]byte("old code"))
		_ = f.w.Close()
		for _, r := range <-done {
			r.want(t, "old code", rfc9111.Miss, rfc9111.StatusDeployment)
		}
		s.wantOrigin(1)
		if n := s.memory.fillCount(); n != 0 {
			t.Errorf("memory was filled %d times", n)
		}
		s.origin.answer(always(200, "new code", "Cache-Control", cacheable, "Etag", `"1"`))
		s.settling("/").want(t, "new code", rfc9111.Miss, rfc9111.StatusDeployment)
		s.get("/").want(t, "new code", rfc9111.Miss, rfc9111.StatusOK)
		s.settling("/").want(t, "new code", rfc9111.Hit, rfc9111.StatusOK)
		s.wantOrigin(3)
		s.close()
	})
}

// What a deployment stored when it was here before is used, and neither refreshed
// nor changed while it settles.
func TestSettlingDeploymentKeepsWhatItHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{policy: deployed("b", "")})
		s.origin.answer(always(200, "body", "Cache-Control", cacheable, "Etag", `"1"`, "X-Code", "b"))
		s.get("/")
		time.Sleep(61 * time.Second)
		s.settling("/").want(t, "body", rfc9111.Stale, rfc9111.StatusOK)
		synctest.Wait()
		s.wantOrigin(1)
		s.origin.answer(always(304, "", "Cache-Control", cacheable, "Etag", `"1"`, "X-Code", "a"))
		r := s.settling("/", "Cache-Control", "no-cache")
		r.want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
		if r.header.Get("X-Code") != "a" || r.decision.Stored {
			t.Errorf("%v, %+v", r.header, r.decision)
		}
		if r = s.settling("/"); r.decision.Use != rfc9111.Stale || r.header.Get("X-Code") != "b" {
			t.Errorf("another deployment's header was stored: %v, %+v", r.header, r.decision)
		}
		s.close()
	})
}

// Nobody is handed what was fetched for another user because it is not stored.
func TestSettlingDeploymentSharesNothingPrivate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{policy: deployed("b", "")})
		release := make(chan struct{})
		private := numbered("Cache-Control", "private, max-age=60")
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			<-release
			return private(r)
		})
		done := make(chan []result)
		go func() { done <- many(3, func(int) result { return s.settling("/") }) }()
		synctest.Wait()
		close(release)
		seen := map[string]bool{}
		for _, r := range <-done {
			if seen[r.body] || r.decision.Status != rfc9111.StatusPrivate {
				t.Errorf("%q, %+v", r.body, r.decision)
			}
			seen[r.body] = true
		}
		s.close()
	})
}
