package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// cluster is a shield with edges in three regions, in this process but over real connections.
type cluster struct {
	t      *testing.T
	clock  *clock
	origin *scripted
	shield *running
	data   string
	policy string
	edges  map[string]*running
}

const testSecret = "0123456789abcdef0123456789abcdef"

var regions = []string{"fra", "lhr", "nrt"}

// newCluster starts one. settings are members of the policy besides origins.
func newCluster(t *testing.T, settings string) *cluster {
	t.Helper()
	c := &cluster{t: t, clock: newClock(), data: folder(t), edges: map[string]*running{}}
	c.origin = newScripted(t, c.clock)
	c.policy = writeFile(t, folder(t)+".json", `{"origins": {"o": {"url": "`+c.origin.URL+`"}}`+settings+`}`)
	c.startShield("127.0.0.1:0")
	for _, region := range regions {
		c.edges[region] = serve(t, c.clock, "--role", "edge", "--region", region, "--shield", c.shield.peers, "--policy", c.policy, "--peer-secret", testSecret)
	}
	return c
}

func (c *cluster) startShield(addr string) {
	c.t.Helper()
	c.shield = serve(c.t, c.clock, "--role", "shield", "--peer-listen", addr, "--data", c.data, "--policy", c.policy, "--peer-secret", testSecret)
}

// fill gets a page at an edge that is to be stored, and waits until it is.
func (c *cluster) fill(region, path string, fields ...string) *reply {
	c.t.Helper()
	got := c.edges[region].fill(path, fields...)
	c.shield.quiet()
	return got
}

func TestTiersOfACluster(t *testing.T) {
	c := newCluster(t, "")
	versioned(c.origin, "/a", minute)
	fra, lhr := c.edges["fra"], c.edges["lhr"]
	fra.want(c.fill("fra", "/a"), 200, "miss; oc=cached, sc=cached; ok", "version 1")
	fra.want(fra.get("/a"), 200, hitMemory, "version 1")
	lhr.want(c.fill("lhr", "/a"), 200, "hit; oc=cached, sc=hit; ok", "version 1")
	got := lhr.get("/a")
	lhr.want(got, 200, hitMemory, "version 1")
	if status := got.Header.Get("Cache-Status"); !strings.HasPrefix(status, "weir-lhr; hit") {
		t.Errorf("cache-status: %s", status)
	}
	asked(t, c.origin, "/a", 1)
}

func TestPurgesOfACluster(t *testing.T) {
	c := newCluster(t, `, "routes": [{"name": "p", "match": {"path": "/p/:id"}, "tags": ["product:{id}"]}]`)
	versioned(c.origin, "/p/7", minute, "Cache-Tag: red")
	version := 0
	everywhere := func(want string) {
		t.Helper()
		for _, region := range regions {
			if got := c.fill(region, "/p/7"); got.body != want {
				t.Errorf("%s: %s, %q, want %q", region, got.use(), got.body, want)
			}
			if got := c.edges[region].get("/p/7"); got.body != want || got.Header.Get("X-Cache") != "hit" {
				t.Errorf("%s, again: %s, %q, want %q", region, got.use(), got.body, want)
			}
		}
	}
	for i, flags := range [][]string{
		{"--tag", "red"},
		{"--tag", "product:7"},
		{"--url", "http://" + testHost + "/p/7"},
		{"--prefix", "http://" + testHost + "/p/"},
		{"--host", testHost},
		{"--all"},
	} {
		version++
		everywhere(fmt.Sprintf("version %d", version))
		from := c.shield
		if i%2 == 0 {
			from = c.edges["nrt"]
		}
		report := from.purge(flags...)
		if len(report.Regions) != len(regions) || len(report.Pending) != 0 {
			t.Errorf("%v: %+v", flags, report)
		}
	}
	version++
	everywhere(fmt.Sprintf("version %d", version))
	c.edges["lhr"].purge("--tag", "unrelated")
	everywhere(fmt.Sprintf("version %d", version))
	for _, region := range regions {
		if got, want := c.edges[region].stats().Epoch, c.shield.stats().Epoch; got != want {
			t.Errorf("%s: epoch %d, the shield has %d", region, got, want)
		}
	}
}

