package simulation_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"weir/api"
	"weir/api/peer"
	"weir/keying"
	"weir/kv"
	"weir/l1"
	"weir/policy"
	"weir/shield"
)

// hub is one life of the shield's process.
type hub struct {
	w       *world
	name    string
	purges  *shield.Purges
	shield  *shield.Shield
	door    *api.PeerDoor
	server  *http.Server
	serving sync.WaitGroup
}

func newHub(w *world, name string) *hub {
	h := &hub{w: w, name: name}
	var err error
	if h.purges, err = shield.NewPurges(w.journal.open()); err != nil {
		w.t.Fatal(err)
	}
	h.shield = shield.New(w.store, h.purges, shield.Options{
		Transport: w.routes(name, 10*time.Millisecond), FlightWindow: 64 << 10, MemoryObject: 32 << 10, Report: w.reporter(name),
	})
	h.shield.SetTable(w.table)
	var seen []string
	for _, r := range w.plan.regions {
		seen = append(seen, r.Name)
	}
	options := api.PeerOptions{
		Tier: h.shield, Table: func() *policy.Table { return w.table }, Purges: h.purges, Purge: h.add, Seen: seen,
	}
	if w.plan.values {
		if options.Values, err = kv.NewKeeper(w.vault.open(), h.purges, kv.KeeperOptions{}); err != nil {
			w.t.Fatal(err)
		}
	}
	h.door = api.NewPeerDoor(options)
	listener, err := w.net.Host(center).Listen(peerPort)
	if err != nil {
		w.t.Fatal(err)
	}
	h.server = api.NewServer(h.door, nil)
	h.serving.Go(func() { _ = h.server.Serve(peer.Listener(listener, w.credentials)) })
	return h
}

// reporter notes what a node tells its operator.
func (w *world) reporter(name string) func(error) {
	return func(err error) { w.note("", "%s reports: %v", name, err) }
}

// routes are a node's ways to the origin.
func (w *world) routes(name string, delay time.Duration) func(*policy.Origin, policy.Upstream) http.RoundTripper {
	return func(*policy.Origin, policy.Upstream) http.RoundTripper { return route{w.origin, name, delay} }
}

// add puts what is ordered into the log.
func (h *hub) add(_ context.Context, o shield.PurgeOrder) (report shield.PurgeReport, err error) {
	rules, err := shield.Rules(h.w.table, o)
	if err != nil {
		return report, err
	}
	report.Epoch, err = h.purges.Add(rules...)
	return report, err
}

// purge is what the admin API does.
func (h *hub) purge(o shield.PurgeOrder) (shield.PurgeReport, error) {
	return h.door.Purge(context.Background(), o)
}

// end cuts everything off and waits for what has to end.
func (h *hub) end() {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = h.server.Close()
	_ = h.shield.Close(now)
	h.door.Close()
	h.serving.Wait()
}

// edge is one life of an edge's process.
type edge struct {
	w      *world
	region string
	name   string
	purges *shield.Purges
	client *peer.Client
	shield *shield.Shield
	memory *l1.Tier
	door   http.Handler
	values *kv.Edge

	cancel  context.CancelFunc
	running sync.WaitGroup
}

func newEdge(w *world, i int, name string) *edge {
	e := &edge{w: w, region: w.plan.regions[i].Name, name: name, purges: shield.NewFollower()}
	host := w.net.Host(e.region)
	var err error
	e.client, err = peer.NewClient(peer.ClientOptions{
		URLs: []string{fmt.Sprintf("https://%s:%d", center, peerPort)}, Secret: secret, Region: e.region, Node: name, Purges: e.purges,
		MaxBlind: func() time.Duration { return w.table.Purge.MaxBlind }, Partition: func() policy.OnPartition { return w.table.Purge.OnPartition },
		Pushed: func(p kv.Pushed) { e.values.Take(p) },
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return host.Dial(ctx, network, addr)
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	listener := new(memoryListener)
	e.shield = shield.New(nil, e.purges, shield.Options{
		Parent: e.client, Listener: listener, Transport: w.routes(name, 40*time.Millisecond), MemoryObject: 32 << 10,
		Report: w.reporter(name),
	})
	e.shield.SetTable(w.table)
	if e.memory, err = l1.New(e.shield, e.client, l1.Options{}); err != nil {
		w.t.Fatal(err)
	}
	listener.Tier = e.memory
	e.door = api.NewDoor(e.memory, func() *policy.Table { return w.table }, api.DoorOptions{Region: e.region})
	e.values = kv.NewEdge(e.client.KV(), e.purges, l1.NewValues(w.plan.memory), kv.EdgeOptions{Sight: e.sight, Heard: e.client.Heard})
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	e.running.Go(func() { e.client.Run(ctx) })
	return e
}

// sight is what the edge's values may be trusted with.
func (e *edge) sight(ctx context.Context, now time.Time) (since time.Time) {
	if sight := e.client.Sight(ctx, now, 0); sight.Blind {
		since = sight.Since
	}
	return since
}

// memoryListener is the memory tier for a shield that is made first.
type memoryListener struct{ *l1.Tier }

// end cuts everything off and waits for what has to end.
func (e *edge) end() {
	e.cancel()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	e.client.Close()
	_ = e.shield.Close(now)
	e.memory.Close()
	e.running.Wait()
}

// key is the key of a URL, as the admin API takes it.
func (w *world) key(url string) string {
	host, path := strings.TrimPrefix(strings.TrimSuffix(url, pathOf(url)), "http://"), pathOf(url)
	table, _ := w.table.Match(&policy.MatchRequest{Method: http.MethodGet, Host: host, Path: path})
	keyed, err := table.Key.Build(&keying.Request{Method: http.MethodGet, Scheme: "http", Host: host, Target: path, Header: http.Header{}})
	if err != nil {
		w.t.Fatal(err)
	}
	d := keyed.Key.Digest()
	return hex.EncodeToString(d[:])
}
