package simulation_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/cmd/weir/simnet"
	"weir/shield"
)

// operations is how many the checker does unless it is told otherwise.
const operations = 20_000

// The seeds that are checked unless one is given.
var seeds = []uint64{11}

func environment(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// Random operations of every kind, while links and nodes fail: no law is ever broken.
func TestChecker(t *testing.T) {
	chosen := seeds
	if seed := environment(t, "WEIR_SEED", 0); seed != 0 {
		chosen = []uint64{seed}
	}
	count := int(environment(t, "WEIR_OPERATIONS", operations/slower))
	for _, seed := range chosen {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { check(t, seed, count) })
		})
	}
}

// driver does the operations.
type driver struct {
	*world
	random  *rand.Rand // of the one goroutine that draws
	urls    []string
	running sync.WaitGroup
	counts  map[string]int
	mu      sync.Mutex // guards tally
	tally   map[string]int
	silent  []time.Time // since when each edge cannot reach the shield; zero: it can
	doomed  bool        // the shield is killed as soon as the next purge is acknowledged
}

func check(t *testing.T, seed uint64, count int) {
	var regions []simnet.Region
	for i, r := range simnet.Regions() {
		if i%6 == 0 {
			regions = append(regions, r)
		}
	}
	d := &driver{
		world: newWorld(t, plan{
			seed: seed, regions: regions, jitter: 15 * time.Millisecond, sync: 6 * time.Millisecond,
			maxBlind: 2 * time.Second, faults: true,
		}),
		random: rand.New(rand.NewPCG(seed, 3)), counts: map[string]int{}, tally: map[string]int{},
		silent: make([]time.Time, len(regions)),
	}
	for letter := range kinds {
		for n := range 4 {
			for _, host := range []string{"a.test", "b.test"} {
				d.urls = append(d.urls, fmt.Sprintf("http://%s/%c/%d", host, letter, n))
			}
		}
	}
	slices.Sort(d.urls)
	for _, url := range d.urls {
		rules, err := shield.URLRules(d.table, url)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			d.model.rules[string(r.Encode())] = url
		}
	}
	t.Logf("WEIR_SEED=%d WEIR_OPERATIONS=%d", seed, count)
	for n := 0; n < count && d.violations.Load() < 3; n++ {
		d.step()
	}
	d.calm()
	t.Logf("%v of virtual time; %v; answers %v", time.Since(d.began).Round(time.Second), d.counts, d.tally)
	d.close()
}

// step does one operation, and waits for a moment.
func (d *driver) step() {
	time.Sleep(time.Duration(d.random.IntN(20)) * time.Millisecond)
	name := "get"
	switch n := d.random.IntN(1000); {
	case n < 760:
		d.get()
	case n < 880:
		name = "bump"
		url := d.url()
		d.note(url, "version %d", d.origin.bump(url))
	case n < 930:
		name = d.purge()
	case n < 960:
		name = "post"
		d.post()
	case n < 975:
		name = "cut"
		d.cut()
	case n < 985:
		name = d.partition()
	case n < 988:
		name = "kill edge"
		d.restartEdge(d.random.IntN(len(d.edges)))
	case n < 989:
		name = "kill shield"
		d.kill(d.random.IntN(3) == 0)
	case n < 991:
		name = "doom"
		d.doomed = true
	default:
		name = "pause"
		time.Sleep(time.Duration(d.random.IntN(400)) * time.Millisecond)
	}
	d.counts[name]++
}

func (d *driver) url() string {
	if d.random.IntN(3) == 0 {
		return d.urls[d.random.IntN(len(d.urls))]
	}
	return d.urls[d.random.IntN(len(d.urls)/8)*8] // some are asked for more than others
}

