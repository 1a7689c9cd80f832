package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// What the shield answered to one client's comparison is no page for others.
func TestComparisonsInACluster(t *testing.T) {
	for name, fields := range map[string][]string{
		"part, not modified":       {"Range: bytes=0-9", `If-None-Match: "1"`},
		"part, failed":             {"Range: bytes=0-9", `If-Match: "0"`},
		"authorized, not modified": {"Authorization: Basic YQ==", `If-None-Match: "1"`},
		"authorized, failed":       {"Authorization: Basic YQ==", `If-Match: "0"`},
	} {
		t.Run(name, func(t *testing.T) {
			c, status := newCluster(t, ""), http.StatusNotModified
			if strings.HasSuffix(name, "failed") {
				status = http.StatusPreconditionFailed
			}
			body := strings.Repeat("0123456789", 300_000)
			c.origin.page("/a", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Cache-Control", "public, max-age=60")
				w.Header().Set("Etag", `"1"`)
				_, _ = io.WriteString(w, body)
			})
			c.fill("lhr", "/a")
			got := c.fill("fra", "/a", fields...)
			if tier := got.Header.Get("X-Cache-Tier"); got.StatusCode != status || tier != "oc=pass, sc=hit" {
				t.Errorf("status %d, %s", got.StatusCode, tier)
			}
			for range 2 {
				got = c.fill("fra", "/a")
				if got.StatusCode != 200 || got.body != body {
					t.Errorf("%d, %d bytes, %v", got.StatusCode, len(got.body), got.Header)
				}
			}
		})
	}
}

// While a policy is rolled out an edge and the shield may key a request differently.
func TestPoliciesThatDiffer(t *testing.T) {
	clk := newClock()
	origin := newScripted(t, clk)
	origin.page("/me", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("Cookie")) })
	old := writeFile(t, folder(t)+".json", `{"origins": {"o": {"url": "`+origin.URL+`"}}}`)
	next := writeFile(t, folder(t)+".json", `{"origins": {"o": {"url": "`+origin.URL+`"}}, "routes": [
		{"name": "me", "match": {"path": "/me"}, "edge": {"maxAgeSeconds": 60}, "key": {"cookies": ["session"]}}]}`)
	sh := serve(t, clk, "--role", "shield", "--peer-listen", "127.0.0.1:0", "--data", folder(t), "--policy", next, "--peer-secret", testSecret)
	fra := serve(t, clk, "--role", "edge", "--region", "fra", "--shield", sh.peers, "--policy", old, "--peer-secret", testSecret)
	for _, who := range []string{"session=alice", "session=bob"} {
		got := fra.fill("/me", "Cookie: "+who)
		sh.quiet()
		if got.body != who {
			t.Errorf("%s got %q", who, got.body)
		}
	}
}
