package policy_test

import (
	"testing"

	"weir/policy"
)

func TestPlainly(t *testing.T) {
	table, err := policy.Compile("test", []byte(`{
		"origins": {"app": {"url": "http://127.0.0.1:3000"}},
		"routes": [
			{"name": "beta", "match": {"path": "/beta/*", "headers": {"x-beta": "1"}}},
			{"name": "posts", "match": {"path": "/posts", "methods": ["POST"]}, "edge": {"maxAgeSeconds": 1}},
			{"name": "host", "match": {"path": "/only", "hosts": ["*.a.test"], "cookies": {"c": "1"}}},
			{"name": "product", "match": {"path": "/products/:id"}}
		]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ method, host, path, want string }{
		{"GET", "a.test", "/", "defaults"},
		{"GET", "a.test", "/products/42", "product"},
		{"HEAD", "a.test", "/products/42", "product"},
		{"GET", "a.test", "/posts", "defaults"},
		{"GET", "a.test", "/only", "defaults"},
		{"GET", "x.a.test", "/only", ""},
		{"GET", "a.test", "/beta/x", ""},
		{"GET", "a.test", "/products/%34", ""},
		{"GET", "a.test", "/products/../beta/x", ""},
		{"GET", "a.test", "//products/42", ""},
		{"GET", "a.test", "/products/42;x", ""},
	} {
		plan, ok := table.Plainly(c.method, c.host, c.path)
		if ok != (c.want != "") || ok && plan.Route != c.want {
			t.Errorf("%+v: %+v, %t", c, plan, ok)
		}
		if n := testing.AllocsPerRun(10, func() { table.Plainly(c.method, c.host, c.path) }); n != 0 {
			t.Errorf("%+v: %v allocations", c, n)
		}
	}
	if !table.LooksAt("X-Beta") || table.LooksAt("C") || table.LooksAt("Connection") {
		t.Error("the only field that a route looks at is X-Beta")
	}
	numbers := map[int]bool{0: true}
	for _, plan := range table.Plans() {
		if numbers[plan.Number] {
			t.Errorf("%s has a number that is taken: %d", plan.Route, plan.Number)
		}
		numbers[plan.Number] = true
	}
}

// Where there are no routes, every reader of a path finds the same: the defaults.
func TestPlainlyWithoutRoutes(t *testing.T) {
	table, err := policy.ForOrigin("http://127.0.0.1:3000")
	if err != nil {
		t.Fatal(err)
	}
	if plan, ok := table.Plainly("GET", "a.test", "/a%20b/../c"); !ok || plan.Route != "defaults" {
		t.Errorf("%+v, %t", plan, ok)
	}
}
