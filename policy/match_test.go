package policy_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"weir/keying"
	"weir/policy"
)

func TestPaths(t *testing.T) {
	tests := []struct{ pattern, matches, not string }{
		{"/", "/", "// /a *"},
		{"/a", "/a", "/a/ /A /ab /%61 /a%2F"},
		{"/a/", "/a/", "/a /a/b"},
		{"/*", "/ // /a /a/b", "*"},
		{"/admin/*", "/admin/ /admin/x /admin/x/y /admin//", "/admin /adminx /Admin/ /%61dmin/ //admin/"},
		{"/static/*", "/static/..%2faccount /static/../account /static/%2e%2e/account", "/static%2F"},
		{"/:x", "/a /%2F /. /a;b /:x", "/ /a/ /a/b //"},
		{"/:x/", "/a/", "// /a"},
		{"/a/:id", "/a/1 /a/*", "/a/ /a /a/1/ /b/1"},
		{"/a/:id/b/*", "/a/1/b/ /a/1/b/c/d", "/a/1/b /a//b/ /a/1/c/"},
		{"/a:b/c:d", "/a:b/c:d", "/axb/c:d"},
		{"/caf%C3%A9", "/caf%C3%A9", "/caf%c3%a9 /café"},
	}
	for _, tt := range tests {
		table := mustCompile(t, fmt.Sprintf(`, "routes": [{"name": "r", "match": {"path": %q}}]`, tt.pattern))
		for path := range strings.FieldsSeq(tt.matches) {
			if plan, _ := table.Match(get(path)); plan.Route != "r" {
				t.Errorf("%s does not match %s", tt.pattern, path)
			}
		}
		for path := range strings.FieldsSeq(tt.not + " :") {
			if plan, params := table.Match(get(path)); plan.Route != "defaults" || params != nil {
				t.Errorf("%s matches %s", tt.pattern, path)
			}
		}
	}
}

