package policy_test

import (
	"strings"
	"testing"
)

// Whatever may have stored a response to a URL is among its candidates, also routes
// that take other methods only.
func TestCandidates(t *testing.T) {
	table := mustCompile(t, `, "routes": [
		{"name": "beta", "match": {"path": "/a", "cookies": {"beta": "1"}}},
		{"name": "search", "match": {"path": "/a", "methods": ["QUERY"]}},
		{"name": "passed", "match": {"path": "/a", "methods": ["PUT"]}, "edge": false},
		{"name": "read", "match": {"path": "/a", "methods": ["GET"]}},
		{"name": "read-again", "match": {"path": "/a", "methods": ["HEAD"], "headers": {"x": "1"}}},
		{"name": "post", "match": {"path": "/a", "methods": ["POST", "GET"]}},
		{"name": "other", "match": {"path": "/a", "methods": ["POST"], "hosts": ["other.example"]}},
		{"name": "all", "match": {"path": "/:x"}},
		{"name": "late", "match": {"methods": ["POST"]}}]`)
	for path, want := range map[string]string{
		"/a":   "beta search read post",
		"/b":   "all",
		"/b/c": "late defaults",
	} {
		var got []string
		for _, plan := range table.Candidates(get(path)) {
			got = append(got, plan.Route)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", path, got, want)
		}
	}
}
