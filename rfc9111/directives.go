package rfc9111

import (
	"math"
	"strings"
	"time"
)

// directives is a parsed Cache-Control field, of a request or of a response,
// RFC 9111 5.2. Unknown directives leave no trace.
type directives struct {
	noStore         bool
	noCache         qualified
	private         qualified
	public          bool
	mustRevalidate  bool
	proxyRevalidate bool
	mustUnderstand  bool
	immutable       bool
	onlyIfCached    bool

	maxAge               seconds
	sMaxAge              seconds
	staleWhileRevalidate seconds
	staleIfError         seconds
	minFresh             seconds
	maxStale             seconds
}

// seconds is a directive with a delta-seconds argument, RFC 9111 1.2.2.
type seconds struct {
	set bool // the directive is there
	bad bool // but its argument is not valid, or it is there twice and disagrees
	d   time.Duration

	untyped bool // in a structured field: it is no Integer
}

func (s seconds) valid() bool { return s.set && !s.bad }

// max raises d to the directive's value.
func (s seconds) max(d time.Duration) time.Duration {
	if s.valid() && s.d > d {
		return s.d
	}
	return d
}

// form is how a directive's argument was written.
type form int

const (
	bare   form = iota // no argument
	valued             // a token or a whole quoted string
	broken             // anything else
)

// parseDirectives parses the lines of a Cache-Control field.
func parseDirectives(lines []string) directives {
	var d directives
	for _, line := range lines {
		for line != "" {
			var name, value string
			var f form
			name, value, f, line = nextDirective(line)
			d.add(name, value, f)
		}
	}
	return d
}

// nextDirective cuts the first directive off a line. What does not parse is
// broken up to the next comma, so that garbage cannot hide a no-store behind it.
func nextDirective(line string) (name, value string, f form, rest string) {
	for line != "" && (line[0] == ',' || isOWS(line[0])) {
		line = line[1:]
	}
	n := tokenLen(line)
	name, rest = line[:n], line[n:]
	if end := trimLeftOWS(rest); end == "" || end[0] == ',' {
		return name, "", bare, end
	}
	if rest[0] != '=' {
		return name, "", broken, afterComma(rest)
	}
	rest = rest[1:]
	if value, after, ok := cutQuoted(rest); ok {
		after = trimLeftOWS(after)
		if after != "" && after[0] != ',' {
			return name, "", broken, afterComma(after)
		}
		return name, value, valued, after
	}
	value, rest, _ = strings.Cut(rest, ",")
	value = trimRightOWS(value)
	if !IsToken(value) {
		return name, "", broken, rest
	}
	return name, value, valued, rest
}

// cutQuoted cuts a leading quoted-string off s, RFC 9110 5.6.4. The value still
// has its backslashes.
func cutQuoted(s string) (value, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", s, false
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[1:i], s[i+1:], true
		}
	}
	return "", s, false
}

// add notes one directive. Restrictive ones count however they are written;
// permissive ones only when they are written right.
func (d *directives) add(name, value string, f form) {
	switch strings.ToLower(name) {
	case "max-age":
		d.maxAge.add(value, f)
	case "s-maxage":
		d.sMaxAge.add(value, f)
	case "no-store":
		d.noStore = true
	case "no-cache":
		d.noCache.add(value, f)
	case "private":
		d.private.add(value, f)
	case "public":
		d.public = d.public || f == bare
	case "must-revalidate":
		d.mustRevalidate = true
	case "proxy-revalidate":
		d.proxyRevalidate = true
	case "must-understand":
		d.mustUnderstand = true
	case "immutable":
		d.immutable = d.immutable || f == bare
	case "stale-while-revalidate":
		d.staleWhileRevalidate.add(value, f)
	case "stale-if-error":
		d.staleIfError.add(value, f)
	case "min-fresh":
		d.minFresh.add(value, f)
	case "max-stale":
		if f == bare { // any staleness will do, RFC 9111 5.2.1.2
			d.maxStale.addSeconds(math.MaxInt64, true)
			return
		}
		d.maxStale.add(value, f)
	case "only-if-cached":
		d.onlyIfCached = true
	}
}

func (s *seconds) add(value string, f form) {
	d, ok := parseSeconds(value)
	s.addSeconds(d, ok && f == valued)
}

func (s *seconds) addSeconds(d time.Duration, ok bool) {
	// Two values that disagree are no value, RFC 9111 4.2.1.
	s.bad = s.bad || !ok || s.set && s.d != d
	s.set, s.d = true, d
}

// maxSeconds is what larger delta-seconds mean, RFC 9111 1.2.2.
const maxSeconds = 1 << 31

// parseSeconds parses delta-seconds, RFC 9111 1.2.2.
func parseSeconds(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int64(c-'0'), maxSeconds)
	}
	return time.Duration(n) * time.Second, true
}

// tchars says of each byte whether it may stand in a token, RFC 9110 5.6.2.
var tchars = func() (all [256]bool) {
	for c := range all {
		b := byte(c)
		all[c] = b-'a' < 26 || b-'A' < 26 || b-'0' < 10 || strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0
	}
	return all
}()

func tokenLen[T string | []byte](s T) int {
	for i := range len(s) {
		if !tchars[s[i]] {
			return i
		}
	}
	return len(s)
}

// IsToken says whether s is a token, as methods and field names are, RFC 9110 5.6.2.
func IsToken[T string | []byte](s T) bool { return len(s) > 0 && tokenLen(s) == len(s) }

func isOWS(c byte) bool { return c == ' ' || c == '\t' }

func trimOWS(s string) string { return trimLeftOWS(trimRightOWS(s)) }

func trimLeftOWS(s string) string {
	for s != "" && isOWS(s[0]) {
		s = s[1:]
	}
	return s
}

func trimRightOWS(s string) string {
	for s != "" && isOWS(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func afterComma(s string) string {
	_, rest, _ := strings.Cut(s, ",")
	return rest
}
