package policy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"weir/policy"
)

// model is a matcher that is too simple to be wrong: it reads the policy with
// encoding/json, tries every route in turn, and compares segment by segment.
type model struct {
	Routes []struct {
		Name  string `json:"name"`
		Match struct {
			Path    any            `json:"path"`
			Hosts   []string       `json:"hosts"`
			Methods []string       `json:"methods"`
			Headers map[string]any `json:"headers"`
			Cookies map[string]any `json:"cookies"`
			Query   map[string]any `json:"query"`
		} `json:"match"`
	} `json:"routes"`
}

func (m *model) match(r *policy.MatchRequest) (string, policy.Params) {
	for _, route := range m.Routes {
		c := route.Match
		if c.Methods != nil && !slices.Contains(c.Methods, r.Method) && (r.Method != "HEAD" || !slices.Contains(c.Methods, "GET")) ||
			c.Hosts != nil && !slices.ContainsFunc(c.Hosts, func(h string) bool { return modelHost(strings.ToLower(h), r.Host) }) {
			continue
		}
		holds := true
		for name, condition := range c.Headers {
			holds = holds && modelCondition(condition, r.Header.Values(name))
		}
		for name, condition := range c.Cookies {
			holds = holds && modelCondition(condition, modelCookies(r.Header.Values("cookie"), name))
		}
		for name, condition := range c.Query {
			holds = holds && modelCondition(condition, modelQuery(r.RawQuery, name))
		}
		if params, ok := modelPaths(c.Path, r.Path); ok && holds {
			return route.Name, params
		}
	}
	return "defaults", nil
}

func modelHost(pattern, host string) bool {
	port := regexp.MustCompile(`:[^:\]]*$`)
	if !port.MatchString(pattern) && (strings.Count(host, ":") == 1 || strings.HasPrefix(host, "[")) {
		host = port.ReplaceAllString(host, "")
	}
	if rest, ok := strings.CutPrefix(pattern, "*."); ok {
		before, ok := strings.CutSuffix(host, "."+rest)
		return ok && before != ""
	}
	return pattern == host
}

func modelCondition(condition any, values []string) bool {
	if s, ok := condition.(string); ok {
		return slices.Contains(values, s)
	}
	c := condition.(map[string]any)
	if present, ok := c["present"]; ok {
		return present == (len(values) > 0)
	}
	return slices.ContainsFunc(values, func(v string) bool {
		if expression, ok := c["matches"]; ok {
			return regexp.MustCompile(expression.(string)).MatchString(v)
		}
		return slices.Contains(c["oneOf"].([]any), any(v))
	})
}

func modelCookies(lines []string, name string) []string {
	var values []string
	for _, pair := range strings.Split(strings.Join(lines, ";"), ";") {
		n, v, _ := strings.Cut(pair, "=")
		if strings.Trim(n, " \t") == name {
			values = append(values, strings.Trim(v, " \t"))
		}
	}
	return values
}

func modelQuery(query, name string) []string {
	decode := func(s string) string {
		if d, err := url.QueryUnescape(s); err == nil {
			return d
		}
		return s
	}
	var values []string
	for _, pair := range strings.Split(query, "&") {
		if n, v, _ := strings.Cut(pair, "="); decode(n) == name {
			values = append(values, decode(v))
		}
	}
	return values
}

func modelPaths(patterns any, path string) (policy.Params, bool) {
	switch p := patterns.(type) {
	case nil:
		return nil, true
	case string:
		return modelPath(p, path)
	default:
		for _, one := range p.([]any) {
			if params, ok := modelPath(one.(string), path); ok {
				return params, true
			}
		}
		return nil, false
	}
}

func modelPath(pattern, path string) (policy.Params, bool) {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	var params policy.Params
	for i, w := range want {
		switch {
		case w == "*" && len(got) > i:
			return params, true
		case i >= len(got):
			return nil, false
		case strings.HasPrefix(w, ":"):
			if got[i] == "" {
				return nil, false
			}
			params = append(params, policy.Param{Name: w[1:], Value: got[i]})
		case w != got[i]:
			return nil, false
		}
	}
	return params, len(want) == len(got)
}

