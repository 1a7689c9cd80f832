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
// for targets that no route stores, unless other deployments may have: what they
// stored must not come back with them.
func querySpecs(t *policy.Table, host, target string) []*keying.Spec {
	asItStands := &keying.Spec{}
	if t == nil {
		return []*keying.Spec{asItStands}
	}
	var specs []*keying.Spec
	if t.Isolate {
		specs = append(specs, asItStands, &keying.Spec{BaseIsPath: true})
	}
	path, query, _ := strings.Cut(target, "?")
	for _, plan := range t.Candidates(&policy.MatchRequest{Host: host, Path: path, RawQuery: query}) {
		if k := plan.Key; plan.Edge && k != nil {
			specs = append(specs, asItStands, &keying.Spec{Query: k.Query, Names: k.Names, Sort: k.Sort, BaseIsPath: k.BaseIsPath})
		}
	}
	return specs
}
