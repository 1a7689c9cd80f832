package rfc9111

import (
	"net/http"
	"slices"
	"strconv"
)

// HeadEffect is what an answer to HEAD means for a stored response, RFC 9111 4.3.5.
type HeadEffect int

const (
	HeadNothing  HeadEffect = iota // it says nothing about the stored response
	HeadUpdates                    // the stored response is current; its header is updated
	HeadOutdates                   // the stored response is no longer what GET would give
)

// FreshenByHead tells what a 200 to HEAD means for a stored response that req would
// select, RFC 9111 4.3.5, and returns it updated where it is still current. What is
// outdated must be validated before it is used again.
func FreshenByHead(req Request, stored, head *Response, rules *Rules) (fresh *Response, effect HeadEffect) {
	if req.Method != "HEAD" || head.Status != 200 {
		return nil, HeadNothing
	}
	if stored.Status != 200 || !describes(head.Header, stored) {
		return nil, HeadOutdates
	}
	if fresh, ok := updated(req, stored, head, rules.orZero()); ok {
		return fresh, HeadUpdates
	}
	return nil, HeadOutdates
}

// describes says whether what h says about the representation is true of stored:
// each validator that is there, the length and the coding.
func describes(h http.Header, stored *Response) bool {
	if len(h["Etag"]) > 0 {
		tag, ok := entityTag(h)
		own, has := entityTag(stored.Header)
		if !ok || !has || tag != own {
			return false
		}
	}
	if len(h["Last-Modified"]) > 0 && !sameTime(h, stored.Header, "Last-Modified") {
		return false
	}
	if lines := h["Content-Length"]; len(lines) > 0 {
		n, err := strconv.ParseInt(trimOWS(lines[0]), 10, 64)
		if err != nil || n != stored.Length {
			return false
		}
	}
	return slices.Equal(h["Content-Encoding"], stored.Header["Content-Encoding"])
}
