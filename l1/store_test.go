package l1_test

import (
	"container/list"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"weir/l1"
	"weir/policy"
	"weir/rfc9111"
)

// scan stores objects that nobody asks for, far more than fit.
func (n *node) scan(name string) {
	for i := range 600 {
		n.fill("/"+name+strconv.Itoa(i), text(4<<10), nil)
	}
}

// holds asks for target, which is a use, and says whether it is held.
func (n *node) holds(target string) bool {
	return n.get(request(n.t, target)).Decision.Use == rfc9111.Hit
}

func TestWhatIsKeptAndWhatGivesWay(t *testing.T) {
	old := func(r *rfc9111.Response) { r.ResponseTime = start.Add(-time.Hour); r.Terms.Lifetime = 2 * time.Hour }
	tests := map[string]struct {
		before func(n *node) // of a scan
		kept   bool
	}{
		"never used":              {func(n *node) { n.fill("/a", "a", nil) }, false},
		"used once":               {func(n *node) { n.fill("/a", "a", nil); n.holds("/a") }, false},
		"used twice":              {func(n *node) { n.fill("/a", "a", nil); n.holds("/a"); n.holds("/a") }, true},
		"promoted and never used": {func(n *node) { n.fill("/a", "a", old) }, false},
		"promoted and used":       {func(n *node) { n.fill("/a", "a", old); n.holds("/a") }, true},
		"used and then refreshed": {func(n *node) {
			n.fill("/a", "a", nil)
			n.holds("/a")
			n.holds("/a")
			n.fill("/a", "a", nil)
		}, true},
		"kept and then refreshed": {func(n *node) {
			n.fill("/a", "a", nil)
			n.holds("/a")
			n.holds("/a")
			n.scan("before")
			n.fill("/a", "a", nil)
		}, true},
		"kept and then dropped": {func(n *node) {
			n.fill("/a", "a", nil)
			n.holds("/a")
			n.holds("/a")
			n.scan("before")
			n.Dropped(key(n.t, "/a"), "")
			n.fill("/a", "a", nil)
		}, false},
		"large and used twice":      {func(n *node) { n.fill("/a", text(100<<10), nil); n.holds("/a"); n.holds("/a") }, false},
		"large and used many times": {func(n *node) { n.fill("/a", text(100<<10), nil); n.holds("/a"); n.holds("/a"); n.holds("/a") }, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, l1.Options{MaxBytes: 1 << 20})
			tt.before(n)
			n.scan("after")
			if got := n.holds("/a"); got != tt.kept {
				t.Errorf("held = %t, want %t", got, tt.kept)
			}
		})
	}
}

// What gave way is remembered approximately: some may be forgotten early.
func TestWhatComesBackSoonIsKept(t *testing.T) {
	const objects = 40
	n := newNode(t, l1.Options{MaxBytes: 1 << 20})
	held := func() (count int) {
		for i := range objects {
			if n.holds("/a" + strconv.Itoa(i)) {
				count++
			}
		}
		return count
	}
	fill := func() {
		for i := range objects {
			n.fill("/a"+strconv.Itoa(i), "a", nil)
		}
	}
	fill()
	for i := range 300 {
		n.fill("/"+strconv.Itoa(i), text(4<<10), nil)
	}
	if held() != 0 {
		t.Fatal("they have not given way")
	}
	fill()
	n.scan("after")
	if got := held(); got < objects/2 {
		t.Errorf("%d of %d are held", got, objects)
	}
}

// Over a popularity as that of pages, with scans between, more requests are answered than by
// an exact list of as many bytes in order of use.
func TestMoreHitsThanInOrderOfUse(t *testing.T) {
	const budget, keys, requests = 1 << 20, 4000, 40_000
	n := newNode(t, l1.Options{MaxBytes: budget})
	r := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(r, 1.1, 8, keys-1)
	sizes := make([]int, 2*keys)
	reqs := make([]*policy.Request, 2*keys)
	for i := range sizes {
		sizes[i] = 200 << r.IntN(7)
		reqs[i] = request(t, "/"+strconv.Itoa(i))
	}
	model := lruModel{held: map[int]*list.Element{}, max: budget}
	hits, hitsOfModel := 0, 0
	for i := range requests {
		k := int(zipf.Uint64())
		if i%4 == 0 {
			k = keys + i/4%keys
		}
		if n.get(reqs[k]).Decision.Use == rfc9111.Hit {
			hits++
		} else {
			n.fill("/"+strconv.Itoa(k), text(sizes[k]), nil)
		}
		if model.use(k, sizes) {
			hitsOfModel++
		}
	}
	if hits < hitsOfModel {
		t.Errorf("%d hits, and a list in order of use has %d", hits, hitsOfModel)
	}
}

type lruModel struct {
	order     list.List
	held      map[int]*list.Element
	size, max int
}

func (m *lruModel) use(k int, sizes []int) (hit bool) {
	if e := m.held[k]; e != nil {
		m.order.MoveToFront(e)
		return true
	}
	m.held[k] = m.order.PushFront(k)
	for m.size += sizes[k]; m.size > m.max; {
		last := m.order.Remove(m.order.Back()).(int)
		delete(m.held, last)
		m.size -= sizes[last]
	}
	return false
}
