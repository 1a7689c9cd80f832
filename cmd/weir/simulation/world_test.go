package simulation_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/api/peer"
	"weir/cmd/weir/simnet"
	"weir/policy"
)

// The shield's region, and where its peers find it.
const (
	center   = "fra"
	peerPort = 9000
	secret   = "known to all nodes of the world"
)

// plan is how a world is made.
type plan struct {
	seed     uint64
	regions  []simnet.Region
	jitter   time.Duration // of links between nodes
	sync     time.Duration // about what the disk of the purge log takes
	maxBlind time.Duration // 0: the default, 5 s
	faults   bool          // bodies of the origin break off now and then
	values   bool          // nodes have values of programs
	memory   int64         // of an edge for values; 0: 16 MiB
}

// world is an origin, a shield, edges, the links between them, and a judge. It lives in
// a synctest bubble.
type world struct {
	*trace
	t       *testing.T
	plan    plan
	faults  bool
	net     *simnet.Network
	origin  *origin
	journal *journal
	vault   *vault
	table   *policy.Table
	model   *model

	credentials *peer.Credentials

	mu     sync.Mutex // guards the nodes in force, which change when they are killed
	lives  int
	shield *hub // nil while it is dead
	store  *disk
	edges  []*edge

	closing    sync.Once
	violations atomic.Int32
	ending     sync.WaitGroup // nodes that were killed
}

const tablePolicy = `{
	"origins": {"o": {"url": "http://origin.test"}},
	"defaults": {"origin": "o"},
	"purge": {"maxBlindSeconds": %g}
}`

func newWorld(t *testing.T, p plan) *world {
	t.Helper()
	if p.maxBlind == 0 {
		p.maxBlind = 5 * time.Second
	}
	if p.memory == 0 {
		p.memory = 16 << 20
	}
	w := &world{
		trace: &trace{began: time.Now(), about: make(map[string][]remark)},
		t:     t, plan: p, faults: p.faults, net: simnet.New(p.seed), store: newDisk(),
		model: &model{maxBlind: p.maxBlind, slack: slack, rules: make(map[string]string)},
	}
	w.origin = &origin{
		w: w, random: rand.New(rand.NewPCG(p.seed, 1)), bumps: make(map[string][]time.Time),
		running: make(map[string][]*inquiry), broken: make(map[string][]broken), asked: make(map[string]int),
	}
	random := rand.New(rand.NewPCG(p.seed, 2))
	w.journal = &journal{random: rand.New(rand.NewPCG(p.seed, 5)), delay: w.syncTime(random), told: w.model.enters}
	w.vault = &vault{
		random: rand.New(rand.NewPCG(p.seed, 6)), delay: w.syncTime(rand.New(rand.NewPCG(p.seed, 7))),
		durable: make(map[string][]byte),
	}
	var err error
	if w.table, err = policy.Compile("policy.json", fmt.Appendf(nil, tablePolicy, p.maxBlind.Seconds())); err != nil {
		t.Fatal(err)
	}
	if w.credentials, err = peer.NewCredentials(secret); err != nil {
		t.Fatal(err)
	}
	for _, r := range p.regions {
		w.net.SetLink(r.Name, center, simnet.Link{Delay: r.RoundTrip / 2, Jitter: p.jitter})
	}
	w.startShield()
	for i := range p.regions {
		w.edges = append(w.edges, nil)
		w.startEdge(i)
	}
	t.Cleanup(w.close)
	return w
}

// syncTime is what a disk takes to sync: a time around what the plan says.
func (w *world) syncTime(random *rand.Rand) func() time.Duration {
	var mu sync.Mutex
	return func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return w.plan.sync/2 + time.Duration(random.Int64N(int64(w.plan.sync)+1))
	}
}

// slack is what a bound in time allows beyond maxBlindSeconds: one heartbeat, the
// farthest link, and the longest fill that may be under way.
const slack = 5 * time.Second

// edge returns the node of a region as it lives now.
func (w *world) edge(i int) *edge {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.edges[i]
}

// hub returns the shield as it lives now, or nil.
func (w *world) hub() *hub {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shield
}

// life numbers the processes.
func (w *world) life(host string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lives++
	return fmt.Sprintf("%s/%d", host, w.lives)
}

func (w *world) startShield() {
	h := newHub(w, w.life(center))
	w.mu.Lock()
	w.shield = h
	w.mu.Unlock()
	w.note("", "the shield starts as %s at epoch %d", h.name, h.purges.Current())
}

// killShield ends the shield as kill -9 does. What it had stored stays, but for the
// youngest; of its log everything that was synced.
func (w *world) killShield() {
	w.mu.Lock()
	h := w.shield
	w.shield = nil
	w.store = w.store.crash(w.origin.chance)
	w.mu.Unlock()
	if h == nil {
		return
	}
	w.journal.crash()
	w.vault.crash()
	w.net.Crash(center)
	w.net.Revive(center)
	w.note("", "%s is killed", h.name)
	w.ending.Go(h.end)
}

func (w *world) startEdge(i int) {
	e := newEdge(w, i, w.life(w.plan.regions[i].Name))
	w.mu.Lock()
	w.edges[i] = e
	w.mu.Unlock()
}

// restartEdge kills an edge as kill -9 does, and starts it anew.
func (w *world) restartEdge(i int) {
	e := w.edge(i)
	w.net.Crash(e.region)
	w.net.Revive(e.region)
	w.note("", "%s is killed", e.name)
	w.ending.Go(e.end)
	w.startEdge(i)
}

// close ends everything and waits for it.
func (w *world) close() { w.closing.Do(w.end) }

func (w *world) end() {
	w.mu.Lock()
	h, edges := w.shield, w.edges
	w.shield = nil
	w.mu.Unlock()
	for _, e := range edges {
		w.ending.Go(e.end)
	}
	if h != nil {
		w.ending.Go(h.end)
	}
	w.ending.Wait()
	time.Sleep(time.Minute) // servers linger over connections that they end
}

// violated reports a law that is broken, with what happened before.
func (w *world) violated(url, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	w.note(url, "VIOLATION: %s", what)
	switch n := w.violations.Add(1); {
	case n <= 3:
		w.t.Errorf("violation of %s\nof %s, seed %d:\n%s", what, url, w.plan.seed, w.tell(url))
	default:
		w.t.Errorf("violation of %s\nof %s", what, url)
	}
}

// together is told of two requests of one node for one URL at the origin.
func (w *world) together(url string, first, second *inquiry) {
	if second.began.Before(first.began) {
		first, second = second, first
	}
	overlaps := w.model.overlapsAtEdge
	if strings.HasPrefix(first.node, center) {
		overlaps = w.model.overlaps
	}
	if !overlaps(url, first.began, second.began) {
		w.violated(url, "law 1: %s asks the origin twice at once, since %v ago", second.node, time.Since(first.began))
	}
}

// settle waits until every edge has come as far as the shield.
func (w *world) settle(ctx context.Context) {
	for {
		h := w.hub()
		behind := 0
		for i := range w.plan.regions {
			if w.edge(i).purges.Current() < h.purges.Current() {
				behind++
			}
		}
		if behind == 0 {
			return
		}
		select {
		case <-ctx.Done():
			w.t.Errorf("%d edges do not catch up:\n%s", behind, w.tell(""))
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}
