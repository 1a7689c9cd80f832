package rfc9111

import (
	"net/http"
	"slices"
	"strings"
)

// Trailer is the trailer section that may follow a streamed body, RFC 9110 6.5. It
// is passed on with that body: never merged into a header, never stored.
type Trailer struct {
	// Names are announced in the header section, RFC 9110 6.6.2: canonical and sorted.
	Names []string
	// Fields returns what has come, announced or not, nil when there is nothing. It is
	// to be called after the body's io.EOF, by whoever read that.
	Fields func() http.Header
}

// AcceptsTrailers says whether a request with header h asks for trailer fields, RFC
// 9110 10.1.4: TE has the keyword, which takes no weight.
func AcceptsTrailers(h http.Header) bool {
	for _, line := range h["Te"] {
		for member := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(trimOWS(member), "trailers") {
				return true
			}
		}
	}
	return false
}

// TrailerNames returns those names of h that may be announced.
func TrailerNames(h http.Header) []string {
	var names []string
	for name := range h {
		if mayTrail(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// TrailerFields returns those fields of a received trailer section that may go on,
// nil when there are none.
func TrailerFields(h http.Header) http.Header {
	var out http.Header
	for name, values := range h {
		if len(values) == 0 || !mayTrail(name) {
			continue // announced and not sent, or not allowed
		}
		if out == nil {
			out = http.Header{}
		}
		out[name] = slices.Clone(values)
	}
	return out
}

// mayTrail says whether a field may stand in a trailer section, RFC 9110 6.5.1: not
// when it is about framing, routing, authentication or content format, or modifies a request or
// controls a response. Whoever merges trailers would take it for what it is not. What
// Connection cannot remove decides about a message, and so cannot come after it.
func mayTrail(name string) bool {
	switch name {
	case "Etag", "Content-Digest": // permitted by RFC 9110 8.8.3 and RFC 9530 2
		return true
	case "Cache-Group-Invalidation", "Clear-Site-Data", "Expect", "Max-Forwards", "Refresh", "Retry-After",
		"Set-Cookie2", "Strict-Transport-Security", "Warning", "X-Cache", "X-Cache-Tier", "X-Caching-Status", "X-Sw-Cache-Control":
		return false
	}
	return IsToken(name) && !hopByHop(name) && !kept(name) &&
		!strings.HasPrefix(name, "Access-Control-") && !strings.HasPrefix(name, "X-Weir-")
}
