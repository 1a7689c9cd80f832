package api

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"weir/rfc9111"
)

// head is what the Guard knows of a request once its head has passed. The slices
// are views of the buffer that was parsed.
type head struct {
	method []byte
	target []byte // as received: origin-form, absolute-form, or "*"
	host   []byte // value of the Host field
	secure bool   // the target is an absolute https URI
	plain  bool   // the target is an absolute http URI
	http10 bool

	fields  int   // number of field lines
	skip    int   // bytes of an empty line before the request line, not to be passed on
	length  int64 // of the body in bytes, 0 without one; meaningless when chunked
	chunked bool

	glance glance
}

// parseHead parses the request head at the start of buf under a grammar
// stricter than net/http's: RFC 9112 without what it merely tolerates. size is the
// length of the head with its empty line. A nil fault and a size of 0 mean that
// the head is not complete yet. What it accepts, net/http accepts with the same
// meaning. It allocates nothing.
func parseHead(buf []byte, maxHead, maxFields int) (h head, size int, no *fault) {
	// RFC 9112 2.2: one empty line before the request line is ignored.
	if len(buf) > 0 && buf[0] == '\r' {
		if len(buf) == 1 {
			return h, 0, nil
		}
		if buf[1] != '\n' {
			return h, 0, refuseRequestLine
		}
		h.skip = 2
	}
	line, at, no := nextLine(buf, h.skip)
	switch {
	case no != nil:
		return h, 0, no
	case at > maxHead, at == 0 && len(buf) >= maxHead:
		return h, 0, refuseLongTarget
	case at == 0:
		return h, 0, partialRequestLine(buf[h.skip:])
	}
	if no := h.requestLine(line); no != nil {
		return h, 0, no
	}
	var seen seenFields
	for {
		next := at
		line, at, no = nextLine(buf, next)
		switch {
		case no != nil:
			return h, 0, no
		case at == 0 && len(buf) >= maxHead, at > maxHead:
			return h, 0, refuseLongHead
		case at == 0:
			return h, 0, nil
		case len(line) == 0:
			if no := h.finish(&seen); no != nil {
				return h, 0, no
			}
			return h, at, nil
		}
		if h.fields++; h.fields > maxFields {
			return h, 0, refuseManyFields
		}
		if no := h.field(line, &seen); no != nil {
			return h, 0, no
		}
	}
}

// nextLine returns the line of buf that begins at from, without its CRLF, and
// where the next one begins; 0 when the line is not complete.
func nextLine(buf []byte, from int) (line []byte, next int, no *fault) {
	rest := buf[from:]
	end := bytes.IndexByte(rest, '\n')
	if end < 0 {
		// A CR anywhere but at the very end can never become a line end.
		if cr := bytes.IndexByte(rest, '\r'); cr >= 0 && cr != len(rest)-1 {
			return nil, 0, refuseLineEnd
		}
		return nil, 0, nil
	}
	if end == 0 || rest[end-1] != '\r' {
		return nil, 0, refuseLineEnd
	}
	return rest[:end-1], from + end + 1, nil
}

// partialRequestLine decides on a request line whose end has not come yet: what
// can never become one (a TLS hello, say) is refused at once.
func partialRequestLine(line []byte) *fault {
	method, _, _ := bytes.Cut(line, []byte(" "))
	if len(line) > 0 && !rfc9111.IsToken(method) {
		return refuseRequestLine
	}
	return nil
}

// requestLine parses method SP target SP version, RFC 9112 3.
func (h *head) requestLine(line []byte) *fault {
	sp := bytes.IndexByte(line, ' ')
	if sp <= 0 || !rfc9111.IsToken(line[:sp]) {
		return refuseRequestLine
	}
	h.method = line[:sp]
	rest := line[sp+1:]
	sp = bytes.IndexByte(rest, ' ')
	if sp <= 0 {
		return refuseRequestLine
	}
	h.target = rest[:sp]
	switch version := rest[sp+1:]; {
	case string(version) == "HTTP/1.1":
	case string(version) == "HTTP/1.0":
		h.http10 = true
	case len(version) == 8 && string(version[:5]) == "HTTP/" && isDigit(version[5]) && version[6] == '.' && isDigit(version[7]):
		return refuseVersion
	default:
		return refuseRequestLine
	}
	switch string(h.method) {
	case "TRACE", "CONNECT":
		return refuseMethod
	}
	return h.checkTarget()
}

