package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/shield"
)

// purge runs weir purge against a node and returns its report.
func (r *running) purge(flags ...string) (report shield.PurgeReport) {
	r.t.Helper()
	status, out, errs := command(r.t, append([]string{"purge", "--json", "--admin", r.admin}, flags...)...)
	if status != exitDone {
		r.t.Fatalf("weir purge %v: exit status %d: %s", flags, status, errs)
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		r.t.Fatal(err)
	}
	return report
}

// versioned makes a page whose body tells how often the origin was asked for it.
func versioned(origin *scripted, path string, fields ...string) {
	origin.page(path, func(w http.ResponseWriter, _ *http.Request) {
		for _, f := range fields {
			name, value, _ := strings.Cut(f, ": ")
			w.Header().Add(name, value)
		}
		_, _ = fmt.Fprintf(w, "version %d", len(origin.requests(path)))
	})
}

const minute = "Cache-Control: max-age=60"

func TestPurgeOfEachKind(t *testing.T) {
	for name, flags := range map[string][]string{
		"tag":                 {"--tag", "red"},
		"tags":                {"--tag", "blue", "--tag", "red"},
		"tag of the policy":   {"--tag", "product:7"},
		"URL":                 {"--url", "http://" + testHost + "/p/7?x=1"},
		"prefix":              {"--prefix", "http://" + testHost + "/p/"},
		"host":                {"--host", testHost},
		"everything":          {"--all"},
		"URL and tag at once": {"--url", "http://" + testHost + "/p/7?x=1", "--tag", "blue"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			origin := newScripted(t, c)
			versioned(origin, "/p/7", minute, "Cache-Tag: red")
			versioned(origin, "/kept", minute)
			node := serve(t, c, "--data", folder(t), "--policy", writeFile(t, folder(t)+".json",
				`{"origins": {"o": {"url": "`+origin.URL+`"}}, "routes": [{"name": "p", "match": {"path": "/p/:id"}, "tags": ["product:{id}"]}]}`))
			node.fill("/p/7?x=1")
			node.fill("/kept")
			node.want(node.get("/p/7?x=1"), 200, hitMemory, "version 1")
			before := node.stats()
			report := node.purge(flags...)
			if report.Epoch <= before.Epoch || node.stats().Epoch != report.Epoch {
				t.Errorf("epoch %d after %d, now %d", report.Epoch, before.Epoch, node.stats().Epoch)
			}
			if len(report.Regions) != 1 || report.Regions[0].Region != "local" || len(report.Pending) != 0 {
				t.Errorf("%+v", report)
			}
			node.want(node.fill("/p/7?x=1"), 200, missStored, "version 2")
			if name != "host" && name != "everything" {
				node.want(node.get("/kept"), 200, hitMemory, "version 1")
			}
		})
	}
}

func TestSoftPurge(t *testing.T) {
	origin, node := shop(t)
	versioned(origin, "/a", "Cache-Control: max-age=60, stale-while-revalidate=60")
	node.fill("/a")
	node.purge("--soft", "--url", "http://"+testHost+"/a")
	got := node.get("/a")
	if got.Header.Get("X-Cache") != "stale" || got.body != "version 1" {
		t.Errorf("%s, %q", got.use(), got.body)
	}
	eventually(t, "refreshed", func() bool { return node.get("/a").body == "version 2" })
	asked(t, origin, "/a", 2)
}

func TestPurgeSurvivesRestart(t *testing.T) {
	c := newClock()
	origin := newScripted(t, c)
	versioned(origin, "/a", minute)
	args := []string{"--origin", origin.URL, "--data", folder(t)}
	node := serve(t, c, args...)
	node.fill("/a")
	epoch := node.purge("--all").Epoch
	node.stop()
	node = serve(t, c, args...)
	if got := node.stats().Epoch; got != epoch {
		t.Errorf("epoch %d after a restart, was %d", got, epoch)
	}
	node.want(node.get("/a"), 200, missStored, "version 2")
}

// A node whose values were written once has everybody forget them at each start, even where
// there are none any more.
func TestValuesAreForgottenAtStart(t *testing.T) {
	args := []string{"--origin", "http://127.0.0.1:1", "--data", folder(t)}
	node := serve(t, newClock(), args...)
	for _, line := range [][]string{{"set", "k", "v"}, {"delete", "k"}} {
		if status, _, said := kvOf(t, node.admin, "", line...); status != exitDone {
			t.Fatalf("%s: %s", line, said)
		}
	}
	epoch := node.stats().Epoch
	node.stop()
	if got := serve(t, newClock(), args...).stats().Epoch; got <= epoch {
		t.Errorf("epoch %d after a restart, was %d", got, epoch)
	}
}

func TestDryRunPurgesNothing(t *testing.T) {
	origin, node := shop(t)
	versioned(origin, "/a", minute)
	node.fill("/a")
	before := node.stats().Epoch
	if report := node.purge("--dry-run", "--all"); report.Epoch != before || len(report.Regions) != 0 {
		t.Errorf("%+v, before %d", report, before)
	}
	node.want(node.get("/a"), 200, hitMemory, "version 1")
}

