package weir_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir"
	"weir/api"
	"weir/kv"
	"weir/l2"
	"weir/shield"
)

// valuesNode is a node that keeps values, on a port that stays the same when it is started again.
type valuesNode struct {
	t      *testing.T
	folder string
	addr   string
	purges *shield.Purges
	stop   func()
	still  sync.RWMutex // while it is locked nobody hears of changes
}

// changesOf is where a node writes the stream of its changes to.
type changesOf struct {
	http.ResponseWriter
	node *valuesNode
}

func (w changesOf) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w changesOf) Write(p []byte) (int, error) {
	w.node.still.RLock()
	defer w.node.still.RUnlock()
	return w.ResponseWriter.Write(p)
}

const nodeToken = "a token of sixteen bytes or more"

func startNode(t *testing.T) *valuesNode {
	t.Helper()
	n := &valuesNode{t: t, folder: t.TempDir(), addr: "127.0.0.1:0"}
	n.start()
	t.Cleanup(func() { n.stop() })
	return n
}

func (n *valuesNode) start() {
	n.t.Helper()
	values, err := l2.OpenValues(n.folder, l2.ValuesOptions{})
	must(n.t, err)
	rules, err := l2.OpenLog(n.folder, nil)
	must(n.t, err)
	purges, err := shield.NewPurges(rules)
	must(n.t, err)
	n.purges = purges
	keeper, err := kv.NewKeeper(values, purges, kv.KeeperOptions{})
	must(n.t, err)
	changes := api.NewChanges(api.ChangesOptions{Purges: func() *shield.Purges { return purges }})
	handler := api.NewKV(api.KVOptions{
		Token: nodeToken, Changes: changes,
		Values: api.NewValues(api.ValuesOptions{Store: func() kv.Store { return keeper }, Epoch: purges.Current}),
		Purge: func(_ context.Context, o shield.PurgeOrder) (report shield.PurgeReport, err error) {
			for _, tag := range o.Tags {
				if report.Epoch, err = purges.Add(shield.TagRule(tag)); err != nil {
					return report, err
				}
			}
			return report, nil
		},
	})
	listener, err := new(net.ListenConfig).Listen(n.t.Context(), "tcp", n.addr)
	must(n.t, err)
	n.addr = listener.Addr().String()
	gate := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/changes" {
			w = changesOf{w, n}
		}
		handler.ServeHTTP(w, r)
	})
	server := &http.Server{Handler: gate, ReadHeaderTimeout: 5 * time.Second}
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(listener) })
	n.stop = sync.OnceFunc(func() {
		changes.Close()
		must(n.t, server.Close())
		running.Wait()
		must(n.t, values.Close())
		must(n.t, rules.Close())
	})
}

func (n *valuesNode) open(o weir.Options) *weir.Cache {
	n.t.Helper()
	o.Node, o.Token = "http://"+n.addr, nodeToken
	return open(n.t, o)
}

// eventually waits for something that comes over the network.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not in 20 s", what)
		}
	}
}

func getString(t *testing.T, c *weir.Cache, key string) string {
	t.Helper()
	v, err := weir.Get[string](t.Context(), c, key)
	if err != nil && !errors.Is(err, weir.ErrMissing) {
		t.Fatal(err)
	}
	return v
}