// drawPolicy makes a policy of routes that overlap a lot.
func drawPolicy(t *rapid.T) []byte {
	some := func(label string, g *rapid.Generator[string]) []string {
		return rapid.SliceOfNDistinct(g, 1, 3, rapid.ID[string]).Draw(t, label)
	}
	segment := rapid.SampledFrom([]string{"a", "b", "", ":x", ":y", "%61"})
	paths := rapid.Custom(func(t *rapid.T) string {
		segments := rapid.SliceOfN(segment, 0, 3).Draw(t, "segments")
		for i := range segments {
			if i > 0 && slices.Contains(segments[:i], segments[i]) && strings.HasPrefix(segments[i], ":") {
				segments[i] = "a"
			}
		}
		path := "/" + strings.Join(segments, "/")
		if rapid.Bool().Draw(t, "star") {
			path = strings.TrimSuffix(path, "/") + "/*"
		}
		return path
	})
	condition := rapid.SampledFrom([]any{
		"1", "2",
		map[string]any{"present": true},
		map[string]any{"present": false},
		map[string]any{"oneOf": []string{"1", "3"}},
		map[string]any{"matches": "^[12]"},
	})
	conditions := func(label, name string) map[string]any {
		return map[string]any{name: condition.Draw(t, label)}
	}
	routes := []any{}
	for i := range rapid.IntRange(0, 6).Draw(t, "routes") {
		match := map[string]any{}
		if rapid.Bool().Draw(t, "path") {
			match["path"] = some("paths", paths)
		}
		switch rapid.IntRange(0, 7).Draw(t, "more") {
		case 0:
			match["hosts"] = some("hosts", rapid.SampledFrom([]string{"a.example", "*.a.example", "a.example:81", "*.Example"}))
		case 1:
			match["methods"] = some("methods", rapid.SampledFrom([]string{"GET", "HEAD", "POST", "QUERY"}))
		case 2:
			match["headers"] = conditions("header", "x-A")
		case 3:
			match["cookies"] = conditions("cookie", "c")
		case 4:
			match["query"] = conditions("query", "q")
		}
		routes = append(routes, map[string]any{"name": "r" + string(rune('0'+i)), "match": match})
	}
	src, err := json.Marshal(map[string]any{
		"origins": map[string]any{"app": map[string]any{"url": "http://127.0.0.1:3000"}}, "routes": routes,
	})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func drawRequest(t *rapid.T) *policy.MatchRequest {
	pick := func(label string, values ...string) string { return rapid.SampledFrom(values).Draw(t, label) }
	r := &policy.MatchRequest{
		Method:   pick("method", "GET", "HEAD", "POST", "QUERY", "PUT"),
		Host:     pick("host", "a.example", "b.a.example", "c.b.a.example", "a.example:81", "a.example:82", "xa.example", "example", "[::1]:81", ""),
		Path:     pick("path", "*", "") + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"/", "/a", "/b", "/%61", "/c"}), 0, 5).Draw(t, "segments"), ""),
		RawQuery: strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"q=1", "q=2", "q=3", "q", "%71=1", "q=%31", "q=+1", "q=%", "p=1", ""}), 0, 3).Draw(t, "query"), "&"),
		Header:   http.Header{},
	}
	for range rapid.IntRange(0, 2).Draw(t, "fields") {
		r.Header.Add("X-A", pick("field", "1", "2", "3", "", "1, 2"))
	}
	for range rapid.IntRange(0, 2).Draw(t, "cookies") {
		r.Header.Add("Cookie", pick("cookie", "c=1", "c=2; d=1", "d=1;c=3", "c", "C=1", " c = 1 ;", ""))
	}
	return r
}

// matchLikeModel also checks the warnings: a route that is said never to match
// does not.
func matchLikeModel(t rapid.TB, src []byte, table *policy.Table, r *policy.MatchRequest) {
	m := &model{}
	if err := json.Unmarshal(src, m); err != nil {
		t.Fatal(err)
	}
	plan, params := table.Match(r)
	name, want := m.match(r)
	if plan.Route != name || !slices.Equal(params, want) {
		t.Fatalf("%s\n%+v\ngot %s %v, want %s %v", src, r, plan.Route, params, name, want)
	}
	same, skipped := table.Explain(r)
	if before := slices.Index(table.Plans(), plan); same != plan || len(skipped) != before {
		t.Fatalf("%s\n%+v\nis explained as %s after %v, but got %s", src, r, same.Route, skipped, plan.Route)
	}
	if plain, ok := table.Plainly(r.Method, r.Host, r.Path); ok && (plain != plan || table.Ambiguous(r, plan)) {
		t.Fatalf("%s\n%+v\nplainly %s, but got %s", src, r, plain.Route, plan.Route)
	}
	place := fmt.Sprintf("routes[%d]", slices.Index(table.Plans(), plan))
	for _, w := range table.Warnings {
		if w.Field == place {
			t.Fatalf("%s\n%+v\nmatches %s, but: %v", src, r, plan.Route, w)
		}
	}
}

func TestMatchLikeModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := drawPolicy(t)
		table, err := policy.Compile("drawn", src)
		if err != nil {
			t.Fatalf("%s\n%v", src, err)
		}
		for range 10 {
			matchLikeModel(t, src, table, drawRequest(t))
		}
	})
}

// FuzzMatch reads one route from each line: a path, and behind a space a host.
func FuzzMatch(f *testing.F) {
	f.Add("/a/:x\n/a/*\n/:x/b *.a.example\n/", "GET", "b.a.example:81", "/a/b", "q=1&q", "c=1; d")
	f.Add("/*\n/%61/:x/:y a.example:81", "POST", "a.example:81", "/%61//", "%71=%", "c")
	f.Add("/:a/:b/*", "HEAD", "", "//x/", "", "")
	f.Fuzz(func(t *testing.T, lines, method, host, path, query, cookie string) {
		var routes []any
		for i, line := range strings.Split(lines, "\n") {
			match := map[string]any{}
			path, host, _ := strings.Cut(line, " ")
			if path != "" {
				match["path"] = path
			}
			if host != "" {
				match["hosts"] = []string{host}
			}
			match["query"] = map[string]any{"q": map[string]any{"present": i%2 == 0}}
			match["cookies"] = map[string]any{"c": map[string]any{"oneOf": []string{"", "1"}}}
			if i%3 == 0 {
				match["methods"] = []string{"GET", "POST"}
				delete(match, "query")
				delete(match, "cookies")
			}
			routes = append(routes, map[string]any{"name": fmt.Sprintf("r%d", i), "match": match})
		}
		src, err := json.Marshal(map[string]any{
			"origins": map[string]any{"app": map[string]any{"url": "http://127.0.0.1:3000"}}, "routes": routes,
		})
		if err != nil {
			t.Fatal(err)
		}
		if table, err := policy.Compile("fuzz", src); err == nil {
			matchLikeModel(t, src, table, &policy.MatchRequest{Method: method, Host: host, Path: path, RawQuery: query, Header: http.Header{"Cookie": {cookie}}})
		}
	})
}
