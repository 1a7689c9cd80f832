package policy_test

import (
	"testing"
	"time"

	"weir/keying"
	"weir/policy"
)

func TestDeploymentsInKeys(t *testing.T) {
	const routes = `, "routes": [
		{"name": "assets", "match": {"path": "/assets/*"}, "permanent": true},
		{"name": "only", "match": {"path": "/only"}, "key": {"excludeAllQueryParametersExcept": ["page"]}},
		{"name": "back", "match": {"path": "/back", "cookies": {"c": "1"}}, "permanent": true, "key": {"sortQueryParameters": true}}]`
	key := func(table *policy.Table, target string) keying.Key {
		t.Helper()
		r := get(target)
		r.Header.Set("Cookie", "c=1")
		plan, _ := table.Match(r)
		keyed, err := plan.Key.Build(&keying.Request{Method: "GET", Scheme: "http", Host: "h", Target: target + "?page=2", Header: r.Header})
		if err != nil {
			t.Fatal(err)
		}
		return keyed.Key
	}
	none, label := mustCompile(t, routes), mustCompile(t, `, "deployment": "a"`+routes)
	a, b := mustCompile(t, `, "deployment": "a", "isolate": true`+routes), mustCompile(t, `, "deployment": "b", "isolate": true`+routes)
	if a.Deployment != "a" || !a.Isolate || label.Deployment != "a" || label.Isolate {
		t.Errorf("%+v, %+v", a, label)
	}
	for _, tt := range []struct {
		path         string
		apart        bool // by deployment
		baseIsPath   bool
		likeUnisolat bool // the key is the one that it is without isolate
	}{
		{path: "/", apart: true},
		{path: "/assets/x", likeUnisolat: true},
		{path: "/only", apart: true, baseIsPath: true},
		{path: "/back", baseIsPath: true},
	} {
		if key(none, tt.path) != key(label, tt.path) {
			t.Errorf("%s: a label is part of the key", tt.path)
		}
		keyA, keyB := key(a, tt.path), key(b, tt.path)
		if apart := keyA != keyB; apart != tt.apart {
			t.Errorf("%s: apart %v", tt.path, apart)
		}
		if keyA.Base() != keyB.Base() {
			t.Errorf("%s: a purge of the URL misses a deployment", tt.path)
		}
		if is := keyA.Base() == keying.Base("http", "h", tt.path); is != tt.baseIsPath {
			t.Errorf("%s: the base is the path's: %v", tt.path, is)
		}
		if like := keyA == key(none, tt.path); like != tt.likeUnisolat {
			t.Errorf("%s: the key is as without isolate: %v", tt.path, like)
		}
	}
}

func TestDeploymentsSettle(t *testing.T) {
	compile := func(deployment, settle string) *policy.Table {
		return mustCompile(t, `, "deployment": "`+deployment+`", "isolate": true, "deploymentSettleSeconds": `+settle)
	}
	began := time.Unix(1700000000, 0)
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	a, b, again, never := compile("a", "10"), compile("b", "10"), compile("b", "10"), compile("c", "0")
	live := policy.NewLive(a)
	want := func(table *policy.Table, seconds int, settling bool) {
		t.Helper()
		if got := live.Settling(table, at(seconds)); got != settling {
			t.Errorf("settling after %d s: %v", seconds, got)
		}
	}
	want(a, 0, false) // a start is no change
	live.Swap(b, at(100))
	want(b, 100, true)
	want(b, 109, true)
	want(b, 110, false)
	want(a, 110, true)        // requests of the old one that are still under way
	live.Swap(again, at(105)) // another policy, the same deployment
	want(again, 109, true)
	want(again, 110, false)
	live.Swap(a, at(200)) // back
	want(a, 209, true)
	want(a, 210, false)
	live.Swap(never, at(300))
	want(never, 300, false)
}
