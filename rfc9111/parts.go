package rfc9111

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Parts says which bytes of one representation are held. The ranges in Held are in
// order, and neither overlap nor touch. The zero Parts holds nothing of a
// representation whose length is 0; methods do not edit their receiver.
type Parts struct {
	Size int64 // of the whole representation; -1 while it is not known
	Held []Range
}

// ParseContentRange parses the Content-Range of a 206 with one part, RFC 9110 14.4. size is
// -1 when the field does not tell the whole length.
func ParseContentRange(field string) (r Range, size int64, ok bool) {
	unit, rest, ok := strings.Cut(trimOWS(field), " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return Range{}, 0, false
	}
	span, whole, ok := strings.Cut(rest, "/")
	first, last, dash := strings.Cut(span, "-")
	start, okStart := parsePosition(first)
	end, okEnd := parsePosition(last)
	if !ok || !dash || !okStart || !okEnd || end < start || end == maxPosition {
		return Range{}, 0, false
	}
	size = -1
	if whole != "*" {
		if size, ok = parsePosition(whole); !ok || size <= end {
			return Range{}, 0, false
		}
	}
	return Range{Start: start, Length: end - start + 1}, size, true
}

// Add returns p with r held, too. size is that of the representation as far as it is known with r;
// ok is false when r does not fit into the representation that p is of.
func (p Parts) Add(r Range, size int64) (sum Parts, ok bool) {
	if p.Size >= 0 && size >= 0 && p.Size != size {
		return Parts{}, false
	}
	sum.Size = max(p.Size, size)
	sum.Held = coalesce(slices.Clone(p.Held), r)
	slices.SortFunc(sum.Held, func(a, b Range) int {
		if a.Start < b.Start {
			return -1
		}
		return 1
	})
	last := sum.Held[len(sum.Held)-1]
	return sum, r.Start >= 0 && r.Length > 0 && (sum.Size < 0 || last.Start+last.Length <= sum.Size)
}

// Whole says whether nothing is missing.
func (p Parts) Whole() bool { return p.Size >= 0 && len(p.Missing()) == 0 }

// Covers says whether all of r is held: then it may be answered with, as a 206,
// RFC 9111 3.3.
func (p Parts) Covers(r Range) bool {
	for _, held := range p.Held {
		if r.Start >= held.Start && r.Start+r.Length <= held.Start+held.Length {
			return true
		}
	}
	return false
}

// Missing returns what is not held, in order. The length of a last range that goes on to
// an end that is not known is -1.
func (p Parts) Missing() []Range {
	var out []Range
	next := int64(0)
	for _, held := range p.Held {
		if held.Start > next {
			out = append(out, Range{Start: next, Length: held.Start - next})
		}
		next = held.Start + held.Length
	}
	switch {
	case p.Size < 0:
		out = append(out, Range{Start: next, Length: -1})
	case next < p.Size:
		out = append(out, Range{Start: next, Length: p.Size - next})
	}
	return out
}

// Completion returns the header of the one request that completes p: h without the
// client's own conditions, with Range from the first byte that is missing to the last, and
// If-Range with the strong validator of stored, whose parts p are. A representation that
// has changed then comes whole, RFC 9110 13.1.5. ok is false when there is no such
// request: nothing is held or missing, or nothing strong tells versions apart, RFC 9110
// 15.3.7.3.
func (p Parts) Completion(h http.Header, stored *Response) (out http.Header, ok bool) {
	missing := p.Missing()
	validator := strongValidator(stored)
	if len(p.Held) == 0 || len(missing) == 0 || validator == "" {
		return nil, false
	}
	field := "bytes=" + strconv.FormatInt(missing[0].Start, 10) + "-"
	if last := missing[len(missing)-1]; last.Length >= 0 && last.Start+last.Length != p.Size {
		field += strconv.FormatInt(last.Start+last.Length-1, 10)
	}
	out = Conditional(h, nil)
	out["Range"] = []string{field}
	out["If-Range"] = []string{validator}
	return out, true
}

