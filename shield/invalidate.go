package shield

import (
	"net/http"
	"slices"
	"strings"

	"weir/keying"
	"weir/policy"
)

// urlRules names what a GET for target, an absolute URI, may be stored under: the
// URL as it stands, and as routes forward it, which can lack parts of the query.
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
	var rules []Rule
	for _, spec := range querySpecs(req.Plan.Table, host, path) {
		keyed, err := spec.Build(&keying.Request{Method: http.MethodGet, Scheme: scheme, Host: host, Target: path})
		if err != nil {
			continue
		}
		if r := URLRule(keyed.Key.Base()); !slices.Contains(rules, r) {
			rules = append(rules, r)
		}
	}
	return rules
}

// querySpecs are the ways in which the routes that may have stored a target treat
// its query. Which of them did can depend on more than the URL. Nothing is purged
// for targets that no route stores.
func querySpecs(t *policy.Table, host, target string) []*keying.Spec {
	if t == nil {
		return []*keying.Spec{{}}
	}
	path, query, _ := strings.Cut(target, "?")
	var specs []*keying.Spec
	for _, plan := range t.Candidates(&policy.MatchRequest{Host: host, Path: path, RawQuery: query}) {
		if plan.Edge && plan.Key != nil {
			specs = append(specs, &keying.Spec{}, &keying.Spec{Query: plan.Key.Query, Names: plan.Key.Names, Sort: plan.Key.Sort})
		}
	}
	return specs
}