// checkTarget checks the request target, RFC 9112 3.2. Bytes that a URI may not
// hold but that clients send and origins take (quotes, pipes, raw UTF-8) pass.
func (h *head) checkTarget() *fault {
	path := h.target
	switch {
	case path[0] == '/':
	case string(path) == "*":
		if string(h.method) != "OPTIONS" {
			return refuseTarget
		}
	case hasPrefixFold(path, "http://"):
		h.plain = true
		path = afterAuthority(path, len("http://"))
	case hasPrefixFold(path, "https://"):
		h.secure = true
		path = afterAuthority(path, len("https://"))
	default:
		return refuseTarget
	}
	query := false
	for i := 0; i < len(path); i++ {
		switch b := path[i]; {
		case b <= ' ', b == 0x7f, b == '#', b == '\\':
			return refuseTarget
		case b == '?':
			query = true
		case b == '%':
			escaped := i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2])
			if !escaped && !query || escaped && path[i+1] == '0' && path[i+2] == '0' {
				return refuseTarget
			}
		}
	}
	return nil
}

// afterAuthority returns what follows the authority of an absolute URI whose
// authority begins at from.
func afterAuthority(uri []byte, from int) []byte {
	if end := bytes.IndexAny(uri[from:], "/?#\\"); end >= 0 {
		return uri[from+end:]
	}
	return nil
}

// seenFields are the fields that may come once.
type seenFields struct {
	host, length, coding, expect bool
}

// field parses one field line, RFC 9112 5.
func (h *head) field(line []byte, seen *seenFields) *fault {
	name, value, no := splitField(line)
	if no != nil {
		return no
	}
	h.glance.field(name, value)
	switch len(name) {
	case len("Trailer"):
		if equalFold(name, "trailer") && !validTrailer(value) {
			return refuseFraming
		}
	case len("Host"):
		if equalFold(name, "host") {
			if seen.host || !validHost(value) {
				return refuseHost
			}
			seen.host = true
			h.host = value
		}
	case len("Expect"):
		if equalFold(name, "expect") {
			// RFC 9110 10.1.1: anything but 100-continue may be answered with 417.
			if seen.expect || !equalFold(value, "100-continue") {
				return refuseExpect
			}
			seen.expect = true
		}
	case len("Content-Length"):
		if equalFold(name, "content-length") {
			n, ok := parseLength(value)
			if seen.length || !ok {
				return refuseLength
			}
			seen.length = true
			h.length = n
		}
	case len("Transfer-Encoding"):
		if equalFold(name, "transfer-encoding") {
			if seen.coding || !equalFold(value, "chunked") {
				return refuseCoding
			}
			seen.coding = true
			h.chunked = true
		}
	}
	return nil
}

// finish checks what can be said only of the head as a whole.
func (h *head) finish(seen *seenFields) *fault {
	switch {
	case !seen.host:
		return refuseHost
	case seen.length && seen.coding:
		// RFC 9112 6.3: ought to be handled as an error.
		return refuseFraming
	case seen.coding && h.http10:
		// RFC 9112 6.1: its framing is to be treated as faulty.
		return refuseFraming
	}
	if scheme := h.schemeLen(); scheme > 0 {
		// RFC 9112 3.2.2: Host is ignored then, so a Host that says something else is a trap.
		authority := h.target[scheme : len(h.target)-len(afterAuthority(h.target, scheme))]
		if !bytes.EqualFold(authority, h.host) {
			return refuseAuthority
		}
	}
	return nil
}

func (h *head) schemeLen() int {
	switch {
	case h.plain:
		return len("http://")
	case h.secure:
		return len("https://")
	}
	return 0
}

