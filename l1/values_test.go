package l1_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"weir/l1"
)

func TestValues(t *testing.T) {
	v := l1.NewValues(1 << 20)
	if got, ok := v.Get("k"); ok || got != nil {
		t.Errorf("empty: %v", got)
	}
	v.Put("k", "one", 3)
	v.Put("k", "two", 3)
	v.Put("", nil, 0)
	if got, ok := v.Get("k"); !ok || got != "two" {
		t.Errorf("%v, %v", got, ok)
	}
	if got, ok := v.Get(""); !ok || got != nil {
		t.Errorf("%v, %v", got, ok)
	}
	v.Delete("k")
	v.Delete("k")
	if got, ok := v.Get("k"); ok {
		t.Errorf("deleted: %v", got)
	}
	if s := v.Stats(); s.Hits != 2 || s.Misses != 2 || s.Values != 1 || s.Evictions != 0 {
		t.Errorf("%+v", s)
	}
}

// What is too large is not held, and what it should have replaced is gone.
func TestValueTooLarge(t *testing.T) {
	v := l1.NewValues(30_000)
	v.Put("k", "small", 10)
	v.Put("k", "large", 20_000)
	if got, ok := v.Get("k"); ok {
		t.Errorf("still %v", got)
	}
	v.Put(strings.Repeat("k", 10_000), "small", 10)
	if s := v.Stats(); s.Rejected != 2 || s.Values != 0 {
		t.Errorf("%+v", s)
	}
	none := l1.NewValues(0)
	none.Put("k", "v", 1)
	if _, ok := none.Get("k"); ok || none.Stats().Values != 0 {
		t.Errorf("held without a budget: %+v", none.Stats())
	}
}

// What is asked for stays while much is put in that nobody asks for.
func TestValuesThatAreAskedForStay(t *testing.T) {
	v := l1.NewValues(1 << 20)
	for i := range 100 {
		v.Put(fmt.Sprint("hot", i), i, 1000)
	}
	for i := range 20_000 {
		v.Put(fmt.Sprint("once", i), i, 1000)
		v.Get(fmt.Sprint("hot", i%100))
	}
	held := 0
	for i := range 100 {
		if got, ok := v.Get(fmt.Sprint("hot", i)); ok && got == i {
			held++
		}
	}
	if held < 95 {
		t.Errorf("%d of 100 held: %+v", held, v.Stats())
	}
}

// What is replaced and looked at by nobody who asks for it gives way, and what is asked for stays when it is replaced.
func TestReplacedValuesGiveWay(t *testing.T) {
	v := l1.NewValues(1 << 20)
	for i := range 100 {
		v.Put(fmt.Sprint("asked", i), 0, 1000)
		v.Put(fmt.Sprint("written", i), 0, 1000)
	}
	for i := range 20_000 {
		v.Put(fmt.Sprint("once", i), i, 1000)
		for _, kind := range []string{"asked", "written"} {
			key := fmt.Sprint(kind, i%100)
			if v.Replace(key, i, 1000); kind == "asked" {
				v.Get(key)
			} else {
				v.Peek(key)
			}
		}
	}
	held := map[string]int{}
	for i := range 100 {
		for _, kind := range []string{"asked", "written"} {
			if _, ok := v.Peek(fmt.Sprint(kind, i)); ok {
				held[kind]++
			}
		}
	}
	if held["asked"] < 95 || held["written"] > 0 {
		t.Errorf("%v held of 100 each: %+v", held, v.Stats())
	}
	if s := v.Stats(); s.Hits > 20_000 {
		t.Errorf("%d hits, more than questions", s.Hits)
	}
}

