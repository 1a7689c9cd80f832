package policy

import "strings"

// parseStrings parses a structured field that is a list of strings, RFC 9651, 4.2.1.
// Parameters are allowed and mean nothing here (RFC 9875, 2).
func parseStrings(s string) (values []string, ok bool) {
	s = strings.Trim(s, " ")
	for s != "" {
		value, rest, ok := cutString(s)
		if !ok {
			return nil, false
		}
		values = append(values, value)
		if rest, ok = skipParameters(rest); !ok {
			return nil, false
		}
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" {
			return values, true
		}
		if rest[0] != ',' {
			return nil, false
		}
		s = strings.TrimLeft(rest[1:], " \t")
		if s == "" { // a comma at the end
			return nil, false
		}
	}
	return values, true
}

// cutString takes a string off the front, RFC 9651, 4.2.5.
func cutString(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		return "", s, false
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], true
		case c == '\\':
			i++
			if i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", s, false
			}
			b.WriteByte(s[i])
		case c < ' ' || c > '~':
			return "", s, false
		default:
			b.WriteByte(c)
		}
	}
	return "", s, false
}

// skipParameters takes parameters off the front, RFC 9651, 4.2.3.2.
func skipParameters(s string) (rest string, ok bool) {
	for strings.HasPrefix(s, ";") {
		s = strings.TrimLeft(s[1:], " ")
		n := 0
		for n < len(s) && (isDigit(s[n]) || 'a' <= s[n] && s[n] <= 'z' || strings.IndexByte("_-.*", s[n]) >= 0) {
			n++
		}
		if n == 0 || isDigit(s[0]) || s[0] == '-' || s[0] == '.' {
			return s, false
		}
		s = s[n:]
		if !strings.HasPrefix(s, "=") {
			continue
		}
		s = s[1:]
		if strings.HasPrefix(s, `"`) {
			if _, s, ok = cutString(s); !ok {
				return s, false
			}
			continue
		}
		end := strings.IndexAny(s, " \t;,")
		if end < 0 {
			end = len(s)
		}
		if end == 0 {
			return s, false
		}
		s = s[end:]
	}
	return s, true
}
