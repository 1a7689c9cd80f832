package rfc9111_test

import (
	"strings"
	"testing"
	"time"

	"weir/rfc9111"
)

// RFC 9111 4, 4.2.4, 5.2.1 and RFC 5861 3.
func TestJudge(t *testing.T) {
	const (
		fresh    = rfc9111.ReuseFresh
		stale    = rfc9111.ReuseStale
		validate = rfc9111.ReuseValidate
		gateway  = rfc9111.ReuseGateway
	)
	ignore := &rfc9111.Rules{IgnoreRequest: true}
	tests := []struct {
		name    string
		cc      string        // of the stored response
		after   time.Duration // since its arrival
		req     rfc9111.Request
		rules   *rfc9111.Rules
		want    rfc9111.Reuse
		forward rfc9111.Forward
	}{
		{"fresh", "max-age=60", 0, get(), nil, fresh, ""},
		{"fresh to the last", "max-age=60", time.Minute - 1, get(), nil, fresh, ""},
		{"stale when the lifetime is reached", "max-age=60", time.Minute, get(), nil, validate, "stale"},
		{"stale", "max-age=60", time.Hour, get(), nil, validate, "stale"},
		{"clock that went back", "max-age=60", -time.Hour, get(), nil, fresh, ""},
		{"head", "max-age=60", 0, rfc9111.Request{Method: "HEAD"}, nil, fresh, ""},

		{"no-cache", "max-age=60, no-cache", 0, get(), nil, validate, "stale"},
		{"no-cache and max-stale", "max-age=60, no-cache", time.Hour, get("Cache-Control: max-stale"), nil, validate, "stale"},

		{"window begins", "max-age=60, stale-while-revalidate=30", time.Minute, get(), nil, stale, ""},
		{"window ends", "max-age=60, stale-while-revalidate=30", 90*time.Second - 1, get(), nil, stale, ""},
		{"window over", "max-age=60, stale-while-revalidate=30", 90 * time.Second, get(), nil, validate, "stale"},
		{"window of zero", "max-age=60, stale-while-revalidate=0", time.Minute, get(), nil, validate, "stale"},
		{"window for errors is not for this", "max-age=60, stale-if-error=30", time.Minute, get(), nil, validate, "stale"},
		{"always stale", "max-age=0, stale-while-revalidate=30", 0, get(), nil, stale, ""},
		{"window and request max-age", "max-age=60, stale-while-revalidate=30", 70 * time.Second, get("Cache-Control: max-age=600"), nil, validate, "stale"},
		{"window and request min-fresh", "max-age=60, stale-while-revalidate=30", 70 * time.Second, get("Cache-Control: min-fresh=0"), nil, validate, "stale"},
		{"window and request no-cache", "max-age=60, stale-while-revalidate=30", 70 * time.Second, get("Cache-Control: no-cache"), nil, validate, "stale"},

		{"request no-cache", "max-age=60", 0, get("Cache-Control: no-cache"), nil, validate, "request"},
		{"request NO-CACHE", "max-age=60", 0, get("Cache-Control: foo, NO-CACHE"), nil, validate, "request"},
		{"request no-cache, ignored", "max-age=60", 0, get("Cache-Control: no-cache"), ignore, fresh, ""},
		{"request no-store does not bar reuse", "max-age=60", 0, get("Cache-Control: no-store"), nil, fresh, ""},
		{"request pragma", "max-age=60", 0, get("Pragma: no-cache"), nil, validate, "request"},
		{"request pragma, ignored", "max-age=60", 0, get("Pragma: no-cache"), ignore, fresh, ""},
		{"request pragma beside cache-control", "max-age=60", 0, get("Pragma: no-cache", "Cache-Control: max-age=600"), nil, fresh, ""},
		{"request pragma of no meaning", "max-age=60", 0, get("Pragma: foo, max-age=0, only-if-cached"), nil, fresh, ""},
		{"request unknown directive", "max-age=60", 0, get("Cache-Control: foo=bar, private, must-revalidate"), nil, fresh, ""},

		{"request max-age", "max-age=60", 10 * time.Second, get("Cache-Control: max-age=10"), nil, fresh, ""},
		{"request max-age exceeded", "max-age=60", 10*time.Second + 1, get("Cache-Control: max-age=10"), nil, validate, "request"},
		{"request max-age 0", "max-age=60", time.Millisecond, get("Cache-Control: max-age=0"), nil, validate, "request"},
		{"request max-age 0 of an immutable one", "max-age=60, immutable", time.Second, get("Cache-Control: max-age=0"), nil, fresh, ""},
		{"request max-age 0 of an immutable one that is stale", "max-age=60, immutable", time.Hour, get("Cache-Control: max-age=0"), nil, validate, "stale"},
		{"request no-cache of an immutable one", "max-age=60, immutable", time.Second, get("Cache-Control: no-cache"), nil, validate, "request"},
		{"request max-age malformed", "max-age=60", 10 * time.Second, get("Cache-Control: max-age=x"), nil, fresh, ""},
		{"request max-age of a stale one", "max-age=60", time.Hour, get("Cache-Control: max-age=7200"), nil, validate, "stale"},

		{"request min-fresh", "max-age=60", 0, get("Cache-Control: min-fresh=60"), nil, fresh, ""},
		{"request min-fresh missed", "max-age=60", 1, get("Cache-Control: min-fresh=60"), nil, validate, "request"},
		{"request min-fresh huge", "max-age=60", 0, get("Cache-Control: min-fresh=99999999999999999999"), nil, validate, "request"},

		{"request max-stale", "max-age=60", 70 * time.Second, get("Cache-Control: max-stale=10"), nil, stale, ""},
		{"request max-stale exceeded", "max-age=60", 71 * time.Second, get("Cache-Control: max-stale=10"), nil, validate, "stale"},
		{"request max-stale of any length", "max-age=60", 1000 * time.Hour, get("Cache-Control: max-stale"), nil, stale, ""},
		{"request max-stale, ignored", "max-age=60", 70 * time.Second, get("Cache-Control: max-stale"), ignore, validate, "stale"},
		{"request max-stale malformed", "max-age=60", 70 * time.Second, get("Cache-Control: max-stale=x"), nil, validate, "stale"},
		{"request max-stale, must-revalidate", "max-age=60, must-revalidate", 70 * time.Second, get("Cache-Control: max-stale"), nil, validate, "stale"},
		{"request max-stale, proxy-revalidate", "max-age=60, proxy-revalidate", 70 * time.Second, get("Cache-Control: max-stale"), nil, validate, "stale"},
		{"request max-stale, s-maxage", "s-maxage=60", 70 * time.Second, get("Cache-Control: max-stale"), nil, validate, "stale"},
		{"request max-stale beyond the window beside s-maxage", "s-maxage=60, stale-while-revalidate=10", 71 * time.Second, get("Cache-Control: max-stale=100"), nil, validate, "stale"},
		{"request max-stale within the window beside s-maxage", "s-maxage=60, stale-while-revalidate=10", 65 * time.Second, get("Cache-Control: max-stale=100"), nil, stale, ""},
		{"request max-stale twice", "max-age=60", 70 * time.Second, get("Cache-Control: max-stale=5, max-stale"), nil, validate, "stale"},
		{"request max-stale twice, the other way round", "max-age=60", 70 * time.Second, get("Cache-Control: max-stale, max-stale=5"), nil, validate, "stale"},
		{"request max-stale with max-age that is kept", "max-age=60", 70 * time.Second, get("Cache-Control: max-stale=10, max-age=80"), nil, stale, ""},

		{"request only-if-cached, fresh", "max-age=60", 0, get("Cache-Control: only-if-cached"), nil, fresh, ""},
		{"request only-if-cached, stale in the window", "max-age=60, stale-while-revalidate=30", time.Minute, get("Cache-Control: only-if-cached"), nil, stale, ""},
		{"request only-if-cached, stale", "max-age=60", time.Hour, get("Cache-Control: only-if-cached"), nil, gateway, ""},
		{"request only-if-cached and no-cache", "max-age=60", 0, get("Cache-Control: only-if-cached, no-cache"), nil, gateway, ""},
		{"request only-if-cached, ignored", "max-age=60", time.Hour, get("Cache-Control: only-if-cached"), ignore, validate, "stale"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := stored(t, get(), nil, `Etag: "a"`, "Cache-Control: "+tt.cc)
			got := rfc9111.Judge(tt.req, r, tt.rules, arrival.Add(tt.after))
			if got.Reuse != tt.want || got.Forward != tt.forward {
				t.Errorf("got %v %q (%s), want %v %q", got.Reuse, got.Forward, got.Reason, tt.want, tt.forward)
			}
			if !strings.Contains(got.Reason, "RFC ") {
				t.Errorf("reason %q names no section", got.Reason)
			}
		})
	}

	t.Run("nothing stored", func(t *testing.T) {
		if got := rfc9111.Judge(get(), nil, nil, arrival); got.Reuse != validate || got.Forward != rfc9111.ForwardURIMiss {
			t.Errorf("got %+v", got)
		}
		if got := rfc9111.Judge(get("Cache-Control: only-if-cached"), nil, nil, arrival); got.Reuse != gateway || got.Forward != "" {
			t.Errorf("got %+v", got)
		}
	})
}

