package rfc9111_test

import (
	"net/http"
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

// RFC 9111 4.2.1, and RFC 9213 2.2 for the order of the fields.
func TestLifetime(t *testing.T) {
	const long = 1 << 31 * time.Second
	tests := []struct {
		name  string
		resp  *rfc9111.Response
		rules *rfc9111.Rules
		want  time.Duration
	}{
		{"max-age", response(200, "Cache-Control: max-age=60"), nil, time.Minute},
		{"MaX-aGe", response(200, "Cache-Control: MaX-aGe=60"), nil, time.Minute},
		{"max-age quoted", response(200, `Cache-Control: max-age="60"`), nil, time.Minute},
		{"max-age with leading zeros", response(200, "Cache-Control: max-age=0060"), nil, time.Minute},
		{"max-age among unknown ones", response(200, "Cache-Control: foobar, baz=1,,  ,max-age=60 ,x=\"y\""), nil, time.Minute},
		{"max-age beyond 2^31", response(200, "Cache-Control: max-age=99999999999"), nil, long},
		{"max-age beyond 2^64", response(200, "Cache-Control: max-age=99999999999999999999999999"), nil, long},
		{"max-age twice, equal", response(200, "Cache-Control: max-age=60, max-age=60"), nil, time.Minute},
		{"max-age twice", response(200, "Cache-Control: max-age=60, max-age=61"), nil, 0},
		{"max-age twice on two lines", response(200, "Cache-Control: max-age=1", "Cache-Control: max-age=60"), nil, 0},
		{"max-age negative", response(200, "Cache-Control: max-age=-60", "Expires: "+date(time.Hour)), nil, 0},
		{"max-age decimal", response(200, "Cache-Control: max-age=60.0"), nil, 0},
		{"max-age with letters", response(200, "Cache-Control: max-age=60a"), nil, 0},
		{"max-age in single quotes", response(200, "Cache-Control: max-age='60'"), nil, 0},
		{"max-age with space before =", response(200, "Cache-Control: max-age =60"), nil, 0},
		{"max-age with space after =", response(200, "Cache-Control: max-age= 60"), nil, 0},
		{"max-age without argument", response(200, "Cache-Control: max-age", "Expires: "+date(time.Hour)), nil, 0},
		{"max-age empty", response(200, `Cache-Control: max-age=`), nil, 0},
		{"max-age quoted and empty", response(200, `Cache-Control: max-age=""`), nil, 0},
		{"max-age quoted with rubbish after", response(200, `Cache-Control: max-age="60"0`), nil, 0},
		{"max-age only inside a quoted string", response(200, `Cache-Control: x="max-age=60", max-age=5`), nil, 5 * time.Second},
		{"max-age only inside a quoted string, after", response(200, `Cache-Control: max-age=5, x="max-age=60"`), nil, 5 * time.Second},
		{"s-maxage before max-age", response(200, "Cache-Control: max-age=60, s-maxage=5"), nil, 5 * time.Second},
		{"s-maxage before max-age, other order", response(200, "Cache-Control: s-maxage=120, max-age=60"), nil, 2 * time.Minute},
		{"s-maxage broken does not fall back", response(200, "Cache-Control: s-maxage=x, max-age=60"), nil, 0},

		{"expires", response(200, "Expires: "+date(time.Hour)), nil, time.Hour},
		{"expires in an obsolete form", response(200, "Expires: Saturday, 14-Mar-26 16:09:26 GMT"), nil, time.Hour},
		{"expires in C's form", response(200, "Expires: Sat Mar 14 16:09:26 2026"), nil, time.Hour},
		{"expires counts from Date", response(200, "Date: "+date(-time.Hour), "Expires: "+date(time.Hour)), nil, 2 * time.Hour},
		{"expires without Date", dateless("Expires: " + date(time.Hour)), nil, time.Hour},
		{"expires with a broken Date", response(200, "Date: now", "Expires: "+date(time.Hour)), nil, time.Hour},
		{"expires in the past", response(200, "Expires: "+date(-time.Hour)), nil, 0},
		{"expires 0", response(200, "Expires: 0"), nil, 0},
		{"expires in another zone", response(200, "Expires: Thu, 18 Aug 2050 02:01:18 UTC"), nil, 0},
		{"expires in the far future", response(200, "Expires: Fri, 31 Dec 9999 23:59:59 GMT"), nil, long},
		{"expires twice, equal", response(200, "Expires: "+date(time.Hour), "Expires: "+date(time.Hour)), nil, time.Hour},
		{"expires twice", response(200, "Expires: "+date(time.Hour), "Expires: "+date(2*time.Hour)), nil, 0},
		{"max-age before expires", response(200, "Cache-Control: max-age=60", "Expires: "+date(-time.Hour)), nil, time.Minute},
		{"max-age 0 before expires", response(200, "Cache-Control: max-age=0", "Expires: "+date(time.Hour)), nil, 0},

		{"cdn field before max-age", response(200, "Cache-Control: max-age=5", "Cdn-Cache-Control: max-age=60"), nil, time.Minute},
		{"cdn field before a longer max-age", response(200, "Cache-Control: max-age=60", "Cdn-Cache-Control: max-age=5"), nil, 5 * time.Second},
		{"cdn field before s-maxage", response(200, "Cache-Control: s-maxage=5", "Cdn-Cache-Control: max-age=60"), nil, time.Minute},
		{"cdn field before expires", response(200, "Expires: 0", "Cdn-Cache-Control: max-age=60"), nil, time.Minute},
		{"cdn field without a lifetime hides max-age", response(200, "Cache-Control: max-age=60", "Cdn-Cache-Control: foo"), nil, 0},
		{"cdn field hides expires", response(200, "Expires: "+date(time.Hour), "Cdn-Cache-Control: foo"), nil, 0},
		{"own field first", response(200, "Cdn-Cache-Control: max-age=5", "Weir-Cache-Control: max-age=60"), nil, time.Minute},
		{"own field malformed, cdn field next", response(200, "Cdn-Cache-Control: max-age=5", "Weir-Cache-Control: &"), nil, 5 * time.Second},
		{"cdn field empty", response(200, "Cache-Control: max-age=60", "Cdn-Cache-Control: "), nil, time.Minute},
		{"cdn field malformed", response(200, "Cache-Control: max-age=60", "Cdn-Cache-Control: max-age=5, &&"), nil, time.Minute},
		{"cdn field with a trailing comma", response(200, "Cache-Control: max-age=60", "Cdn-Cache-Control: max-age=5,"), nil, time.Minute},
		{"cdn field with an upper-case key", response(200, "Cache-Control: max-age=60", "Cdn-Cache-Control: Max-Age=5"), nil, time.Minute},
		{"cdn field with a space before =", response(200, "Cache-Control: max-age=60", "Cdn-Cache-Control: max-age =5"), nil, time.Minute},
		{"cdn field with a space after =", response(200, "Cache-Control: max-age=60", "Cdn-Cache-Control: max-age= 5"), nil, time.Minute},
		{"cdn field of another type", response(200, "Cache-Control: max-age=60", `Cdn-Cache-Control: max-age="5"`), nil, time.Minute},
		{"cdn field decimal", response(200, "Cache-Control: max-age=60", "Cdn-Cache-Control: max-age=5.0"), nil, time.Minute},
		{"cdn field boolean", response(200, "Cache-Control: max-age=60", "Cdn-Cache-Control: max-age"), nil, time.Minute},
		{"cdn field negative", response(200, "Cache-Control: max-age=60", "Cdn-Cache-Control: max-age=-5"), nil, 0},
		{"cdn field twice, last wins", response(200, "Cdn-Cache-Control: max-age=5, max-age=60"), nil, time.Minute},
		{"cdn field on two lines", response(200, "Cdn-Cache-Control: foo", "Cdn-Cache-Control: max-age=60"), nil, time.Minute},
		{"cdn field with parameters", response(200, `Cdn-Cache-Control: max-age=60;a;b="c";d=?0, x=(1 "2" t;u=1);v, y=:YQ==:`), nil, time.Minute},
		{"cdn field beyond 15 digits", response(200, "Cache-Control: max-age=60", "Cdn-Cache-Control: max-age=1234567890123456"), nil, time.Minute},
		{"cdn field beyond 2^31", response(200, "Cdn-Cache-Control: max-age=99999999999"), nil, long},
		{"cdn field over no-store", response(200, "Cache-Control: no-store", "Cdn-Cache-Control: max-age=60"), nil, time.Minute},
		{"cdn field with no-store off", response(200, "Cdn-Cache-Control: max-age=60, no-store=?0"), nil, time.Minute},

		{"route over max-age", response(200, "Cache-Control: max-age=5"), &rfc9111.Rules{Lifetime: ptr(time.Minute)}, time.Minute},
		{"route shorter than max-age", response(200, "Cache-Control: max-age=500"), &rfc9111.Rules{Lifetime: ptr(time.Minute)}, time.Minute},
		{"route over the cdn field", response(200, "Cdn-Cache-Control: max-age=5"), &rfc9111.Rules{Lifetime: ptr(time.Minute)}, time.Minute},
		{"route counts from arrival", response(200, "Age: 3"), &rfc9111.Rules{Lifetime: ptr(time.Minute)}, time.Minute + 3*time.Second},
		{"status over route", response(301), &rfc9111.Rules{Lifetime: ptr(time.Minute), StatusLifetimes: map[int]time.Duration{301: time.Hour}}, time.Hour},
		{"status for an error", response(404, "Cache-Control: max-age=5"), &rfc9111.Rules{StatusLifetimes: map[int]time.Duration{404: time.Minute}}, time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := rfc9111.Storable(get(), tt.resp, tt.rules)
			if got.Terms.Lifetime != tt.want {
				t.Errorf("lifetime %v, want %v (%s)", got.Terms.Lifetime, tt.want, got.Reason)
			}
			if got.Store != (tt.want > 0) {
				t.Errorf("store %v with lifetime %v: %s", got.Store, tt.want, got.Reason)
			}
		})
	}
}

