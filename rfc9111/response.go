package rfc9111

import (
	"io"
	"net/http"
	"time"
)

// Response is the head of a stored response: everything but its body. It is
// frozen once a tier holds it.
type Response struct {
	Status int
	Header http.Header // end-to-end fields only, without Age

	RequestTime  time.Time // when the request that made or last validated it was sent
	ResponseTime time.Time // when its response head arrived

	Length    int64     // of the body in bytes; -1 while it is not known
	Parts     *Parts    // of an incomplete body: which bytes it is made of, in order; nil for a whole one
	Selection Selection // the request fields that Vary named, "" without Vary
	Terms     Terms     // for how long, and how, it may be reused
	Tags      []string  // what a purge by tag names, sorted; with AnyTag when they are not all
	Epoch     uint64    // of the purge log, noted before the origin was asked
}

// AnyTag stands for tags and groups that were too many to keep: a purge by any may be
// about the response. It sorts before all others.
const AnyTag = ""

// Terms are the conditions of reuse, decided once when a response is stored or
// validated. A policy change applies to what is stored after it.
type Terms struct {
	InitialAge           time.Duration // corrected_initial_age at ResponseTime, RFC 9111 4.2.3
	Lifetime             time.Duration // freshness lifetime, RFC 9111 4.2.1 or the policy's
	StaleWhileRevalidate time.Duration // after Lifetime, RFC 5861 3
	StaleIfError         time.Duration // after Lifetime, RFC 5861 4
	MustRevalidate       bool          // not reused stale but in these windows, RFC 9111 5.2.2.2, 5.2.2.8, 5.2.2.10
	NoCache              bool          // validated before each reuse, RFC 9111 5.2.2.4
}

// Rules are what a route may say over the origin's header fields. The zero value
// lets the header fields decide alone.
type Rules struct {
	Lifetime             *time.Duration        // edge.maxAgeSeconds
	StaleWhileRevalidate *time.Duration        // edge.staleWhileRevalidateSeconds
	StaleIfError         *time.Duration        // edge.staleIfErrorSeconds
	StatusLifetimes      map[int]time.Duration // edge.statusMaxAgeSeconds: negative caching, per status
	ErrorsByHeader       bool                  // edge.originErrorLifetimes: the origin decides for errors without an entry above
	ForcePrivate         bool                  // edge.forcePrivateCaching
	StoreSetCookie       bool                  // edge.cacheSetCookie: responses that set a cookie, and the cookie for everybody
	SurrogateControl     bool                  // edge.surrogateControl: Surrogate-Control after the targeted fields
	Heuristic            bool                  // edge.heuristicFreshness, RFC 9111 4.2.2
	IgnoreRequest        bool                  // edge.ignoreRequestDirectives: a client's Cache-Control and Pragma
	Methods              []string              // methods besides GET and HEAD that the route caches
}

// Answer is a response on its way to a client. Exactly one of Bytes and Body is
// used: Bytes holds the whole body when it is in memory, and is frozen; Body
// streams it otherwise and must be closed, early or not, which harms nobody else
// who reads the same flight. A Body error other than io.EOF means that the rest
// is lost and the client's connection must be aborted.
//
// When Head has Parts, the body is what they say is held, and positions in it are as
// [Parts.Below] has them; it is there only for requests of which [Suffices] is true.
type Answer struct {
	Head   *Response
	Bytes  []byte
	Body   io.ReadCloser // also an io.ReadWriteCloser after 101 Switching Protocols
	At     io.ReaderAt   // set when Body's bytes can be read anywhere without reading those before; valid until Body.Close
	Varied bool          // other clients get the same in other content codings: Vary names Accept-Encoding
	Mixed  bool          // and so may this one have got it: a date names no bytes

	Alone bool // it is for this client, and no tier above keeps the body

	Trailer *Trailer // what may follow Body, for a client that takes it; nil for nothing

	Decision Decision
}
