package shield

import (
	"crypto/sha256"
	"fmt"

	"weir/keying"
)

// Rule says what a purge names: a URL, all responses with a tag or in a group of one
// origin, or everything.
type Rule struct {
	kind   ruleKind
	text   string
	origin string // of a group, "" when a rule may concern any; not in the log
}

type ruleKind byte

const (
	ruleURL      ruleKind = 'u' // text is a keying.Digest
	ruleURLSlot  ruleKind = 's' // text is a slot: all URLs that share it
	ruleName     ruleKind = 'n' // text is a keying.Digest, of a tag or of a group
	ruleNameSlot ruleKind = 'm' // text is a slot: all tags and groups that share it
	ruleAll      ruleKind = 'a' // without text
)

// URLRule names every key of one URL, by the digest that [keying.Key.Base] returns.
func URLRule(base keying.Digest) Rule { return Rule{kind: ruleURL, text: string(base[:])} }

// TagRule names every response that has a tag among its Tags, whatever its host.
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

// AllRule names everything.
func AllRule() Rule { return Rule{kind: ruleAll} }

// Tags and groups are remembered by digests: memory and log have room for many, and
// those of any length.

func tagName(tag string) keying.Digest             { return digest("tag ", tag) }
func groupName(origin, group string) keying.Digest { return digest("group ", origin, group) }
func originName(origin string) keying.Digest       { return digest("origin ", origin) }

func digest(parts ...string) keying.Digest {
	var scratch [512]byte
	b := scratch[:0]
	for _, p := range parts {
		b = append(b, p...)
	}
	full := sha256.Sum256(b)
	return keying.Digest(full[:])
}

func (r Rule) encode() []byte { return append([]byte{byte(r.kind)}, r.text...) }

// parseRule refuses what it does not know: a rule that is skipped would bring
// back what was purged.
func parseRule(src []byte) (Rule, error) {
	if len(src) > 0 {
		r := Rule{kind: ruleKind(src[0]), text: string(src[1:])}
		if size, known := ruleSizes[r.kind]; known && size == len(r.text) {
			return r, nil
		}
	}
	return Rule{}, fmt.Errorf("%w: unknown rule of %d bytes", ErrLog, len(src))
}

var ruleSizes = map[ruleKind]int{
	ruleURL: len(keying.Digest{}), ruleURLSlot: slotSize,
	ruleName: len(keying.Digest{}), ruleNameSlot: slotSize,
	ruleAll: 0,
}
