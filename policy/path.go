package policy

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// pattern is a compiled path pattern. It is compared with the raw path, byte for
// byte. Decoding or cleaning the path first would let a route match what the
// origin, which decodes by rules of its own, takes for something else:
// /static/..%2faccount is under /static/ here and must be nothing but that.
type pattern struct {
	source string
	parts  []part
	rest   bool // ends in *: whatever follows the parts
	params int
}

// part is a literal, slashes included, or the name of a parameter.
type part struct {
	literal string
	param   string
}

func checkPath(s string) string {
	_, wrong := parsePattern(s)
	return wrong
}

// parsePattern returns the pattern, or what is wrong with it.
func parsePattern(s string) (*pattern, string) {
	if !strings.HasPrefix(s, "/") {
		if s == "*" {
			return nil, `write "/*", or leave path out to match every path`
		}
		if _, rest, ok := strings.Cut(s, "://"); ok {
			host, path, _ := strings.Cut(rest, "/")
			return nil, fmt.Sprintf("a path has no host; write %q and put %q into match.hosts", clip("/"+path), clip(host))
		}
		return nil, fmt.Sprintf(`a path begins with "/"; write %q`, clip("/"+s))
	}
	if wrong := checkPathBytes(s); wrong != "" {
		return nil, wrong
	}
	p := &pattern{source: s}
	literal := ""
	names := map[string]bool{}
	segments := strings.Split(s[1:], "/")
	for i, segment := range segments {
		literal += "/"
		name, isParam := strings.CutPrefix(segment, ":")
		switch {
		case segment == "*" && i == len(segments)-1:
			p.rest = true
		case strings.Contains(segment, "*"):
			return nil, fmt.Sprintf(`"*" stands only for a whole segment at the end, as in %q`, clip(upTo(segments, i)+"/*"))
		case isParam && !isParamName(name):
			return nil, fmt.Sprintf("%q is not a parameter; a whole segment is one, of letters, digits and '_', as in \"/:id\"", clip(segment))
		case isParam && names[name]:
			return nil, fmt.Sprintf("parameter :%s stands in this path twice", clip(name))
		case isParam:
			names[name] = true
			p.params++
			p.parts = append(p.parts, part{literal: literal}, part{param: name})
			literal = ""
		case segment == "." || segment == "..":
			return nil, fmt.Sprintf("clients resolve %q before they send a path, so this would never match", segment)
		default:
			literal += segment
		}
	}
	if literal != "" {
		p.parts = append(p.parts, part{literal: literal})
	}
	return p, ""
}

func upTo(segments []string, i int) string {
	if i == 0 {
		return ""
	}
	return "/" + strings.Join(segments[:i], "/")
}

// checkPathBytes refuses what a raw path never holds.
func checkPathBytes(s string) string {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '?':
			return fmt.Sprintf("a path has no query; write %q and put conditions on the query into match.query", clip(s[:i]))
		case c == '#':
			return fmt.Sprintf("clients do not send fragments; write %q", clip(s[:i]))
		case c == '{':
			return `a parameter is written ":id", not "{id}"`
		case c <= ' ', c >= 0x7f, strings.IndexByte("\"<>\\`}", c) >= 0:
			return fmt.Sprintf("paths are compared as they are sent, percent-encoded; write %q", clip(escapePath(s)))
		case c == '%' && (i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2])):
			return `"%" stands before two hexadecimal digits; "%" itself is written "%25"`
		}
	}
	return ""
}

func escapePath(s string) string {
	return strings.ReplaceAll((&url.URL{Path: s}).EscapedPath(), "%25", "%")
}

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func isParamName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !isLetter(c) && c != '_' && (i == 0 || !isDigit(c)) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// match says whether the whole path matches. It does not allocate.
func (p *pattern) match(path string) bool {
	for i := range p.parts {
		if p.parts[i].param == "" {
			if !strings.HasPrefix(path, p.parts[i].literal) {
				return false
			}
			path = path[len(p.parts[i].literal):]
			continue
		}
		n := segmentEnd(path)
		if n == 0 {
			return false
		}
		path = path[n:]
	}
	return p.rest || path == ""
}

// capture returns the parameters of a path that matches.
func (p *pattern) capture(path string) Params {
	if p.params == 0 {
		return nil
	}
	params := make(Params, 0, p.params)
	for _, part := range p.parts {
		n := len(part.literal)
		if part.param != "" {
			n = segmentEnd(path)
			params = append(params, Param{part.param, path[:n]})
		}
		path = path[n:]
	}
	return params
}

func segmentEnd(path string) int {
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return i
	}
	return len(path)
}

// literal returns the only path that matches, if there is only one.
func (p *pattern) exact() (string, bool) {
	if p.rest || p.params > 0 {
		return "", false
	}
	return p.source, true
}

// first returns the first segment with both its slashes, if every path that
// matches begins with the same one.
func (p *pattern) first() (string, bool) { return firstSegment(p.parts[0].literal) }

func firstSegment(path string) (string, bool) {
	if path == "" {
		return "", false
	}
	i := strings.IndexByte(path[1:], '/')
	if i < 0 {
		return "", false
	}
	return path[:i+2], true
}

func (p *pattern) has(param string) bool {
	return slices.ContainsFunc(p.parts, func(part part) bool { return part.param == param })
}

// covers says whether p matches every path that q matches.
func (p *pattern) covers(q *pattern) bool {
	ours, theirs := strings.Split(p.source, "/"), strings.Split(q.source, "/")
	for i, segment := range ours {
		if i >= len(theirs) {
			return false
		}
		last := i == len(ours)-1
		other := theirs[i]
		switch {
		case p.rest && last:
			return true
		case q.rest && i == len(theirs)-1:
			return false
		case strings.HasPrefix(segment, ":"):
			if other == "" {
				return false
			}
		case segment != other:
			return false
		}
	}
	return len(ours) == len(theirs)
}
