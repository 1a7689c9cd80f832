package rfc9111

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"strings"
)

// Selection is the canonical form of the request fields that a response's Vary
// named, with their normalised values: RFC 9111 4.1. "" is a response without Vary.
// Values over 64 bytes are held as a digest.
//
// It is one record per field, sorted by name: the length and bytes of the canonical
// name, then 'a' for an absent field, 'v' with the length and bytes of a value, or
// 'd' with a SHA-256 digest. Lengths are one byte each.
type Selection string

const (
	maxVaryFields = 16 // more count as "Vary: *"
	maxVaryName   = 64
	maxVaryValue  = 64 // longer values are held as a digest
)

// Select builds the selection of a response with the Vary fields in vary for a request with header h.
// ok is false for "Vary: *", and for a Vary that is malformed or names too much.
func Select(vary []string, h http.Header) (s Selection, ok bool) {
	if len(vary) == 0 {
		return "", true
	}
	var names []string
	for _, line := range vary {
		for name := range strings.SplitSeq(line, ",") {
			if name = trimOWS(name); name == "" {
				continue
			}
			if name == "*" || !IsToken(name) || len(name) > maxVaryName {
				return "", false
			}
			if name = http.CanonicalHeaderKey(name); !slices.Contains(names, name) {
				names = append(names, name)
			}
			if len(names) > maxVaryFields {
				return "", false
			}
		}
	}
	slices.Sort(names)
	var out []byte
	for _, name := range names {
		out = appendSelected(out, name, h)
	}
	return Selection(out), true
}

// Matches says whether a request with header h selects the response.
func (s Selection) Matches(h http.Header) bool {
	var buf [1 + maxVaryName + 1 + sha256.Size + maxVaryValue]byte
	for s != "" {
		name, n := s.record()
		if n == 0 || string(appendSelected(buf[:0], name, h)) != string(s[:n]) {
			return false
		}
		s = s[n:]
	}
	return true
}

// Reselect returns the selection of the same fields for another request.
func (s Selection) Reselect(h http.Header) Selection {
	var out []byte
	for s != "" {
		name, n := s.record()
		if n == 0 {
			return ""
		}
		out = appendSelected(out, name, h)
		s = s[n:]
	}
	return Selection(out)
}

// covers says whether each field that vary names is already part of s.
func (s Selection) covers(vary []string) bool {
	wanted, ok := Select(vary, nil)
	if !ok {
		return false
	}
	have := map[string]bool{}
	for s != "" {
		name, n := s.record()
		if n == 0 {
			return false
		}
		have[name] = true
		s = s[n:]
	}
	for wanted != "" {
		name, n := wanted.record()
		if !have[name] {
			return false
		}
		wanted = wanted[n:]
	}
	return true
}

// valid says whether s has the form that Select gives.
func (s Selection) valid() bool {
	for s != "" {
		_, n := s.record()
		if n == 0 {
			return false
		}
		s = s[n:]
	}
	return true
}

// record reads the name of the first record and the length of the whole record,
// which is 0 when s is malformed.
func (s Selection) record() (name string, n int) {
	if len(s) < 2 || len(s) < int(s[0])+2 {
		return "", 0
	}
	n = int(s[0]) + 2
	name = string(s[1 : n-1])
	switch s[n-1] {
	case 'a':
	case 'd':
		n += sha256.Size
	case 'v':
		if len(s) == n {
			return "", 0
		}
		n += 1 + int(s[n])
	default:
		return "", 0
	}
	if n > len(s) {
		return "", 0
	}
	return name, n
}

// appendSelected appends the record of one field of h.
func appendSelected(out []byte, name string, h http.Header) []byte {
	out = append(out, byte(len(name)))
	out = append(out, name...)
	lines, present := h[name]
	if (!present || len(lines) == 0) && name != "Accept-Encoding" {
		return append(out, 'a') // absence only matches absence
	}
	mark := len(out)
	out = append(out, 'v', 0)
	out = appendNormal(out, name, lines)
	size := len(out) - mark - 2
	if size <= maxVaryValue {
		out[mark+1] = byte(size)
		return out
	}
	digest := sha256.Sum256(out[mark+2:])
	return append(append(out[:mark], 'd'), digest[:]...)
}

// appendNormal appends the lines of a field in the one form that all values of
// the same meaning have, RFC 9111 4.1.
func appendNormal(out []byte, name string, lines []string) []byte {
	switch name {
	case "Accept-Encoding":
		return appendCodings(out, lines)
	case "Accept-Language":
		return appendLanguages(out, lines)
	case "Cookie", "Authorization", "User-Agent", "Referer", "Origin":
		// Not lists: their inner whitespace may mean something. No value holds a
		// line feed, so two lines never equal one.
		out = append(out, trimOWS(lines[0])...)
		for _, line := range lines[1:] {
			out = append(append(out, '\n'), trimOWS(line)...)
		}
		return out
	}
	first := true
	for _, line := range lines {
		for line != "" {
			var member string
			member, line = cutMember(line)
			if member == "" {
				continue
			}
			if !first {
				out = append(out, ',')
			}
			first = false
			out = append(out, member...)
		}
	}
	return out
}

// cutMember cuts the first member off a comma-separated list, RFC 9110 5.6.1. Commas
// inside quoted strings do not separate.
func cutMember(s string) (member, rest string) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ',':
			return trimOWS(s[:i]), s[i+1:]
		case '"':
			if _, after, ok := cutQuoted(s[i:]); ok {
				i = len(s) - len(after) - 1
			}
		}
	}
	return trimOWS(s), ""
}

var codings = [...]string{"br", "gzip", "zstd"}

// codingIndex finds a coding in codings, x-gzip included, RFC 9110 8.4.1.3; -1 if it is another.
func codingIndex(coding string) int {
	if len(coding) == len("x-gzip") && strings.EqualFold(coding, "x-gzip") {
		coding = "gzip"
	}
	for i, name := range codings {
		if len(coding) == len(name) && strings.EqualFold(coding, name) {
			return i
		}
	}
	return -1
}

// appendCodings reduces Accept-Encoding to the codings that an origin is ever asked for:
// br, gzip and zstd. Weights only order what the client can read anyway, and a
// request that accepts none of the three is forwarded as one that says nothing.
func appendCodings(out []byte, lines []string) []byte {
	const unsaid, refused, accepted = 0, 1, 2
	var said [len(codings)]int
	others := refused
	for _, line := range lines {
		for line != "" {
			var member string
			member, line = cutMember(line)
			coding, weight, _ := strings.Cut(member, ";")
			verdict := accepted
			if zeroWeight(weight) {
				verdict = refused
			}
			if coding = trimOWS(coding); coding == "*" {
				others = verdict
			} else if i := codingIndex(coding); i >= 0 {
				said[i] = verdict
			}
		}
	}
	mark := len(out)
	for i, name := range codings {
		if said[i] == accepted || said[i] == unsaid && others == accepted {
			if len(out) > mark {
				out = append(out, ',')
			}
			out = append(out, name...)
		}
	}
	return out
}

// zeroWeight says whether a parameter is a weight of zero, RFC 9110 12.4.2.
func zeroWeight(param string) bool {
	if param == "" {
		return false
	}
	name, value, _ := strings.Cut(trimOWS(param), "=")
	if !strings.EqualFold(trimOWS(name), "q") {
		return false
	}
	value = trimOWS(value)
	return value != "" && strings.Trim(value, "0.") == "" && value[0] == '0'
}

// Only says whether s is about the one field name, which is canonical.
func (s Selection) Only(name string) bool {
	own, n := s.record()
	return n > 0 && n == len(s) && own == name
}
