package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// deployments is a node whose policy names deployments, one after the other.
type deployments struct {
	*running
	origin *scripted
	path   string
	swaps  int
}

// policyOf is the policy of one deployment; rest is further top-level fields.
func policyOf(origin *scripted, id, rest string) string {
	return fmt.Sprintf(`{"origins": {"shop": {"url": %q}}, "deployment": %q, "isolate": true%s, "routes": [
		{"name": "assets", "match": {"path": "/assets/*"}, "permanent": true},
		{"name": "list", "match": {"path": "/list"}, "key": {"excludeQueryParameters": ["utm"]}}]}`, origin.URL, id, rest)
}

func startDeployments(t *testing.T, id, rest string) *deployments {
	c := newClock()
	origin := newScripted(t, c)
	d := &deployments{origin: origin, path: filepath.Join(t.TempDir(), "policy.json")}
	writeFile(t, d.path, policyOf(origin, id, rest))
	d.running = serve(t, c, "--policy", d.path, "--data", folder(t))
	return d
}

// deploy puts another deployment in force: its policy, and the pages it has.
func (d *deployments) deploy(id, rest string) {
	d.t.Helper()
	d.pages(id)
	writeFile(d.t, d.path, policyOf(d.origin, id, rest))
	d.swaps++
	d.logs.await(d.t, "policy reloaded", d.swaps)
	if got := d.stats().Deploy; got != id {
		d.t.Errorf("stats show the deployment %q", got)
	}
}

// pages are what a deployment's code answers.
func (d *deployments) pages(id string) {
	for _, page := range []string{"/a", "/list", "/assets/x"} {
		d.origin.text(page, page+" of "+id, "Cache-Control: max-age=3600")
	}
}

func TestDeploymentsHaveTheirOwnCaches(t *testing.T) {
	t.Parallel()
	d := startDeployments(t, "a", "")
	d.pages("a")
	d.want(d.fill("/a"), 200, missStored, "/a of a")
	d.want(d.fill("/list?x=1"), 200, missStored, "/list of a")
	d.want(d.fill("/assets/x"), 200, missStored, "/assets/x of a")

	d.deploy("b", "")
	d.want(d.fill("/a"), 200, missStored, "/a of b")
	d.want(d.get("/a"), 200, hitMemory, "/a of b")
	d.want(d.get("/assets/x"), 200, hitMemory, "/assets/x of a") // permanent
	d.want(d.fill("/list?x=1&utm=2"), 200, missStored, "/list of b")

	d.deploy("a", "") // back: everything is there
	d.want(d.get("/a"), 200, hitMemory, "/a of a")
	d.want(d.get("/list?x=1"), 200, hitMemory, "/list of a")
	d.want(d.get("/assets/x"), 200, hitMemory, "/assets/x of a")
	asked(t, d.origin, "/assets/x", 1)

	// What changes under one deployment is outdated in all of them.
	d.do("POST", "/a")
	d.do("POST", "/list?x=1")
	d.want(d.fill("/a"), 200, missStored, "/a of a")
	d.want(d.get("/a"), 200, hitMemory, "/a of a")
	d.deploy("b", "")
	d.want(d.fill("/a"), 200, missStored, "/a of b")
	d.want(d.fill("/list?x=1"), 200, missStored, "/list of b")
	d.want(d.get("/assets/x"), 200, hitMemory, "/assets/x of a")

	status, stdout, stderr := command(t, "policy", "show", "--admin", d.admin)
	if status != exitDone || !strings.Contains(stdout, `"deployment": "b"`) {
		t.Errorf("exit status %d: %s%s", status, stdout, stderr)
	}
	if status, stdout, _ := command(t, "stats", "--admin", d.admin); status != exitDone || !strings.Contains(stdout, "deployment b") {
		t.Errorf("exit status %d: %s", status, stdout)
	}
	if status, stdout, _ := command(t, "policy", "check", d.path); status != exitDone || !strings.Contains(stdout, "deployment b") {
		t.Errorf("exit status %d: %s", status, stdout)
	}
	if !strings.Contains(d.logs.String(), "deployment") {
		t.Error("the log does not name the deployment")
	}
}

// A restart is no change of deployment, and finds the objects of all of them.
func TestDeploymentsSurviveARestart(t *testing.T) {
	t.Parallel()
	c := newClock()
	origin := newScripted(t, c)
	d := &deployments{origin: origin, path: filepath.Join(t.TempDir(), "policy.json")}
	writeFile(t, d.path, policyOf(origin, "a", ""))
	args := []string{"--policy", d.path, "--data", folder(t)}
	d.running = serve(t, c, args...)
	d.pages("a")
	d.fill("/a")
	d.deploy("b", "")
	d.fill("/a")
	d.stop()

	const settle = `, "deploymentSettleSeconds": 600`
	writeFile(t, d.path, policyOf(origin, "b", settle))
	d.running, d.swaps = serve(t, c, args...), 0
	d.want(d.get("/a"), 200, "hit; oc=cached, sc=hit; ok", "/a of b")
	d.want(d.fill("/list"), 200, missStored, "/list of b")
	d.deploy("a", "")
	d.want(d.get("/a"), 200, "hit; oc=cached, sc=hit; ok", "/a of a")
}

func TestDeploymentSettles(t *testing.T) {
	t.Parallel()
	const settle = `, "deploymentSettleSeconds": 30`
	d := startDeployments(t, "a", settle)
	d.pages("a")
	d.want(d.fill("/a"), 200, missStored, "/a of a") // a start is no change
	d.deploy("b", settle)
	d.pages("a") // the servers have not all changed yet
	for range 2 {
		d.want(d.fill("/a"), 200, "miss; oc=pass, sc=pass; deployment", "/a of a")
	}
	d.want(d.fill("/assets/x"), 200, missStored, "/assets/x of a") // permanent
	d.pages("b")
	d.origin.clock.advance(29 * time.Second)
	d.want(d.fill("/a"), 200, "miss; oc=pass, sc=pass; deployment", "/a of b")
	d.origin.clock.advance(time.Second)
	d.want(d.fill("/a"), 200, missStored, "/a of b")
	d.want(d.get("/a"), 200, hitMemory, "/a of b")
	d.deploy("a", settle) // what it stored when it was here before is still its own
	d.want(d.get("/a"), 200, hitMemory, "/a of a")
	d.want(d.get("/list"), 200, "miss; oc=pass, sc=pass; deployment", "/list of a")
}
