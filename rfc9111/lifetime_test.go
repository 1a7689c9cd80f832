package rfc9111_test

import (
	"net/http"
	"testing"
	"time"

	"weir/rfc9111"
)

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
		{"expires in the wrong case", response(200, "Expires: sAT, 14 MAR 2026 16:09:26 gmt"), nil, time.Hour},
		{"expires in an obsolete form and the wrong case", response(200, "Expires: SATURDAY, 14-mar-26 16:09:26 GMt"), nil, time.Hour},
		{"expires in C's form, a day of one digit", response(200, "Date: Sun Mar  8 16:09:26 2026", "Expires: Wed Apr  8 16:09:26 2026"), nil, 31 * 24 * time.Hour},
		{"expires in a leap second", response(200, "Date: Sat, 14 Mar 2026 16:09:59 GMT", "Expires: Sat, 14 Mar 2026 16:09:60 GMT"), nil, time.Second},
		{"expires with an hour of one digit", response(200, "Expires: Thu, 18 Aug 2050 2:01:18 GMT"), nil, 0},
		{"expires with two spaces", response(200, "Expires: Thu, 18  Aug 2050 02:01:18 GMT"), nil, 0},
		{"expires with two spaces and an hour of one digit", response(200, "Expires: Thu, 18  Aug 2050 2:01:18 GMT"), nil, 0},
		{"expires without its comma", response(200, "Expires: Thu 18 Aug 2050 02:01:18 GMT"), nil, 0},
		{"expires with dashes", response(200, "Expires: Thu, 18-Aug-2050 02:01:18 GMT"), nil, 0},
		{"expires with a year of two digits", response(200, "Expires: Thu, 18 Aug 50 02:01:18 GMT"), nil, 0},
		{"expires with fractions of seconds", response(200, "Expires: Thu, 18 Aug 2050 02:01:18.5 GMT"), nil, 0},
		{"expires on no day", response(200, "Expires: Foo, 18 Aug 2050 02:01:18 GMT"), nil, 0},
		{"expires in a form of no name", response(200, "Expires: , 18 Aug 2050 02:01:18 GMT"), nil, 0},
		{"expires on February 30th", response(200, "Expires: Thu, 30 Feb 2050 02:01:18 GMT"), nil, 0},
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
		{"cdn field twice, the first of another type", response(200, "Cdn-Cache-Control: max-age=\"5\", max-age=60"), nil, time.Minute},
		{"cdn field twice, the last of another type", response(200, "Cache-Control: max-age=60", "Cdn-Cache-Control: max-age=5, max-age=\"5\""), nil, time.Minute},
		{"cdn field with a Date and a Display String", response(200, `Cdn-Cache-Control: max-age=60, x=@1659578233, y=%"f%c3%bc"`), nil, time.Minute},
		{"cdn field with a Date for a number", response(200, "Cache-Control: max-age=60", "Cdn-Cache-Control: max-age=@5"), nil, time.Minute},
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
		{"s-maxage=60, max-age=5, stale-while-revalidate=60", rfc9111.Terms{Lifetime: minute, StaleWhileRevalidate: minute, MustRevalidate: true}},
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
		{"s-maxage with a window", "s-maxage=60, stale-while-revalidate=60", nil, rfc9111.Terms{Lifetime: minute, StaleWhileRevalidate: minute, MustRevalidate: true}},
		{"windows of the route do not lift s-maxage", "s-maxage=60", windows, rfc9111.Terms{Lifetime: minute, MustRevalidate: true}},
		{"windows of the route replace those beside s-maxage", "s-maxage=60, stale-if-error=60", windows, rfc9111.Terms{Lifetime: minute, StaleWhileRevalidate: hour, StaleIfError: 2 * hour, MustRevalidate: true}},
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
