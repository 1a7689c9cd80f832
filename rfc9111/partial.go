package rfc9111

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// SingleRange returns the Range of a request that asks for one range of bytes, in the one
// form that all fields of the same meaning have, RFC 9110 14.1.2. ok is false for several
// ranges, for what cannot be read, and for a range that begins at 0 and has no end, which
// is all there is.
func SingleRange(h http.Header) (field string, ok bool) {
	lines := h["Range"]
	if len(lines) != 1 {
		return "", false
	}
	unit, set, _ := strings.Cut(trimOWS(lines[0]), "=")
	if !strings.EqualFold(unit, "bytes") {
		return "", false
	}
	first, last, ok := strings.Cut(strings.Trim(set, " \t,"), "-") // empty list elements, RFC 9110 5.6.1.2
	start, okStart := parsePosition(first)
	end, okEnd := parsePosition(last)
	switch {
	case !ok || okStart && start == maxPosition || okEnd && end == maxPosition:
		return "", false
	case okStart && okEnd && start <= end:
		return "bytes=" + strconv.FormatInt(start, 10) + "-" + strconv.FormatInt(end, 10), true
	case okStart && last == "" && start > 0:
		return "bytes=" + strconv.FormatInt(start, 10) + "-", true
	case first == "" && okEnd && end > 0:
		return "bytes=-" + strconv.FormatInt(end, 10), true
	}
	return "", false
}

// Bytes is how many bytes are held.
func (p Parts) Bytes() int64 {
	n := int64(0)
	for _, held := range p.Held {
		n += held.Length
	}
	return n
}

// Below is how many of the bytes before pos are held. Where pos itself is held, that is
// its offset in a body that is made of the parts.
func (p Parts) Below(pos int64) int64 {
	n := int64(0)
	for _, held := range p.Held {
		n += min(max(pos-held.Start, 0), held.Length)
	}
	return n
}

// From is how many bytes are held from pos on without a gap.
func (p Parts) From(pos int64) int64 {
	for _, held := range p.Held {
		if pos >= held.Start && pos < held.Start+held.Length {
			return held.Start + held.Length - pos
		}
	}
	return 0
}

// Suffices says whether stored, if it is incomplete, has all that an answer to req is made
// of: one range that is held, or a head without a body, RFC 9111 3.3.
func Suffices(req Request, stored *Response) bool {
	if stored.Parts == nil {
		return true
	}
	switch Evaluate(req, stored) {
	case NotModified, Failed:
		return true
	case IgnoreRange:
		return req.Method == http.MethodHead
	}
	if req.Method == http.MethodHead {
		return true
	}
	if len(req.Header["Range"]) != 1 {
		return false
	}
	ranges, err := ParseRange(req.Header["Range"][0], stored.Parts.Size)
	return err != nil || len(ranges) == 1 && stored.Parts.Covers(ranges[0])
}

// Complete returns the head of the whole that stored, in parts, and rest, a 206 that
// answers their Completion, are together, RFC 9111 3.4, and which range rest has.
func Complete(req Request, stored, rest *Response, rules *Rules) (whole *Response, r Range, ok bool) {
	r, size, ok := Resumes(req, stored, rest, rules)
	if !ok || size != stored.Parts.Size {
		return nil, Range{}, false
	}
	missing := stored.Parts.Missing()
	sum, ok := Combine(req, stored, rest, rules)
	if !ok || len(missing) == 0 || missing[0].Start != r.Start {
		return nil, Range{}, false
	}
	head := *sum
	head.Length, head.Parts = size, nil
	if age := rest.Header["Age"]; len(age) > 0 { // as received
		head.Header = sum.Header.Clone()
		head.Header["Age"] = slices.Clone(age)
	}
	return &head, r, true
}
