package policy

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// MatchRequest is what routes are matched by.
type MatchRequest struct {
	Method, Host string // Host canonical
	Path         string // raw path as received
	RawQuery     string
	Header       http.Header
}

// Match returns the plan of the first route that matches, or that of the defaults.
// It does not allocate unless the path has parameters or the route a regular
// expression.
func (t *Table) Match(r *MatchRequest) (*Plan, Params) {
	w := t.walk(r.Path)
	for c := w.next(); c != nil; c = w.next() {
		switch {
		case !c.covers(r.Path) || !c.route.accepts(r):
		case c.pattern == nil:
			return c.route.plan, nil
		default:
			return c.route.plan, c.pattern.capture(r.Path)
		}
	}
	return t.defaults, nil
}

// Candidates returns the plans by which a response to r's URL may have been stored,
// whatever the method and the header fields of its request.
func (t *Table) Candidates(r *MatchRequest) []*Plan {
	var plans []*Plan
	taken := false // all GETs are, so that what follows stores other methods alone
	w := t.walk(r.Path)
	for c := w.next(); c != nil; c = w.next() {
		if !c.covers(r.Path) || !c.route.serves(r.Host) {
			continue
		}
		get := !taken && c.route.takes(http.MethodGet)
		if get || len(c.route.plan.Rules.Methods) > 0 {
			plans = append(plans, c.route.plan)
		}
		if len(c.route.conditions) == 0 {
			if c.route.methods == nil {
				return plans
			}
			taken = taken || get
		}
	}
	if taken {
		return plans
	}
	return append(plans, t.defaults)
}

// walk goes through the candidates for a path, in the order of the routes.
type walk struct{ lists [3][]candidate }

func (t *Table) walk(path string) walk {
	w := walk{[3][]candidate{t.exact[path], nil, t.general}}
	if first, ok := firstSegment(path); ok {
		w.lists[1] = t.byFirst[first]
	}
	return w
}

// next returns the earliest head of the lists, which are in order each.
func (w *walk) next() *candidate {
	next := -1
	for i := range w.lists {
		if len(w.lists[i]) > 0 && (next < 0 || w.lists[i][0].order < w.lists[next][0].order) {
			next = i
		}
	}
	if next < 0 {
		return nil
	}
	c := &w.lists[next][0]
	w.lists[next] = w.lists[next][1:]
	return c
}

// candidate is one way for a route to match.
type candidate struct {
	order   int // by route, and within a route by path
	route   *route
	pattern *pattern // nil: any path
}

func (c *candidate) covers(path string) bool { return c.pattern == nil || c.pattern.match(path) }

// index sorts the routes' patterns into the lists that Match looks at, and notes the fields that they look at.
func (t *Table) index() {
	t.exact, t.byFirst, t.fields = map[string][]candidate{}, map[string][]candidate{}, map[string]bool{}
	order := 0
	for _, r := range t.routes {
		for i := range r.conditions {
			if c := &r.conditions[i]; c.in == inHeader {
				t.fields[c.name] = true
			}
		}
		if r.paths == nil {
			order++
			t.general = append(t.general, candidate{order, r, nil})
		}
		for _, p := range r.paths {
			order++
			c := candidate{order, r, p}
			if path, ok := p.exact(); ok {
				t.exact[path] = append(t.exact[path], c)
			} else if first, ok := p.first(); ok {
				t.byFirst[first] = append(t.byFirst[first], c)
			} else {
				t.general = append(t.general, c)
			}
		}
	}
}

// route is a compiled match and its plan.
type route struct {
	plan       *Plan
	methods    []string // nil: any
	hosts      []hostPattern
	paths      []*pattern
	conditions []condition
}

// accepts checks everything but the path.
func (r *route) accepts(req *MatchRequest) bool {
	part, _ := r.refuses(req)
	return part == ""
}

// refuses says which part of the match is not met, the path aside: "" for none. Of
// conditions it returns the first that does not hold.
func (r *route) refuses(req *MatchRequest) (part string, unmet *condition) {
	switch {
	case !r.takes(req.Method):
		return "method", nil
	case !r.serves(req.Host):
		return "host", nil
	}
	for i := range r.conditions {
		if !r.conditions[i].holds(req) {
			return "condition", &r.conditions[i]
		}
	}
	return "", nil
}