// A region that is away is pending, which is no failure; what it missed counts when it is back.
func TestARegionThatIsAway(t *testing.T) {
	c := newCluster(t, "")
	versioned(c.origin, "/a", minute)
	for _, region := range regions {
		c.fill(region, "/a")
	}
	c.edges["nrt"].stop()
	eventually(t, "gone", func() bool {
		for _, r := range c.shield.stats().Regions {
			if r.Region == "nrt" {
				return !r.Connected
			}
		}
		return false
	})
	status, stdout, stderr := command(t, "purge", "--all", "--admin", c.edges["fra"].admin)
	if status != exitDone || !strings.Contains(stderr, "pending in nrt") || !strings.Contains(stdout, "pending  nrt") || !strings.Contains(stdout, "lhr after") {
		t.Errorf("exit status %d: %s%s", status, stdout, stderr)
	}
	status, stdout, stderr = command(t, "stats", "--admin", c.shield.admin)
	if status != exitDone || !strings.Contains(stdout, "nrt: not connected since") || !strings.Contains(stdout, "all: 1") {
		t.Errorf("exit status %d: %s%s", status, stdout, stderr)
	}
	status, stdout, stderr = command(t, "stats", "--admin", c.edges["fra"].admin)
	if status != exitDone || !strings.Contains(stdout, ": followed, heard") {
		t.Errorf("exit status %d: %s%s", status, stdout, stderr)
	}
	c.shield.stop()
	if status, _, stderr := command(t, "verify", "--data", c.data); status != exitDone {
		t.Errorf("the data folder of a shield: exit status %d: %s", status, stderr)
	}
}

func TestSoftPurgeUnderManyClients(t *testing.T) {
	c := newCluster(t, "")
	release, held := make(chan struct{}), make(chan struct{}, 1)
	c.origin.page("/a", func(w http.ResponseWriter, _ *http.Request) {
		version := len(c.origin.requests("/a"))
		if version > 1 {
			held <- struct{}{}
			<-release
		}
		w.Header().Set("Cache-Control", "max-age=60, stale-while-revalidate=600")
		_, _ = fmt.Fprintf(w, "version %d", version)
	})
	c.fill("fra", "/a")
	fra := c.edges["fra"]
	fra.purge("--soft", "--url", "http://"+testHost+"/a")
	var all sync.WaitGroup
	for range 200 { // all are answered while the refresh hangs
		all.Go(func() {
			if got := fra.get("/a"); got.body != "version 1" || got.Header.Get("X-Cache") != "stale" {
				t.Errorf("%s, %q", got.use(), got.body)
			}
		})
	}
	all.Wait()
	<-held
	close(release)
	eventually(t, "refreshed", func() bool { return fra.get("/a").body == "version 2" })
	asked(t, c.origin, "/a", 2)
}

func TestMinEpochInACluster(t *testing.T) {
	c := newCluster(t, "")
	versioned(c.origin, "/a", minute)
	c.fill("fra", "/a")
	fra := c.edges["fra"]
	epoch := c.shield.purge("--url", "http://"+testHost+"/a").Epoch
	got := fra.get("/a", fmt.Sprintf("Cache-Min-Epoch: %d", epoch))
	if got.body != "version 2" {
		t.Errorf("%s, %q", got.use(), got.body)
	}
	got = fra.get("/a", fmt.Sprintf("Cache-Min-Epoch: %d", epoch+1000))
	if got.body == "version 2" || got.Header.Get("X-Cache") == "hit" {
		t.Errorf("of a purge that nobody knows: %s, %q", got.use(), got.body)
	}
}

func TestPinnedRouteOfACluster(t *testing.T) {
	c := newCluster(t, `, "routes": [{"name": "pinned", "match": {"path": "/a"}, "regions": ["fra"]}]`)
	versioned(c.origin, "/a", minute)
	c.edges["fra"].want(c.fill("fra", "/a"), 200, "miss; oc=cached, sc=cached; ok", "version 1")
	c.edges["fra"].want(c.edges["fra"].get("/a"), 200, hitMemory, "version 1")
	got := c.edges["lhr"].get("/a")
	c.edges["lhr"].want(got, 200, "bypass; oc=pass, sc=pass; pass", "version 2")
	if status := got.Header.Get("Cache-Status"); !strings.Contains(status, "detail=region") {
		t.Errorf("cache-status: %s", status)
	}
}

