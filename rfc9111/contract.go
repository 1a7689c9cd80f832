package rfc9111

import (
	"net/http"
	"time"
)

// Request is what verdicts need of a request.
type Request struct {
	Method string
	Header http.Header // the client's end-to-end fields
}

// Storability is the verdict on storing a response.
type Storability struct {
	Store     bool
	Status    CachingStatus // StatusOK, or why not
	Reason    string        // one sentence with the RFC section, for explanations
	Terms     Terms
	Selection Selection
}

// Storable decides whether a shared cache may store resp, and for how long, RFC 9111 3.
// resp.Header still has Age and Set-Cookie as received; RequestTime and ResponseTime are set.
func Storable(req Request, resp *Response, rules *Rules) Storability { panic("unwritten") }

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
// when nothing is stored.
func Judge(req Request, stored *Response, rules *Rules, now time.Time) Verdict { panic("unwritten") }

// Age is the current_age of RFC 9111 4.2.3, whole seconds not rounded.
func (r *Response) Age(now time.Time) time.Duration { panic("unwritten") }

// TTL is what is left of the freshness lifetime at now; negative once stale.
func (r *Response) TTL(now time.Time) time.Duration { panic("unwritten") }

// UsableOnError says whether r may be served at now because the origin failed, RFC 5861 4.
func UsableOnError(req Request, r *Response, now time.Time) bool { panic("unwritten") }

// FailedStatus says whether an origin's status counts as an error for stale-if-error, RFC 5861 4: 500, 502, 503, 504.
func FailedStatus(status int) bool { panic("unwritten") }

// Conditional returns the header to forward for validating stored: h without the
// client's own conditional and range fields, with stored's validators, RFC 9111 4.3.1.
// Without a validator, or with a nil stored, it is an unconditional request.
func Conditional(h http.Header, stored *Response) http.Header { panic("unwritten") }

// Freshen returns stored as updated by a 304, RFC 9111 3.2 and 4.3.4, with new
// times and terms; ok is false when the 304 does not name the stored validator.
func Freshen(req Request, stored, notModified *Response, rules *Rules) (fresh *Response, ok bool) {
	panic("unwritten")
}

// Selection is the canonical form of the request fields that a response's Vary
// named, with their normalised values: RFC 9111 4.1. "" is a response without Vary.
// Values over 64 bytes are held as a digest.
type Selection string

// Select builds the selection of a response with the Vary fields in vary for a request with header h.
// ok is false for "Vary: *".
func Select(vary []string, h http.Header) (s Selection, ok bool) { panic("unwritten") }

// Matches says whether a request with header h selects the response.
func (s Selection) Matches(h http.Header) bool { panic("unwritten") }

// Reselect returns the selection of the same fields for another request.
func (s Selection) Reselect(h http.Header) Selection { panic("unwritten") }

// EndToEnd returns a copy of h without hop-by-hop fields, RFC 9110 7.6.1: Connection, what
// it names (except fields a cache or origin decides by: Connection cannot remove Authorization,
// Cookie, Cache-Control, Host, Vary, Content-* and the like), Keep-Alive, TE, Trailer, Transfer-Encoding, Upgrade, Proxy-*.
func EndToEnd(h http.Header) http.Header { panic("unwritten") }

// Invalidates returns the request targets (absolute URIs) that a response to an unsafe method invalidates, RFC 9111 4.4:
// the request's own, and Location and Content-Location of the same origin. url is the request's absolute URI.
func Invalidates(method, url string, status int, h http.Header) []string { panic("unwritten") }

// Precondition is the outcome of a conditional request, RFC 9110 13.2.2.
type Precondition int

const (
	Proceed     Precondition = iota // answer as if unconditional
	NotModified                     // 304
	Failed                          // 412
	IgnoreRange                     // If-Range did not match: the whole representation
)

// Evaluate evaluates a GET or HEAD request's conditional fields against a 200 response that is to be sent.
func Evaluate(req Request, resp *Response) Precondition { panic("unwritten") }

// Range is a satisfiable byte range, RFC 9110 14.1.2: Start inclusive, Length > 0.
type Range struct{ Start, Length int64 }

// ParseRange parses a Range field for a representation of size bytes. At most MaxRanges
// ranges come back, sorted as asked and coalesced where they overlap. No ranges and nil error: ignore the
// field (other unit, malformed, too many). ErrUnsatisfiable: answer 416.
func ParseRange(field string, size int64) ([]Range, error) { panic("unwritten") }

// MaxRanges is how many ranges of one request are served; more means the whole representation.
const MaxRanges = 8

// Apply writes x-cache, x-cache-tier, x-caching-status and Cache-Status into h. region names the
// edge's member ("weir-<region>"), the shield's is "weir-shield". A Cache-Status of the origin is kept in front, RFC 9211 2.
func (d Decision) Apply(h http.Header, region string) { panic("unwritten") }

// Encode and Decode are the compact binary form of a Response head for storage (versioned, bounded, fuzzed).
func (r *Response) Encode(dst []byte) []byte { panic("unwritten") }

// DecodeResponse parses what Encode wrote; src may come from a damaged disk.
func DecodeResponse(src []byte) (*Response, error) { panic("unwritten") }
