package keying

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// target is a request target after the query rules of a spec were applied to it.
// It is made of pieces of the client's bytes: nothing is decoded or encoded, because
// origins read ";", "+", "%zz" and empty parameters each in their own way.
type target struct {
	path   string
	query  bool     // whether "?" follows the path
	params []string // what follows, to be joined with "&"
	size   int      // bytes in all
}

// cutTarget applies s and then search to raw. It collects parameters in params, which
// is empty.
func cutTarget(params []string, s *Spec, search *Search, raw string) target {
	path, query, found := strings.Cut(raw, "?")
	switch {
	case !found || s.Query == QueryNone:
		return target{path: path, size: len(path)}
	case s.Query == QueryAll && !s.Sort && search == nil:
		return target{path: path, query: true, params: append(params, query), size: len(raw)}
	}
	size := len(path)
	for more := true; more; {
		var param string
		param, query, more = strings.Cut(query, "&")
		if s.keeps(param) && search.keeps(param) {
			params = append(params, param)
			size += 1 + len(param) // the "?" or "&" before it too
		}
	}
	if s.Sort {
		slices.SortStableFunc(params, func(a, b string) int {
			return strings.Compare(paramName(a), paramName(b))
		})
	}
	search.sort(params)
	return target{path: path, query: len(params) > 0, params: params, size: size}
}

func (s *Spec) keeps(param string) bool {
	return s.Query == QueryAll || slices.Contains(s.Names, paramName(param)) == (s.Query == QueryOnly)
}

// keeps says whether param may make a difference. One whose name cannot be decoded
// always may: readers differ in what it is.
func (s *Search) keeps(param string) bool {
	if s == nil {
		return true
	}
	name, ok := formName(param)
	return !ok || slices.Contains(s.Names, name) == s.All
}

// sort puts parameters into the one order that all their orders have, unless a name
// cannot be decoded: it could be the same as another one.
func (s *Search) sort(params []string) {
	unsure := func(param string) bool {
		_, ok := formName(param)
		return !ok
	}
	if s == nil || !s.AnyOrder || slices.ContainsFunc(params, unsure) {
		return
	}
	slices.SortStableFunc(params, func(a, b string) int {
		nameA, _ := formName(a)
		nameB, _ := formName(b)
		return strings.Compare(nameA, nameB)
	})
}

func (t *target) append(b []byte) []byte {
	return t.appendQuery(append(b, t.path...))
}

// appendQuery appends what follows the path.
func (t *target) appendQuery(b []byte) []byte {
	if !t.query {
		return b
	}
	separator := byte('?')
	for _, param := range t.params {
		b = append(b, separator)
		b = append(b, param...)
		separator = '&'
	}
	return b
}

// paramName returns the percent-decoded name of a parameter, or the raw name when
// it cannot be decoded.
func paramName(param string) string {
	name, _, _ := strings.Cut(param, "=")
	if strings.IndexByte(name, '%') < 0 {
		return name
	}
	decoded := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		if name[i] != '%' {
			decoded = append(decoded, name[i])
			continue
		}
		if i+2 >= len(name) {
			return name
		}
		high, low := hexValue(name[i+1]), hexValue(name[i+2])
		if high|low > 0xf {
			return name
		}
		decoded = append(decoded, high<<4|low)
		i += 2
	}
	return string(decoded)
}

// formName returns the name of a parameter as form data has it, "+" a space. ok is false
// when it has a bad escape or is not UTF-8.
func formName(param string) (name string, ok bool) {
	raw, _, _ := strings.Cut(param, "=")
	if strings.IndexByte(raw, '+') >= 0 {
		raw = strings.ReplaceAll(raw, "+", " ")
	}
	if strings.IndexByte(raw, '%') < 0 {
		return raw, utf8.ValidString(raw)
	}
	name = paramName(raw)
	return name, name != raw && utf8.ValidString(name)
}

// hexValue returns more than 15 for what is no hexadecimal digit.
func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	default:
		return 0xff
	}
}