// RFC 9213 2.1: the directives mean in a targeted field what they mean elsewhere.
func TestTargetedTerms(t *testing.T) {
	const minute = time.Minute
	tests := []struct {
		field string
		want  rfc9111.Terms
	}{
		{"s-maxage=60, max-age=5, stale-while-revalidate=60", rfc9111.Terms{Lifetime: minute, StaleWhileRevalidate: minute}},
		{"max-age=60, stale-if-error=60, immutable, public", rfc9111.Terms{Lifetime: minute, StaleIfError: minute}},
		{"max-age=60, stale-if-error=60, must-revalidate", rfc9111.Terms{Lifetime: minute, MustRevalidate: true}},
		{"max-age=60, stale-if-error=60, proxy-revalidate", rfc9111.Terms{Lifetime: minute, MustRevalidate: true}},
		{"max-age=60, stale-if-error=60, must-revalidate=?0", rfc9111.Terms{Lifetime: minute, StaleIfError: minute}},
		{"max-age=60, stale-if-error=soon", rfc9111.Terms{Lifetime: 5 * time.Second}},
	}
	for _, tt := range tests {
		resp := response(200, "Cache-Control: max-age=5", "Cdn-Cache-Control: "+tt.field)
		if got := rfc9111.Storable(get(), resp, nil).Terms; got != tt.want {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.field, got, tt.want)
		}
	}
}

