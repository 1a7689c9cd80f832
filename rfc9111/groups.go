package rfc9111

import (
	"net/http"
	"strings"
)

// maxGroups is how many groups are read of one list, more than RFC 9875 2 asks for. The
// rest are one AnyTag at the end.
const maxGroups = 1000

// CacheGroups returns the groups that a response belongs to, RFC 9875 2. They mean
// something only within the response's own origin. Of one whose name is empty nothing
// is known.
func CacheGroups(h http.Header) []string { return groups(h["Cache-Groups"]) }

// InvalidatedGroups returns the groups whose stored responses of the same origin a
// response makes outdated, RFC 9875 3: never those named in a response to a safe
// method, nor in an error. Other groups of what is invalidated stay. AnyTag at the end
// stands for those that are too many.
func InvalidatedGroups(method string, status int, h http.Header) []string {
	if safe(method) || status < 200 || status >= 400 {
		return nil
	}
	return groups(h["Cache-Group-Invalidation"])
}

// groups parses a List of Strings; parameters mean nothing. A list that is
// malformed or holds something else counts as absent, RFC 9651 4.2. Groups beyond the
// limits are left out.
func groups(lines []string) []string {
	var out []string
	typed := true
	valid := parseList(strings.Join(lines, ", "), func(v sfValue) {
		typed = typed && v.kind == sfString
		switch {
		case v.text == "":
		case len(out) < maxGroups:
			out = append(out, v.text)
		case len(out) == maxGroups:
			out = append(out, AnyTag)
		}
	})
	if !valid || !typed {
		return nil
	}
	return out
}
