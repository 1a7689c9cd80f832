package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"weir/api"
)

// explains has a node explain a request, as weir explain --json does.
func (r *running) explains(path string, args ...string) *api.Explanation {
	r.t.Helper()
	args = append([]string{"explain", "--admin", r.admin, "http://" + testHost + path, "--json"}, args...)
	status, text, stderr := command(r.t, args...)
	var x api.Explanation
	if err := json.Unmarshal([]byte(text), &x); err != nil || status != exitDone {
		r.t.Fatalf("%s: exit status %d, %v: %s", path, status, err, stderr)
	}
	return &x
}

// An edge explains with what its shield would do and holds, as the shield does itself; nothing comes of it.
func TestExplainAtAnEdge(t *testing.T) {
	c := newCluster(t, `, "routes": [{"name": "search", "match": {"path": "/search", "methods": ["POST"]}, "edge": {"maxAgeSeconds": 60}}]`)
	versioned(c.origin, "/a", "Cache-Control: max-age=60, stale-if-error=600", "Cache-Tag: red")
	c.fill("fra", "/a")
	lhr := c.edges["lhr"]

	x, here := lhr.explains("/a"), c.shield.explains("/a")
	if len(x.Memory.Stored) != 0 || x.Now.Known || x.Now.Asks || x.Now.IfOriginFails != "stale" {
		t.Errorf("the edge: %+v %+v", x.Now, x.Memory)
	}
	if len(x.Shield.Stored) != 1 || !reflect.DeepEqual(x.Shield, here.Shield) || !reflect.DeepEqual(x.Storing, here.Storing) {
		t.Errorf("what the shield holds: %+v, by itself %+v", x.Shield, here.Shield)
	}
	if s := x.ShieldNow; s == nil || !s.Known || s.Status != 200 || s.Use != here.Now.XCache || here.ShieldNow != nil {
		t.Errorf("what the shield would answer: %+v, by itself %+v", s, here.Now)
	}

	x = lhr.explains("/b")
	if s := x.ShieldNow; s == nil || s.Known || s.Forward != "uri-miss" || len(x.Shield.Stored) != 0 || !x.Now.Asks {
		t.Errorf("what nobody has: %+v %+v", s, x.Shield)
	}
	if x = lhr.explains("/search", "-X", "POST", "-d", "shoes"); x.ShieldNow == nil || x.Shield.Note != "" {
		t.Errorf("content is part of the key: %+v", x.Shield)
	}
	for i, path := range []string{"/a", "/b", "/search"} {
		asked(t, c.origin, path, []int{1, 0, 0}[i])
	}

	c.shield.purge("--tag", "red")
	if x = lhr.explains("/a"); !x.Shield.Stored[0].Purged || x.ShieldNow.Known {
		t.Errorf("after a purge: %+v %+v", x.ShieldNow, x.Shield)
	}
	status, text, _ := command(t, "explain", "--admin", lhr.admin, "http://"+testHost+"/a")
	if flat := strings.Join(strings.Fields(text), " "); status != exitDone || !strings.Contains(flat, "the shield: miss, the origin is asked") || !strings.Contains(flat, "a purge forbids its use") {
		t.Errorf("exit status %d: %s", status, text)
	}

	c.shield.stop()
	if x = lhr.explains("/a"); x.ShieldNow != nil || !strings.Contains(x.Shield.Note, "cannot be reached") || len(x.Shield.Stored) != 0 {
		t.Errorf("without a shield: %+v %+v", x.ShieldNow, x.Shield)
	}
	asked(t, c.origin, "/a", 1)
}
