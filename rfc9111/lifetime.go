package rfc9111

import (
	"net/http"
	"time"
)

// targetedFields are the targeted Cache-Control fields that weir obeys, in order of
// precedence: its own, then that of all CDNs, RFC 9213 2.2 and 3.1.
var targetedFields = [...]string{"Weir-Cache-Control", "Cdn-Cache-Control"}

// responseDirectives returns the directives that govern this cache: those of the
// first valid targeted field, then, where the route obeys it, of Surrogate-Control, or
// else those of Cache-Control. After a targeted field, Cache-Control and Expires count
// as absent, RFC 9213 2.2.
func responseDirectives(h http.Header, rules *Rules) (d directives, targeted bool) {
	for _, name := range targetedFields {
		if lines := h[name]; len(lines) > 0 {
			if d, ok := parseTargeted(lines); ok {
				return d, true
			}
		}
	}
	if lines := h["Surrogate-Control"]; rules.SurrogateControl && len(lines) > 0 {
		if d, ok := parseSurrogate(lines); ok {
			return d, true
		}
	}
	return parseDirectives(h["Cache-Control"]), false
}

// originLifetime is the freshness lifetime that the origin states, RFC 9111 4.2.1.
// known is false when it states none; what it states badly is a lifetime of 0.
func originLifetime(resp *Response, d *directives, targeted bool) (life time.Duration, known bool) {
	for _, s := range []seconds{d.sMaxAge, d.maxAge} {
		if s.set {
			if s.bad {
				return 0, true // "encouraged to consider stale"
			}
			return s.d, true
		}
	}
	lines := resp.Header["Expires"]
	if targeted || len(lines) == 0 {
		return 0, false
	}
	expires, ok := parseDate(lines[0])
	if !ok {
		return 0, true // an invalid date is one in the past, RFC 9111 5.3
	}
	for _, line := range lines[1:] {
		if line != lines[0] {
			return 0, true
		}
	}
	return min(max(expires.Sub(dateOf(resp)), 0), maxSeconds*time.Second), true
}

// dateOf is the Date of a response, or when it arrived, RFC 9110 6.6.1.
func dateOf(resp *Response) time.Time {
	if date, ok := fieldTime(resp.Header, "Date"); ok {
		return date
	}
	return resp.ResponseTime.Truncate(time.Second)
}

const (
	heuristicShare = 10 // a tenth of the time since the last change, RFC 9111 4.2.2
	heuristicMax   = 24 * time.Hour
)

// heuristicLifetime guesses a lifetime from Last-Modified, RFC 9111 4.2.2. It
// does not guess for requests with cookies: what they get may well be personal.
func heuristicLifetime(req Request, resp *Response, d *directives) time.Duration {
	modified, ok := fieldTime(resp.Header, "Last-Modified")
	if !ok || len(req.Header["Cookie"]) > 0 || !d.public && !heuristicStatus(resp.Status) {
		return 0
	}
	return min(max(dateOf(resp).Sub(modified)/heuristicShare, 0), heuristicMax)
}

// heuristicStatus lists the final status codes that are heuristically cacheable,
// RFC 9110 15.1, without 206.
func heuristicStatus(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// policyLifetime is the lifetime that the route states for a status.
func policyLifetime(status int, rules *Rules) (life time.Duration, known bool) {
	if life, ok := rules.StatusLifetimes[status]; ok {
		return max(life, 0), true
	}
	if status >= 400 || rules.Lifetime == nil {
		return 0, false
	}
	return max(*rules.Lifetime, 0), true
}

// termsOf decides the conditions of reuse. A lifetime of the route counts from the
// arrival of the response, however old it was by then: the route says how long
// weir keeps it. stated says that the lifetime is the origin's own word, no-cache included.
func termsOf(req Request, resp *Response, d *directives, targeted bool, rules *Rules) (t Terms, stated bool) {
	t.InitialAge = initialAge(resp)
	ruled := false
	if life, ok := policyLifetime(resp.Status, rules); ok {
		ruled = true
		if life > 0 {
			t.Lifetime = saturatingAdd(t.InitialAge, life)
		}
	} else if life, ok := originLifetime(resp, d, targeted); ok {
		t.Lifetime, stated = life, true
	} else if rules.Heuristic {
		t.Lifetime = heuristicLifetime(req, resp, d)
	}
	// A route's lifetime replaces a no-cache about the whole response: that says
	// a lifetime too, namely none.
	replaced := ruled && t.Lifetime > 0 && d.noCache.whole
	t.NoCache = !replaced && d.noCache.about(resp.Header)
	t.setStale(resp.Status, d, rules, ruled)
	return t, stated || t.NoCache && !ruled
}

// setStale decides the stale windows. Those of an origin do not outlive its own
// must-revalidate. Its s-maxage forbids stale reuse, too, but beside windows that it
// states: a stated permission is more specific than an implied ban, RFC 9111 5.2.2.10.
// A request cannot extend these. A route overrides either only if it states a lifetime
// and a window, RFC 9111 4.2.4.
func (t *Terms) setStale(status int, d *directives, rules *Rules, ruled bool) {
	never := d.mustRevalidate || d.proxyRevalidate
	if !never {
		t.StaleWhileRevalidate = d.staleWhileRevalidate.max(0)
		t.StaleIfError = d.staleIfError.max(0)
	}
	never = never || d.sMaxAge.set && t.StaleWhileRevalidate <= 0 && t.StaleIfError <= 0
	t.MustRevalidate = never || d.sMaxAge.set
	stated := false
	if rules.StaleWhileRevalidate != nil {
		t.StaleWhileRevalidate, stated = max(*rules.StaleWhileRevalidate, 0), true
	}
	if rules.StaleIfError != nil {
		t.StaleIfError, stated = max(*rules.StaleIfError, 0), true
	}
	if ruled && (stated || !d.mustRevalidate && !d.proxyRevalidate) {
		never, t.MustRevalidate = false, false
	}
	// A failure is never stretched by serving it stale.
	if never || t.NoCache || FailedStatus(status) {
		t.StaleWhileRevalidate, t.StaleIfError = 0, 0
	}
}
