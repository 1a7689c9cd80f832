package policy

import (
	"slices"
	"strings"
)

// Skipped is a route that stands before the one that matches.
type Skipped struct {
	Route string `json:"route"`
	Part  string `json:"part"` // of its match that is not met: "path", "method", "host" or "condition"
	Says  string `json:"says"` // a sentence about it
}

// Explain returns the plan that Match finds, and why each route before it does not
// match: by the tests that Match makes, in their order.
func (t *Table) Explain(r *MatchRequest) (*Plan, []Skipped) {
	var skipped []Skipped
	for _, route := range t.routes {
		s := Skipped{Route: route.plan.Route}
		var unmet *condition
		if route.paths != nil && !slices.ContainsFunc(route.paths, func(p *pattern) bool { return p.match(r.Path) }) {
			s.Part = "path"
		} else if s.Part, unmet = route.refuses(r); s.Part == "" {
			return route.plan, skipped
		}
		s.Says = route.unmet(s.Part, unmet)
		skipped = append(skipped, s)
	}
	return t.defaults, skipped
}

// unmet says what a part of r's match wants.
func (r *route) unmet(part string, c *condition) string {
	var wanted []string
	switch part {
	case "path":
		for _, p := range r.paths {
			wanted = append(wanted, p.source)
		}
	case "method":
		wanted = r.methods
	case "host":
		for _, h := range r.hosts {
			wanted = append(wanted, h.String())
		}
	default:
		return "It wants " + c.text + "."
	}
	return "It wants the " + part + " " + strings.Join(wanted, " or ") + "."
}

// String is the pattern as it stands in the file, in lower case.
func (h hostPattern) String() string {
	if h.subtree {
		return "*" + h.name
	}
	return h.name
}

// NamesMethod says whether a route's match names method.
func (t *Table) NamesMethod(method string) bool {
	return slices.ContainsFunc(t.routes, func(r *route) bool { return slices.Contains(r.methods, method) })
}
