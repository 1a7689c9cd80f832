package keying

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// ErrMalformed is Parse's error for bytes that are not a key.
var ErrMalformed = errors.New("keying: malformed key")

const version = 1

// A kind is the first byte of a part. Parts stand in ascending order of kind.
type kind byte

const (
	kindScheme kind = 1 + iota
	kindHost
	kindTarget
	kindAcceptEncoding
	kindDestination
	kindMethod
	kindBody
	kindCookie
	kindHeader
	kindDevice
	kindBrowser
	kindConditions
	kindDeployment
	kindQuery
	kindPart
)

var kindNames = [...]string{
	kindScheme:         "scheme",
	kindHost:           "host",
	kindTarget:         "target",
	kindAcceptEncoding: "accept-encoding",
	kindDestination:    "destination",
	kindMethod:         "method",
	kindBody:           "body",
	kindCookie:         "cookie",
	kindHeader:         "header",
	kindDevice:         "device",
	kindBrowser:        "browser",
	kindConditions:     "conditions",
	kindDeployment:     "deployment",
	kindQuery:          "query",
	kindPart:           "part",
}

func (k kind) named() bool { return k == kindCookie || k == kindHeader }

// A Form says how a cookie or header of the key spec is part of a key. Other
// parts are always values.
type Form byte

const (
	FormAbsent      Form = iota // the request has none
	FormValue                   // its value
	FormPartition               // the name of the cookie partition that lists the value
	FormNoPartition             // no cookie partition lists the value
)

func (f Form) String() string {
	switch f {
	case FormAbsent:
		return "absent"
	case FormValue:
		return "value"
	case FormPartition:
		return "partition"
	case FormNoPartition:
		return "no partition"
	default:
		return "unknown"
	}
}

func (f Form) hasText() bool { return f == FormValue || f == FormPartition }

// Part is one decoded part of a key.
type Part struct {
	Kind  string // "scheme", "host", "target", "accept-encoding", "destination", "method", "body", "cookie", "header", "device", "browser", "conditions", "deployment", "query", "part"
	Name  string // of the cookie or header
	Form  Form
	Value string // "" unless Form is FormValue or FormPartition
}

// appendHead appends all that stands before the bytes of a target of size bytes.
func appendHead(b []byte, scheme, host string, size int) []byte {
	b = append(appendOrigin(b, scheme, host), byte(kindTarget))
	return binary.AppendUvarint(b, uint64(size))
}

func appendOrigin(b []byte, scheme, host string) []byte {
	b = append(b, version)
	b = appendText(b, kindScheme, scheme)
	return appendText(b, kindHost, host)
}

func appendText[T string | []byte](b []byte, k kind, text T) []byte {
	b = append(b, byte(k))
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

func appendNamed(b []byte, k kind, name string, form Form) []byte {
	return append(appendText(b, k, name), byte(form))
}

// Parse recovers a key from its canonical bytes. It accepts exactly one encoding
// of each key, so that keys are equal when their bytes are.
func Parse(raw string) (Key, error) {
	base := 0
	err := decode(raw, func(k kind, _ Part, rest string) {
		if k == kindTarget {
			base = len(raw) - len(rest)
		}
	})
	if err != nil {
		return Key{}, err
	}
	return Key{raw: raw, digest: sum([]byte(raw)), base: base}, nil
}

// Parts decodes the key for people. The values are parts of its bytes.
func (k Key) Parts() []Part {
	var parts []Part
	err := decode(k.raw, func(_ kind, p Part, _ string) {
		parts = append(parts, p)
	})
	if err != nil {
		return nil // the zero Key
	}
	return parts
}

// decode calls visit for each part and with the bytes that follow it.
func decode(raw string, visit func(k kind, p Part, rest string)) error {
	if raw == "" || raw[0] != version {
		return ErrMalformed
	}
	last := kind(0)
	for rest := raw[1:]; rest != ""; {
		k := kind(rest[0])
		if !mayFollow(last, k) {
			return ErrMalformed
		}
		part, tail, ok := decodePart(k, rest[1:])
		if !ok {
			return ErrMalformed
		}
		visit(k, part, tail)
		rest, last = tail, k
	}
	if last < kindDestination || last == kindMethod {
		return ErrMalformed
	}
	return nil
}

// mayFollow is the fixed order of parts: one each of those up to destination,
// method and body together or not at all, any number of cookies and headers, and
// at most one of each of the others.
func mayFollow(last, next kind) bool {
	switch {
	case next > kindPart:
		return false
	case last < kindDestination, next == kindBody, last == kindMethod:
		return next == last+1
	case next == last:
		return next.named()
	default:
		return next > last
	}
}

func decodePart(k kind, s string) (p Part, rest string, ok bool) {
	p = Part{Kind: kindNames[k], Form: FormValue}
	if k.named() {
		if p.Name, s, ok = decodeText(s); !ok || s == "" {
			return p, s, false
		}
		p.Form, s = Form(s[0]), s[1:]
		if p.Form > FormNoPartition || k == kindHeader && p.Form > FormValue {
			return p, s, false
		}
		if !p.Form.hasText() {
			return p, s, true
		}
	}
	p.Value, rest, ok = decodeText(s)
	return p, rest, ok && (k < kindConditions || p.Value != "")
}

func decodeText(s string) (text, rest string, ok bool) {
	size, used := uint64(0), 0
	for {
		// No key is longer than 2^35 bytes, so a longer length is not one either.
		if used == len(s) || used == 5 {
			return "", s, false
		}
		c := s[used]
		size |= uint64(c&0x7f) << (7 * used)
		used++
		if c < 0x80 {
			break
		}
	}
	shortest := max(1, (bits.Len64(size)+6)/7)
	if used != shortest || size > uint64(len(s)-used) {
		return "", s, false
	}
	end := used + int(size)
	return s[used:end], s[end:], true
}
