package rfc9111

import "time"

// Reuse is the verdict on answering from a stored response.
type Reuse int

const (
	ReuseFresh    Reuse = iota // answer with it
	ReuseStale                 // answer with it and refresh it in the background, RFC 5861 3
	ReuseValidate              // ask the origin first, conditionally if it has a validator
	ReuseGateway               // only-if-cached and nothing usable: 504, RFC 9111 5.2.1.7
)

// Verdict is a Reuse with its reason.
type Verdict struct {
	Reuse   Reuse
	Forward Forward // for ReuseValidate: why
	Reason  string  // one sentence with the RFC section
}

// Judge decides whether stored may answer req at now, RFC 9111 4. stored is nil
// when nothing is stored. Whether stored is what req selects is known before.
func Judge(req Request, stored *Response, rules *Rules, now time.Time) Verdict {
	rules = rules.orZero()
	d := requestDirectives(req.Header, rules)
	v := Verdict{ReuseValidate, ForwardURIMiss, "Nothing is stored for the request, RFC 9111 4."}
	if stored != nil {
		v = judge(&d, stored, rules, now)
	}
	if v.Reuse == ReuseValidate && d.onlyIfCached {
		return Verdict{Reuse: ReuseGateway, Reason: "The request says only-if-cached and nothing stored may answer it, RFC 9111 5.2.1.7."}
	}
	return v
}

func judge(d *directives, stored *Response, rules *Rules, now time.Time) Verdict {
	age := stored.Age(now)
	ttl := stored.Terms.Lifetime - age
	fresh := ttl > 0 // RFC 9111 4.2
	refused := ForwardStale
	if fresh {
		refused = ForwardRequest
	}
	switch t := &stored.Terms; {
	case t.NoCache:
		return Verdict{ReuseValidate, ForwardStale, "The stored response says no-cache, RFC 9111 5.2.2.4."}
	case d.noCache.set:
		return Verdict{ReuseValidate, refused, "The request says no-cache, RFC 9111 5.2.1.4."}
	case d.maxAge.valid() && age > d.maxAge.d && (!fresh || !isImmutable(stored, rules)):
		return Verdict{ReuseValidate, refused, "The stored response is older than the request's max-age, RFC 9111 5.2.1.1."}
	case d.minFresh.valid() && ttl < d.minFresh.d:
		return Verdict{ReuseValidate, refused, "The stored response is not fresh for the request's min-fresh, RFC 9111 5.2.1.3."}
	case fresh:
		return Verdict{Reuse: ReuseFresh, Reason: "The stored response is fresh, RFC 9111 4.2."}
	case -ttl < t.StaleWhileRevalidate && !d.maxAge.valid() && !d.minFresh.valid():
		return Verdict{Reuse: ReuseStale, Reason: "The stored response is stale within stale-while-revalidate, RFC 5861 3."}
	case t.MustRevalidate:
		return Verdict{ReuseValidate, ForwardStale, "The stored response is stale and says must-revalidate or its like, RFC 9111 4.2.4."}
	case d.maxStale.valid() && -ttl <= d.maxStale.d:
		return Verdict{Reuse: ReuseStale, Reason: "The stored response is stale within the request's max-stale, RFC 9111 5.2.1.2."}
	}
	return Verdict{ReuseValidate, ForwardStale, "The stored response is stale, RFC 9111 4.2.4."}
}

// isImmutable says whether a fresh response need not be validated for a client
// that reloads, RFC 8246 2. A no-cache of the client still counts.
func isImmutable(stored *Response, rules *Rules) bool {
	d, _ := responseDirectives(stored.Header, rules)
	return d.immutable
}

// UsableOnError says whether r may be served at now because the origin failed, RFC 5861 4.
// The window is the response's or the request's own, whichever is longer; a request has
// none for a response that must be validated, nor where the route ignores what it says.
func UsableOnError(req Request, r *Response, rules *Rules, now time.Time) bool {
	if r.Terms.NoCache {
		return false
	}
	window := r.Terms.StaleIfError
	if !r.Terms.MustRevalidate {
		d := requestDirectives(req.Header, rules.orZero())
		window = d.staleIfError.max(window)
	}
	ttl := r.TTL(now)
	return ttl > 0 || -ttl < window
}

// FailedStatus says whether an origin's status counts as an error for stale-if-error, RFC 5861 4: 500, 502, 503, 504.
func FailedStatus(status int) bool {
	return status == 500 || status >= 502 && status <= 504
}
