package rfc9111

import (
	"net/http"
	"slices"
	"strings"
)

// qualified is a directive that may name the fields it is about, RFC 9111
// 5.2.2.4 and 5.2.2.7.
type qualified struct {
	set    bool
	whole  bool   // about the whole response
	fields string // otherwise the comma-separated names
}

// about says whether the directive concerns a response with header h. A
// directive about named fields is honoured as one about the whole response when one of
// them is there, and concerns nothing when none is: see Shared, which removes them.
func (q qualified) about(h http.Header) bool {
	if !q.set || q.whole {
		return q.set
	}
	for name := range strings.SplitSeq(q.fields, ",") {
		name = trimOWS(name)
		if !IsToken(name) {
			return true
		}
		if _, ok := h[http.CanonicalHeaderKey(name)]; ok {
			return true
		}
	}
	return false
}

// names returns the named fields, ok is false when one is no field name.
func (q qualified) names() (names []string, ok bool) {
	if !q.set || q.whole {
		return nil, true
	}
	for name := range strings.SplitSeq(q.fields, ",") {
		name = trimOWS(name)
		if !IsToken(name) {
			return nil, false
		}
		names = append(names, http.CanonicalHeaderKey(name))
	}
	return names, true
}

func (q *qualified) add(value string, f form) {
	// Two lists, an empty one or an escaped one: taken as about the whole response.
	if f != valued || q.set || value == "" || strings.Contains(value, `\`) {
		*q = qualified{set: true, whole: true}
		return
	}
	*q = qualified{set: true, fields: value}
}

func (q *qualified) setTargeted(v sfValue, on bool) {
	*q = qualified{set: on, whole: true}
	if v.kind == sfString && v.text != "" {
		*q = qualified{set: true, fields: v.text}
	}
}

// Reserved returns the fields that a response keeps for whoever caused it, whether it
// has them or not: those that private names, RFC 9111 5.2.2.7, and those that no-cache
// names, RFC 9111 5.2.2.4, which without a validation may not be used again.
func Reserved(h http.Header, rules *Rules) []string {
	rules = rules.orZero()
	d, _ := responseDirectives(h, rules)
	names, ok := d.noCache.names()
	if !rules.ForcePrivate {
		private, valid := d.private.names()
		names, ok = append(names, private...), ok && valid
	}
	if !ok {
		return nil
	}
	return names
}

// Shared returns what of resp a shared cache may store and give to others: resp
// without the fields that it reserves for whoever caused it, or resp itself when it
// has none of them. A field that cannot go without a change of meaning makes
// the directive count as one about the whole response; then resp comes back as it is.
//
// A cookie goes only where the origin itself says for how long the rest may be kept:
// application servers reserve each of their cookies, and the content beside one that
// nobody gave a lifetime may be one user's, too.
func Shared(resp *Response, rules *Rules) *Response {
	rules = rules.orZero()
	var gone []string
	for _, name := range Reserved(resp.Header, rules) {
		if _, here := resp.Header[name]; !here {
			continue
		}
		if essential(name) || name == "Set-Cookie" && !statesLifetime(resp, rules) {
			return resp
		}
		gone = append(gone, name)
	}
	if gone == nil {
		return resp
	}
	out := *resp
	out.Header = resp.Header.Clone()
	for _, name := range gone {
		delete(out.Header, name)
	}
	return &out
}

// Personal says whether a response to one client has fields that are for nobody else.
func Personal(h http.Header, rules *Rules) bool {
	rules = rules.orZero()
	if len(h["Set-Cookie"]) > 0 && !rules.StoreSetCookie {
		return true
	}
	return slices.ContainsFunc(Reserved(h, rules), func(name string) bool { return h[name] != nil })
}

// WithPersonal returns the response that the client gets whose request had stored
// updated by newer: fresh, with what of newer is for nobody else. It is fresh itself when
// that is nothing.
func WithPersonal(fresh, newer *Response, rules *Rules) *Response {
	if fresh == newer {
		return fresh
	}
	rules = rules.orZero()
	names := Reserved(fresh.Header, rules)
	if !rules.StoreSetCookie {
		names = append(names, "Set-Cookie")
	}
	out := fresh
	for _, name := range names {
		values := newer.Header[name]
		if len(values) == 0 || essential(name) {
			continue
		}
		if out == fresh {
			own := *fresh
			own.Header = fresh.Header.Clone()
			out = &own
		}
		out.Header[name] = values
	}
	return out
}

func statesLifetime(resp *Response, rules *Rules) bool {
	d, targeted := responseDirectives(resp.Header, rules)
	_, known := originLifetime(resp, &d, targeted)
	return known
}

// essential says whether a response without the field would mean something else: it
// describes or identifies the content, or says how to keep, to select or to purge it.
func essential(name string) bool {
	switch name {
	case "Age", "Cache-Control", "Cache-Groups", "Cache-Tag", "Cdn-Cache-Control", "Date", "Etag", "Expires",
		"Last-Modified", "Location", "Pragma", "Surrogate-Control", "Surrogate-Key", "Vary", "Weir-Cache-Control",
		"Www-Authenticate":
		return true
	}
	return strings.HasPrefix(name, "Content-")
}
