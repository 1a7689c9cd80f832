package keying

import (
	"crypto/sha256"
	"net/http"
	"strings"
)

// Digest is the first 128 bits of the SHA-256 of a key's canonical bytes. It is
// stable across restarts and machines.
type Digest [16]byte

// Key is a canonical cache key. It is immutable; two keys are the same key when
// their Bytes are equal. The digest only finds it quickly: a store keeps the
// bytes too and compares them. The zero Key is no key.
type Key struct {
	raw    string
	digest Digest
	base   int // raw[:base] is version, scheme, host and target
}

// Bytes returns the canonical bytes.
func (k Key) Bytes() string { return k.raw }

// In returns k with its bytes as a part of s, which begins with them: for who keeps a key and more in one piece.
func (k Key) In(s string) Key {
	if strings.HasPrefix(s, k.raw) {
		k.raw = s[:len(k.raw)]
	}
	return k
}

// Digest returns the digest of the canonical bytes.
func (k Key) Digest() Digest { return k.digest }

// Base returns the digest of scheme, host and forwarded target alone, or of the
// path alone where the spec says so. All the keys that custom key specs split one
// URL into share it; it is what an invalidation by URL names. It is computed on
// each call.
func (k Key) Base() Digest {
	var scratch [scratchSize]byte
	return sum(append(scratch[:0], k.raw[:k.base]...))
}

// Base returns the [Key.Base] of the keys of a URL: scheme, canonical host, and
// the target as it is forwarded.
func Base(scheme, host, target string) Digest {
	var scratch [scratchSize]byte
	b := appendHead(scratch[:0], scheme, host, len(target))
	return sum(append(b, target...))
}

// Origin returns the canonical bytes of scheme and host, which all keys of one origin
// (RFC 6454) begin with.
func (k Key) Origin() string {
	origin, _, _ := CutOrigin(k.raw)
	return origin
}

// Origin returns the [Key.Origin] of the keys of an origin.
func Origin(scheme, host string) string {
	var scratch [scratchSize]byte
	return string(appendOrigin(scratch[:0], scheme, host))
}

// CutOrigin splits what begins with the canonical bytes of an origin.
func CutOrigin(s string) (origin, rest string, ok bool) {
	if s == "" || s[0] != version {
		return "", s, false
	}
	rest = s[1:]
	for _, k := range [...]kind{kindScheme, kindHost} {
		if rest == "" || rest[0] != byte(k) {
			return "", s, false
		}
		if _, rest, ok = decodeText(rest[1:]); !ok {
			return "", s, false
		}
	}
	return s[:len(s)-len(rest)], rest, true
}

// HostOf returns the host of an origin's canonical bytes.
func HostOf(origin string) string {
	if origin == "" {
		return ""
	}
	_, rest, ok := decodeText(origin[2:])
	if !ok {
		return ""
	}
	host, _, _ := decodeText(rest[1:])
	return host
}

// Target returns the target as it is forwarded, without copying it unless its query is
// apart from its path.
func (k Key) Target() string {
	if k.raw == "" {
		return ""
	}
	_, rest, _ := CutOrigin(k.raw[:k.base])
	path, _, _ := decodeText(rest[1:])
	query := ""
	k.visit(func(kind kind, p Part, _ string) {
		if kind == kindQuery {
			query = p.Value
		}
	})
	return path + query
}

// Whole returns the digest of the key that k is a part of, or its own.
func (k Key) Whole() Digest {
	whole := k.digest
	before := len(k.raw)
	k.visit(func(kind kind, _ Part, rest string) {
		if kind == kindPart {
			whole = sum([]byte(k.raw[:before]))
		}
		before = len(k.raw) - len(rest)
	})
	return whole
}

// visit decodes what follows the target.
func (k Key) visit(f func(k kind, p Part, rest string)) {
	for rest := k.raw[k.base:]; rest != ""; {
		part, tail, ok := decodePart(kind(rest[0]), rest[1:])
		if !ok {
			return // no key
		}
		f(kind(rest[0]), part, tail)
		rest = tail
	}
}

// Part returns the key of a piece of what k names, such as a slice of a long body. It
// has k's Base, so that what purges a URL purges its pieces. A part has no parts.
func (k Key) Part(name string) Key {
	raw := string(appendText([]byte(k.raw), kindPart, name))
	return Key{raw: raw, digest: sum([]byte(raw)), base: k.base}
}

func sum(raw []byte) Digest {
	full := sha256.Sum256(raw)
	return Digest(full[:16])
}

// Request is what a key can be made of: plain values, taken from the request
// before anything is stripped from it. Build does not edit them.
type Request struct {
	Method      string
	Scheme      string // "http" or "https"
	Host        string // canonical: lower case, no default port, no trailing dot
	Target      string // origin-form as received: raw path, and "?" with the raw query if there is one
	Header      http.Header
	Body        []byte // keyed for methods other than GET and HEAD
	Destination string // split-test destination, "" without a split
	Search      *Search
}

// Search says which query parameters make no difference, beside those that a spec
// drops; nil for none. They are dropped, or sorted, in the key and what is forwarded.
type Search struct {
	All      bool     // all but Names; otherwise Names
	Names    []string // decoded as form data
	AnyOrder bool     // nor does the order of parameters with different names
}

// Keyed is a built key and what must be forwarded so that the origin answers
// exactly the request that the key names.
type Keyed struct {
	Key            Key
	Target         string // the target to forward; it is in the key
	OriginalQuery  string // the client's raw query, when Target's query differs from it
	QueryChanged   bool   // whether OriginalQuery is meaningful ("" is a query too)
	AcceptEncoding string // normalised; forwarded as is, "" means send none; AllCodings if the spec says Recoded
	Device         string // class, when the spec uses it
	Browser        string // class, when the spec uses it

	Accepts Accepts // the client's own, whatever is in the key
}
