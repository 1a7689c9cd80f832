package rfc9111

import (
	"strings"
	"time"
)

// parseTargeted parses the lines of a targeted Cache-Control field, RFC 9213 2.1. ok is
// false when the field is empty or malformed, or gives a number of seconds another
// type: then it counts as absent.
func parseTargeted(lines []string) (d directives, ok bool) {
	if !parseDictionary(strings.Join(lines, ", "), d.addTargeted) {
		return directives{}, false
	}
	// Of a member that is there twice the last one counts, RFC 9651 4.2.2, its type too.
	for _, s := range []seconds{d.maxAge, d.sMaxAge, d.staleWhileRevalidate, d.staleIfError} {
		if s.untyped {
			return directives{}, false
		}
	}
	return d, true
}

// addTargeted notes one member.
func (d *directives) addTargeted(key string, v sfValue) {
	on := v.kind != sfBoolean || v.n == 1
	switch key {
	case "max-age":
		d.maxAge.setTargeted(v)
	case "s-maxage":
		d.sMaxAge.setTargeted(v)
	case "stale-while-revalidate":
		d.staleWhileRevalidate.setTargeted(v)
	case "stale-if-error":
		d.staleIfError.setTargeted(v)
	case "no-store":
		d.noStore = on
	case "no-cache":
		d.noCache.setTargeted(v, on)
	case "private":
		d.private.setTargeted(v, on)
	case "public":
		d.public = on && v.kind == sfBoolean
	case "must-revalidate":
		d.mustRevalidate = on
	case "proxy-revalidate":
		d.proxyRevalidate = on
	case "must-understand":
		d.mustUnderstand = on
	case "immutable":
		d.immutable = on && v.kind == sfBoolean
	}
}

func (s *seconds) setTargeted(v sfValue) {
	*s = seconds{
		set: true, bad: v.n < 0, untyped: v.kind != sfInteger,
		d: time.Duration(min(max(v.n, 0), maxSeconds)) * time.Second,
	}
}
