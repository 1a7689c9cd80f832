package rfc9111

import "net/http"

// Request is what verdicts need of a request.
type Request struct {
	Method string
	Header http.Header // the client's end-to-end fields
}

// noRules stands in for a nil *Rules: the header fields decide alone.
var noRules Rules

func (r *Rules) orZero() *Rules {
	if r == nil {
		return &noRules
	}
	return r
}

// requestDirectives returns what a client's Cache-Control says. Pragma: no-cache counts
// as Cache-Control: no-cache when there is no Cache-Control, RFC 9111 5.4;
// anything else in Pragma means nothing.
func requestDirectives(h http.Header, rules *Rules) directives {
	if rules.IgnoreRequest {
		return directives{}
	}
	if lines := h["Cache-Control"]; len(lines) > 0 {
		return parseDirectives(lines)
	}
	var d directives
	if lines := h["Pragma"]; len(lines) > 0 {
		d.noCache = parseDirectives(lines).noCache
	}
	return d
}