// What a targeted field forbids counts, and hides what Cache-Control allows: RFC 9213 2.2.
func TestTargetedBans(t *testing.T) {
	tests := []struct {
		field string
		want  rfc9111.CachingStatus
	}{
		{"private", "private"},
		{"private, max-age=60", "private"},
		{`private="x-user", max-age=60`, "private"},
		{`private="x-other", max-age=60`, "ok"},
		{"private=5, max-age=60", "private"},
		{"no-store, max-age=60", "pass"},
		{"no-store;a=b, max-age=60", "pass"},
		{"no-store", "no-max-age"},
		{"no-cache, max-age=60", "no-max-age"},
		{"no-cache, no-cache=?0, max-age=60", "ok"},
		{"must-understand, no-store, max-age=60", "ok"},
	}
	for _, tt := range tests {
		t.Run(tt.field, func(t *testing.T) {
			resp := response(200, "X-User: 7", "Cache-Control: public, max-age=10000", "Cdn-Cache-Control: "+tt.field)
			if got := rfc9111.Storable(get(), resp, nil); got.Status != tt.want {
				t.Errorf("got %q (%s), want %q", got.Status, got.Reason, tt.want)
			}
		})
	}
}

// RFC 9111 4.2.2.
func TestHeuristicLifetime(t *testing.T) {
	on := &rfc9111.Rules{Heuristic: true}
	errors := &rfc9111.Rules{Heuristic: true, ErrorsByHeader: true}
	tests := []struct {
		name  string
		req   rfc9111.Request
		resp  *rfc9111.Response
		rules *rfc9111.Rules
		want  time.Duration
	}{
		{"a tenth", get(), response(200, "Last-Modified: "+date(-100*time.Minute)), on, 10 * time.Minute},
		{"off", get(), response(200, "Last-Modified: "+date(-100*time.Minute)), nil, 0},
		{"at most a day", get(), response(200, "Last-Modified: "+date(-5000*time.Hour)), on, 24 * time.Hour},
		{"no date", get(), response(200), on, 0},
		{"changed after it was made", get(), response(200, "Last-Modified: "+date(time.Hour)), on, 0},
		{"counts from Date", get(), response(200, "Date: "+date(-time.Hour), "Last-Modified: "+date(-11*time.Hour)), on, time.Hour},
		{"not over an explicit lifetime", get(), response(200, "Cache-Control: max-age=5", "Last-Modified: "+date(-100*time.Minute)), on, 5 * time.Second},
		{"not over an invalid one", get(), response(200, "Cache-Control: max-age=x", "Last-Modified: "+date(-100*time.Minute)), on, 0},
		{"not for a temporary redirect", get(), response(302, "Last-Modified: "+date(-100*time.Minute)), on, 0},
		{"for one that is public", get(), response(302, "Cache-Control: public", "Last-Modified: "+date(-100*time.Minute)), on, 10 * time.Minute},
		{"not for an error", get(), response(404, "Last-Modified: "+date(-100*time.Minute)), on, 0},
		{"for an error by the header", get(), response(404, "Last-Modified: "+date(-100*time.Minute)), errors, 10 * time.Minute},
		{"not for any error by the header", get(), response(502, "Last-Modified: "+date(-100*time.Minute)), errors, 0},
		{"for an unknown error that is public", get(), response(599, "Cache-Control: public", "Last-Modified: "+date(-100*time.Minute)), errors, 10 * time.Minute},
		{"not for a request with a cookie", get("Cookie: a=b"), response(200, "Last-Modified: "+date(-100*time.Minute)), on, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := rfc9111.Storable(tt.req, tt.resp, tt.rules).Terms.Lifetime; got != tt.want {
				t.Errorf("lifetime %v, want %v", got, tt.want)
			}
		})
	}
}