func TestReadingWhatWasWrittenAtOneEdge(t *testing.T) {
	c := newCluster(t, "")
	versioned(c.origin, "/a", minute)
	c.fill("fra", "/a")
	c.fill("lhr", "/a")
	c.edges["fra"].do(http.MethodPost, "/a") // version 2 is its answer
	if got := c.edges["fra"].get("/a"); got.body != "version 3" {
		t.Errorf("%s, %q", got.use(), got.body)
	}
	eventually(t, "written everywhere", func() bool { return c.edges["lhr"].get("/a").body == "version 3" })
}

func TestAShieldThatIsStopped(t *testing.T) {
	c := newCluster(t, `, "purge": {"maxBlindSeconds": 3600}`)
	versioned(c.origin, "/held", "Cache-Control: max-age=3600")
	c.fill("fra", "/held")
	fra, addr := c.edges["fra"], strings.TrimPrefix(c.shield.peers, "https://")
	if status := c.shield.stop(); status != exitDone {
		t.Fatalf("exit status %d:\n%s", status, c.shield.logs)
	}
	fra.want(fra.get("/held"), 200, hitMemory, "version 1")

	began, release := make(chan struct{}, 100), make(chan struct{})
	c.origin.page("/cold", func(w http.ResponseWriter, _ *http.Request) {
		began <- struct{}{}
		<-release
		w.Header().Set("Cache-Control", "max-age=3600")
		_, _ = io.WriteString(w, "cold")
	})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if got := fra.get("/cold"); got.StatusCode != 200 || got.body != "cold" || got.Header.Get("X-Cache-Tier") != "oc=cached, sc=pass" {
				t.Errorf("status %d, %s, %q", got.StatusCode, got.use(), got.body)
			}
		})
	}
	<-began
	eventually(t, "all wait for one", func() bool { return fra.stats().Shield.Waiters >= 20 || fra.stats().Door.Active >= 20 })
	close(release)
	all.Wait()
	asked(t, c.origin, "/cold", 1)
	if status, _, stderr := command(t, "purge", "--all", "--admin", fra.admin); status != exitFailed || !strings.Contains(stderr, "shield does not answer") {
		t.Errorf("a purge without the shield: exit status %d: %s", status, stderr)
	}

	c.startShield(addr)
	eventually(t, "connected again", func() bool { s := fra.stats(); return s.Parent != nil && s.Parent.Stream })
	versioned(c.origin, "/new", minute)
	fra.want(c.fill("fra", "/new"), 200, "miss; oc=cached, sc=cached; ok", "version 1")
	report := fra.purge("--all")
	if len(report.Regions)+len(report.Pending) != len(regions) {
		t.Errorf("regions are forgotten: %+v", report)
	}
	if got := fra.get("/held"); got.body != "version 2" {
		t.Errorf("purged: %s, %q", got.use(), got.body)
	}
}

func TestAnEdgeWithoutFallback(t *testing.T) {
	c := newCluster(t, `, "shield": {"fallback": "none"}, "purge": {"maxBlindSeconds": 3600}`)
	versioned(c.origin, "/a", "Cache-Control: max-age=3600")
	c.fill("fra", "/a")
	c.shield.stop()
	fra := c.edges["fra"]
	fra.want(fra.get("/a"), 200, hitMemory, "version 1")
	got := fra.get("/other")
	if got.StatusCode != http.StatusServiceUnavailable || !strings.Contains(got.body, "shield-unreachable") {
		t.Errorf("status %d, %q", got.StatusCode, got.body)
	}
	asked(t, c.origin, "/other", 0)
}

func TestABlindEdge(t *testing.T) {
	for partition, want := range map[string]string{"revalidate": "version 2", "serve": "version 1"} {
		t.Run(partition, func(t *testing.T) {
			c := newCluster(t, `, "purge": {"maxBlindSeconds": 0, "onPartition": "`+partition+`"}`)
			versioned(c.origin, "/a", "Cache-Control: max-age=3600")
			c.fill("fra", "/a")
			c.clock.advance(time.Minute)
			fra := c.edges["fra"]
			fra.want(fra.get("/a"), 200, hitMemory, "version 1") // the shield was asked
			c.shield.stop()
			c.clock.advance(time.Minute)
			got := fra.get("/a")
			if got.body != want {
				t.Errorf("%s, %q, want %q", got.use(), got.body, want)
			}
			if status := got.Header.Get("Cache-Status"); partition == "serve" && !strings.Contains(status, "detail=partition") {
				t.Errorf("cache-status: %s", status)
			}
		})
	}
}
