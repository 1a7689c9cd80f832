package l1_test

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"

	"weir/l1"
	"weir/policy"
	"weir/rfc9111"
)

func TestAHeadIsAnsweredWithAsItWasFilled(t *testing.T) {
	tests := map[string]func(r *rfc9111.Response){
		"plain":            func(*rfc9111.Response) {},
		"no fields":        func(r *rfc9111.Response) { r.Header = http.Header{} },
		"repeated fields":  func(r *rfc9111.Response) { r.Header["Set-Cookie"] = []string{"a=1", "", "b=2"} },
		"odd fields":       func(r *rfc9111.Response) { r.Header["x_Odd"] = []string{"\x00\xff: \r"} },
		"many fields":      func(r *rfc9111.Response) { manyFields(r.Header, 200) },
		"selected":         varyOn(t, "X", "1"),
		"tags":             func(r *rfc9111.Response) { r.Tags = []string{"a", strings.Repeat("b", 300)} },
		"terms and epoch":  func(r *rfc9111.Response) { r.Terms.MustRevalidate, r.Epoch = true, 0 },
		"another status":   func(r *rfc9111.Response) { r.Status = 404 },
		"longer than most": func(r *rfc9111.Response) { r.Header.Set("X", strings.Repeat("x", 60_000)) },
	}
	for name, edit := range tests {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, l1.Options{MaxBytes: 1 << 20})
			resp := page(n.clock.Now(), edit)
			resp.Length = 4
			want := *resp
			want.Header = resp.Header.Clone()
			n.Filled(key(t, "/a"), resp, []byte("body"))
			for range 2 {
				if got := n.expect(request(t, "/a", "X", "1"), "body", rfc9111.Hit).Head; !reflect.DeepEqual(*got, want) {
					t.Fatalf("%+v, want %+v", *got, want)
				}
			}
		})
	}
}

func manyFields(h http.Header, n int) {
	for i := range n {
		h.Set("X-"+strconv.Itoa(i), strconv.Itoa(i))
	}
}

// Far more are asked for than can be open, while others are stored and dropped: each has its own
// head, and all of it counts.
func TestOpenHeadsAreBoundedAndRight(t *testing.T) {
	const budget, objects = 512 << 10, 200
	n := newNode(t, l1.Options{MaxBytes: budget})
	fill := func(i int) {
		n.fill("/"+strconv.Itoa(i), "body", func(r *rfc9111.Response) {
			r.Header.Set("Etag", strconv.Quote(strconv.Itoa(i)))
			r.Header.Set("X-Filler", strings.Repeat("x", 300))
		})
	}
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := range 3000 {
				i = (i*(2*worker+1) + worker) % objects
				switch ans := n.get(request(t, "/"+strconv.Itoa(i))); {
				case ans.Decision.Use != rfc9111.Hit:
					fill(i)
				case ans.Head.Header.Get("Etag") != strconv.Quote(strconv.Itoa(i)):
					t.Errorf("/%d has %s", i, ans.Head.Header)
					return
				case i%50 == worker:
					n.Dropped(key(t, "/"+strconv.Itoa(i)), "")
				}
				if s := n.Stats(); s.Bytes > budget {
					t.Errorf("%d bytes in a budget of %d", s.Bytes, budget)
					return
				}
			}
		})
	}
	all.Wait()
	if s := n.Stats(); s.Objects < objects/2 || s.Evictions != 0 {
		t.Fatalf("not what is to be tested: %+v", s)
	}
	n.Clear()
	if s := n.Stats(); s.Bytes != 0 {
		t.Errorf("empty, and yet %+v", s)
	}
}