// RFC 5861, and RFC 9111 5.2.2.2, 5.2.2.8, 5.2.2.10 for what closes the windows.
func TestStaleTerms(t *testing.T) {
	const minute, hour = time.Minute, time.Hour
	route := &rfc9111.Rules{Lifetime: ptr(minute), StaleWhileRevalidate: ptr(hour), StaleIfError: ptr(2 * hour)}
	windows := &rfc9111.Rules{StaleWhileRevalidate: ptr(hour), StaleIfError: ptr(2 * hour)}
	tests := []struct {
		name  string
		cc    string
		rules *rfc9111.Rules
		want  rfc9111.Terms
	}{
		{"none", "max-age=60", nil, rfc9111.Terms{Lifetime: minute}},
		{"both", "max-age=60, stale-while-revalidate=60, stale-if-error=3600", nil, rfc9111.Terms{Lifetime: minute, StaleWhileRevalidate: minute, StaleIfError: hour}},
		{"malformed", "max-age=60, stale-while-revalidate=x, stale-if-error", nil, rfc9111.Terms{Lifetime: minute}},
		{"must-revalidate", "max-age=60, must-revalidate, stale-while-revalidate=60, stale-if-error=60", nil, rfc9111.Terms{Lifetime: minute, MustRevalidate: true}},
		{"proxy-revalidate", "max-age=60, proxy-revalidate, stale-if-error=60", nil, rfc9111.Terms{Lifetime: minute, MustRevalidate: true}},
		{"s-maxage alone", "s-maxage=60", nil, rfc9111.Terms{Lifetime: minute, MustRevalidate: true}},
		{"s-maxage with a window", "s-maxage=60, stale-while-revalidate=60", nil, rfc9111.Terms{Lifetime: minute, StaleWhileRevalidate: minute}},
		{"windows of the route do not lift s-maxage", "s-maxage=60", windows, rfc9111.Terms{Lifetime: minute, MustRevalidate: true}},
		{"windows of the route replace those beside s-maxage", "s-maxage=60, stale-if-error=60", windows, rfc9111.Terms{Lifetime: minute, StaleWhileRevalidate: hour, StaleIfError: 2 * hour}},
		{"lifetime and windows of the route lift s-maxage", "s-maxage=5", route, rfc9111.Terms{Lifetime: minute, StaleWhileRevalidate: hour, StaleIfError: 2 * hour}},
		{"s-maxage under a lifetime of the route", "s-maxage=5", &rfc9111.Rules{Lifetime: ptr(minute)}, rfc9111.Terms{Lifetime: minute}},
		{"route", "max-age=5", route, rfc9111.Terms{Lifetime: minute, StaleWhileRevalidate: hour, StaleIfError: 2 * hour}},
		{"route closes a window", "max-age=60, stale-while-revalidate=60", &rfc9111.Rules{StaleWhileRevalidate: ptr(0)}, rfc9111.Terms{Lifetime: minute}},
		{"windows of the route do not lift must-revalidate", "max-age=60, must-revalidate", windows, rfc9111.Terms{Lifetime: minute, MustRevalidate: true}},
		{"lifetime of the route does not lift must-revalidate", "max-age=0, must-revalidate", &rfc9111.Rules{Lifetime: ptr(minute)}, rfc9111.Terms{Lifetime: minute, MustRevalidate: true}},
		{"lifetime and windows of the route do", "max-age=0, must-revalidate", route, rfc9111.Terms{Lifetime: minute, StaleWhileRevalidate: hour, StaleIfError: 2 * hour}},
		{"no-cache", "max-age=60, no-cache, stale-while-revalidate=60", nil, rfc9111.Terms{Lifetime: minute, NoCache: true}},
		{"no-cache under the route", "no-cache", route, rfc9111.Terms{Lifetime: minute, StaleWhileRevalidate: hour, StaleIfError: 2 * hour}},
		{"no-cache about a field that is there", `no-cache="etag", max-age=60`, nil, rfc9111.Terms{Lifetime: minute, NoCache: true}},
		{"no-cache about a field that is there, under the route", `no-cache="etag"`, route, rfc9111.Terms{Lifetime: minute, NoCache: true}},
		{"no-cache about a field that is not", `no-cache="x-user", max-age=60`, nil, rfc9111.Terms{Lifetime: minute}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := rfc9111.Storable(get(), response(200, `Etag: "a"`, "Cache-Control: "+tt.cc), tt.rules)
			if !got.Store || got.Terms != tt.want {
				t.Errorf("store %v (%s)\n got %+v\nwant %+v", got.Store, got.Reason, got.Terms, tt.want)
			}
		})
	}

	t.Run("failures have no windows", func(t *testing.T) {
		rules := *windows
		rules.StatusLifetimes = map[int]time.Duration{503: minute, 404: minute}
		if got := rfc9111.Storable(get(), response(503), &rules).Terms; got != (rfc9111.Terms{Lifetime: minute}) {
			t.Errorf("503: %+v", got)
		}
		if got := rfc9111.Storable(get(), response(404), &rules).Terms; got.StaleWhileRevalidate != hour {
			t.Errorf("404: %+v", got)
		}
	})
}

