package rfc9111

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// kind is the type of a structured field's bare item, RFC 9651 3.3.
type kind int

const (
	sfInteger kind = iota
	sfDecimal
	sfString
	sfToken
	sfBytes
	sfBoolean
	sfDate
	sfDisplay // a Display String
	sfInner   // an inner list, RFC 9651 3.1.1
)

// sfValue is the value of a list or dictionary member. Parameters are checked and
// forgotten.
type sfValue struct {
	kind  kind
	n     int64     // sfInteger, or 1 for a true sfBoolean
	text  string    // sfString, without escapes
	items []sfValue // sfInner
}

// sfReader parses structured fields strictly: RFC 9651 4.2.
type sfReader struct {
	s   string
	bad bool
}

// parseDictionary calls member for each member of a Dictionary, RFC 9651 4.2.2, as it
// stands; a later member of the same name replaces an earlier one. It reports
// whether the whole field is valid and not empty.
func parseDictionary(s string, member func(key string, v sfValue)) bool {
	r := sfReader{s: strings.Trim(s, " ")}
	if r.s == "" {
		return false
	}
	for {
		key := r.key()
		v := sfValue{kind: sfBoolean, n: 1}
		if r.take('=') {
			v = r.member()
		} else {
			r.parameters()
		}
		if r.bad {
			return false
		}
		member(key, v)
		if r.s == "" {
			return true
		}
		if !r.comma() {
			return false
		}
	}
}

// validList reports whether s is a List, RFC 9651 4.2.1, that is not empty.
func validList(s string) bool { return parseList(s, func(sfValue) {}) }

// parseList calls member for each member of a List, RFC 9651 4.2.1, as it stands. It
// reports whether the whole field is valid and not empty.
func parseList(s string, member func(sfValue)) bool {
	r := sfReader{s: strings.Trim(s, " ")}
	if r.s == "" {
		return false
	}
	for {
		v := r.member()
		if r.bad {
			return false
		}
		member(v)
		if r.s == "" {
			return true
		}
		if !r.comma() {
			return false
		}
	}
}

func (r *sfReader) fail() { r.bad, r.s = true, "" }

func (r *sfReader) take(c byte) bool {
	if r.s == "" || r.s[0] != c {
		return false
	}
	r.s = r.s[1:]
	return true
}

// comma takes what stands between two members; a trailing comma is an error.
func (r *sfReader) comma() bool {
	r.s = trimLeftOWS(r.s)
	if !r.take(',') {
		return false
	}
	r.s = trimLeftOWS(r.s)
	return r.s != ""
}

func (r *sfReader) cut(n int) string {
	head := r.s[:n]
	r.s = r.s[n:]
	return head
}

func (r *sfReader) key() string {
	n := 0
	for n < len(r.s) {
		c := r.s[n]
		first := c >= 'a' && c <= 'z' || c == '*'
		if !first && (n == 0 || (c < '0' || c > '9') && c != '_' && c != '-' && c != '.') {
			break
		}
		n++
	}
	if n == 0 {
		r.fail()
		return ""
	}
	return r.cut(n)
}

// member parses an item or an inner list with its parameters.
func (r *sfReader) member() sfValue {
	if !r.take('(') {
		v := r.item()
		r.parameters()
		return v
	}
	inner := sfValue{kind: sfInner}
	for !r.bad {
		r.s = strings.TrimLeft(r.s, " ")
		if r.take(')') {
			r.parameters()
			return inner
		}
		inner.items = append(inner.items, r.item())
		r.parameters()
		if r.s == "" || r.s[0] != ' ' && r.s[0] != ')' {
			r.fail()
		}
	}
	return sfValue{}
}

func (r *sfReader) parameters() {
	for !r.bad && r.take(';') {
		r.s = strings.TrimLeft(r.s, " ")
		r.key()
		if r.take('=') {
			r.item()
		}
	}
}

func (r *sfReader) item() sfValue {
	if r.s == "" {
		r.fail()
		return sfValue{}
	}
	switch c := r.s[0]; {
	case c == '-' || c >= '0' && c <= '9':
		return r.number()
	case c == '"':
		return r.str()
	case c == ':':
		return r.bytes()
	case c == '@':
		return r.date()
	case c == '%':
		return r.display()
	case c == '?':
		return r.boolean()
	case c == '*' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		r.cut(sfTokenLen(r.s))
		return sfValue{kind: sfToken}
	}
	r.fail()
	return sfValue{}
}

