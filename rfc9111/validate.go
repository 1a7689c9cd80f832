package rfc9111

import (
	"net/http"
	"strings"
)

// preconditions are the fields that make a request conditional or partial,
// RFC 9110 13.1 and 14.2.
var preconditions = [...]string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range"}

// Conditional returns the header to forward for validating stored: h without the
// client's own conditional and range fields, with stored's validators, RFC 9111 4.3.1.
// Without a validator, or with a nil stored, it is an unconditional request.
func Conditional(h http.Header, stored *Response) http.Header {
	out := h.Clone()
	if out == nil {
		out = http.Header{}
	}
	MakeConditional(out, stored)
	return out
}

// MakeConditional makes h what [Conditional] returns.
func MakeConditional(h http.Header, stored *Response) {
	for _, name := range preconditions {
		delete(h, name)
	}
	if stored == nil {
		return
	}
	if tag, ok := entityTag(stored.Header); ok {
		h["If-None-Match"] = []string{tag}
	}
	if _, ok := fieldTime(stored.Header, "Last-Modified"); ok {
		h["If-Modified-Since"] = []string{stored.Header["Last-Modified"][0]}
	}
}

// Unconditional returns h without the client's own conditional and range fields, to be read
// only: h itself when it has none.
func Unconditional(h http.Header) http.Header {
	for _, name := range preconditions {
		if h[name] != nil {
			return Conditional(h, nil)
		}
	}
	return h
}

// hasValidator says whether a stored response can be validated.
func hasValidator(h http.Header) bool {
	if _, tagged := entityTag(h); tagged {
		return true
	}
	_, dated := fieldTime(h, "Last-Modified")
	return dated
}

// entityTag is the ETag of a response, if it has exactly one and it is well-formed, RFC 9110 8.8.3.
func entityTag(h http.Header) (tag string, ok bool) {
	lines := h["Etag"]
	if len(lines) != 1 {
		return "", false
	}
	tag, rest, ok := cutEntityTag(trimOWS(lines[0]))
	return tag, ok && rest == ""
}

// cutEntityTag cuts a leading entity-tag off s, RFC 9110 8.8.3.
func cutEntityTag(s string) (tag, rest string, ok bool) {
	start := 0
	if strings.HasPrefix(s, "W/") {
		start = 2
	}
	if len(s) <= start || s[start] != '"' {
		return "", s, false
	}
	for i := start + 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return s[:i+1], s[i+1:], true
		case c < 0x21 || c == 0x7f: // etagc, obs-text included
			return "", s, false
		}
	}
	return "", s, false
}

// weakEqual is the weak comparison of RFC 9110 8.8.3.2.
func weakEqual(a, b string) bool {
	return strings.TrimPrefix(a, "W/") == strings.TrimPrefix(b, "W/")
}

// strongEqual is the strong comparison of RFC 9110 8.8.3.2.
func strongEqual(a, b string) bool {
	return a == b && !strings.HasPrefix(a, "W/")
}

// Freshen returns stored as updated by a 304, RFC 9111 3.2 and 4.3.4, with new
// times and terms; ok is false when the 304 does not name the stored validator, or
// says that the response must not be kept any longer as it was: no-store,
// private, a Vary on further fields. Then the origin has to be asked again without condition.
// Tags are stored's; the epoch is the 304's.
func Freshen(req Request, stored, notModified *Response, rules *Rules) (fresh *Response, ok bool) {
	if !identifies(notModified.Header, stored.Header) {
		return nil, false
	}
	return updated(req, stored, notModified, rules.orZero())
}

// updated returns stored with the header, times and terms that a newer answer about the
// same representation gives it, RFC 9111 3.2; ok is false when it must not be kept.
func updated(req Request, stored, newer *Response, rules *Rules) (fresh *Response, ok bool) {
	if !stored.Selection.covers(newer.Header["Vary"]) {
		return nil, false
	}
	merged := mergedHeader(stored, newer, rules)
	r := *stored
	r.Header = merged
	r.RequestTime, r.ResponseTime = newer.RequestTime, newer.ResponseTime
	r.Epoch = newer.Epoch
	r = *Shared(&r, rules)

	aged := r // with the newer Age, which decides but is not stored
	if age := newer.Header["Age"]; len(age) > 0 {
		aged.Header = r.Header.Clone()
		aged.Header["Age"] = age
	}
	if d, _ := responseDirectives(aged.Header, rules); d.noStore && !d.mustUnderstand && !rules.ForcePrivate {
		return nil, false
	}
	s := storableResponse(req, &aged, rules, nil)
	// Without a lifetime it is still what the origin means now: good for this once,
	// and stale at once.
	if !s.Store && s.Status != StatusNoMaxAge {
		return nil, false
	}
	r.Terms = s.Terms
	return &r, true
}

// identifies says whether a 304 is about the stored response, RFC 9111 4.3.4. The
// request named only stored's validators, so a 304 without any is about it,
// and so is one whose entity tag is equal in the weak comparison: servers that code a
// body on the fly weaken the tag of the 200 and not that of the 304.
func identifies(h, stored http.Header) bool {
	if len(h["Etag"]) > 0 {
		tag, ok := entityTag(h)
		if !ok {
			return false
		}
		if own, ok := entityTag(stored); ok {
			return weakEqual(tag, own)
		}
		// An entity tag that is new: the date must vouch for it.
		return len(h["Last-Modified"]) > 0 && sameTime(h, stored, "Last-Modified")
	}
	if len(h["Last-Modified"]) > 0 && len(stored["Last-Modified"]) > 0 {
		return sameTime(h, stored, "Last-Modified")
	}
	return true
}

func sameTime(a, b http.Header, name string) bool {
	x, okX := fieldTime(a, name)
	y, okY := fieldTime(b, name)
	return okX && okY && x.Equal(y)
}

// mergedHeader is stored's header updated by a newer one, RFC 9111 3.2.
func mergedHeader(stored, newer *Response, rules *Rules) http.Header {
	out := stored.Header.Clone()
	if out == nil {
		out = http.Header{}
	}
	_, tagged := entityTag(stored.Header)
	for name, values := range EndToEnd(newer.Header) {
		// A tag is equal but for weakness, and stored's fits the stored bytes.
		if updatable(name, rules) && (!tagged || name != "Etag") {
			out[name] = values
		}
	}
	// Without a Date the newer one is as old as its arrival, RFC 9110 6.6.1.
	if _, ok := fieldTime(newer.Header, "Date"); !ok {
		out["Date"] = []string{newer.ResponseTime.UTC().Format(http.TimeFormat)}
	}
	return out
}

// updatable says whether a 304 updates a field: not those that describe the stored
// bytes, are digests of them or chose them, and not those that are never stored, RFC 9111 3.2.
func updatable(name string, rules *Rules) bool {
	switch name {
	case "Content-Length", "Content-Encoding", "Content-Range", "Content-Md5", "Content-Digest", "Vary", "Age":
		return false
	case "Set-Cookie":
		return rules.StoreSetCookie
	}
	return true
}