// strongValidator is what If-Range can name a response by: a strong entity tag, or else a
// Last-Modified at least a second before Date, RFC 9110 8.8.2.2; "" without either.
func strongValidator(resp *Response) string {
	if tag, ok := entityTag(resp.Header); ok {
		if strings.HasPrefix(tag, "W/") {
			return ""
		}
		return tag
	}
	if len(resp.Header["Etag"]) == 0 && datedStrongly(resp.Header) {
		return resp.Header["Last-Modified"][0]
	}
	return ""
}

// StorablePart decides whether a 206 with one part may be stored, as Storable does for
// whole responses, RFC 9111 3.3. head is what a whole response would have had: status 200,
// the whole length or -1, no Content-Range; part is what of it the 206 carries. A 206 that
// is known to carry another number of bytes than its Content-Range says is not stored.
func StorablePart(req Request, resp *Response, rules *Rules) (s Storability, head *Response, part Range) {
	if req.Method != "GET" {
		return refuse(StatusPass, "The answer to another method than GET is no part of a GET's, RFC 9110 14.2."), nil, Range{}
	}
	head, part, ok := WholeOf(resp)
	if !ok {
		return refuse(StatusPass, "The response is no single part, or does not fit its Content-Range, RFC 9110 14.4."), nil, Range{}
	}
	if s = Storable(req, head, rules); !s.Store {
		return s, nil, Range{}
	}
	head.Terms, head.Selection = s.Terms, s.Selection
	return s, head, part
}

// Combine returns the head of a response combined of stored, whole or in parts, and of a
// 206 with one part, RFC 9111 3.4; ok is false unless both have one and the same strong
// validator. The part's fields count, besides those about that part alone.
func Combine(req Request, stored, part *Response, rules *Rules) (combined *Response, ok bool) {
	rules = rules.orZero()
	own := strongValidator(stored)
	switch {
	case part.Status != 206 || len(part.Header["Content-Range"]) != 1 || own == "" || own != strongValidator(part):
		return nil, false
	case !slices.Equal(part.Header["Content-Encoding"], stored.Header["Content-Encoding"]):
		// Some servers code whole responses on the fly and parts never, under one tag.
		return nil, false
	case Personal(part.Header, rules):
		return nil, false // what comes with it is for one client
	}
	return updated(req, stored, part, rules)
}

// Resumption returns the header that asks for stored from its byte at on, after a body
// that broke off there: h without the client's own conditions, with Range, and with
// If-Range, so that nothing but the rest of the same version comes as a 206, RFC 9110
// 13.1.5. ok is false for what cannot be gone on with: another status than 200, no
// strong validator, or an origin that says it has no ranges, RFC 9110 14.3.
func Resumption(h http.Header, stored *Response, at int64) (out http.Header, ok bool) {
	validator := strongValidator(stored)
	for _, line := range stored.Header["Accept-Ranges"] {
		for unit := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(trimOWS(unit), "none") {
				return nil, false
			}
		}
	}
	if stored.Status != 200 || validator == "" {
		return nil, false
	}
	out = Conditional(h, nil)
	out["Range"] = []string{"bytes=" + strconv.FormatInt(at, 10) + "-"}
	out["If-Range"] = []string{validator}
	return out, true
}

// Resumes says whether part is a 206 whose range may be put behind the beginning of
// stored, RFC 9110 15.3.7.3: one range of a representation whose length it tells, with
// stored's strong validator and its coding, and without a word that would have kept
// stored from being stored. Whether r is the range that is missing is left to ask.
func Resumes(req Request, stored, part *Response, rules *Rules) (r Range, size int64, ok bool) {
	if _, ok := Combine(req, stored, part, rules); !ok {
		return Range{}, 0, false
	}
	r, size, ok = ParseContentRange(part.Header["Content-Range"][0])
	if !ok || size < 0 || part.Length >= 0 && part.Length != r.Length {
		return Range{}, 0, false
	}
	return r, size, true
}
