package l1_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	"pgregory.net/rapid"

	"weir/l1"
	"weir/policy"
	"weir/rfc9111"
)

func TestVariants(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.fill("/a", "deutsch", varyOn(t, "Accept-Language", "de"))
	n.fill("/a", "english", varyOn(t, "Accept-Language", "en"))
	n.expect(request(t, "/a", "Accept-Language", "de"), "deutsch", rfc9111.Hit)
	n.expect(request(t, "/a", "Accept-Language", "en"), "english", rfc9111.Hit)
	n.expect(request(t, "/a", "Accept-Language", "fr"), below, rfc9111.Miss)
	n.expect(request(t, "/a"), below, rfc9111.Miss)
	n.fill("/a", "Deutsch", varyOn(t, "Accept-Language", "de"))
	n.expect(request(t, "/a", "Accept-Language", "de"), "Deutsch", rfc9111.Hit)
	n.expect(request(t, "/a", "Accept-Language", "en"), "english", rfc9111.Hit)
	// The newest of those that a request selects answers it, RFC 9111 4.1.
	n.fill("/a", "for everybody", nil)
	n.expect(request(t, "/a", "Accept-Language", "de"), "for everybody", rfc9111.Hit)
	n.fill("/a", "deutsch wieder", varyOn(t, "Accept-Language", "de"))
	n.expect(request(t, "/a", "Accept-Language", "de"), "deutsch wieder", rfc9111.Hit)
	n.expect(request(t, "/a", "Accept-Language", "en"), "for everybody", rfc9111.Hit)
	if s := n.Stats(); s.Objects != 3 {
		t.Errorf("stats = %+v", s)
	}
	german, _ := rfc9111.Select([]string{"Accept-Language"}, http.Header{"Accept-Language": {"de"}})
	english, _ := rfc9111.Select([]string{"Accept-Language"}, http.Header{"Accept-Language": {"en"}})
	n.Dropped(key(t, "/a"), german)
	n.expect(request(t, "/a", "Accept-Language", "de"), "for everybody", rfc9111.Hit)
	n.Dropped(key(t, "/a"), "")
	n.expect(request(t, "/a", "Accept-Language", "en"), "english", rfc9111.Hit)
	n.Dropped(key(t, "/a"), english)
	n.expect(request(t, "/a", "Accept-Language", "en"), below, rfc9111.Miss)
	n.expect(request(t, "/a", "Accept-Language", "de"), below, rfc9111.Miss)
	if s := n.Stats(); s.Objects != 0 || s.Bytes != 0 {
		t.Errorf("stats = %+v", s)
	}
}

func TestTheLeastRecentlyUsedVariantGivesWay(t *testing.T) {
	n := newNode(t, l1.Options{MaxVariants: 3})
	request := func(i int) string { n.clock.advance(time.Millisecond); return strconv.Itoa(i) }
	for i := range 3 {
		n.fill("/a", request(i), varyOn(t, "X", strconv.Itoa(i)))
	}
	use := func(i int, body string, use rfc9111.Use) {
		t.Helper()
		n.clock.advance(time.Millisecond)
		n.expect(requestX(t, i), body, use)
	}
	use(0, "0", rfc9111.Hit)
	use(2, "2", rfc9111.Hit)
	n.fill("/a", request(3), varyOn(t, "X", "3"))
	use(1, below, rfc9111.Miss)
	use(0, "0", rfc9111.Hit)
	use(2, "2", rfc9111.Hit)
	use(3, "3", rfc9111.Hit)
	for i := range 1000 {
		n.fill("/a", "flood", varyOn(t, "X", "flood"+strconv.Itoa(i)))
	}
	if s := n.Stats(); s.Objects != 3 || s.Evictions != 1001 {
		t.Errorf("stats = %+v", s)
	}
}

func TestConcurrentFillsLoseNoVariant(t *testing.T) {
	const variants = 40
	n := newNode(t, l1.Options{})
	var all sync.WaitGroup
	for i := range variants {
		all.Go(func() { n.fill("/a", strconv.Itoa(i), varyOn(t, "X", strconv.Itoa(i))) })
	}
	all.Wait()
	for i := range variants {
		n.expect(requestX(t, i), strconv.Itoa(i), rfc9111.Hit)
	}
}

