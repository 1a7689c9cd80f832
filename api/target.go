package api

import "strings"

// maxTarget is the longest request target that is served, in bytes. It leaves
// half of MaxHeaderBytes to the fields.
const maxTarget = 8 << 10

// target is a request target taken apart, nothing decoded.
type target struct {
	authority string // of absolute-form, "" otherwise
	form      string // the target in origin-form
	path      string
	query     string
}

// parseTarget checks the target of a request other than CONNECT and OPTIONS *,
// RFC 9112 3.2. What it accepts reads the same to every server: no fragment, no
// backslash, no control byte and no encoded NUL, which some of them cut at and
// others do not. Bytes from 0x80 on pass; browsers of old send them.
func parseTarget(uri string) (target, *fault) {
	if len(uri) > maxTarget {
		return target{}, refuseLongTarget
	}
	for i := range len(uri) {
		switch c := uri[i]; {
		case c <= ' ' || c == 0x7f:
			return target{}, badTarget("a control byte or a space")
		case c == '#':
			return target{}, badTarget("a fragment")
		case c == '\\':
			return target{}, badTarget("a backslash")
		case c == '%' && strings.HasPrefix(uri[i:], "%00"):
			return target{}, badTarget("an encoded NUL")
		}
	}
	var t target
	rest := uri
	if !strings.HasPrefix(uri, "/") { // absolute-form, RFC 9112 3.2.2
		scheme, after, ok := strings.Cut(uri, "://")
		if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
			return target{}, badTarget("a form other than /path or http://host/path")
		}
		end := strings.IndexAny(after, "/?")
		if end < 0 {
			end = len(after)
		}
		t.authority, rest = after[:end], after[end:]
		if t.authority == "" {
			return target{}, badTarget("an empty host")
		}
		if !strings.HasPrefix(rest, "/") { // RFC 9110 4.2.3: an empty path is "/"
			rest = "/" + rest
		}
	}
	form := originForm(rest)
	t.form, t.path, t.query = form.form, form.path, form.query
	return t, nil
}

// originForm takes a target in origin-form apart that has been checked.
func originForm(s string) target {
	path, query, _ := strings.Cut(s, "?")
	return target{form: s, path: path, query: query}
}

func badTarget(what string) *fault {
	return refusal(400, refuseTarget.code, "The request target has "+what+".", refuseTarget.hint)
}
