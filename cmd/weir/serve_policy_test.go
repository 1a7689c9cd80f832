package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// policyFor is a policy in front of origin with one route, or none.
func policyFor(origin *scripted, route string) string {
	return fmt.Sprintf(`{"origins": {"shop": {"url": %q}}, "defaults": {"origin": "shop"}, "routes": [%s]}`, origin.URL, route)
}

func TestPolicyFileIsReloadedWhenItChanges(t *testing.T) {
	c := newClock()
	origin := newScripted(t, c)
	origin.text("/a", "body of a")
	origin.text("/b", "body of b", "Cache-Control: max-age=3600")
	path := writeFile(t, filepath.Join(t.TempDir(), "policy.json"), policyFor(origin, ""))
	node := serve(t, c, "--policy", path, "--data", folder(t))
	node.want(node.get("/a"), 200, "miss; oc=pass, sc=pass; no-max-age", "body of a")
	node.fill("/b")
	before := node.stats().Policy

	writeFile(t, path, policyFor(origin, `{"name": "a", "match": {"path": "/a"}, "edge": {"maxAgeSeconds": 60}}`))
	node.logs.await(t, "policy reloaded", 1)
	if now := node.stats().Policy; now == before {
		t.Errorf("the version is still %s", now)
	}
	node.want(node.get("/b"), 200, hitMemory, "body of b")
	eventually(t, "/a is stored now", func() bool { return node.get("/a").Header.Get("X-Cache") == "hit" })
	status, stdout, stderr := command(t, "policy", "show", "--admin", node.admin)
	if status != exitDone || !strings.Contains(stdout, `"maxAgeSeconds": 60`) {
		t.Errorf("exit status %d: %s%s", status, stdout, stderr)
	}
}

func TestDevelopmentModeCachesNothing(t *testing.T) {
	origin, node := shop(t, "--dev")
	origin.text("/a", "body of a", "Cache-Control: max-age=60")
	for range 2 {
		node.want(node.get("/a"), 200, "bypass; oc=pass, sc=pass; disabled", "body of a")
	}
	asked(t, origin, "/a", 2)
	if !strings.Contains(node.out.String(), "nothing is cached") {
		t.Errorf("%s", node.out)
	}
}

func TestDevelopmentCacheIsClearedWithThePolicy(t *testing.T) {
	c := newClock()
	origin := newScripted(t, c)
	origin.text("/a", "body of a", "Cache-Control: max-age=3600")
	path := writeFile(t, filepath.Join(t.TempDir(), "policy.json"), policyFor(origin, ""))
	args := []string{"--policy", path, "--data", folder(t), "--dev", "--cache"}
	node := serve(t, c, args...)
	node.fill("/a")
	node.want(node.get("/a"), 200, hitMemory, "body of a")
	writeFile(t, path, policyFor(origin, `{"name": "b", "match": {"path": "/b"}, "edge": false}`))
	node.logs.await(t, "policy reloaded", 1)
	node.want(node.fill("/a"), 200, missStored, "body of a")
	node.want(node.get("/a"), 200, hitMemory, "body of a")
	node.stop()
	node = serve(t, c, args...) // what was cleared does not come back, what came after does
	node.want(node.get("/a"), 200, "hit; oc=cached, sc=hit; ok", "body of a")
	asked(t, origin, "/a", 2)
}

func TestPolicyShowWithoutAFile(t *testing.T) {
	_, node := shop(t)
	status, _, stderr := command(t, "policy", "show", "--admin", node.admin)
	if status != exitFailed || !strings.Contains(stderr, "no policy file") {
		t.Errorf("exit status %d: %s", status, stderr)
	}
}

func TestDemoServes(t *testing.T) {
	node := serve(t, newClock(), "--demo", "--data", folder(t))
	node.await("ask once more") // the demo's last words
	if !strings.Contains(node.out.String(), "curl -si "+node.base+"/fast") {
		t.Errorf("%s", node.out)
	}
	if got := node.fill("/fast"); got.use() != missStored {
		t.Errorf("/fast: %s", got.use())
	}
	if got := node.get("/fast"); got.use() != hitMemory {
		t.Errorf("/fast: %s", got.use())
	}
	if got := node.get("/admin/"); got.use() != "bypass; oc=pass, sc=pass; disabled" {
		t.Errorf("/admin/: %s", got.use())
	}
	if got := node.fill("/search?q=tea&utm_source=mail"); !strings.Contains(got.body, "q=tea&utm_source=mail") {
		t.Errorf("/search: %s", got.body)
	}
	if got := node.get("/search?utm_source=post&q=tea"); got.Header.Get("X-Cache") != "hit" {
		t.Errorf("/search: %s", got.use())
	}
}

func TestPolicyToStartFrom(t *testing.T) {
	status, stdout, stderr := command(t, "policy", "check", "../../deploy/policy.json")
	if status != exitDone || stderr != "" || !strings.Contains(stdout, "3 routes, 1 origin") {
		t.Errorf("exit status %d: %s%s", status, stdout, stderr)
	}
}
