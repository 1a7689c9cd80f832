package policy

import "strings"

// Ambiguous says whether a laxer reader of r's path would match another route than
// plan, which Match found. Origins differ in what they decode and clean up: to some
// of them /static/..%2faccount is /account. A response to such a request must
// not be kept by the rules of either route.
func (t *Table) Ambiguous(r *MatchRequest, plan *Plan) bool {
	if !suspicious(r.Path) {
		return false
	}
	for _, read := range [...]func(string) string{plainly, laxly} {
		lax := *r
		if lax.Path = read(r.Path); lax.Path == r.Path {
			continue
		}
		if other, _ := t.Match(&lax); other != plan {
			return true
		}
	}
	return false
}

// suspicious says whether there is more than one way to read path.
func suspicious(path string) bool {
	return strings.ContainsAny(path, "%;") || strings.Contains(path, "//") || strings.Contains(path, "/.")
}

// plainly reads path as RFC 3986 allows everybody to: escapes of unreserved
// characters decoded (6.2.2.2), dot segments removed (6.2.2.3).
func plainly(path string) string { return withoutDots(decode(path, unreserved)) }

// laxly reads path as the most forgiving origins do: everything decoded, twice,
// path parameters and what follows a control byte cut off, spaces at the end
// trimmed, backslashes taken for slashes, runs of slashes for one.
func laxly(path string) string {
	path = decode(decode(path, anyByte), anyByte)
	path = strings.ReplaceAll(path, `\`, "/")
	ends := func(r rune) bool { return r < ' ' || r == 0x7f || r == '?' || r == '#' }
	if cut := strings.IndexFunc(path, ends); cut >= 0 {
		path = path[:cut]
	}
	path = strings.TrimRight(path, " ")
	segments := strings.Split(path, "/")
	kept := segments[:1] // what stands before the first slash: nothing
	for i, s := range segments[1:] {
		s, _, _ = strings.Cut(s, ";")
		if s != "" || i == len(segments)-2 {
			kept = append(kept, s)
		}
	}
	return withoutDots(strings.Join(kept, "/"))
}

// withoutDots removes dot segments, RFC 3986 5.2.4.
func withoutDots(path string) string {
	if !strings.Contains(path, "/.") {
		return path
	}
	segments := strings.Split(path, "/")
	kept := segments[:1]
	for i, s := range segments[1:] {
		last := i == len(segments)-2
		switch s {
		case ".":
		case "..":
			kept = kept[:max(1, len(kept)-1)]
		default:
			kept = append(kept, s)
			continue
		}
		if last {
			kept = append(kept, "")
		}
	}
	return strings.Join(kept, "/")
}

// decode decodes the escapes of those bytes that which accepts.
func decode(path string, which func(byte) bool) string {
	if !strings.Contains(path, "%") {
		return path
	}
	out := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			high, low := hexDigit(path[i+1]), hexDigit(path[i+2])
			if c := high<<4 | low; high|low < 16 && which(c) {
				out = append(out, c)
				i += 2
				continue
			}
		}
		out = append(out, path[i])
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

func anyByte(byte) bool { return true }

// unreserved characters mean the same escaped and plain, RFC 3986 2.3.
func unreserved(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}