// What has gone is garbage, while other variants that came before and after it stay.
func TestAVariantKeepsNoOtherAlive(t *testing.T) {
	second := varyOn(t, "X", "2")
	tests := map[string]func(n *node){
		"dropped":  func(n *node) { n.Dropped(key(t, "/a"), page(n.clock.Now(), second).Selection) },
		"replaced": func(n *node) { n.fill("/a", "new", second) },
	}
	for name, lose := range tests {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, l1.Options{})
			n.fill("/a", "first", varyOn(t, "X", "1"))
			body := make([]byte, 4<<10)
			gone := weak.Make(&body[0])
			n.Filled(key(t, "/a"), page(n.clock.Now(), second), body)
			n.fill("/a", "third", varyOn(t, "X", "3"))
			body = nil
			if runtime.GC(); gone.Value() == nil {
				t.Fatal("it is gone before its time")
			}
			lose(n)
			if runtime.GC(); gone.Value() != nil {
				t.Error("its body is still alive")
			}
			n.expect(requestX(t, 1), "first", rfc9111.Hit)
			n.expect(requestX(t, 3), "third", rfc9111.Hit)
		})
	}
}

// Ristretto alone drops half of such a burst and shows the rest late.
func TestEveryFillIsSeenAtOnce(t *testing.T) {
	burst := func(n *node, worker int) {
		for i := range 2000 {
			target := fmt.Sprintf("/%d/%d", worker, i)
			n.fill(target, target, nil)
			n.expect(request(t, target), target, rfc9111.Hit)
		}
	}
	t.Run("in a full cache", func(t *testing.T) {
		n := newNode(t, l1.Options{MaxBytes: 1 << 20})
		burst(n, 0)
	})
	t.Run("at once", func(t *testing.T) {
		n := newNode(t, l1.Options{MaxBytes: 12 << 20}) // all of them; not as young ones alone
		var all sync.WaitGroup
		for worker := range 4 {
			all.Go(func() { burst(n, worker) })
		}
		all.Wait()
		if s := n.Stats(); s.Objects != 8000 || s.Bytes < n.YoungBytes() {
			t.Errorf("not what is to be tested: %+v", s)
		}
	})
}

// Ristretto alone keeps the first of two quick values.
func TestTheLastFillStays(t *testing.T) {
	n := newNode(t, l1.Options{})
	for i := range 1000 {
		target := "/" + strconv.Itoa(i)
		n.fill(target, "first", nil)
		n.fill(target, "second", nil)
		n.expect(request(t, target), "second", rfc9111.Hit)
	}
}

// Ristretto alone turns new objects away while old ones were used more often.
func TestANewObjectIsSeenWhileOldOnesAreUsedMore(t *testing.T) {
	n := newNode(t, l1.Options{MaxBytes: 1 << 20})
	page := text(4 << 10)
	for range 20 {
		for i := range 200 {
			target := "/" + strconv.Itoa(i)
			if n.get(request(t, target)).Decision.Use != rfc9111.Hit {
				n.fill(target, page, nil)
			}
		}
	}
	n.fill("/new", "new", nil)
	n.expect(request(t, "/new"), "new", rfc9111.Hit)
}

// Ristretto alone lets a held key grow past every limit.
func TestTheBudgetHoldsWhenHeldKeysGrow(t *testing.T) {
	const budget = 1 << 20
	n := newNode(t, l1.Options{MaxBytes: budget})
	for size := 1 << 10; size <= 256<<10; size *= 2 {
		for i := range 8 {
			n.fill("/"+strconv.Itoa(i), text(size), nil)
			if s := n.Stats(); s.Bytes > budget {
				t.Fatalf("%d bytes in a budget of %d", s.Bytes, budget)
			}
		}
	}
	for i := range 64 {
		n.fill("/variants", text(64<<10), varyOn(t, "X", strconv.Itoa(i)))
		if s := n.Stats(); s.Bytes > budget {
			t.Fatalf("%d bytes in a budget of %d", s.Bytes, budget)
		}
	}
	n.expect(requestAt(t, "/variants", 63), text(64<<10), rfc9111.Hit)
}

// Heads and keys count: bodies may be empty.
func TestTheBudgetCountsHeadsAndKeys(t *testing.T) {
	const budget, head, keySize = 1 << 20, 2000, 1000
	n := newNode(t, l1.Options{MaxBytes: budget})
	for i := range 2000 {
		n.fill("/"+strconv.Itoa(i)+strings.Repeat("k", keySize), "", func(r *rfc9111.Response) {
			r.Header.Set("X-Filler", strings.Repeat("h", head))
			r.Tags = []string{strings.Repeat("t", 500)}
		})
	}
	if s := n.Stats(); s.Bytes > budget || s.Objects > budget/(head+keySize+500) || s.Objects < 100 {
		t.Errorf("stats = %+v", s)
	}
}

func TestTheBudgetHoldsWhateverHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		budget := rapid.Int64Range(l1.MinBytes, 1<<20).Draw(rt, "budget")
		n := newNode(t, l1.Options{MaxBytes: budget, MaxObject: 32 << 10, MaxVariants: 4})
		defer n.Close()
		model := map[string]string{} // the last body filled, or none
		for range rapid.IntRange(1, 200).Draw(rt, "steps") {
			target := "/" + strconv.Itoa(rapid.IntRange(0, 30).Draw(rt, "target"))
			variant := strconv.Itoa(rapid.IntRange(0, 5).Draw(rt, "variant"))
			name := target + " " + variant
			switch op := rapid.IntRange(0, 20).Draw(rt, "op"); {
			case op == 0:
				n.Clear()
				clear(model)
			case op == 1:
				selection, _ := rfc9111.Select([]string{"X"}, http.Header{"X": {variant}})
				n.Dropped(key(t, target), selection)
				delete(model, name)
			case op < 12:
				model[name] = text(rapid.IntRange(0, 40<<10).Draw(rt, "size"))
				n.fill(target, model[name], varyOn(t, "X", variant))
			default:
				ans := n.get(request(t, target, "X", variant))
				if ans.Decision.Use == rfc9111.Hit && string(ans.Bytes) != model[name] {
					rt.Fatalf("%s has an old body", name)
				}
			}
			if s := n.Stats(); s.Bytes > budget || s.Bytes < 0 || s.Objects < 0 {
				rt.Fatalf("budget %d: %+v", budget, s)
			}
		}
		n.Clear()
		if s := n.Stats(); s.Bytes != 0 || s.Objects != 0 {
			rt.Fatalf("empty, and yet %+v", s)
		}
	})
}

func TestObjectsThatAreTooLargeAreLeftToTheNextTier(t *testing.T) {
	n := newNode(t, l1.Options{MaxBytes: 1 << 20, MaxObject: 1 << 20})
	n.fill("/a", text(1<<20+1), nil)
	n.expect(request(t, "/a"), below, rfc9111.Miss)
	n.fill("/a", text(1<<20), nil) // no larger than an object may be, but than an entry in this budget
	n.expect(request(t, "/a"), below, rfc9111.Miss)
	// One that outgrows its room takes away what it replaces, and that alone.
	n.fill("/b", "small", varyOn(t, "X", "1"))
	n.fill("/b", "other", varyOn(t, "X", "2"))
	n.fill("/b", text(1<<20), varyOn(t, "X", "1"))
	n.expect(requestAt(t, "/b", 1), below, rfc9111.Miss)
	n.expect(requestAt(t, "/b", 2), "other", rfc9111.Hit)
	if s := n.Stats(); s.Rejected != 3 || s.Objects != 1 || s.Stores != 2 {
		t.Errorf("stats = %+v", s)
	}
}

func TestPurges(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.fill("/a", "old", nil)
	n.epochs.purge(nothing)
	asked := n.epochs.asked.Load()
	for range 5 {
		n.expect(request(t, "/a"), "old", rfc9111.Hit)
	}
	if got := n.epochs.asked.Load() - asked; got != 1 {
		t.Errorf("the purge log was searched %d times for one purge", got)
	}
	before := n.epochs.Current()
	n.epochs.purge(everything)
	n.expect(request(t, "/a"), below, rfc9111.Miss)
	// A fill that began before the purge does not undo it, nor does its 304.
	n.fill("/a", "old", func(r *rfc9111.Response) { r.Epoch = before })
	n.expect(request(t, "/a"), below, rfc9111.Miss)
	n.fill("/a", "new", nil)
	n.expect(request(t, "/a"), "new", rfc9111.Hit)
	if s := n.Stats(); s.Rejected != 1 || s.Objects != 1 {
		t.Errorf("stats = %+v", s)
	}
}

// A fill that was slower than one that began after it must not take its place.
func TestAnOvertakenFillIsNotStored(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.epochs.purge(nothing)
	n.fill("/a", "newer", nil)
	n.fill("/a", "older", func(r *rfc9111.Response) { r.Epoch = 0 })
	n.expect(request(t, "/a"), "newer", rfc9111.Hit)
}

func TestAPurgeThatComesWhileAFillIsStored(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.epochs.purge(func(*rfc9111.Response) bool { // is asked by Filled
		n.epochs.purge(everything)
		return false
	})
	n.fill("/a", "old", func(r *rfc9111.Response) { r.Epoch = 0 })
	if s := n.Stats(); s.Stores != 1 || n.epochs.Current() != 2 {
		t.Fatalf("not what is to be tested: %+v", s)
	}
	n.expect(request(t, "/a"), below, rfc9111.Miss)
}