// RFC 5861 4.
func TestUsableOnError(t *testing.T) {
	tests := []struct {
		name  string
		cc    string
		after time.Duration
		req   rfc9111.Request
		rules *rfc9111.Rules
		want  bool
	}{
		{"fresh", "max-age=60", 0, get("Cache-Control: no-cache"), nil, true},
		{"stale", "max-age=60", time.Minute, get(), nil, false},
		{"window begins", "max-age=60, stale-if-error=30", time.Minute, get(), nil, true},
		{"window ends", "max-age=60, stale-if-error=30", 90*time.Second - 1, get(), nil, true},
		{"window over", "max-age=60, stale-if-error=30", 90 * time.Second, get(), nil, false},
		{"window for revalidation is not for this", "max-age=60, stale-while-revalidate=30", time.Minute, get(), nil, false},
		{"the request's window", "max-age=60", time.Minute, get("Cache-Control: stale-if-error=30"), nil, true},
		{"the request's window is longer", "max-age=60, stale-if-error=5", 80 * time.Second, get("Cache-Control: stale-if-error=30"), nil, true},
		{"the request's window is shorter", "max-age=60, stale-if-error=30", 80 * time.Second, get("Cache-Control: stale-if-error=5"), nil, true},
		{"must-revalidate, fresh", "max-age=60, must-revalidate", 0, get(), nil, true},
		{"must-revalidate", "max-age=60, must-revalidate, stale-if-error=30", time.Minute, get("Cache-Control: stale-if-error=30"), nil, false},
		{"s-maxage", "s-maxage=60", time.Minute, get("Cache-Control: stale-if-error=30"), nil, false},
		{"the request's window, ignored", "max-age=60", time.Minute, get("Cache-Control: stale-if-error=30"), &rfc9111.Rules{IgnoreRequest: true}, false},
		{"s-maxage with a window", "s-maxage=60, stale-if-error=30", 80 * time.Second, get(), nil, true},
		{"s-maxage with a window that the request wants longer", "s-maxage=60, stale-if-error=30", 91 * time.Second, get("Cache-Control: stale-if-error=300"), nil, false},
		{"no-cache", "max-age=60, no-cache", 0, get("Cache-Control: stale-if-error=30"), nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := stored(t, get(), nil, `Etag: "a"`, "Cache-Control: "+tt.cc)
			if got := rfc9111.UsableOnError(tt.req, r, tt.rules, arrival.Add(tt.after)); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestFailedStatus(t *testing.T) {
	for status, want := range map[int]bool{200: false, 404: false, 499: false, 500: true, 501: false, 502: true, 503: true, 504: true, 505: false, 599: false} {
		if rfc9111.FailedStatus(status) != want {
			t.Errorf("%d is not %v", status, want)
		}
	}
}

// The hit path asks for each request: it must not allocate.
func TestJudgeAllocates(t *testing.T) {
	r := stored(t, get(), nil, "Cache-Control: max-age=60", "Vary: Accept-Encoding, Accept-Language, X-Long")
	long := strings.Repeat("x", 100)
	s, _ := rfc9111.Select(r.Header["Vary"], header("Accept-Encoding: gzip, br", "Accept-Language: de, en;q=0.5", "X-Long: "+long))
	plain := get("Accept-Encoding: br, gzip", "Accept-Language: de,en;q=0.5", "X-Long: "+long)
	demanding := get("Cache-Control: max-age=30, min-fresh=5")
	now := arrival.Add(time.Second)
	allocates := func(name string, f func() bool) {
		t.Helper()
		ok := true
		if n := testing.AllocsPerRun(100, func() { ok = ok && f() }); n != 0 || !ok {
			t.Errorf("%s: %v allocations, right: %v", name, n, ok)
		}
	}
	allocates("a plain request", func() bool { return rfc9111.Judge(plain, r, nil, now).Reuse == rfc9111.ReuseFresh })
	allocates("a request with directives", func() bool { return rfc9111.Judge(demanding, r, nil, now).Reuse == rfc9111.ReuseFresh })
	allocates("matching a variant", func() bool { return s.Matches(plain.Header) })
	allocates("no preconditions", func() bool { return rfc9111.Evaluate(plain, r) == rfc9111.Proceed })
}

func BenchmarkJudge(b *testing.B) {
	r := stored(b, get(), nil, "Cache-Control: max-age=60")
	req := get("Accept: */*", "User-Agent: curl/8")
	now := arrival.Add(time.Second)
	b.ReportAllocs()
	for b.Loop() {
		rfc9111.Judge(req, r, nil, now)
	}
}

func BenchmarkStorable(b *testing.B) {
	r := response(200, "Cache-Control: public, max-age=60, stale-while-revalidate=30", `Etag: "a"`, "Content-Type: text/html")
	req := get("Accept: */*", "User-Agent: curl/8")
	b.ReportAllocs()
	for b.Loop() {
		rfc9111.Storable(req, r, nil)
	}
}

func BenchmarkMatches(b *testing.B) {
	req := get("Accept-Encoding: gzip, deflate, br, zstd")
	s, _ := rfc9111.Select([]string{"Accept-Encoding"}, req.Header)
	b.ReportAllocs()
	for b.Loop() {
		s.Matches(req.Header)
	}
}
