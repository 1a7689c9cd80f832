package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/api"
	"weir/api/peer"
	"weir/l1"
	"weir/policy"
	"weir/shield"
)

// eventually waits until something holds that nothing signals.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

// connected waits until the edge follows the log.
func (p *pair) connected() {
	p.t.Helper()
	eventually(p.t, "a stream", func() bool {
		return p.client.Stats().Stream && slices.ContainsFunc(p.peers.Regions(), func(r api.RegionState) bool { return r.Connected && !r.LastAck.IsZero() })
	})
}

func TestPeerPurge(t *testing.T) {
	p := newPair(t, pairOptions{secret: secret, run: true, purgeWait: time.Minute}, func(http.ResponseWriter, *http.Request) {})
	p.connected()
	report, err := p.client.Purge(t.Context(), shield.PurgeOrder{Tags: []string{"a", "b"}})
	if err != nil || report.Epoch != p.log.Current() || len(report.Regions) != 1 || report.Regions[0].Region != "fra" || len(report.Pending) != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	if got := p.client.Stats().Epoch; got != report.Epoch {
		t.Errorf("the edge is at %d when the purge is answered, want %d", got, report.Epoch)
	}
	if _, err := p.client.Purge(t.Context(), shield.PurgeOrder{URLs: []string{"not a URL"}}); err == nil {
		t.Error("a purge of nonsense is accepted")
	}
}

// A region that was here a moment ago and is not now is pending, also when the shield
// has started again since.
func TestPeerPurgePending(t *testing.T) {
	p := newPair(t, pairOptions{run: true, purgeWait: time.Millisecond}, func(http.ResponseWriter, *http.Request) {})
	p.connected()
	p.client.Close()
	eventually(t, "the stream ends", func() bool { return !p.peers.Regions()[0].Connected })
	report, err := p.peers.Purge(t.Context(), shield.PurgeOrder{All: true})
	if err != nil || len(report.Regions) != 0 || !slices.Equal(report.Pending, []string{"fra"}) {
		t.Errorf("%+v, %v", report, err)
	}
	var seen []string
	again := api.NewPeerDoor(api.PeerOptions{Table: p.tableNow, Purges: p.log, Seen: []string{"lhr"}, OnSeen: func(all []string) { seen = all }})
	defer again.Close()
	if _, pending := again.WaitApplied(expired(t), shield.PurgeReport{Epoch: 1}); !slices.Equal(pending, []string{"lhr"}) || seen != nil {
		t.Errorf("pending %q, seen %q", pending, seen)
	}
}

func expired(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// What an edge purged by itself gets into the log.
func TestPeerOwed(t *testing.T) {
	p := newPair(t, pairOptions{run: true}, func(http.ResponseWriter, *http.Request) {})
	if _, err := p.follower.Add(shield.TagRule("a")); err != nil {
		t.Fatal(err)
	}
	before := p.log.Current()
	eventually(t, "the rule is in the log", func() bool { return p.log.Current() > before })
	eventually(t, "the rule is settled", func() bool { return len(p.follower.Owed()) == 0 })
}

// What an edge knows to be out of date it has told the shield before it asks for it.
func TestPeerOwedBeforeAsking(t *testing.T) {
	var p *pair
	var before, then atomic.Uint64
	p = newPair(t, pairOptions{}, func(http.ResponseWriter, *http.Request) { then.Store(p.log.Current()) })
	before.Store(p.log.Current())
	if _, err := p.follower.Add(shield.TagRule("a")); err != nil {
		t.Fatal(err)
	}
	p.want("GET", "/page", "", 200, "")
	if then.Load() <= before.Load() {
		t.Error("the shield asked its origin without knowing what the edge knows")
	}
	if n := len(p.follower.Owed()); n != 0 {
		t.Errorf("%d rules are still owed", n)
	}
}

// Whoever was told that a POST is done gets nothing from before it.
func TestPeerUnsafe(t *testing.T) {
	for _, run := range []bool{true, false} {
		p := newPair(t, pairOptions{run: run}, func(http.ResponseWriter, *http.Request) {})
		if run {
			p.connected()
		}
		p.want("POST", "/page", "x", 200, "")
		if at := p.log.Current(); at == 0 || p.follower.Current() != at {
			t.Errorf("with a stream %t: the edge is at %d, the shield at %d", run, p.follower.Current(), at)
		}
	}
}

func TestPeerSight(t *testing.T) {
	p := newPair(t, pairOptions{run: true, maxBlind: time.Hour, grace: time.Millisecond}, func(http.ResponseWriter, *http.Request) {})
	p.connected()
	ctx, now := t.Context(), time.Now()
	if got := p.client.Sight(ctx, now, 0); got != (l1.Sight{}) {
		t.Errorf("with a stream: %+v", got)
	}
	if n := testing.AllocsPerRun(100, func() { p.client.Sight(ctx, now, 0) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if got := p.client.Sight(ctx, now, 1<<40); got != (l1.Sight{Blind: true, Since: now.Add(1), Told: "min-epoch"}) {
		t.Errorf("of an epoch that does not exist: %+v", got)
	}
	late := now.Add(2 * time.Hour)
	if got := p.client.Sight(ctx, late, 0); got != (l1.Sight{}) {
		t.Errorf("blind, but the shield can be asked: %+v", got)
	}
	p.stop()
	if got := p.client.Sight(ctx, late, 0); got != (l1.Sight{Blind: true, Since: late.Add(-time.Hour), Told: "partition"}) {
		t.Errorf("blind: %+v", got)
	}
}

// The client's clock and the shield's may differ by an hour.
func TestPeerClocks(t *testing.T) {
	for _, ahead := range []time.Duration{-time.Hour, time.Hour} {
		p := newPair(t, pairOptions{shieldClock: ahead}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat)) // or it would count as old
		})
		before := time.Now()
		ans, err := p.client.Fetch(t.Context(), asking(t, p.table, "/page"))
		if err != nil {
			t.Fatal(err)
		}
		_ = ans.Body.Close()
		after := time.Now()
		if at := ans.Head.ResponseTime; at.Before(before) || at.After(after) {
			t.Errorf("ahead %v: answered at %v, not between %v and %v", ahead, at, before, after)
		}
		if ttl := ans.Head.TTL(after); ttl > time.Minute || ttl < 50*time.Second {
			t.Errorf("ahead %v: %v left", ahead, ttl)
		}
	}
}