// Against a map: what is found was the last to be put, and never more is held than the budget allows, as counted and
// as the model knows of it.
func TestValuesModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		budget := rapid.Int64Range(0, 40_000).Draw(t, "budget")
		v := l1.NewValues(budget)
		model := map[string]int{}
		sizes := map[string]int64{}
		keys := rapid.StringN(0, 3, 200)
		for i := range rapid.IntRange(1, 400).Draw(t, "steps") {
			key := keys.Draw(t, "key")
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				v.Delete(key)
				delete(model, key)
			case 1:
				if got, ok := v.Get(key); ok && got != model[key] {
					t.Fatalf("%q: %v, want %d", key, got, model[key])
				} else if _, put := model[key]; ok && !put {
					t.Fatalf("%q is not there and has %v", key, got)
				}
			case 2:
				size := rapid.Int64Range(0, 5000).Draw(t, "size")
				_, held := v.Peek(key)
				if v.Replace(key, i, size); held {
					model[key], sizes[key] = i, size+int64(len(key))
				}
				if _, now := v.Peek(key); now && !held {
					t.Fatalf("%q was not there, and is in place of it", key)
				}
			default:
				size := rapid.Int64Range(0, 5000).Draw(t, "size")
				v.Put(key, i, size)
				model[key], sizes[key] = i, size+int64(len(key))
			}
			held, n := int64(0), 0
			for key, want := range model {
				if got, ok := v.Get(key); ok {
					if got != want {
						t.Fatalf("%q: %v, want %d", key, got, want)
					}
					held += sizes[key]
					n++
				}
			}
			s := v.Stats()
			if s.Values != n || s.Bytes < held || s.Bytes > max(budget, 2048) {
				t.Fatalf("%d values with %d bytes, budget %d: %+v", n, held, budget, s)
			}
		}
	})
}

// The heap agrees with what is counted.
func TestValuesHeap(t *testing.T) {
	for _, size := range []int{16, 100, 5000} {
		const budget = 16 << 20
		heap := func() int64 {
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc)
		}
		before := heap()
		v := l1.NewValues(budget)
		for i := range 3 * budget / (size + 100) {
			b := make([]byte, size)
			v.Put(fmt.Sprintf("key:%032d", i), &b, int64(cap(b))+24)
		}
		if s, used := v.Stats(), heap()-before; used > budget*21/20 || s.Bytes < budget*9/10 || s.Bytes > budget {
			t.Errorf("values of %d bytes: %d bytes of heap, %+v", size, used, s)
		}
	}
}

// Whoever reads beside writers sees a value of the key or nothing.
func TestValuesConcurrently(t *testing.T) {
	v := l1.NewValues(200_000)
	keys := make([]string, 500)
	for i := range keys {
		keys[i] = fmt.Sprint("key", i)
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 20_000 {
				key := keys[(i*7+w*131)%len(keys)]
				switch {
				case i%16 == w:
					v.Delete(key)
				case w < 2:
					v.Put(key, key, int64(i%1000))
				default:
					if got, ok := v.Get(key); ok && got != key {
						t.Errorf("%q has %v", key, got)
					}
				}
			}
		})
	}
	wg.Wait()
	if s := v.Stats(); s.Bytes > 200_000 || s.Values == 0 {
		t.Errorf("%+v", s)
	}
}

func TestValuesGetAllocatesNothing(t *testing.T) {
	v := l1.NewValues(1 << 20)
	v.Put("user:42", &struct{ name string }{"x"}, 100)
	n := testing.AllocsPerRun(1000, func() {
		if _, ok := v.Get("user:42"); !ok {
			t.Fatal("gone")
		}
		v.Get("user:43")
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkValuesGet(b *testing.B) {
	v := l1.NewValues(64 << 20)
	keys := make([]string, 100_000)
	for i := range keys {
		keys[i] = fmt.Sprint("user:", i)
		v.Put(keys[i], i, 8)
	}
	for _, spread := range []int{1, 100, len(keys)} {
		b.Run(fmt.Sprint(spread), func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if _, ok := v.Get(keys[i*7919%spread]); !ok {
						b.Fatal("gone")
					}
				}
			})
		})
	}
}

func BenchmarkValuesPut(b *testing.B) {
	v := l1.NewValues(16 << 20)
	keys := make([]string, 200_000)
	for i := range keys {
		keys[i] = fmt.Sprint("user:", i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		v.Put(keys[i%len(keys)], v, 100)
	}
}
