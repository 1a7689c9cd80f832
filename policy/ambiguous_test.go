package policy_test

import (
	"testing"

	"weir/policy"
)

func TestAmbiguous(t *testing.T) {
	table, err := policy.Compile("policy.json", []byte(`{
		"origins": {"site": {"url": "http://127.0.0.1:3000"}},
		"routes": [
			{"name": "admin", "match": {"path": "/admin/*"}, "edge": false},
			{"name": "account", "match": {"path": "/account"}, "edge": false},
			{"name": "static", "match": {"path": "/static/*"}, "edge": {"maxAgeSeconds": 60}},
			{"name": "project", "match": {"path": "/projects/:id"}, "edge": {"maxAgeSeconds": 60}},
			{"name": "pages", "match": {"path": "/*"}, "edge": {"maxAgeSeconds": 60}}
		]}`))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{
		"/":                             false,
		"/admin/x":                      false,
		"/static/a.css":                 false,
		"/static//a.css":                false,
		"/static/./a.css":               false,
		"/static/a/../b.css":            false,
		"/static/%7Ejoe/a%20b.css":      false,
		"/static/caf%C3%A9;v=1":         false,
		"/.well-known/x":                false,
		"/100%":                         false,
		"/%zz":                          false,
		"/projects/7":                   false,
		"/%61dmin/x":                    true,
		"/%2561dmin/x":                  true,
		"//admin/x":                     true,
		"/admin%2fx":                    true,
		"/admin;v=1/x":                  true,
		"/x/../admin/y":                 true,
		"/static/../account":            true,
		"/static/%2e%2e/account":        true,
		"/static/..%2faccount":          true,
		"/static/..%5caccount":          true,
		"/static/%252e%252e/account":    true,
		"/account;x.css":                true,
		"/account%3bx.css":              true,
		"/account%3fx.css":              true,
		"/account%23x.css":              true,
		"/account%00x.css":              true,
		"/account%0a":                   true, // "$" of a pattern matches before it
		"/account%250Ax.css":            true,
		"/account%09":                   true,
		"/account%20":                   true,
		"/account%20x":                  false,
		"/account/.":                    false, // it is /account/
		"/projects/a%2Fb":               true,  // to some origins a page of another kind
		"/static/..%2f..%2f..%2fadmin/": true,
	}
	for path, want := range tests {
		r := &policy.MatchRequest{Method: "GET", Host: "example.com", Path: path}
		plan, _ := table.Match(r)
		if got := table.Ambiguous(r, plan); got != want {
			t.Errorf("%s (route %s): ambiguous is %v, want %v", path, plan.Route, got, want)
		}
	}
}
