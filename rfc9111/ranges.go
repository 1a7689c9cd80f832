package rfc9111

import (
	"errors"
	"math"
	"slices"
	"strings"
)

// Range is a satisfiable byte range, RFC 9110 14.1.2: Start inclusive, Length > 0.
type Range struct{ Start, Length int64 }

// MaxRanges is how many ranges of one request are served; more means the whole representation.
const MaxRanges = 8

// ErrUnsatisfiable says that no range asked for lies in the representation: 416, RFC 9110 15.5.17.
var ErrUnsatisfiable = errors.New("rfc9111: no range is satisfiable")

// ParseRange parses a Range field for a representation of size bytes. At most MaxRanges
// ranges come back, sorted as asked and coalesced where they overlap or touch. No ranges and nil error: ignore the
// field (other unit, malformed, too many, size not known). ErrUnsatisfiable: answer 416.
func ParseRange(field string, size int64) ([]Range, error) {
	unit, set, ok := strings.Cut(trimOWS(field), "=")
	if !ok || !strings.EqualFold(unit, "bytes") || size < 0 {
		return nil, nil
	}
	var out []Range
	asked := 0
	for spec := range strings.SplitSeq(set, ",") {
		if spec = trimOWS(spec); spec == "" {
			continue // an empty list element, RFC 9110 5.6.1.2
		}
		if asked++; asked > MaxRanges {
			return nil, nil
		}
		r, ok := parseSpec(spec, size)
		if !ok {
			return nil, nil
		}
		if r.Length > 0 {
			out = coalesce(out, r)
		} else if r.Start == 0 && size == 0 {
			return nil, nil // a suffix of nothing is the whole of it
		}
	}
	if asked == 0 {
		return nil, nil
	}
	if len(out) == 0 {
		return nil, ErrUnsatisfiable
	}
	return out, nil
}

// unsatisfiable is a valid range outside the representation.
var unsatisfiable = Range{Start: -1}

// parseSpec parses one int-range or suffix-range, RFC 9110 14.1.2. The zero Range is a
// suffix of an empty representation.
func parseSpec(spec string, size int64) (r Range, ok bool) {
	first, last, ok := strings.Cut(spec, "-")
	if !ok {
		return Range{}, false
	}
	if first == "" {
		n, ok := parsePosition(last)
		if !ok {
			return Range{}, false
		}
		if n == 0 {
			return unsatisfiable, true
		}
		n = min(n, size)
		return Range{Start: size - n, Length: n}, true
	}
	start, ok := parsePosition(first)
	if !ok {
		return Range{}, false
	}
	end := int64(math.MaxInt64)
	if last != "" {
		if end, ok = parsePosition(last); !ok || end < start {
			return Range{}, false
		}
	}
	if start >= size {
		return unsatisfiable, true
	}
	return Range{Start: start, Length: min(end, size-1) - start + 1}, true
}

const maxPosition = math.MaxInt64

// parsePosition parses digits; what is too large is as large as can be.
func parsePosition(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		digit := int64(c - '0')
		if n > (math.MaxInt64-digit)/10 {
			n = math.MaxInt64
			continue
		}
		n = n*10 + digit
	}
	return n, true
}

// coalesce adds r to ranges that are disjoint and keeps them so. What r joins
// stays at the place of the first that it joins, RFC 9110 15.3.7.2.
func coalesce(ranges []Range, r Range) []Range {
	at := -1
	for i := 0; i < len(ranges); {
		o := ranges[i]
		if o.Start > r.Start+r.Length || r.Start > o.Start+o.Length {
			i++
			continue
		}
		end := max(o.Start+o.Length, r.Start+r.Length)
		r.Start = min(o.Start, r.Start)
		r.Length = end - r.Start
		if at < 0 {
			at = i
			i++
			continue
		}
		ranges = slices.Delete(ranges, i, i+1)
	}
	if at < 0 {
		return append(ranges, r)
	}
	ranges[at] = r
	return ranges
}
