package rfc9111_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"weir/rfc9111"
)

func TestStorable(t *testing.T) {
	minute := &rfc9111.Rules{Lifetime: ptr(time.Minute)}
	force := &rfc9111.Rules{ForcePrivate: true}
	forceMinute := &rfc9111.Rules{ForcePrivate: true, Lifetime: ptr(time.Minute)}
	negative := &rfc9111.Rules{StatusLifetimes: map[int]time.Duration{404: 10 * time.Second, 503: time.Second, 410: 0, 206: time.Minute}}
	byHeader := &rfc9111.Rules{ErrorsByHeader: true}
	cookies := &rfc9111.Rules{StoreSetCookie: true}
	posts := &rfc9111.Rules{Methods: []string{"POST"}}

	tests := []struct {
		name  string
		req   rfc9111.Request
		resp  *rfc9111.Response
		rules *rfc9111.Rules
		want  rfc9111.CachingStatus
	}{
		// RFC 9111 3: what is stored at all.
		{"explicit lifetime", get(), response(200, "Cache-Control: max-age=60"), nil, "ok"},
		{"no lifetime", get(), response(200), nil, "no-max-age"},
		{"validator alone", get(), response(200, `Etag: "a"`, "Last-Modified: "+date(-time.Hour)), nil, "no-max-age"},
		{"public alone", get(), response(200, "Cache-Control: public"), nil, "no-max-age"},
		{"zero", get(), response(200, "Cache-Control: max-age=0"), nil, "no-max-age"},
		{"zero and a validator", get(), response(200, "Cache-Control: max-age=0", `Etag: "a"`), nil, "ok"},
		{"over and a validator", get(), response(200, "Expires: "+date(-time.Hour), "Last-Modified: "+date(-2*time.Hour)), nil, "ok"},
		{"not a lifetime, and a validator", get(), response(200, "Cache-Control: max-age=x", `Etag: "a"`), nil, "ok"},
		{"zero with a stale window", get(), response(200, "Cache-Control: max-age=0, stale-while-revalidate=30"), nil, "ok"},
		{"zero with a stale window for errors", get(), response(200, "Cache-Control: max-age=0, stale-if-error=30"), nil, "no-max-age"},
		{"zero with a window that must-revalidate closes", get(), response(200, "Cache-Control: max-age=0, stale-while-revalidate=30, must-revalidate"), nil, "no-max-age"},
		{"interim", get(), response(103, "Cache-Control: max-age=60"), nil, "pass"},
		{"switching protocols", get(), response(101), minute, "pass"},
		{"created", get(), response(201, "Cache-Control: max-age=60"), nil, "ok"},
		{"no content", get(), response(204, "Cache-Control: max-age=60"), nil, "ok"},
		{"partial", get(), response(206, "Cache-Control: max-age=60", "Content-Range: bytes 0-4/10"), nil, "pass"},
		{"partial with a rule", get(), response(206), negative, "pass"},
		{"permanent redirect", get(), response(301, "Cache-Control: max-age=60"), nil, "ok"},
		{"temporary redirect", get(), response(302, "Expires: "+date(time.Hour)), nil, "ok"},
		{"temporary redirect without lifetime", get(), response(302), nil, "no-max-age"},
		{"not modified", get(), response(304, "Cache-Control: max-age=60"), nil, "pass"},
		{"unknown success", get(), response(299, "Cache-Control: max-age=60"), nil, "ok"},

		// Methods.
		{"head", rfc9111.Request{Method: "HEAD"}, response(200, "Cache-Control: max-age=60"), nil, "pass"},
		{"head of what is not stored anyway", rfc9111.Request{Method: "HEAD"}, response(200, "Cache-Control: private"), nil, "private"},
		{"post", rfc9111.Request{Method: "POST"}, response(200, "Cache-Control: max-age=60"), nil, "method"},
		{"post with a lifetime of the route", rfc9111.Request{Method: "POST"}, response(200), minute, "method"},
		{"post that the route names", rfc9111.Request{Method: "POST"}, response(200, "Cache-Control: max-age=60"), posts, "ok"},
		{"post that the route names, without lifetime", rfc9111.Request{Method: "POST"}, response(200), posts, "no-max-age"},
		{"methods have a case", rfc9111.Request{Method: "get"}, response(200, "Cache-Control: max-age=60"), nil, "method"},

		// Errors need a rule for their status.
		{"not found", get(), response(404, "Cache-Control: max-age=60"), nil, "code"},
		{"not found with a lifetime of the route", get(), response(404), minute, "code"},
		{"not found with a rule", get(), response(404), negative, "ok"},
		{"gone with a rule of zero", get(), response(410, "Cache-Control: max-age=60"), negative, "no-max-age"},
		{"unavailable with a rule", get(), response(503), negative, "ok"},
		{"unavailable with a rule, no-store", get(), response(503, "Cache-Control: no-store"), negative, "pass"},
		{"header too large", get(), response(431, "Cache-Control: max-age=60"), negative, "code"},
		{"status out of range", get(), response(999, "Cache-Control: max-age=60"), nil, "code"},
		{"status out of range, by the header", get(), response(999, "Cache-Control: max-age=60"), byHeader, "pass"},
		{"not found by the header", get(), response(404, "Cache-Control: max-age=60"), byHeader, "ok"},
		{"not found by the header, without lifetime", get(), response(404), byHeader, "no-max-age"},
		{"not found by the header, not by the lifetime of the route", get(), response(404), &rfc9111.Rules{ErrorsByHeader: true, Lifetime: ptr(time.Minute)}, "no-max-age"},
		{"not found by its rule, not by the header", get(), response(404, "Cache-Control: max-age=60"), &rfc9111.Rules{ErrorsByHeader: true, StatusLifetimes: map[int]time.Duration{404: 0}}, "no-max-age"},
		{"unavailable by the header", get(), response(503, "Expires: "+date(time.Hour)), byHeader, "ok"},
		{"unknown error by the header", get(), response(599, "Cache-Control: max-age=60"), byHeader, "ok"},
		{"unknown error by the header, must-understand", get(), response(599, "Cache-Control: max-age=60, must-understand"), byHeader, "pass"},
		{"unknown error by the header, no-store, must-understand", get(), response(599, "Cache-Control: max-age=60, no-store, must-understand"), byHeader, "pass"},
		{"private error by the header", get(), response(404, "Cache-Control: max-age=60, private"), byHeader, "private"},

		// RFC 9111 5.2.2.5: no-store.
		{"no-store", get(), response(200, "Cache-Control: no-store"), nil, "no-max-age"},
		{"no-store with max-age", get(), response(200, "Cache-Control: max-age=60, no-store"), nil, "pass"},
		{"no-store under a lifetime of the route", get(), response(200, "Cache-Control: no-store"), minute, "pass"},
		{"no-store under force", get(), response(200, "Cache-Control: no-store, max-age=60"), force, "ok"},
		{"No-StOrE", get(), response(200, "Cache-Control: No-StOrE, max-age=60"), nil, "pass"},
		{"no-store on its own line", get(), response(200, "Cache-Control: max-age=60", "Cache-Control: no-store"), nil, "pass"},
		{"no-store with an argument", get(), response(200, "Cache-Control: max-age=60, no-store=1"), nil, "pass"},
		{"no-store after a semicolon list", get(), response(200, "Cache-Control: no-store; max-age=60", "Expires: "+date(time.Hour)), nil, "pass"},
		{"no-store behind an open quote", get(), response(200, `Cache-Control: max-age=60, foo="bar, no-store`), nil, "pass"},
		{"no-store inside a quoted string", get(), response(200, `Cache-Control: foo="a, no-store, b", max-age=60`), nil, "ok"},
		{"no-store behind an escaped quote", get(), response(200, `Cache-Control: foo="a\", no-store, b", max-age=60`), nil, "ok"},
		{"no-stored is another word", get(), response(200, "Cache-Control: no-stored, max-age=60"), nil, "ok"},
		{"request no-store", get("Cache-Control: no-store"), response(200, "Cache-Control: max-age=60"), nil, "pass"},
		{"request no-store, ignored", get("Cache-Control: no-store"), response(200, "Cache-Control: max-age=60"), &rfc9111.Rules{IgnoreRequest: true}, "ok"},
		{"request no-cache", get("Cache-Control: no-cache"), response(200, "Cache-Control: max-age=60"), nil, "ok"},

		// RFC 9111 5.2.2.3: must-understand.
		{"must-understand", get(), response(200, "Cache-Control: no-store, must-understand, max-age=60"), nil, "ok"},
		{"must-understand, unknown status", get(), response(299, "Cache-Control: no-store, must-understand, max-age=60"), nil, "pass"},
		{"must-understand without no-store, unknown status", get(), response(299, "Cache-Control: must-understand, max-age=60"), nil, "pass"},

		// RFC 9111 5.2.2.7: private.
		{"private", get(), response(200, "Cache-Control: private, max-age=60"), nil, "private"},
		{"private under a lifetime of the route", get(), response(200, "Cache-Control: private"), minute, "private"},
		{"private under force", get(), response(200, "Cache-Control: private, max-age=60"), force, "ok"},
		{"private under force without lifetime", get(), response(200, "Cache-Control: private"), force, "no-max-age"},
		{"everything a framework says, under force", get(), response(200, "Cache-Control: private, no-cache, no-store, max-age=0, must-revalidate"), forceMinute, "ok"},
		{"private about a field", get(), response(200, `Cache-Control: private="x-user", max-age=60`, "X-User: 7"), nil, "private"},
		{"private about one field of two", get(), response(200, `Cache-Control: private="a, X-USER", max-age=60`, "X-User: 7"), nil, "private"},
		{"private about an absent field", get(), response(200, `Cache-Control: private="x-user", max-age=60`), nil, "ok"},
		{"private about a token", get(), response(200, "Cache-Control: private=x-user, max-age=60", "X-User: 7"), nil, "private"},
		{"private about nothing", get(), response(200, `Cache-Control: private="", max-age=60`), nil, "private"},
		{"private about no field name", get(), response(200, `Cache-Control: private="a b", max-age=60`), nil, "private"},
		{"private about an escaped name", get(), response(200, `Cache-Control: private="\x", max-age=60`), nil, "private"},
		{"private twice", get(), response(200, `Cache-Control: private="a", private="b", max-age=60`), nil, "private"},

		// RFC 9111 5.2.2.4: no-cache.
		{"no-cache and a validator", get(), response(200, "Cache-Control: no-cache", `Etag: "a"`), nil, "ok"},
		{"no-cache and a date", get(), response(200, "Cache-Control: no-cache", "Last-Modified: "+date(-time.Hour)), nil, "ok"},
		{"no-cache and nothing", get(), response(200, "Cache-Control: no-cache"), nil, "no-max-age"},
		{"no-cache under a route of zero", get(), response(200, "Cache-Control: no-cache", `Etag: "a"`), &rfc9111.Rules{Lifetime: ptr(0)}, "no-max-age"},
		{"no-cache with a lifetime and a validator", get(), response(200, "Cache-Control: no-cache, max-age=60", `Etag: "a"`), nil, "ok"},
		{"no-cache with a lifetime and a date", get(), response(200, "Cache-Control: no-cache, max-age=60", "Last-Modified: "+date(-time.Hour)), nil, "ok"},
		{"no-cache without a validator", get(), response(200, "Cache-Control: no-cache, max-age=60"), nil, "no-max-age"},
		{"no-cache with a broken validator", get(), response(200, "Cache-Control: no-cache, max-age=60", "Etag: a"), nil, "no-max-age"},
		{"no-cache under a lifetime of the route", get(), response(200, "Cache-Control: no-cache"), minute, "ok"},
		{"no-cache about set-cookie, as application servers send it", get(), response(200, `Cache-Control: no-cache="set-cookie, set-cookie2", max-age=60`), nil, "ok"},

		// RFC 9111 3.5: Authorization.
		{"authorization", get("Authorization: Basic eA=="), response(200, "Cache-Control: max-age=60"), nil, "private"},
		{"authorization, public", get("Authorization: Basic eA=="), response(200, "Cache-Control: max-age=60, public"), nil, "ok"},
		{"authorization, s-maxage", get("Authorization: Basic eA=="), response(200, "Cache-Control: s-maxage=60"), nil, "ok"},
		{"authorization, s-maxage broken", get("Authorization: Basic eA=="), response(200, "Cache-Control: s-maxage=x", "Cache-Control: max-age=60"), nil, "private"},
		{"authorization, must-revalidate", get("Authorization: Basic eA=="), response(200, "Cache-Control: max-age=60, must-revalidate"), nil, "ok"},
		{"authorization, proxy-revalidate is not enough", get("Authorization: Basic eA=="), response(200, "Cache-Control: max-age=60, proxy-revalidate"), nil, "private"},
		{"authorization, public with an argument", get("Authorization: Basic eA=="), response(200, "Cache-Control: max-age=60, public=no"), nil, "private"},
		{"authorization under force", get("Authorization: Basic eA=="), response(200, "Cache-Control: max-age=60"), force, "private"},
		{"authorization, targeted field without public", get("Authorization: Basic eA=="), response(200, "Cache-Control: public", "Cdn-Cache-Control: max-age=60"), nil, "private"},
		{"authorization, targeted field with public", get("Authorization: Basic eA=="), response(200, "Cdn-Cache-Control: max-age=60, public"), nil, "ok"},

		// Set-Cookie, whatever else is said.
		{"cookie", get(), response(200, "Cache-Control: public, max-age=60", "Set-Cookie: a=b"), nil, "set-cookie"},
		{"cookie under force", get(), response(200, "Set-Cookie: a=b"), forceMinute, "set-cookie"},
		{"cookie that the route keeps", get(), response(200, "Cache-Control: max-age=60", "Set-Cookie: a=b"), cookies, "ok"},
		{"cookie that the route keeps, private", get(), response(200, "Cache-Control: private, max-age=60", "Set-Cookie: a=b"), cookies, "private"},
		{"cookie on an error", get(), response(500, "Set-Cookie: a=b"), nil, "code"},

		// RFC 9111 4.1: Vary.
		{"vary", get(), response(200, "Cache-Control: max-age=60", "Vary: Accept"), nil, "ok"},
		{"vary *", get(), response(200, "Cache-Control: max-age=60", "Vary: *"), nil, "pass"},
		{"vary * in a list", get(), response(200, "Cache-Control: max-age=60", "Vary: Accept, *"), nil, "pass"},
		{"vary * on another line", get(), response(200, "Cache-Control: max-age=60", "Vary: ", "Vary: *"), nil, "pass"},
		{"vary * under a lifetime of the route", get(), response(200, "Vary: *"), minute, "pass"},
		{"vary that does not parse", get(), response(200, "Cache-Control: max-age=60", "Vary: a b"), nil, "pass"},

		// Age on arrival.
		{"arrived stale", get(), response(200, "Cache-Control: max-age=10", "Age: 15"), nil, "no-max-age"},
		{"arrived stale with a validator", get(), response(200, "Cache-Control: max-age=10", "Age: 15", `Etag: "a"`), nil, "ok"},
		{"arrived within its stale window", get(), response(200, "Cache-Control: max-age=10, stale-while-revalidate=10", "Age: 15"), nil, "ok"},
		{"arrived old under a lifetime of the route", get(), response(200, "Age: 5000"), minute, "ok"},
		{"route of zero", get(), response(200, "Cache-Control: max-age=60"), &rfc9111.Rules{Lifetime: ptr(0)}, "no-max-age"},
		{"route of less than zero", get(), response(200, "Cache-Control: max-age=60"), &rfc9111.Rules{Lifetime: ptr(-time.Second)}, "no-max-age"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := tt.resp.Header.Clone()
			got := rfc9111.Storable(tt.req, tt.resp, tt.rules)
			if got.Status != tt.want || got.Store != (tt.want == rfc9111.StatusOK) {
				t.Errorf("got store=%v %q (%s), want %q", got.Store, got.Status, got.Reason, tt.want)
			}
			if got.Reason == "" || !strings.HasSuffix(got.Reason, ".") {
				t.Errorf("reason %q is no sentence", got.Reason)
			}
			if !reflect.DeepEqual(before, tt.resp.Header) {
				t.Error("the response was edited")
			}
		})
	}
}

// A request may be stored for exactly if the best of responses may.
func TestStorableRequest(t *testing.T) {
	rules := &rfc9111.Rules{Methods: []string{"POST"}}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT"} {
		for _, line := range []string{"Accept: */*", "Cache-Control: no-store", "Cache-Control: no-cache", "Authorization: Basic eA==", "Cookie: a=b"} {
			for _, rules := range []*rfc9111.Rules{nil, rules, {IgnoreRequest: true}} {
				req := rfc9111.Request{Method: method, Header: header(line)}
				want := rfc9111.Storable(req, response(200, "Cache-Control: public, max-age=3600"), rules).Store
				if got := rfc9111.StorableRequest(req, rules); got != want {
					t.Errorf("%s with %s by %+v: %v, want %v", method, line, rules, got, want)
				}
			}
		}
	}
}
