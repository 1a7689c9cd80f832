package shield

import (
	"net/http"
	"slices"
	"strings"

	"weir/keying"
	"weir/policy"
)

// URLRules names everything that is stored for a GET of url: all its variants, and all
// keys that the key specs of t split it into. t may be nil. A url is refused that is not
// http or https, or that clients cannot send so.
func URLRules(t *policy.Table, url string) ([]Rule, error) {
	u, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	rules := urlRules(t, u)
	// Also when the table does not say that it is stored: another one may have done.
	if r := URLRule(keying.Base(u.scheme, u.host, u.target)); !slices.Contains(rules, r) {
		rules = append(rules, r)
	}
	return rules, nil
}

// urlRules names what a GET for u may be stored under: the URL as it stands, and as
// routes forward it, which can lack parts of the query.
func urlRules(t *policy.Table, u location) []Rule {
	var rules []Rule
	for _, spec := range querySpecs(t, u.host, u.target) {
		keyed, err := spec.Build(&keying.Request{Method: http.MethodGet, Scheme: u.scheme, Host: u.host, Target: u.target})
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

// splitURL takes an absolute URI apart as it stands.
func splitURL(uri string) (u location, ok bool) {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok {
		return location{}, false
	}
	host, target := rest, "/"
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		host, target = rest[:i], rest[i:]
	}
	target, _, _ = strings.Cut(target, "#")
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	return location{scheme: scheme, host: host, target: target}, true
}
