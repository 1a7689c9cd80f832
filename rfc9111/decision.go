package rfc9111

import "time"

// Use is what became of a request as a whole: x-cache.
type Use string

const (
	Hit    Use = "hit"    // fresh from a cache
	Stale  Use = "stale"  // served stale, refreshed in the background or because the origin failed
	Miss   Use = "miss"   // fetched for this request, or with others in one flight
	Bypass Use = "bypass" // the cache was not used
)

// TierUse is what one tier did: x-cache-tier.
type TierUse string

const (
	NotAsked   TierUse = ""       // left out
	TierPass   TierUse = "pass"   // neither served from nor stored in this tier
	TierCached TierUse = "cached" // stored now, not served from
	TierHit    TierUse = "hit"    // served from this tier
)

// CachingStatus says why a response was or was not cached: x-caching-status.
type CachingStatus string

const (
	StatusOK         CachingStatus = "ok"           // cached or served from cache
	StatusDisabled   CachingStatus = "disabled"     // the route says edge: false, or development mode
	StatusNoMaxAge   CachingStatus = "no-max-age"   // no positive lifetime from origin or policy
	StatusCode       CachingStatus = "code"         // status >= 400 without a rule for it
	StatusPrivate    CachingStatus = "private"      // the response is for one user
	StatusMethod     CachingStatus = "method"       // not GET or HEAD and not named by the route
	StatusBodyTooBig CachingStatus = "body-too-big" // request body over keying.MaxBody bytes
	StatusSetCookie  CachingStatus = "set-cookie"   // the response sets a cookie
	StatusDeployment CachingStatus = "deployment"   // first moments of a new deployment
	StatusDebug      CachingStatus = "debug"        // the request carried x-cache-debug: 1 and was allowed to
	StatusPass       CachingStatus = "pass"         // anything else, hit-for-pass included
)

// Decision is what happened to one request. It is made where it happens and
// rendered in one place, four ways: x-cache, x-cache-tier, x-caching-status and
// Cache-Status (RFC 9211).
type Decision struct {
	Use    Use
	Outer  TierUse       // oc, the edge's memory tier
	Shield TierUse       // sc, the shield's disk tier; NotAsked is left out
	Status CachingStatus // why

	Forward       Forward       // why it was forwarded to the origin, RFC 9211 2.2; "" for a hit
	OuterForward  Forward       // why the outer cache asked the shield; "" for the same reason
	ForwardStatus int           // the origin's status, when it was asked and differs from what is served
	Stored        bool          // the response was stored, RFC 9211 2.5
	Collapsed     bool          // joined a flight of somebody else, RFC 9211 2.6
	TTL           time.Duration // remaining lifetime; negative when stale, RFC 9211 2.4
	HasTTL        bool
	Detail        string // a token for people who debug, RFC 9211 2.8; "" for none
}

// Shared says whether other clients may have the same answer: it comes from a store,
// or from a flight whose response may be stored.
func (d *Decision) Shared() bool {
	switch d.Use {
	case Hit, Stale:
		return true
	case Miss:
		return d.Stored || d.Status == StatusOK // the latter when only the store has no room
	default:
		return false
	}
}

// Forward is the reason that a request went towards the origin: RFC 9211 2.2.
type Forward string

const (
	ForwardBypass  Forward = "bypass"   // the cache was configured not to handle it
	ForwardMethod  Forward = "method"   // the method requires it
	ForwardURIMiss Forward = "uri-miss" // nothing stored for the key
	ForwardVary    Forward = "vary-miss"
	ForwardRequest Forward = "request" // fresh, but the request's directives refused it
	ForwardStale   Forward = "stale"
	ForwardPartial Forward = "partial"
	ForwardMiss    Forward = "miss"
)