func TestPurgeCommand(t *testing.T) {
	_, node := shop(t, "--admin-token", "s3cret")
	for _, c := range []struct {
		name   string
		flags  []string
		status int
		says   string
	}{
		{"nothing named", []string{"--token", "s3cret"}, exitUsage, "names nothing"},
		{"everything and more", []string{"--all", "--tag", "a"}, exitUsage, "one or the other"},
		{"bad URL", []string{"--url", "/a"}, exitUsage, "no absolute URL"},
		{"bad key", []string{"--key", "xyz"}, exitUsage, "no key"},
		{"unknown flag", []string{"--colour", "red"}, exitUsage, "--colour"},
		{"no token", []string{"--all"}, exitFailed, "--token"},
		{"wrong token", []string{"--all", "--token", "other"}, exitFailed, "--token"},
		{"done", []string{"--tag", "a,b", "--url", "http://a.test/?x=1,2", "--token", "s3cret"}, exitDone, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, stdout, stderr := command(t, append([]string{"purge", "--admin", node.admin}, c.flags...)...)
			if status != c.status || !strings.Contains(stderr, c.says) || c.status == exitDone && stderr != "" {
				t.Errorf("exit status %d: %s", status, stderr)
			}
			if (stdout != "") != (c.status == exitDone) {
				t.Errorf("printed %q", stdout)
			}
			if c.status == exitDone && (!strings.Contains(stdout, "epoch") || !strings.Contains(stdout, "local after 0 ms")) {
				t.Errorf("printed %q", stdout)
			}
		})
	}
	if status, _, stderr := command(t, "purge", "--all", "--admin", "127.0.0.1:1"); status != exitFailed || !strings.Contains(stderr, "no answer from") {
		t.Errorf("exit status %d: %s", status, stderr)
	}
}

func TestPurgePrintsWhatIsPending(t *testing.T) {
	matched := int64(128)
	var out strings.Builder
	c := &purgeCommand{}
	err := c.print(&out, &shield.PurgeReport{
		Epoch: 41, Matched: &matched, Regions: []shield.RegionReport{{Region: "fra", AppliedMs: 12}, {Region: "lhr", AppliedMs: 80}}, Pending: []string{"ams"},
	})
	want := "purged   128 stored objects\nepoch    41\nregions  fra after 12 ms\n         lhr after 80 ms\npending  ams\n"
	if err != nil || out.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, out.String(), want)
	}
}

func TestClientsCanAskForAnEpoch(t *testing.T) {
	origin, node := shop(t)
	versioned(origin, "/a", minute)
	node.fill("/a")
	epoch := node.purge("--tag", "unrelated").Epoch
	node.want(node.get("/a", fmt.Sprintf("Cache-Min-Epoch: %d", epoch)), 200, hitMemory, "version 1")
	got := node.get("/a", fmt.Sprintf("Cache-Min-Epoch: %d", epoch+1)) // nobody knows of such a purge
	if got.body != "version 2" || got.Header.Get("X-Cache") == "hit" {
		t.Errorf("%s, %q", got.use(), got.body)
	}
	if forwarded := origin.requests("/a")[1].Header["Cache-Min-Epoch"]; forwarded != nil {
		t.Errorf("the origin got %q", forwarded)
	}
	node.want(node.get("/a", "Cache-Min-Epoch: x"), 400, "bypass; oc=pass; pass",
		`{"error":{"code":"bad-epoch","message":"Cache-Min-Epoch is not the number of one epoch.","hint":"Send the epoch that a purge answered, once, in decimal digits and nothing else."}}`+"\n")
	got = node.get("/a", "X-Cache-Debug: 1")
	if shown := got.Header.Get("Weir-Epoch"); shown != fmt.Sprint(epoch) {
		t.Errorf("weir-epoch %q, want %d", shown, epoch)
	}
}

func TestRouteOfOtherRegionsPasses(t *testing.T) {
	c := newClock()
	origin := newScripted(t, c)
	origin.page("/a", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "a")
	})
	policy := writeFile(t, folder(t)+".json", `{"origins": {"o": {"url": "`+origin.URL+`"}}, "defaults": {"regions": ["fra"]}}`)
	node := serve(t, c, "--data", folder(t), "--policy", policy, "--region", "lhr")
	for range 2 {
		got := node.get("/a")
		node.want(got, 200, "bypass; oc=pass, sc=pass; pass", "a")
		if status := got.Header.Get("Cache-Status"); !strings.Contains(status, "detail=region") {
			t.Errorf("cache-status: %s", status)
		}
	}
	node = serve(t, c, "--data", folder(t), "--policy", policy, "--region", "fra")
	node.want(node.fill("/a"), 200, missStored, "a")
	c.advance(time.Second)
	node.want(node.get("/a"), 200, hitMemory, "a")
}
