package l1_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"weir/keying"
	"weir/l1"
	"weir/policy"
	"weir/rfc9111"
)

var compressing = &policy.Plan{Edge: true, Compress: true, Table: &policy.Table{}}

// look asks for a hit. What it finds is what Fetch answers with.
func (n *node) look(target, acceptEncoding string) bool {
	n.t.Helper()
	k := keyed(n.t, target, acceptEncoding)
	ask := l1.Ask{
		Key: k.Key.Bytes(), Plan: compressing, Accepts: k.Accepts, Now: n.clock.Now(),
		Header: http.Header{"Accept-Encoding": {keying.AllCodings}},
	}
	var found l1.Found
	if !n.Hit(&ask, &found) {
		return false
	}
	var fields []string
	if acceptEncoding != "" {
		fields = []string{"Accept-Encoding", acceptEncoding}
	}
	ans := n.get(request(n.t, target, fields...))
	d := ans.Decision
	if d.Use != rfc9111.Hit || d.TTL != found.TTL || d.Detail != "" || ans.Head != found.Head || string(ans.Bytes) != string(found.Body) ||
		ans.Varied != found.Varied || found.Key != k.Key || found.Ready != nil {
		n.t.Errorf("%s, %q: found %+v, but Fetch answers %+v", target, acceptEncoding, found, ans)
	}
	return true
}

func TestHit(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(r *rfc9111.Response)
		then func(n *node)
		want bool
	}{
		{name: "fresh", want: true},
		{name: "of those who vary by coding", edit: varyOn(t, "Accept-Encoding", keying.AllCodings), want: true},
		{name: "that varies by coding, for others", edit: varyOn(t, "Accept-Encoding", "br")},
		{name: "that varies otherwise", edit: varyOn(t, "X", "1")},
		{name: "always validated", edit: func(r *rfc9111.Response) { r.Terms.NoCache = true }},
		{name: "a part", edit: func(r *rfc9111.Response) { r.Parts = &rfc9111.Parts{Size: 10} }},
		{name: "in a coding of its own", edit: with("Content-Encoding", "compress")},
		{name: "to be decoded", edit: with("Content-Encoding", "br")},
		{name: "on its last second", then: func(n *node) { n.clock.advance(time.Minute - 1) }, want: true},
		{name: "stale", then: func(n *node) { n.clock.advance(time.Minute) }},
		{name: "not purged", then: func(n *node) { n.epochs.purge(nothing); n.get(request(n.t, "/a")) }, want: true},
		{name: "not yet known not to be purged", then: func(n *node) { n.epochs.purge(nothing) }, want: true},
		{name: "purged", then: func(n *node) { n.epochs.purge(everything) }},
		{name: "purged softly", then: func(n *node) { n.epochs.soften(everything) }},
		{name: "purged softly, seen", then: func(n *node) { n.epochs.soften(everything); n.get(request(n.t, "/a")) }},
		{name: "cleared", then: func(n *node) { n.Clear() }},
		{name: "young enough for the blind", then: func(n *node) { n.epochs.sight = blindSince(start) }},
		{name: "told of", then: func(n *node) {
			n.epochs.sight = func(time.Time, uint64) l1.Sight { return l1.Sight{Told: "partition"} }
		}},
		{name: "purged while it is looked at", then: func(n *node) {
			n.epochs.sight = func(time.Time, uint64) l1.Sight { n.epochs.purge(everything); return l1.Sight{} }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t, l1.Options{})
			n.fill("/a", "hello", c.edit)
			_, _ = n.Fetch(t.Context(), request(t, "/a"))
			if c.then != nil {
				c.then(n)
			}
			before := n.Stats()
			if got := n.look("/a", ""); got != c.want {
				t.Errorf("hit is %t, want %t", got, c.want)
			}
			if after := n.Stats(); !c.want && after != before {
				t.Errorf("counted: %+v", after)
			}
			if n.look("/b", "") || n.look("/a?", "") {
				t.Error("a hit of another key")
			}
		})
	}
}

func TestHitNeverComparesHashesAlone(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.CollideHashes()
	n.fill("/a", "hello", nil)
	if !n.look("/a", "") || n.look("/b", "") {
		t.Error("not what is held")
	}
}

