package rfc9111

import (
	"net/http"
	"slices"
	"strings"
)

// EndToEnd returns a copy of h without hop-by-hop fields, RFC 9110 7.6.1: Connection, what
// it names (except fields a cache or origin decides by: Connection cannot remove Authorization,
// Cookie, Cache-Control, Host, Vary, Content-* and the like), Keep-Alive, TE, Trailer, Transfer-Encoding, Upgrade, Proxy-*.
func EndToEnd(h http.Header) http.Header {
	out, all := make(http.Header, len(h)), make([]string, 0, len(h)) // few names have several lines
	for name, values := range h {
		if !hopByHop(name) {
			from := len(all)
			all = append(all, values...)
			out[name] = all[from:len(all):len(all)]
		}
	}
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = trimOWS(name); strings.EqualFold(name, "keep-alive") {
				continue // gone already, and what nearly every client says
			}
			if name = http.CanonicalHeaderKey(name); !kept(name) {
				delete(out, name)
			}
		}
	}
	return out
}

// IsEndToEnd says whether [EndToEnd] would leave all of h.
func IsEndToEnd(h http.Header) bool {
	for name := range h { // Connection is one of them
		if hopByHop(name) {
			return false
		}
	}
	return true
}

// hopByHop says whether a canonical field name is about one connection only,
// whether Connection names it or not.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return true
	}
	return strings.HasPrefix(name, "Proxy-") && name != "Proxy-Status" // which is for the client, RFC 9209 2
}

// keptNames are the fields that Connection cannot remove: whoever could remove them
// could get an answer that a cache takes for another request's.
var keptNames = []string{
	"Age", "Authorization", "Cache-Control", "Cache-Groups", "Cache-Status", "Cache-Tag", "Cookie",
	"Cdn-Cache-Control", "Date", "Etag", "Expires", "Forwarded", "Host", "Last-Modified", "Location",
	"No-Vary-Search", "Origin",
	"Pragma", "Range", "Referer", "Set-Cookie", "Surrogate-Control", "Surrogate-Key", "User-Agent", "Vary", "Via",
	"Weir-Cache-Control", "Www-Authenticate",
}

func kept(name string) bool {
	for _, prefix := range []string{"Accept", "Content-", "If-", "Sec-", "X-Forwarded-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return slices.Contains(keptNames, name)
}