func TestProgramsShareANode(t *testing.T) {
	n := startNode(t)
	a, b := n.open(weir.Options{}), n.open(weir.Options{})
	ctx := t.Context()

	must(t, weir.Set(ctx, a, "k", "one", weir.SetOptions{Tags: []string{"t", "ü"}}))
	eventually(t, "a value of another program", func() bool { return getString(t, b, "k") == "one" })
	must(t, weir.Set(ctx, a, "k", "two", weir.SetOptions{Tags: []string{"t", "ü"}}))
	if got := getString(t, a, "k"); got != "two" {
		t.Errorf("its own write: %q", got)
	}
	eventually(t, "the next value", func() bool { return getString(t, b, "k") == "two" })
	must(t, b.Purge(ctx, "ü"))
	if got := getString(t, b, "k"); got != "" {
		t.Errorf("its own purge: %q", got)
	}
	eventually(t, "the purge", func() bool { return getString(t, a, "k") == "" })

	var all sync.WaitGroup
	for _, c := range []*weir.Cache{a, b} {
		all.Go(func() {
			for range 50 {
				if _, err := c.Incr(ctx, "n", 2, time.Hour); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	count, err := a.Incr(ctx, "n", 0, 0)
	if err != nil || count.Number != 200 || time.Until(count.Until) > time.Hour || time.Until(count.Until) < 30*time.Minute {
		t.Errorf("%+v, %v", count, err)
	}
}

func TestSWRAtANode(t *testing.T) {
	n := startNode(t)
	a, b := n.open(weir.Options{}), n.open(weir.Options{})
	s := new(source)
	eventually(t, "a value that is kept", func() bool { // the purge log has to be known first
		swr(t, a, s, weir.SWROptions{Tags: []string{"users"}})
		there, err := b.Has(t.Context(), "user:1")
		return there && err == nil
	})
	other := new(source)
	if u := swr(t, b, other, weir.SWROptions{}); u.Name != "ann" || other.calls.Load() != 0 {
		t.Errorf("the other program fetches what is there: %+v", u)
	}
	must(t, b.Purge(t.Context(), "users"))
	before := s.calls.Load()
	eventually(t, "the purge", func() bool {
		swr(t, a, s, weir.SWROptions{})
		return s.calls.Load() > before
	})
}

func TestKeysAtANode(t *testing.T) {
	c := startNode(t).open(weir.Options{})
	for _, key := range []string{
		"a/b/c", "/", "//", ".", "..", "../../v1/purge", "a/../b", "%2F", "%", "a b", "a+b", "a?b=c#d", "x/incr", "/incr", "ünï", "\x00\n", strings.Repeat("k", 1024),
	} {
		must(t, weir.Set(t.Context(), c, key, key, weir.SetOptions{}))
		if got := getString(t, c, key); got != key {
			t.Errorf("%q: %q", key, got)
		}
		if n, err := c.Incr(t.Context(), "n"+key[:min(len(key), 1000)], 7, 0); n.Number != 7 || err != nil {
			t.Errorf("%q: %v, %v", key, n, err)
		}
		must(t, c.Delete(t.Context(), key))
		if there, err := c.Has(t.Context(), key); there || err != nil {
			t.Errorf("%q is there after it was deleted: %v", key, err)
		}
	}
}

func TestLifetimesAtANode(t *testing.T) {
	n := startNode(t)
	a, b := n.open(weir.Options{}), n.open(weir.Options{})
	ctx := t.Context()
	must(t, weir.Set(ctx, a, "short", "v", weir.SetOptions{TTL: time.Millisecond}))
	eventually(t, "the end of a value", func() bool { return getString(t, b, "short") == "" })
	must(t, weir.Set(ctx, a, "stale", "v", weir.SetOptions{TTL: time.Nanosecond, Stale: time.Hour}))
	refreshed := false
	fetch := func(context.Context) (string, error) { return "new", nil }
	eventually(t, "a refresh", func() bool {
		v, err := weir.SWR(ctx, b, "stale", fetch, weir.SWROptions{})
		must(t, err)
		refreshed = refreshed || v == "v"
		return v == "new"
	})
	if !refreshed {
		t.Error("the stale value was never served")
	}
}

func TestRefusalsOfANode(t *testing.T) {
	n := startNode(t)
	c := n.open(weir.Options{})
	ctx := t.Context()
	must(t, weir.Set(ctx, c, "k", "word", weir.SetOptions{IfAbsent: true}))
	if err := weir.Set(ctx, c, "k", "other", weir.SetOptions{IfAbsent: true}); !errors.Is(err, weir.ErrCondition) {
		t.Errorf("there is one: %v", err)
	}
	if _, err := c.Incr(ctx, "k", 1, 0); !errors.Is(err, weir.ErrNotNumber) {
		t.Errorf("a word: %v", err)
	}
	must(t, weir.Set(ctx, c, "max", int64(1<<63-1), weir.SetOptions{}))
	if _, err := c.Incr(ctx, "max", 1, 0); !errors.Is(err, weir.ErrOverflow) {
		t.Errorf("overflow: %v", err)
	}
	if err := weir.Set(ctx, c, "large", strings.Repeat("x", 8<<20), weir.SetOptions{}); !errors.Is(err, weir.ErrInvalid) {
		t.Errorf("too large: %v", err)
	}
	if err := c.Delete(ctx, "\xff"); !errors.Is(err, weir.ErrKey) {
		t.Errorf("a key that is none: %v", err)
	}

	stranger := open(t, weir.Options{Node: "http://" + n.addr, Token: "wrong", Report: noReport})
	if err := weir.Set(ctx, stranger, "k", 1, weir.SetOptions{}); err == nil || errors.Is(err, weir.ErrUnavailable) || !strings.Contains(err.Error(), "401") {
		t.Errorf("with a wrong token: %v", err)
	}
	if u, err := weir.SWR(ctx, stranger, "k", new(source).fetch, weir.SWROptions{}); u.Name != "ann" || err != nil {
		t.Errorf("SWR with a wrong token: %v, %v", u, err)
	}
}

// What comes while a fetch runs wins over it, in whatever program it comes.
func TestFetchThatIsOvertakenElsewhere(t *testing.T) {
	for name, meanwhile := range map[string]func(c *weir.Cache) error{
		"Set": func(c *weir.Cache) error {
			return weir.Set(t.Context(), c, "user:1", user{"bob", 9}, weir.SetOptions{})
		},
		"Delete": func(c *weir.Cache) error { return c.Delete(t.Context(), "user:1") },
		"Purge":  func(c *weir.Cache) error { return c.Purge(t.Context(), "users") },
	} {
		t.Run(name, func(t *testing.T) {
			n := startNode(t)
			a, b := n.open(weir.Options{}), n.open(weir.Options{})
			eventually(t, "the purge log", func() bool { // of which a has to know before it fetches
				swr(t, a, new(source), weir.SWROptions{})
				there, err := b.Has(t.Context(), "user:1")
				return there && err == nil
			})
			must(t, a.Delete(t.Context(), "user:1"))
			slow := &source{hold: make(chan struct{})}
			var waiting sync.WaitGroup
			waiting.Go(func() { swr(t, a, slow, weir.SWROptions{Tags: []string{"users"}}) })
			eventually(t, "the fetch", func() bool { return slow.calls.Load() == 1 })
			must(t, meanwhile(b))
			close(slow.hold)
			waiting.Wait()
			must(t, a.Close(t.Context())) // when it is kept or not
			u, err := weir.Get[user](t.Context(), b, "user:1")
			if name == "Set" && (u.Name != "bob" || err != nil) || name != "Set" && !errors.Is(err, weir.ErrMissing) {
				t.Errorf("in the end: %+v, %v", u, err)
			}
		})
	}
}

// A flight that a purge has taken out of the way is overtaken by a write all the same, also
// where the write is not heard of yet.
func TestWriteAfterAPurgeOvertakesWhatWasFound(t *testing.T) {
	n := startNode(t)
	codec, begun, hold := holding(weir.JSON)
	c := n.open(weir.Options{Codec: codec})
	ctx := t.Context()
	o := weir.SWROptions{Tags: []string{"t"}}
	fetch := func(context.Context) (string, error) { return "fetched", nil }
	must(t, weir.Set(ctx, c, "k", "one", weir.SetOptions{}))
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if _, err := weir.SWR(ctx, c, "k", fetch, o); err != nil {
			t.Error(err)
		}
	})
	<-begun
	must(t, c.Purge(ctx, "t"))
	if v, err := weir.SWR(ctx, c, "k", fetch, o); v != "one" || err != nil {
		t.Errorf("after the purge: %q, %v", v, err)
	}
	n.still.Lock()
	defer n.still.Unlock()
	must(t, weir.Set(ctx, c, "k", "two", weir.SetOptions{}))
	close(hold)
	waiting.Wait()
	if got := getString(t, c, "k"); got != "two" {
		t.Errorf("after the write: %q", got)
	}
}

// A node that answers is back, also one whose changes nobody may follow.
func TestNodeIsBackWhenItAnswers(t *testing.T) {
	var down atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case down.Load():
			panic(http.ErrAbortHandler)
		case r.URL.Path == "/v1/changes":
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("Etag", `"1"`)
		w.Header().Set("Weir-Epoch", "1")
		_, _ = w.Write([]byte(`"v"`))
	}))
	t.Cleanup(server.Close)
	c := open(t, weir.Options{Node: server.URL, Report: noReport})
	read := func() error {
		_, err := weir.Get[string](t.Context(), c, "k")
		return err
	}
	for name, back := range map[string]func(){
		"a write":  func() { must(t, weir.Set(t.Context(), c, "k", "v", weir.SetOptions{})) },
		"a second": func() { eventually(t, "a probe", func() bool { return read() == nil }) },
	} {
		must(t, c.Delete(t.Context(), "k")) // from memory too
		down.Store(true)
		if err := read(); !errors.Is(err, weir.ErrUnavailable) {
			t.Errorf("before %s: %v", name, err)
		}
		down.Store(false)
		back()
		if err := read(); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
}

