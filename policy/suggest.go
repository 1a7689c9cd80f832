package policy

import (
	"cmp"
	"fmt"
	"strings"
)

// suggest offers the field that an unknown name was probably meant to be.
func (s *shape) suggest(name string) string {
	if place, ok := s.elsewhere[name]; ok {
		return place
	}
	known := make([]string, len(s.fields))
	for i, m := range s.fields {
		known[i] = m.name
	}
	if best := cmp.Or(nearest(name, known), s.alias(name)); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	for _, m := range s.fields {
		if inner := m.shape.object(); inner != nil && inner.member(name) != nil {
			return fmt.Sprintf("it belongs inside %q", m.name)
		}
	}
	return "known here: " + strings.Join(known, ", ")
}

// alias knows the names of other products, and names cut short.
func (s *shape) alias(name string) string {
	plain := strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name))
	for _, other := range aliases[plain] {
		if s.member(other) != nil {
			return other
		}
	}
	for _, m := range s.fields {
		if len(plain) > 3 && strings.HasPrefix(strings.ToLower(m.name), plain) {
			return m.name
		}
	}
	return ""
}

// aliases are what other products call our fields.
var aliases = map[string][]string{
	"ttl":                  {"maxAgeSeconds"},
	"maxage":               {"maxAgeSeconds"},
	"smaxage":              {"maxAgeSeconds"},
	"expires":              {"maxAgeSeconds"},
	"swr":                  {"staleWhileRevalidateSeconds"},
	"stale":                {"staleWhileRevalidateSeconds"},
	"grace":                {"staleWhileRevalidateSeconds"},
	"stalewhilerevalidate": {"staleWhileRevalidateSeconds"},
	"keep":                 {"staleIfErrorSeconds"},
	"staleiferror":         {"staleIfErrorSeconds"},
	"negativettl":          {"statusMaxAgeSeconds"},
	"cache":                {"edge"},
	"backend":              {"origin", "url"},
	"upstream":             {"origin", "upstreams"},
	"target":               {"origin", "url"},
	"servers":              {"upstreams"},
	"backends":             {"origins", "upstreams"},
	"rules":                {"routes"},
	"url":                  {"path"},
	"urls":                 {"path"},
	"pattern":              {"path"},
	"surrogatekeys":        {"tags"},
	"vary":                 {"headers", "key"},
	"cachekey":             {"key"},
	"query":                {"excludeAllQueryParametersExcept"},
	"ignorequery":          {"excludeAllQueryParameters"},
}

// nearest returns the candidate that name is probably a misspelling of.
func nearest(name string, candidates []string) string {
	best, least := "", max(1, len(name)/3)+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance counts the edits, swaps of neighbours included, between two names.
func distance(a, b string) int {
	const most = 40
	if len(a) > most || len(b) > most {
		return most
	}
	var d [most + 1][most + 1]int
	for i := range len(a) + 1 {
		for j := range len(b) + 1 {
			if i == 0 || j == 0 {
				d[i][j] = i + j
				continue
			}
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