// number parses an Integer of at most 15 digits, or a Decimal of at most 12 and 3.
func (r *sfReader) number() sfValue {
	negative := r.take('-')
	whole, n := r.digits()
	if whole == 0 || whole > 15 {
		r.fail()
		return sfValue{}
	}
	if r.take('.') {
		if fraction, _ := r.digits(); whole > 12 || fraction == 0 || fraction > 3 {
			r.fail()
		}
		return sfValue{kind: sfDecimal}
	}
	if negative {
		n = -n
	}
	return sfValue{kind: sfInteger, n: n}
}

// digits takes digits and counts them; the value is right up to 15 of them.
func (r *sfReader) digits() (count int, n int64) {
	for r.s != "" && r.s[0] >= '0' && r.s[0] <= '9' {
		if count < 16 {
			n = n*10 + int64(r.s[0]-'0')
		}
		count++
		r.s = r.s[1:]
	}
	return count, n
}

func (r *sfReader) str() sfValue {
	var text []byte
	for i := 1; i < len(r.s); i++ {
		c := r.s[i]
		switch {
		case c == '"':
			r.cut(i + 1)
			return sfValue{kind: sfString, text: string(text)}
		case c == '\\':
			i++
			if i == len(r.s) || r.s[i] != '"' && r.s[i] != '\\' {
				r.fail()
				return sfValue{}
			}
			c = r.s[i]
		case c < 0x20 || c > 0x7e:
			r.fail()
			return sfValue{}
		}
		text = append(text, c)
	}
	r.fail()
	return sfValue{}
}

func (r *sfReader) bytes() sfValue {
	end := strings.IndexByte(r.s[1:], ':')
	if end < 0 {
		r.fail()
		return sfValue{}
	}
	coded := r.cut(end + 2)
	for _, c := range []byte(coded[1 : end+1]) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '=' {
			continue
		}
		r.fail()
	}
	return sfValue{kind: sfBytes}
}

// date parses a Date, which is an Integer.
func (r *sfReader) date() sfValue {
	r.cut(1)
	if r.number().kind != sfInteger {
		r.fail()
	}
	return sfValue{kind: sfDate}
}

// display parses a Display String: ASCII, and percent-encoded UTF-8 in lower case.
func (r *sfReader) display() sfValue {
	r.cut(1)
	if !r.take('"') {
		r.fail()
		return sfValue{}
	}
	var text []byte
	for r.s != "" {
		c := r.cut(1)[0]
		switch {
		case c == '"' && utf8.Valid(text):
			return sfValue{kind: sfDisplay}
		case c == '"', c < 0x20, c > 0x7e:
			r.fail()
		case c == '%':
			if len(r.s) < 2 || !isLowerHex(r.s[0]) || !isLowerHex(r.s[1]) {
				r.fail()
				return sfValue{}
			}
			octet, _ := strconv.ParseUint(r.cut(2), 16, 8)
			text = append(text, byte(octet))
		default:
			text = append(text, c)
		}
	}
	r.fail()
	return sfValue{}
}

func isLowerHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }

func (r *sfReader) boolean() sfValue {
	switch {
	case strings.HasPrefix(r.s, "?1"):
		r.cut(2)
		return sfValue{kind: sfBoolean, n: 1}
	case strings.HasPrefix(r.s, "?0"):
		r.cut(2)
		return sfValue{kind: sfBoolean}
	}
	r.fail()
	return sfValue{}
}

// sfTokenLen is the length of a Token that starts s, whose first byte is known
// to be right.
func sfTokenLen(s string) int {
	for i := range len(s) {
		if !tchars[s[i]] && s[i] != ':' && s[i] != '/' {
			return i
		}
	}
	return len(s)
}

// isSFToken reports whether s can be written as a Token, RFC 9651 3.3.4.
func isSFToken(s string) bool {
	if s == "" || sfTokenLen(s) != len(s) {
		return false
	}
	c := s[0]
	return c == '*' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
