package keying

import (
	"slices"
	"strings"
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

// cutTarget applies s to raw. It collects parameters in params, which is empty.
func cutTarget(params []string, s *Spec, raw string) target {
	path, query, found := strings.Cut(raw, "?")
	switch {
	case !found || s.Query == QueryNone:
		return target{path: path, size: len(path)}
	case s.Query == QueryAll && !s.Sort:
		return target{path: path, query: true, params: append(params, query), size: len(raw)}
	}
	size := len(path)
	for more := true; more; {
		var param string
		param, query, more = strings.Cut(query, "&")
		if s.Query == QueryAll || slices.Contains(s.Names, paramName(param)) == (s.Query == QueryOnly) {
			params = append(params, param)
			size += 1 + len(param) // the "?" or "&" before it too
		}
	}
	if s.Sort {
		slices.SortStableFunc(params, func(a, b string) int {
			return strings.Compare(paramName(a), paramName(b))
		})
	}
	return target{path: path, query: len(params) > 0, params: params, size: size}
}

func (t *target) append(b []byte) []byte {
	b = append(b, t.path...)
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
