package rfc9111_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/rfc9111"
)

// drawDirectives draws a Cache-Control field out of the given directives.
func drawDirectives(t *rapid.T, name string, from []string) []string {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(from), 0, 4, rapid.ID[string]).Draw(t, name)
}

var (
	responseDirectives = []string{
		"max-age=60", "max-age=0", "s-maxage=30", "private", `private="x-a"`, "no-store", "no-cache", "public", "must-revalidate",
		"proxy-revalidate", "stale-while-revalidate=20", "stale-if-error=40", "immutable", "foo", `bar="no-store"`,
	}
	requestDirectives = []string{
		"max-age=10", "max-age=0", "min-fresh=5", "max-stale", "max-stale=15", "no-cache", "no-store", "only-if-cached", "foo=bar",
	}
)

// The bans hold in every combination, whatever the route says short of force.
func TestStorableNeverStores(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cc := drawDirectives(t, "response", responseDirectives)
		lines := []string{"X-A: 1", `Etag: "a"`, "Cache-Control: " + strings.Join(cc, ", ")}
		cookie := rapid.Bool().Draw(t, "cookie")
		if cookie {
			lines = append(lines, "Set-Cookie: a=b")
		}
		req := get()
		authorized := rapid.Bool().Draw(t, "authorized")
		if authorized {
			req = get("Authorization: Basic eA==")
		}
		rules := &rfc9111.Rules{Heuristic: rapid.Bool().Draw(t, "heuristic")}
		if rapid.Bool().Draw(t, "route") {
			rules.Lifetime, rules.StaleWhileRevalidate = ptr(time.Minute), ptr(time.Minute)
		}
		has := func(directive string) bool { return slices.Contains(cc, directive) }
		s := rfc9111.Storable(req, response(200, lines...), rules)
		banned := cookie || has("private") || has(`private="x-a"`) || has("no-store") ||
			authorized && !has("public") && !has("must-revalidate") && !has("s-maxage=30")
		if s.Store && banned || s.Store != (s.Status == rfc9111.StatusOK) {
			t.Fatalf("%q: %+v", lines, s)
		}
		validated := has("no-cache") || has("max-age=0") // and there is a validator
		if s.Store && s.Terms.Lifetime <= 0 && s.Terms.StaleWhileRevalidate <= 0 && !validated {
			t.Fatalf("%q: stored for nothing: %+v", lines, s)
		}
		if (s.Terms.MustRevalidate && !has("s-maxage=30") || s.Terms.NoCache) && s.Terms.StaleWhileRevalidate+s.Terms.StaleIfError > 0 {
			t.Fatalf("%q: a window that is closed: %+v", lines, s)
		}
	})
}

// A verdict never goes beyond what the response's terms allow, and each of the
// client's demands only ever takes something away, except max-stale.
func TestJudgeStaysWithinTerms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		resp := response(200, `Etag: "a"`, "Cache-Control: "+strings.Join(drawDirectives(t, "response", responseDirectives), ", "))
		s := rfc9111.Storable(get(), resp, nil)
		if !s.Store {
			return
		}
		resp.Terms = s.Terms
		now := arrival.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "after")) * time.Second)
		asked := drawDirectives(t, "request", requestDirectives)
		v := rfc9111.Judge(get("Cache-Control: "+strings.Join(asked, ", ")), resp, nil, now)
		ttl, terms := resp.TTL(now), resp.Terms
		switch v.Reuse {
		case rfc9111.ReuseFresh:
			if ttl <= 0 || terms.NoCache {
				t.Fatalf("fresh: %+v", terms)
			}
		case rfc9111.ReuseStale:
			inWindow := -ttl < terms.StaleWhileRevalidate
			allowed := slices.Contains(asked, "max-stale") || slices.Contains(asked, "max-stale=15")
			if ttl > 0 || terms.NoCache || !inWindow && (terms.MustRevalidate || !allowed) {
				t.Fatalf("stale: %+v, %q", terms, asked)
			}
		case rfc9111.ReuseGateway:
			if !slices.Contains(asked, "only-if-cached") {
				t.Fatalf("504 for %q", asked)
			}
		case rfc9111.ReuseValidate:
			if slices.Contains(asked, "only-if-cached") || v.Forward != rfc9111.ForwardStale && v.Forward != rfc9111.ForwardRequest {
				t.Fatalf("%q for %q", v.Forward, asked)
			}
		}
		if (v.Forward == rfc9111.ForwardRequest) && ttl <= 0 {
			t.Fatalf("stale is no fault of the request: %+v", v)
		}
	})
}

// However often a 304 comes, the stored bytes keep what describes them, and the
// response is as fresh as a new one.
func TestFreshenProperties(t *testing.T) {
	describes := []string{"Etag", "Vary", "Content-Length", "Content-Encoding"}
	rapid.Check(t, func(t *rapid.T) {
		r := response(200, `Etag: W/"a"`, "Vary: Accept", "Content-Length: 5", "Content-Encoding: gzip", "Cache-Control: max-age=60")
		s := rfc9111.Storable(get(), r, nil)
		r.Terms, r.Selection = s.Terms, s.Selection
		want := r.Header.Clone()
		for range rapid.IntRange(1, 4).Draw(t, "times") {
			lines := rapid.SliceOf(rapid.SampledFrom([]string{
				`Etag: "a"`, "Vary: accept", "Content-Length: 0", "Content-Encoding: br", "X-A: 1", "Content-Type: text/html", "Set-Cookie: a=b",
			})).Draw(t, "lines")
			later := r.ResponseTime.Add(time.Hour)
			notModified := response(304, slices.Compact(slices.Sorted(slices.Values(lines)))...)
			notModified.Header.Set("Date", date(later.Sub(arrival)))
			notModified.RequestTime, notModified.ResponseTime = later, later
			fresh, ok := rfc9111.Freshen(get(), r, notModified, nil)
			if !ok {
				t.Fatalf("refused: %q", lines)
			}
			for _, name := range describes {
				if !slices.Equal(fresh.Header[name], want[name]) {
					t.Fatalf("%s: %q", name, fresh.Header[name])
				}
			}
			if fresh.TTL(later) != time.Minute || len(fresh.Header["Set-Cookie"]) > 0 {
				t.Fatalf("%v, %v", fresh.TTL(later), fresh.Header)
			}
			r = fresh
		}
	})
}
