package rfc9111

import (
	"slices"
	"strings"
)

// maxLanguages is how many ranges of one Accept-Language are put in order. A list
// that is longer is compared as it stands.
const maxLanguages = 16

// A language is a language range with its weight in thousandths, RFC 9110 12.5.4.
type language struct {
	tag    string
	weight int
}

// appendLanguages appends an Accept-Language in the one form that all fields with
// the same ranges and weights have: lower case, by weight and then by name, each
// range once. What does not parse never has the form of what does. The order of ranges of one weight means nothing, RFC 9110 12.5.4.
func appendLanguages(out []byte, lines []string) []byte {
	var few [maxLanguages]language
	all := few[:0]
	for _, line := range lines {
		for line != "" {
			var member string
			if member, line = cutMember(line); member == "" {
				continue
			}
			if len(all) == maxLanguages {
				return appendLower(out, strings.Join(lines, ","))
			}
			all = append(all, parseLanguage(member))
		}
	}
	slices.SortFunc(all, func(a, b language) int {
		if a.weight != b.weight {
			return b.weight - a.weight
		}
		return compareFold(a.tag, b.tag)
	})
	for i, l := range all {
		if i > 0 && l.weight == all[i-1].weight && compareFold(l.tag, all[i-1].tag) == 0 {
			continue
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = appendLower(out, l.tag)
		if l.weight < fullWeight {
			out = append(out, ";q=0."...)
			out = append(out, byte('0'+l.weight/100), byte('0'+l.weight/10%10), byte('0'+l.weight%10))
		}
	}
	return out
}

// fullWeight is a weight of 1, in thousandths.
const fullWeight = 1000

// parseLanguage splits a member into range and weight. What is no weight stays
// part of the name.
func parseLanguage(member string) language {
	tag, param, ok := strings.Cut(member, ";")
	if !ok {
		return language{member, fullWeight}
	}
	name, value, _ := strings.Cut(trimOWS(param), "=")
	weight, ok := parseWeight(value)
	if !ok || !strings.EqualFold(name, "q") {
		return language{member, fullWeight}
	}
	return language{trimOWS(tag), weight}
}

// parseWeight parses a qvalue into thousandths, RFC 9110 12.4.2.
func parseWeight(s string) (weight int, ok bool) {
	whole, fraction, _ := strings.Cut(s, ".")
	if whole != "0" && whole != "1" || len(fraction) > 3 {
		return 0, false
	}
	weight = int(whole[0]-'0') * fullWeight
	unit := fullWeight / 10
	for _, c := range []byte(fraction) {
		if c < '0' || c > '9' {
			return 0, false
		}
		weight += int(c-'0') * unit
		unit /= 10
	}
	return weight, weight <= fullWeight
}

// compareFold compares as strings.Compare does, without case.
func compareFold(a, b string) int {
	for i := range min(len(a), len(b)) {
		if x, y := lower(a[i]), lower(b[i]); x != y {
			return int(x) - int(y)
		}
	}
	return len(a) - len(b)
}

func appendLower(out []byte, s string) []byte {
	for i := range len(s) {
		out = append(out, lower(s[i]))
	}
	return out
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
