// Command lookups measures what a look-up of a value in memory costs a program: a hit of
// weir.SWR and weir.Get beside those of ristretto, otter and of the cache that many programs write
// themselves, a map in order of use under a mutex, as groupcache has it.
//
// 10,000 values of 1 KiB are held, and keys are asked for in a skewed order, the same for
// all. "as bytes" are caches that hold what was encoded, so a program that wants a struct still has to
// decode it; the others hold what it wants.
//
// Read the columns as ns and allocations of one look-up in the best of many rounds, with one goroutine
// and, for each look-up of all, with one on each processor. Compare rows of one run only.
//
//	go run ./bench/lookups
package main

import (
	"bytes"
	"container/list"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/ristretto/v2"

	"weir"
)

const (
	values = 10_000
	rounds = 50
	budget = 256 << 20
)

// page is what is cached.
type page struct {
	ID   int
	Text string
}

var (
	keys  = makeKeys()
	order = makeOrder()
)

func makeKeys() []string {
	all := make([]string, values)
	for i := range all {
		all[i] = fmt.Sprintf("page:%08d", i)
	}
	return all
}

// makeOrder is a sequence of keys in which few are asked for often.
func makeOrder() []int {
	skewed := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 10, values-1)
	all := make([]int, 1<<14)
	for i := range all {
		all[i] = int(skewed.Uint64())
	}
	return all
}

func pageOf(i int) page { return page{i, strings.Repeat("x", 1<<10)} }

// cache is one row: lookup says whether the value of a key was there, and right.
type cache struct {
	name   string
	lookup func(i int) bool
}

func main() {
	log.SetFlags(0)
	ctx := context.Background()
	c, err := weir.Open(weir.Options{MemoryBytes: budget})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%-34s %12s %12s %8s\n", "ns a look-up", "1 goroutine", "parallel", "allocs")
	for _, row := range []cache{weirSWR(ctx, c), weirCapturing(ctx, c), weirGet(ctx, c), ofRistretto(), ofList(), ofListDecoded()} {
		show(row.name, measure(row))
	}
	show("otter", ofOtter(ctx))
	if err := c.Close(ctx); err != nil {
		log.Fatal(err)
	}
}

// result is a row of the table. The program in otter gives one, too.
type result struct {
	One, All float64 // ns
	Allocs   int64
}

func show(name string, r result) {
	fmt.Printf("%-34s %12.1f %12.1f %8d\n", name, r.One, r.All, r.Allocs)
}

func measure(row cache) result {
	for i := range values { // all of them are there, or it says so
		if !row.lookup(i) {
			log.Fatalf("%s: %s is not there", row.name, keys[i])
		}
	}
	return result{
		One: best(row.lookup, 1), All: best(row.lookup, runtime.GOMAXPROCS(0)),
		Allocs: int64(testing.AllocsPerRun(1000, func() { row.lookup(order[0]) })),
	}
}

// best is the time of a look-up in ns in the best of many short rounds: other programs disturb most of them.
func best(lookup func(i int) bool, goroutines int) float64 {
	least := math.Inf(1)
	for range rounds {
		var all sync.WaitGroup
		began := time.Now()
		for range goroutines {
			all.Go(func() {
				for _, i := range order {
					if !lookup(i) {
						log.Fatal("a miss")
					}
				}
			})
		}
		all.Wait()
		least = min(least, float64(time.Since(began).Nanoseconds())/float64(goroutines*len(order)))
	}
	return least
}

// ofOtter has the program in the folder otter measure the same.
func ofOtter(ctx context.Context) (r result) {
	work, err := json.Marshal(map[string]any{"Keys": keys, "Order": order})
	if err != nil {
		log.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "go", "run", "-C", "bench/lookups/otter", ".")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(work), os.Stderr
	said, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(said, &r)
	}
	if err != nil {
		log.Fatalf("otter: %v; run this at the top of the module", err)
	}
	return r
}

func weirSWR(ctx context.Context, c *weir.Cache) cache {
	fetches := make([]func(context.Context) (page, error), values) // as a program has one for each kind of value
	for i := range fetches {
		fetches[i] = func(context.Context) (page, error) { return pageOf(i), nil }
	}
	return cache{"weir.SWR", func(i int) bool {
		p, err := weir.SWR(ctx, c, keys[i], fetches[i], weir.SWROptions{TTL: time.Hour})
		return err == nil && p.ID == i
	}}
}

func weirCapturing(ctx context.Context, c *weir.Cache) cache {
	return cache{"weir.SWR, func literal in place", func(i int) bool {
		p, err := weir.SWR(ctx, c, keys[i], func(context.Context) (page, error) { return pageOf(i), nil }, weir.SWROptions{TTL: time.Hour})
		return err == nil && p.ID == i
	}}
}

func weirGet(ctx context.Context, c *weir.Cache) cache {
	return cache{"weir.Get", func(i int) bool {
		p, err := weir.Get[page](ctx, c, keys[i])
		return err == nil && p.ID == i
	}}
}

func ofRistretto() cache {
	c, err := ristretto.NewCache(&ristretto.Config[string, *page]{NumCounters: 10 * values, MaxCost: budget, BufferItems: 64})
	if err != nil {
		log.Fatal(err)
	}
	for i, key := range keys {
		p := pageOf(i)
		c.Set(key, &p, 1<<10)
		c.Wait()
	}
	return cache{"ristretto", func(i int) bool {
		p, ok := c.Get(keys[i])
		return ok && p.ID == i
	}}
}

// recent is a map in order of use under a mutex, of bytes.
type recent struct {
	mu    sync.Mutex
	order *list.List
	items map[string]*list.Element
}

type item struct {
	key   string
	value []byte
}

func newRecent() *recent {
	r := &recent{order: list.New(), items: make(map[string]*list.Element)}
	for i, key := range keys {
		encoded, err := json.Marshal(pageOf(i))
		if err != nil {
			log.Fatal(err)
		}
		r.items[key] = r.order.PushFront(&item{key, encoded})
	}
	return r
}

func (r *recent) get(key string) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.items[key]
	if !ok {
		return nil, false
	}
	r.order.MoveToFront(at)
	return at.Value.(*item).value, true
}

func ofList() cache {
	r := newRecent()
	return cache{"mutex, map and list, as bytes", func(i int) bool {
		value, ok := r.get(keys[i])
		return ok && len(value) > 1<<10
	}}
}

func ofListDecoded() cache {
	r := newRecent()
	return cache{"the same, decoded from JSON", func(i int) bool {
		value, ok := r.get(keys[i])
		var p page
		return ok && json.Unmarshal(value, &p) == nil && p.ID == i
	}}
}
