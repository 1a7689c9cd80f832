package keying

import (
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
)

const whitespace = " \t" // OWS, RFC 9110 5.6.3

func appendCookie(b []byte, c *Cookie, h http.Header) []byte {
	value, found := cookieValue(h, c.Name)
	if !found {
		return appendNamed(b, kindCookie, c.Name, FormAbsent)
	}
	if len(c.Partitions) == 0 {
		return appendValue(appendNamed(b, kindCookie, c.Name, FormValue), value)
	}
	for i := range c.Partitions {
		if slices.Contains(c.Partitions[i].Values, value) {
			return appendValue(appendNamed(b, kindCookie, c.Name, FormPartition), c.Partitions[i].Name)
		}
	}
	return appendNamed(b, kindCookie, c.Name, FormNoPartition)
}

// cookieValue finds a cookie in the raw Cookie fields. A pair without "=" counts
// as a cookie with an empty value: to some origins it is one.
func cookieValue(h http.Header, name string) (value string, found bool) {
	var joined []byte // of several cookies with the name
	for _, line := range h["Cookie"] {
		for pair, more := "", true; more; {
			pair, line, more = strings.Cut(line, ";")
			key, v, _ := strings.Cut(pair, "=")
			if strings.Trim(key, whitespace) != name {
				continue
			}
			v = strings.Trim(v, whitespace)
			switch {
			case !found:
				value, found = v, true
				continue
			case joined == nil:
				joined = []byte(value)
			}
			joined = append(append(joined, ';'), v...)
		}
	}
	if joined != nil {
		return string(joined), true
	}
	return value, found
}

// appendField adds a header field. Several lines count as one, RFC 9110 5.3.
func appendField(b []byte, name string, h http.Header) []byte {
	name = http.CanonicalHeaderKey(name)
	lines := h[name]
	if len(lines) == 0 {
		return appendNamed(b, kindHeader, name, FormAbsent)
	}
	b = appendNamed(b, kindHeader, name, FormValue)
	if len(lines) == 1 {
		return appendValue(b, strings.Trim(lines[0], whitespace))
	}
	trimmed := make([]string, len(lines))
	for i, line := range lines {
		trimmed[i] = strings.Trim(line, whitespace)
	}
	return appendValue(b, strings.Join(trimmed, ", "))
}

func appendValue(b []byte, value string) []byte {
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

// The codings that caches and origins are asked for.
const (
	codingBrotli = 1 << iota
	codingGzip
	codingZstd
	codingAll = codingBrotli | codingGzip | codingZstd
)

var codingSets = [...]string{
	0:                                      "",
	codingBrotli:                           "br",
	codingGzip:                             "gzip",
	codingBrotli | codingGzip:              "br, gzip",
	codingZstd:                             "zstd",
	codingBrotli | codingZstd:              "br, zstd",
	codingGzip | codingZstd:                "gzip, zstd",
	codingBrotli | codingGzip | codingZstd: "br, gzip, zstd",
}

// AcceptEncoding returns the codings among br, gzip and zstd that a request
// accepts, in that order and separated by ", ", "" for none. RFC 9110 12.5.3.
// Preferences among them are dropped; a coding that is both accepted and refused
// is refused. Identity is always taken to be acceptable: a client that refuses it
// still gets it when there is nothing else, rather than an error. A request
// without the field gets no coding, as everybody does.
func AcceptEncoding(h http.Header) string {
	accepted, refused, others := 0, 0, false
	for _, line := range h["Accept-Encoding"] {
		for item, more := "", true; more; {
			item, line, more = strings.Cut(line, ",")
			name, params, _ := strings.Cut(item, ";")
			name = strings.Trim(name, whitespace)
			set := codingNamed(name)
			switch {
			case name == "*":
				others = positiveWeight(params)
			case positiveWeight(params):
				accepted |= set
			default:
				refused |= set
			}
		}
	}
	if others {
		accepted = codingAll
	}
	return codingSets[accepted&^refused]
}

func codingNamed(name string) int {
	switch {
	case strings.EqualFold(name, "br"):
		return codingBrotli
	case strings.EqualFold(name, "gzip"), strings.EqualFold(name, "x-gzip"): // RFC 9110 8.4.1.3
		return codingGzip
	case strings.EqualFold(name, "zstd"):
		return codingZstd
	default:
		return 0
	}
}

// positiveWeight says whether the parameters of a list member give it a weight
// over 0, RFC 9110 12.4.2. A weight that is none counts as 0: the client gets
// what it surely understands.
func positiveWeight(params string) bool {
	for params != "" {
		var param string
		param, params, _ = strings.Cut(params, ";")
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.Trim(name, whitespace), "q") {
			return positiveQvalue(strings.Trim(value, whitespace))
		}
	}
	return true
}

func positiveQvalue(q string) bool {
	whole, fraction, _ := strings.Cut(q, ".")
	if len(fraction) > 3 || strings.Trim(fraction, "0123456789") != "" {
		return false
	}
	switch zeros := strings.Trim(fraction, "0") == ""; whole {
	case "0":
		return !zeros
	case "1":
		return zeros
	default:
		return false
	}
}