// RFC 9111 4.2.3 and 5.1.
func TestAge(t *testing.T) {
	long := 1 << 31 * time.Second
	tests := []struct {
		name  string
		resp  *rfc9111.Response
		delay time.Duration // between request and response
		want  time.Duration // initial age
	}{
		{"new", response(200), 0, 0},
		{"age", response(200, "Age: 30"), 0, 30 * time.Second},
		{"age and delay", response(200, "Age: 30"), 2 * time.Second, 32 * time.Second},
		{"delay alone", response(200), 1500 * time.Millisecond, 1500 * time.Millisecond},
		{"date alone", response(200, "Date: "+date(-time.Minute)), 0, time.Minute},
		{"date and delay are not added", response(200, "Date: "+date(-time.Minute)), time.Second, time.Minute},
		{"the larger of date and age", response(200, "Date: "+date(-time.Minute), "Age: 90"), 0, 90 * time.Second},
		{"the larger of age and date", response(200, "Date: "+date(-time.Minute), "Age: 10"), 0, time.Minute},
		{"date in the future", response(200, "Date: "+date(time.Hour)), 0, 0},
		{"date missing", dateless(), 0, 0},
		{"date malformed", response(200, "Date: yesterday"), 0, 0},
		{"age with letters", response(200, "Age: abc"), 0, 0},
		{"age negative", response(200, "Age: -7200"), 0, 0},
		{"age decimal", response(200, "Age: 7200.0"), 0, 0},
		{"age in scientific notation", response(200, "Age: 9e99"), 0, 0},
		{"age with a parameter", response(200, "Age: 7200;foo=bar"), 0, 2 * time.Hour},
		{"age with a parameter, decimal", response(200, "Age: 7200.0;foo=1"), 0, 0},
		{"age empty", response(200, "Age:"), 0, 0},
		{"age list, the first counts", response(200, "Age: 7200, 0"), 0, 2 * time.Hour},
		{"age list, the first is zero", response(200, "Age: 0,7200"), 0, 0},
		{"age on two lines", response(200, "Age: 7200", "Age: 0"), 0, 2 * time.Hour},
		{"age on two lines, the first is zero", response(200, "Age: 0", "Age: 7200"), 0, 0},
		{"age of 2^31-1", response(200, "Age: 2147483647"), 0, long - time.Second},
		{"age of 2^31", response(200, "Age: 2147483648"), 0, long},
		{"age beyond", response(200, "Age: 99999999999999999999999"), 0, long},
		{"clock that went back", response(200), -time.Hour, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.resp.RequestTime = arrival.Add(-tt.delay)
			got := rfc9111.Storable(get(), tt.resp, &rfc9111.Rules{Lifetime: ptr(time.Hour)})
			if got.Terms.InitialAge != tt.want {
				t.Errorf("initial age %v, want %v", got.Terms.InitialAge, tt.want)
			}
			tt.resp.Terms = got.Terms
			if age := tt.resp.Age(arrival.Add(3 * time.Second)); age != tt.want+3*time.Second {
				t.Errorf("age %v three seconds later", age)
			}
			if ttl := tt.resp.TTL(arrival.Add(3 * time.Second)); ttl != time.Hour-3*time.Second {
				t.Errorf("ttl %v three seconds later", ttl)
			}
		})
	}

	t.Run("a Date has whole seconds", func(t *testing.T) {
		resp := response(200, "Cache-Control: max-age=1")
		resp.RequestTime = arrival.Add(900 * time.Millisecond)
		resp.ResponseTime = resp.RequestTime
		if got := rfc9111.Storable(get(), resp, nil).Terms.InitialAge; got != 0 {
			t.Errorf("initial age %v", got)
		}
	})
	t.Run("never negative, never overflows", func(t *testing.T) {
		r := &rfc9111.Response{ResponseTime: arrival, Terms: rfc9111.Terms{InitialAge: 5}}
		if got := r.Age(arrival.Add(-time.Hour)); got != 5 {
			t.Errorf("before arrival: %v", got)
		}
		r.ResponseTime = time.Time{}
		if got := r.Age(arrival); got <= 0 || r.TTL(arrival) >= 0 {
			t.Errorf("since year one: %v, ttl %v", got, r.TTL(arrival))
		}
	})
}