func (r *route) takes(method string) bool {
	return r.methods == nil || slices.Contains(r.methods, method) ||
		method == http.MethodHead && slices.Contains(r.methods, http.MethodGet)
}

func (r *route) serves(host string) bool {
	return r.hosts == nil || slices.ContainsFunc(r.hosts, func(h hostPattern) bool { return h.match(host) })
}

// hostPattern is a host, or with a leading dot everything under it.
type hostPattern struct {
	name    string
	port    bool // name has a port, which must be the same
	subtree bool
}

func newHostPattern(s string) hostPattern {
	name, subtree := strings.CutPrefix(strings.ToLower(s), "*")
	_, _, port := splitPort(name)
	return hostPattern{name, port, subtree}
}

func (h hostPattern) match(host string) bool {
	if !h.port {
		host, _, _ = splitPort(host)
	}
	if h.subtree {
		return len(host) > len(h.name) && strings.HasSuffix(host, h.name)
	}
	return host == h.name
}

// covers says whether h matches every host that o matches.
func (h hostPattern) covers(o hostPattern) bool {
	if h.port && !o.port {
		return false
	}
	if o.subtree {
		name := o.name
		if !h.port {
			name, _, _ = splitPort(name)
		}
		return h.subtree && strings.HasSuffix(name, h.name)
	}
	return h.match(o.name)
}

// source is the part of a request that a condition looks at.
type source int

const (
	inHeader source = iota
	inCookie
	inQuery
)

// condition is on the values of one name. Where a name has several values, one
// that satisfies is enough.
type condition struct {
	in     source
	name   string
	absent bool     // there must be no value
	values []string // one of them; nil: any
	re     *regexp.Regexp
	text   string // of describe, to compare conditions by
}

// describe names the condition, for people and for keys: equal conditions and no
// others have the same text.
func (c *condition) describe() string {
	text := [...]string{inHeader: "header ", inCookie: "cookie ", inQuery: "query "}[c.in] + strconv.Quote(c.name)
	if c.absent {
		text = "no " + text
	}
	if c.re != nil {
		text += " matches " + strconv.Quote(c.re.String())
	}
	if c.values != nil {
		text += " is " + quoteAll(c.values, " or ")
	}
	return text
}

// allOf is one text for one set of conditions, in whatever order they are given.
func allOf(conditions []condition) string {
	texts := make([]string, len(conditions))
	for i := range conditions {
		texts[i] = conditions[i].text
	}
	slices.Sort(texts)
	return strings.Join(texts, ", ")
}

func (c *condition) holds(r *MatchRequest) bool {
	found := false
	switch c.in {
	case inHeader:
		found = slices.ContainsFunc(r.Header[c.name], func(line string) bool { return c.satisfied(trim(line)) })
	case inCookie:
		for _, line := range r.Header["Cookie"] {
			found = found || c.found(line, ";", trim)
		}
	case inQuery:
		found = c.found(r.RawQuery, "&", unescape)
	}
	return found != c.absent
}

// found looks for a pair that satisfies the condition.
func (c *condition) found(pairs, separator string, plain func(string) string) bool {
	for pair, more := "", true; more; {
		pair, pairs, more = strings.Cut(pairs, separator)
		name, value, _ := strings.Cut(pair, "=")
		if plain(name) == c.name && c.satisfied(plain(value)) {
			return true
		}
	}
	return false
}

func trim(s string) string { return strings.Trim(s, " \t") }

// unescape decodes a name or a value of a query, as every origin does before it
// compares one. What cannot be decoded stays as it is.
func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	if decoded, err := url.QueryUnescape(s); err == nil {
		return decoded
	}
	return s
}

func (c *condition) satisfied(value string) bool {
	switch {
	case c.re != nil:
		return c.re.MatchString(value)
	case c.values != nil:
		return slices.Contains(c.values, value)
	}
	return true
}
