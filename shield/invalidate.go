package shield

import (
	"net/http"
	"strings"

	"weir/keying"
	"weir/policy"
)

// urlRules names what a GET for target, an absolute URI, would be stored under: the
// URL that its own route forwards, which can lack parts of the query, and the URL
// as it stands. A route that stores nothing has nothing to purge.
func (s *Shield) urlRules(req *policy.Request, target string) []Rule {
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok {
		return nil
	}
	host, path := rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	path, _, _ = strings.Cut(path, "#")
	if strings.HasPrefix(path, "?") {
		path = "/" + path
	}
	spec := &keying.Spec{}
	if t := req.Plan.Table; t != nil {
		raw, query, _ := strings.Cut(path, "?")
		plan, _ := t.Match(&policy.MatchRequest{Method: http.MethodGet, Host: host, Path: raw, RawQuery: query, Header: req.Header})
		if plan != nil && plan.Key != nil {
			spec = plan.Key
		}
		if plan != nil && !plan.Edge {
			return nil
		}
	}
	var rules []Rule
	for _, spec := range []*keying.Spec{spec, {}} {
		kr := keying.Request{Method: http.MethodGet, Scheme: scheme, Host: host, Target: path, Header: req.Header}
		keyed, err := spec.Build(&kr)
		if err != nil {
			continue
		}
		if r := URLRule(keyed.Key.Base()); len(rules) == 0 || rules[0] != r {
			rules = append(rules, r)
		}
	}
	return rules
}