// Two tiers in a row see one age: what the outer one gets with an Age field is as
// old as what the inner one has.
func TestAgeAcrossTiers(t *testing.T) {
	inner := stored(t, get(), nil, "Cache-Control: max-age=60", "Age: 10")
	sent := arrival.Add(20 * time.Second)
	outer := response(200, "Cache-Control: max-age=60", "Age: 30")
	outer.RequestTime, outer.ResponseTime = sent, sent
	s := rfc9111.Storable(get(), outer, nil)
	outer.Terms = s.Terms
	for _, after := range []time.Duration{0, 29 * time.Second, 30 * time.Second, time.Hour} {
		now := sent.Add(after)
		if inner.Age(now) != outer.Age(now) || inner.TTL(now) != outer.TTL(now) {
			t.Errorf("after %v: age %v and %v", after, inner.Age(now), outer.Age(now))
		}
	}
}

func TestStorableSelection(t *testing.T) {
	resp := response(200, "Cache-Control: max-age=60", "Vary: Accept-Language")
	s := rfc9111.Storable(get("Accept-Language: de"), resp, nil)
	if !s.Selection.Matches(http.Header{"Accept-Language": {"de"}}) || s.Selection.Matches(http.Header{"Accept-Language": {"en"}}) {
		t.Errorf("selection %q", s.Selection)
	}
}
