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
	return judge(req, stored, rules, now, nil)
}

// What decides about reuse.
var (
	nothingStored = rule{"nothing-stored", "Nothing is stored for the request, RFC 9111 4."}
	onlyIfCached  = rule{"only-if-cached", "The request says only-if-cached and nothing stored may answer it, RFC 9111 5.2.1.7."}

	storedNoCache  = rule{"no-cache", "The stored response says no-cache, RFC 9111 5.2.2.4."}
	requestNoCache = rule{"request-no-cache", "The request says no-cache, RFC 9111 5.2.1.4."}
	olderThanAsked = rule{"request-max-age", "The stored response is older than the request's max-age, RFC 9111 5.2.1.1."}
	notFreshEnough = rule{"request-min-fresh", "The stored response is not fresh for the request's min-fresh, RFC 9111 5.2.1.3."}
	isFresh        = rule{"fresh", "The stored response is fresh, RFC 9111 4.2."}
	whileRefreshed = rule{"stale-while-revalidate", "The stored response is stale within stale-while-revalidate, RFC 5861 3."}
	mustRevalidate = rule{"must-revalidate", "The stored response is stale and says must-revalidate or its like, RFC 9111 4.2.4."}
	withinMaxStale = rule{"request-max-stale", "The stored response is stale within the request's max-stale, RFC 9111 5.2.1.2."}
	isStale        = rule{"stale", "The stored response is stale, RFC 9111 4.2.4."}
)

func validate(forward Forward, r *rule) Verdict { return Verdict{ReuseValidate, forward, r.says} }

func judge(req Request, stored *Response, rules *Rules, now time.Time, t *trace) Verdict {
	rules = rules.orZero()
	d := requestDirectives(req.Header, rules)
	var v Verdict
	if t.holds(stored == nil, &nothingStored) {
		v = validate(ForwardURIMiss, &nothingStored)
	} else {
		v = judgeStored(&d, stored, rules, now, t)
	}
	if v.Reuse == ReuseValidate && t.holds(d.onlyIfCached, &onlyIfCached) {
		return Verdict{Reuse: ReuseGateway, Reason: onlyIfCached.says}
	}
	return v
}

func judgeStored(d *directives, stored *Response, rules *Rules, now time.Time, t *trace) Verdict {
	age := stored.Age(now)
	ttl := stored.Terms.Lifetime - age
	fresh := ttl > 0 // RFC 9111 4.2
	refused := ForwardStale
	if fresh {
		refused = ForwardRequest
	}
	switch terms := &stored.Terms; {
	case t.holds(terms.NoCache, &storedNoCache):
		return validate(ForwardStale, &storedNoCache)
	case t.holds(d.noCache.set, &requestNoCache):
		return validate(refused, &requestNoCache)
	case t.holds(d.maxAge.valid() && age > d.maxAge.d && (!fresh || !isImmutable(stored, rules)), &olderThanAsked):
		return validate(refused, &olderThanAsked)
	case t.holds(d.minFresh.valid() && ttl < d.minFresh.d, &notFreshEnough):
		return validate(refused, &notFreshEnough)
	case t.holds(fresh, &isFresh):
		return Verdict{Reuse: ReuseFresh, Reason: isFresh.says}
	case t.holds(-ttl < terms.StaleWhileRevalidate && !d.maxAge.valid() && !d.minFresh.valid(), &whileRefreshed):
		return Verdict{Reuse: ReuseStale, Reason: whileRefreshed.says}
	case t.holds(terms.MustRevalidate, &mustRevalidate):
		return validate(ForwardStale, &mustRevalidate)
	case t.holds(d.maxStale.valid() && -ttl <= d.maxStale.d, &withinMaxStale):
		return Verdict{Reuse: ReuseStale, Reason: withinMaxStale.says}
	}
	t.holds(true, &isStale)
	return validate(ForwardStale, &isStale)
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