// What is purged softly is served once more, and refreshed.
func TestSoftPurgeAtANode(t *testing.T) {
	n := startNode(t)
	c := n.open(weir.Options{})
	s := new(source)
	eventually(t, "a value that is kept", func() bool {
		swr(t, c, s, weir.SWROptions{Tags: []string{"users"}})
		there, err := n.open(weir.Options{}).Has(t.Context(), "user:1")
		return there && err == nil
	})
	before := s.calls.Load()
	_, err := n.purges.Add(shield.TagRule("users").Soft())
	must(t, err)
	s.hold = make(chan struct{})
	eventually(t, "a refresh", func() bool {
		if u := swr(t, c, s, weir.SWROptions{Tags: []string{"users"}}); int64(u.Age) != before { // nobody waits for it
			t.Errorf("meanwhile: %+v, want that of fetch %d", u, before)
		}
		return s.calls.Load() > before
	})
	close(s.hold)
	eventually(t, "the new value", func() bool { return int64(swr(t, c, s, weir.SWROptions{Tags: []string{"users"}}).Age) > before })
}

// Without its node a program works on: what it holds is used for a while, and then fetched.
func TestWithoutItsNode(t *testing.T) {
	n := startNode(t)
	var lost atomic.Int64
	c := n.open(weir.Options{MaxBlind: 50 * time.Millisecond, Report: func(error) { lost.Add(1) }})
	ctx := t.Context()
	must(t, weir.Set(ctx, c, "flag", true, weir.SetOptions{}))
	s := new(source)
	swr(t, c, s, weir.SWROptions{})
	n.stop()
	eventually(t, "the loss", func() bool { return lost.Load() == 1 })
	before := s.calls.Load()
	eventually(t, "a fetch, because nobody can say what has changed", func() bool {
		swr(t, c, s, weir.SWROptions{})
		return s.calls.Load() > before
	})
	if err := weir.Set(ctx, c, "flag", false, weir.SetOptions{}); !errors.Is(err, weir.ErrUnavailable) {
		t.Errorf("a write: %v", err)
	}
	if err := c.Purge(ctx, "t"); !errors.Is(err, weir.ErrUnavailable) {
		t.Errorf("a purge: %v", err)
	}
	if _, err := c.Incr(ctx, "n", 1, 0); !errors.Is(err, weir.ErrUnavailable) {
		t.Errorf("an increment: %v", err)
	}

	n.start()
	eventually(t, "the node", func() bool {
		on, err := weir.Get[bool](ctx, c, "flag")
		return err == nil && on
	})
	other := n.open(weir.Options{})
	must(t, weir.Set(ctx, other, "flag", false, weir.SetOptions{}))
	eventually(t, "changes", func() bool {
		on, err := weir.Get[bool](ctx, c, "flag")
		return err == nil && !on
	})
}

// A node that was never there makes nothing but noise, and that once.
func TestNodeThatWasNeverThere(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	addr := listener.Addr().String()
	must(t, listener.Close())
	var reported atomic.Int64
	c := open(t, weir.Options{Node: "http://" + addr, Report: func(error) { reported.Add(1) }})
	s := new(source)
	for range 3 {
		swr(t, c, s, weir.SWROptions{})
	}
	eventually(t, "word of it", func() bool { return reported.Load() > 0 })
	if n := reported.Load(); n != 1 {
		t.Errorf("reported %d times", n)
	}
	if n := s.calls.Load(); n > 3 {
		t.Errorf("%d fetches", n)
	}
	if _, err := weir.Get[int](t.Context(), c, "k"); !errors.Is(err, weir.ErrUnavailable) {
		t.Errorf("Get: %v", err)
	}
}
