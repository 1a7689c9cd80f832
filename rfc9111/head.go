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

// FreshenByHead tells what an answer to HEAD means for a stored response that req would
// select, RFC 9111 4.3.5, and returns it updated where it is still current. What is
// outdated must be validated before it is used again, see [Response.Outdated].
//
// Only a 200 with a validator updates. A 404 or 410 says that GET would find nothing either, RFC 9110
// 9.3.2, which is reason enough to ask again and not to drop anything: there
// are servers that know no HEAD. An answer to a request with Authorization that is
// not for everybody says nothing about what everybody gets.
func FreshenByHead(req Request, stored, head *Response, rules *Rules) (fresh *Response, effect HeadEffect) {
	rules = rules.orZero()
	switch {
	case req.Method != "HEAD" || requestDirectives(req.Header, rules).noStore:
		return nil, HeadNothing
	case head.Status == 404 || head.Status == 410:
		if stored.Status == head.Status {
			return nil, HeadNothing
		}
		return nil, HeadOutdates
	case head.Status != 200:
		return nil, HeadNothing
	}
	if d, _ := responseDirectives(head.Header, rules); unshared(req, &d) {
		return nil, HeadNothing
	}
	if stored.Status != 200 || !describes(head.Header, stored) {
		return nil, HeadOutdates
	}
	fresh, ok := updated(req, stored, head, rules)
	switch {
	case !ok:
		return nil, HeadOutdates
	case len(head.Header["Etag"])+len(head.Header["Last-Modified"]) == 0:
		// Nothing says that GET would give the stored bytes. A page without validators that is
		// watched with HEAD would never be fetched again.
		return nil, HeadNothing
	}
	return fresh, HeadUpdates
}

// Outdated returns r as a response that is stale and may not be used stale.
func (r *Response) Outdated() *Response {
	out := *r
	out.Terms = Terms{InitialAge: r.Terms.InitialAge, MustRevalidate: true}
	return &out
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
		whole := stored.Length
		if stored.Parts != nil {
			whole = stored.Parts.Size
		}
		n, err := strconv.ParseInt(trimOWS(lines[0]), 10, 64)
		if err != nil || n != whole {
			return false
		}
	}
	return slices.Equal(h["Content-Encoding"], stored.Header["Content-Encoding"])
}
