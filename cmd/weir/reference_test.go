package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	perRound  = 40 // resources that go through all states together
	perState  = 5  // requests for each of them in a state
	whileHeld = 4  // and while its body is held back
)

// trial is a node between a reference and clients that ask anything.
type trial struct {
	t      *testing.T
	origin *reference
	node   *running
	clock  *clock
	judge  *judge
	client *http.Client
	round  int

	answered atomic.Int64
}

// Whatever is asked, in whatever state the cache is, the answer is the one that the
// origin would have given itself, byte for byte, but for what HTTP lets a cache do: see licence.
// WEIR_COMBINATIONS asks for more, WEIR_SEED for the same again.
func TestAnswersAreThoseOfTheOrigin(t *testing.T) {
	want, seed := 10_000, uint64(time.Now().UnixNano())
	if n, err := strconv.Atoi(os.Getenv("WEIR_COMBINATIONS")); err == nil {
		want = n
	}
	if n, err := strconv.ParseUint(os.Getenv("WEIR_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("WEIR_SEED=%d", seed)
	c := newClock()
	origin := newReference(c)
	server := httptest.NewServer(origin)
	t.Cleanup(server.Close)
	policy := writeFile(t, filepath.Join(t.TempDir(), "policy.json"),
		fmt.Sprintf(`{"origins": {"it": {"url": %q}}, "defaults": {"origin": "it"}, "routes": [%s]}`, server.URL, routes))
	node := serve(t, c, "--policy", policy, "--data", folder(t), "--l1-size", "1MiB")
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 2 * perRound}
	t.Cleanup(transport.CloseIdleConnections)
	tr := &trial{t: t, origin: origin, node: node, clock: c, client: &http.Client{Transport: transport}}
	tr.judge = &judge{fetch: tr.do, wholes: make(map[string][][]byte), strong: make(map[string][]byte), counts: make(map[string]int)}
	for tr.done() < want && !t.Failed() {
		tr.run(rand.New(rand.NewPCG(seed, uint64(tr.round))))
		tr.round++
	}
	t.Logf("%d requests%s", tr.done(), tr.judge)
	if n := tr.judge.counts[guessed]; n > tr.done()/50 {
		t.Errorf("%d answers could not be compared with anything", n)
	}
}

// routes are what some of the paths of resources begin with.
const routes = `{"name": "uncoded", "match": {"path": "/uncoded/*"}, "compress": false},
	{"name": "sliced", "match": {"path": "/sliced/*"}, "edge": {"sliceBytes": 65536}},
	{"name": "partly", "match": {"path": "/partly/*"}, "edge": {"storePartial": true}}`

var prefixes = []string{"/", "/uncoded/", "/sliced/", "/partly/"}

var states = []string{"cold", "filling", "fresh", "stale", "revalidated"}

func (tr *trial) done() (n int) {
	for _, state := range states {
		n += tr.judge.counts[state]
	}
	return n
}

// run takes new resources through every state.
func (tr *trial) run(rng *rand.Rand) {
	all := make([]*resource, perRound)
	for i := range all {
		all[i] = drawResource(rng, fmt.Sprintf("%s%d.%d", prefixes[i%len(prefixes)], tr.round, i), tr.clock.Now())
		if strings.HasPrefix(all[i].path, "/sliced/") && often(rng, 5) {
			all[i].size = rng.IntN(300 << 10)
		}
		tr.origin.add(all[i])
	}
	cold, held := all[:perRound/2], all[perRound/2:]
	tr.ask(rng, "cold", cold, 1)
	tr.whileFilling(rng, held)
	tr.fill(rng, all)
	tr.ask(rng, "fresh", all, perState)
	for range 2 {
		tr.clock.advance(2 * time.Minute)
		for _, r := range all {
			if often(rng, 4) {
				r.change(tr.clock.Now())
			}
		}
		tr.ask(rng, "stale", all, perState)
		tr.node.quiet()
		tr.clock.advance(time.Duration(rng.IntN(20)) * time.Second)
		tr.ask(rng, "revalidated", all, perState)
	}
}

// fill gets resources whole, but not all of those that may be stored in parts.
func (tr *trial) fill(rng *rand.Rand, all []*resource) {
	for _, r := range all {
		if strings.HasPrefix(r.path, "/partly/") && often(rng, 7) {
			continue
		}
		if _, err := tr.do(plain(r, pick(rng, r.codings...))); err != nil {
			tr.t.Errorf("%s: %v", r.path, err)
		}
	}
	tr.node.quiet()
}

// ask asks n drawn requests for each resource, one after the other, by four clients.
func (tr *trial) ask(rng *rand.Rand, state string, all []*resource, n int) {
	const atOnce = 4
	var clients sync.WaitGroup
	for i := range atOnce {
		own := rand.New(rand.NewPCG(rng.Uint64(), 0))
		clients.Go(func() {
			for range n {
				for k := i; k < len(all); k += atOnce {
					tr.one(state, all[k], drawRequest(own, all[k], tr.clock.Now()))
				}
			}
		})
	}
	clients.Wait()
}

// whileFilling asks for resources whose bodies the origin holds back in the middle.
func (tr *trial) whileFilling(rng *rand.Rand, all []*resource) {
	release, before := make(chan struct{}), tr.answered.Load()
	var clients sync.WaitGroup
	for _, r := range all {
		r.hold = release
		queries := []query{plain(r, pick(rng, r.codings...))}
		for range whileHeld {
			queries = append(queries, drawRequest(rng, r, tr.clock.Now()))
		}
		for _, q := range queries {
			clients.Go(func() { tr.one("filling", r, q) })
		}
	}
	launched := int64(len(all) * (1 + whileHeld))
	eventually(tr.t, "all of them are asked", func() bool {
		return tr.answered.Load()-before+int64(tr.node.stats().Door.Active) >= launched
	})
	close(release)
	clients.Wait()
	tr.node.quiet()
}

// one asks once and judges the answer.
func (tr *trial) one(state string, r *resource, q query) {
	got, err := tr.do(q)
	defer tr.answered.Add(1)
	if errors.Is(err, io.ErrUnexpectedEOF) && strings.HasPrefix(r.path, "/sliced/") && r.usable(tr.clock.Now())[0] > 1 {
		// A slice was still of the version before, the next one is not: RFC 9112 8 lets the client see that. It asks again.
		tr.judge.note(state + ": ended, and asked again")
		got, err = tr.do(q)
	}
	if err != nil {
		tr.t.Errorf("%s: %s\nof %s: %v", state, q, r, err)
		return
	}
	x := &exchange{state: state, query: q, on: r, got: got, usable: r.usable(tr.clock.Now()), now: tr.clock.Now()}
	if err := tr.judge.compare(x); err != nil {
		tr.t.Errorf("%s: %s\nof %s\nis %d %v\n%v", state, q, r, got.status, got.header, err)
	}
}

// do sends a request through the cache.
func (tr *trial) do(q query) (answered, error) {
	resp, err := tr.client.Do(q.http(tr.t, tr.node.base+q.path))
	if err != nil {
		return answered{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode >= 500 {
		err = errors.Join(err, fmt.Errorf("status %d: %s", resp.StatusCode, body))
	}
	return answered{resp.StatusCode, resp.Header, body}, err
}
