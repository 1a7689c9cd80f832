package policy

import (
	"slices"
	"strings"

	"weir/keying"
)

// compiler turns a tree of the right shape into a table, and reports what only
// shows when fields are seen together.
type compiler struct {
	*report
	table  *Table
	root   *node
	origin map[string]*node // by name, those with mistakes included
	used   map[string]bool  // origins that something names
	plans  int              // how many there are
	lost   bool             // requests that no route matches have no origin

	// What was made of nodes that routes share.
	keys    map[*node]*keying.Spec
	apart   map[isolation]*keying.Spec
	recoded map[*keying.Spec]*keying.Spec
	tags    map[*node][]TagTemplate
	headers map[*node]map[string]string
}

func newCompiler(r *report) *compiler {
	return &compiler{
		report: r, table: &Table{Version: version(r.src), Origins: map[string]*Origin{}},
		origin: map[string]*node{}, used: map[string]bool{},
		keys: map[*node]*keying.Spec{}, apart: map[isolation]*keying.Spec{}, recoded: map[*keying.Spec]*keying.Spec{}, tags: map[*node][]TagTemplate{}, headers: map[*node]map[string]string{},
	}
}

func (c *compiler) file(root *node) {
	if root.kind != object {
		return
	}
	c.root = root
	c.deployment(root)
	c.keepingUp(root)
	c.origins(root.get("origins"))
	defaults := root.get("defaults")
	if defaults == nil {
		defaults = &node{kind: object, at: root.at, parent: root, name: "defaults"}
	}
	merged := under(nil, defaults)
	c.table.defaults = c.plan("defaults", merged)
	for _, tag := range merged.get("tags").list() {
		if param := placeholder(tag); param != "" {
			c.wrong(tag, "{%s} stands for a parameter, but defaults have no path; put the tag into routes", param)
		}
	}
	if routes := root.get("routes"); routes != nil && routes.kind == list {
		c.routes(routes, merged)
	}
	for _, f := range root.get("origins").all() {
		if !c.used[f.name] {
			c.warn(f.value, "no route and no default names this origin")
		}
	}
}

func (c *compiler) routes(routes, defaults *node) {
	names := map[string]*node{}
	for _, n := range routes.items {
		if n.kind != object {
			continue
		}
		if name := n.get("name"); name.value() != "" {
			if first := names[name.text]; first != nil {
				c.wrong(name, "%q is the name of %s already", name.text, c.where(first))
			} else {
				names[name.text] = n
			}
		}
		c.table.routes = append(c.table.routes, c.route(n, defaults))
	}
	c.shadowed(routes)
}

// route compiles one route over the defaults.
func (c *compiler) route(n, base *node) *route {
	r := c.match(n.get("match"))
	// origin and split exclude each other; the route's own choice is the one that counts.
	switch {
	case given(n.get("origin")):
		base = base.without("split")
	case given(n.get("split")):
		base = base.without("origin")
	}
	merged := under(base, n.without("match").without("name"))
	r.plan = c.plan(n.get("name").value(), merged)
	if len(r.conditions) > 0 {
		key := *r.plan.Key // which other routes may share
		key.Conditions = allOf(r.conditions)
		r.plan.Key = &key
	}
	if path := n.get("match").get("path"); path == nil || r.paths != nil {
		c.placeholders(n.get("tags"), r)
	}
	c.methods(n.get("match").get("methods"), r, merged)
	c.graphql(n, r, merged)
	c.useless(n, r.plan)
	return r
}

// methods names what the route caches besides GET and HEAD.
func (c *compiler) methods(n *node, r *route, merged *node) {
	if !r.plan.Edge || n == nil {
		return
	}
	private := merged.get("edge").get("forcePrivateCaching")
	for _, item := range n.items {
		switch method := item.value(); method {
		case "", "GET", "HEAD":
			continue
		case "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE":
			// RFC 9110, 9.3: responses to these are not cacheable.
			c.wrong(item, `%s cannot be cached; give it a route of its own with "edge": false, before this one`, method)
		default:
			if private.isTrue() {
				c.wrong(c.later(private, item), "private responses to %s cannot be cached; remove forcePrivateCaching or %s from this route's methods", method, method)
			}
			r.plan.Rules.Methods = append(r.plan.Rules.Methods, method)
		}
	}
}

