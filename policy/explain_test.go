package policy_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	table := mustCompile(t, `, "routes": [
		{"name": "exact", "match": {"path": ["/b", "/c/:id"]}},
		{"name": "post", "match": {"path": "/*", "methods": ["POST", "QUERY"]}},
		{"name": "hosts", "match": {"hosts": ["*.Other.example", "a.example:81"]}},
		{"name": "beta", "match": {"path": "/a", "cookies": {"beta": {"oneOf": ["1", "2"]}}}},
		{"name": "none", "match": {"headers": {"accept": {"present": false}}}},
		{"name": "all", "match": {"path": "/:x"}},
		{"name": "late", "match": {"path": "/a"}}]`)
	r := get("/a")
	r.Header.Set("Accept", "*/*")
	plan, skipped := table.Explain(r)
	var got strings.Builder
	for _, s := range skipped {
		fmt.Fprintf(&got, "%s: %s: %s\n", s.Route, s.Part, s.Says)
	}
	const want = `exact: path: It wants the path /b or /c/:id.
post: method: It wants the method POST or QUERY.
hosts: host: It wants the host *.other.example or a.example:81.
beta: condition: It wants cookie "beta" is "1" or "2".
none: condition: It wants no header "Accept".
`
	if plan.Route != "all" || got.String() != want {
		t.Errorf("%s after\n%s", plan.Route, got.String())
	}
}
