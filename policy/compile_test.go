package policy_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

// mustCompile compiles what stands beside one origin.
func mustCompile(t testing.TB, rest string) *policy.Table {
	t.Helper()
	table, err := policy.Compile("test.json", []byte(`{"origins": {"app": {"url": "http://127.0.0.1:3000"}}`+rest+`}`))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func get(path string) *policy.MatchRequest {
	return &policy.MatchRequest{Method: "GET", Host: "shop.example.com", Path: path, Header: http.Header{}}
}

func ptr(d time.Duration) *time.Duration { return &d }

func TestCompileFull(t *testing.T) {
	table, err := policy.Compile("full.json", readFile(t, "testdata/full.json"))
	if err != nil {
		t.Fatal(err)
	}
	if table.Warnings != nil || len(table.Version) != 12 {
		t.Errorf("version %q, warnings %v", table.Version, table.Warnings)
	}
	wantOrigins := map[string]*policy.Origin{
		"shop": {
			Name: "shop", Upstreams: []policy.Upstream{{URL: "http://127.0.0.1:3000", Weight: 1}}, Host: "shop.internal:3000",
			ConnectTimeout: time.Second, HeaderTimeout: 15 * time.Second, IdleTimeout: 20 * time.Second, TotalTimeout: 10 * time.Minute,
			MaxConns: 200, Retries: 2,
			Health: &policy.Health{Path: "/healthz?deep=1", Interval: 2500 * time.Millisecond, Timeout: time.Second, Fall: 2, Rise: 4},
		},
		"next": {
			Name:           "next",
			Upstreams:      []policy.Upstream{{URL: "https://a.example.com", Weight: 3}, {URL: "https://[2001:db8::1]:8443", Weight: 1}},
			ConnectTimeout: 5 * time.Second, HeaderTimeout: 30 * time.Second, IdleTimeout: 30 * time.Second, TotalTimeout: time.Hour, Retries: 1,
		},
	}
	if !reflect.DeepEqual(table.Origins, wantOrigins) {
		t.Errorf("origins: %+v", table.Origins)
	}
	plans := table.Plans()
	names := make([]string, len(plans))
	for i, p := range plans {
		names[i] = p.Route
		if p.Table != table || p.Key == nil {
			t.Errorf("%s: table %p, key %v", p.Route, p.Table, p.Key)
		}
	}
	if want := []string{"product", "checkout", "graphql", "admin", "defaults"}; !slices.Equal(names, want) {
		t.Fatalf("plans %v", names)
	}
	checkProduct(t, plans[0])
	checkOthers(t, plans[1], plans[2], plans[3], plans[4])
}

func checkProduct(t *testing.T, p *policy.Plan) {
	t.Helper()
	wantRules := rfc9111.Rules{
		Lifetime: ptr(time.Minute), StaleWhileRevalidate: ptr(10 * time.Minute), StaleIfError: ptr(24 * time.Hour),
		StatusLifetimes: map[int]time.Duration{404: 10 * time.Second, 410: time.Hour},
		ForcePrivate:    true, ErrorsByHeader: true, StoreSetCookie: true, SurrogateControl: true, Heuristic: true, IgnoreRequest: true,
	}
	wantKey := &keying.Spec{
		Query: keying.QueryOnly, Names: []string{"page", "view"}, Sort: true,
		Cookies: []keying.Cookie{{Name: "currency"}, {Name: "plan", Partitions: []keying.Partition{
			{Name: "unpaid", Values: []string{"free", "trial"}}, {Name: "paid", Values: []string{"pro"}},
		}}},
		Headers: []string{"Accept-Language"}, Device: true, Browser: true,
		Conditions: `cookie "plan" is "free" or "trial", header "Accept" matches "(?i)text/html", ` +
			`no cookie "session", no header "X-Preview", query "page", query "view" is "full"`,
		BaseIsPath: true, // and permanent
	}
	if !p.Edge || p.Origin != "shop" || p.Split != nil || p.Compress || !p.NoVarySearch || p.SliceBytes != 1<<20 || !p.StorePartial {
		t.Errorf("product: %+v", p)
	}
	if !reflect.DeepEqual(p.Rules, wantRules) {
		t.Errorf("rules: %+v", p.Rules)
	}
	if !reflect.DeepEqual(p.Key, wantKey) {
		t.Errorf("key: %+v", p.Key)
	}
	if *p.BrowserMaxAge != 5*time.Second || *p.ServiceWorkerMaxAge != time.Hour {
		t.Errorf("browser: %v %v", p.BrowserMaxAge, p.ServiceWorkerMaxAge)
	}
	if !slices.Equal(p.RemoveRequestHeaders, []string{"X-Debug"}) || !slices.Equal(p.RemoveResponseHeaders, []string{"Set-Cookie"}) {
		t.Errorf("removed: %v %v", p.RemoveRequestHeaders, p.RemoveResponseHeaders)
	}
	if want := map[string]string{"Referrer-Policy": "same-origin", "X-Served-By": "weir"}; !maps.Equal(p.SetResponseHeaders, want) {
		t.Errorf("set: %v", p.SetResponseHeaders)
	}
}

func checkOthers(t *testing.T, checkout, graphql, admin, defaults *policy.Plan) {
	t.Helper()
	wantSplit := &policy.Split{Cookie: "checkout-split", Destinations: []policy.Destination{
		{Name: "old", Origin: "shop", Weight: 9}, {Name: "new", Origin: "next", Weight: 1},
	}}
	if !reflect.DeepEqual(checkout.Split, wantSplit) || checkout.Origin != "shop" || checkout.Rules.Lifetime != nil {
		t.Errorf("checkout: %+v", checkout)
	}
	if !slices.Equal(graphql.Rules.Methods, []string{"POST"}) || *graphql.Rules.Lifetime != 30*time.Second || !graphql.Compress || !graphql.GraphQL {
		t.Errorf("graphql: %+v", graphql)
	}
	if admin.Edge || admin.StorePartial || !reflect.DeepEqual(admin.Rules, rfc9111.Rules{}) {
		t.Errorf("admin: %+v", admin)
	}
	if key := (keying.Spec{Query: keying.QueryExcept, Names: []string{"utm_source", "utm_campaign"}, Recoded: true, BaseIsPath: true, Deployment: "v42"}); !reflect.DeepEqual(*defaults.Key, key) || !defaults.Isolated() {
		t.Errorf("defaults' key: %+v", defaults.Key)
	}
	if !defaults.Edge || defaults.SliceBytes != 0 || defaults.StorePartial || defaults.Rules.StatusLifetimes[503] != 500*time.Millisecond || defaults.Key.Query != keying.QueryExcept || *defaults.BrowserMaxAge != 0 {
		t.Errorf("defaults: %+v", defaults)
	}
}

func TestInheritance(t *testing.T) {
	const defaults = `{"origins": {"a": {"url": "http://a"}, "b": {"url": "http://b"}}, "defaults": {
		"origin": "a", "compress": false, "tags": ["x"],
		"edge": {"maxAgeSeconds": 10, "staleIfErrorSeconds": 20, "statusMaxAgeSeconds": {"404": 1, "410": 2}},
		"key": {"excludeQueryParameters": ["u"], "device": true},
		"setResponseHeaders": {"X-A": "1", "X-B": "2"}},
		"routes": [{"name": "r"%s}]}`
	tests := map[string]func(p *policy.Plan) bool{
		``: func(p *policy.Plan) bool {
			return p.Origin == "a" && !p.Compress && *p.Rules.Lifetime == 10*time.Second && len(p.Rules.StatusLifetimes) == 2 && p.Key.Device && len(p.Tags) == 1
		},
		`, "origin": "b", "compress": true, "tags": []`: func(p *policy.Plan) bool {
			return p.Origin == "b" && p.Compress && len(p.Tags) == 0
		},
		`, "edge": {"maxAgeSeconds": 0}`: func(p *policy.Plan) bool {
			return *p.Rules.Lifetime == 0 && *p.Rules.StaleIfError == 20*time.Second
		},
		`, "edge": {"maxAgeSeconds": null}`: func(p *policy.Plan) bool {
			return p.Rules.Lifetime == nil && *p.Rules.StaleIfError == 20*time.Second
		},
		`, "edge": null`:  func(p *policy.Plan) bool { return p.Edge && reflect.DeepEqual(p.Rules, rfc9111.Rules{}) },
		`, "edge": false`: func(p *policy.Plan) bool { return !p.Edge },
		`, "edge": {"statusMaxAgeSeconds": {"404": null, "500": 3}}`: func(p *policy.Plan) bool {
			return reflect.DeepEqual(p.Rules.StatusLifetimes, map[int]time.Duration{410: 2 * time.Second, 500: 3 * time.Second})
		},
		`, "key": {"excludeQueryParameters": [], "excludeAllQueryParameters": true}`: func(p *policy.Plan) bool {
			return p.Key.Query == keying.QueryNone && p.Key.Device
		},
		`, "key": {"excludeQueryParameters": null}`: func(p *policy.Plan) bool { return p.Key.Query == keying.QueryAll && p.Key.Device },
		`, "key": null`: func(p *policy.Plan) bool { return reflect.DeepEqual(p.Key, &keying.Spec{}) },
		`, "setResponseHeaders": {"x-a": null, "x-c": "3"}`: func(p *policy.Plan) bool {
			return maps.Equal(p.SetResponseHeaders, map[string]string{"X-B": "2", "X-C": "3"})
		},
		`, "setResponseHeaders": {"x-a": "9"}`: func(p *policy.Plan) bool {
			return maps.Equal(p.SetResponseHeaders, map[string]string{"X-A": "9", "X-B": "2"})
		},
		`, "split": {"cookie": "c", "destinations": [{"name": "n", "origin": "b"}]}`: func(p *policy.Plan) bool {
			return p.Split != nil && p.Origin == "b"
		},
	}
	for route, ok := range tests {
		src := strings.Replace(defaults, "%s", route, 1)
		table, err := policy.Compile("test.json", []byte(src))
		if err != nil {
			t.Errorf("%s: %v", route, err)
			continue
		}
		if plan := table.Plans()[0]; !ok(plan) {
			t.Errorf("%s: %+v %+v %+v", route, plan, plan.Rules, plan.Key)
		}
	}
}

// TestRouteOriginOverridesSplit: what a route chooses itself is not in contradiction
// with what it would inherit.
func TestRouteOriginOverridesSplit(t *testing.T) {
	table := mustCompile(t, `, "defaults": {"split": {"cookie": "c", "destinations": [{"name": "n", "origin": "app"}]}},
		"routes": [{"name": "r", "origin": "app"}, {"name": "s", "split": {"cookie": "d"}}]`)
	plans := table.Plans()
	if plans[0].Split != nil || plans[0].Origin != "app" {
		t.Errorf("%+v", plans[0])
	}
	if plans[1].Split == nil || plans[1].Split.Cookie != "d" || len(plans[1].Split.Destinations) != 1 {
		t.Errorf("%+v", plans[1].Split)
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "-0": 0, "0.5": 500 * time.Millisecond, "1e3": 1000 * time.Second, "0.001": time.Millisecond, "0.1": 100 * time.Millisecond,
		"2147483647": 2147483647 * time.Second, "2147483646.999999999": 2147483647*time.Second - 0, "86399.9": 86399900 * time.Millisecond, "1.5E+1": 15 * time.Second,
	} {
		table := mustCompile(t, `, "defaults": {"edge": {"maxAgeSeconds": `+text+`}}`)
		got := *table.Plans()[0].Rules.Lifetime
		if diff := got - want; diff < -time.Microsecond || diff > time.Microsecond {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestWarnings(t *testing.T) {
	tests := map[string][]string{
		`, "routes": [{"name": "a"}, {"name": "b", "match": {"path": "/x"}}]`: {
			"routes[1]: never matches, because routes[0] (line 1) takes all of its requests; put this route first",
		},
		`, "routes": [{"name": "a", "match": {"path": "/:x/*", "methods": ["GET"]}}, {"name": "b", "match": {"path": ["/a/:y", "/b/c"], "methods": ["HEAD"]}}]`: {
			"routes[1]: never matches, because routes[0] (line 1) takes all of its requests; put this route first",
		},
		`, "routes": [{"name": "a", "match": {"hosts": ["*.example"], "query": {"q": "1"}}}, {"name": "b", "match": {"hosts": ["a.Example:81"], "query": {"p": "1", "q": "1"}}}]`: {
			"routes[1]: never matches, because routes[0] (line 1) takes all of its requests; put this route first",
		},
		`, "routes": [{"name": "a", "match": {"path": "/x", "cookies": {"c": {"present": true}}}}, {"name": "b", "match": {"path": "/x"}}]`: nil,
		`, "routes": [{"name": "a", "match": {"path": "/a/*"}}, {"name": "b", "match": {"path": "/a"}}]`:                                    nil,
		`, "routes": [{"name": "a", "match": {"path": "/a/:x"}}, {"name": "b", "match": {"path": "/a/"}}]`:                                  nil,
		`, "routes": [{"name": "a", "match": {"methods": ["GET"]}}, {"name": "b"}]`:                                                         nil,
		`, "routes": [{"name": "a", "edge": false, "key": {"device": true}, "tags": ["t"]}]`: {
			`routes[0].key: has no effect, because "edge" is false`,
			`routes[0].tags: has no effect, because "edge" is false`,
		},
		`, "defaults": {"permanent": true}, "routes": [{"name": "a", "edge": false}, {"name": "b", "edge": false, "permanent": true}]`: {
			`defaults.permanent: has no effect without "isolate": true`,
			"routes[1]: never matches, because routes[0] (line 1) takes all of its requests; put this route first",
			`routes[1].permanent: has no effect without "isolate": true`,
			`routes[1].permanent: has no effect, because "edge" is false`,
		},
		`, "defaults": {"key": {"noVarySearch": true}}, "routes": [{"name": "a", "key": {"excludeAllQueryParameters": true}}]`: {
			"defaults.key.noVarySearch: has no effect, because no parameter is used at all",
		},
		`, "defaults": {"key": {"headers": ["user-agent"]}}, "routes": [{"name": "a"}]`: {
			"defaults.key.headers[0]: nearly every client has a user-agent of its own; key.device and key.browser are coarser",
		},
	}
	for src, want := range tests {
		var got []string
		for _, w := range mustCompile(t, src).Warnings {
			got = append(got, w.Field+": "+w.Message)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s\ngot  %q\nwant %q", src, got, want)
		}
	}
	table, err := policy.Compile("t", []byte(`{"origins": {"a": {"url": "http://a"}, "b": {"url": "http://b"}}, "defaults": {"origin": "a"}}`))
	if err != nil || len(table.Warnings) != 1 || table.Warnings[0].Field != "origins.b" {
		t.Errorf("an unused origin: %v %v", table, err)
	}
}

// TestBytes holds the mistakes that a text file cannot show.
func TestBytes(t *testing.T) {
	good := `{"origins": {"app": {"url": "http://127.0.0.1:3000"}}}`
	tests := []struct{ name, src, want string }{
		{"byte order mark", "\xef\xbb\xbf" + good, "p:1:1: the file begins with a byte order mark; save it as UTF-8 without one"},
		{"UTF-16", "\xff\xfe{\x00}\x00", "p:1:1: the file is UTF-16; save it as UTF-8"},
		{"UTF-16 big endian", "\xfe\xff\x00{\x00}", "p:1:1: the file is UTF-16; save it as UTF-8"},
		{"NUL", "\x00", "p:1:1: unexpected '\\x00' where a value should be"},
		{"not UTF-8", `{"origins": {"app": {"url": "http://127.0.0.1:3000"}}, "defaults": {"tags": ["a` + "\xff" + `b"]}}`, "p:1:80: defaults.tags[0]: this is not UTF-8 (byte 0xff)"},
		{"not UTF-8 outside a string", good[:1] + "\xc3" + good[1:], "p:1:2: unexpected '\ufffd' where a field name should be"},
		{"no-break space", "{\u00a0}", "p:1:2: unexpected '\\u00a0' where a field name should be"},
		{"columns count characters", `{"origins": {"app": {"url": "http://127.0.0.1:3000"}}, "defaults": {"tags": ["äöü€😀", 5]}}`, `p:1:87: defaults.tags[1]: must be a tag, not 5; write "5"`},
		{"carriage returns", strings.ReplaceAll("{\n\"origins\": 5\n}", "\n", "\r\n"), "p:2:12: origins: must be an object that gives each origin a name, not 5"},
		{"too large", `{"$schema": "` + strings.Repeat("x", policy.MaxSize) + `"}`, "p:1:1: the file has 4194319 bytes; a policy has at most 4194304"},
		{"deep", strings.Repeat("[", 100000), "p:1:33: nested deeper than 32 levels"},
		{"many values", "[" + strings.Repeat("1,", 600000) + "1]", "p:1:1000000: more than 500000 values"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := policy.Compile("p", []byte(tt.src))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %v", err, tt.want)
			}
		})
	}
}

func TestManyErrorsAreBounded(t *testing.T) {
	src := `{"origins": {"app": {"url": "http://a"}}, "routes": [` + strings.Repeat("5,", 5000) + `5]}`
	_, err := policy.Compile("p", []byte(src))
	errs, ok := err.(policy.Errors) //nolint:errorlint // its length is looked at
	if !ok || len(errs) != 1001 || !strings.Contains(errs[1000].Message, "more than 1000 mistakes") {
		t.Errorf("%d errors, the last: %v", len(errs), errs[len(errs)-1])
	}
}

func TestForOrigin(t *testing.T) {
	table, err := policy.ForOrigin("http://127.0.0.1:3000/")
	if err != nil {
		t.Fatal(err)
	}
	plan, params := table.Match(get("/x"))
	if plan.Route != "defaults" || plan.Origin != "origin" || !plan.Edge || !plan.Compress || params != nil ||
		table.Origins["origin"].Upstreams[0].URL != "http://127.0.0.1:3000" || table.Warnings != nil {
		t.Errorf("%+v %v", plan, table.Warnings)
	}
	for _, url := range []string{"", "127.0.0.1", "http://a/b", "http://u:p@a", `http://a"b`} {
		if _, err := policy.ForOrigin(url); err == nil || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), ":p@") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestSchemaIsACopy(t *testing.T) {
	policy.Schema()[0] = 'x'
	if !json.Valid(policy.Schema()) || !bytes.HasPrefix(policy.Schema(), []byte("{")) {
		t.Error("a caller changed the schema")
	}
}

// FuzzCompile: nothing panics; what is accepted is JSON that the schema accepts, and
// compiles twice to the same table; what is refused says where and why.
func FuzzCompile(f *testing.F) {
	f.Add(readFile(f, "testdata/full.json"))
	everyMistake(f, func(_ string, all []mistake) {
		for _, m := range all {
			f.Add(m.src)
		}
	})
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > 1<<16 {
			return
		}
		table, err := policy.Compile("fuzz", src)
		if err != nil {
			checkErrors(t, "fuzz", err)
			return
		}
		if !json.Valid(src) {
			t.Fatal("accepts what is not JSON")
		}
		if err := validate(t, src); err != nil {
			t.Fatal("the schema refuses:", err)
		}
		again, err := policy.Compile("fuzz", bytes.Clone(src))
		if err != nil || !reflect.DeepEqual(table, again) {
			t.Fatal("compiles to another table the second time", err)
		}
		for _, path := range []string{"", "*", "/", "//", "/products/1", "/a/b/c", string(src[:min(len(src), 50)])} {
			plan, params := table.Match(&policy.MatchRequest{Method: "GET", Host: "a.example:81", Path: path, RawQuery: "a=b&%", Header: http.Header{"Cookie": {"a=b; c"}}})
			plan.ResponseTags(params, &rfc9111.Response{Header: http.Header{"Cache-Tag": {string(src)}}})
			if plan.Origin == "" || table.Origins[plan.Origin] == nil {
				t.Fatal("a plan without an origin")
			}
		}
	})
}
