package rfc9111

import (
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// SearchVariance is what a response says of the query in its URL: which parameters, and
// whether their order, make a difference to it.
type SearchVariance struct {
	AnyOrder bool     // the order of parameters with different names makes none
	All      bool     // no parameter does, but those in Names
	Names    []string // decoded; without All, those that make none
}

// Limits of a No-Vary-Search that is followed. One beyond them has no effect.
const (
	maxSearchField = 2048 // bytes
	maxSearchNames = 100
)

// NoVarySearch reads the field of that name, as draft-ietf-httpbis-no-vary-search defines
// it. ok is false when the field makes no two URLs alike: when it is absent, malformed
// or of a type that the draft does not know, too.
func NoVarySearch(h http.Header) (v SearchVariance, ok bool) {
	field := SearchField(h)
	if field == "" || len(field) > maxSearchField {
		return SearchVariance{}, false
	}
	members := map[string]sfValue{}
	if !parseDictionary(field, func(key string, v sfValue) { members[key] = v }) {
		return SearchVariance{}, false
	}
	order, hasOrder := members["key-order"]
	if hasOrder && order.kind != sfBoolean {
		return SearchVariance{}, false
	}
	params, hasParams := members["params"]
	v = SearchVariance{AnyOrder: hasOrder && order.n == 1, All: hasParams && params.kind == sfBoolean && params.n == 1}
	names, listed := params, hasParams && params.kind == sfInner
	if hasParams && !listed && params.kind != sfBoolean {
		return SearchVariance{}, false
	}
	if except, has := members["except"]; has {
		if !v.All || except.kind != sfInner {
			return SearchVariance{}, false
		}
		names = except
	}
	if len(names.items) > maxSearchNames || slices.ContainsFunc(names.items, func(i sfValue) bool { return i.kind != sfString }) {
		return SearchVariance{}, false
	}
	for _, item := range names.items {
		if name := decodeSearchName(item.text); utf8.ValidString(name) {
			v.Names = append(v.Names, name)
		}
	}
	return v, v.AnyOrder || v.All || len(v.Names) > 0
}

// SearchField is the whole field as one text. Equal texts say the same.
func SearchField(h http.Header) string { return strings.Join(h["No-Vary-Search"], ", ") }

// decodeSearchName decodes a parameter's name as a form has it: "+" is a space, and what is
// no escape stays.
func decodeSearchName(s string) string {
	s = strings.ReplaceAll(s, "+", " ")
	if !strings.Contains(s, "%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if high, low := hexDigit(s[i+1]), hexDigit(s[i+2]); high|low < 16 {
				out = append(out, high<<4|low)
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

// hexDigit is the value of a hexadecimal digit, more than 15 for another byte.
func hexDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return (c | 0x20) - 'a' + 10
	}
	return 0xff
}