// asking is what a door would make of a GET.
func asking(t *testing.T, table *policy.Table, target string) *policy.Request {
	t.Helper()
	s := always(nil)
	s.fetch = failing(shield.ErrClosed).fetch
	d := api.NewDoor(s, func() *policy.Table { return table }, api.DoorOptions{})
	t.Cleanup(d.Close)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", serveOn(t, d))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n", target)
	_, _ = io.Copy(io.Discard, conn)
	return s.one(t)
}

// A body goes on where a shield that was killed has left it.
func TestPeerKilledInBody(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 2<<20/16)
	var half atomic.Pointer[chan struct{}] // closed when the rest may come
	var etag atomic.Value
	etag.Store(`"1"`)
	origin := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("ETag", etag.Load().(string))
		w.Header().Set("Content-Length", fmt.Sprint(len(long)))
		_, _ = io.WriteString(w, long[:len(long)/2])
		_ = http.NewResponseController(w).Flush()
		select {
		case <-*half.Load():
		case <-r.Context().Done():
			return
		}
		_, _ = io.WriteString(w, long[len(long)/2:])
	}
	for _, changed := range []bool{false, true} {
		t.Run(fmt.Sprintf("changed %t", changed), func(t *testing.T) {
			again := make(chan struct{})
			half.Store(&again)
			p := newPair(t, pairOptions{secret: secret}, origin)
			ans, err := p.client.Fetch(t.Context(), asking(t, p.table, "/long"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = ans.Body.Close() }()
			got := make([]byte, len(long)/4)
			if _, err := io.ReadFull(ans.Body, got); err != nil {
				t.Fatal(err)
			}
			p.stop()
			if changed {
				etag.Store(`"2"`)
			}
			close(again)
			p.startShield(pairOptions{secret: secret}, p.addr)
			rest, err := io.ReadAll(ans.Body)
			if changed {
				if err == nil {
					t.Error("two versions were put together")
				}
				return
			}
			if err != nil || string(got)+string(rest) != long {
				t.Errorf("%d bytes, %v", len(got)+len(rest), err)
			}
			if n := p.client.Stats().Resumed; n != 1 {
				t.Errorf("resumed %d times", n)
			}
		})
	}
}

// A region has not applied a purge while one of its nodes is away that did not stop: it
// may still answer clients.
func TestPeerPurgeWithANodeAway(t *testing.T) {
	p := newPair(t, pairOptions{run: true, purgeWait: time.Millisecond}, func(http.ResponseWriter, *http.Request) {})
	p.connected()
	var conns sync.Map
	start := func() (stop func()) {
		c, err := peer.NewClient(peer.ClientOptions{
			URLs: []string{"http://" + p.addr}, Region: "fra", Node: "two", Purges: shield.NewFollower(),
			Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				if _, lost := conns.Load("lost"); lost {
					return nil, errors.New("cut off")
				}
				conn, err := new(net.Dialer).DialContext(ctx, network, addr)
				conns.Store("conn", conn)
				return conn, err
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { defer close(done); c.Run(t.Context()) }()
		eventually(t, "two nodes", func() bool { return connectedNodes(p.peers) == 2 })
		return func() { c.Close(); <-done }
	}
	alone := func(pending int) {
		t.Helper()
		eventually(t, "one node", func() bool { return connectedNodes(p.peers) == 1 })
		eventually(t, "all applied", func() bool {
			report, err := p.peers.Purge(t.Context(), shield.PurgeOrder{All: true})
			return err == nil && len(report.Pending) == pending && len(report.Regions) == 1-pending
		})
	}
	start()()
	alone(0) // it has stopped
	stop := start()
	conns.Store("lost", true)
	conn, _ := conns.Load("conn")
	_ = conn.(net.Conn).Close()
	alone(1)
	stop()
	conns.Delete("lost")
	start()()
	alone(0) // it was back
}

func connectedNodes(d *api.PeerDoor) (n int) {
	for _, r := range d.Regions() {
		if r.Connected {
			n++
		}
	}
	return n
}