// The request that is answered with a form that is still to be made has it made.
func TestHitsOfForms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, l1.Options{})
		n.fill("/a", text(8<<10), contentType("text/html"))
		n.get(request(t, "/a"))
		if !n.look("/a", "") || !n.look("/a", "identity, br;q=0.5") {
			t.Error("no hit where plain content is wanted")
		}
		if n.look("/a", "gzip, br") {
			t.Error("a hit before there is a coded form")
		}
		n.get(request(t, "/a", "Accept-Encoding", "gzip, br"))
		synctest.Wait()
		if !n.look("/a", "gzip, br") {
			t.Error("no hit when there is one")
		}
		if n.look("/a", "gzip") {
			t.Error("a hit of a form in another coding")
		}
	})
}

func TestHitsThatAreCoded(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.fill("/a", "coded", func(r *rfc9111.Response) {
		r.Header.Set("Content-Encoding", "br")
		r.Header.Set("Content-Type", "text/css")
	})
	n.get(request(t, "/a", "Accept-Encoding", "br"))
	if !n.look("/a", "br") || n.look("/a", "gzip") {
		t.Error("not the clients that take br")
	}
}

func TestHitDoesNotAllocate(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.fill("/a", "hello", varyOn(t, "Accept-Encoding", keying.AllCodings))
	n.get(request(t, "/a"))
	k := keyed(t, "/a", "br")
	ask := l1.Ask{
		Key: k.Key.Bytes(), Plan: compressing, Accepts: k.Accepts, Now: n.clock.Now(),
		Header: http.Header{"Accept-Encoding": {keying.AllCodings}},
	}
	var found l1.Found
	if allocated := testing.AllocsPerRun(1000, func() {
		if !n.Hit(&ask, &found) {
			t.Error("no hit")
		}
	}); allocated != 0 {
		t.Errorf("%v allocations", allocated)
	}
}

// A head that is kept is in the budget, and goes with what it was made for.
func TestKeptHeadsAreInTheBudget(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.fill("/a", "hello", nil)
	n.get(request(t, "/a"))
	empty := n.Stats().Bytes
	k := keyed(t, "/a", "")
	ask := l1.Ask{Key: k.Key.Bytes(), Plan: compressing, Now: n.clock.Now()}
	keep := func(size int) *l1.ReadyHead {
		t.Helper()
		var found l1.Found
		if !n.Hit(&ask, &found) {
			t.Fatal("no hit")
		}
		ready := &l1.ReadyHead{Bytes: make([]byte, size)}
		n.Keep(&found, ready)
		if !n.Hit(&ask, &found) || found.Ready != ready {
			t.Fatalf("%d bytes are not kept", size)
		}
		return ready
	}
	for _, size := range []int{100, 1000, 1000, 3000} {
		keep(size)
		if more := n.Stats().Bytes - empty; more < int64(size) || more > int64(size)+200 {
			t.Errorf("%d bytes more for a head of %d", more, size)
		}
	}
	keep(10) // what it cost before stays counted
	var found l1.Found
	n.Hit(&ask, &found)
	n.Keep(&found, &l1.ReadyHead{Bytes: make([]byte, 32<<20)})
	if !n.Hit(&ask, &found) || len(found.Ready.Bytes) != 10 {
		t.Error("more than the budget is kept")
	}
	n.fill("/a", "again", nil)
	n.get(request(t, "/a"))
	if bytes := n.Stats().Bytes; bytes != empty {
		t.Errorf("%d bytes after a refresh, %d before", bytes, empty)
	}
	n.Keep(&found, &l1.ReadyHead{Bytes: make([]byte, 100)})
	if bytes := n.Stats().Bytes; bytes != empty {
		t.Errorf("a head is counted for what is gone: %d bytes", bytes)
	}
}

// What is kept when memory is full depends on how often it was asked for: a request that Hit leaves to
// Fetch is one use, like one that Hit answers.
func TestARequestIsOneUse(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.fill("/a", "hello", nil)
	k := keyed(t, "/a", "")
	ask := l1.Ask{Key: k.Key.Bytes(), Plan: compressing, Accepts: k.Accepts, Now: n.clock.Now()}
	var found l1.Found
	for i, answered := range []bool{false, true, false} {
		hit := n.Hit(&ask, &found)
		if !hit {
			t.Fatalf("request %d is no hit", i)
		}
		if answered {
			n.CountHit(&found)
		} else { // whoever found it could make no answer of it
			n.expect(request(t, "/a"), "hello", rfc9111.Hit)
		}
		if uses := n.Uses(ask.Key); uses != i+1 {
			t.Errorf("%d uses counted after %d requests", uses, i+1)
		}
	}
}
