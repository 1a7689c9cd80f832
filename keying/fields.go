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
