package main

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
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

// A mutation outdates all queries of its endpoint, over POST and GET and under every
// URL parameter, in one step: applications can rely on it.
func TestGraphQL(t *testing.T) {
	c := newClock()
	origin := newScripted(t, c)
	version := 1
	origin.page("/graphql", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case !strings.Contains(string(body), "mutation"):
			_, _ = fmt.Fprintf(w, `{"data":%d}`, version)
		case strings.Contains(string(body), "fail"):
			http.Error(w, "no", http.StatusInternalServerError)
		default:
			version++
			_, _ = io.WriteString(w, `{"data":"changed"}`)
		}
	})
	path := writeFile(t, filepath.Join(t.TempDir(), "policy.json"), policyFor(origin,
		`{"name": "api", "match": {"path": "/graphql", "methods": ["GET", "POST"]}, "graphql": true, "edge": {"maxAgeSeconds": 60}}`))
	args := []string{"--policy", path, "--data", folder(t)}
	node := serve(t, c, args...)
	post := func(target, body string) *reply {
		got := node.send("POST", target, body, "Content-Type: application/json")
		node.quiet()
		return got
	}
	queries := map[string]func() *reply{
		"post":           func() *reply { return post("/graphql", `{"query":"{a}"}`) },
		"another":        func() *reply { return post("/graphql", `{"query":"{a b}"}`) },
		"with parameter": func() *reply { return post("/graphql?op=A", `{"query":"{a}"}`) },
		"get":            func() *reply { return node.fill("/graphql?query=%7Ba%7D") },
	}
	expect := func(use string, version int) {
		t.Helper()
		for _, query := range queries {
			node.want(query(), 200, use, fmt.Sprintf(`{"data":%d}`, version))
		}
	}
	mutate := func(target, body string) {
		t.Helper()
		if got := post(target, body); got.use() != "bypass; oc=pass, sc=pass; pass" {
			t.Errorf("%s: %s", body, got.use())
		}
	}
	expect(missStored, 1)
	expect(hitMemory, 1)
	mutate("/graphql", `{"query":"mutation{fail}"}`) // nothing has changed
	expect(hitMemory, 1)
	mutate("/graphql", `{"query":"mutation{b}"}`)
	expect(missStored, 2)
	expect(hitMemory, 2)
	mutate("/graphql?op=B", `[{"query":"mutation{b}"}]`) // cannot be judged, and is passed as it is
	expect(missStored, 3)
	node.stop()
	node = serve(t, c, args...)
	expect("hit; oc=cached, sc=hit; ok", 3)
	mutate("/graphql", `{"query":"mutation{b}"}`)
	node.stop()
	node = serve(t, c, args...)
	expect(missStored, 4)
}
