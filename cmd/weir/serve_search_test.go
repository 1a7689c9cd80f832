package main

import (
	"io"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// Queries that the origin calls alike are one object, in memory, on disk and over a
// restart, and are outdated together.
func TestNoVarySearch(t *testing.T) {
	c := newClock()
	origin := newScripted(t, c)
	var rule atomic.Value
	rule.Store(`params=("utm" "ref"), key-order`)
	origin.page("/p", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		if field := rule.Load().(string); field != "" {
			w.Header().Set("No-Vary-Search", field)
		}
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, "page "+r.URL.RawQuery)
		}
	})
	path := writeFile(t, filepath.Join(t.TempDir(), "policy.json"),
		policyFor(origin, `{"name": "p", "match": {"path": "/p"}, "key": {"noVarySearch": true}}`))
	args := []string{"--policy", path, "--data", folder(t)}
	node := serve(t, c, args...)
	node.want(node.fill("/p?utm=1&b&a"), 200, missStored, "page utm=1&b&a") // nothing is known yet
	node.want(node.fill("/p?utm=2&b&a"), 200, missStored, "page a&b")
	if asked := origin.requests("/p"); asked[1].Header.Get("X-Original-Qs") != "utm=2&b&a" {
		t.Errorf("the origin is not told the query: %v", asked[1].Header)
	}
	node.want(node.get("/p?ref=3&a&b"), 200, hitMemory, "page a&b")
	got := node.get("/p?a&b&utm=4&utm=5")
	node.want(got, 200, hitMemory, "page a&b")
	if got.Header.Get("No-Vary-Search") != rule.Load() {
		t.Error("the client does not get the field")
	}
	asked(t, origin, "/p", 2)

	node.stop()
	node = serve(t, c, args...)
	node.want(node.get("/p?utm=1&b&a"), 200, "hit; oc=cached, sc=hit; ok", "page utm=1&b&a") // which says it again
	node.want(node.get("/p?utm=6&b&a"), 200, "hit; oc=cached, sc=hit; ok", "page a&b")
	asked(t, origin, "/p", 2)

	node.send("POST", "/p?other", "x")
	node.want(node.fill("/p?utm=6&b&a"), 200, missStored, "page a&b")
	node.want(node.fill("/p?utm=1&b&a"), 200, hitMemory, "page a&b")

	// The origin changes its mind: what it said before holds for what it said it of, and
	// for nothing else.
	c.advance(61 * time.Second)
	rule.Store("")
	node.want(node.fill("/p?utm=7&b&a"), 200, missStored, "page utm=7&b&a")
	node.want(node.get("/p?utm=7&b&a"), 200, hitMemory, "page utm=7&b&a")
	node.want(node.fill("/p?b&a"), 200, missStored, "page b&a")
}