// placeholders wants every path of a route to capture what its own tags name.
func (c *compiler) placeholders(tags *node, r *route) {
	captured := map[string]int{} // by how many paths
	for _, p := range r.paths {
		for _, part := range p.parts {
			captured[part.param]++
		}
	}
	for _, n := range tags.list() {
		tag, _ := parseTag(n.value())
		for _, part := range tag.parts {
			switch {
			case c.full():
				return
			case part.param == "":
			case r.paths == nil:
				c.wrong(n, "{%s} stands for a parameter, but the route has no path with :%s", part.param, part.param)
			case captured[part.param] < len(r.paths):
				i := slices.IndexFunc(r.paths, func(p *pattern) bool { return !p.has(part.param) })
				c.wrong(n, "{%s} stands for a parameter, but the path %s has no :%s", part.param, shorten(r.paths[i].source), part.param)
			}
		}
	}
}

// placeholder returns the first parameter that a tag names.
func placeholder(tag *node) string {
	t, _ := parseTag(tag.value())
	for _, part := range t.parts {
		if part.param != "" {
			return part.param
		}
	}
	return ""
}

// useless warns of settings that a route without caching cannot follow.
func (c *compiler) useless(n *node, plan *Plan) {
	if plan.Edge {
		return
	}
	for _, name := range []string{"key", "tags", "permanent", "graphql", "regions"} {
		if own := n.get(name); given(own) {
			c.warn(own, `has no effect, because "edge" is false`)
		}
	}
}

// later returns the node to report a contradiction at: what a route says rather
// than what it inherits, and otherwise what comes second.
func (c *compiler) later(a, b *node) *node {
	aInherited, bInherited := strings.HasPrefix(a.path(), "defaults"), strings.HasPrefix(b.path(), "defaults")
	switch {
	case aInherited && !bInherited:
		return b
	case bInherited && !aInherited:
		return a
	case a.at > b.at:
		return a
	}
	return b
}

// contradiction reports two settings that cannot both hold.
func (c *compiler) contradiction(a, b *node, right string) {
	at := c.later(a, b)
	other := a
	if at == a {
		other = b
	}
	if strings.HasPrefix(other.path(), "defaults") && !strings.HasPrefix(at.path(), "defaults") {
		right += "; null drops what defaults say"
	}
	c.wrong(at, "contradicts %s; %s", c.where(other), right)
}

// shadowed warns of routes that an earlier one leaves nothing for. Each is compared
// with each before it, so a very large file is not looked through to its end.
func (c *compiler) shadowed(routes *node) {
	budget := 1000000
	for i, r := range c.table.routes {
		for j, earlier := range c.table.routes[:i] {
			budget -= 1 + len(r.paths)*len(earlier.paths) + len(r.hosts)*len(earlier.hosts) + len(r.conditions)*len(earlier.conditions)
			if budget < 0 || len(c.found) > 0 {
				return
			}
			if earlier.covers(r) {
				c.warn(routes.items[i], "never matches, because %s takes all of its requests; put this route first", c.where(routes.items[j]))
				break
			}
		}
	}
}

// covers says whether r matches every request that other matches.
func (r *route) covers(other *route) bool {
	return coverAll(r.methods, other.methods, func(a, b string) bool { return a == b || a == "GET" && b == "HEAD" }) &&
		coverAll(r.hosts, other.hosts, hostPattern.covers) &&
		coverAll(r.paths, other.paths, (*pattern).covers) &&
		!slices.ContainsFunc(r.conditions, func(a condition) bool {
			return !slices.ContainsFunc(other.conditions, func(b condition) bool { return a.text == b.text })
		})
}

// coverAll says whether each of theirs is covered by one of ours; none is all.
func coverAll[T any](ours, theirs []T, covers func(a, b T) bool) bool {
	if ours == nil || theirs == nil {
		return ours == nil
	}
	return !slices.ContainsFunc(theirs, func(b T) bool {
		return !slices.ContainsFunc(ours, func(a T) bool { return covers(a, b) })
	})
}