// ready asks for a hit by plan, keeps a head of size bytes for one that has none ready, and says whether it had.
func (n *node) ready(target string, plan *policy.Plan, size int) bool {
	n.t.Helper()
	k := keyed(n.t, target, "")
	ask := l1.Ask{Key: k.Key.Bytes(), Plan: plan, Accepts: k.Accepts, Now: n.clock.Now()}
	var found l1.Found
	switch {
	case !n.Hit(&ask, &found):
		n.get(request(n.t, target))
		return false
	case found.Ready == nil:
		n.Keep(&found, &l1.ReadyHead{Table: plan.Table.Version, Plan: plan.Number, Bytes: make([]byte, size)})
		return false
	case found.Ready.Plan != plan.Number || found.Ready.Table != plan.Table.Version:
		n.t.Errorf("%s: the head by plan %d of %q", target, found.Ready.Plan, found.Ready.Table)
	}
	return true
}

// A store is full most of its life. What is asked for again and again has its head open then too.
func TestHeadsAreOpenInAFullStore(t *testing.T) {
	const hot = 100
	n := newNode(t, l1.Options{MaxBytes: 8 << 20})
	for i := range 2000 {
		n.fill("/"+strconv.Itoa(i), strings.Repeat("x", 8<<10), nil)
	}
	if n.Stats().Evictions == 0 {
		t.Fatal("the store is not full")
	}
	ready := 0
	for round := range 3 {
		for i := 2000 - hot; i < 2000; i++ {
			if n.ready("/"+strconv.Itoa(i), compressing, 600) && round == 2 {
				ready++
			}
		}
	}
	if ready != hot {
		t.Errorf("%d of %d have a head that is ready", ready, hot)
	}
}

// What is used keeps its head while many others are asked for once, far more than can be open.
func TestHotHeadsStayOpen(t *testing.T) {
	const hot, objects = 50, 3000
	n := newNode(t, l1.Options{MaxBytes: 8 << 20})
	for i := range objects {
		n.fill("/"+strconv.Itoa(i), "body", nil)
	}
	for range 3 {
		for i := range hot {
			n.ready("/"+strconv.Itoa(i), compressing, 600)
		}
	}
	for cold := hot; cold < objects; cold++ {
		n.ready("/"+strconv.Itoa(cold), compressing, 600)
		if i := cold % hot; !n.ready("/"+strconv.Itoa(i), compressing, 600) {
			t.Fatalf("/%d has lost its head to one of the first %d others", i, cold-hot)
		}
	}
	if n.ready("/"+strconv.Itoa(hot), compressing, 600) {
		t.Error("all heads are open: not what is to be tested")
	}
}

// Heads by the plans of GET and HEAD are kept beside each other, others in place of older ones.
func TestHeadsByTwoPlansAreKept(t *testing.T) {
	plan := func(table string, number int) *policy.Plan {
		return &policy.Plan{Number: number, Edge: true, Compress: true, Table: &policy.Table{Version: table}}
	}
	n := newNode(t, l1.Options{})
	n.fill("/a", "hello", nil)
	n.get(request(t, "/a"))
	empty := n.Stats().Bytes
	for _, c := range []struct {
		plan *policy.Plan
		want bool
	}{
		{plan("old", 1), false},
		{plan("old", 2), false},
		{plan("old", 1), true},
		{plan("old", 2), true},
		{plan("new", 1), false},
		{plan("new", 3), false},
		{plan("new", 1), true},
		{plan("new", 3), true},
		{plan("old", 2), false},
		{plan("new", 1), false},
		{plan("new", 1), true},
		{plan("new", 4), false},
		{plan("new", 4), true},
	} {
		if got := n.ready("/a", c.plan, 100); got != c.want {
			t.Errorf("plan %d of %q has a head: %t, want %t", c.plan.Number, c.plan.Table.Version, got, c.want)
		}
		if more := n.Stats().Bytes - empty; more > 2*300 {
			t.Errorf("%d bytes for two heads of 100", more)
		}
	}
	n.fill("/a", "again", nil)
	n.get(request(t, "/a"))
	if bytes := n.Stats().Bytes; bytes != empty {
		t.Errorf("%d bytes after a refresh, %d before", bytes, empty)
	}
}
