package rfc9111

import (
	"net/http"
	"time"
)

// Precondition is the outcome of a conditional request, RFC 9110 13.2.2.
type Precondition int

const (
	Proceed     Precondition = iota // answer as if unconditional
	NotModified                     // 304
	Failed                          // 412
	IgnoreRange                     // If-Range did not match: the whole representation
)

// MayBeConditional says whether a method can be answered with 304: GET and HEAD, RFC 9110
// 13.1.2, and QUERY, whose selected representation is its result, RFC 10008. Other
// methods whose condition does not hold are answered with 412.
func MayBeConditional(method string) bool {
	return method == "GET" || method == "HEAD" || method == "QUERY"
}

// Evaluate evaluates a request's conditional fields against a response that is to be
// sent. Anything but a 2xx is sent as it is, RFC 9110 13.2.1. If-Match and If-Unmodified-Since are evaluated
// for the origin, which does not see them.
func Evaluate(req Request, resp *Response) Precondition {
	if !MayBeConditional(req.Method) || resp.Status < 200 || resp.Status > 299 || resp.Status == 206 {
		return Proceed
	}
	h := req.Header
	// The order is that of RFC 9110 13.2.2.
	if lines := h["If-Match"]; len(lines) > 0 {
		if !matchesTag(lines, resp.Header, strongEqual) {
			return Failed
		}
	} else if limit, ok := fieldTime(h, "If-Unmodified-Since"); ok {
		if modified, ok := fieldTime(resp.Header, "Last-Modified"); ok && modified.After(limit) {
			return Failed
		}
	}
	if lines := h["If-None-Match"]; len(lines) > 0 {
		if matchesTag(lines, resp.Header, weakEqual) {
			return NotModified
		}
	} else if since, ok := fieldTime(h, "If-Modified-Since"); ok && !modifiedAt(resp).After(since) {
		return NotModified
	}
	if req.Method == "GET" && len(h["Range"]) > 0 && len(h["If-Range"]) > 0 && !sameForRange(h, resp) {
		return IgnoreRange
	}
	return Proceed
}

// matchesTag says whether one of the entity tags in lines is resp's, or "*" stands for any.
func matchesTag(lines []string, resp http.Header, equal func(a, b string) bool) bool {
	if len(lines) == 1 && trimOWS(lines[0]) == "*" {
		return true
	}
	own, ok := entityTag(resp)
	if !ok {
		return false
	}
	for _, line := range lines {
		for {
			for line != "" && (line[0] == ' ' || line[0] == '\t' || line[0] == ',') {
				line = line[1:]
			}
			tag, rest, ok := cutEntityTag(line)
			if !ok {
				break // the end, or what follows cannot be read
			}
			if equal(tag, own) {
				return true
			}
			line = rest
		}
	}
	return false
}

// modifiedAt is the date that If-Modified-Since compares with: Last-Modified, or
// else Date, or else the arrival, RFC 9111 4.3.2.
func modifiedAt(resp *Response) time.Time {
	if modified, ok := fieldTime(resp.Header, "Last-Modified"); ok {
		return modified
	}
	return dateOf(resp)
}

// sameForRange evaluates If-Range, RFC 9110 13.1.5: an entity tag compares strongly, a date exactly,
// and only where it is a strong validator: a second or more before Date, RFC 9110 8.8.2.2.
func sameForRange(h http.Header, resp *Response) bool {
	lines := h["If-Range"]
	if len(lines) != 1 {
		return false
	}
	value := trimOWS(lines[0])
	if tag, rest, ok := cutEntityTag(value); ok {
		own, has := entityTag(resp.Header)
		return has && rest == "" && strongEqual(tag, own)
	}
	asked, valid := parseDate(value)
	modified, ok := fieldTime(resp.Header, "Last-Modified")
	if !valid || !ok || !asked.Equal(modified) {
		return false
	}
	return datedStrongly(resp.Header)
}

// datedStrongly says whether Last-Modified is a strong validator: a second or more
// before Date, RFC 9110 8.8.2.2.
func datedStrongly(h http.Header) bool {
	modified, ok := fieldTime(h, "Last-Modified")
	date, okDate := fieldTime(h, "Date")
	return ok && okDate && date.Sub(modified) >= time.Second
}
