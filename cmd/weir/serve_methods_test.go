package main

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"testing"
)

// A QUERY whose route names it is cached by its content, like a safe POST: over a
// restart, validated, answered with 304, and nothing is outdated by it.
func TestQuery(t *testing.T) {
	c := newClock()
	origin := newScripted(t, c)
	origin.page("/search", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Etag", fmt.Sprintf(`"%s"`, body))
		_, _ = fmt.Fprintf(w, "%s of %s", r.Method, body)
	})
	path := writeFile(t, filepath.Join(t.TempDir(), "policy.json"),
		policyFor(origin, `{"name": "search", "match": {"path": "/search", "methods": ["GET", "QUERY"]}}`))
	args := []string{"--policy", path, "--data", folder(t)}
	node := serve(t, c, args...)
	query := func(content string, fields ...string) *reply {
		got := node.send("QUERY", "/search", content, append(fields, "Content-Type: text/plain")...)
		node.quiet()
		return got
	}
	node.want(node.fill("/search"), 200, missStored, "GET of ")
	node.want(query("a"), 200, missStored, "QUERY of a")
	node.want(query("b"), 200, missStored, "QUERY of b")
	node.want(query("a"), 200, hitMemory, "QUERY of a")
	node.want(query("a", `If-None-Match: "a"`), 304, hitMemory, "")
	node.want(query("b", `If-None-Match: "a"`), 200, hitMemory, "QUERY of b")
	node.want(node.get("/search"), 200, hitMemory, "GET of ")
	node.stop()
	node = serve(t, c, args...)
	node.want(query("b"), 200, "hit; oc=cached, sc=hit; ok", "QUERY of b")
	asked(t, origin, "/search", 3)
	if got := node.send("POST", "/search", "c"); got.use() != "bypass; oc=pass, sc=pass; method" {
		t.Errorf("POST: %s", got.use())
	}
	node.want(query("b"), 200, missStored, "QUERY of b")
}