// splitField splits a field line, RFC 9112 5.1: no space before the colon, no
// folding, no control bytes.
func splitField(line []byte) (name, value []byte, no *fault) {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || !rfc9111.IsToken(line[:colon]) {
		return nil, nil, refuseFieldName
	}
	value = line[colon+1:]
	if hasControl(value) {
		return nil, nil, refuseFieldValue
	}
	return line[:colon], trimSpace(value), nil
}

// hasControl says whether v has a control byte other than tab. Nearly all of a
// head are values, so it takes eight bytes at a time while they are all plain.
func hasControl(v []byte) bool {
	const ones = 0x0101010101010101
	for ; len(v) >= 8; v = v[8:] {
		x := binary.LittleEndian.Uint64(v)
		del := x ^ 0x7f*ones
		// The high bit of a byte of (n - k) &^ n is set if that byte is below k; a
		// borrow can set more of them, but never the first.
		if ((x-0x20*ones)&^x|(del-ones)&^del)&(0x80*ones) != 0 {
			break
		}
	}
	for _, b := range v {
		if b < ' ' && b != '\t' || b == 0x7f {
			return true
		}
	}
	return false
}

// validHost says whether v names a host: letters, digits, "-._~", or an IPv6
// address in brackets, with a port or without. An authority of RFC 3986 may hold
// more; nobody's host does, and user information, lists and quotes are traps.
func validHost(v []byte) bool {
	i := 0
	if len(v) > 0 && v[0] == '[' {
		end := bytes.IndexByte(v, ']')
		if end < 0 || bytes.IndexByte(v[:end], '%') >= 0 {
			return false
		}
		if ip, err := netip.ParseAddr(string(v[1:end])); err != nil || !ip.Is6() {
			return false
		}
		i = end + 1
	} else {
		for i < len(v) && hostByte[v[i]] {
			i++
		}
		if i == 0 || i > 255 {
			return false
		}
	}
	return i == len(v) || v[i] == ':' && isPort(v[i+1:])
}

func isPort(v []byte) bool {
	n := 0
	for _, b := range v {
		if n = n*10 + int(b-'0'); !isDigit(b) || n > 65535 {
			return false
		}
	}
	return len(v) > 0
}

// parseLength parses a Content-Length, RFC 9110 8.6: digits alone, and no leading
// zero that somebody could take for octal.
func parseLength(v []byte) (n int64, ok bool) {
	if len(v) == 0 || len(v) > 18 || len(v) > 1 && v[0] == '0' {
		return 0, false
	}
	for _, b := range v {
		if !isDigit(b) {
			return 0, false
		}
		n = n*10 + int64(b-'0')
	}
	return n, true
}

// validTrailer checks a Trailer field, RFC 9110 6.5.1: framing is never announced
// to come after the body that it frames.
func validTrailer(list []byte) bool {
	for len(list) > 0 {
		var name []byte
		name, list, _ = bytes.Cut(list, []byte(","))
		if name = trimSpace(name); framingField(name) || equalFold(name, "trailer") {
			return false
		}
	}
	return true
}

// framingField says whether a field is one that no trailer may set.
func framingField(name []byte) bool {
	return equalFold(name, "content-length") || equalFold(name, "transfer-encoding") || equalFold(name, "host")
}

var hostByte = byteSet("-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

func byteSet(chars string) (set [256]bool) {
	for i := range len(chars) {
		set[chars[i]] = true
	}
	return set
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

func isHex(b byte) bool {
	return isDigit(b) || 'a' <= b|0x20 && b|0x20 <= 'f'
}

// trimSpace removes optional whitespace, RFC 9110 5.6.3.
func trimSpace[T string | []byte](s T) T {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// equalFold compares ASCII without regard to case; lower is in lower case.
func equalFold(b []byte, lower string) bool {
	return len(b) == len(lower) && hasPrefixFold(b, lower)
}

func hasPrefixFold(b []byte, lower string) bool {
	if len(b) < len(lower) {
		return false
	}
	for i := range len(lower) {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
