package policy

import (
	"io"
	"net/http"
	"time"

	"weir/keying"
	"weir/rfc9111"
)

// Request is a client's request after it was matched and keyed: what every tier
// is asked with. Tiers do not edit it, and nothing in it changes while any of
// them may still read it, which can be after the client has left.
type Request struct {
	Plan   *Plan
	Params Params       // what the path pattern captured
	Keyed  keying.Keyed // zero when Bypass is set before a key was built

	Method string
	Scheme string
	Host   string      // canonical
	Target string      // what is forwarded: Keyed.Target, or the client's own for a bypass
	Header http.Header // the client's end-to-end fields, conditional and range fields included, Accept-Encoding as the key has it
	Client string      // address of the client, without port

	// Received are the client's fields before anything was taken away: what its route and
	// key were found by. nil: Header. With a key, Keyed.Accepts knows what Accept-Encoding was;
	// Connection is among them if the table looks at it.
	Received http.Header

	Body   []byte    // of a keyed request with one, whole
	Stream io.Reader // of a request that is passed; nil without a body
	Length int64     // of Stream in bytes, -1 when not known

	Trailer       *rfc9111.Trailer // of Stream; nil when none was announced
	TakesTrailers bool             // the client takes trailer fields, RFC 9110 6.5.1

	Whole *Request      // the request of which this one asks for a slice; nil mostly
	Slice rfc9111.Range // that it asks for; the last one of a body reaches beyond its end

	Origin string                // name of the origin in the table, after the split test
	Bypass rfc9111.CachingStatus // why the caches must not be used, "" when they may
	At     time.Time             // when its head had arrived

	// Settling says that the origin may still answer with another deployment than the
	// plan's: what it answers is served and not stored.
	Settling bool

	// MinEpoch is the purge epoch that an answer must not be older than: Cache-Min-Epoch.
	// 0 when the client does not say.
	MinEpoch uint64

	// WholeKey is the digest of the key that the request has without what the origin says
	// in No-Vary-Search, where that makes another one. Zero: Keyed.Key's.
	WholeKey keying.Digest

	// MustBeFresh says that nothing stale may be answered, whatever the windows are: an
	// edge asks so for the refresh of what it holds.
	MustBeFresh bool

	// Interim is given each 1xx response that comes before the answer, with fields
	// that it must not edit: by Fetch, in the goroutine of its caller. nil: nobody wants any.
	Interim func(status int, header http.Header)
}