func (d *driver) get() {
	a := ask{url: d.url(), user: "user" + strconv.Itoa(d.random.IntN(5))}
	letter := pathOf(a.url)[1]
	a.authorized = letter == 'a' && d.random.IntN(2) == 0 || d.random.IntN(40) == 0
	if d.random.IntN(15) == 0 {
		a.first = d.random.IntN(200)
		a.last = a.first + 1 + d.random.IntN(500)
	}
	if d.random.IntN(20) == 0 {
		a.min = d.model.recent(d.random.IntN(3))
	}
	if d.random.IntN(25) == 0 {
		a.patience = time.Duration(1+d.random.IntN(400)) * time.Millisecond
	}
	i := d.random.IntN(len(d.edges))
	d.running.Go(func() { d.ask(i, a, d.since(i)) })
}

func (d *driver) since(i int) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.silent[i]
}

// ask asks an edge, and has the model judge what comes.
func (d *driver) ask(i int, a ask, silent time.Time) {
	e := d.edge(i)
	s := sight{
		url: a.url, region: e.region, node: e.name, user: a.user, began: time.Now(), current: e.purges.Current(), min: a.min,
		silent: silent, then: d.origin.versionAt(a.url, time.Now().Add(-d.model.maxBlind-d.model.slack)),
	}
	got := do(context.Background(), e.door, a)
	took := time.Since(s.began)
	d.note(a.url, "%s: asked %v ago for user %s, range %d-%d, min %d, at epoch %d: %d %s %s %s%s", e.name, took, a.user, a.first, a.last, a.min, s.current,
		got.status, got.header.Get("Etag"), got.header.Get("X-Cache-Tier"), got.header.Get("Cache-Status"), map[bool]string{true: ", broken"}[got.broken])
	if took > 2*time.Minute {
		d.violated(a.url, "patience: %s took %v", e.name, took)
	}
	kind := strconv.Itoa(got.status)
	switch {
	case got.broken || got.status == 0:
		kind = "broken"
	case got.status == http.StatusOK, got.status == http.StatusPartialContent:
		kind += " " + got.header.Get("X-Cache")
		var wrong string
		if s.version, s.owner, wrong = got.read(a); wrong == "" {
			s.hit = strings.HasPrefix(got.header.Get("X-Cache-Tier"), "oc=hit")
			wrong = d.model.judge(s)
		}
		if d.edge(i) != e {
			wrong = "" // the process was killed: no client has got this
		}
		if wrong != "" {
			d.violated(a.url, "%s, at %s after %v: %v", wrong, e.name, took, got.header)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tally[kind]++
}

func (d *driver) post() {
	i, url := d.random.IntN(len(d.edges)), d.url()
	d.running.Go(func() {
		e := d.edge(i)
		w := &write{url: url, node: e.name, began: time.Now()}
		d.model.write(w)
		got := do(context.Background(), e.door, ask{method: http.MethodPost, url: url, user: "poster"})
		version := 0
		if got.status == http.StatusNoContent && !got.broken {
			version, _ = strconv.Atoi(got.header.Get("X-Version"))
		}
		through := strings.HasPrefix(got.header.Get("X-Asker"), center)
		if d.edge(i) != e {
			version = 0 // nobody got the answer of a node that was killed meanwhile
		}
		d.model.written(w, version, through)
		d.note(url, "%s: POST %d, version %d, through the shield: %v", e.name, got.status, version, through)
	})
}

// purge orders a purge of a random kind, mostly after something changed.
func (d *driver) purge() string {
	var o order
	var spec shield.PurgeOrder
	var kind string
	url := d.url()
	host := strings.TrimPrefix(strings.TrimSuffix(url, pathOf(url)), "http://")
	switch d.random.IntN(12) {
	case 0:
		kind, spec.All = "purge all", true
		o.names = func(string) bool { return true }
	case 1, 2:
		kind, spec.Hosts = "purge host", []string{host}
		o.names = func(u string) bool { return strings.HasPrefix(u, "http://"+host+"/") }
	case 3, 4:
		prefix := url[:len(url)-1]
		kind, spec.Prefixes = "purge prefix", []string{prefix}
		o.names = func(u string) bool { return strings.HasPrefix(u, prefix) }
	case 5, 6:
		kind, spec.Keys = "purge key", []string{d.key(url)}
		o.names = func(u string) bool { return u == url }
	case 7, 8, 9:
		tag := strings.Split(tagsOf(url), ",")[d.random.IntN(2)]
		kind, spec.Tags = "purge tag", []string{tag}
		o.names = func(u string) bool { return slices.Contains(strings.Split(tagsOf(u), ","), tag) }
	default:
		kind, spec.URLs = "purge url", []string{url}
		o.names = func(u string) bool { return u == url }
	}
	if spec.Soft = d.random.IntN(5) == 0; spec.Soft {
		kind += " soft"
	}
	o.soft, o.text, o.floor = spec.Soft, kind+" of "+url, map[string]int{}
	for _, u := range d.urls {
		if o.names(u) && d.random.IntN(3) > 0 {
			d.origin.bump(u)
		}
		o.floor[u] = d.origin.version(u)
	}
	doomed := d.doomed
	d.doomed = false
	d.running.Go(func() { d.order(&o, spec, doomed) })
	return kind
}

// order has the shield purge.
func (d *driver) order(o *order, spec shield.PurgeOrder, doomed bool) {
	o.at = time.Now()
	d.model.order(o)
	h := d.hub()
	if h == nil {
		d.model.failed(o)
		return
	}
	d.note("", "%s is ordered", o.text)
	report, err := h.purge(spec)
	if err != nil || d.hub() != h {
		d.note("", "%s failed: %v", o.text, err)
		d.model.failed(o)
		return
	}
	named := make([]string, len(report.Regions))
	for i, r := range report.Regions {
		named[i] = r.Region
	}
	d.model.acknowledge(o, report.Epoch, named)
	d.note("", "%s is acknowledged at epoch %d by %s, names %v, pending %v", o.text, report.Epoch, h.name, named, report.Pending)
	if doomed {
		d.kill(false)
	}
}

// kill kills the shield. It starts again at once or after a while.
func (d *driver) kill(long bool) {
	if d.hub() == nil {
		return
	}
	d.killShield()
	away := 50 * time.Millisecond
	if long {
		away = 8 * time.Second
	}
	d.running.Go(func() {
		time.Sleep(away)
		d.startShield()
	})
}

// cut resets connections of a link: one of them, or all.
func (d *driver) cut() {
	i := d.random.IntN(len(d.edges))
	var pick func() bool
	if d.random.IntN(3) > 0 {
		chosen := d.random.IntN(4)
		pick = func() bool { chosen--; return chosen == -1 }
	}
	region := d.plan.regions[i].Name
	d.note("", "%d connections of %s are cut", d.net.Cut(region, center, pick), region)
}

// partition makes a link silent, or heals one that is.
func (d *driver) partition() string {
	i := d.random.IntN(len(d.edges))
	region := d.plan.regions[i].Name
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.silent[i].IsZero() {
		d.silent[i] = time.Now()
		d.net.Silence(region, center)
		d.note("", "%s cannot reach the shield", region)
		return "partition"
	}
	d.silent[i] = time.Time{}
	d.net.Heal(region, center, func() bool { return d.random.IntN(2) == 0 })
	d.note("", "%s can reach the shield again", region)
	return "heal"
}

// calm heals everything, and looks at every page everywhere once more.
func (d *driver) calm() {
	d.running.Wait()
	d.mu.Lock()
	for i, r := range d.plan.regions {
		d.silent[i] = time.Time{}
		d.net.Heal(r.Name, center, nil)
	}
	d.mu.Unlock()
	d.note("", "everything is healed")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	d.settle(ctx)
	for i := range d.plan.regions {
		for _, url := range d.urls {
			d.running.Go(func() { d.ask(i, ask{url: url, user: "last"}, time.Time{}) })
		}
		d.running.Wait()
	}
}