func TestClear(t *testing.T) {
	n := newNode(t, l1.Options{MaxBytes: 1 << 20})
	for i := range 500 {
		n.fill("/"+strconv.Itoa(i), text(1000), nil)
	}
	n.Clear()
	for i := range 500 {
		n.expect(request(t, "/"+strconv.Itoa(i)), below, rfc9111.Miss)
	}
	if s := n.Stats(); s.Objects != 0 || s.Bytes != 0 {
		t.Errorf("stats = %+v", s)
	}
	n.fill("/1", "again", nil)
	n.expect(request(t, "/1"), "again", rfc9111.Hit)
}

// An object that is held and moves to ristretto or back is found at every moment.
func TestAHeldObjectIsNeverMissed(t *testing.T) {
	n := newNode(t, l1.Options{MaxBytes: 4 << 20})
	n.fill("/hot", "hot", nil)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			req := request(t, "/hot")
			for {
				select {
				case <-stop:
					return
				default:
				}
				ans, err := n.Fetch(context.Background(), req)
				if err != nil || string(ans.Bytes) != "hot" {
					t.Errorf("got %v, %v", ans, err)
					return
				}
			}
		})
	}
	// Few enough to be held all together, too many for the young lane alone.
	for i := range 3000 {
		n.fill("/"+strconv.Itoa(i%1200), text(1000), nil)
		if i%50 == 0 {
			n.fill("/hot", "hot", nil)
		}
	}
	close(stop)
	readers.Wait()
	if s := n.Stats(); s.Evictions != 0 {
		t.Fatalf("not what is to be tested: %+v", s)
	}
}

// Clear and Close of ristretto cannot bear traffic; these can.
func TestClearAndCloseUnderTraffic(t *testing.T) {
	n := newNode(t, l1.Options{MaxBytes: 1 << 20})
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for worker := range 4 {
		clients.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				target := "/" + strconv.Itoa((i*7+worker)%300)
				if n.get(request(t, target, "Accept-Encoding", "gzip")).Decision.Use != rfc9111.Hit {
					n.Filled(keyed(t, target, "gzip").Key, page(start, nil), []byte(text(2000)))
				}
				if i%100 == 0 {
					n.Dropped(keyed(t, target, "gzip").Key, "")
				}
			}
		})
	}
	for range 20 {
		n.Clear()
	}
	n.Close()
	close(stop)
	clients.Wait()
	n.Clear()
	n.Close()
	n.fill("/a", "late", nil)
	n.expect(request(t, "/a"), below, rfc9111.Miss)
	if s := n.Stats(); s.Objects != 0 || s.Bytes != 0 {
		t.Errorf("stats = %+v", s)
	}
}

func requestX(t testing.TB, i int) *policy.Request { return requestAt(t, "/a", i) }

func requestAt(t testing.TB, target string, i int) *policy.Request {
	t.Helper()
	return request(t, target, "X", strconv.Itoa(i))
}

// Entries take each other's numbers while they are looked up, and change between one variant and several.
func TestEntriesAreNotMixedUp(t *testing.T) {
	n := newNode(t, l1.Options{MaxBytes: 256 << 10})
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 1))
			for range 2000 {
				target, variant := "/"+strconv.Itoa(random.IntN(400)), strconv.Itoa(random.IntN(3))
				switch random.IntN(8) {
				case 0:
					n.Dropped(key(t, target), "")
				case 1:
					n.fill(target, target+" "+variant+text(random.IntN(2000)), varyOn(t, "X", variant))
				case 2, 3:
					n.fill(target, target+" "+text(random.IntN(2000)), nil)
				default:
					req := request(t, target)
					req.Header.Set("X", variant)
					if ans := n.get(req); string(ans.Bytes) != below && !strings.HasPrefix(string(ans.Bytes), target+" ") {
						t.Errorf("%s is answered with %.20q", target, ans.Bytes)
					}
				}
				if random.IntN(500) == 0 {
					n.Clear()
				}
			}
		})
	}
	all.Wait()
	if s := n.Stats(); s.Hits == 0 || s.Evictions == 0 {
		t.Errorf("not what is to be tested: %+v", s)
	}
	n.Clear()
	if s := n.Stats(); s.Objects != 0 || s.Bytes != 0 {
		t.Errorf("%+v is held by nothing", s)
	}
}
