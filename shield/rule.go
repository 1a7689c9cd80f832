package shield

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"weir/keying"
)

// Rule says what a purge names: a URL, a prefix of URLs, a host, a key, all responses
// with a tag or in a group of one origin, or all responses; and whether that goes or only
// becomes stale. Tags name values of programs too, and other rules name values alone.
type Rule struct {
	kind   ruleKind
	soft   bool
	text   string
	origin string // of a group, "" when a rule may concern any; not in the log
}

// ruleKind is the first byte of a rule in the log, in upper case when it is soft.
type ruleKind byte

const (
	ruleURL      ruleKind = 'u' // text is a keying.Digest
	ruleURLSlot  ruleKind = 's' // text is a slot: all URLs that share it
	ruleName     ruleKind = 'n' // text is a keying.Digest, of a tag or of a group
	ruleNameSlot ruleKind = 'm' // text is a slot: all tags and groups that share it
	ruleHost     ruleKind = 'h' // text is a keying.Digest
	ruleHostSlot ruleKind = 'g' // text is a slot
	ruleKey      ruleKind = 'k' // text is a keying.Digest
	ruleKeySlot  ruleKind = 'j' // text is a slot
	rulePrefix   ruleKind = 'p' // text is an origin's canonical bytes and how its targets begin
	ruleAll      ruleKind = 'a' // without text: all responses

	ruleValue     ruleKind = 'v' // text is a keying.Digest, of the key of a value
	ruleValueSlot ruleKind = 'w' // text is a slot: all keys of values that share it
	ruleValues    ruleKind = 'x' // without text: all that is remembered of values
	ruleTagged    ruleKind = 'y' // without text: that, and all values with a tag wherever they are kept

	ruleIdentity ruleKind = 'i' // no rule: the log's LogID
)

const softBit = 'a' - 'A'

// URLRule names every key of one URL, by the digest that [keying.Key.Base] returns.
func URLRule(base keying.Digest) Rule { return Rule{kind: ruleURL, text: string(base[:])} }

// PrefixRule names every response to a URL that begins like this one, byte for byte, as
// it is forwarded. Scheme and host are whole and in the form that keys have; without a
// path it names everything of the origin. [Rules] checks what people write.
func PrefixRule(url string) Rule {
	scheme, rest, _ := strings.Cut(url, "://")
	host, target := rest, "/"
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, target = rest[:i], rest[i:]
	}
	return Rule{kind: rulePrefix, text: keying.Origin(scheme, host) + target}
}

// HostRule names every response of a host, in the form that keys have it, whatever its scheme.
func HostRule(host string) Rule {
	d := hostName(host)
	return Rule{kind: ruleHost, text: string(d[:])}
}

// KeyRule names what is stored under one key, and the pieces of it.
func KeyRule(key keying.Digest) Rule { return Rule{kind: ruleKey, text: string(key[:])} }

// TagRule names every response that has a tag among its Tags, whatever its host, and
// every value that has it.
func TagRule(tag string) Rule {
	d := tagName(tag)
	return Rule{kind: ruleName, text: string(d[:])}
}

// GroupRule names every response of one origin that is in a group, RFC 9875 2.1. The
// group "" is all responses of the origin that are in any.
func GroupRule(scheme, host, group string) Rule {
	origin := keying.Origin(scheme, host)
	d := groupName(origin, group)
	return Rule{kind: ruleName, text: string(d[:]), origin: origin}
}

// AllRule names every response.
func AllRule() Rule { return Rule{kind: ruleAll} }

// Soft returns a rule that names the same, which does not go then: it counts as just
// gone stale. It may be used in its stale windows, and must be validated outside them.
func (r Rule) Soft() Rule {
	r.soft = true
	return r
}

// Tags, groups and hosts are remembered by digests: memory and log have room for many,
// and those of any length.

func tagName(tag string) keying.Digest             { return digest("tag ", tag) }
func groupName(origin, group string) keying.Digest { return digest("group ", origin, group) }
func originName(origin string) keying.Digest       { return digest("origin ", origin) }
func hostName(host string) keying.Digest           { return digest("host ", host) }

func digest(parts ...string) keying.Digest {
	var scratch [512]byte
	b := scratch[:0]
	for _, p := range parts {
		b = append(b, p...)
	}
	full := sha256.Sum256(b)
	return keying.Digest(full[:])
}

// digest is the text of a rule that is remembered by one.
func (r Rule) digest() keying.Digest { return keying.Digest([]byte(r.text)) }

// Encode returns the bytes of r, which mean the same in every version that knows them.
func (r Rule) Encode() []byte {
	kind := byte(r.kind)
	if r.soft {
		kind -= softBit
	}
	return append([]byte{kind}, r.text...)
}

// ParseRule returns the rule of which src are the bytes. It refuses what it does not
// know: a rule that is skipped would bring back what was purged.
func ParseRule(src []byte) (Rule, error) {
	if len(src) > 0 {
		r := Rule{kind: ruleKind(src[0] | softBit), soft: src[0]&softBit == 0, text: string(src[1:])}
		if r.wellFormed() {
			return r, nil
		}
	}
	return Rule{}, fmt.Errorf("%w: unknown rule of %d bytes", ErrLog, len(src))
}

// maxPrefix is how long the text of a prefix may be, in bytes.
const maxPrefix = 16 << 10

func (r Rule) wellFormed() bool {
	if r.kind == rulePrefix {
		_, target, ok := keying.CutOrigin(r.text)
		return ok && strings.HasPrefix(target, "/") && len(r.text) <= maxPrefix
	}
	size, known := ruleSizes[r.kind]
	return known && size == len(r.text) && !(r.soft && r.ofValues())
}

const digestSize = len(keying.Digest{})

var ruleSizes = map[ruleKind]int{
	ruleURL: digestSize, ruleURLSlot: slotSize,
	ruleName: digestSize, ruleNameSlot: slotSize,
	ruleHost: digestSize, ruleHostSlot: slotSize,
	ruleKey: digestSize, ruleKeySlot: slotSize,
	ruleValue: digestSize, ruleValueSlot: slotSize,
	ruleAll: 0, ruleValues: 0, ruleTagged: 0,
}