func TestParams(t *testing.T) {
	table := mustCompile(t, `, "routes": [
		{"name": "two", "match": {"path": ["/:a/x/:b", "/y/:b/*"]}},
		{"name": "one", "match": {"path": "/:only"}}]`)
	for path, want := range map[string]string{
		"/1/x/2":     "two [{a 1} {b 2}]",
		"/y/%2F/3/4": "two [{b %2F}]",
		"/y/x/z":     "two [{a y} {b z}]", // the first path that matches captures
		"/z":         "one [{only z}]",
		"/a/b/c":     "defaults []",
	} {
		plan, params := table.Match(get(path))
		if got := fmt.Sprint(plan.Route, " ", params); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestHosts(t *testing.T) {
	tests := []struct{ pattern, matches, not string }{
		{"a.example", "a.example a.example:8080", "b.a.example xa.example a.example.com"},
		{"A.Example:81", "a.example:81", "a.example a.example:82"},
		{"*.example", "a.example b.a.example a.example:81", "example xexample .example"},
		{"*.example:81", "a.example:81", "a.example a.example:82 example:81"},
		{"[::1]", "[::1] [::1]:81", "[::2]"},
		{"[::1]:81", "[::1]:81", "[::1] [::1]:82"},
		{"127.0.0.1", "127.0.0.1 127.0.0.1:81", "127.0.0.11"},
	}
	for _, tt := range tests {
		table := mustCompile(t, fmt.Sprintf(`, "routes": [{"name": "r", "match": {"hosts": [%q]}}]`, tt.pattern))
		check := func(hosts, want string) {
			for host := range strings.FieldsSeq(hosts) {
				r := get("/")
				r.Host = host
				if plan, _ := table.Match(r); plan.Route != want {
					t.Errorf("%s and %s: %s, want %s", tt.pattern, host, plan.Route, want)
				}
			}
		}
		check(tt.matches, "r")
		check(tt.not, "defaults")
	}
}

func TestMethods(t *testing.T) {
	table := mustCompile(t, `, "routes": [
		{"name": "head", "match": {"path": "/h", "methods": ["HEAD"]}},
		{"name": "get", "match": {"path": "/h", "methods": ["GET"]}},
		{"name": "query", "match": {"methods": ["QUERY", "GET", "POST"]}},
		{"name": "unsafe", "match": {"methods": ["PUT", "DELETE"]}, "edge": false}]`)
	for request, want := range map[string]string{
		"HEAD /h": "head", "GET /h": "get", "POST /h": "query", "HEAD /": "query", "QUERY /": "query", "PUT /": "unsafe", "PATCH /": "defaults", "get /h": "defaults",
	} {
		r := get("")
		r.Method, r.Path, _ = strings.Cut(request, " ")
		if plan, _ := table.Match(r); plan.Route != want {
			t.Errorf("%s: %s, want %s", request, plan.Route, want)
		}
	}
	if got := fmt.Sprint(table.Plans()[2].Rules.Methods, table.Plans()[3].Rules.Methods); got != "[QUERY POST] []" {
		t.Errorf("cached methods: %s", got)
	}
}

func TestConditions(t *testing.T) {
	tests := []struct {
		match  string
		header http.Header
		query  string
		want   bool
	}{
		{`"headers": {"x-a": "1"}`, http.Header{"X-A": {"1"}}, "", true},
		{`"headers": {"x-a": "1"}`, http.Header{"X-A": {"0", " 1\t"}}, "", true},
		{`"headers": {"x-a": "1"}`, http.Header{"X-A": {"1, 2"}}, "", false},
		{`"headers": {"x-a": "1"}`, http.Header{}, "", false},
		{`"headers": {"x-a": ""}`, http.Header{"X-A": {""}}, "", true},
		{`"headers": {"x-a": ""}`, http.Header{}, "", false},
		{`"headers": {"x-a": {"present": true}}`, http.Header{"X-A": {""}}, "", true},
		{`"headers": {"x-a": {"present": false}}`, http.Header{"X-A": {""}}, "", false},
		{`"headers": {"x-a": {"present": false}, "x-b": "2"}`, http.Header{"X-B": {"2"}}, "", true},
		{`"headers": {"x-a": {"matches": "b+"}}`, http.Header{"X-A": {"abbc"}}, "", true},
		{`"headers": {"x-a": {"matches": "^b+$"}}`, http.Header{"X-A": {"abbc"}}, "", false},
		{`"cookies": {"c": "1"}`, http.Header{"Cookie": {"b=2; c=1"}}, "", true},
		{`"cookies": {"c": "1"}`, http.Header{"Cookie": {"b=2", "c=1"}}, "", true},
		{`"cookies": {"c": "1"}`, http.Header{"Cookie": {"c=2; c=1"}}, "", true},
		{`"cookies": {"c": "1"}`, http.Header{"Cookie": {"cc=1; C=1; xc=1"}}, "", false},
		{`"cookies": {"c": "1=2"}`, http.Header{"Cookie": {"c=1=2"}}, "", true},
		{`"cookies": {"c": {"present": true}}`, http.Header{"Cookie": {"c"}}, "", true},
		{`"cookies": {"c": {"present": false}}`, http.Header{"Cookie": {"b=c"}}, "", true},
		{`"cookies": {"c": {"present": false}}`, http.Header{"Cookie": {"b", " c = "}}, "", false},
		{`"cookies": {"c": {"oneOf": ["1", "2"]}}`, http.Header{"Cookie": {"c=2"}}, "", true},
		{`"cookies": {"c": {"oneOf": ["1", "2"]}}`, http.Header{"Cookie": {"c=12"}}, "", false},
		{`"query": {"q": "1"}`, nil, "q=1", true},
		{`"query": {"q": "1"}`, nil, "a&q=0&q=1", true},
		{`"query": {"q": "1"}`, nil, "%71=%31", true},
		{`"query": {"q": "1"}`, nil, "Q=1&qq=1&q=1;q=1", false},
		{`"query": {"q": "a b"}`, nil, "q=a+b", true},
		{`"query": {"q": "a b"}`, nil, "q=a%20b", true},
		{`"query": {"q": "%"}`, nil, "q=%", true},
		{`"query": {"q": ""}`, nil, "q", true},
		{`"query": {"q": {"present": true}}`, nil, "a=q", false},
		{`"query": {"q": {"present": false}}`, nil, "", true},
		{`"query": {"q": {"present": false}}`, nil, "a=1&q", false},
		{`"query": {"f[a]": "x"}`, nil, "f%5Ba%5D=x", true},
	}
	for _, tt := range tests {
		table := mustCompile(t, `, "routes": [{"name": "r", "match": {`+tt.match+`}}]`)
		r := get("/")
		r.Header, r.RawQuery = tt.header, tt.query
		if plan, _ := table.Match(r); (plan.Route == "r") != tt.want {
			t.Errorf("%s, %v %q: %s", tt.match, tt.header, tt.query, plan.Route)
		}
	}
}

// busy is a policy like that of a large shop.
func busy(t testing.TB) *policy.Table {
	var routes []string
	for i := range 200 {
		routes = append(routes, fmt.Sprintf(`{"name": "exact%[1]d", "match": {"path": "/page%[1]d"}}, {"name": "tree%[1]d", "match": {"path": "/tree%[1]d/:id/*"}}`, i))
	}
	routes = append(routes, `{"name": "host", "match": {"path": "/:lang/home", "hosts": ["*.example.com"], "methods": ["GET"], "cookies": {"session": {"present": false}}, "query": {"q": "1"}}}`)
	return mustCompile(t, `, "routes": [`+strings.Join(routes, ",")+`]`)
}

func TestMatchDoesNotAllocate(t *testing.T) {
	table := busy(t)
	conditions := get("/de/home")
	conditions.RawQuery, conditions.Header = "a=b&q=2", http.Header{"Cookie": {"a=b; c=d"}}
	for name, r := range map[string]*policy.MatchRequest{
		"literal": get("/page199"), "none": get("/nothing/here"), "conditions": conditions,
	} {
		if n := testing.AllocsPerRun(100, func() { table.Match(r) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if n := testing.AllocsPerRun(100, func() { table.Match(get("/tree7/5/x")) }); n > 2 {
		t.Errorf("one parameter: %v allocations, the request's included", n)
	}
}

func BenchmarkMatch(b *testing.B) {
	table := busy(b)
	for _, path := range []string{"/page199", "/tree199/5/x", "/nothing/here"} {
		r := get(path)
		b.Run(strings.ReplaceAll(path[1:], "/", "_"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.Match(r)
			}
		})
	}
}

// Routes that share a URL have different origins and rules: what one stores, another
// must not answer with.
func TestRoutesOfOneURLShareNoKey(t *testing.T) {
	table, err := policy.Compile("policy.json", []byte(`{
		"origins": {"site": {"url": "http://127.0.0.1:3000"}, "beta": {"url": "http://127.0.0.1:3001"}},
		"defaults": {"origin": "site", "key": {"excludeAllQueryParameters": true}},
		"routes": [
			{"name": "beta", "match": {"cookies": {"beta": "1"}}, "origin": "beta"},
			{"name": "staff", "match": {"headers": {"x-staff": {"present": true}}}, "edge": {"forcePrivateCaching": true}},
			{"name": "guests", "match": {"headers": {"x-staff": {"present": false}}, "query": {"guest": "1"}}},
			{"name": "print", "match": {"query": {"view": {"oneOf": ["print", "pdf"]}}}},
			{"name": "mobile", "match": {"headers": {"user-agent": {"matches": "Mobile"}}}},
			{"name": "hosts", "match": {"hosts": ["example.com"], "path": "/*"}}
		]}`))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[keying.Key]string{}
	bases := map[keying.Digest]bool{}
	for route, fields := range map[string][]string{
		"beta":   {"", "Cookie", "beta=1"},
		"staff":  {"", "X-Staff", "1"},
		"guests": {"?guest=1", "X-A", "1"},
		"print":  {"?view=pdf", "X-A", "1"},
		"mobile": {"", "User-Agent", "Mobile"},
		"hosts":  {"", "X-A", "1"},
	} {
		h := http.Header{fields[1]: {fields[2]}}
		plan, _ := table.Match(&policy.MatchRequest{
			Method: "GET", Host: "example.com", Path: "/", RawQuery: strings.TrimPrefix(fields[0], "?"), Header: h,
		})
		if plan.Route != route {
			t.Fatalf("route %s instead of %s", plan.Route, route)
		}
		keyed, err := plan.Key.Build(&keying.Request{Method: "GET", Scheme: "http", Host: "example.com", Target: "/" + fields[0], Header: h})
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[keyed.Key]; ok {
			t.Errorf("routes %s and %s have one key", route, other)
		}
		seen[keyed.Key] = route
		bases[keyed.Key.Base()] = true
	}
	if len(bases) != 1 {
		t.Errorf("%d bases: an invalidation of the URL would miss some", len(bases))
	}
}
